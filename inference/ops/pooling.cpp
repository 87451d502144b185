#include "inference/ops/attributes.h"
#include "inference/ops/walk.h"
#include "inference/ops/window.h"

#include <algorithm>
#include <cmath>

namespace leat {
namespace {

/// Input [batch, channels, …]; `shape` is that of the result.
struct Pooling {
    std::vector<WindowAxis> axes;
    Shape shape;
};

std::vector<int64_t> kernel_attribute(const Attributes &attributes)
{
    const auto kernel = attributes.integers("kernel_shape");
    if (kernel.empty())
        throw Error("kernel_shape is missing");
    return list_attribute(attributes, "kernel_shape", kernel.size(), 1, 1);
}

Pooling pooling_of(const Attributes &attributes, const Shape &x)
{
    Pooling pooling;
    pooling.axes = windows_of(attributes, x, kernel_attribute(attributes), attributes.integer("ceil_mode", 0) != 0);
    pooling.shape = {x[0], x[1]};
    for (const WindowAxis &axis : pooling.axes)
        pooling.shape.push_back(axis.output);
    return pooling;
}

std::optional<Shape> pooled_shape(const ShapeContext &context)
{
    if (!context.shape(0))
        return {};
    return pooling_of(context.attributes(), *context.shape(0)).shape;
}

/// Calls `run(plane, position, taps)` for every window; each of `taps` is an element of the plane, in row-major order.
template <class Run> void for_each_window(const Tensor &x, const Pooling &pooling, Run run)
{
    const auto axes = three_axes(pooling.axes);
    const int64_t planes = x.dim(0) * x.dim(1);
    if (planes == 0)
        return;
    std::array<std::vector<int64_t>, 3> inside;
    std::vector<int64_t> taps;
    auto collect = [&](size_t axis, int64_t position) {
        inside[axis].clear();
        const auto [first, last] = axes[axis].taps_inside(position);
        for (int64_t tap = first; tap < last; tap++)
            inside[axis].push_back(axes[axis].at(position, tap));
    };
    for (int64_t d = 0; d < axes[0].output; d++) {
        collect(0, d);
        for (int64_t h = 0; h < axes[1].output; h++) {
            collect(1, h);
            for (int64_t w = 0; w < axes[2].output; w++) {
                collect(2, w);
                taps.clear();
                for (int64_t a : inside[0])
                    for (int64_t b : inside[1])
                        for (int64_t c : inside[2])
                            taps.push_back((a * axes[1].input + b) * axes[2].input + c);
                for (int64_t plane = 0; plane < planes; plane++)
                    run(plane, std::array{d, h, w}, taps);
            }
        }
    }
}

int64_t spatial_count(const Shape &shape)
{
    return count_between(shape, 2, shape.size());
}

/// Where a window's result lies in its plane.
int64_t place(const Pooling &pooling, const std::array<int64_t, 3> &position)
{
    const auto axes = three_axes(pooling.axes);
    return (position[0] * axes[1].output + position[1]) * axes[2].output + position[2];
}

/// `reduce(plane of the input, position, taps)` gives the result of a window. Calculated and kept in f32.
template <class Reduce> void pool(RunContext &context, Reduce reduce)
{
    const Tensor x = context.inputs[0].converted(Type::f32);
    const Pooling pooling = pooling_of(context.node.attributes, x.shape());
    Tensor y(Type::f32, pooling.shape);
    const int64_t in = spatial_count(x.shape()), out = spatial_count(pooling.shape);
    for_each_window(x, pooling, [&](int64_t plane, const std::array<int64_t, 3> &position, const auto &taps) {
        y.data<float>()[plane * out + place(pooling, position)] =
            reduce(pooling, x.data<float>() + plane * in, position, taps);
    });
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

// MaxPool

void max_pool_rule(ShapeContext &context)
{
    if (context.type(0) != Type::u8 && context.type(0) != Type::s8)
        want_type(context, 0, TypeSet::floating);
    const auto shape = pooled_shape(context);
    context.output(0, context.type(0), shape);
    context.output(1, Type::s64, shape);
}

/// The index of an element of the plane, counted along columns first.
int64_t column_major(int64_t element, const std::array<WindowAxis, 3> &axes)
{
    const int64_t w = element % axes[2].input, h = element / axes[2].input % axes[1].input;
    const int64_t d = element / axes[2].input / axes[1].input;
    return (w * axes[1].input + h) * axes[0].input + d;
}

void max_pool(RunContext &context)
{
    const Tensor x = context.inputs[0].converted(Type::f32);
    const Attributes &attributes = context.node.attributes;
    const Pooling pooling = pooling_of(attributes, x.shape());
    const auto axes = three_axes(pooling.axes);
    const bool by_column = attributes.integer("storage_order", 0) != 0;
    Tensor y(Type::f32, pooling.shape);
    Tensor indices = context.wants(1) ? context.output(1, Type::s64, pooling.shape) : Tensor();
    const int64_t in = spatial_count(x.shape()), out = spatial_count(pooling.shape);
    for_each_window(x, pooling, [&](int64_t plane, const std::array<int64_t, 3> &position, const auto &taps) {
        const float *values = x.data<float>() + plane * in;
        const auto highest =
            std::max_element(taps.begin(), taps.end(), [&](int64_t a, int64_t b) { return values[a] < values[b]; });
        const int64_t at = plane * out + place(pooling, position);
        const bool padding = highest == taps.end();
        y.data<float>()[at] = padding ? -std::numeric_limits<float>::infinity() : values[*highest];
        if (indices)
            indices.data<int64_t>()[at] =
                padding ? -1 : plane * in + (by_column ? column_major(*highest, axes) : *highest);
    });
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

// AveragePool

void floating_pool_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    context.output(0, context.type(0), pooled_shape(context));
}

/// Taps of a window inside of the padded input: what ceil_mode adds beyond the padding does not count.
double padded_taps(const Pooling &pooling, const std::array<int64_t, 3> &position)
{
    const auto axes = three_axes(pooling.axes);
    double count = 1;
    for (size_t i = 0; i < 3; i++)
        count *= static_cast<double>(axes[i].taps_before_end(position[i]));
    return count;
}

void average_pool(RunContext &context)
{
    const bool with_padding = context.node.attributes.integer("count_include_pad", 0) != 0;
    pool(context, [&](const Pooling &pooling, const float *values, const auto &position, const auto &taps) {
        const double count = with_padding ? padded_taps(pooling, position) : static_cast<double>(taps.size());
        double sum = 0;
        for (int64_t tap : taps)
            sum += values[tap];
        return count == 0 ? 0.f : static_cast<float>(sum / count);
    });
}

// LpPool

/// (sum |x|^p)^(1/p)
template <class Values> float norm(const Values &values, double p)
{
    double sum = 0;
    for (float value : values)
        sum += std::pow(std::abs(static_cast<double>(value)), p);
    return static_cast<float>(std::pow(sum, 1 / p));
}

double norm_order(const Attributes &attributes)
{
    return static_cast<double>(size_attribute(attributes, "p", 2, 1));
}

void lp_pool_rule(ShapeContext &context)
{
    norm_order(context.attributes());
    floating_pool_rule(context);
}

void lp_pool(RunContext &context)
{
    const double p = norm_order(context.node.attributes);
    std::vector<float> window;
    pool(context, [&](const Pooling &, const float *values, const auto &, const auto &taps) {
        window.clear();
        for (int64_t tap : taps)
            window.push_back(values[tap]);
        return norm(window, p);
    });
}

// GlobalAveragePool, GlobalMaxPool, GlobalLpPool

Shape global_shape(Shape x)
{
    if (x.size() < 2)
        throw Error("the input has the shape " + to_string(x) + ", want batch, channels and spatial sizes");
    std::fill(x.begin() + 2, x.end(), 1);
    return x;
}

void make_global(ShapeContext &context, Type made)
{
    context.output(0, made, context.shape(0) ? std::optional(global_shape(*context.shape(0))) : std::nullopt);
}

void global_pool_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    make_global(context, context.type(0));
}

/// The largest of integers is one of them: quantisation moves through.
void global_max_pool_rule(ShapeContext &context)
{
    if (!is_8_bit(context.type(0)))
        want_type(context, 0, TypeSet::floating);
    make_global(context, context.type(0));
}

/// `made`: the type of the result.
template <class Reduce> void global_pool(RunContext &context, Type made, Reduce reduce)
{
    const Tensor x = context.inputs[0].converted(Type::f32);
    Tensor y(Type::f32, global_shape(x.shape()));
    const auto count = static_cast<size_t>(spatial_count(x.shape()));
    if (count == 0)
        throw Error("the input of shape " + to_string(x.shape()) + " has no elements to pool");
    for (size_t plane = 0; plane < y.count(); plane++)
        y.data<float>()[plane] = reduce(std::span(x.data<float>() + plane * count, count));
    copy_to_output(context, 0, y.converted(made));
}

float mean(std::span<const float> values)
{
    double sum = 0;
    for (float value : values)
        sum += value;
    return static_cast<float>(sum / static_cast<double>(values.size()));
}

void global_average_pool(RunContext &context)
{
    global_pool(context, context.inputs[0].type(), mean);
}

// GlobalAveragePoolInteger: the mean of 8-bit integers, as f32

void global_average_pool_integer_rule(ShapeContext &context)
{
    const Type type = context.type(0);
    if (!is_8_bit(type))
        throw Error("the data has the type " + std::string(to_string(type)) + ", want u8 or s8");
    make_global(context, Type::f32);
}

void global_average_pool_integer(RunContext &context)
{
    global_pool(context, Type::f32, mean);
}

void global_max_pool(RunContext &context)
{
    global_pool(context, context.inputs[0].type(),
                [](std::span<const float> values) { return *std::max_element(values.begin(), values.end()); });
}

void global_lp_pool_rule(ShapeContext &context)
{
    norm_order(context.attributes());
    global_pool_rule(context);
}

void global_lp_pool(RunContext &context)
{
    const double p = norm_order(context.node.attributes);
    global_pool(context, context.inputs[0].type(), [&](std::span<const float> values) { return norm(values, p); });
}

// AdaptiveAvgPool, AdaptiveMaxPool: windows that share the input evenly, overlapping where it does not divide

Shape adaptive_shape(const Shape &x, const std::optional<std::vector<int64_t>> &sizes)
{
    if (x.size() < 3 || x.size() > 5)
        throw Error("the input has the shape " + to_string(x) + ", want batch, channels and 1 to 3 spatial sizes");
    if (sizes && sizes->size() != x.size() - 2)
        throw Error("there are " + std::to_string(sizes->size()) + " sizes for an input of shape " + to_string(x));
    Shape shape{x[0], x[1]};
    for (size_t i = 2; i < x.size(); i++) {
        if (sizes)
            check_number("the size", (*sizes)[i - 2], 0);
        shape.push_back(sizes ? (*sizes)[i - 2] : -1);
    }
    return shape;
}

void adaptive_pool_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    const auto sizes = constant_integers(context, 1);
    std::optional<Shape> shape;
    if (context.shape(0))
        shape = adaptive_shape(*context.shape(0), sizes);
    const Type type = type_attribute(context.attributes(), "index_element_type", Type::s64);
    if (type != Type::s32 && type != Type::s64)
        throw Error("index_element_type is " + std::string(to_string(type)) + ", want s32 or s64");
    context.output(0, context.type(0), shape);
    context.output(1, type, shape);
}

/// Spatial sizes, in front of them as many of 1 as make three.
std::array<int64_t, 3> spatial_sizes(const Shape &shape)
{
    std::array<int64_t, 3> sizes{1, 1, 1};
    for (size_t axis = 2; axis < shape.size(); axis++)
        sizes.at(sizes.size() - shape.size() + axis) = shape[axis];
    return sizes;
}

/// [first, last) of the elements that share of `parts` takes.
std::array<int64_t, 2> share_of(int64_t share, int64_t parts, int64_t size)
{
    return {share * size / parts, ((share + 1) * size + parts - 1) / parts};
}

/// Calls `run(element of the output, elements of the input)`, both in the same plane, for every window.
template <class Run> void for_each_share(const Shape &x, const Shape &y, Run run)
{
    const auto in = spatial_sizes(x), out = spatial_sizes(y);
    std::vector<int64_t> taps;
    for (int64_t i = 0; i < out[0] * out[1] * out[2]; i++) {
        const auto depth = share_of(i / out[2] / out[1], out[0], in[0]);
        const auto rows = share_of(i / out[2] % out[1], out[1], in[1]), columns = share_of(i % out[2], out[2], in[2]);
        taps.clear();
        for (int64_t d = depth[0]; d < depth[1]; d++)
            for (int64_t h = rows[0]; h < rows[1]; h++)
                for (int64_t w = columns[0]; w < columns[1]; w++)
                    taps.push_back((d * in[1] + h) * in[2] + w);
        run(i, taps);
    }
}

/// `reduce(plane of the input, elements, plane and element of the output)`.
template <class Reduce> void adaptive_pool(const Tensor &x, const Shape &shape, Reduce reduce)
{
    const int64_t in = spatial_count(x.shape()), out = spatial_count(shape), planes = x.dim(0) * x.dim(1);
    if (in == 0 && count_of(shape) != 0)
        throw Error("the input of shape " + to_string(x.shape()) + " has no elements to pool");
    if (count_of(shape) == 0)
        return;
    for_each_share(x.shape(), shape, [&](int64_t element, const std::vector<int64_t> &taps) {
        for (int64_t plane = 0; plane < planes; plane++)
            reduce(x.data<float>() + plane * in, taps, plane * out + element);
    });
}

void adaptive_avg_pool(RunContext &context)
{
    const Tensor x = context.inputs[0].converted(Type::f32);
    Tensor y(Type::f32, adaptive_shape(x.shape(), integers(context, 1)));
    adaptive_pool(x, y.shape(), [&](const float *values, const std::vector<int64_t> &taps, int64_t to) {
        double sum = 0;
        for (int64_t tap : taps)
            sum += values[tap];
        y.data<float>()[to] = static_cast<float>(sum / static_cast<double>(taps.size()));
    });
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

/// The indices count elements of the plane.
void adaptive_max_pool(RunContext &context)
{
    const Tensor x = context.inputs[0].converted(Type::f32);
    Tensor y(Type::f32, adaptive_shape(x.shape(), integers(context, 1)));
    Tensor indices(Type::s64, y.shape());
    adaptive_pool(x, y.shape(), [&](const float *values, const std::vector<int64_t> &taps, int64_t to) {
        const int64_t highest =
            *std::max_element(taps.begin(), taps.end(), [&](int64_t a, int64_t b) { return values[a] < values[b]; });
        y.data<float>()[to] = values[highest];
        indices.data<int64_t>()[to] = highest;
    });
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
    if (context.wants(1))
        copy_to_output(context, 1,
                       indices.converted(type_attribute(context.node.attributes, "index_element_type", Type::s64)));
}

// MaxUnpool

/// The shape of what MaxPool with these attributes made `x` of.
Shape unpooled_shape(const Attributes &attributes, const Shape &x)
{
    Attributes as_convolution;
    for (const char *name : {"strides", "pads"})
        if (attributes.has(name))
            as_convolution.set(name, attributes.integers(name));
    Shape shape{-1, -1};
    for (const WindowAxis &axis : transposed_windows_of(as_convolution, x, kernel_attribute(attributes)))
        shape.push_back(axis.input);
    shape[0] = x[0];
    shape[1] = x[1];
    return shape;
}

void check_unpooled(const Shape &given, const Shape &least)
{
    bool fits = given.size() == least.size();
    for (size_t i = 0; fits && i < given.size(); i++)
        fits = given[i] >= least[i];
    if (!fits)
        throw Error("output_shape is " + to_string(given) + ", want " + to_string(least) + " or more");
}

void max_unpool_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    want_type(context, 1, TypeSet::integer);
    const auto given = constant_integers(context, 2);
    std::optional<Shape> shape;
    if (given)
        shape = *given;
    else if (context.shape(0) && !context.has(2))
        shape = unpooled_shape(context.attributes(), *context.shape(0));
    context.output(0, context.type(0), shape);
}

/// The indices count elements of the unpooled shape; output_shape adds zeros behind each axis.
void max_unpool(RunContext &context)
{
    const Tensor x = context.inputs[0].converted(Type::f32);
    const std::vector<int64_t> indices = integers(context, 1);
    const Shape least = unpooled_shape(context.node.attributes, x.shape());
    const Shape shape = context.has(2) ? integers(context, 2) : least;
    check_unpooled(shape, least);
    if (indices.size() != x.count())
        throw Error("there are " + std::to_string(indices.size()) + " indices for " + std::to_string(x.count()) +
                    " elements");
    Tensor y(Type::f32, shape);
    std::fill_n(y.data<float>(), y.count(), 0.f);
    const int64_t count = count_of(least);
    const Shape steps = strides_of(shape);
    for (size_t i = 0; i < indices.size(); i++) {
        int64_t index = indices[i], to = 0;
        if (index < 0 || index >= count)
            throw Error("the index " + std::to_string(index) + " is outside of the shape " + to_string(least));
        for (size_t axis = least.size(); axis-- > 0; index /= least[axis])
            to += index % least[axis] * steps[axis];
        y.data<float>()[to] = x.data<float>()[i];
    }
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

constexpr Op rows[] = {
    {"AdaptiveAvgPool", 2, 2, 1, adaptive_pool_rule, adaptive_avg_pool},
    {"AdaptiveMaxPool", 2, 2, 2, adaptive_pool_rule, adaptive_max_pool},
    {"AveragePool", 1, 1, 1, floating_pool_rule, average_pool},
    {"GlobalAveragePool", 1, 1, 1, global_pool_rule, global_average_pool},
    {"GlobalAveragePoolInteger", 1, 1, 1, global_average_pool_integer_rule, global_average_pool_integer},
    {"GlobalLpPool", 1, 1, 1, global_lp_pool_rule, global_lp_pool},
    {"GlobalMaxPool", 1, 1, 1, global_max_pool_rule, global_max_pool},
    {"LpPool", 1, 1, 1, lp_pool_rule, lp_pool},
    {"MaxPool", 1, 1, 2, max_pool_rule, max_pool},
    {"MaxUnpool", 2, 3, 1, max_unpool_rule, max_unpool},
};

} // namespace

std::span<const Op> pooling_ops()
{
    return rows;
}

} // namespace leat
