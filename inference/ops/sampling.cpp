#include "inference/ops/attributes.h"
#include "inference/ops/interpolation.h"
#include "inference/ops/walk.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace leat {
namespace {

// GridSample: Jaderberg et al., "Spatial Transformer Networks", 2015

enum class Padding : uint8_t { zeros, border, reflection };

struct GridOptions {
    Interpolation mode;
    Padding padding;
    bool align_corners;
};

GridOptions grid_options(const Attributes &attributes)
{
    return {enum_attribute<Interpolation>(attributes, "mode", "linear", {"nearest", "linear", "cubic"}),
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
    if (options.mode == Interpolation::nearest)
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
    if (options.mode == Interpolation::nearest)
        return {static_cast<int64_t>(std::nearbyint(x)), {1}};
    return taps_around(x, options.mode);
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
    {"RoiAlign", 3, 3, 1, roi_align_rule, roi_align},
};

} // namespace

std::span<const Op> sampling_ops()
{
    return rows;
}

} // namespace leat
