#include "inference/ops/attributes.h"
#include "inference/ops/boxes.h"

#include <algorithm>
#include <cmath>

// Boxes of fixed sizes at every cell of a feature map: what detectors refine.

namespace leat {
namespace {

/// At a cell.
constexpr int64_t most_priors = 1 << 16;

/// A prior box relative to the centre of its cell, in pixels of the picture.
struct Prior {
    float x = 0, y = 0, half_width = 0, half_height = 0;
    bool clip = false; ///< the upper left corner below by 0, the lower right one above by 1
};

/// Input of two integers, height and width.
std::array<int64_t, 2> two_sizes(const std::vector<int64_t> &sizes, size_t input, int64_t lowest)
{
    if (sizes.size() != 2)
        throw Error("input " + std::to_string(input) + " has " + std::to_string(sizes.size()) +
                    " elements, want height and width");
    for (int64_t size : sizes)
        check_number("input " + std::to_string(input), size, lowest);
    return {sizes[0], sizes[1]};
}

Shape priors_shape(const std::array<int64_t, 2> &cells, int64_t priors)
{
    const int64_t boxes = count_of({cells[0], cells[1], priors});
    check_rows(boxes);
    return {2, 4 * boxes};
}

/// Of the second row: one number for all four coordinates or one for each.
std::array<float, 4> variances_of(const Attributes &attributes)
{
    const auto variance = attributes.numbers("variance");
    if (variance.size() == 4)
        return {variance[0], variance[1], variance[2], variance[3]};
    if (variance.size() > 1)
        throw Error("variance has " + std::to_string(variance.size()) + " numbers, want none, 1 or 4");
    const float only = variance.empty() ? 0.1f : variance[0];
    return {only, only, only, only};
}

void priors_rule(ShapeContext &context, int64_t priors)
{
    want_type(context, 0, TypeSet::integer);
    want_type(context, 1, TypeSet::integer);
    variances_of(context.attributes());
    if (const auto image = constant_integers(context, 1))
        two_sizes(*image, 1, 1);
    const auto cells = constant_integers(context, 0);
    context.output(0, Type::f32, cells ? priors_shape(two_sizes(*cells, 0, 0), priors) : Shape{2, -1});
}

/// Where a cell's centre lies: (offset + index) times step.
struct Grid {
    std::array<int64_t, 2> cells, image; ///< height, width
    float offset = 0.5f, step_x = 0, step_y = 0;
};

float clipped_to_one(float value)
{
    return std::min(std::max(value, 0.f), 1.f);
}

void write_priors(RunContext &context, const Grid &grid, const std::vector<Prior> &priors, bool clip)
{
    Tensor &result = context.output(0, Type::f32, priors_shape(grid.cells, std::ssize(priors)));
    const auto image_height = static_cast<float>(grid.image[0]), image_width = static_cast<float>(grid.image[1]);
    const auto variances = variances_of(context.node.attributes);
    float *to = result.data<float>(), *variance = to + result.dim(1);
    for (int64_t row = 0; result.count() != 0 && row < grid.cells[0]; row++)
        for (int64_t column = 0; column < grid.cells[1]; column++) {
            const float centre_x = (static_cast<float>(column) + grid.offset) * grid.step_x;
            const float centre_y = (static_cast<float>(row) + grid.offset) * grid.step_y;
            for (const Prior &prior : priors) {
                const float x = centre_x + prior.x, y = centre_y + prior.y;
                std::array<float, 4> box{(x - prior.half_width) / image_width, (y - prior.half_height) / image_height,
                                         (x + prior.half_width) / image_width, (y + prior.half_height) / image_height};
                if (prior.clip)
                    box = {std::max(box[0], 0.f), std::max(box[1], 0.f), std::min(box[2], 1.f), std::min(box[3], 1.f)};
                if (clip)
                    std::transform(box.begin(), box.end(), box.begin(), clipped_to_one);
                to = std::copy(box.begin(), box.end(), to);
                variance = std::copy(variances.begin(), variances.end(), variance);
            }
        }
}

// PriorBox: Liu et al., "SSD: Single Shot MultiBox Detector", 2016; the densities are those of Zhang et al.,
// "FaceBoxes", 2017

struct PriorSizes {
    std::vector<float> minima, maxima, fixed, fixed_ratios, densities;
    std::vector<float> ratios; ///< without 1, flipped ones behind their originals
    bool scale_all, maximum_first;
};

std::vector<float> ratios_of(const Attributes &attributes)
{
    const bool flip = attributes.integer("flip", 0) != 0;
    std::vector<float> ratios{1};
    for (float ratio : attributes.numbers("aspect_ratio")) {
        if (!(ratio > 0))
            throw Error("aspect_ratio has " + std::to_string(ratio) + ", want numbers above 0");
        const bool known =
            std::any_of(ratios.begin(), ratios.end(), [&](float other) { return std::abs(other - ratio) < 1e-6f; });
        if (known)
            continue;
        ratios.push_back(ratio);
        if (flip)
            ratios.push_back(1 / ratio);
    }
    ratios.erase(ratios.begin());
    return ratios;
}

PriorSizes prior_sizes(const Attributes &attributes)
{
    PriorSizes sizes{attributes.numbers("min_size"),
                     attributes.numbers("max_size"),
                     attributes.numbers("fixed_size"),
                     attributes.numbers("fixed_ratio"),
                     attributes.numbers("density"),
                     ratios_of(attributes),
                     attributes.integer("scale_all_sizes", 1) != 0,
                     attributes.integer("min_max_aspect_ratios_order", 1) != 0};
    constexpr float most_dense = 256;
    for (float density : sizes.densities)
        if (!(density >= 1 && density <= most_dense))
            throw Error("density has " + std::to_string(density) + ", want numbers from 1 to 256");
    if (!sizes.densities.empty() && sizes.densities.size() < sizes.fixed.size())
        throw Error("density has fewer numbers than fixed_size");
    for (float size : sizes.fixed)
        if (!(size >= 0 && size <= 1e6f))
            throw Error("fixed_size has " + std::to_string(size) + ", want numbers from 0 to 1000000");
    for (float ratio : sizes.fixed_ratios)
        if (!(ratio > 0))
            throw Error("fixed_ratio has " + std::to_string(ratio) + ", want numbers above 0");
    return sizes;
}

void add_prior(std::vector<Prior> &priors, const Prior &prior)
{
    if (std::ssize(priors) >= most_priors)
        throw Error("there are more than " + std::to_string(most_priors) + " boxes at each cell");
    priors.push_back(prior);
}

/// Boxes of one fixed size on a lattice inside of it.
void add_dense(std::vector<Prior> &priors, float size, int64_t density, float half_width, float half_height)
{
    const auto pixels = static_cast<int64_t>(size), shift = static_cast<int64_t>(size / static_cast<float>(density));
    const float first = static_cast<float>(shift) / 2 - static_cast<float>(pixels / 2);
    for (int64_t row = 0; row < density; row++)
        for (int64_t column = 0; column < density; column++)
            add_prior(priors, {first + static_cast<float>(column * shift), first + static_cast<float>(row * shift),
                               half_width, half_height, true});
}

void add_fixed(std::vector<Prior> &priors, const PriorSizes &sizes, size_t i)
{
    const float size = sizes.fixed[i];
    const int64_t density = sizes.densities.empty() ? 1 : static_cast<int64_t>(sizes.densities[i]);
    if (sizes.fixed_ratios.empty()) {
        const float half = std::floor(size) * 0.5f;
        add_dense(priors, size, density, half, half);
    }
    for (float ratio : sizes.fixed_ratios.empty() ? sizes.ratios : sizes.fixed_ratios)
        add_dense(priors, size, density, size * 0.5f * std::sqrt(ratio), size * 0.5f / std::sqrt(ratio));
}

void add_maximum(std::vector<Prior> &priors, const PriorSizes &sizes, size_t i)
{
    if (i >= sizes.maxima.size())
        return;
    const float half = std::sqrt(sizes.minima[i] * sizes.maxima[i]) * 0.5f;
    add_prior(priors, {0, 0, half, half});
}

void add_ratios(std::vector<Prior> &priors, const PriorSizes &sizes, size_t i)
{
    if (!sizes.scale_all && i + 1 != sizes.minima.size())
        return;
    const float size = sizes.minima[sizes.scale_all ? i : 0];
    for (float ratio : sizes.ratios)
        add_prior(priors, {0, 0, size * 0.5f * std::sqrt(ratio), size * 0.5f / std::sqrt(ratio)});
}

std::vector<Prior> priors_of(const PriorSizes &sizes)
{
    std::vector<Prior> priors;
    for (size_t i = 0; i < sizes.fixed.size(); i++)
        add_fixed(priors, sizes, i);
    for (size_t i = 0; i < sizes.minima.size(); i++) {
        const float half = sizes.minima[i] * 0.5f;
        add_prior(priors, {0, 0, half, half});
        if (sizes.maximum_first)
            add_maximum(priors, sizes, i);
        add_ratios(priors, sizes, i);
        if (!sizes.maximum_first)
            add_maximum(priors, sizes, i);
    }
    return priors;
}

void prior_box_rule(ShapeContext &context)
{
    priors_rule(context, std::ssize(priors_of(prior_sizes(context.attributes()))));
}

/// Without scale_all_sizes, sizes and step are fractions of the picture's height.
void prior_box(RunContext &context)
{
    const Attributes &attributes = context.node.attributes;
    PriorSizes sizes = prior_sizes(attributes);
    Grid grid{two_sizes(integers(context, 0), 0, 0), two_sizes(integers(context, 1), 1, 1)};
    const auto image_height = static_cast<float>(grid.image[0]), image_width = static_cast<float>(grid.image[1]);
    const auto rows = static_cast<float>(grid.cells[0]), columns = static_cast<float>(grid.cells[1]);
    float step = attributes.number("step", 0);
    if (!sizes.scale_all) {
        step = step == -1 ? image_height / rows : step * image_height;
        for (float &size : sizes.minima)
            size *= image_height;
    }
    grid.offset = step == 0 ? 0.5f : attributes.number("offset", 0.5f);
    grid.step_x = step == 0 ? image_width / columns : step;
    grid.step_y = step == 0 ? image_height / rows : step;
    write_priors(context, grid, priors_of(sizes), attributes.integer("clip", 0) != 0);
}

// PriorBoxClustered

std::vector<Prior> clustered_priors(const Attributes &attributes)
{
    const auto widths = attributes.numbers("width"), heights = attributes.numbers("height");
    if (widths.size() != heights.size())
        throw Error("width has " + std::to_string(widths.size()) + " numbers and height " +
                    std::to_string(heights.size()) + ", which must be as many");
    std::vector<Prior> priors;
    for (size_t i = 0; i < widths.size(); i++)
        add_prior(priors, {0, 0, widths[i] / 2, heights[i] / 2});
    return priors;
}

void prior_box_clustered_rule(ShapeContext &context)
{
    priors_rule(context, std::ssize(clustered_priors(context.attributes())));
}

void prior_box_clustered(RunContext &context)
{
    const Attributes &attributes = context.node.attributes;
    Grid grid{two_sizes(integers(context, 0), 0, 0), two_sizes(integers(context, 1), 1, 1)};
    const float step = attributes.number("step", 0);
    auto given = [&](const char *name) {
        const float own = attributes.number(name, 0);
        return own == 0 ? step : own;
    };
    grid.offset = attributes.number("offset", 0);
    grid.step_x = given("step_w");
    grid.step_y = given("step_h");
    if (grid.step_x == 0 && grid.step_y == 0) {
        grid.step_x = static_cast<float>(grid.image[1]) / static_cast<float>(grid.cells[1]);
        grid.step_y = static_cast<float>(grid.image[0]) / static_cast<float>(grid.cells[0]);
    }
    write_priors(context, grid, clustered_priors(attributes), attributes.integer("clip", 1) != 0);
}

// ExperimentalDetectronPriorGridGenerator: of the feature map and the picture only the shapes count

struct PriorGrid {
    int64_t height = -1, width = -1;
    bool flatten;
};

PriorGrid prior_grid(const Attributes &attributes, const std::optional<Shape> &features)
{
    PriorGrid grid{size_attribute(attributes, "h", 0, 0), size_attribute(attributes, "w", 0, 0),
                   attributes.integer("flatten", 1) != 0};
    want_shape(features, 1, {-1, -1, -1, -1}, "batch, channels, height and width");
    if (grid.height == 0)
        grid.height = features ? (*features)[2] : -1;
    if (grid.width == 0)
        grid.width = features ? (*features)[3] : -1;
    return grid;
}

Shape prior_grid_shape(const PriorGrid &grid, int64_t priors)
{
    if (grid.flatten)
        return {known_product({grid.height, grid.width, priors}), 4};
    return {grid.height, grid.width, priors, 4};
}

void prior_grid_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    want_shape(context.shape(0), 0, {-1, 4}, "priors of 4 coordinates");
    want_shape(context.shape(2), 2, {-1, -1, -1, -1}, "batch, channels, height and width");
    const PriorGrid grid = prior_grid(context.attributes(), context.shape(1));
    context.output(0, context.type(0), prior_grid_shape(grid, context.shape(0) ? (*context.shape(0))[0] : -1));
}

void prior_grid_generator(RunContext &context)
{
    const Attributes &attributes = context.node.attributes;
    const Tensor priors = context.inputs[0].converted(Type::f32);
    want_shape(priors.shape(), 0, {-1, 4}, "priors of 4 coordinates");
    want_shape(context.inputs[2].shape(), 2, {-1, -1, -1, -1}, "batch, channels, height and width");
    const PriorGrid grid = prior_grid(attributes, context.inputs[1].shape());
    auto step = [&](const char *name, size_t axis, int64_t cells) {
        const float given = attributes.number(name, 0);
        return given != 0 ? given : static_cast<float>(context.inputs[2].dim(axis)) / static_cast<float>(cells);
    };
    const float step_x = step("stride_x", 3, grid.width), step_y = step("stride_y", 2, grid.height);
    Tensor result(Type::f32, prior_grid_shape(grid, priors.dim(0)));
    float *to = result.data<float>();
    for (int64_t row = 0; result.count() != 0 && row < grid.height; row++)
        for (int64_t column = 0; column < grid.width; column++)
            for (size_t i = 0; i < priors.count(); i++) {
                const float centre =
                    i % 2 ? step_y * (static_cast<float>(row) + 0.5f) : step_x * (static_cast<float>(column) + 0.5f);
                *to++ = priors.data<float>()[i] + centre;
            }
    copy_to_output(context, 0, result.converted(context.inputs[0].type()));
}

constexpr Op rows[] = {
    {"ExperimentalDetectronPriorGridGenerator", 3, 3, 1, prior_grid_rule, prior_grid_generator},
    {"PriorBox", 2, 2, 1, prior_box_rule, prior_box},
    {"PriorBoxClustered", 2, 2, 1, prior_box_clustered_rule, prior_box_clustered},
};

} // namespace

std::span<const Op> prior_ops()
{
    return rows;
}

} // namespace leat
