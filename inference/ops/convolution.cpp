#include "inference/ops/attributes.h"
#include "inference/ops/quantized.h"
#include "inference/ops/walk.h"
#include "inference/ops/window.h"

#include <algorithm>
#include <cmath>

namespace leat {
namespace {

std::string count_fault(const char *what, int64_t found, int64_t wanted)
{
    return std::string(what) + " has " + std::to_string(found) + " channels, want " + std::to_string(wanted);
}

// Conv, ConvInteger, QLinearConv: cross-correlation, as in every framework

/// Input [batch, channels, …] and weights [filters, channels / groups, …] give `shape` = [batch, filters, …].
struct Convolution {
    int64_t batch = 0, channels = 0, filters = 0, groups = 1;
    std::vector<WindowAxis> axes;
    Shape shape;
    int64_t channels_in_group() const { return channels / groups; }
    int64_t filters_in_group() const { return filters / groups; }
};

std::vector<int64_t> kernel_of(const Attributes &attributes, const Shape &weights)
{
    std::vector<int64_t> kernel(weights.begin() + std::min<ptrdiff_t>(2, std::ssize(weights)), weights.end());
    const auto named = attributes.integers("kernel_shape");
    if (named.empty())
        return kernel;
    for (size_t i = 0; i < kernel.size(); i++)
        if (named.size() != kernel.size() || (kernel[i] >= 0 && kernel[i] != named[i]))
            throw Error("kernel_shape is " + to_string(named) + ", but the weights have the shape " +
                        to_string(weights));
    return named;
}

void check_ranks(const Shape &x, const Shape &weights)
{
    if (x.size() != weights.size())
        throw Error("the input has the shape " + to_string(x) + " and the weights " + to_string(weights) +
                    ", which must have the same rank");
}

/// The shape of weights that are not known.
Shape unknown_weights(const Shape &x)
{
    return Shape(x.size(), -1);
}

Convolution convolution_of(const Attributes &attributes, const Shape &x, const Shape &weights)
{
    check_ranks(x, weights);
    Convolution c;
    c.axes = windows_of(attributes, x, kernel_of(attributes, weights));
    c.groups = size_attribute(attributes, "group", 1, 1);
    c.batch = x[0];
    c.filters = weights[0];
    c.channels = x[1];
    if (c.filters > 0 && c.filters % c.groups != 0)
        throw Error("group is " + std::to_string(c.groups) + ", which does not divide " + std::to_string(c.filters) +
                    " filters");
    if (c.channels >= 0 && weights[1] >= 0 && (c.channels % c.groups != 0 || c.channels_in_group() != weights[1]))
        throw Error(count_fault("the input", c.channels, weights[1]) + " in each of " + std::to_string(c.groups) +
                    " groups");
    c.shape = {c.batch, c.filters};
    for (const WindowAxis &axis : c.axes)
        c.shape.push_back(axis.output);
    return c;
}

/// Windows of one element that touch every element once: a matrix product, for which the axes need no telling apart.
bool is_pointwise(std::span<const WindowAxis> axes)
{
    return std::all_of(axes.begin(), axes.end(), [](const WindowAxis &axis) {
        return axis.kernel == 1 && axis.stride == 1 && axis.input == axis.output && axis.pad_begin == 0;
    });
}

std::array<WindowAxis, 3> merged_axes(std::span<const WindowAxis> axes)
{
    if (!is_pointwise(axes))
        return three_axes(axes);
    WindowAxis flat;
    for (const WindowAxis &axis : axes)
        flat.input *= axis.input;
    flat.output = flat.input;
    return three_axes({&flat, 1});
}

int64_t volume(const std::array<WindowAxis, 3> &axes, int64_t WindowAxis::*size)
{
    return axes[0].*size * axes[1].*size * axes[2].*size;
}

/// Calls `run(element of the input, element of the output, count, weight)` for each row in which a tap of the windows
/// meets the input; the input moves on by the stride of the last axis, the output by one.
template <class Run> void for_each_row(const std::array<WindowAxis, 3> &axes, Run run)
{
    const auto &[depth, height, width] = axes;
    int64_t tap = 0;
    for (int64_t kd = 0; kd < depth.kernel; kd++)
        for (int64_t kh = 0; kh < height.kernel; kh++)
            for (int64_t kw = 0; kw < width.kernel; kw++, tap++) {
                const auto planes = depth.positions_inside(kd), rows = height.positions_inside(kh);
                const auto columns = width.positions_inside(kw);
                for (int64_t d = planes[0]; d < planes[1]; d++)
                    for (int64_t h = rows[0]; h < rows[1] && columns[0] < columns[1]; h++)
                        run((depth.at(d, kd) * height.input + height.at(h, kh)) * width.input +
                                width.at(columns[0], kw),
                            (d * height.output + h) * width.output + columns[0], columns[1] - columns[0], tap);
            }
}

/// `y` = `bias` (one for each filter; null: zeros) + the convolution. T: float, or uint32_t for sums that wrap around.
template <class T> void convolve(const Convolution &c, const T *x, const T *weights, const T *bias, T *y)
{
    const auto axes = merged_axes(c.axes);
    const int64_t in_plane = volume(axes, &WindowAxis::input), out_plane = volume(axes, &WindowAxis::output);
    const int64_t taps = volume(axes, &WindowAxis::kernel), step = axes[2].stride;
    for (int64_t plane = 0; plane < c.batch * c.filters; plane++) {
        const int64_t n = plane / c.filters, filter = plane % c.filters, group = filter / c.filters_in_group();
        T *out = y + plane * out_plane;
        std::fill_n(out, out_plane, bias ? bias[filter] : T(0));
        for (int64_t channel = 0; channel < c.channels_in_group(); channel++) {
            const T *in = x + (n * c.channels + group * c.channels_in_group() + channel) * in_plane;
            const T *kernel = weights + (filter * c.channels_in_group() + channel) * taps;
            for_each_row(axes, [&](int64_t from, int64_t to, int64_t count, int64_t tap) {
                const T weight = kernel[tap];
                if (step == 1)
                    for (int64_t i = 0; i < count; i++)
                        out[to + i] += weight * in[from + i];
                else
                    for (int64_t i = 0; i < count; i++)
                        out[to + i] += weight * in[from + i * step];
            });
        }
    }
}

/// The bias as T; an empty tensor when it is absent.
Tensor bias_of(const RunContext &context, size_t input, Type type, int64_t filters)
{
    if (!context.has(input))
        return {};
    const Tensor &bias = context.inputs[input];
    if (static_cast<int64_t>(bias.count()) != filters)
        throw Error("the bias has " + std::to_string(bias.count()) + " elements, want " + std::to_string(filters));
    return bias.converted(type);
}

void check_bias(const ShapeContext &context, size_t input, int64_t filters)
{
    const auto &bias = context.shape(input);
    if (bias && filters >= 0 && is_static(*bias) && *bias != Shape{filters})
        throw Error("the bias has the shape " + to_string(*bias) + ", want " + std::to_string(filters));
}

/// The result's shape, from input 0 and the weights.
std::optional<Shape> convolution_shape(const ShapeContext &context, size_t weights, size_t bias)
{
    if (!context.shape(0))
        return {};
    const Shape &x = *context.shape(0);
    const Convolution c = convolution_of(context.attributes(), x, context.shape(weights).value_or(unknown_weights(x)));
    check_bias(context, bias, c.filters);
    return c.shape;
}

void conv_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    want_same_type(context, 0, 1);
    want_addend_type(context, 0, 2);
    context.output(0, context.type(0), convolution_shape(context, 1, 2));
}

void conv(RunContext &context)
{
    const Tensor x = context.inputs[0].converted(Type::f32), weights = context.inputs[1].converted(Type::f32);
    const Convolution c = convolution_of(context.node.attributes, x.shape(), weights.shape());
    const Tensor bias = bias_of(context, 2, Type::f32, c.filters);
    Tensor y(Type::f32, c.shape);
    convolve(c, x.data<float>(), weights.data<float>(), bias.data<float>(), y.data<float>());
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

/// The sums of x (zero point: input `x_zero`) and the weights (axis 0), plus an s32 bias, as s32.
Tensor convolve_integers(const RunContext &context, const Convolution &c, size_t x_zero, size_t weights,
                         size_t weights_zero, const Tensor &bias)
{
    auto zero_point = [&](size_t input) { return context.has(input) ? context.inputs[input] : Tensor(); };
    const Tensor in = without_zero_point(context.inputs[0], zero_point(x_zero), 1);
    const Tensor kernels = without_zero_point(context.inputs[weights], zero_point(weights_zero), 0);
    Tensor sums(Type::s32, c.shape);
    convolve(c, in.data<uint32_t>(), kernels.data<uint32_t>(), bias.data<uint32_t>(), sums.data<uint32_t>());
    return sums;
}

void conv_integer_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::integer);
    want_type(context, 1, TypeSet::integer);
    context.output(0, Type::s32, convolution_shape(context, 1, 4));
}

void conv_integer(RunContext &context)
{
    const Convolution c = convolution_of(context.node.attributes, context.inputs[0].shape(), context.inputs[1].shape());
    copy_to_output(context, 0, convolve_integers(context, c, 2, 1, 3, {}));
}

void qlinear_conv_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::integer);
    want_type(context, 3, TypeSet::integer);
    want_type(context, 7, TypeSet::integer);
    context.output(0, context.type(7), convolution_shape(context, 3, 8));
}

void qlinear_conv(RunContext &context)
{
    const Convolution c = convolution_of(context.node.attributes, context.inputs[0].shape(), context.inputs[3].shape());
    const Tensor bias = bias_of(context, 8, Type::s32, c.filters);
    const Tensor sums = convolve_integers(context, c, 2, 3, 5, bias);
    const float scale = only_scale(context, 1) / only_scale(context, 6);
    const Tensor weight_scales = context.inputs[4].converted(Type::f32);
    std::vector<float> factors;
    for (float weight_scale : weight_scales.values<float>())
        factors.push_back(weight_scale * scale);
    requantize(context, sums, factors, 1, context.inputs[7]);
}

// ConvTranspose: the gradient of Conv with respect to its input

/// Input [batch, channels, …] and weights [channels, filters / groups, …]; `axes` are those of the convolution that
/// leads from the result to the input.
Convolution transposed_convolution_of(const Attributes &attributes, const Shape &x, const Shape &weights)
{
    check_ranks(x, weights);
    Convolution c;
    c.axes = transposed_windows_of(attributes, x, kernel_of(attributes, weights));
    c.groups = size_attribute(attributes, "group", 1, 1);
    c.batch = x[0];
    c.channels = x[1];
    if (c.channels >= 0 && weights[0] >= 0 && c.channels != weights[0])
        throw Error(count_fault("the input", c.channels, weights[0]));
    if (c.channels > 0 && c.channels % c.groups != 0)
        throw Error("group is " + std::to_string(c.groups) + ", which does not divide " + std::to_string(c.channels) +
                    " channels");
    c.filters = weights[1] < 0 ? -1 : count_of({weights[1], c.groups});
    c.shape = {c.batch, c.filters};
    for (const WindowAxis &axis : c.axes)
        c.shape.push_back(axis.input);
    return c;
}

void convolve_transposed(const Convolution &c, const float *x, const float *weights, const float *bias, float *y)
{
    const auto axes = three_axes(c.axes);
    const int64_t in_plane = volume(axes, &WindowAxis::output), out_plane = volume(axes, &WindowAxis::input);
    const int64_t taps = volume(axes, &WindowAxis::kernel), step = axes[2].stride;
    for (int64_t plane = 0; plane < c.batch * c.filters; plane++) {
        const int64_t n = plane / c.filters, filter = plane % c.filters, group = filter / c.filters_in_group();
        float *out = y + plane * out_plane;
        std::fill_n(out, out_plane, bias ? bias[filter] : 0.f);
        for (int64_t i = 0; i < c.channels_in_group(); i++) {
            const int64_t channel = group * c.channels_in_group() + i;
            const float *in = x + (n * c.channels + channel) * in_plane;
            const float *kernel = weights + (channel * c.filters_in_group() + filter % c.filters_in_group()) * taps;
            for_each_row(axes, [&](int64_t to, int64_t from, int64_t count, int64_t tap) {
                for (int64_t k = 0; k < count; k++)
                    out[to + k * step] += kernel[tap] * in[from + k];
            });
        }
    }
}

void conv_transpose_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    want_same_type(context, 0, 1);
    want_addend_type(context, 0, 2);
    if (!context.shape(0))
        return context.output(0, context.type(0), {});
    const Shape &x = *context.shape(0);
    const Convolution c =
        transposed_convolution_of(context.attributes(), x, context.shape(1).value_or(unknown_weights(x)));
    check_bias(context, 2, c.filters);
    context.output(0, context.type(0), c.shape);
}

void conv_transpose(RunContext &context)
{
    const Tensor x = context.inputs[0].converted(Type::f32), weights = context.inputs[1].converted(Type::f32);
    const Convolution c = transposed_convolution_of(context.node.attributes, x.shape(), weights.shape());
    const Tensor bias = bias_of(context, 2, Type::f32, c.filters);
    Tensor y(Type::f32, c.shape);
    convolve_transposed(c, x.data<float>(), weights.data<float>(), bias.data<float>(), y.data<float>());
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

// DeformConv: Dai et al., "Deformable Convolutional Networks", 2017; the mask: Zhu et al., "Deformable ConvNets v2".
// Besides ONNX's attributes it has `sharp_edges`, see bilinear().

struct DeformableConvolution {
    Convolution convolution;
    int64_t offset_groups = 1;
    Shape offset_shape, mask_shape;
    bool sharp_edges = false;
};

DeformableConvolution deformable_convolution_of(const Attributes &attributes, const Shape &x, const Shape &weights)
{
    if (x.size() != 4)
        throw Error("the input has the shape " + to_string(x) + ", want batch, channels, height and width");
    DeformableConvolution d{convolution_of(attributes, x, weights),
                            size_attribute(attributes, "offset_group", 1, 1),
                            {},
                            {},
                            attributes.integer("sharp_edges", 0) != 0};
    const Convolution &c = d.convolution;
    if (c.channels >= 0 && c.channels % d.offset_groups != 0)
        throw Error("offset_group is " + std::to_string(d.offset_groups) + ", which does not divide " +
                    std::to_string(c.channels) + " channels");
    const bool known = c.axes[0].kernel > 0 && c.axes[1].kernel > 0;
    const int64_t masks = known ? count_of({d.offset_groups, c.axes[0].kernel, c.axes[1].kernel}) : -1;
    d.mask_shape = {c.batch, masks, c.axes[0].output, c.axes[1].output};
    d.offset_shape = d.mask_shape;
    d.offset_shape[1] = known ? count_of({masks, 2}) : -1;
    return d;
}

void check_fits(const char *what, const Shape &found, const Shape &wanted)
{
    bool fits = found.size() == wanted.size();
    for (size_t i = 0; fits && i < found.size(); i++)
        fits = found[i] < 0 || wanted[i] < 0 || found[i] == wanted[i];
    if (!fits)
        throw Error(std::string("the ") + what + " has the shape " + to_string(found) + ", want " + to_string(wanted));
}

/// The picture between its pixels. Outside of it, it is zero and fades towards that from its edge on; or, with
/// `sharp_edges`, it begins with its first pixel and ends a pixel behind its last one.
float bilinear(const float *picture, int64_t height, int64_t width, float y, float x, bool sharp_edges)
{
    const bool begun = sharp_edges ? y >= 0 && x >= 0 : y > -1 && x > -1;
    if (!(begun && y < static_cast<float>(height) && x < static_cast<float>(width)))
        return 0;
    if (sharp_edges) {
        y = std::min(y, static_cast<float>(height - 1));
        x = std::min(x, static_cast<float>(width - 1));
    }
    const auto top = static_cast<int64_t>(std::floor(y)), left = static_cast<int64_t>(std::floor(x));
    const float dy = y - static_cast<float>(top), dx = x - static_cast<float>(left);
    auto at = [&](int64_t row, int64_t column) {
        const bool inside = row >= 0 && row < height && column >= 0 && column < width;
        return inside ? picture[row * width + column] : 0.f;
    };
    return (1 - dy) * ((1 - dx) * at(top, left) + dx * at(top, left + 1)) +
           dy * ((1 - dx) * at(top + 1, left) + dx * at(top + 1, left + 1));
}

/// What the windows see of picture n, as [channels, taps, positions]; `mask` may be null.
void sample_deformed(const DeformableConvolution &d, int64_t n, const float *x, const float *offset, const float *mask,
                     float *samples)
{
    const Convolution &c = d.convolution;
    const WindowAxis &rows = c.axes[0], &columns = c.axes[1];
    const int64_t taps = rows.kernel * columns.kernel, positions = rows.output * columns.output;
    for (int64_t i = 0; i < c.channels * taps * positions; i++) {
        const int64_t position = i % positions, tap = i / positions % taps, channel = i / positions / taps;
        const int64_t group = channel / (c.channels / d.offset_groups);
        const int64_t shift = ((n * d.offset_groups + group) * taps + tap) * 2 * positions + position;
        const int64_t row = rows.at(position / columns.output, tap / columns.kernel);
        const int64_t column = columns.at(position % columns.output, tap % columns.kernel);
        samples[i] = bilinear(x + (n * c.channels + channel) * rows.input * columns.input, rows.input, columns.input,
                              static_cast<float>(row) + offset[shift],
                              static_cast<float>(column) + offset[shift + positions], d.sharp_edges);
        if (mask)
            samples[i] *= mask[((n * d.offset_groups + group) * taps + tap) * positions + position];
    }
}

void deform_conv_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    for (size_t input = 1; input < 5; input++)
        want_same_type(context, 0, input);
    if (!context.shape(0))
        return context.output(0, context.type(0), {});
    const Shape &x = *context.shape(0);
    const auto d = deformable_convolution_of(context.attributes(), x, context.shape(1).value_or(unknown_weights(x)));
    if (context.shape(2))
        check_fits("offset", *context.shape(2), d.offset_shape);
    if (context.shape(4))
        check_fits("mask", *context.shape(4), d.mask_shape);
    check_bias(context, 3, d.convolution.filters);
    context.output(0, context.type(0), d.convolution.shape);
}

void deform_conv(RunContext &context)
{
    const Tensor x = context.inputs[0].converted(Type::f32), weights = context.inputs[1].converted(Type::f32);
    const Tensor offset = context.inputs[2].converted(Type::f32);
    const Tensor mask = context.has(4) ? context.inputs[4].converted(Type::f32) : Tensor();
    const auto d = deformable_convolution_of(context.node.attributes, x.shape(), weights.shape());
    const Convolution &c = d.convolution;
    check_fits("offset", offset.shape(), d.offset_shape);
    if (mask)
        check_fits("mask", mask.shape(), d.mask_shape);
    const Tensor bias = bias_of(context, 3, Type::f32, c.filters);
    const int64_t taps = c.axes[0].kernel * c.axes[1].kernel, positions = c.axes[0].output * c.axes[1].output;
    Tensor samples(Type::f32, {c.channels, taps, positions});
    Tensor y(Type::f32, c.shape);
    // The samples are a picture of `taps` rows over which a kernel of `taps` rows takes one step.
    Convolution one = c;
    one.batch = 1;
    one.axes = {{taps, taps, 1, 1, 0, 0, 1}, {positions, 1, 1, 1, 0, 0, positions}};
    for (int64_t n = 0; n < c.batch; n++) {
        sample_deformed(d, n, x.data<float>(), offset.data<float>(), mask.data<float>(), samples.data<float>());
        convolve(one, samples.data<float>(), weights.data<float>(), bias.data<float>(),
                 y.data<float>() + n * c.filters * positions);
    }
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

// Col2Im: adds the columns that windows would have copied out of a picture back into one

/// Input [batch, channels · taps, positions]; `shape` = [batch, channels, image …].
Convolution columns_of(const Attributes &attributes, const Shape &x, const std::vector<int64_t> &image,
                       const std::vector<int64_t> &block)
{
    if (x.size() != 3)
        throw Error("the input has the shape " + to_string(x) + ", want batch, channels by block, and positions");
    Convolution c;
    c.batch = x[0];
    c.shape = {x[0], -1};
    c.shape.insert(c.shape.end(), image.begin(), image.end());
    c.axes = windows_of(attributes, c.shape, block);
    int64_t taps = 1, positions = 1;
    for (const WindowAxis &axis : c.axes) {
        if (axis.input < 0)
            throw Error("image_shape is " + to_string(image) + ", want sizes of 1 or more");
        taps = count_of({taps, axis.kernel});
        positions = count_of({positions, axis.output});
    }
    if (x[2] >= 0 && x[2] != positions)
        throw Error("the input has " + std::to_string(x[2]) + " columns, want " + std::to_string(positions));
    if (x[1] >= 0 && x[1] % taps != 0)
        throw Error("the input has " + std::to_string(x[1]) + " rows, want a multiple of " + std::to_string(taps));
    c.channels = c.filters = c.shape[1] = x[1] < 0 ? -1 : x[1] / taps;
    return c;
}

void col2im_rule(ShapeContext &context)
{
    const auto image = constant_integers(context, 1), block = constant_integers(context, 2);
    if (!context.shape(0) || !image || !block)
        return context.output(0, context.type(0), {});
    context.output(0, context.type(0), columns_of(context.attributes(), *context.shape(0), *image, *block).shape);
}

void col2im(RunContext &context)
{
    const Tensor x = context.inputs[0].converted(Type::f32);
    const Convolution c = columns_of(context.node.attributes, x.shape(), integers(context, 1), integers(context, 2));
    Tensor y(Type::f32, c.shape);
    const auto axes = three_axes(c.axes);
    const int64_t image = volume(axes, &WindowAxis::input), positions = volume(axes, &WindowAxis::output);
    const int64_t taps = volume(axes, &WindowAxis::kernel);
    std::fill_n(y.data<float>(), y.count(), 0.f);
    for (int64_t plane = 0; plane < c.batch * c.channels; plane++) {
        const float *in = x.data<float>() + plane * taps * positions;
        float *out = y.data<float>() + plane * image;
        for_each_row(axes, [&](int64_t to, int64_t from, int64_t count, int64_t tap) {
            for (int64_t k = 0; k < count; k++)
                out[to + k * axes[2].stride] += in[tap * positions + from + k];
        });
    }
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

constexpr Op rows[] = {
    {"Col2Im", 3, 3, 1, col2im_rule, col2im},
    {"Conv", 2, 3, 1, conv_rule, conv},
    {"ConvInteger", 2, 4, 1, conv_integer_rule, conv_integer},
    {"ConvTranspose", 2, 3, 1, conv_transpose_rule, conv_transpose},
    {"DeformConv", 3, 5, 1, deform_conv_rule, deform_conv},
    {"QLinearConv", 8, 9, 1, qlinear_conv_rule, qlinear_conv},
};

} // namespace

std::span<const Op> convolution_ops()
{
    return rows;
}

} // namespace leat
