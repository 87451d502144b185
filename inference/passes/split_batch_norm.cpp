#include "inference/passes.h"
#include "rewriter.h"

#include <cmath>

namespace leat {

int split_batch_norm(Graph &graph)
{
    Rewriter rewriter(graph);
    int changes = 0;
    for (int n = 0, end = rewriter.nodes(); n < end; n++) {
        if (!rewriter.is(n, "BatchNormalization"))
            continue;
        const Node norm = rewriter.node(n);
        const auto &shape = rewriter.value(norm.inputs[0]).shape;
        bool constant =
            norm.outputs.size() == 1 && shape && shape->size() > 1 && norm.attributes.integer("training_mode", 0) == 0;
        for (size_t i = 1; i < 5; i++)
            constant = constant && rewriter.constant(norm.inputs[i]);
        if (!constant)
            continue;
        Shape spread(shape->size() - 1, 1);
        spread[0] = rewriter.constant(norm.inputs[1])->dim(0);
        auto floats = [&](size_t i) { return rewriter.constant(norm.inputs[i])->converted(Type::f32); };
        const Tensor scale = floats(1), bias = floats(2), mean = floats(3), variance = floats(4);
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
