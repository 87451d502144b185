#include "openvino_operators.h"
#include "read.h"

#include <pugixml.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>
#include <numeric>
#include <queue>
#include <set>
#include <tuple>

namespace leat {
namespace {

constexpr int max_depth = 32; ///< of bodies in each other
constexpr size_t max_name = 1024; ///< bytes; each output and each node that a layer becomes has a copy
constexpr size_t max_ports = 16384;
constexpr size_t max_metadata_name = 256; ///< bytes; each element has those of all that it lies in
/// Converted and unaligned constants together have at most so many times the bytes of the weights. Those that share a
/// range share the copy, and a range doubles at most, so that only ranges that overlap come to more.
constexpr uint64_t max_copies = 4;

std::string in_quotes(const std::string &name)
{
    return '"' + name + '"';
}

/// The whole attribute as an integer; throws Error that names it.
int64_t integer_of(const pugi::xml_node &node, const char *attribute)
{
    if (!node.attribute(attribute))
        throw Error(std::string("<") + node.name() + "> lacks the attribute " + attribute);
    const std::string text = node.attribute(attribute).value();
    int64_t value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec != std::errc() || result.ptr != text.data() + text.size())
        throw Error(std::string("<") + node.name() + "> has the attribute " + attribute + "=" +
                    in_quotes(text.substr(0, 100)) + ", want an integer");
    return value;
}

int64_t integer_of(const pugi::xml_node &node, const char *attribute, int64_t otherwise)
{
    return node.attribute(attribute) ? integer_of(node, attribute) : otherwise;
}

/// "1,3,?,-1,1..8": sizes that are not one number are open.
Shape shape_in(std::string text)
{
    std::erase_if(text, [](char c) { return c == '[' || c == ']' || c == ' ' || c == '\t' || c == '\n'; });
    Shape shape;
    for (size_t at = 0; !text.empty() && at <= text.size();) {
        const size_t end = std::min(text.find(',', at), text.size());
        int64_t size = -1;
        const auto result = std::from_chars(text.data() + at, text.data() + end, size);
        const bool whole = result.ec == std::errc() && result.ptr == text.data() + end;
        if (whole && size < -1)
            throw Error("the shape " + in_quotes(text.substr(0, 100)) + " has a negative size");
        shape.push_back(whole ? size : -1);
        at = end + 1;
    }
    if (shape.size() > max_rank)
        throw Error("it has " + std::to_string(shape.size()) + " dimensions; at most " + std::to_string(max_rank) +
                    " are supported");
    return shape;
}

/// The first of several tensor names, which are separated by commas; "\," belongs to a name.
std::string first_name(const std::string &names)
{
    std::string name;
    for (size_t i = 0; i < names.size() && names[i] != ','; i++) {
        if (names[i] == '\\' && i + 1 < names.size())
            i++;
        name += names[i];
    }
    return name;
}

using Port = std::pair<int64_t, int64_t>; ///< layer, port

/// A layer as the file has it.
struct StoredLayer {
    pugi::xml_node node;
    int64_t id = 0;
    std::string name, type;
    std::vector<int64_t> in, out; ///< numbers of the ports
};

struct Edges {
    std::map<Port, Port> sources; ///< of the ports that they lead to
    std::set<Port> read;          ///< the ports that they come from
};

/// What layers mean while a network or a body is read.
struct Scope {
    explicit Scope(Graph &target, int levels) : graph(target), depth(levels) {}
    Graph &graph;
    const int depth;
    std::unordered_map<ValueId, size_t> ranks;
    std::unordered_map<ValueId, DeclaredValue> declared;
    std::map<Port, ValueId> values;
    std::map<int64_t, ValueId> parameters; ///< of a body, by layer: what they are bound to
    std::map<int64_t, ValueId> results;    ///< by layer
    std::vector<int64_t> result_order;
};

int64_t opset_of(const std::string &version)
{
    if (version == "experimental" || version == "extension")
        return 6;
    int64_t number = 0;
    constexpr std::string_view prefix = "opset";
    if (version.starts_with(prefix)) {
        const char *begin = version.data() + prefix.size(), *end = version.data() + version.size();
        const auto result = std::from_chars(begin, end, number);
        if (result.ec == std::errc() && result.ptr == end && number > 0)
            return number;
    }
    throw Error("its operator set is " + in_quotes(version.substr(0, 100)) + ", want opset1, opset2 …");
}

class OpenvinoReader {
  public:
    explicit OpenvinoReader(const std::function<SharedBytes()> &weights) : open_weights_(weights) {}

    Graph read(const pugi::xml_node &net);

  private:
    std::vector<StoredLayer> stored_layers(const pugi::xml_node &);
    void read_layers(const pugi::xml_node &, Scope &);
    void read_layer(const StoredLayer &, const Edges &, Scope &);
    void make_outputs(const StoredLayer &, OpenvinoLayer &, Scope &);
    void add_parameter(const StoredLayer &, Scope &);
    Tensor read_constant(const StoredLayer &);
    Tensor copy_of(const Tensor &stored);
    std::span<const std::byte> weights(uint64_t offset, uint64_t size);
    void add_control(const StoredLayer &, OpenvinoLayer &, Scope &);
    void add_if(const StoredLayer &, OpenvinoLayer &, Scope &);
    void add_loop(const StoredLayer &, OpenvinoLayer &, Scope &);
    void add_metadata(const pugi::xml_node &, const std::string &path, int depth, Graph &);

    /// In version 10 f16 is how numbers are stored; they are computed as f32, as version 11 says with its Converts.
    Type computed(Type stored) const { return version_ == 10 && stored == Type::f16 ? Type::f32 : stored; }
    Type declared_type(const pugi::xml_node &port) const;

    const std::function<SharedBytes()> &open_weights_;
    std::optional<SharedBytes> weights_;
    std::map<std::tuple<const std::byte *, size_t, Type>, Tensor> copies_; ///< by what they are copies of
    uint64_t copied_ = 0;                                                  ///< bytes
    int64_t version_ = 0;
};

std::vector<StoredLayer> OpenvinoReader::stored_layers(const pugi::xml_node &net)
{
    std::vector<StoredLayer> layers;
    std::set<int64_t> ids;
    for (const pugi::xml_node node : net.child("layers").children("layer")) {
        StoredLayer layer{
            node, integer_of(node, "id"), node.attribute("name").value(), node.attribute("type").value(), {}, {}};
        if (layer.name.empty())
            layer.name = layer.type + "_" + std::to_string(layer.id);
        if (layer.name.size() > max_name)
            throw Error("the name of layer " + std::to_string(layer.id) + " has more than " + std::to_string(max_name) +
                        " bytes");
        if (!ids.insert(layer.id).second)
            throw Error("two layers have the id " + std::to_string(layer.id));
        in_context("layer " + in_quotes(layer.name), [&] {
            for (const pugi::xml_node port : node.child("input").children("port"))
                layer.in.push_back(integer_of(port, "id"));
            for (const pugi::xml_node port : node.child("output").children("port"))
                layer.out.push_back(integer_of(port, "id"));
            if (layer.in.size() + layer.out.size() > max_ports)
                throw Error("it has more than " + std::to_string(max_ports) + " ports");
        });
        layers.push_back(std::move(layer));
    }
    return layers;
}

Edges edges_of(const pugi::xml_node &net)
{
    Edges edges;
    for (const pugi::xml_node edge : net.child("edges").children("edge")) {
        const Port to{integer_of(edge, "to-layer"), integer_of(edge, "to-port")};
        const Port from{integer_of(edge, "from-layer"), integer_of(edge, "from-port")};
        edges.read.insert(from);
        if (!edges.sources.emplace(to, from).second)
            throw Error("two edges lead to port " + std::to_string(to.second) + " of layer " +
                        std::to_string(to.first));
    }
    return edges;
}

/// Indices of the layers so that each comes after those that it reads from; the order of the file where that is free.
std::vector<size_t> runnable_order(const std::vector<StoredLayer> &layers, const Edges &edges)
{
    std::map<int64_t, size_t> index;
    for (size_t i = 0; i < layers.size(); i++)
        index[layers[i].id] = i;
    std::vector<std::vector<size_t>> readers(layers.size());
    std::vector<int> waiting(layers.size(), 0);
    for (const auto &[to, from] : edges.sources) {
        if (!index.count(to.first) || !index.count(from.first))
            throw Error("an edge leads from layer " + std::to_string(from.first) + " to layer " +
                        std::to_string(to.first) + ", one of which does not exist");
        readers[index[from.first]].push_back(index[to.first]);
        waiting[index[to.first]]++;
    }
    std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
    for (size_t i = 0; i < layers.size(); i++)
        if (waiting[i] == 0)
            ready.push(i);
    std::vector<size_t> order;
    while (!ready.empty()) {
        order.push_back(ready.top());
        ready.pop();
        for (size_t reader : readers[order.back()])
            if (--waiting[reader] == 0)
                ready.push(reader);
    }
    for (size_t i = 0; i < layers.size(); i++)
        if (waiting[i] != 0)
            throw Error("layer " + in_quotes(layers[i].name) + " depends on its own output");
    return order;
}

void OpenvinoReader::read_layers(const pugi::xml_node &net, Scope &scope)
{
    const std::vector<StoredLayer> layers = stored_layers(net);
    const Edges edges = edges_of(net);
    for (const StoredLayer &layer : layers)
        if (layer.type == "Result")
            scope.result_order.push_back(layer.id);
    for (size_t i : runnable_order(layers, edges))
        in_context("layer " + in_quotes(layers[i].name) + " (" + layers[i].type + ")",
                   [&] { read_layer(layers[i], edges, scope); });
}

/// Outputs after the first that nobody reads, of layers that need not make all of them.
void leave_out_unread(const StoredLayer &stored, const Edges &edges, OpenvinoLayer &layer)
{
    constexpr std::string_view optional[] = {
        "MaxPool", "TopK", "LSTMSequence", "GRUSequence", "RNNSequence", "AdaptiveMaxPool", "NonMaxSuppression"};
    if (std::find(std::begin(optional), std::end(optional), stored.type) == std::end(optional))
        return;
    for (size_t i = 1; i < layer.outputs.size(); i++)
        if (!edges.read.count({stored.id, stored.out[i]}))
            layer.outputs[i] = no_value;
}

void OpenvinoReader::read_layer(const StoredLayer &stored, const Edges &edges, Scope &scope)
{
    if (stored.type == "Parameter")
        return add_parameter(stored, scope);
    OpenvinoLayer layer(scope.graph, scope.ranks, scope.declared);
    layer.name = stored.name;
    layer.type = stored.type;
    layer.opset = opset_of(stored.node.attribute("version").value());
    for (int64_t port : stored.in) {
        const auto edge = edges.sources.find({stored.id, port});
        if (edge == edges.sources.end())
            throw Error("no edge leads to its port " + std::to_string(port));
        const auto value = scope.values.find(edge->second);
        if (value == scope.values.end())
            throw Error("its port " + std::to_string(port) + " reads port " + std::to_string(edge->second.second) +
                        " of layer " + std::to_string(edge->second.first) + ", which does not exist");
        layer.inputs.push_back(value->second);
    }
    if (stored.type == "Result") {
        scope.results[stored.id] = layer.input(0);
        return;
    }
    make_outputs(stored, layer, scope);
    if (layer.outputs.empty())
        throw Error("it has no output");
    leave_out_unread(stored, edges, layer);
    for (const pugi::xml_attribute attribute : stored.node.child("data").attributes())
        layer.data[attribute.name()] = attribute.value();
    if (stored.type == "Const")
        return layer.set_constant_output(read_constant(stored));
    if (auto type = layer.data.find("destination_type");
        type != layer.data.end() && computed(type_from_openvino(type->second)) == Type::f32)
        type->second = "f32";
    if (stored.type == "If" || stored.type == "Loop" || stored.type == "TensorIterator")
        return add_control(stored, layer, scope);
    translate(layer);
}

/// Types that Leat lacks are left open here: only constants and parameters must have known ones.
Type OpenvinoReader::declared_type(const pugi::xml_node &port) const
{
    try {
        return computed(type_from_openvino(port.attribute("precision").value()));
    } catch (const Error &) {
        return Type::undefined;
    }
}

void OpenvinoReader::make_outputs(const StoredLayer &stored, OpenvinoLayer &layer, Scope &scope)
{
    size_t place = 0;
    for (const pugi::xml_node port : stored.node.child("output").children("port")) {
        Value value;
        value.name = first_name(port.attribute("names").value());
        if (value.name.empty())
            value.name = stored.name + (stored.out.size() > 1 ? "." + std::to_string(place) : "");
        const ValueId id = scope.graph.add_value(std::move(value));
        Shape shape;
        for (const pugi::xml_node dim : port.children("dim")) {
            const auto sizes = shape_in(dim.child_value());
            shape.push_back(sizes.size() == 1 ? sizes[0] : -1);
            if (shape.size() > max_rank)
                throw Error("an output has more than " + std::to_string(max_rank) + " dimensions");
        }
        scope.ranks[id] = shape.size();
        scope.declared[id] = {declared_type(port), std::move(shape)};
        scope.values[{stored.id, stored.out[place++]}] = id;
        layer.outputs.push_back(id);
    }
}

void OpenvinoReader::add_parameter(const StoredLayer &stored, Scope &scope)
{
    if (stored.out.size() != 1)
        throw Error("it has " + std::to_string(stored.out.size()) + " outputs, want 1");
    const auto bound = scope.parameters.find(stored.id);
    if (bound != scope.parameters.end()) {
        scope.values[{stored.id, stored.out[0]}] = bound->second;
        return;
    }
    if (scope.depth > 0)
        throw Error("nothing outside is bound to it");
    OpenvinoLayer layer(scope.graph, scope.ranks, scope.declared);
    make_outputs(stored, layer, scope);
    const pugi::xml_node data = stored.node.child("data");
    Value &value = scope.graph.values[layer.outputs[0]];
    value.type = computed(type_from_openvino(data.attribute("element_type").value()));
    if (const std::string shape = data.attribute("shape").value(); shape.find("...") == std::string::npos)
        value.shape = shape_in(shape);
    scope.graph.inputs.push_back(layer.outputs[0]);
    const pugi::xml_node port = stored.node.child("output").child("port");
    for (const pugi::xml_node attribute : port.child("rt_info").children("attribute"))
        if (const char *layout = attribute.attribute("layout").value(); *layout)
            scope.graph.metadata["layout." + value.name] = layout;
}

std::span<const std::byte> OpenvinoReader::weights(uint64_t offset, uint64_t size)
{
    if (!weights_)
        weights_ = open_weights_();
    const auto bytes = weights_->bytes;
    if (offset > bytes.size() || size > bytes.size() - offset)
        throw Error("its elements are " + std::to_string(size) + " bytes from byte " + std::to_string(offset) +
                    " of the weights, which have " + std::to_string(bytes.size()) +
                    "; copy the .xml and .bin files again, they belong together");
    return bytes.subspan(offset, size);
}

Tensor OpenvinoReader::read_constant(const StoredLayer &stored)
{
    const pugi::xml_node data = stored.node.child("data");
    const Type type = type_from_openvino(data.attribute("element_type").value());
    const Shape shape = shape_in(data.attribute("shape").value());
    if (!is_static(shape))
        throw Error("the shape " + to_string(shape) + " of a constant leaves sizes open");
    const int64_t offset = integer_of(data, "offset"), size = integer_of(data, "size"), count = count_of(shape);
    const auto width = static_cast<int64_t>(size_of(type));
    if (offset < 0 || size < 0 || count > INT64_MAX / width || count * width != size)
        throw Error("it says " + std::to_string(size) + " bytes from byte " + std::to_string(offset) + " for " +
                    std::string(to_string(type)) + "[" + to_string(shape) + "]");
    const auto bytes = weights(static_cast<uint64_t>(offset), static_cast<uint64_t>(size));
    const bool aligned = reinterpret_cast<uintptr_t>(bytes.data()) % static_cast<uintptr_t>(width) == 0;
    if (bytes.empty())
        return Tensor(computed(type), shape);
    const Tensor stored_elements = Tensor::view(type, shape, const_cast<std::byte *>(bytes.data()), weights_->owner);
    return aligned && computed(type) == type ? stored_elements : copy_of(stored_elements);
}

/// In an own memory, aligned and of the type that is computed with.
Tensor OpenvinoReader::copy_of(const Tensor &stored)
{
    Tensor &copy = copies_[{stored.raw(), stored.bytes(), stored.type()}];
    if (!copy) {
        const uint64_t bytes = static_cast<uint64_t>(stored.count()) * size_of(computed(stored.type()));
        if (bytes > max_copies * weights_->bytes.size() - copied_)
            throw Error("its elements overlap those of others, so that copies of all would take more than " +
                        std::to_string(max_copies) + " times the size of the weights; convert the model again");
        copied_ += bytes;
        copy = Tensor(stored.type(), stored.shape());
        std::memcpy(copy.raw(), stored.raw(), stored.bytes());
        if (computed(stored.type()) != stored.type())
            copy = copy.converted(computed(stored.type()));
    }
    return copy.reshaped(stored.shape());
}

/// The place among `ports` of the port with that number.
size_t place_of(const std::vector<int64_t> &ports, int64_t port)
{
    const auto found = std::find(ports.begin(), ports.end(), port);
    if (found == ports.end())
        throw Error("its port map names the port " + std::to_string(port) + ", which it does not have");
    return static_cast<size_t>(found - ports.begin());
}

ValueId result_of(const Scope &scope, int64_t layer)
{
    const auto found = scope.results.find(layer);
    if (found == scope.results.end())
        throw Error("its port map names the result " + std::to_string(layer) + ", which its body does not have");
    return found->second;
}

void OpenvinoReader::add_control(const StoredLayer &stored, OpenvinoLayer &layer, Scope &scope)
{
    if (scope.depth >= max_depth)
        throw Error("bodies lie in each other more than " + std::to_string(max_depth) + " deep");
    if (stored.type == "If")
        add_if(stored, layer, scope);
    else
        add_loop(stored, layer, scope);
}

/// Every input after the condition is a captured value of both branches.
void OpenvinoReader::add_if(const StoredLayer &stored, OpenvinoLayer &layer, Scope &scope)
{
    Attributes attributes;
    struct Branch {
        const char *body, *map, *attribute;
    };
    for (const Branch &branch : {Branch{"then_body", "then_port_map", "then_branch"},
                                 Branch{"else_body", "else_port_map", "else_branch"}})
        in_context(branch.body, [&] {
            auto graph = std::make_shared<Graph>();
            Scope inside(*graph, scope.depth + 1);
            for (size_t i = 1; i < layer.inputs.size(); i++)
                graph->inputs.push_back(graph->add_value(scope.graph.values[layer.inputs[i]]));
            const pugi::xml_node map = stored.node.child(branch.map);
            for (const pugi::xml_node input : map.children("input")) {
                const size_t place = place_of(stored.in, integer_of(input, "external_port_id"));
                if (place == 0)
                    throw Error("its port map binds the condition");
                inside.parameters[integer_of(input, "internal_layer_id")] = graph->inputs[place - 1];
            }
            for (ValueId &input : graph->inputs)
                graph->values[input].constant = {};
            read_layers(stored.node.child(branch.body), inside);
            graph->outputs.assign(layer.outputs.size(), no_value);
            for (const pugi::xml_node output : map.children("output"))
                graph->outputs[place_of(stored.out, integer_of(output, "external_port_id"))] =
                    result_of(inside, integer_of(output, "internal_layer_id"));
            if (std::count(graph->outputs.begin(), graph->outputs.end(), no_value) != 0)
                throw Error("it does not give every output");
            graph->tidy();
            graph->verify();
            attributes.set(branch.attribute, std::shared_ptr<const Graph>(std::move(graph)));
        });
    layer.add("If", layer.inputs, layer.outputs, std::move(attributes));
}

/// One entry of a port map that cuts a tensor into parts, or joins parts, along an axis.
struct Parts {
    int64_t axis = 0;
    bool backwards = false;
};

std::optional<Parts> parts_of(const pugi::xml_node &entry)
{
    const int64_t axis = integer_of(entry, "axis", -1);
    if (!entry.attribute("axis") || axis < 0)
        return std::nullopt;
    const int64_t stride = integer_of(entry, "stride", 1), size = integer_of(entry, "part_size", 1);
    if (size != 1 || (stride != 1 && stride != -1))
        throw Error("its port map cuts parts of " + std::to_string(size) + " with a stride of " +
                    std::to_string(stride) + "; only parts of 1 are supported");
    const int64_t start = integer_of(entry, "start", stride > 0 ? 0 : -1),
                  end = integer_of(entry, "end", stride > 0 ? -1 : 0);
    if (start != (stride > 0 ? 0 : -1) || end != (stride > 0 ? -1 : 0))
        throw Error("its port map cuts only from " + std::to_string(start) + " to " + std::to_string(end) +
                    " of an axis; only whole axes are supported");
    return Parts{axis, stride < 0};
}

/// The parts that a loop collected along a new axis 0, joined along theirs.
void join(OpenvinoLayer &layer, ValueId stack, ValueId wanted, const Parts &parts, size_t rank)
{
    const auto axis = static_cast<size_t>(parts.axis);
    if (axis >= rank)
        throw Error("its port map names the axis " + std::to_string(axis) + " of an output of rank " +
                    std::to_string(rank));
    ValueId bare = layer.add("Squeeze", {stack, layer.add_integers({parts.axis + 1})});
    if (parts.backwards)
        bare = layer.add("Slice", {bare, layer.add_integers({-1}), layer.add_integers({-INT64_MAX}),
                                   layer.add_integers({0}), layer.add_integers({-1})});
    std::vector<int64_t> order(rank);
    std::iota(order.begin(), order.end(), 0);
    std::rotate(order.begin(), order.begin() + 1, order.begin() + static_cast<long>(axis) + 1);
    layer.add("Transpose", {bare}, {wanted}, with(std::pair<const char *, Attribute>("perm", order)));
}

/// Loop and TensorIterator. Parameters with a back edge are carried; all others read what is outside, whole or in
/// parts.
void OpenvinoReader::add_loop(const StoredLayer &stored, OpenvinoLayer &layer, Scope &scope)
{
    const pugi::xml_node map = stored.node.child("port_map");
    auto body = std::make_shared<Graph>();
    Scope inside(*body, scope.depth + 1);
    OpenvinoLayer inner(*body, inside.ranks, inside.declared);
    inner.name = layer.name;
    auto add_input = [&](const char *name, Type type, std::optional<Shape> shape) {
        Value value;
        value.name = layer.name + "/" + name;
        value.type = type;
        value.shape = std::move(shape);
        body->inputs.push_back(body->add_value(std::move(value)));
        return body->inputs.back();
    };
    const ValueId iteration = add_input("iteration", Type::s64, Shape());
    const ValueId condition = add_input("condition", Type::boolean, Shape());

    std::map<int64_t, int64_t> back; // parameter, result
    for (const pugi::xml_node edge : stored.node.child("back_edges").children("edge"))
        back[integer_of(edge, "to-layer")] = integer_of(edge, "from-layer");
    const bool counted = stored.type == "Loop";
    ValueId trips = counted ? layer.add("Reshape", {layer.input(0), layer.add_integers({})}) : no_value;
    if (counted)
        trips = layer.add("Cast", {trips}, with(text("to", "s64")));

    std::vector<ValueId> carried, captured;
    std::vector<std::function<void()>> joins; // of what the loop collects, once it stands
    std::vector<int64_t> carried_results;
    for (const pugi::xml_node input : map.children("input"))
        if (const int64_t parameter = integer_of(input, "internal_layer_id"); back.count(parameter)) {
            const ValueId outside = layer.input(place_of(stored.in, integer_of(input, "external_port_id")));
            inside.parameters[parameter] = add_input("carried", Type::undefined, std::nullopt);
            carried.push_back(outside);
            carried_results.push_back(back[parameter]);
        }
    for (const pugi::xml_node input : map.children("input")) {
        const int64_t parameter = integer_of(input, "internal_layer_id");
        if (back.count(parameter))
            continue;
        if (std::string_view(input.attribute("purpose").value()) == "current_iteration" ||
            integer_of(input, "external_port_id") < 0) {
            inside.parameters[parameter] = inner.add("Reshape", {iteration, inner.add_integers({1})});
            continue;
        }
        const ValueId outside = layer.input(place_of(stored.in, integer_of(input, "external_port_id")));
        const ValueId whole = add_input("captured", Type::undefined, std::nullopt);
        captured.push_back(outside);
        inside.parameters[parameter] = whole;
        const auto parts = parts_of(input);
        if (!parts)
            continue;
        const ValueId sizes = layer.add("Shape", {outside});
        const ValueId count = layer.add("Gather", {sizes, layer.add_integer(parts->axis)}, with(integer("axis", 0)));
        if (trips == no_value)
            trips = count;
        ValueId index = inner.add("Reshape", {iteration, inner.add_integers({1})});
        if (parts->backwards) // -1 - i counts from the end
            index = inner.add("Sub", {inner.add_integers({-1}), index});
        inside.parameters[parameter] = inner.add("Gather", {whole, index}, with(integer("axis", parts->axis)));
    }
    if (trips == no_value)
        throw Error("none of its inputs says how often it runs");
    in_context("body", [&] { read_layers(stored.node.child("body"), inside); });

    ValueId going_on = condition;
    std::vector<ValueId> outputs(carried.size(), no_value), collected, stacked;
    for (const pugi::xml_node output : map.children("output")) {
        const int64_t result = integer_of(output, "internal_layer_id");
        const ValueId given = result_of(inside, result);
        if (std::string_view(output.attribute("purpose").value()) == "execution_condition" ||
            integer_of(output, "external_port_id") < 0) {
            going_on = inner.add("Reshape", {given, inner.add_integers({})});
            continue;
        }
        const ValueId wanted = layer.outputs[place_of(stored.out, integer_of(output, "external_port_id"))];
        const auto parts = parts_of(output);
        const auto slot = std::find(carried_results.begin(), carried_results.end(), result) - carried_results.begin();
        if (const auto at = static_cast<size_t>(slot);
            !parts && at < carried_results.size() && outputs[at] == no_value) {
            outputs[at] = wanted;
            continue;
        }
        Value value;
        value.name = layer.name + "/stacked";
        const ValueId stack = layer.graph.add_value(std::move(value));
        collected.push_back(given);
        stacked.push_back(stack);
        joins.push_back([&layer, &scope, stack, wanted, parts] {
            if (parts)
                join(layer, stack, wanted, *parts, scope.ranks.at(wanted));
            else // what the last run gave
                layer.add("Gather", {stack, layer.add_integer(-1)}, {wanted}, with(integer("axis", 0)));
        });
    }
    body->outputs = {going_on};
    for (int64_t result : carried_results)
        body->outputs.push_back(result_of(inside, result));
    body->outputs.insert(body->outputs.end(), collected.begin(), collected.end());
    body->tidy();
    body->verify();

    std::vector<ValueId> inputs{
        trips, counted && layer.has(1) ? layer.add("Reshape", {layer.input(1), layer.add_integers({})}) : no_value};
    inputs.insert(inputs.end(), carried.begin(), carried.end());
    inputs.insert(inputs.end(), captured.begin(), captured.end());
    outputs.insert(outputs.end(), stacked.begin(), stacked.end());
    Attributes attributes = with(integer("carried", std::ssize(carried)));
    attributes.set("body", std::shared_ptr<const Graph>(std::move(body)));
    layer.add("Loop", std::move(inputs), std::move(outputs), std::move(attributes));
    for (const auto &each : joins)
        each();
}

/// What has a longer name, or lies deeper, is left out.
void OpenvinoReader::add_metadata(const pugi::xml_node &node, const std::string &path, int depth, Graph &graph)
{
    if (depth > max_depth || path.size() > max_metadata_name)
        return;
    for (const pugi::xml_node child : node.children()) {
        const std::string name = path + child.name();
        if (child.attribute("value"))
            graph.metadata[name] = child.attribute("value").value();
        add_metadata(child, name + ".", depth + 1, graph);
    }
}

Graph OpenvinoReader::read(const pugi::xml_node &net)
{
    version_ = integer_of(net, "version");
    if (version_ < 10 || version_ > 11)
        throw Error("this is an OpenVINO IR of version " + std::to_string(version_) +
                    "; versions 10 and 11 can be read: convert the model again");
    Graph graph;
    graph.name = net.attribute("name").value();
    Scope scope(graph, 0);
    read_layers(net, scope);
    for (int64_t result : scope.result_order)
        graph.outputs.push_back(scope.results.at(result));
    if (graph.outputs.empty())
        throw Error("the model has no Result");
    graph.metadata["openvino.ir_version"] = std::to_string(version_);
    add_metadata(net.child("meta_data").child("cli_parameters"), "conversion_parameters.", 0, graph); // of version 10
    add_metadata(net.child("rt_info"), "", 0, graph);
    if (const auto given = graph.metadata.find("conversion_parameters.model_name");
        given != graph.metadata.end() && !given->second.empty())
        graph.name = given->second; // the net's own name is that of the training code
    graph.tidy();
    graph.verify();
    return graph;
}

} // namespace

Graph read_openvino(std::span<const std::byte> bytes, const std::function<SharedBytes()> &weights)
{
    pugi::xml_document document;
    const auto parsed = document.load_buffer(bytes.data(), bytes.size(), pugi::parse_default, pugi::encoding_auto);
    if (!parsed)
        throw Error(std::string("this is no well-formed XML: ") + parsed.description() + " at byte " +
                    std::to_string(parsed.offset) + "; copy the file again");
    const pugi::xml_node net = document.child("net");
    if (!net)
        throw Error("this XML file is not an OpenVINO IR: it has no <net>");
    return OpenvinoReader(weights).read(net);
}

} // namespace leat
