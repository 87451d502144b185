#include "precision.h"

#include "inference/ops.h"
#include "preprocess/image_input.h"

#include <algorithm>

namespace leat::cpu {
namespace {

bool is_half(Type type)
{
    return type == Type::f16 || type == Type::bf16;
}

bool has_half(const Graph &graph)
{
    return std::any_of(graph.values.begin(), graph.values.end(), [](const Value &v) { return is_half(v.type); });
}

void widen(Graph &graph);

Attribute widened(const std::string &name, const Attribute &attribute)
{
    if (const auto *tensor = std::get_if<Tensor>(&attribute); tensor && is_half(tensor->type()))
        return tensor->converted(Type::f32);
    if (const auto *body = std::get_if<std::shared_ptr<const Graph>>(&attribute)) {
        Graph copy = **body;
        widen(copy);
        return std::make_shared<const Graph>(std::move(copy));
    }
    if (const auto *type = std::get_if<int64_t>(&attribute);
        type && name == "type" && is_half(static_cast<Type>(*type)))
        return static_cast<int64_t>(Type::f32); // ImageToTensor
    const bool names_type = name == "to" || name == "dtype" || name == "output_dtype";
    if (const auto *text = std::get_if<std::string>(&attribute); text && names_type)
        if (const auto type = type_from(*text); type && is_half(*type))
            return std::string("f32");
    return attribute;
}

/// Every half-precision value and attribute as f32.
void widen(Graph &graph)
{
    for (Value &value : graph.values) {
        if (is_half(value.type))
            value.type = Type::f32;
        if (is_half(value.constant.type()))
            value.constant = value.constant.converted(Type::f32);
    }
    for (Node &node : graph.nodes) {
        const Attributes before = node.attributes;
        for (const auto &[name, attribute] : before.all())
            node.attributes.set(name, widened(name, attribute));
        if (node.op->name == "ImageToTensor" && is_half(image_spec_of(node).type))
            node.attributes.set("type", int64_t(Type::f32));
    }
}

Node make_node(const char *name, const Node &of, std::vector<ValueId> inputs, ValueId output)
{
    Node node;
    node.op = &op(name);
    node.name = of.name;
    node.inputs = std::move(inputs);
    node.outputs = {output};
    return node;
}

ValueId add_value(Graph &graph, const std::string &name, Type type, std::optional<Shape> shape = {})
{
    Value value;
    value.name = name;
    value.type = type;
    value.shape = std::move(shape);
    return graph.add_value(std::move(value));
}

Node make_cast(const std::string &name, ValueId from, ValueId to, Type type)
{
    Node node;
    node.op = &op("Cast");
    node.name = name;
    node.inputs = {from};
    node.outputs = {to};
    node.attributes.set("to", std::string(to_string(type)));
    return node;
}

/// Half precision inside becomes f32; what the ports promise stays.
void widen_between_ports(Graph &graph)
{
    std::vector<Type> inputs, outputs;
    for (ValueId id : graph.inputs)
        inputs.push_back(graph.values[id].type);
    for (ValueId id : graph.outputs)
        outputs.push_back(graph.values[id].type);
    widen(graph);
    std::vector<Node> nodes;
    for (size_t i = 0; i < inputs.size(); i++) {
        if (!is_half(inputs[i]))
            continue;
        const ValueId port = graph.inputs[i];
        const ValueId wide = add_value(graph, graph.values[port].name, Type::f32, graph.values[port].shape);
        graph.replace_uses(port, wide);
        graph.values[port].type = inputs[i];
        nodes.push_back(make_cast(graph.values[port].name, port, wide, Type::f32));
    }
    std::move(graph.nodes.begin(), graph.nodes.end(), std::back_inserter(nodes));
    for (size_t i = 0; i < outputs.size(); i++) {
        if (!is_half(outputs[i]))
            continue;
        const ValueId wide = graph.outputs[i];
        graph.outputs[i] = add_value(graph, graph.values[wide].name, outputs[i], graph.values[wide].shape);
        nodes.push_back(make_cast(graph.values[wide].name, wide, graph.outputs[i], outputs[i]));
    }
    graph.nodes = std::move(nodes);
}

/// Puts the nodes that do the work of one node on integers in f32, between DequantizeLinear and QuantizeLinear, in its
/// place: the form in which compute_in_integers() looks for it.
class Dequantiser {
  public:
    explicit Dequantiser(Graph &graph) : graph_(graph) {}

    /// Number of nodes replaced.
    int run()
    {
        std::vector<Node> before = std::move(graph_.nodes);
        graph_.nodes.clear();
        int replaced = 0;
        for (Node &node : before) {
            const std::string_view name = node.op->name;
            const bool done = name == "QLinearConv"     ? quantised_convolution(node)
                              : name == "QLinearMatMul" ? quantised_product(node)
                                                        : false;
            replaced += done;
            if (!done)
                graph_.nodes.push_back(std::move(node));
        }
        return replaced;
    }

  private:
    Graph &graph_;

    ValueId input(const Node &node, size_t index) const
    {
        return index < node.inputs.size() ? node.inputs[index] : no_value;
    }

    bool constant(const Node &node, std::initializer_list<size_t> inputs) const
    {
        return std::all_of(inputs.begin(), inputs.end(),
                           [&](size_t i) { return input(node, i) == no_value || graph_.is_constant(input(node, i)); });
    }

    ValueId dequantised(const Node &node, ValueId x, ValueId scale, ValueId zero_point, int64_t axis)
    {
        const ValueId out = add_value(graph_, graph_.values[x].name, Type::f32, graph_.values[x].shape);
        Node dequantise = make_node("DequantizeLinear", node, {x, scale, zero_point}, out);
        dequantise.attributes.set("axis", axis);
        graph_.nodes.push_back(std::move(dequantise));
        return out;
    }

    ValueId made(const Node &node)
    {
        return add_value(graph_, graph_.values[node.outputs[0]].name, Type::f32, graph_.values[node.outputs[0]].shape);
    }

    void quantise(const Node &node, ValueId from, ValueId scale, ValueId zero_point)
    {
        graph_.nodes.push_back(make_node("QuantizeLinear", node, {from, scale, zero_point}, node.outputs[0]));
    }

    /// The s32 bias in the unit of input scale times weight scale.
    ValueId float_bias(const Node &node)
    {
        const Tensor bias = graph_.values[input(node, 8)].constant.converted(Type::f32);
        const Tensor in_scale = graph_.values[input(node, 1)].constant.converted(Type::f32);
        const Tensor scales = graph_.values[input(node, 4)].constant.converted(Type::f32);
        Tensor result(Type::f32, bias.shape());
        for (size_t i = 0; i < bias.count(); i++)
            result.data<float>()[i] =
                bias.data<float>()[i] * in_scale.data<float>()[0] * scales.data<float>()[scales.count() > 1 ? i : 0];
        return graph_.add_constant(graph_.values[input(node, 8)].name, result);
    }

    bool quantised_convolution(const Node &node)
    {
        if (!constant(node, {1, 2, 3, 4, 5, 6, 7, 8}))
            return false;
        const ValueId x = dequantised(node, node.inputs[0], node.inputs[1], node.inputs[2], 1);
        const ValueId weights = dequantised(node, node.inputs[3], node.inputs[4], node.inputs[5], 0);
        const ValueId bias = input(node, 8) == no_value ? no_value : float_bias(node);
        Node conv = make_node("Conv", node, {x, weights, bias}, made(node));
        conv.attributes = node.attributes;
        graph_.nodes.push_back(conv);
        quantise(node, conv.outputs[0], node.inputs[6], node.inputs[7]);
        return true;
    }

    bool quantised_product(const Node &node)
    {
        if (!constant(node, {1, 2, 4, 5, 6, 7}) || !graph_.values[node.inputs[3]].shape)
            return false;
        const auto last = static_cast<int64_t>(graph_.values[node.inputs[3]].shape->size()) - 1;
        const ValueId a = dequantised(node, node.inputs[0], node.inputs[1], node.inputs[2], 0);
        const ValueId b = dequantised(node, node.inputs[3], node.inputs[4], node.inputs[5], last);
        const Node product = make_node("MatMul", node, {a, b}, made(node));
        graph_.nodes.push_back(product);
        quantise(node, product.outputs[0], node.inputs[6], node.inputs[7]);
        return true;
    }
};

} // namespace

Setting choose_precision(const Options &options, bool has_bf16)
{
    auto chosen = [](const char *value, const std::string &reason) {
        return Setting{"inference_precision", value, reason};
    };
    const bool accurate = options.execution_mode == ExecutionMode::accuracy;
    switch (options.inference_precision) {
    case InferencePrecision::f32: return chosen("f32", "set by inference_precision");
    case InferencePrecision::f16:
        return chosen("f32", "inference_precision asks for f16, in which this device does not compute");
    case InferencePrecision::bf16:
        if (has_bf16)
            return chosen("bf16", "set by inference_precision");
        return chosen("f32", "inference_precision asks for bf16, which this processor does not multiply (AVX512-BF16, "
                             "AMX): it would be slower");
    case InferencePrecision::automatic: break;
    }
    if (accurate)
        return chosen("f32", "execution_mode accuracy: no fewer bits than the model has");
    if (!has_bf16)
        return chosen("f32", "this processor does not multiply bf16 (AVX512-BF16, AMX)");
    return chosen("bf16", "execution_mode performance, and this processor multiplies bf16 twice as fast as f32");
}

std::vector<std::string> compute_in_f32(Graph &graph)
{
    std::vector<std::string> changes;
    if (has_half(graph)) {
        widen_between_ports(graph);
        changes.push_back("what the model has in f16 and bf16 is widened first");
    }
    if (Dequantiser(graph).run() > 0 || !changes.empty()) {
        infer_shapes(graph);
        graph.tidy();
        graph.verify();
    }
    return changes;
}

} // namespace leat::cpu
