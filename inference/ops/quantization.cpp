#include "inference/ops/attributes.h"
#include "inference/ops/quantized.h"
#include "inference/ops/walk.h"

#include <algorithm>
#include <cmath>

namespace leat {
namespace {

/// NaN becomes the lowest value.
template <class T> T quantized(float value, int32_t zero_point)
{
    constexpr auto lowest = static_cast<float>(std::numeric_limits<T>::lowest());
    constexpr auto highest = static_cast<float>(std::numeric_limits<T>::max());
    const float rounded = std::nearbyint(value) + static_cast<float>(zero_point);
    if (!(rounded > lowest))
        return std::numeric_limits<T>::lowest();
    return rounded >= highest ? std::numeric_limits<T>::max() : static_cast<T>(rounded);
}

bool is_quantized(Type type)
{
    return type == Type::u8 || type == Type::s8 || type == Type::u16 || type == Type::s16;
}

void want_quantized(Type type)
{
    if (!is_quantized(type))
        throw Error("the quantised type is " + std::string(to_string(type)) + ", want u8, s8, u16 or s16");
}

template <class F> void visit_quantized(Type type, F &&f)
{
    want_quantized(type);
    switch (type) {
    case Type::u8: return f.template operator()<uint8_t>();
    case Type::s8: return f.template operator()<int8_t>();
    case Type::u16: return f.template operator()<uint16_t>();
    default: return f.template operator()<int16_t>();
    }
}

/// Which scale and zero point belong to an element: one for all, one for each index of an axis, or one for each block
/// of `block` neighbours on it.
struct Granularity {
    int64_t inner = 1, size = 1, block = 0, blocks = 0;
    int64_t at(int64_t element) const
    {
        if (blocks == 0)
            return 0;
        const int64_t index = element / inner % size;
        return block == 0 ? index : (element / inner / size * blocks + index / block) * inner + element % inner;
    }
};

std::string wanted_scale(const Shape &scale, const Shape &wanted)
{
    return "the scale has the shape " + to_string(scale) + ", want " + to_string(wanted);
}

/// Attributes axis and block_size; both shapes static.
Granularity granularity_of(const Attributes &attributes, const Shape &x, const Shape &scale)
{
    Granularity g;
    const int64_t block = size_attribute(attributes, "block_size", 0, 0);
    if (block == 0 && (scale.empty() || scale == Shape{1}))
        return g;
    const size_t axis = axis_attribute(attributes, "axis", 1, x.size());
    g.inner = count_between(x, axis + 1, x.size());
    g.size = x[axis];
    g.block = block;
    g.blocks = block == 0 ? g.size : g.size / block + (g.size % block != 0);
    Shape wanted{g.size};
    if (block != 0) {
        wanted = x;
        wanted[axis] = g.blocks;
    }
    if (scale != wanted)
        throw Error(wanted_scale(scale, wanted));
    return g;
}

void check_granularity(const ShapeContext &context)
{
    const auto &x = context.shape(0), &scale = context.shape(1), &zero = context.shape(2);
    if (x && scale && is_static(*x) && is_static(*scale))
        granularity_of(context.attributes(), *x, *scale);
    if (scale && zero && is_static(*scale) && is_static(*zero) && count_of(*zero) != count_of(*scale))
        throw Error("the scale has the shape " + to_string(*scale) + " and the zero point " + to_string(*zero) +
                    ", which must be the same");
}

/// The zero points as s32, or zeros where there are none.
Tensor zero_points(const RunContext &context, size_t input, size_t count)
{
    if (!context.has(input)) {
        Tensor zeros(Type::s32, {static_cast<int64_t>(count)});
        std::fill_n(zeros.data<int32_t>(), count, 0);
        return zeros;
    }
    if (context.inputs[input].count() != count)
        throw Error("the zero point has " + std::to_string(context.inputs[input].count()) + " elements, want " +
                    std::to_string(count));
    return context.inputs[input].converted(Type::s32);
}

// QuantizeLinear

Type quantized_type(const Attributes &attributes, Type zero_point)
{
    const Type type = type_attribute(attributes, "output_dtype", zero_point == Type::undefined ? Type::u8 : zero_point);
    if (zero_point != Type::undefined && type != zero_point)
        throw Error("output_dtype is " + std::string(to_string(type)) + ", but the zero point has the type " +
                    std::string(to_string(zero_point)));
    want_quantized(type);
    return type;
}

void quantize_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::number);
    want_type(context, 1, TypeSet::floating);
    check_granularity(context);
    context.output(0, quantized_type(context.attributes(), context.type(2)), context.shape(0));
}

void quantize(RunContext &context)
{
    const Tensor x = context.inputs[0].converted(Type::f32), scales = context.inputs[1].converted(Type::f32);
    const Tensor zeros = zero_points(context, 2, scales.count());
    const Granularity g = granularity_of(context.node.attributes, x.shape(), scales.shape());
    const Type type =
        quantized_type(context.node.attributes, context.has(2) ? context.inputs[2].type() : Type::undefined);
    Tensor &y = context.output(0, type, x.shape());
    visit_quantized(type, [&]<class T>() {
        for (int64_t i = 0; i < static_cast<int64_t>(x.count()); i++) {
            const int64_t at = g.at(i);
            y.data<T>()[i] = quantized<T>(x.data<float>()[i] / scales.data<float>()[at], zeros.data<int32_t>()[at]);
        }
    });
}

// DequantizeLinear

void want_dequantizable(Type type)
{
    if (type != Type::s32)
        want_quantized(type);
}

void dequantize_rule(ShapeContext &context)
{
    want_dequantizable(context.type(0));
    want_type(context, 1, TypeSet::floating);
    want_same_type(context, 0, 2);
    check_granularity(context);
    context.output(0, type_attribute(context.attributes(), "output_dtype", context.type(1)), context.shape(0));
}

void dequantize(RunContext &context)
{
    want_dequantizable(context.inputs[0].type());
    const Tensor x = context.inputs[0].converted(Type::s32), scales = context.inputs[1].converted(Type::f32);
    const Tensor zeros = zero_points(context, 2, scales.count());
    const Granularity g = granularity_of(context.node.attributes, x.shape(), scales.shape());
    Tensor y(Type::f32, x.shape());
    for (int64_t i = 0; i < static_cast<int64_t>(x.count()); i++) {
        const int64_t at = g.at(i);
        const int64_t difference = int64_t(x.data<int32_t>()[i]) - zeros.data<int32_t>()[at];
        y.data<float>()[i] = static_cast<float>(difference) * scales.data<float>()[at];
    }
    copy_to_output(context, 0,
                   y.converted(type_attribute(context.node.attributes, "output_dtype", context.inputs[1].type())));
}

// DynamicQuantizeLinear

void dynamic_quantize_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    context.output(0, Type::u8, context.shape(0));
    context.output(1, Type::f32, Shape());
    context.output(2, Type::u8, Shape());
}

void dynamic_quantize(RunContext &context)
{
    const Tensor x = context.inputs[0].converted(Type::f32);
    float lowest = 0, highest = 0; // zero must be a number that has an exact integer
    for (float value : x.values<float>()) {
        lowest = std::min(lowest, value);
        highest = std::max(highest, value);
    }
    const float scale = highest > lowest ? (highest - lowest) / 255 : 1;
    const uint8_t zero_point = quantized<uint8_t>(-lowest / scale, 0);
    Tensor &y = context.output(0, Type::u8, x.shape());
    std::transform(x.data<float>(), x.data<float>() + x.count(), y.data<uint8_t>(),
                   [&](float value) { return quantized<uint8_t>(value / scale, zero_point); });
    copy_to_output(context, 1, Tensor::of<float>({}, {scale}));
    copy_to_output(context, 2, Tensor::of<uint8_t>({}, {zero_point}));
}

// FakeQuantize

/// The limits of the input and of the output, broadcast over the data.
void fake_quantize_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    if (context.attributes().integer("levels", 0) < 2)
        throw Error("levels is " + std::to_string(context.attributes().integer("levels", 0)) + ", want 2 or more");
    for (size_t i = 1; i < 5; i++)
        if (context.shape(0) && context.shape(i) &&
            broadcast(*context.shape(0), *context.shape(i)) != *context.shape(0))
            throw Error("input " + std::to_string(i) + " (" + to_string(*context.shape(i)) +
                        ") does not fit the data (" + to_string(*context.shape(0)) + ")");
    context.output(0, context.type(0), context.shape(0));
}

/// A limit as f32, one for all elements or one for each.
Tensor limit_of(const RunContext &context, size_t input)
{
    const Tensor limit = context.inputs[input].converted(Type::f32);
    const Shape &shape = context.inputs[0].shape();
    if (limit.count() == 1)
        return limit;
    Tensor each(Type::f32, shape);
    copy_elements(limit, each, shape, {broadcast_strides(limit.shape(), shape), strides_of(shape)});
    return each;
}

/// OpenVINO's FakeQuantize-1, in f32: rounds to `levels` steps between the limits, halves to even.
void fake_quantize(RunContext &context)
{
    const auto last = static_cast<float>(context.node.attributes.integer("levels", 0) - 1);
    const Tensor x = context.inputs[0].converted(Type::f32);
    const std::array limits{limit_of(context, 1), limit_of(context, 2), limit_of(context, 3), limit_of(context, 4)};
    Tensor y(Type::f32, x.shape());
    for (size_t i = 0; i < x.count(); i++) {
        const auto at = [&](size_t limit) { return limits[limit].data<float>()[limits[limit].count() == 1 ? 0 : i]; };
        const float value = x.data<float>()[i], low = at(0), high = at(1), out_low = at(2), out_high = at(3);
        float &result = y.data<float>()[i];
        if (value <= std::min(low, high))
            result = out_low;
        else if (value > std::max(low, high))
            result = out_high;
        else
            result = std::nearbyint((value - low) / (high - low) * last) / last * (out_high - out_low) + out_low;
    }
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

// Lookup: any function of one 8-bit integer

void want_table(const Shape &shape)
{
    if (shape.size() != 1 || (shape[0] >= 0 && shape[0] != 256))
        throw Error("the table has the shape " + to_string(shape) + ", want 256");
}

void lookup_rule(ShapeContext &context)
{
    const Type type = context.type(0);
    if (type != Type::u8 && type != Type::s8)
        throw Error("the data has the type " + std::string(to_string(type)) + ", want u8 or s8");
    if (const auto &table = context.shape(1))
        want_table(*table);
    context.output(0, context.type(1), context.shape(0));
}

/// Entry i of the table stands for the number i of u8, or i - 128 of s8.
void lookup(RunContext &context)
{
    const Tensor x = context.inputs[0].converted(Type::s64), &table = context.inputs[1];
    want_table(table.shape());
    const int64_t lowest = context.inputs[0].type() == Type::u8 ? 0 : -128;
    Tensor &y = context.output(0, table.type(), x.shape());
    const size_t size = size_of(table.type());
    for (size_t i = 0; i < x.count(); i++)
        std::copy_n(table.raw() + static_cast<size_t>(x.data<int64_t>()[i] - lowest) * size, size, y.raw() + i * size);
}

constexpr Op rows[] = {
    {"DequantizeLinear", 2, 3, 1, dequantize_rule, dequantize},
    {"DynamicQuantizeLinear", 1, 1, 3, dynamic_quantize_rule, dynamic_quantize},
    {"FakeQuantize", 5, 5, 1, fake_quantize_rule, fake_quantize},
    {"Lookup", 2, 2, 1, lookup_rule, lookup},
    {"QuantizeLinear", 2, 3, 1, quantize_rule, quantize},
};

} // namespace

Tensor without_zero_point(const Tensor &integers, const Tensor &zero_point, size_t axis)
{
    const Tensor x = integers.converted(Type::s32);
    if (!zero_point)
        return x;
    const Tensor zeros = zero_point.converted(Type::s32);
    const Shape &shape = x.shape();
    const bool many = zeros.count() != 1;
    if (many && zeros.shape() != Shape{shape[axis]})
        throw Error("the zero point has the shape " + to_string(zeros.shape()) + ", want one element or " +
                    std::to_string(shape[axis]));
    const int64_t inner = count_between(shape, axis + 1, shape.size());
    Tensor y(Type::s32, shape);
    for (int64_t i = 0; i < static_cast<int64_t>(x.count()); i++) {
        const int64_t difference =
            int64_t(x.data<int32_t>()[i]) - zeros.data<int32_t>()[many ? i / inner % shape[axis] : 0];
        y.data<int32_t>()[i] = static_cast<int32_t>(difference);
    }
    return y;
}

float only_scale(const RunContext &context, size_t input)
{
    if (context.inputs[input].count() != 1)
        throw Error("input " + std::to_string(input) + " is a scale of " +
                    std::to_string(context.inputs[input].count()) + " elements, want 1");
    return *context.inputs[input].converted(Type::f32).data<float>();
}

void requantize(RunContext &context, const Tensor &sums, std::span<const float> factors, size_t axis,
                const Tensor &zero_point)
{
    const Shape &shape = sums.shape();
    if (factors.size() != 1 && static_cast<int64_t>(factors.size()) != shape[axis])
        throw Error("the weights have " + std::to_string(factors.size()) + " scales, want 1 or " +
                    std::to_string(shape[axis]));
    if (zero_point.count() != 1)
        throw Error("the zero point of the result has " + std::to_string(zero_point.count()) + " elements, want 1");
    const int32_t zero = *zero_point.converted(Type::s32).data<int32_t>();
    const int64_t inner = count_between(shape, axis + 1, shape.size());
    Tensor &y = context.output(0, zero_point.type(), shape);
    visit_quantized(y.type(), [&]<class T>() {
        for (int64_t i = 0; i < static_cast<int64_t>(sums.count()); i++) {
            const float factor = factors[factors.size() == 1 ? 0 : static_cast<size_t>(i / inner % shape[axis])];
            y.data<T>()[i] = quantized<T>(static_cast<float>(sums.data<int32_t>()[i]) * factor, zero);
        }
    });
}

std::span<const Op> quantization_ops()
{
    return rows;
}

} // namespace leat
