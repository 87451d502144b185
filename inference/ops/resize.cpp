#include "inference/ops/attributes.h"
#include "inference/ops/resampling.h"
#include "inference/ops/walk.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace leat {
namespace {

enum class Coordinates : uint8_t {
    half_pixel,
    half_pixel_symmetric,
    pytorch_half_pixel,
    align_corners,
    asymmetric,
    tf_crop_and_resize
};
enum class Nearest : uint8_t { round_prefer_floor, round_prefer_ceil, floor, ceil };
enum class AspectRatio : uint8_t { stretch, not_larger, not_smaller };

struct ResizeOptions {
    Coordinates coordinates;
    Interpolation mode;
    Nearest nearest;
    AspectRatio aspect_ratio;
    bool antialias, exclude_outside;
    float cubic_a, extrapolation;
};

ResizeOptions options_of(const Attributes &attributes)
{
    ResizeOptions options;
    options.coordinates = enum_attribute<Coordinates>(attributes, "coordinate_transformation_mode", "half_pixel",
                                                      {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
                                                       "align_corners", "asymmetric", "tf_crop_and_resize"});
    options.mode = enum_attribute<Interpolation>(attributes, "mode", "nearest", {"nearest", "linear", "cubic"});
    options.nearest = enum_attribute<Nearest>(attributes, "nearest_mode", "round_prefer_floor",
                                              {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"});
    options.aspect_ratio = enum_attribute<AspectRatio>(attributes, "keep_aspect_ratio_policy", "stretch",
                                                       {"stretch", "not_larger", "not_smaller"});
    options.antialias = attributes.integer("antialias", 0) != 0;
    options.exclude_outside = attributes.integer("exclude_outside", 0) != 0;
    options.cubic_a = attributes.number("cubic_coeff_a", -0.75f);
    options.extrapolation = attributes.number("extrapolation_value", 0);
    return options;
}

/// One axis of the input and what becomes of it. A size of -1 is not known.
struct ResizedAxis {
    int64_t input = 0, output = 0;
    float scale = 1;
    float start = 0, end = 1; ///< of the region of interest, as parts of the axis
};

std::vector<size_t> resized_axes(const Attributes &attributes, size_t rank)
{
    if (attributes.has("axes"))
        return normal_axes(attributes.integers("axes"), rank);
    std::vector<size_t> axes(rank);
    std::iota(axes.begin(), axes.end(), size_t(0));
    return axes;
}

/// Throws Error unless the input holds one element for each resized axis.
void check_count(const char *what, size_t found, size_t wanted)
{
    if (found != wanted)
        throw Error(std::string(what) + " has " + std::to_string(found) + " elements, want " + std::to_string(wanted));
}

int64_t scaled(int64_t size, float scale)
{
    const float product = std::floor(static_cast<float>(size) * scale);
    constexpr float highest = 1 << 30;
    if (!(product <= highest))
        throw Error("a size of " + std::to_string(size) + " times " + std::to_string(scale) + " is too large");
    return static_cast<int64_t>(product);
}

void apply_scales(std::vector<ResizedAxis> &result, const std::vector<size_t> &axes, const Tensor &scales)
{
    check_count("scales", scales.count(), axes.size());
    const Tensor numbers = scales.converted(Type::f32);
    for (size_t i = 0; i < axes.size(); i++) {
        ResizedAxis &axis = result[axes[i]];
        axis.scale = numbers.data<float>()[i];
        if (!(axis.scale > 0) || std::isinf(axis.scale))
            throw Error("scales has " + std::to_string(axis.scale) + ", want more than 0");
        if (axis.input >= 0)
            axis.output = scaled(axis.input, axis.scale);
    }
}

/// One scale for all axes: the smallest or the largest of theirs.
void keep_aspect_ratio(std::vector<ResizedAxis> &result, const std::vector<size_t> &axes, AspectRatio policy)
{
    const bool known = std::all_of(axes.begin(), axes.end(), [&](size_t a) { return result[a].input >= 0; });
    float scale = axes.empty() ? 1 : result[axes[0]].scale;
    for (size_t a : axes)
        scale = policy == AspectRatio::not_larger ? std::min(scale, result[a].scale) : std::max(scale, result[a].scale);
    for (size_t a : axes) {
        result[a].scale = scale;
        result[a].output =
            known ? static_cast<int64_t>(std::floor(scale * static_cast<float>(result[a].input) + 0.5f)) : -1;
    }
}

void apply_sizes(std::vector<ResizedAxis> &result, const std::vector<size_t> &axes, const std::vector<int64_t> &sizes,
                 AspectRatio policy)
{
    check_count("sizes", sizes.size(), axes.size());
    for (size_t i = 0; i < axes.size(); i++) {
        ResizedAxis &axis = result[axes[i]];
        if (sizes[i] < 1 || sizes[i] > 1 << 30)
            throw Error("sizes has " + std::to_string(sizes[i]) + ", want 1 to " + std::to_string(1 << 30));
        axis.output = sizes[i];
        if (axis.input > 0)
            axis.scale = static_cast<float>(sizes[i]) / static_cast<float>(axis.input);
    }
    if (policy != AspectRatio::stretch)
        keep_aspect_ratio(result, axes, policy);
}

/// `scales` and `sizes` may be null or without elements where the node does not have or know them.
std::vector<ResizedAxis> resized(const Attributes &attributes, const Shape &x, const Tensor *scales,
                                 const Tensor *sizes)
{
    const auto axes = resized_axes(attributes, x.size());
    std::vector<ResizedAxis> result(x.size());
    for (size_t i = 0; i < x.size(); i++)
        result[i].input = result[i].output = x[i];
    for (size_t a : axes)
        result[a].output = -1;
    if (scales && scales->count() != 0)
        apply_scales(result, axes, *scales);
    else if (sizes)
        apply_sizes(result, axes, sizes->to_int64(), options_of(attributes).aspect_ratio);
    return result;
}

Shape output_shape(const std::vector<ResizedAxis> &axes)
{
    Shape shape;
    for (const ResizedAxis &axis : axes)
        shape.push_back(axis.output);
    return shape;
}

void resize_rule(ShapeContext &context)
{
    options_of(context.attributes());
    want_type(context, 2, TypeSet::floating);
    want_type(context, 3, TypeSet::integer);
    if (!context.has(2) && !context.has(3))
        throw Error("both inputs, scales and sizes, are absent; want one of them");
    if (!context.shape(0))
        return context.output(0, context.type(0), {});
    context.output(
        0, context.type(0),
        output_shape(resized(context.attributes(), *context.shape(0), context.constant(2), context.constant(3))));
}

/// Where the centre of an element of the output lies among those of the input.
float source_of(const ResizedAxis &axis, int64_t position, Coordinates mode)
{
    const auto x = static_cast<float>(position), in = static_cast<float>(axis.input);
    const float out = axis.scale * in; // as defined; not rounded to a whole number
    switch (mode) {
    case Coordinates::align_corners: return out == 1 ? 0 : x * (in - 1) / (out - 1);
    case Coordinates::asymmetric: return x / axis.scale;
    case Coordinates::pytorch_half_pixel: return out == 1 ? -0.5f : (x + 0.5f) / axis.scale - 0.5f;
    case Coordinates::half_pixel: return (x + 0.5f) / axis.scale - 0.5f;
    case Coordinates::half_pixel_symmetric:
        return in / 2 * (1 - static_cast<float>(axis.output) / out) + (x + 0.5f) / axis.scale - 0.5f;
    case Coordinates::tf_crop_and_resize: break;
    }
    const float span = (axis.end - axis.start) * (in - 1);
    return axis.start * (in - 1) + (out == 1 ? span / 2 : x * span / (out - 1));
}

/// Coordinates so far outside that they say nothing, and those that are no numbers, come to the edge.
float bounded(float source, int64_t size)
{
    return std::isnan(source) ? 0 : std::clamp(source, -1.f, static_cast<float>(size));
}

int64_t nearest_element(float source, Nearest mode)
{
    switch (mode) {
    case Nearest::round_prefer_floor: return static_cast<int64_t>(std::ceil(source - 0.5f));
    case Nearest::round_prefer_ceil: return static_cast<int64_t>(std::floor(source + 0.5f));
    case Nearest::floor: return static_cast<int64_t>(std::floor(source));
    case Nearest::ceil: break;
    }
    return static_cast<int64_t>(std::ceil(source));
}

/// Divides by the sum of the weights.
void normalize(Taps &taps)
{
    const float sum = std::accumulate(taps.weights.begin(), taps.weights.end(), 0.f);
    if (sum != 0)
        for (float &weight : taps.weights)
            weight /= sum;
}

/// Taps inside of the axis: those beyond its ends count for the elements at the ends, or for nothing.
Taps inside(const Taps &taps, int64_t size, bool exclude_outside)
{
    Taps result;
    const int64_t last = taps.first + std::ssize(taps.weights) - 1;
    result.first = std::clamp<int64_t>(taps.first, 0, size - 1);
    result.weights.resize(static_cast<size_t>(std::clamp<int64_t>(last, 0, size - 1) - result.first + 1), 0.f);
    for (int64_t i = taps.first; i <= last; i++) {
        const int64_t element = std::clamp<int64_t>(i, 0, size - 1);
        if (element == i || !exclude_outside)
            result.weights[static_cast<size_t>(element - result.first)] +=
                taps.weights[static_cast<size_t>(i - taps.first)];
    }
    if (exclude_outside)
        normalize(result);
    return result;
}

Taps taps_of(const ResizedAxis &axis, float source, const ResizeOptions &options)
{
    if (options.mode == Interpolation::nearest)
        return {std::clamp<int64_t>(nearest_element(source, options.nearest), 0, axis.input - 1), {1}};
    if (source == std::floor(source) && !(options.antialias && axis.scale < 1))
        return {std::clamp<int64_t>(static_cast<int64_t>(source), 0, axis.input - 1), {1}};
    Taps taps = taps_around(source, options.mode, options.antialias ? std::min(axis.scale, 1.f) : 1.f, options.cubic_a);
    if (options.antialias)
        normalize(taps);
    return inside(taps, axis.input, options.exclude_outside);
}

AxisTable table_of(const ResizedAxis &axis, const ResizeOptions &options)
{
    AxisTable table;
    for (int64_t i = 0; i < axis.output; i++) {
        const float source = source_of(axis, i, options.coordinates);
        table.outside.push_back(options.coordinates == Coordinates::tf_crop_and_resize &&
                                !(source >= 0 && source <= static_cast<float>(axis.input - 1)));
        table.taps.push_back(taps_of(axis, bounded(source, axis.input), options));
    }
    if (axis.input == axis.output && axis.scale == 1 && options.coordinates != Coordinates::tf_crop_and_resize)
        for (size_t i = 0; i < table.taps.size(); i++)
            table.taps[i] = {static_cast<int64_t>(i), {1}};
    return table;
}

/// One axis of `x` by its table, in f32.
Tensor resample_axis(const Tensor &x, size_t axis, const AxisTable &table)
{
    Shape shape = x.shape();
    shape[axis] = std::ssize(table.taps);
    Tensor y(Type::f32, shape);
    const int64_t outer = count_between(shape, 0, axis), inner = count_between(shape, axis + 1, shape.size());
    float *to = y.data<float>();
    for (int64_t o = 0; o < outer; o++)
        for (const Taps &taps : table.taps) {
            std::fill_n(to, inner, 0.f);
            const float *from = x.data<float>() + (o * x.dim(axis) + taps.first) * inner;
            for (size_t k = 0; k < taps.weights.size(); k++, from += inner)
                for (int64_t i = 0; i < inner; i++)
                    to[i] += taps.weights[k] * from[i];
            to += inner;
        }
    return y;
}

/// Copies the nearest elements, whatever their type.
Tensor take_nearest(const Tensor &x, const std::vector<AxisTable> &tables, const Shape &shape)
{
    Tensor y(x.type(), shape);
    const Shape steps = strides_of(x.shape());
    std::vector<int64_t> from{0};
    for (size_t axis = 0; axis < shape.size(); axis++) {
        std::vector<int64_t> next;
        next.reserve(from.size() * tables[axis].taps.size());
        for (int64_t base : from)
            for (const Taps &taps : tables[axis].taps)
                next.push_back(base + taps.first * steps[axis]);
        from = std::move(next);
    }
    visit_width(x.type(), [&]<class T>() {
        std::transform(from.begin(), from.end(), y.data<T>(), [&](int64_t at) { return x.data<T>()[at]; });
    });
    return y;
}

void extrapolate(Tensor &y, const std::vector<AxisTable> &tables, float value)
{
    const Tensor filling = Tensor::of<float>({}, {value}).converted(y.type());
    const Shape steps = strides_of(y.shape());
    for (size_t axis = 0; axis < y.rank(); axis++)
        for (size_t i = 0; i < tables[axis].outside.size(); i++) {
            if (!tables[axis].outside[i])
                continue;
            Shape slice = y.shape();
            slice[axis] = 1;
            copy_elements(filling, y, slice, {Shape(slice.size(), 0), steps},
                          {0, static_cast<int64_t>(i) * steps[axis]});
        }
}

void apply_region(std::vector<ResizedAxis> &axes, const Attributes &attributes, const Tensor *roi)
{
    const auto named = resized_axes(attributes, axes.size());
    if (!roi)
        throw Error("roi is absent, which tf_crop_and_resize needs");
    check_count("roi", roi->count(), 2 * named.size());
    const Tensor region = roi->converted(Type::f32);
    for (size_t i = 0; i < named.size(); i++) {
        axes[named[i]].start = region.data<float>()[i];
        axes[named[i]].end = region.data<float>()[i + named.size()];
    }
}

/// For an axis without elements, which only a tensor without elements has.
AxisTable nothing_to_take(int64_t output)
{
    const auto count = static_cast<size_t>(output);
    return {std::vector<Taps>(count), std::vector<bool>(count, false)};
}

void resize(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    auto input = [&](size_t index) { return context.has(index) ? &context.inputs[index] : nullptr; };
    const Resampling resampling = resampling_of(context.node.attributes, x.shape(), input(1), input(2), input(3));
    Shape shape;
    for (const AxisTable &axis : resampling.axes)
        shape.push_back(std::ssize(axis.taps));
    Tensor y(x.type(), shape);
    if (y.count() != 0) {
        if (resampling.nearest) {
            y = take_nearest(x, resampling.axes, shape);
        } else {
            Tensor values = x.converted(Type::f32);
            for (size_t axis = 0; axis < shape.size(); axis++)
                if (!resampling.axes[axis].keeps(x.dim(axis)))
                    values = resample_axis(values, axis, resampling.axes[axis]);
            y = values.converted(x.type());
            if (y.raw() == x.raw())
                y = y.clone();
        }
        extrapolate(y, resampling.axes, resampling.extrapolation);
    }
    copy_to_output(context, 0, y);
}

constexpr Op rows[] = {{"Resize", 1, 4, 1, resize_rule, resize}};

} // namespace

bool AxisTable::keeps(int64_t size) const
{
    if (std::ssize(taps) != size)
        return false;
    for (size_t i = 0; i < taps.size(); i++)
        if (taps[i].first != static_cast<int64_t>(i) || taps[i].weights.size() != 1 || taps[i].weights[0] != 1)
            return false;
    return true;
}

Resampling resampling_of(const Attributes &attributes, const Shape &x, const Tensor *region, const Tensor *scales,
                         const Tensor *sizes)
{
    const ResizeOptions options = options_of(attributes);
    auto axes = resized(attributes, x, scales, sizes);
    if (options.coordinates == Coordinates::tf_crop_and_resize)
        apply_region(axes, attributes, region);
    const Shape shape = output_shape(axes);
    if (count_of(x) == 0 && count_of(shape) != 0)
        throw Error("the input of shape " + to_string(x) + " has no elements to resize");
    Resampling resampling;
    resampling.nearest = options.mode == Interpolation::nearest;
    resampling.extrapolation = options.extrapolation;
    for (const ResizedAxis &axis : axes)
        resampling.axes.push_back(axis.input > 0 ? table_of(axis, options) : nothing_to_take(axis.output));
    return resampling;
}

std::span<const Op> resize_ops()
{
    return rows;
}

} // namespace leat
