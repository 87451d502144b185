#include "inference/ops/walk.h"
#include "inference/ops/window.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace leat {
namespace {

/// The enumerator of that place in the list of names. Throws Error that names the attribute.
template <class Enum, size_t N>
Enum enum_attribute(const Attributes &attributes, const std::string &name, const std::string &otherwise,
                    const std::string_view (&names)[N])
{
    const std::string text = attributes.text(name, otherwise);
    const auto *found = std::find(std::begin(names), std::end(names), text);
    if (found != std::end(names))
        return static_cast<Enum>(found - std::begin(names));
    std::string wanted;
    for (std::string_view each : names)
        wanted += (wanted.empty() ? "" : ", ") + std::string(each);
    throw Error(name + " is \"" + text + "\", want one of " + wanted);
}

/// Weights of neighbouring elements, on one axis.
struct Taps {
    int64_t first = 0; ///< may lie outside of the axis
    std::vector<float> weights;
};

float cubic(float distance, float a)
{
    const float d = std::abs(distance);
    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

// Resize

enum class Coordinates : uint8_t {
    half_pixel,
    half_pixel_symmetric,
    pytorch_half_pixel,
    align_corners,
    asymmetric,
    tf_crop_and_resize
};
enum class Mode : uint8_t { nearest, linear, cubic };
enum class Nearest : uint8_t { round_prefer_floor, round_prefer_ceil, floor, ceil };
enum class AspectRatio : uint8_t { stretch, not_larger, not_smaller };

struct ResizeOptions {
    Coordinates coordinates;
    Mode mode;
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
    options.mode = enum_attribute<Mode>(attributes, "mode", "nearest", {"nearest", "linear", "cubic"});
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

/// A triangle or a cubic around `source`, wider by the scale when antialias shrinks.
Taps taps_around(float source, float scale, const ResizeOptions &options)
{
    const bool is_cubic = options.mode == Mode::cubic;
    const float shrink = options.antialias ? std::min(scale, 1.f) : 1.f;
    const auto radius = static_cast<int64_t>(std::ceil((is_cubic ? 2.f : 1.f) / shrink));
    const auto centre = static_cast<int64_t>(std::floor(source));
    Taps taps;
    taps.first = centre - radius + 1;
    for (int64_t i = taps.first; i <= centre + radius; i++) {
        const float distance = (static_cast<float>(i) - source) * shrink;
        taps.weights.push_back(is_cubic ? cubic(distance, options.cubic_a) : std::max(0.f, 1 - std::abs(distance)));
    }
    return taps;
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

struct AxisTable {
    std::vector<Taps> taps;    ///< for each element of the output
    std::vector<bool> outside; ///< tf_crop_and_resize: the element gets the extrapolation value
    /// Whether an axis of `size` elements stays as it is.
    bool keeps(int64_t size) const
    {
        if (std::ssize(taps) != size)
            return false;
        for (size_t i = 0; i < taps.size(); i++)
            if (taps[i].first != static_cast<int64_t>(i) || taps[i].weights.size() != 1 || taps[i].weights[0] != 1)
                return false;
        return true;
    }
};

Taps taps_of(const ResizedAxis &axis, float source, const ResizeOptions &options)
{
    if (options.mode == Mode::nearest)
        return {std::clamp<int64_t>(nearest_element(source, options.nearest), 0, axis.input - 1), {1}};
    if (source == std::floor(source) && !(options.antialias && axis.scale < 1))
        return {std::clamp<int64_t>(static_cast<int64_t>(source), 0, axis.input - 1), {1}};
    Taps taps = taps_around(source, axis.scale, options);
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

void apply_region(std::vector<ResizedAxis> &axes, const RunContext &context)
{
    const auto named = resized_axes(context.node.attributes, axes.size());
    if (!context.has(1))
        throw Error("roi is absent, which tf_crop_and_resize needs");
    check_count("roi", context.inputs[1].count(), 2 * named.size());
    const Tensor region = context.inputs[1].converted(Type::f32);
    for (size_t i = 0; i < named.size(); i++) {
        axes[named[i]].start = region.data<float>()[i];
        axes[named[i]].end = region.data<float>()[i + named.size()];
    }
}

void resize(RunContext &context)
{
    const ResizeOptions options = options_of(context.node.attributes);
    const Tensor &x = context.inputs[0];
    auto axes = resized(context.node.attributes, x.shape(), context.has(2) ? &context.inputs[2] : nullptr,
                        context.has(3) ? &context.inputs[3] : nullptr);
    if (options.coordinates == Coordinates::tf_crop_and_resize)
        apply_region(axes, context);
    const Shape shape = output_shape(axes);
    Tensor y(x.type(), shape);
    if (x.count() == 0 && y.count() != 0)
        throw Error("the input of shape " + to_string(x.shape()) + " has no elements to resize");
    if (y.count() != 0) {
        std::vector<AxisTable> tables;
        for (const ResizedAxis &axis : axes)
            tables.push_back(table_of(axis, options));
        if (options.mode == Mode::nearest) {
            y = take_nearest(x, tables, shape);
        } else {
            Tensor values = x.converted(Type::f32);
            for (size_t axis = 0; axis < axes.size(); axis++)
                if (!tables[axis].keeps(axes[axis].input))
                    values = resample_axis(values, axis, tables[axis]);
            y = values.converted(x.type());
            if (y.raw() == x.raw())
                y = y.clone();
        }
        extrapolate(y, tables, options.extrapolation);
    }
    copy_to_output(context, 0, y);
}

// GridSample: Jaderberg et al., "Spatial Transformer Networks", 2015

enum class Padding : uint8_t { zeros, border, reflection };

struct GridOptions {
    Mode mode;
    Padding padding;
    bool align_corners;
};

GridOptions grid_options(const Attributes &attributes)
{
    return {enum_attribute<Mode>(attributes, "mode", "linear", {"nearest", "linear", "cubic"}),
            enum_attribute<Padding>(attributes, "padding_mode", "zeros", {"zeros", "border", "reflection"}),
            attributes.integer("align_corners", 0) != 0};
}

void check_grid(const Shape &x, const Shape &grid)
{
    if (x.size() < 3 || x.size() > 5 || grid.size() != x.size() ||
        (grid.back() >= 0 && grid.back() != std::ssize(x) - 2) || (grid[0] >= 0 && x[0] >= 0 && grid[0] != x[0]))
        throw Error("the input has the shape " + to_string(x) + " and the grid " + to_string(grid) +
                    "; want batch, channels, sizes … and batch, sizes …, coordinates");
}

void grid_sample_rule(ShapeContext &context)
{
    want_type(context, 1, TypeSet::floating);
    grid_options(context.attributes());
    const auto &x = context.shape(0), &grid = context.shape(1);
    if (!x || !grid)
        return context.output(0, context.type(0), {});
    check_grid(*x, *grid);
    Shape shape{(*x)[0], (*x)[1]};
    shape.insert(shape.end(), grid->begin() + 1, grid->end() - 1);
    context.output(0, context.type(0), shape);
}

/// Mirrors at the ends of [low, high] until it lies inside.
float reflected(float x, float low, float high)
{
    const float span = high - low;
    if (span <= 0)
        return low;
    const float over = std::fmod(std::abs(x - low), 2 * span);
    return low + (over > span ? 2 * span - over : over);
}

/// One element of the axis for a tap; -1: the tap counts for 0.
int64_t element_of(int64_t tap, int64_t size, const GridOptions &options)
{
    if (tap >= 0 && tap < size)
        return tap;
    if (options.padding == Padding::zeros)
        return -1;
    if (options.padding == Padding::reflection) {
        const float edge = options.align_corners ? 0 : 0.5f;
        const float mirrored = reflected(static_cast<float>(tap), -edge, static_cast<float>(size - 1) + edge);
        tap = static_cast<int64_t>(std::nearbyint(mirrored));
    }
    return std::clamp<int64_t>(tap, 0, size - 1);
}

/// `coordinate` in [-1, 1] over the axis.
Taps grid_taps(float coordinate, int64_t size, const GridOptions &options)
{
    const auto length = static_cast<float>(size);
    float x = options.align_corners ? (coordinate + 1) / 2 * (length - 1) : ((coordinate + 1) * length - 1) / 2;
    if (options.mode == Mode::nearest)
        x = std::nearbyint(x);
    const float edge = options.align_corners ? 0 : 0.5f;
    if (!(x >= -edge && x <= length - 1 + edge)) {
        if (options.padding == Padding::border)
            x = std::clamp(x, 0.f, length - 1);
        else if (options.padding == Padding::reflection)
            x = reflected(x, -edge, length - 1 + edge);
    }
    constexpr float far = 3; // beyond the reach of a cubic
    x = std::isnan(x) ? -far : std::clamp(x, -far, length + far);
    if (options.mode == Mode::nearest)
        return {static_cast<int64_t>(std::nearbyint(x)), {1}};
    ResizeOptions shape{};
    shape.mode = options.mode;
    shape.cubic_a = -0.75f;
    return taps_around(x, 1, shape);
}

/// Three axes, those in front of a shorter tensor being one element wide.
std::array<int64_t, 3> three_sizes(const Shape &shape, size_t first, size_t last)
{
    std::array<int64_t, 3> sizes{1, 1, 1};
    std::copy(shape.begin() + static_cast<ptrdiff_t>(first), shape.begin() + static_cast<ptrdiff_t>(last),
              sizes.end() - static_cast<ptrdiff_t>(last - first));
    return sizes;
}

/// An element of a plane and its weight.
struct WeightedElement {
    int64_t element;
    float weight;
};

/// What a point of the grid reads of each plane. `point`: x, y, z …, as many as there are axes.
void collect(std::span<const float> point, const std::array<int64_t, 3> &sizes, const GridOptions &options,
             std::vector<WeightedElement> &elements)
{
    elements.assign({{0, 1.f}});
    std::vector<WeightedElement> next;
    for (size_t i = 0; i < point.size(); i++) {
        const int64_t size = sizes[3 - point.size() + i];
        const Taps taps = grid_taps(point[point.size() - 1 - i], size, options);
        next.clear();
        for (const WeightedElement &so_far : elements)
            for (size_t k = 0; k < taps.weights.size(); k++)
                if (const int64_t at = element_of(taps.first + static_cast<int64_t>(k), size, options); at >= 0)
                    next.push_back({so_far.element * size + at, so_far.weight * taps.weights[k]});
        std::swap(elements, next);
    }
}

void grid_sample(RunContext &context)
{
    const GridOptions options = grid_options(context.node.attributes);
    const Tensor x = context.inputs[0].converted(Type::f32), grid = context.inputs[1].converted(Type::f32);
    check_grid(x.shape(), grid.shape());
    Shape shape{x.dim(0), x.dim(1)};
    shape.insert(shape.end(), grid.shape().begin() + 1, grid.shape().end() - 1);
    Tensor y(Type::f32, shape);
    const auto sizes = three_sizes(x.shape(), 2, x.rank());
    const int64_t in = count_between(x.shape(), 2, x.rank()), out = count_between(shape, 2, shape.size());
    if (in == 0 && y.count() != 0)
        throw Error("the input of shape " + to_string(x.shape()) + " has no elements to sample");
    const size_t coordinates = x.rank() - 2;
    std::vector<WeightedElement> elements;
    for (int64_t n = 0; n < x.dim(0); n++)
        for (int64_t p = 0; p < out; p++) {
            collect(grid.values<float>().subspan(static_cast<size_t>(n * out + p) * coordinates, coordinates), sizes,
                    options, elements);
            for (int64_t c = 0; c < x.dim(1); c++) {
                const float *plane = x.data<float>() + (n * x.dim(1) + c) * in;
                float sum = 0;
                for (const auto &[element, weight] : elements)
                    sum += weight * plane[element];
                y.data<float>()[(n * x.dim(1) + c) * out + p] = sum;
            }
        }
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

// AffineGrid

/// Sizes [batch, channels, (depth,) height, width] of the picture that the grid is for, to the shape of the grid.
Shape grid_shape(const std::vector<int64_t> &size, const std::optional<Shape> &theta)
{
    const auto axes = std::ssize(size) - 2;
    if (axes != 2 && axes != 3)
        throw Error("size has " + std::to_string(size.size()) + " elements, want 4 or 5");
    const Shape wanted{size[0], axes, axes + 1};
    for (size_t i = 0; theta && i < 3; i++)
        if (theta->size() != 3 || ((*theta)[i] >= 0 && (*theta)[i] != wanted[i]))
            throw Error("theta has the shape " + to_string(*theta) + ", want " + to_string(wanted));
    if (!is_static(size))
        throw Error("size is " + to_string(size) + ", want numbers of 0 or more");
    Shape shape{size[0]};
    shape.insert(shape.end(), size.begin() + 2, size.end());
    shape.push_back(axes);
    return shape;
}

void affine_grid_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    const auto size = constant_integers(context, 1);
    std::optional<Shape> shape;
    if (size)
        shape = grid_shape(*size, context.shape(0));
    context.output(0, context.type(0), shape);
}

void affine_grid(RunContext &context)
{
    const Tensor theta = context.inputs[0].converted(Type::f32);
    const Shape shape = grid_shape(integers(context, 1), theta.shape());
    const bool align_corners = context.node.attributes.integer("align_corners", 0) != 0;
    Tensor y(Type::f32, shape);
    const auto axes = static_cast<size_t>(shape.back());
    const int64_t points = count_between(shape, 1, shape.size() - 1);
    auto coordinate = [&](int64_t index, int64_t size) {
        const auto i = static_cast<float>(index), n = static_cast<float>(size);
        if (align_corners)
            return size == 1 ? -1.f : 2 * i / (n - 1) - 1;
        return (2 * i + 1) / n - 1;
    };
    for (int64_t p = 0; p < static_cast<int64_t>(y.count() / axes); p++) {
        const float *matrix = theta.data<float>() + p / points * static_cast<int64_t>(axes * (axes + 1));
        std::array<float, 4> point{};
        int64_t rest = p % points;
        for (size_t i = 0; i < axes; i++) { // the last axis is x
            const int64_t size = shape[axes - i];
            point[i] = coordinate(rest % size, size);
            rest /= size;
        }
        point[axes] = 1;
        for (size_t row = 0; row < axes; row++)
            y.data<float>()[static_cast<size_t>(p) * axes + row] = std::inner_product(
                point.begin(), point.begin() + static_cast<ptrdiff_t>(axes) + 1, matrix + row * (axes + 1), 0.f);
    }
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

// RoiAlign: He et al., "Mask R-CNN", 2017

enum class RoiReduction : uint8_t { average, maximum };

struct RoiOptions {
    RoiReduction reduction;
    bool half_pixel;
    int64_t height, width, sampling_ratio;
    float spatial_scale;
};

/// On one axis of a bin.
constexpr int64_t most_roi_samples = 1024;

RoiOptions roi_options(const Attributes &attributes)
{
    enum class Pixel : uint8_t { half, output_half };
    const int64_t sampling_ratio = size_attribute(attributes, "sampling_ratio", 0, 0);
    if (sampling_ratio > most_roi_samples)
        throw Error("sampling_ratio is " + std::to_string(sampling_ratio) + ", want no more than " +
                    std::to_string(most_roi_samples));
    return {enum_attribute<RoiReduction>(attributes, "mode", "avg", {"avg", "max"}),
            enum_attribute<Pixel>(attributes, "coordinate_transformation_mode", "half_pixel",
                                  {"half_pixel", "output_half_pixel"}) == Pixel::half,
            size_attribute(attributes, "output_height", 1, 1),
            size_attribute(attributes, "output_width", 1, 1),
            sampling_ratio,
            attributes.number("spatial_scale", 1)};
}

void check_rois(const Shape &x, const Shape &rois, const Shape &batches)
{
    if (x.size() != 4)
        throw Error("the input has the shape " + to_string(x) + ", want batch, channels, height and width");
    if (rois.size() != 2 || (rois[1] >= 0 && rois[1] != 4))
        throw Error("rois has the shape " + to_string(rois) + ", want ?x4");
    if (batches.size() != 1 || (batches[0] >= 0 && rois[0] >= 0 && batches[0] != rois[0]))
        throw Error("batch_indices has the shape " + to_string(batches) + ", want " + to_string(Shape{rois[0]}));
}

void roi_align_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    want_type(context, 1, TypeSet::floating);
    want_type(context, 2, TypeSet::integer);
    const RoiOptions options = roi_options(context.attributes());
    if (!context.shape(0))
        return context.output(0, context.type(0), {});
    const Shape &x = *context.shape(0), rois = context.shape(1).value_or(Shape{-1, 4});
    check_rois(x, rois, context.shape(2).value_or(Shape{-1}));
    context.output(0, context.type(0), Shape{rois[0], x[1], options.height, options.width});
}

/// The four pixels around a point and their weights; nothing more than a pixel outside of the picture.
struct Corners {
    std::array<int64_t, 4> at{};
    std::array<float, 4> weights{};
};

Corners corners_of(float y, float x, int64_t height, int64_t width)
{
    const auto rows = static_cast<float>(height), columns = static_cast<float>(width);
    if (!(y >= -1 && y <= rows && x >= -1 && x <= columns))
        return {};
    const float row = std::clamp(y, 0.f, rows - 1), column = std::clamp(x, 0.f, columns - 1);
    const auto top = static_cast<int64_t>(row), left = static_cast<int64_t>(column);
    const int64_t bottom = std::min(top + 1, height - 1), right = std::min(left + 1, width - 1);
    const float dy = row - static_cast<float>(top), dx = column - static_cast<float>(left);
    return {{top * width + left, top * width + right, bottom * width + left, bottom * width + right},
            {(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx}};
}

/// How a region is cut on one axis: `bins` of `step`, each with `samples` points.
struct RoiAxis {
    float start, step;
    int64_t samples;
    float at(int64_t bin, int64_t sample) const
    {
        return start +
               (static_cast<float>(bin) + (static_cast<float>(sample) + 0.5f) / static_cast<float>(samples)) * step;
    }
};

RoiAxis roi_axis(float from, float to, int64_t bins, const RoiOptions &options)
{
    const float shift = options.half_pixel ? 0.5f : 0;
    const float start = from * options.spatial_scale - shift;
    float length = to * options.spatial_scale - shift - start;
    if (!options.half_pixel)
        length = std::max(length, 1.f);
    const float step = length / static_cast<float>(bins);
    if (options.sampling_ratio == 0 && !(step <= static_cast<float>(most_roi_samples)))
        throw Error("a region is " + std::to_string(length) + " pixels long, more than can be sampled");
    const int64_t samples = options.sampling_ratio > 0 ? options.sampling_ratio : static_cast<int64_t>(std::ceil(step));
    return {start, step, samples};
}

float reduce_bin(const float *plane, const std::vector<Corners> &samples, RoiReduction reduction)
{
    const bool maximum = reduction == RoiReduction::maximum;
    float result = maximum && !samples.empty() ? -std::numeric_limits<float>::infinity() : 0;
    for (const Corners &corners : samples)
        for (size_t i = 0; i < 4; i++) {
            const float part = corners.weights[i] * plane[corners.at[i]];
            result = maximum ? std::max(result, part) : result + part;
        }
    return maximum || samples.empty() ? result : result / static_cast<float>(samples.size());
}

void roi_align(RunContext &context)
{
    const RoiOptions options = roi_options(context.node.attributes);
    const Tensor x = context.inputs[0].converted(Type::f32), rois = context.inputs[1].converted(Type::f32);
    const auto batches = integers(context, 2);
    check_rois(x.shape(), rois.shape(), context.inputs[2].shape());
    const int64_t channels = x.dim(1), height = x.dim(2), width = x.dim(3);
    Tensor y(Type::f32, {rois.dim(0), channels, options.height, options.width});
    if (y.count() != 0 && height * width == 0)
        throw Error("the input of shape " + to_string(x.shape()) + " has no elements to sample");
    std::vector<Corners> samples;
    for (int64_t r = 0; y.count() != 0 && r < rois.dim(0); r++) {
        const int64_t batch = batches[static_cast<size_t>(r)];
        if (batch < 0 || batch >= x.dim(0))
            throw Error("batch_indices has " + std::to_string(batch) + ", want 0 to " + std::to_string(x.dim(0) - 1));
        const float *roi = rois.data<float>() + r * 4;
        const RoiAxis rows = roi_axis(roi[1], roi[3], options.height, options);
        const RoiAxis columns = roi_axis(roi[0], roi[2], options.width, options);
        for (int64_t bin = 0; bin < options.height * options.width; bin++) {
            samples.clear();
            for (int64_t i = 0; i < rows.samples; i++)
                for (int64_t j = 0; j < columns.samples; j++)
                    samples.push_back(
                        corners_of(rows.at(bin / options.width, i), columns.at(bin % options.width, j), height, width));
            for (int64_t c = 0; c < channels; c++)
                y.data<float>()[(r * channels + c) * options.height * options.width + bin] =
                    reduce_bin(x.data<float>() + (batch * channels + c) * height * width, samples, options.reduction);
        }
    }
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

constexpr Op rows[] = {
    {"AffineGrid", 2, 2, 1, affine_grid_rule, affine_grid},
    {"GridSample", 2, 2, 1, grid_sample_rule, grid_sample},
    {"Resize", 1, 4, 1, resize_rule, resize},
    {"RoiAlign", 3, 3, 1, roi_align_rule, roi_align},
};

} // namespace

std::span<const Op> resize_ops()
{
    return rows;
}

} // namespace leat
