#include "inference/passes.h"
#include "rewriter.h"

namespace leat {
namespace {

/// The one axis of a ReduceSum that keeps its rank.
std::optional<int64_t> summed_axis(const Rewriter &graph, int index)
{
    if (!graph.is(index, "ReduceSum"))
        return {};
    const Node &node = graph.node(index);
    const Tensor *axes = node.inputs.size() > 1 ? graph.constant(node.inputs[1]) : nullptr;
    if (!node.post_ops.empty() || node.attributes.integer("keepdims", 1) == 0 || !axes || axes->count() != 1)
        return {};
    return axes->to_int64()[0];
}

/// exp(x) / sum(exp(x))
bool softmax(Rewriter &graph, int index)
{
    const Node &quotient = graph.node(index);
    const int exponential = graph.maker(quotient.inputs[0]), sum = graph.maker(quotient.inputs[1]);
    const auto axis = summed_axis(graph, sum);
    if (!axis || !graph.is(exponential, "Exp") || !graph.node(exponential).post_ops.empty() ||
        graph.node(sum).inputs[0] != quotient.inputs[0] || graph.only_reader(quotient.inputs[1]) != index)
        return false;
    const ValueId x = graph.node(exponential).inputs[0];
    graph.change(index, [&](Node &node) {
        node.op = &op("Softmax");
        node.inputs = {x};
        node.attributes = Attributes();
        node.attributes.set("axis", *axis);
    });
    return true;
}

} // namespace

int recognise_softmax(Graph &graph)
{
    Rewriter rewriter(graph);
    int changes = 0;
    for (int i = 0; i < rewriter.nodes(); i++)
        changes += rewriter.is(i, "Div") && softmax(rewriter, i);
    return changes;
}

} // namespace leat
