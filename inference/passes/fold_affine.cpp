#include "inference/passes.h"
#include "rewriter.h"

#include <cmath>
#include <functional>

namespace leat {
namespace {

/// y[c] = x[c] * mul[c] + add[c] over the channels, axis 1.
struct ChannelAffine {
    std::vector<float> mul, add;
};

std::vector<float> floats(const Tensor &tensor)
{
    const Tensor f = tensor.converted(Type::f32);
    return {f.data<float>(), f.data<float>() + f.count()};
}

/// The constant spread over `channels`: a scalar, or [C,1,1] / [1,C,1,1] for a value of that rank.
std::optional<std::vector<float>> per_channel(const Tensor &tensor, size_t rank, size_t channels)
{
    if (tensor.count() == 1)
        return std::vector<float>(channels, floats(tensor)[0]);
    if (tensor.count() != channels || tensor.rank() > rank || tensor.rank() + 1 < rank)
        return {};
    const size_t channel_axis = tensor.rank() + 1 - rank;
    return tensor.dim(channel_axis) == static_cast<int64_t>(channels) ? std::optional(floats(tensor)) : std::nullopt;
}

std::optional<ChannelAffine> of_batch_norm(const Rewriter &graph, const Node &node)
{
    if (node.attributes.integer("training_mode", 0) != 0)
        return {};
    for (size_t i = 1; i < 5; i++)
        if (!graph.constant(node.inputs[i]))
            return {};
    for (size_t i = 1; i < node.outputs.size(); i++)
        if (node.outputs[i] != no_value)
            return {};
    const auto scale = floats(*graph.constant(node.inputs[1])), bias = floats(*graph.constant(node.inputs[2]));
    const auto mean = floats(*graph.constant(node.inputs[3])), variance = floats(*graph.constant(node.inputs[4]));
    const float epsilon = node.attributes.number("epsilon", 1e-5f);
    ChannelAffine affine;
    for (size_t c = 0; c < scale.size(); c++) {
        affine.mul.push_back(scale[c] / std::sqrt(variance[c] + epsilon));
        affine.add.push_back(bias[c] - mean[c] * affine.mul[c]);
    }
    return affine;
}

/// What the node does to `in` when it is a batch norm, or arithmetic with a constant per channel.
std::optional<ChannelAffine> affine_of(const Rewriter &graph, const Node &node, ValueId in, size_t channels)
{
    const std::string_view op = node.op->name;
    if (!node.post_ops.empty())
        return {};
    if (op == "BatchNormalization")
        return node.inputs[0] == in ? of_batch_norm(graph, node) : std::nullopt;
    if (op != "Add" && op != "Sub" && op != "Mul" && op != "Div")
        return {};
    const bool first = node.inputs[0] == in;
    if (!first && (op == "Sub" || op == "Div"))
        return {};
    const Tensor *tensor = graph.constant(node.inputs[first ? 1 : 0]);
    const auto &shape = graph.value(in).shape;
    if (!tensor || !shape || node.inputs[0] == node.inputs[1])
        return {};
    const auto spread = per_channel(*tensor, shape->size(), channels);
    if (!spread)
        return {};
    ChannelAffine affine{std::vector<float>(channels, 1), std::vector<float>(channels, 0)};
    for (size_t c = 0; c < channels; c++)
        if (op == "Add")
            affine.add[c] = (*spread)[c];
        else if (op == "Sub")
            affine.add[c] = -(*spread)[c];
        else
            affine.mul[c] = op == "Mul" ? (*spread)[c] : 1 / (*spread)[c];
    return affine;
}

/// Output channel of each weight: Conv keeps it at axis 0, ConvTranspose at axis 1 within each group.
std::function<size_t(size_t)> channel_of_weight(const Node &conv, const Tensor &weights)
{
    if (conv.op->name == "Conv") {
        const size_t per_output = weights.count() / static_cast<size_t>(std::max<int64_t>(weights.dim(0), 1));
        return [=](size_t i) { return i / per_output; };
    }
    const auto groups = static_cast<size_t>(conv.attributes.integer("group", 1));
    const auto inputs = static_cast<size_t>(weights.dim(0)), outputs = static_cast<size_t>(weights.dim(1));
    const size_t kernel = weights.count() / (inputs * outputs), inputs_per_group = inputs / groups;
    return [=](size_t i) { return (i / kernel / outputs) / inputs_per_group * outputs + i / kernel % outputs; };
}

size_t output_channels(const Node &conv, const Tensor &weights)
{
    const int64_t groups = conv.op->name == "Conv" ? 1 : conv.attributes.integer("group", 1);
    return static_cast<size_t>(weights.dim(conv.op->name == "Conv" ? 0 : 1) * groups);
}

void apply(Rewriter &graph, int index, const ChannelAffine &affine)
{
    const Node &conv = graph.node(index);
    const Value &old = graph.value(conv.inputs[1]);
    Tensor weights = old.constant.converted(Type::f32).clone();
    const auto channel = channel_of_weight(conv, weights);
    for (size_t i = 0; i < weights.count(); i++)
        weights.data<float>()[i] *= affine.mul[channel(i)];
    Tensor bias(Type::f32, {static_cast<int64_t>(affine.add.size())});
    const Tensor *old_bias = conv.inputs.size() > 2 ? graph.constant(conv.inputs[2]) : nullptr;
    const std::vector<float> before = old_bias ? floats(*old_bias) : std::vector<float>(affine.add.size(), 0.f);
    for (size_t c = 0; c < affine.add.size(); c++)
        bias.data<float>()[c] = before[c] * affine.mul[c] + affine.add[c];
    const std::string weights_name = old.name, bias_name = conv.name + "/bias";
    const Type type = old.type;
    graph.change(index, [&](Node &node) {
        node.inputs.resize(3, no_value);
        node.inputs[1] = graph.graph().add_constant(weights_name, weights.converted(type));
        node.inputs[2] = graph.graph().add_constant(bias_name, bias.converted(type));
    });
}

bool can_take_affine(const Rewriter &graph, int index)
{
    if (!graph.is(index, "Conv") && !graph.is(index, "ConvTranspose"))
        return false;
    const Node &conv = graph.node(index);
    const Tensor *weights = graph.constant(conv.inputs[1]);
    const bool constant_bias = conv.inputs.size() < 3 || conv.inputs[2] == no_value || graph.constant(conv.inputs[2]);
    return weights && weights->rank() > 2 && constant_bias && conv.post_ops.empty();
}

} // namespace

int fold_affine(Graph &graph)
{
    Rewriter rewriter(graph);
    int changes = 0;
    for (int n = 0; n < rewriter.nodes(); n++)
        while (can_take_affine(rewriter, n)) {
            const Node &conv = rewriter.node(n);
            const int next = rewriter.only_reader(conv.outputs[0]);
            if (next < 0)
                break;
            const size_t channels = output_channels(conv, *rewriter.constant(conv.inputs[1]));
            const auto affine = affine_of(rewriter, rewriter.node(next), conv.outputs[0], channels);
            if (!affine || affine->mul.size() != channels)
                break;
            apply(rewriter, n, *affine);
            rewriter.take_over(n, next);
            changes++;
        }
    return changes;
}

} // namespace leat
