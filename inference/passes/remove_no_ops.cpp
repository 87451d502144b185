#include "inference/passes.h"
#include "rewriter.h"

#include <algorithm>
#include <numeric>

namespace leat {
namespace {

bool is_identity_permutation(const std::vector<int64_t> &perm)
{
    for (size_t i = 0; i < perm.size(); i++)
        if (perm[i] != static_cast<int64_t>(i))
            return false;
    return !perm.empty();
}

bool all_zero(const Tensor *tensor)
{
    if (!tensor)
        return false;
    const auto values = tensor->to_int64();
    return std::all_of(values.begin(), values.end(), [](int64_t v) { return v == 0; });
}

bool same_shape(const Value &a, const Value &b)
{
    return a.shape && b.shape && *a.shape == *b.shape && is_static(*a.shape);
}

/// Nodes of these ops only say another shape: with an equal shape they do nothing.
bool only_reshapes(std::string_view op)
{
    return op == "Reshape" || op == "Flatten" || op == "Squeeze" || op == "Unsqueeze" || op == "Expand" ||
           op == "Slice" || op == "Tile";
}

bool does_nothing(const Rewriter &graph, const Node &node)
{
    const std::string_view op = node.op->name;
    if (node.inputs.empty() || node.inputs[0] == no_value || node.outputs[0] == no_value || !node.post_ops.empty())
        return false;
    for (size_t i = 1; i < node.outputs.size(); i++)
        if (node.outputs[i] != no_value)
            return false;
    const Value &in = graph.value(node.inputs[0]), &out = graph.value(node.outputs[0]);
    if (op == "Identity" || (op == "Dropout" && node.inputs.size() < 3))
        return true;
    if (op == "Cast")
        return in.type == out.type && in.type != Type::undefined;
    if (op == "Transpose")
        return is_identity_permutation(node.attributes.integers("perm"));
    if (op == "Concat" || op == "Sum" || op == "Max" || op == "Min" || op == "Mean")
        return node.inputs.size() == 1;
    if (op == "Pad")
        return node.inputs.size() > 1 && all_zero(graph.constant(node.inputs[1]));
    if (op == "Slice" && node.inputs.size() > 4 && node.inputs[4] != no_value) {
        const Tensor *steps = graph.constant(node.inputs[4]);
        const auto values = steps ? steps->to_int64() : std::vector<int64_t>{-1};
        if (std::any_of(values.begin(), values.end(), [](int64_t step) { return step != 1; }))
            return false;
    }
    return only_reshapes(op) && same_shape(in, out);
}

/// a + 0, a - 0, a * 1, a / 1 with a scalar constant.
std::optional<ValueId> neutral_operand(const Rewriter &graph, const Node &node)
{
    const std::string_view op = node.op->name;
    const bool sum = op == "Add" || op == "Sub", product = op == "Mul" || op == "Div";
    if ((!sum && !product) || !node.post_ops.empty())
        return {};
    for (size_t constant : {size_t(1), size_t(0)}) {
        if (constant == 0 && (op == "Sub" || op == "Div"))
            break;
        const ValueId other = node.inputs[1 - constant];
        if (graph.scalar(node.inputs[constant]) == (sum ? 0.f : 1.f) &&
            same_shape(graph.value(other), graph.value(node.outputs[0])))
            return other;
    }
    return {};
}

} // namespace

int remove_no_ops(Graph &graph)
{
    Rewriter rewriter(graph);
    int changes = 0;
    for (int n = 0; n < rewriter.nodes(); n++) {
        const Node &node = rewriter.node(n);
        if (does_nothing(rewriter, node))
            changes += rewriter.bypass(n, node.inputs[0]);
        else if (const auto operand = neutral_operand(rewriter, node))
            changes += rewriter.bypass(n, *operand);
    }
    return changes;
}

} // namespace leat
