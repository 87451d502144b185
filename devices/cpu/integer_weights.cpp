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

/// Calls function(channel, number minus zero point, place) for each element.
template <class F> void each_shifted(const Quantised &from, size_t channel_axis, F function)
{
    const Tensor wide = from.integers.converted(Type::s32);
    int64_t inner = 1;
    for (size_t axis = channel_axis + 1; axis < wide.rank(); axis++)
        inner *= wide.dim(axis);
    const int64_t channels = wide.dim(channel_axis);
    for (int64_t i = 0; i < static_cast<int64_t>(wide.count()); i++) {
        const auto channel = static_cast<size_t>(i / inner % channels);
        function(channel, wide.data<int32_t>()[i] - from.zeros[from.zeros.size() > 1 ? channel : 0], i);
    }
}

/// How far the shifted integers of each channel have to shrink to fit in s8: 1 where they do.
std::vector<float> shrinkage(const Quantised &from, size_t channel_axis)
{
    std::vector<int32_t> farthest(static_cast<size_t>(from.integers.dim(channel_axis)), 0);
    each_shifted(from, channel_axis, [&](size_t channel, int32_t number, int64_t) {
        farthest[channel] = std::max(farthest[channel], number == -128 ? 127 : std::abs(number));
    });
    std::vector<float> result;
    for (int32_t each : farthest)
        result.push_back(each <= 127 ? 1.f : static_cast<float>(each) / 127);
    return result;
}

/// What rounding adds to one weight it takes from the next, so that the sum over a channel stays what it is: data that
/// is the same everywhere gives the same result.
Tensor shrunk(const Quantised &from, size_t channel_axis, const std::vector<float> &by)
{
    Tensor result(Type::s8, from.integers.shape());
    std::vector<float> owed(by.size(), 0);
    each_shifted(from, channel_axis, [&](size_t channel, int32_t number, int64_t place) {
        const float wanted = static_cast<float>(number) / by[channel] + owed[channel];
        const float rounded = std::clamp(std::nearbyint(wanted), -128.f, 127.f);
        owed[channel] = wanted - rounded;
        result.data<int8_t>()[place] = static_cast<int8_t>(rounded);
    });
    return result;
}

std::string zeros_text(const Quantised &from, size_t channel_axis)
{
    std::string text = "s8 by axis " + std::to_string(channel_axis) + " of " + to_string(from.integers.shape());
    for (int32_t zero : from.zeros)
        text += ' ' + std::to_string(zero);
    return text;
}

} // namespace

namespace {

/// The weights as s8 without zero points.
IntegerWeights without_zeros(const Quantised &from, size_t channel_axis, Weights &weights)
{
    IntegerWeights result{from.integers, from.scales};
    const bool shifted = std::any_of(from.zeros.begin(), from.zeros.end(), [](int32_t zero) { return zero != 0; });
    if (from.integers.type() == Type::s8 && !shifted)
        return result;
    const std::vector<float> by = shrinkage(from, channel_axis);

    if (std::any_of(by.begin(), by.end(), [](float factor) { return factor != 1.f; })) {
        if (result.scales.size() == 1)
            result.scales.assign(by.size(), result.scales[0]);
        for (size_t channel = 0; channel < by.size(); channel++)
            result.scales[channel] *= by[channel];
    }
    result.integers =
        weights.get(from.integers, zeros_text(from, channel_axis), [&] { return shrunk(from, channel_axis, by); });
    return result;
}

} // namespace

Tensor transposed(const Tensor &matrix, Weights &weights)
{
    return weights.get(matrix, "transposed", [&] { return turned(matrix); });
}

std::variant<IntegerWeights, std::string> integer_weights(const Rewriter &graph, ValueId id, size_t channel_axis,
                                                          Weights &weights)
{
    const auto from = quantised(graph, id, weights);
    if (!from)
        return "its weights are no constant integers of 8 bits";
    if (from->scales.size() > 1 && from->axis != channel_axis)
        return "its weights have scales along another axis than that of its output channels";
    if (!std::all_of(from->scales.begin(), from->scales.end(), [](float s) { return std::isnormal(s) && s > 0; }))
        return "a scale of its weights is not a positive number";
    return without_zeros(*from, channel_axis, weights);
}

std::variant<IntegerWeights, std::string> integer_weights(const Tensor &integers, const Tensor *zero_point,
                                                          size_t channel_axis, Weights &weights)
{
    Quantised from{integers, {1.f}, {0}, channel_axis};
    if (zero_point) {
        const Tensor zeros = zero_point->converted(Type::s32);
        from.zeros.assign(zeros.data<int32_t>(), zeros.data<int32_t>() + zeros.count());
        if (from.zeros.size() != 1 && static_cast<int64_t>(from.zeros.size()) != integers.dim(channel_axis))
            return "the zero points of its weights are neither one nor one for each output channel";
        from.scales.assign(from.zeros.size(), 1.f);
    }
    return without_zeros(from, channel_axis, weights);
}

} // namespace leat::cpu
