#include "heads.h"

#include "inference/ops.h"

#include <algorithm>

namespace leat {

namespace {

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names)
{
    return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_integer_product(std::string_view op)
{
    return is_one_of(op, {"ConvInteger", "MatMulInteger"});
}

bool is_product(std::string_view op)
{
    return is_integer_product(op) || is_one_of(op, {"Conv", "ConvTranspose", "Gemm", "MatMul", "QLinearConv",
                                                    "QLinearMatMul", "LSTM", "GRU", "RNN", "DeformConv"});
}

/// Ops whose further inputs say only how the first is moved.
bool reads_first_input_only(std::string_view op)
{
    return is_one_of(op, {"Reshape", "Transpose", "Slice", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Tile", "Pad",
                          "Gather", "GatherElements", "GatherND", "Resize", "Split", "TopK", "Cast", "Clip",
                          "QuantizeLinear", "DequantizeLinear"});
}

/// Walks from values of a graph to the nodes around them.
class GraphWalk {
  public:
    explicit GraphWalk(const Graph &graph) : graph_(graph), producers_(graph.producers()), consumers_(graph.consumers())
    {
    }

    /// Backwards from an output to the last convolutions, exclusive.
    std::vector<std::string> head(ValueId output) const
    {
        return walk(
            output,
            [&](ValueId value, auto &&visit) {
                const int maker = producers_[value];
                if (maker < 0 || ends_head(maker) || op_of(maker) == "Shape")
                    return;
                visit(maker);
            },
            [&](int node, auto &&go) {
                const auto &inputs = graph_.nodes[size_t(node)].inputs;
                const size_t count =
                    reads_first_input_only(op_of(node)) ? std::min<size_t>(1, inputs.size()) : inputs.size();
                for (size_t i = 0; i < count; i++)
                    if (inputs[i] != no_value)
                        go(inputs[i]);
            });
    }

    /// Forwards from an input to the first convolutions, exclusive.
    std::vector<std::string> stem(ValueId input) const
    {
        return walk(
            input,
            [&](ValueId value, auto &&visit) {
                for (int reader : consumers_[value])
                    if (!is_product(op_of(reader)) && op_of(reader) != "Shape")
                        visit(reader);
            },
            [&](int node, auto &&go) {
                for (ValueId output : graph_.nodes[size_t(node)].outputs)
                    if (output != no_value)
                        go(output);
            });
    }

  private:
    std::string_view op_of(int node) const { return graph_.nodes[size_t(node)].op->name; }

    bool ends_head(int node) const { return is_product(op_of(node)) || finishes_integer_product(node, 3); }

    /// The Cast, Mul (scale) and Add (bias) that turn the integers of a dynamically quantised convolution into numbers.
    bool finishes_integer_product(int node, int depth) const
    {
        if (is_integer_product(op_of(node)))
            return true;
        if (depth == 0 || !is_one_of(op_of(node), {"Cast", "Mul", "Add"}))
            return false;
        const auto &inputs = graph_.nodes[size_t(node)].inputs;
        return std::any_of(inputs.begin(), inputs.end(), [&](ValueId input) {
            return input != no_value && producers_[input] >= 0 &&
                   finishes_integer_product(producers_[input], depth - 1);
        });
    }

    /// Breadth first: the names of the nodes met, each name once, in the order met.
    template <class Nodes, class Values>
    std::vector<std::string> walk(ValueId from, Nodes &&nodes, Values &&values) const
    {
        std::vector<std::string> met;
        std::vector<bool> seen(graph_.nodes.size());
        std::vector<ValueId> queue{from};
        for (size_t i = 0; i < queue.size(); i++)
            nodes(queue[i], [&](int node) {
                if (seen[size_t(node)])
                    return;
                seen[size_t(node)] = true;
                if (!contains(met, op_of(node)))
                    met.emplace_back(op_of(node));
                values(node, [&](ValueId value) { queue.push_back(value); });
            });
        return met;
    }

    const Graph &graph_;
    const std::vector<int> producers_;
    const std::vector<std::vector<int>> consumers_;
};

Port port_of(const Value &value)
{
    return {value.name, value.type, value.shape.value_or(Shape()), false, value.limits};
}

bool has_open_size(const Port &port)
{
    return std::find(port.shape.begin() + std::min<ptrdiff_t>(1, std::ssize(port.shape)), port.shape.end(), -1) !=
           port.shape.end();
}

void set_open(int64_t &size, int64_t value)
{
    if (size == -1)
        size = value;
}

/// Shapes of the outputs when the picture's open sizes are `side` and every other open size of the inputs is 1; nothing
/// when the graph does not allow it.
std::vector<Shape> output_shapes(Graph graph, const ModelFacts &facts, int64_t side)
{
    for (size_t i = 0; i < graph.inputs.size(); i++) {
        Value &value = graph.values[graph.inputs[i]];
        const Port &port = facts.inputs[i];
        if (!value.shape)
            return {};
        if (port.image && value.shape->size() == 4) {
            const size_t height = layout_of(port) == Layout::nchw ? 2 : 1;
            set_open((*value.shape)[height], side);
            set_open((*value.shape)[height + 1], side);
        }
        for (int64_t &size : *value.shape)
            set_open(size, 1);
    }
    std::vector<Shape> shapes;
    try {
        infer_shapes(graph);
    } catch (const Error &) {
        return {};
    }
    for (ValueId id : graph.outputs)
        shapes.push_back(graph.values[id].shape.value_or(Shape()));
    return shapes;
}

/// Sizes that shape inference leaves open only because the picture's size is open: they are the same for two sizes.
void settle_open_outputs(ModelFacts &facts, const Graph &graph)
{
    if (std::none_of(facts.outputs.begin(), facts.outputs.end(), has_open_size) || !image_port(facts))
        return;
    const auto small = output_shapes(graph, facts, 192), large = output_shapes(graph, facts, 256);
    if (small.empty() || large.empty())
        return;
    for (size_t i = 0; i < facts.outputs.size(); i++) {
        Shape &shape = facts.outputs[i].shape;
        if (small[i].size() != shape.size() || large[i].size() != shape.size())
            continue;
        for (size_t axis = 1; axis < shape.size(); axis++)
            if (shape[axis] == -1 && small[i][axis] == large[i][axis])
                shape[axis] = small[i][axis];
    }
}

} // namespace

ModelFacts facts_of(const Graph &graph)
{
    ModelFacts facts{.name = graph.name, .metadata = graph.metadata};
    for (ValueId id : graph.inputs)
        facts.inputs.push_back(port_of(graph.values[id]));
    for (ValueId id : graph.outputs)
        facts.outputs.push_back(port_of(graph.values[id]));
    for (const Node &node : graph.nodes)
        facts.ops.emplace_back(node.op->name);
    const GraphWalk walk(graph);
    for (ValueId id : graph.outputs)
        facts.head_ops.push_back(walk.head(id));
    if (const Port *port = image_port(facts)) {
        const size_t index = size_t(port - facts.inputs.data());
        facts.inputs[index].image = true;
        facts.stem_ops = walk.stem(graph.inputs[index]);
    }
    settle_open_outputs(facts, graph);
    return facts;
}

} // namespace leat
