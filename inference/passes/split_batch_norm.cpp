#include "inference/passes.h"
#include "rewriter.h"

#include <cmath>

namespace leat {
namespace {

/// A parameter of the normalisation as f32; nothing when it is no constant and no dequantised one.
std::optional<Tensor> parameter(const Rewriter &rewriter, ValueId id)
{
    if (const Tensor *constant = rewriter.constant(id))
        return constant->converted(Type::f32);
    const int maker = rewriter.maker(id);
    if (!rewriter.is(maker, "DequantizeLinear"))
        return {};
    const Node &node = rewriter.node(maker);
    std::vector<Tensor> inputs;
    for (ValueId input : node.inputs) {
        if (input != no_value && !rewriter.constant(input))
            return {};
        inputs.push_back(input == no_value ? Tensor() : *rewriter.constant(input));
    }
    if (!node.post_ops.empty())
        return {};
    Tensor result;
    RunContext context(node, inputs, {&result, 1});
    run_reference(context, {});
    return result.converted(Type::f32);
}

} // namespace

int split_batch_norm(Graph &graph)
{
    Rewriter rewriter(graph);
    int changes = 0;
    for (int n = 0, end = rewriter.nodes(); n < end; n++) {
        if (!rewriter.is(n, "BatchNormalization"))
            continue;
        const Node norm = rewriter.node(n);
        const auto &shape = rewriter.value(norm.inputs[0]).shape;
        if (norm.outputs.size() != 1 || !shape || shape->size() < 2 || norm.attributes.integer("training_mode", 0) != 0)
            continue;
        std::vector<Tensor> parameters;
        for (size_t i = 1; i < 5; i++)
            if (auto numbers = parameter(rewriter, norm.inputs[i]))
                parameters.push_back(std::move(*numbers));
        if (parameters.size() < 4)
            continue;
        const Tensor &scale = parameters[0], &bias = parameters[1], &mean = parameters[2], &variance = parameters[3];
        Shape spread(shape->size() - 1, 1);
        spread[0] = scale.dim(0);
        Tensor mul(Type::f32, spread), add(Type::f32, spread);
        const float epsilon = norm.attributes.number("epsilon", 1e-5f);
        for (size_t c = 0; c < mul.count(); c++) {
            mul.data<float>()[c] = scale.data<float>()[c] / std::sqrt(variance.data<float>()[c] + epsilon);
            add.data<float>()[c] = bias.data<float>()[c] - mean.data<float>()[c] * mul.data<float>()[c];
        }
        const Type type = rewriter.value(norm.inputs[0]).type;
        const ValueId add_id = graph.add_constant(norm.name + "/add", add.converted(type));
        const ValueId mul_id = graph.add_constant(norm.name + "/mul", mul.converted(type));
        rewriter.change(n, [&](Node &node) {
            node.op = &op("Mul");
            node.attributes = {};
            node.inputs = {norm.inputs[0], mul_id};
            node.post_ops.insert(node.post_ops.begin(), PostOp{PostOp::Kind::binary, &op("Add"), {}, add_id});
        });
        changes++;
    }
    return changes;
}

} // namespace leat
