#include "inference/passes.h"
#include "rewriter.h"

#include <algorithm>

namespace leat {
namespace {

bool plain(const Rewriter &graph, int index, std::string_view name)
{
    return graph.is(index, name) && graph.node(index).post_ops.empty();
}

/// What the node reduces to its mean over the last axis, which stays; no_value when it does something else.
ValueId averaged(const Rewriter &graph, int index)
{
    if (!plain(graph, index, "ReduceMean"))
        return no_value;
    const Node &node = graph.node(index);
    const Tensor *axes = node.inputs.size() > 1 ? graph.constant(node.inputs[1]) : nullptr;
    const auto &shape = graph.value(node.inputs[0]).shape;
    if (!axes || axes->count() != 1 || !shape || node.attributes.integer("keepdims", 1) == 0)
        return no_value;
    const int64_t axis = axes->to_int64()[0], rank = static_cast<int64_t>(shape->size());
    return axis == -1 || axis == rank - 1 ? node.inputs[0] : no_value;
}

/// What the node squares.
ValueId squared(const Rewriter &graph, int index)
{
    const bool power = plain(graph, index, "Pow") && graph.scalar(graph.node(index).inputs[1]) == 2.f;
    const bool product = plain(graph, index, "Mul") && graph.node(index).inputs[0] == graph.node(index).inputs[1];
    return power || product ? graph.node(index).inputs[0] : no_value;
}

/// x - mean(x): x where the node is that.
ValueId centred(const Rewriter &graph, int index)
{
    if (!plain(graph, index, "Sub"))
        return no_value;
    const Node &node = graph.node(index);
    return averaged(graph, graph.maker(node.inputs[1])) == node.inputs[0] ? node.inputs[0] : no_value;
}

/// epsilon where `id` is sqrt(mean(d^2) + epsilon).
std::optional<float> deviation_of(const Rewriter &graph, ValueId id, ValueId d)
{
    const int root = graph.maker(id);
    const int sum = plain(graph, root, "Sqrt") ? graph.maker(graph.node(root).inputs[0]) : -1;
    if (!plain(graph, sum, "Add"))
        return {};
    for (size_t side : {size_t(0), size_t(1)}) {
        const auto epsilon = graph.scalar(graph.node(sum).inputs[1 - side]);
        const ValueId squares = averaged(graph, graph.maker(graph.node(sum).inputs[side]));
        if (epsilon && squares != no_value && squared(graph, graph.maker(squares)) == d)
            return epsilon;
    }
    return {};
}

/// The operand of `index` beside `in` when it is a constant row as long as the last axis.
ValueId row_beside(const Rewriter &graph, int index, ValueId in)
{
    const Node &node = graph.node(index);
    const ValueId row = node.inputs[node.inputs[0] == in ? 1 : 0];
    const Tensor *constant = graph.constant(row);
    const auto &shape = graph.value(in).shape;
    return constant && shape && constant->shape() == Shape{shape->back()} ? row : no_value;
}

/// d / sqrt(mean(d^2) + epsilon) * scale + offset with d = x - mean(x); `index` is the quotient.
bool layer_normalization(Rewriter &graph, int index)
{
    const Node &quotient = graph.node(index);
    const ValueId d = quotient.inputs[0], x = centred(graph, graph.maker(d));
    const auto epsilon = deviation_of(graph, quotient.inputs[1], d);
    if (x == no_value || !epsilon || graph.value(x).type != Type::f32)
        return false;
    const int product = graph.only_reader(quotient.outputs[0]);
    const int sum = plain(graph, product, "Mul") ? graph.only_reader(graph.node(product).outputs[0]) : -1;
    if (!graph.is(sum, "Add"))
        return false;
    const ValueId scale = row_beside(graph, product, quotient.outputs[0]);
    const ValueId offset = row_beside(graph, sum, graph.node(product).outputs[0]);
    if (scale == no_value || offset == no_value)
        return false;
    graph.change(sum, [&](Node &node) {
        node.op = &op("LayerNormalization");
        node.inputs = {x, scale, offset};
        node.attributes = Attributes();
        node.attributes.set("axis", int64_t(-1));
        node.attributes.set("epsilon", *epsilon);
    });
    return true;
}

} // namespace

int recognise_layer_normalization(Graph &graph)
{
    Rewriter rewriter(graph);
    int changes = 0;
    for (int i = 0; i < rewriter.nodes(); i++)
        changes += plain(rewriter, i, "Div") && layer_normalization(rewriter, i);
    return changes;
}

} // namespace leat
