#include "inference/ops/sampling.h"

#include "inference/ops/attributes.h"
#include "inference/ops/walk.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace leat {
namespace {

// GridSample: Jaderberg et al., "Spatial Transformer Networks", 2015

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

/// `coordinate` in [-1, 1] over the axis.
Taps grid_taps(float coordinate, int64_t size, const GridOptions &options)
{
    const float x = grid_position(coordinate, size, options);
    if (options.mode == Interpolation::nearest)
        return {static_cast<int64_t>(std::nearbyint(x)), {1}};
    return taps_around(x, options.mode);
}

/// Three axes, those in front of a shorter tensor being one element wide.
std::array<int64_t, 3> three_sizes(const Shape &shape, size_t first, size_t last)
{
    std::array<int64_t, 3> sizes{1, 1, 1};
    for (size_t back = 1; back <= std::min(last - first, sizes.size()); back++)
        sizes[sizes.size() - back] = shape[last - back];
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

constexpr Op rows[] = {
    {"AffineGrid", 2, 2, 1, affine_grid_rule, affine_grid},
    {"GridSample", 2, 2, 1, grid_sample_rule, grid_sample},
};

/// Mirrors at the ends of [low, high] until it lies inside.
float reflected(float x, float low, float high)
{
    const float span = high - low;
    if (span <= 0)
        return low;
    const float over = std::fmod(std::abs(x - low), 2 * span);
    return low + (over > span ? 2 * span - over : over);
}

} // namespace

GridOptions grid_options(const Attributes &attributes)
{
    return {enum_attribute<Interpolation>(attributes, "mode", "linear", {"nearest", "linear", "cubic"}),
            enum_attribute<Padding>(attributes, "padding_mode", "zeros", {"zeros", "border", "reflection"}),
            attributes.integer("align_corners", 0) != 0};
}

float grid_position(float coordinate, int64_t size, const GridOptions &options)
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
    return std::isnan(x) ? -far : std::clamp(x, -far, length + far);
}

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

std::span<const Op> sampling_ops()
{
    return rows;
}

} // namespace leat
