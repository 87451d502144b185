#include "integer_weights.h"

#include <algorithm>
#include <cmath>

namespace leat::cpu {
namespace {

/// Integers with scale and zero point along an axis.
struct Quantised {
    Tensor integers;
    std::vector<float> scales;  ///< one, or one for each index of `axis`
    std::vector<int32_t> zeros; ///< as many
    size_t axis = 0;
};

std::optional<Quantised> dequantised_constant(const Rewriter &graph, int index)
{
    if (!graph.is(index, "DequantizeLinear"))
        return {};
    const Node &node = graph.node(index);
    const Tensor *integers = graph.constant(node.inputs[0]), *scales = graph.constant(node.inputs[1]);
    const bool has_zeros = node.inputs.size() > 2 && node.inputs[2] != no_value;
    const Tensor *zeros = has_zeros ? graph.constant(node.inputs[2]) : nullptr;
    if (!integers || !scales || (has_zeros && !zeros) || !is_8_bit(integers->type()) || !node.post_ops.empty() ||
        node.attributes.integer("block_size", 0) != 0 || integers->rank() == 0)
        return {};
    Quantised result{*integers, {}, {}, 0};
    if (scales->count() > 1)
        result.axis = normal_axis(node.attributes.integer("axis", 1), integers->rank());
    const Tensor wide = scales->converted(Type::f32);
    result.scales.assign(wide.data<float>(), wide.data<float>() + wide.count());
    result.zeros.assign(result.scales.size(), 0);
    if (zeros) {
        const Tensor numbers = zeros->converted(Type::s32);
        std::copy_n(numbers.data<int32_t>(), result.zeros.size(), result.zeros.begin());
    }
    return result;
}

Tensor turned(const Tensor &matrix)
{
    Tensor result(matrix.type(), {matrix.dim(1), matrix.dim(0)});
    for (int64_t i = 0; i < matrix.dim(0); i++)
        for (int64_t j = 0; j < matrix.dim(1); j++)
            result.raw()[j * matrix.dim(0) + i] = matrix.raw()[i * matrix.dim(1) + j];
    return result;
}

/// Each number `times` times.
template <class T> std::vector<T> repeated(const std::vector<T> &values, size_t times)
{
    std::vector<T> result;
    for (const T &value : values)
        result.insert(result.end(), times, value);
    return result;
}

/// The same elements under the shape that the Reshape has; nothing when the scales do not follow.
std::optional<Quantised> reshaped(Quantised from, const Shape &shape)
{
    if (from.scales.size() > 1) {
        const auto count = static_cast<int64_t>(from.scales.size());
        if (from.axis != 0 || shape.empty() || shape[0] % count != 0)
            return {};
        from.scales = repeated(from.scales, static_cast<size_t>(shape[0] / count));
        from.zeros = repeated(from.zeros, static_cast<size_t>(shape[0] / count));
    }
    from.integers = from.integers.reshaped(shape);
    return from;
}

std::optional<Quantised> quantised(const Rewriter &graph, ValueId id, Weights &weights)
{
    const int maker = graph.maker(id);
    if (graph.is(maker, "Transpose")) {
        auto from = quantised(graph, graph.node(maker).inputs[0], weights);
        const auto order = graph.node(maker).attributes.integers("perm");
        if (!from || from->integers.rank() != 2 || order == std::vector<int64_t>{0, 1})
            return {};
        from->axis = 1 - from->axis;
        from->integers = transposed(from->integers, weights);
        return from;
    }
    if (graph.is(maker, "Reshape")) {
        auto from = quantised(graph, graph.node(maker).inputs[0], weights);
        const auto &shape = graph.value(id).shape;
        return from && shape && is_static(*shape) ? reshaped(std::move(*from), *shape) : std::nullopt;
    }
    return dequantised_constant(graph, maker);
}

IntegerWeights with_zero_point(Quantised from)
{
    const bool shifted = std::any_of(from.zeros.begin(), from.zeros.end(), [](int32_t zero) { return zero != 0; });
    const Shape shape = from.zeros.size() == 1 ? Shape{} : Shape{static_cast<int64_t>(from.zeros.size())};
    return {from.integers, shifted ? Tensor::of<int32_t>(shape, from.zeros).converted(from.integers.type()) : Tensor(),
            std::move(from.scales)};
}

} // namespace

Tensor transposed(const Tensor &matrix, Weights &weights)
{
    return weights.get(matrix, "transposed", [&] { return turned(matrix); });
}

std::variant<IntegerWeights, std::string> integer_weights(const Rewriter &graph, ValueId id, size_t channel_axis,
                                                          Weights &weights)
{
    auto from = quantised(graph, id, weights);
    if (!from)
        return "its weights are no constant integers of 8 bits";
    if (from->scales.size() > 1 && from->axis != channel_axis)
        return "its weights have scales along another axis than that of its output channels";
    if (!std::all_of(from->scales.begin(), from->scales.end(), [](float s) { return std::isnormal(s) && s > 0; }))
        return "a scale of its weights is not a positive number";
    return with_zero_point(std::move(*from));
}

} // namespace leat::cpu
