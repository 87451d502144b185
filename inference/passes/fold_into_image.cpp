#include "inference/image_spec.h"
#include "inference/passes.h"
#include "rewriter.h"

#include <algorithm>

namespace leat {
namespace {

/// The constant's elements by channel of the tensor, when it has one for all or one for each.
std::optional<std::vector<float>> by_channel(const Tensor *constant, const Shape &dims, size_t axis)
{
    if (!constant || constant->type() != Type::f32 || constant->rank() > dims.size())
        return {};
    const size_t missing = dims.size() - constant->rank();
    for (size_t i = 0; i < constant->rank(); i++)
        if (constant->dim(i) != 1 && (i + missing != axis || constant->dim(i) != dims[axis]))
            return {};
    std::vector<float> values(constant->values<float>().begin(), constant->values<float>().end());
    if (values.size() == 1)
        values.resize(static_cast<size_t>(dims[axis]), values[0]);
    return values;
}

struct Affine {
    std::vector<float> mul, add;
};

/// What the node does to each channel of `x`.
std::optional<Affine> affine_of(const Rewriter &graph, const Node &node, ValueId x, size_t axis)
{
    const std::string_view op = node.op->name;
    const bool first = node.inputs.size() == 2 && node.inputs[0] == x;
    if (!node.post_ops.empty() || node.inputs.size() != 2 || (!first && op != "Add" && op != "Mul"))
        return {};
    const auto values = by_channel(graph.constant(node.inputs[first ? 1 : 0]), *graph.value(x).shape, axis);
    if (!values)
        return {};
    Affine affine{std::vector<float>(values->size(), 1), std::vector<float>(values->size(), 0)};
    for (size_t c = 0; c < values->size(); c++) {
        const float value = (*values)[c];
        if (op == "Mul")
            affine.mul[c] = value;
        else if (op == "Div" && value != 0)
            affine.mul[c] = 1 / value;
        else if (op == "Add")
            affine.add[c] = value;
        else if (op == "Sub")
            affine.add[c] = -value;
        else
            return {};
    }
    return affine;
}

bool fold_next(Rewriter &graph, int index)
{
    const Node &image = graph.node(index);
    const ValueId made = image.outputs[0];
    const Value &value = graph.value(made);
    const int next = graph.only_reader(made);
    if (next < 0 || graph.is_output(made) || !image.post_ops.empty() || value.type != Type::f32 || !value.shape ||
        value.shape->size() != 4)
        return false;
    const bool channels_last = image.attributes.integer("layout", 0) == static_cast<int64_t>(Layout::nhwc);
    const auto affine = affine_of(graph, graph.node(next), made, channels_last ? 3 : 1);
    if (!affine)
        return false;
    std::vector<float> mul = image.attributes.numbers("mul", {1, 1, 1}),
                       add = image.attributes.numbers("add", {0, 0, 0});
    for (size_t c = 0; c < std::min(mul.size(), add.size()); c++) {
        const size_t channel = std::min(c, affine->mul.size() - 1);
        mul[c] *= affine->mul[channel];
        add[c] = add[c] * affine->mul[channel] + affine->add[channel];
    }
    graph.change(index, [&](Node &node) {
        node.attributes.set("mul", mul);
        node.attributes.set("add", add);
    });
    graph.take_over(index, next);
    return true;
}

} // namespace

int fold_into_image(Graph &graph)
{
    Rewriter rewriter(graph);
    int changes = 0;
    for (int i = 0; i < rewriter.nodes(); i++)
        while (rewriter.is(i, "ImageToTensor") && fold_next(rewriter, i))
            changes++;
    return changes;
}

} // namespace leat
