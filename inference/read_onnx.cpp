#include "onnx_operators.h"
#include "onnx_scope.h"
#include "onnx_tensor.h"
#include "read.h"

#include <leat/error.h>

#include <google/protobuf/io/zero_copy_stream_impl.h>

#include <algorithm>
#include <climits>
#include <memory>
#include <unordered_map>
#include <unordered_set>

namespace leat {

namespace {

constexpr int max_depth = 32;       ///< of subgraphs and functions in each other
constexpr size_t max_subgraphs = 2; ///< of one node: If has two
constexpr int64_t newest_opset = 22;
/// What inlining functions may add to a model.
constexpr uint64_t bytes_of_a_node = 1024, max_growth_bytes = uint64_t(64) << 20;

std::string in_quotes(const std::string &name)
{
    return '"' + name + '"';
}

/// "ai.onnx" is another name of the default domain.
std::string normal_domain(const std::string &domain)
{
    return domain == "ai.onnx" ? "" : domain;
}

template <class Imports> OnnxOpsets read_opsets(const Imports &imports)
{
    OnnxOpsets opsets;
    for (const auto &import : imports) {
        int64_t &version = opsets[normal_domain(import.domain())];
        version = std::max(version, import.version());
    }
    return opsets;
}

/// A function that the model brings along.
struct Function {
    const onnx::FunctionProto *body = nullptr;
    std::vector<onnx::AttributeProto> defaults; ///< for attributes that a call leaves out
    OnnxOpsets opsets;
};

/// Defaults came with IR version 9, as field 11 (attribute_proto), which older schemas of ONNX do not know.
template <class FunctionProto> std::vector<onnx::AttributeProto> read_defaults(const FunctionProto &function)
{
    constexpr int attribute_proto_field = 11;
    std::vector<onnx::AttributeProto> defaults;
    if constexpr (requires { function.attribute_proto(); })
        defaults.assign(function.attribute_proto().begin(), function.attribute_proto().end());
    const auto &unknown = function.unknown_fields();
    for (int i = 0; i < unknown.field_count(); i++) {
        const auto &field = unknown.field(i);
        if (field.number() != attribute_proto_field ||
            field.type() != google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED)
            continue;
        if (!defaults.emplace_back().ParseFromString(field.length_delimited()))
            throw Error("function " + in_quotes(function.name()) + " has a damaged attribute");
    }
    return defaults;
}

Shape read_shape(const onnx::TensorShapeProto &stored)
{
    if (stored.dim_size() > max_rank)
        throw Error("it has " + std::to_string(stored.dim_size()) + " dimensions; at most " + std::to_string(max_rank) +
                    " are supported");
    Shape shape;
    for (const auto &dimension : stored.dim())
        shape.push_back(dimension.has_dim_value() ? std::max<int64_t>(dimension.dim_value(), -1) : -1);
    return shape;
}

/// Type and shape of an input. Those of a subgraph may lack both.
Value read_input(const onnx::ValueInfoProto &stored, bool may_lack_type)
{
    Value value;
    value.name = stored.name();
    if (!stored.has_type() && may_lack_type)
        return value;
    if (!stored.type().has_tensor_type())
        throw Error("it is not a tensor; only tensors are supported");
    const auto &tensor = stored.type().tensor_type();
    value.type = type_from_onnx(tensor.elem_type());
    if (tensor.has_shape())
        value.shape = read_shape(tensor.shape());
    return value;
}

template <class Infos> void add_declared_ranks(const Infos &infos, OnnxScope &scope)
{
    for (const auto &info : infos)
        if (info.type().tensor_type().has_shape())
            scope.declared_ranks[info.name()] = static_cast<size_t>(info.type().tensor_type().shape().dim_size());
}

/// Files older than IR version 2 do not say the type.
onnx::AttributeProto::AttributeType type_of_attribute(const onnx::AttributeProto &attribute)
{
    using A = onnx::AttributeProto;
    if (attribute.type() != A::UNDEFINED)
        return attribute.type();
    const std::pair<bool, A::AttributeType> present[] = {
        {attribute.has_f(), A::FLOAT},        {attribute.has_i(), A::INT},
        {attribute.has_s(), A::STRING},       {attribute.has_t(), A::TENSOR},
        {attribute.has_g(), A::GRAPH},        {attribute.floats_size() > 0, A::FLOATS},
        {attribute.ints_size() > 0, A::INTS}, {attribute.strings_size() > 0, A::STRINGS},
    };
    for (const auto &[is_present, type] : present)
        if (is_present)
            return type;
    return A::UNDEFINED;
}

std::string joined(const google::protobuf::RepeatedPtrField<std::string> &texts)
{
    std::string result;
    for (int i = 0; i < texts.size(); i++)
        result += (i ? "," : "") + texts[i];
    return result;
}

/// Attributes that name an element type, as number in ONNX and as text in ops.
bool names_type(const std::string &attribute)
{
    return attribute == "to" || attribute == "dtype" || attribute == "output_dtype";
}

/// Everything that one model file says, on its way into a graph.
class OnnxReader {
  public:
    OnnxReader(const onnx::ModelProto &model, OnnxTensors tensors) : model_(model), tensors_(std::move(tensors)) {}

    Graph read();
    std::vector<std::filesystem::path> data_files() const { return tensors_.files(); }

  private:
    void add_functions();
    void add_metadata(Graph &) const;
    void read_interface(const onnx::GraphProto &, OnnxScope &);
    void read_nodes(const OnnxNodes &, OnnxScope &);
    void read_node(const onnx::NodeProto &, const std::string &name, OnnxScope &);
    void inline_function(const Function &, const onnx::NodeProto &, ImportedNode &call, OnnxScope &);
    void read_attributes(const onnx::NodeProto &, ImportedNode &, OnnxScope &);
    std::optional<Attribute> read_attribute(const onnx::AttributeProto &);
    void read_subgraphs(const std::vector<const onnx::AttributeProto *> &, ImportedNode &, OnnxScope &);
    std::vector<ValueId> find_inputs(const onnx::NodeProto &, OnnxScope &);
    std::vector<ValueId> make_outputs(const onnx::NodeProto &, OnnxScope &);
    std::vector<ValueId> find_outputs(const onnx::GraphProto &, OnnxScope &);
    int64_t opset_of(const std::string &domain, const OnnxScope &) const;
    void charge(const onnx::NodeProto &, const OnnxScope &);

    const onnx::ModelProto &model_;
    OnnxTensors tensors_;
    OnnxOpsets opsets_;
    std::map<std::pair<std::string, std::string>, Function> functions_; ///< by domain and name
    uint64_t growth_bytes_ = 0;
};

/// The attribute that is meant, which may be one of the call of the function. Nothing when the call lacks it.
const onnx::AttributeProto *resolve(const onnx::AttributeProto &attribute, const OnnxScope &scope)
{
    if (attribute.ref_attr_name().empty())
        return &attribute;
    if (!scope.parameters)
        throw Error("attribute " + attribute.name() + " refers to a function's attribute outside of a function");
    const auto given = scope.parameters->find(attribute.ref_attr_name());
    return given == scope.parameters->end() ? nullptr : given->second;
}

std::optional<Attribute> OnnxReader::read_attribute(const onnx::AttributeProto &attribute)
{
    using A = onnx::AttributeProto;
    switch (type_of_attribute(attribute)) {
    case A::FLOAT: return attribute.f();
    case A::INT: return attribute.i();
    case A::STRING: return attribute.s();
    case A::TENSOR: return tensors_.read(attribute.t());
    case A::FLOATS: return std::vector<float>(attribute.floats().begin(), attribute.floats().end());
    case A::INTS: return std::vector<int64_t>(attribute.ints().begin(), attribute.ints().end());
    case A::STRINGS: return joined(attribute.strings());
    default: throw Error("it is neither a number, a text, a tensor nor a graph");
    }
}

void OnnxReader::read_attributes(const onnx::NodeProto &stored, ImportedNode &node, OnnxScope &scope)
{
    std::vector<const onnx::AttributeProto *> subgraphs;
    for (const auto &attribute : stored.attribute()) {
        const auto *meant = resolve(attribute, scope);
        if (!meant)
            continue;
        if (type_of_attribute(*meant) == onnx::AttributeProto::GRAPH) {
            if (meant != &attribute)
                throw Error("attribute " + attribute.name() +
                            " is a graph that is handed to a function, which is not "
                            "supported; inline the function before exporting");
            subgraphs.push_back(meant);
            continue;
        }
        in_context("attribute " + attribute.name(), [&] {
            auto value = read_attribute(*meant);
            if (const auto *number = std::get_if<int64_t>(&*value); number && names_type(attribute.name())) {
                if (*number == onnx::TensorProto::UNDEFINED)
                    return;
                value = std::string(to_string(type_from_onnx(static_cast<int>(std::clamp<int64_t>(*number, -1, 999)))));
            }
            node.attributes.set(attribute.name(), std::move(*value));
        });
    }
    if (!subgraphs.empty())
        read_subgraphs(subgraphs, node, scope);
}

/// Every value of the enclosing graph that one of the subgraphs reads becomes one more input of the node and of each
/// of the subgraphs, in the same order.
void OnnxReader::read_subgraphs(const std::vector<const onnx::AttributeProto *> &attributes, ImportedNode &node,
                                OnnxScope &outer)
{
    if (attributes.size() > max_subgraphs)
        throw Error("it has " + std::to_string(attributes.size()) + " subgraphs; no operator has more than " +
                    std::to_string(max_subgraphs));
    if (outer.depth >= max_depth)
        throw Error("subgraphs and functions lie in each other more than " + std::to_string(max_depth) + " deep");
    std::vector<std::shared_ptr<Graph>> graphs;
    std::vector<std::unordered_map<ValueId, ValueId>> stand_ins;
    std::vector<ValueId> captured;
    std::unordered_set<ValueId> known;
    for (const auto *attribute : attributes)
        in_context(attribute->name(), [&] {
            auto graph = std::make_shared<Graph>();
            graph->name = attribute->g().name();
            OnnxScope scope{
                *graph,         &outer, outer.opsets, outer.parameters, node.name + "/" + attribute->name() + "/",
                outer.depth + 1};
            read_interface(attribute->g(), scope);
            const size_t wanted = node.type == "If" ? 1 : graph->inputs.size();
            if (node.inputs.size() > wanted)
                throw Error("it takes " + std::to_string(wanted) + " inputs, but the node has " +
                            std::to_string(node.inputs.size()));
            node.inputs.resize(wanted, no_value);
            read_nodes(attribute->g().node(), scope);
            graph->outputs = find_outputs(attribute->g(), scope);
            for (const auto &[outside, inside] : scope.captured)
                if (known.insert(outside).second)
                    captured.push_back(outside);
            stand_ins.emplace_back(scope.captured.begin(), scope.captured.end());
            graphs.push_back(std::move(graph));
        });
    for (size_t i = 0; i < graphs.size(); i++) {
        for (ValueId outside : captured) {
            const auto found = stand_ins[i].find(outside);
            graphs[i]->inputs.push_back(found == stand_ins[i].end() ? graphs[i]->add_value(outer.graph.values[outside])
                                                                    : found->second);
        }
        in_context(attributes[i]->name(), [&] {
            graphs[i]->tidy();
            graphs[i]->verify();
        });
        node.attributes.set(attributes[i]->name(), std::shared_ptr<const Graph>(graphs[i]));
    }
    node.inputs.insert(node.inputs.end(), captured.begin(), captured.end());
    node.captured = captured.size();
}

std::vector<ValueId> OnnxReader::find_inputs(const onnx::NodeProto &stored, OnnxScope &scope)
{
    std::vector<ValueId> inputs;
    for (const std::string &name : stored.input()) {
        const auto id = name.empty() ? no_value : find_value(scope, name);
        if (!id)
            throw Error("its input " + in_quotes(name) + " is made by no node, initializer or input of the graph");
        inputs.push_back(*id);
    }
    while (!inputs.empty() && inputs.back() == no_value)
        inputs.pop_back();
    return inputs;
}

std::vector<ValueId> OnnxReader::make_outputs(const onnx::NodeProto &stored, OnnxScope &scope)
{
    std::vector<ValueId> outputs;
    for (const std::string &name : stored.output()) {
        if (name.empty()) {
            outputs.push_back(no_value);
            continue;
        }
        const auto result = scope.results.find(name);
        Value value;
        value.name = scope.prefix + name;
        const ValueId id = result == scope.results.end() ? scope.graph.add_value(std::move(value)) : result->second;
        if (const auto rank = scope.declared_ranks.find(name); rank != scope.declared_ranks.end())
            scope.ranks[id] = rank->second;
        outputs.push_back(id);
    }
    while (!outputs.empty() && outputs.back() == no_value)
        outputs.pop_back();
    return outputs;
}

int64_t OnnxReader::opset_of(const std::string &domain, const OnnxScope &scope) const
{
    if (const auto found = scope.opsets->find(domain); found != scope.opsets->end())
        return found->second;
    if (domain.empty())
        throw Error("the model does not say which version of the standard operators it uses; export it again");
    return 1;
}

/// Keeps models small that would grow without bound when their functions are inlined.
void OnnxReader::charge(const onnx::NodeProto &stored, const OnnxScope &scope)
{
    growth_bytes_ += scope.prefix.size() * (1 + static_cast<size_t>(stored.output_size()));
    if (scope.parameters)
        growth_bytes_ += bytes_of_a_node + stored.ByteSizeLong();
    if (growth_bytes_ > max_growth_bytes)
        throw Error("the model grows too much when its functions are inlined; inline them before exporting");
}

void OnnxReader::read_node(const onnx::NodeProto &stored, const std::string &name, OnnxScope &scope)
{
    ImportedNode node(scope.graph, scope.ranks);
    node.name = name;
    node.domain = normal_domain(stored.domain());
    node.type = stored.op_type();
    node.inputs = find_inputs(stored, scope);
    node.outputs = make_outputs(stored, scope);
    if (!node.outputs.empty()) {
        const auto function = functions_.find({node.domain, node.type});
        if (function != functions_.end()) {
            inline_function(function->second, stored, node, scope);
        } else {
            node.opset = opset_of(node.domain, scope);
            read_attributes(stored, node, scope);
            translate(node);
        }
    }
    for (int i = 0; i < static_cast<int>(node.outputs.size()); i++)
        if (node.outputs[static_cast<size_t>(i)] != no_value)
            scope.names[stored.output(i)] = node.outputs[static_cast<size_t>(i)];
}

void OnnxReader::read_nodes(const OnnxNodes &nodes, OnnxScope &scope)
{
    for (int i : runnable_order(nodes, scope)) {
        charge(nodes[i], scope);
        const std::string name = scope.prefix + name_of(nodes[i], i);
        in_context("node " + in_quotes(name), [&] { read_node(nodes[i], name, scope); });
    }
}

void OnnxReader::inline_function(const Function &function, const onnx::NodeProto &stored, ImportedNode &call,
                                 OnnxScope &outer)
{
    const auto &body = *function.body;
    if (outer.depth >= max_depth)
        throw Error("function " + in_quotes(body.name()) + " calls itself, or functions lie in each other more than " +
                    std::to_string(max_depth) + " deep");
    if (static_cast<int>(call.inputs.size()) > body.input_size() ||
        static_cast<int>(call.outputs.size()) > body.output_size())
        throw Error("function " + in_quotes(body.name()) + " has " + std::to_string(body.input_size()) +
                    " inputs and " + std::to_string(body.output_size()) + " outputs, fewer than its caller wants");
    OnnxParameters parameters;
    for (const auto &attribute : function.defaults)
        parameters[attribute.name()] = &attribute;
    for (const auto &attribute : stored.attribute())
        if (const auto *meant = resolve(attribute, outer))
            parameters[attribute.name()] = meant;

    OnnxScope scope{call.graph, nullptr, &function.opsets, &parameters, call.name + "/", outer.depth + 1};
    for (int i = 0; i < body.input_size(); i++)
        scope.names[body.input(i)] = call.optional_input(static_cast<size_t>(i));
    for (size_t i = 0; i < call.outputs.size(); i++)
        if (call.wants(i))
            scope.results.emplace(body.output(static_cast<int>(i)), call.outputs[i]);
    read_nodes(body.node(), scope);
    for (size_t i = 0; i < call.outputs.size(); i++) {
        if (!call.wants(i))
            continue;
        const std::string &name = body.output(static_cast<int>(i));
        const auto made = find_value(scope, name);
        if (!made || *made == no_value)
            throw Error("function " + in_quotes(body.name()) + " does not make its output " + in_quotes(name));
        if (*made != call.outputs[i])
            call.add("Identity", {*made}, {call.outputs[i]});
    }
}

/// Inputs and initializers. An input that has an initializer is a constant.
void OnnxReader::read_interface(const onnx::GraphProto &stored, OnnxScope &scope)
{
    if (stored.sparse_initializer_size() > 0)
        throw Error("sparse initializers are not supported; export the weights dense");
    for (const auto &initializer : stored.initializer())
        in_context("initializer " + in_quotes(initializer.name()), [&] {
            if (scope.names.count(initializer.name()))
                throw Error("another one has the same name");
            scope.names[initializer.name()] = scope.graph.add_constant(initializer.name(), tensors_.read(initializer));
        });
    std::unordered_set<std::string> seen;
    for (const auto &input : stored.input())
        in_context("input " + in_quotes(input.name()), [&] {
            if (!seen.insert(input.name()).second)
                throw Error("another one has the same name");
            if (scope.names.count(input.name()))
                return;
            const ValueId id = scope.graph.add_value(read_input(input, scope.outer != nullptr));
            scope.graph.inputs.push_back(id);
            scope.names[input.name()] = id;
        });
    add_declared_ranks(stored.value_info(), scope);
    add_declared_ranks(stored.output(), scope);
}

std::vector<ValueId> OnnxReader::find_outputs(const onnx::GraphProto &stored, OnnxScope &scope)
{
    std::vector<ValueId> outputs;
    for (const auto &output : stored.output()) {
        const auto id = find_value(scope, output.name());
        if (!id || *id == no_value)
            throw Error("its output " + in_quotes(output.name()) + " is made by no node, initializer or input");
        outputs.push_back(*id);
    }
    return outputs;
}

void OnnxReader::add_functions()
{
    for (const auto &stored : model_.functions()) {
        Function function{&stored, read_defaults(stored), read_opsets(stored.opset_import())};
        if (function.opsets.empty())
            function.opsets = opsets_;
        if (!functions_.emplace(std::pair(normal_domain(stored.domain()), stored.name()), std::move(function)).second)
            throw Error("function " + in_quotes(stored.name()) + " exists twice");
    }
}

void OnnxReader::add_metadata(Graph &graph) const
{
    for (const auto &entry : model_.metadata_props())
        graph.metadata[entry.key()] = entry.value();
    const std::pair<const char *, const std::string &> facts[] = {
        {"onnx.producer_name", model_.producer_name()},
        {"onnx.producer_version", model_.producer_version()},
        {"onnx.domain", model_.domain()},
        {"onnx.doc_string", model_.doc_string()},
    };
    for (const auto &[key, value] : facts)
        if (!value.empty())
            graph.metadata[key] = value;
    graph.metadata["onnx.ir_version"] = std::to_string(model_.ir_version());
    for (const auto &[domain, version] : opsets_)
        graph.metadata["onnx.opset" + (domain.empty() ? "" : "." + domain)] =
            std::to_string(version) +
            (domain.empty() && version > newest_opset ? ", read as " + std::to_string(newest_opset) : "");
}

Graph OnnxReader::read()
{
    if (!model_.has_graph())
        throw Error("this is not an ONNX model, or it is damaged: it has no graph");
    opsets_ = read_opsets(model_.opset_import());
    if (opsets_.empty() && model_.ir_version() < 3)
        opsets_[""] = 1;
    add_functions();
    Graph graph;
    graph.name = model_.graph().name();
    OnnxScope scope{graph, nullptr, &opsets_};
    read_interface(model_.graph(), scope);
    read_nodes(model_.graph().node(), scope);
    graph.outputs = in_context("graph " + in_quotes(graph.name), [&] { return find_outputs(model_.graph(), scope); });
    if (graph.outputs.empty())
        throw Error("the model has no outputs; mark the tensors that it shall give as outputs of the graph");
    add_metadata(graph);
    graph.tidy();
    graph.verify();
    return graph;
}

Graph read_parts(google::protobuf::io::ZeroCopyInputStream &stream, uint64_t bytes, OnnxTensors::ReadFile read_file,
                 const std::filesystem::path &folder, std::vector<std::filesystem::path> *data_files)
{
    if (bytes > uint64_t(INT_MAX))
        throw Error("the model has more than 2 GiB; save its weights as external data");
    auto parts = split_onnx(stream, bytes);
    onnx::ModelProto model;
    if (!parts || !model.ParseFromString(parts->description))
        throw Error("this is not an ONNX model, or it is truncated or damaged; export it again");
    parts->description = {};
    OnnxReader reader(model, {std::move(parts->elements), std::move(read_file), folder});
    Graph graph = reader.read();
    if (data_files)
        *data_files = reader.data_files();
    return graph;
}

} // namespace

Graph read_onnx(std::span<const std::byte> bytes, const std::filesystem::path &folder,
                std::vector<std::filesystem::path> *data_files)
{
    google::protobuf::io::ArrayInputStream stream(bytes.data(),
                                                  static_cast<int>(std::min<size_t>(bytes.size(), INT_MAX)));
    const auto copy = [bytes](uint64_t offset, std::span<std::byte> to) {
        std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(offset), to.size(), to.begin());
    };
    return read_parts(stream, bytes.size(), copy, folder, data_files);
}

Graph read_onnx(const OpenFile &file, const std::filesystem::path &folder,
                std::vector<std::filesystem::path> *data_files)
{
    constexpr int block = 1 << 14;
    google::protobuf::io::FileInputStream stream(file.descriptor(), block);
    const auto read = [&](uint64_t offset, std::span<std::byte> to) { file.read(offset, to); };
    return read_parts(stream, file.bytes(), read, folder, data_files);
}

} // namespace leat
