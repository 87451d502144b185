#include "inference/passes.h"
#include "rewriter.h"

#include <algorithm>
#include <array>

namespace leat {
namespace {

using Permutation = std::vector<int64_t>;

std::optional<Permutation> permutation_of(const Rewriter &graph, int index)
{
    if (!graph.is(index, "Transpose") || !graph.node(index).post_ops.empty())
        return {};
    Permutation perm = graph.node(index).attributes.integers("perm");
    const auto &shape = graph.value(graph.node(index).inputs[0]).shape;
    if (perm.empty() && shape)
        for (size_t i = shape->size(); i-- > 0;)
            perm.push_back(static_cast<int64_t>(i));
    return perm.empty() ? std::nullopt : std::optional(perm);
}

/// Transpose after transpose becomes one.
bool merge(Rewriter &graph, int index, const Permutation &perm)
{
    const int before = graph.maker(graph.node(index).inputs[0]);
    const auto first = permutation_of(graph, before);
    if (!first || first->size() != perm.size())
        return false;
    Permutation both;
    for (int64_t axis : perm)
        both.push_back((*first)[static_cast<size_t>(axis)]);
    const ValueId source = graph.node(before).inputs[0];
    graph.change(index, [&](Node &node) {
        node.inputs[0] = source;
        node.attributes.set("perm", both);
    });
    return true;
}

/// A transpose that keeps the order of all axes longer than 1 is a reshape, which moves no element.
bool to_reshape(Rewriter &graph, int index, const Permutation &perm)
{
    const auto shape = graph.value(graph.node(index).inputs[0]).shape;
    if (!shape || !is_static(*shape))
        return false;
    Shape result;
    int64_t last = -1;
    for (int64_t axis : perm) {
        result.push_back((*shape)[static_cast<size_t>(axis)]);
        if (result.back() == 1)
            continue;
        if (axis < last)
            return false;
        last = axis;
    }
    Tensor sizes(Type::s64, {static_cast<int64_t>(result.size())});
    std::copy(result.begin(), result.end(), sizes.data<int64_t>());
    const ValueId constant = graph.graph().add_constant(graph.node(index).name + "/shape", std::move(sizes));
    graph.change(index, [&](Node &node) {
        node.op = &op("Reshape");
        node.attributes = {};
        node.attributes.set("allowzero", int64_t(1));
        node.inputs.push_back(constant);
    });
    return true;
}

bool is_unary_elementwise(const Rewriter &graph, int index)
{
    static constexpr std::array names{"Abs",         "Ceil",      "Clip",      "Elu",  "Erf",   "Exp", "Floor", "Gelu",
                                      "HardSigmoid", "HardSwish", "LeakyRelu", "Log",  "Mish",  "Neg", "Relu",  "Round",
                                      "Sigmoid",     "Softplus",  "Softsign",  "Sqrt", "Swish", "Tanh"};
    return std::any_of(names.begin(), names.end(), [&](const char *name) { return graph.is(index, name); }) &&
           graph.node(index).post_ops.empty();
}

/// transpose, f, transpose back  ->  f: the transpose sinks below f, where merge() finds the other one.
bool sink(Rewriter &graph, int index)
{
    const Node &transpose = graph.node(index);
    const int next = graph.only_reader(transpose.outputs[0]);
    if (!is_unary_elementwise(graph, next) || graph.node(next).inputs[0] != transpose.outputs[0])
        return false;
    if (!permutation_of(graph, graph.only_reader(graph.node(next).outputs[0])))
        return false;
    const ValueId source = transpose.inputs[0], middle = transpose.outputs[0], result = graph.node(next).outputs[0];
    graph.graph().values[middle].shape = graph.value(source).shape;
    graph.change(index, [&](Node &node) { node.outputs[0] = no_value; });
    graph.change(next, [&](Node &node) {
        node.inputs[0] = source;
        node.outputs[0] = middle;
    });
    graph.change(index, [&](Node &node) {
        node.inputs[0] = middle;
        node.outputs[0] = result;
    });
    return true;
}

} // namespace

int simplify_transposes(Graph &graph)
{
    Rewriter rewriter(graph);
    int changes = 0;
    for (int n = 0; n < rewriter.nodes(); n++) {
        const auto perm = permutation_of(rewriter, n);
        if (perm && (merge(rewriter, n, *perm) || to_reshape(rewriter, n, *perm) || sink(rewriter, n)))
            changes++;
    }
    return changes;
}

} // namespace leat
