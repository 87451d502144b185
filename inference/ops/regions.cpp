#include "inference/ops/attributes.h"
#include "inference/ops/boxes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

// Features of regions of interest, and YOLO's own way to activate its feature map.

namespace leat {
namespace {

// RoiAlign: He et al., "Mask R-CNN", 2017. Besides ONNX's modes it has "max_sample": the highest of 0 and the samples,
// where "max" takes the highest of the parts that the samples are sums of.

enum class RoiReduction : uint8_t { average, maximum, highest_sample };

struct RoiOptions {
    RoiReduction reduction;
    bool half_pixel, whole_pixel; ///< whole: a region is a pixel wide at least
    int64_t height, width, sampling_ratio;
    float spatial_scale;
};

/// On one axis of a bin.
constexpr int64_t most_roi_samples = 1024;

int64_t sampling_ratio_attribute(const Attributes &attributes)
{
    const int64_t sampling_ratio = size_attribute(attributes, "sampling_ratio", 0, 0);
    if (sampling_ratio > most_roi_samples)
        throw Error("sampling_ratio is " + std::to_string(sampling_ratio) + ", want no more than " +
                    std::to_string(most_roi_samples));
    return sampling_ratio;
}

RoiOptions roi_options(const Attributes &attributes)
{
    enum class Pixel : uint8_t { half, output_half };
    const bool half_pixel = enum_attribute<Pixel>(attributes, "coordinate_transformation_mode", "half_pixel",
                                                  {"half_pixel", "output_half_pixel"}) == Pixel::half;
    return {enum_attribute<RoiReduction>(attributes, "mode", "avg", {"avg", "max", "max_sample"}),
            half_pixel,
            !half_pixel,
            size_attribute(attributes, "output_height", 1, 1),
            size_attribute(attributes, "output_width", 1, 1),
            sampling_ratio_attribute(attributes),
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
    if (options.whole_pixel)
        length = std::max(length, 1.f);
    const float step = length / static_cast<float>(bins);
    if (options.sampling_ratio == 0 && !(step <= static_cast<float>(most_roi_samples)))
        throw Error("a region is " + std::to_string(length) + " pixels long, more than can be sampled");
    const int64_t samples =
        options.sampling_ratio > 0 ? options.sampling_ratio : whole(std::ceil(step), 0, most_roi_samples);
    return {start, step, samples};
}

float reduce_bin(const float *plane, const std::vector<Corners> &samples, RoiReduction reduction)
{
    const bool maximum = reduction == RoiReduction::maximum;
    float result = maximum && !samples.empty() ? -std::numeric_limits<float>::infinity() : 0;
    for (const Corners &corners : samples) {
        float sample = 0;
        for (size_t i = 0; i < 4; i++) {
            const float part = corners.weights[i] * plane[corners.at[i]];
            sample = maximum && i > 0 ? std::max(sample, part) : sample + part;
        }
        result = reduction == RoiReduction::average ? result + sample : std::max(result, sample);
    }
    return reduction != RoiReduction::average || samples.empty() ? result : result / static_cast<float>(samples.size());
}

/// `sizes`: channels, height, width of `planes`, none of them 0; `region`: x1, y1, x2, y2; `to`: [channels, bins].
void align_region(const float *planes, const std::array<int64_t, 3> &sizes, const float *region,
                  const RoiOptions &options, float *to)
{
    const auto [channels, height, width] = sizes;
    const RoiAxis rows = roi_axis(region[1], region[3], options.height, options);
    const RoiAxis columns = roi_axis(region[0], region[2], options.width, options);
    const int64_t bins = options.height * options.width;
    std::vector<Corners> samples;
    for (int64_t bin = 0; bin < bins; bin++) {
        samples.clear();
        for (int64_t i = 0; i < rows.samples; i++)
            for (int64_t j = 0; j < columns.samples; j++)
                samples.push_back(
                    corners_of(rows.at(bin / options.width, i), columns.at(bin % options.width, j), height, width));
        for (int64_t c = 0; c < channels; c++)
            to[c * bins + bin] = reduce_bin(planes + c * height * width, samples, options.reduction);
    }
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
    for (int64_t r = 0; y.count() != 0 && r < rois.dim(0); r++) {
        const int64_t batch = batches[static_cast<size_t>(r)];
        if (batch < 0 || batch >= x.dim(0))
            throw Error("batch_indices has " + std::to_string(batch) + ", want 0 to " + std::to_string(x.dim(0) - 1));
        align_region(x.data<float>() + batch * channels * height * width, {channels, height, width},
                     rois.data<float>() + r * 4, options,
                     y.data<float>() + r * channels * options.height * options.width);
    }
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

// What the pooling ops share: features [batch, channels, height, width] and regions [count, 5] of (batch, x1, y1, x2,
// y2)

struct PooledFeatures {
    Tensor x, regions;
    int64_t channels() const { return x.dim(1); }
    int64_t height() const { return x.dim(2); }
    int64_t width() const { return x.dim(3); }
    const float *region(int64_t r) const { return regions.data<float>() + 5 * r; }
    const float *plane(int64_t batch, int64_t channel) const
    {
        return x.data<float>() + (batch * channels() + channel) * height() * width();
    }
    /// Throws Error when the region names a picture that there is not.
    int64_t batch(int64_t r) const
    {
        const float index = region(r)[0];
        if (!(index >= 0 && index < static_cast<float>(x.dim(0))))
            throw Error("region " + std::to_string(r) + " is of picture " + std::to_string(index) + ", want 0 to " +
                        std::to_string(x.dim(0) - 1));
        return static_cast<int64_t>(index);
    }
};

void check_features(const std::optional<Shape> &x, const std::optional<Shape> &regions)
{
    want_shape(x, 0, {-1, -1, -1, -1}, "batch, channels, height, width");
    want_shape(regions, 1, {-1, 5}, "regions, batch and corners");
}

PooledFeatures pooled_features(const RunContext &context)
{
    PooledFeatures features{context.inputs[0].converted(Type::f32), context.inputs[1].converted(Type::f32)};
    check_features(features.x.shape(), features.regions.shape());
    check_rows(features.regions.dim(0));
    return features;
}

/// `channels`: of the result.
void pooled_rule(ShapeContext &context, int64_t channels, int64_t height, int64_t width)
{
    want_type(context, 0, TypeSet::floating);
    want_type(context, 1, TypeSet::floating);
    check_features(context.shape(0), context.shape(1));
    context.output(0, context.type(0), Shape{size_or_unknown(context.shape(1), 0), channels, height, width});
}

/// Throws Error when there is something to make of nothing.
Tensor pooled_result(const PooledFeatures &features, int64_t channels, int64_t height, int64_t width)
{
    Tensor result(Type::f32, {features.regions.dim(0), channels, height, width});
    if (result.count() != 0 && features.height() * features.width() == 0)
        throw Error("the input of shape " + to_string(features.x.shape()) + " has no elements to pool");
    return result;
}

/// Between the four pixels around a point inside of the picture.
float interpolated(const float *plane, float y, float x, int64_t height, int64_t width)
{
    const int64_t top = whole(y, 0, height - 1), left = whole(x, 0, width - 1);
    const int64_t bottom = std::min(whole(std::ceil(y), 0, height - 1), height - 1);
    const int64_t right = std::min(whole(std::ceil(x), 0, width - 1), width - 1);
    const float dy = y - static_cast<float>(top), dx = x - static_cast<float>(left);
    auto across = [&](int64_t row) {
        const float from = plane[row * width + left], to = plane[row * width + right];
        return from + (to - from) * dx;
    };
    const float above = across(top), below = across(bottom);
    return above + (below - above) * dy;
}

// ROIPooling: max as in Girshick, "Fast R-CNN", 2015; bilinear as tf.image.crop_and_resize

enum class RoiPooling : uint8_t { maximum, bilinear };

struct RoiPoolingOptions {
    RoiPooling method;
    int64_t height, width;
    float scale;
};

RoiPoolingOptions roi_pooling_options(const Attributes &attributes)
{
    return {enum_attribute<RoiPooling>(attributes, "method", "max", {"max", "bilinear"}),
            size_attribute(attributes, "pooled_h", 1, 1), size_attribute(attributes, "pooled_w", 1, 1),
            attributes.number("spatial_scale", 1)};
}

void roi_pooling_rule(ShapeContext &context)
{
    const RoiPoolingOptions options = roi_pooling_options(context.attributes());
    pooled_rule(context, size_or_unknown(context.shape(0), 1), options.height, options.width);
}

/// One axis of a region, cut into bins that overlap where they do not divide it.
struct Bins {
    int64_t first;
    float step;
    int64_t size; ///< of the picture
    Bins(float from, float to, int64_t bins, float scale, int64_t picture) : size(picture)
    {
        constexpr int64_t far = int64_t(1) << 30;
        first = whole(std::round(from * scale), -far, far);
        const int64_t length = std::max<int64_t>(whole(std::round(to * scale), -far, far) - first + 1, 1);
        step = static_cast<float>(length) / static_cast<float>(bins);
    }
    std::array<int64_t, 2> bin(int64_t index) const
    {
        const auto begin = static_cast<int64_t>(std::floor(static_cast<float>(index) * step));
        const auto end = static_cast<int64_t>(std::ceil(static_cast<float>(index + 1) * step));
        return {std::clamp<int64_t>(begin + first, 0, size), std::clamp<int64_t>(end + first, 0, size)};
    }
};

float highest(const float *plane, int64_t width, const std::array<int64_t, 2> &rows,
              const std::array<int64_t, 2> &columns)
{
    if (rows[0] >= rows[1] || columns[0] >= columns[1])
        return 0;
    float most = std::numeric_limits<float>::lowest();
    for (int64_t row = rows[0]; row < rows[1]; row++)
        for (int64_t column = columns[0]; column < columns[1]; column++)
            most = std::max(most, plane[row * width + column]);
    return most;
}

/// Sample `index` of `count` between two fractions of an axis, the last one being exactly `to`.
float sample_between(float from, float to, int64_t index, int64_t count, int64_t size)
{
    const auto last = static_cast<float>(size - 1);
    if (count == 1)
        return 0.5f * (from + to) * last;
    if (index == count - 1)
        return last * to;
    return static_cast<float>(index) * ((to - from) * last / static_cast<float>(count - 1)) + from * last;
}

float crop_sample(const PooledFeatures &features, const float *plane, float y, float x)
{
    const bool inside = y >= 0 && y <= static_cast<float>(features.height() - 1) && x >= 0 &&
                        x <= static_cast<float>(features.width() - 1);
    return inside ? interpolated(plane, y, x, features.height(), features.width()) : 0;
}

void roi_pooling(RunContext &context)
{
    const RoiPoolingOptions options = roi_pooling_options(context.node.attributes);
    const PooledFeatures features = pooled_features(context);
    Tensor result = pooled_result(features, features.channels(), options.height, options.width);
    float *to = result.data<float>();
    for (int64_t r = 0; result.count() != 0 && r < features.regions.dim(0); r++) {
        const int64_t batch = features.batch(r);
        const float *region = features.region(r);
        const Bins rows(region[2], region[4], options.height, options.scale, features.height());
        const Bins columns(region[1], region[3], options.width, options.scale, features.width());
        for (int64_t c = 0; c < features.channels(); c++)
            for (int64_t h = 0; h < options.height; h++)
                for (int64_t w = 0; w < options.width; w++) {
                    const float *plane = features.plane(batch, c);
                    *to++ =
                        options.method == RoiPooling::maximum
                            ? highest(plane, features.width(), rows.bin(h), columns.bin(w))
                            : crop_sample(features, plane,
                                          sample_between(region[2], region[4], h, options.height, features.height()),
                                          sample_between(region[1], region[3], w, options.width, features.width()));
                }
    }
    copy_to_output(context, 0, result.converted(context.inputs[0].type()));
}

// PSROIPooling: Dai et al., "R-FCN", 2016

enum class PositionSensitive : uint8_t { average, bilinear };

/// On one axis of a bin.
constexpr int64_t most_spatial_bins = 1024;

struct PsRoiOptions {
    PositionSensitive mode;
    int64_t channels, size, bins_x, bins_y;
    float scale;
};

int64_t spatial_bins(const Attributes &attributes, const char *name)
{
    const int64_t bins = size_attribute(attributes, name, 1, 1);
    if (bins > most_spatial_bins)
        throw Error(std::string(name) + " is " + std::to_string(bins) + ", want no more than " +
                    std::to_string(most_spatial_bins));
    return bins;
}

PsRoiOptions ps_roi_options(const Attributes &attributes)
{
    return {enum_attribute<PositionSensitive>(attributes, "mode", "average", {"average", "bilinear"}),
            size_attribute(attributes, "output_dim", 1, 1),
            size_attribute(attributes, "group_size", 1, 1),
            spatial_bins(attributes, "spatial_bins_x"),
            spatial_bins(attributes, "spatial_bins_y"),
            attributes.number("spatial_scale", 1)};
}

/// Each bin of each channel of the result reads a channel of its own.
void check_channels(const std::optional<Shape> &x, const Shape &factors)
{
    const int64_t channels = size_or_unknown(x, 1), wanted = count_of(factors);
    if (channels >= 0 && channels < wanted)
        throw Error("the input has " + std::to_string(channels) + " channels, want " + std::to_string(wanted) + " (" +
                    to_string(factors) + ")");
}

Shape channel_factors(const PsRoiOptions &options)
{
    if (options.mode == PositionSensitive::average)
        return {options.channels, options.size, options.size};
    return {options.channels, options.bins_y, options.bins_x};
}

void ps_roi_pooling_rule(ShapeContext &context)
{
    const PsRoiOptions options = ps_roi_options(context.attributes());
    pooled_rule(context, options.channels, options.size, options.size);
    check_channels(context.shape(0), channel_factors(options));
}

/// Mean of the pixels that a bin touches.
float mean_of_bin(const float *plane, const PooledFeatures &features, const std::array<float, 2> &y,
                  const std::array<float, 2> &x)
{
    auto pixels = [](const std::array<float, 2> &ends, int64_t size) {
        return std::array<int64_t, 2>{whole(std::floor(ends[0]), 0, size - 1), whole(std::ceil(ends[1]), 0, size)};
    };
    const auto rows = pixels(y, features.height()), columns = pixels(x, features.width());
    float sum = 0;
    for (int64_t row = rows[0]; row < rows[1]; row++)
        for (int64_t column = columns[0]; column < columns[1]; column++)
            sum += plane[row * features.width() + column];
    const int64_t count = std::max<int64_t>(rows[1] - rows[0], 0) * std::max<int64_t>(columns[1] - columns[0], 0);
    return count > 0 ? sum / static_cast<float>(count) : 0;
}

void pool_averages(const PooledFeatures &features, const PsRoiOptions &options, int64_t r, float *to)
{
    const float *region = features.region(r);
    auto start = [&](float corner) { return std::round(corner) * options.scale; };
    auto end = [&](float corner) { return (std::round(corner) + 1) * options.scale; };
    const float x = start(region[1]), y = start(region[2]), bins = static_cast<float>(options.size);
    const float step_x = (end(region[3]) - x) / bins, step_y = (end(region[4]) - y) / bins;
    const int64_t batch = features.batch(r);
    for (int64_t i = 0; i < options.channels * options.size * options.size; i++) {
        const auto h = static_cast<float>(i / options.size % options.size), w = static_cast<float>(i % options.size);
        to[i] = mean_of_bin(features.plane(batch, i), features, {y + h * step_y, y + (h + 1) * step_y},
                            {x + w * step_x, x + (w + 1) * step_x});
    }
}

/// The mean over the bins of samples, one a bin, of which each bin has its own channel. Corners are fractions of the
/// picture.
void pool_samples(const PooledFeatures &features, const PsRoiOptions &options, int64_t r, float *to)
{
    const float *region = features.region(r);
    const float x = region[1] * options.scale, y = region[2] * options.scale;
    const float width = (region[3] * options.scale - x) / static_cast<float>(options.bins_x);
    const float height = (region[4] * options.scale - y) / static_cast<float>(options.bins_y);
    const auto columns = static_cast<float>(features.width()), rows = static_cast<float>(features.height());
    const auto last = static_cast<float>(options.size - 1);
    auto at = [&](float start, float length, int64_t i, float size) {
        return options.size > 1 ? static_cast<float>(i) * (length * (size - 1) / last) + start * (size - 1)
                                : (start + start + length) * (size - 1) / 2;
    };
    const int64_t batch = features.batch(r), bins = options.bins_x * options.bins_y;
    for (int64_t i = 0; i < options.channels * options.size * options.size; i++) {
        const int64_t channel = i / (options.size * options.size);
        float sum = 0;
        for (int64_t bin = 0; bin < bins; bin++) {
            const float bin_x = x + static_cast<float>(bin % options.bins_x) * width;
            const float bin_y = y + static_cast<float>(bin / options.bins_x) * height;
            const float point_x = at(bin_x, width, i % options.size, columns);
            const float point_y = at(bin_y, height, i / options.size % options.size, rows);
            if (point_x >= 0 && point_y >= 0 && point_x < columns && point_y < rows)
                sum += interpolated(features.plane(batch, bin * options.channels + channel), point_y, point_x,
                                    features.height(), features.width());
        }
        to[i] = sum / static_cast<float>(bins);
    }
}

void ps_roi_pooling(RunContext &context)
{
    const PsRoiOptions options = ps_roi_options(context.node.attributes);
    const PooledFeatures features = pooled_features(context);
    check_channels(features.x.shape(), channel_factors(options));
    Tensor result = pooled_result(features, options.channels, options.size, options.size);
    const int64_t of_one = options.channels * options.size * options.size;
    for (int64_t r = 0; r < features.regions.dim(0); r++)
        (options.mode == PositionSensitive::average ? pool_averages : pool_samples)(features, options, r,
                                                                                    result.data<float>() + r * of_one);
    copy_to_output(context, 0, result.converted(context.inputs[0].type()));
}

// DeformablePSROIPooling: Dai et al., "Deformable Convolutional Networks", 2017

struct DeformableOptions {
    PsRoiOptions pooling;
    int64_t part;
    float deviation;
};

DeformableOptions deformable_options(const Attributes &attributes)
{
    PsRoiOptions pooling{PositionSensitive::average,
                         size_attribute(attributes, "output_dim", 1, 1),
                         size_attribute(attributes, "group_size", 1, 1),
                         spatial_bins(attributes, "spatial_bins_x"),
                         spatial_bins(attributes, "spatial_bins_y"),
                         attributes.number("spatial_scale", 1)};
    return {pooling, size_attribute(attributes, "part_size", 1, 1), attributes.number("trans_std", 1)};
}

void check_deformation(const DeformableOptions &options, const std::optional<Shape> &offsets, int64_t regions)
{
    want_shape(offsets, 2, {regions, -1, options.part, options.part}, "regions, two a class, parts, parts");
    const int64_t pairs = size_or_unknown(offsets, 1);
    if (pairs >= 0 && (pairs < 2 || pairs % 2 != 0 || options.pooling.channels % (pairs / 2) != 0))
        throw Error("input 2 has " + std::to_string(pairs) + " channels, want two a class for " +
                    std::to_string(options.pooling.channels) + " channels");
}

void deformable_rule(ShapeContext &context)
{
    const DeformableOptions options = deformable_options(context.attributes());
    want_type(context, 2, TypeSet::floating);
    pooled_rule(context, options.pooling.channels, options.pooling.size, options.pooling.size);
    check_channels(context.shape(0), channel_factors(options.pooling));
    check_deformation(options, context.shape(2), size_or_unknown(context.shape(1), 0));
}

/// By how much of the region's size a bin moves, [x, y].
std::array<float, 2> deformation(const Tensor &offsets, const DeformableOptions &options, int64_t r, int64_t element)
{
    if (!offsets)
        return {};
    const int64_t size = options.pooling.size, classes = offsets.dim(1) / 2;
    const int64_t of_class = element / (size * size) / (options.pooling.channels / classes);
    const int64_t row = element / size % size * options.part / size, column = element % size * options.part / size;
    const int64_t area = options.part * options.part;
    const float *pair = offsets.data<float>() + (r * classes + of_class) * 2 * area + row * options.part + column;
    return {pair[0] * options.deviation, pair[area] * options.deviation};
}

/// The mean of the samples inside of the picture, from (x, y) on, at steps.
float mean_of_samples(const float *plane, const PooledFeatures &features, const PsRoiOptions &options, float x, float y,
                      float step_x, float step_y)
{
    const auto width = static_cast<float>(features.width()), height = static_cast<float>(features.height());
    float sum = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < options.bins_x * options.bins_y; i++) {
        const float at_x = x + static_cast<float>(i % options.bins_x) * step_x;
        const float at_y = y + static_cast<float>(i / options.bins_x) * step_y;
        if (!(at_x >= -0.5f && at_x <= width - 0.5f && at_y >= -0.5f && at_y <= height - 0.5f))
            continue;
        sum += interpolated(plane, std::clamp(at_y, 0.f, height - 1), std::clamp(at_x, 0.f, width - 1),
                            features.height(), features.width());
        count++;
    }
    return count > 0 ? sum / static_cast<float>(count) : 0;
}

void deformable_ps_roi_pooling(RunContext &context)
{
    const DeformableOptions options = deformable_options(context.node.attributes);
    const PsRoiOptions &pooling = options.pooling;
    const PooledFeatures features = pooled_features(context);
    const Tensor offsets = context.has(2) ? context.inputs[2].converted(Type::f32) : Tensor();
    check_channels(features.x.shape(), channel_factors(pooling));
    if (offsets)
        check_deformation(options, offsets.shape(), features.regions.dim(0));
    Tensor result = pooled_result(features, pooling.channels, pooling.size, pooling.size);
    const int64_t of_one = pooling.channels * pooling.size * pooling.size;
    std::fill_n(result.data<float>(), result.count(), 0.f);
    for (int64_t r = 0; r < features.regions.dim(0); r++) {
        const float *region = features.region(r);
        if (region[0] < 0)
            continue;
        const int64_t batch = features.batch(r);
        const float x = std::round(region[1]) * pooling.scale - 0.5f, y = std::round(region[2]) * pooling.scale - 0.5f;
        const float width = std::max((std::round(region[3]) + 1) * pooling.scale - 0.5f - x, 0.1f);
        const float height = std::max((std::round(region[4]) + 1) * pooling.scale - 0.5f - y, 0.1f);
        const float bin_x = width / static_cast<float>(pooling.size), bin_y = height / static_cast<float>(pooling.size);
        for (int64_t i = 0; i < of_one; i++) {
            const auto [move_x, move_y] = deformation(offsets, options, r, i);
            const auto column = static_cast<float>(i % pooling.size);
            const auto row = static_cast<float>(i / pooling.size % pooling.size);
            result.data<float>()[r * of_one + i] =
                mean_of_samples(features.plane(batch, i), features, pooling, x + column * bin_x + move_x * width,
                                y + row * bin_y + move_y * height, bin_x / static_cast<float>(pooling.bins_x),
                                bin_y / static_cast<float>(pooling.bins_y));
        }
    }
    copy_to_output(context, 0, result.converted(context.inputs[0].type()));
}

// ExperimentalDetectronROIFeatureExtractor: Lin et al., "Feature Pyramid Networks for Object Detection", 2017

struct PyramidOptions {
    int64_t size;
    bool aligned;
    std::vector<int64_t> scales;
    int64_t sampling_ratio;
};

PyramidOptions pyramid_options(const Attributes &attributes, size_t levels)
{
    PyramidOptions options{size_attribute(attributes, "output_size", 1, 1), attributes.integer("aligned", 0) != 0,
                           list_attribute(attributes, "pyramid_scales", levels, 1, 1),
                           sampling_ratio_attribute(attributes)};
    return options;
}

RoiOptions level_options(const PyramidOptions &options, size_t level)
{
    return {RoiReduction::average,
            options.aligned,
            true,
            options.size,
            options.size,
            options.sampling_ratio,
            1.f / static_cast<float>(options.scales[level])};
}

/// The level whose stride fits the region's size, 224 pixels belonging to level 2; none for an empty region.
std::optional<size_t> level_of(const float *region, size_t levels)
{
    const float area = (region[2] - region[0]) * (region[3] - region[1]);
    if (!(area > 0))
        return {};
    constexpr float canonical_size = 224, canonical_level = 2;
    const float level = std::floor(std::log2(std::sqrt(area) / canonical_size + 1e-6f) + canonical_level);
    return static_cast<size_t>(whole(level, 0, static_cast<int64_t>(levels) - 1));
}

void pyramid_rule(ShapeContext &context)
{
    const size_t levels = context.inputs() - 1;
    const PyramidOptions options = pyramid_options(context.attributes(), levels);
    want_type(context, 0, TypeSet::floating);
    want_shape(context.shape(0), 0, {-1, 4}, "regions, corners");
    int64_t channels = -1;
    for (size_t i = 1; i <= levels; i++) {
        want_type(context, i, TypeSet::floating);
        want_shape(context.shape(i), i, {1, channels, -1, -1}, "1, channels, height, width");
        channels = std::max(channels, size_or_unknown(context.shape(i), 1));
    }
    const int64_t regions = size_or_unknown(context.shape(0), 0);
    context.output(0, context.type(0), Shape{regions, channels, options.size, options.size});
    context.output(1, context.type(0), Shape{regions, 4});
}

void extract_features(RunContext &context)
{
    std::vector<Tensor> in;
    for (const Tensor &input : context.inputs)
        in.push_back(input.converted(Type::f32));
    const size_t levels = in.size() - 1;
    const PyramidOptions options = pyramid_options(context.node.attributes, levels);
    want_shape(in[0].shape(), 0, {-1, 4}, "regions, corners");
    for (size_t i = 1; i < in.size(); i++) {
        want_shape(in[i].shape(), i, {1, in[1].rank() == 4 ? in[1].dim(1) : -1, -1, -1}, "1, channels, height, width");
        if (in[i].count() == 0)
            throw Error("input " + std::to_string(i) + " has no elements to sample");
    }
    check_rows(in[0].dim(0));
    const int64_t channels = in[1].dim(1);
    Tensor result(Type::f32, {in[0].dim(0), channels, options.size, options.size});
    std::fill_n(result.data<float>(), result.count(), 0.f);
    const int64_t of_one = channels * options.size * options.size;
    for (int64_t r = 0; r < in[0].dim(0); r++) {
        const float *region = in[0].data<float>() + 4 * r;
        if (const auto level = level_of(region, levels))
            align_region(in[*level + 1].data<float>(), {channels, in[*level + 1].dim(2), in[*level + 1].dim(3)}, region,
                         level_options(options, *level), result.data<float>() + r * of_one);
    }
    copy_to_output(context, 0, result.converted(context.inputs[0].type()));
    if (context.wants(1))
        copy_to_output(context, 1, context.inputs[0]);
}

// RegionYolo: Redmon et al., "YOLO9000", 2017 (softmax over the classes), "YOLOv3", 2018 (sigmoid)

struct YoloOptions {
    int64_t coordinates, classes, regions;
    bool softmax;
    int64_t axis, end_axis;
    int64_t entries() const { return coordinates + classes + 1; }
};

YoloOptions yolo_options(const Attributes &attributes)
{
    const bool softmax = attributes.integer("do_softmax", 1) != 0;
    const int64_t regions =
        softmax ? size_attribute(attributes, "num", 1, 1) : static_cast<int64_t>(attributes.integers("mask").size());
    return {size_attribute(attributes, "coords", 4, 2),
            size_attribute(attributes, "classes", 1, 0),
            regions,
            softmax,
            attributes.integer("axis", 1),
            attributes.integer("end_axis", 3)};
}

void check_yolo(const YoloOptions &options, const std::optional<Shape> &x)
{
    want_shape(x, 0, {-1, count_of({options.regions, options.entries()}), -1, -1},
               "batch, coordinates, objectness and classes of each region, height, width");
}

/// With softmax the axes from `axis` to `end_axis` become one.
Shape yolo_shape(const YoloOptions &options, const Shape &x)
{
    if (!options.softmax)
        return x;
    const size_t first = normal_axis(options.axis, 4), last = normal_axis(options.end_axis, 4);
    if (first > last)
        throw Error("axis " + std::to_string(options.axis) + " comes after end_axis " +
                    std::to_string(options.end_axis));
    Shape shape(x.begin(), x.begin() + static_cast<ptrdiff_t>(first));
    shape.push_back(
        known_product(Shape(x.begin() + static_cast<ptrdiff_t>(first), x.begin() + static_cast<ptrdiff_t>(last) + 1)));
    shape.insert(shape.end(), x.begin() + static_cast<ptrdiff_t>(last) + 1, x.end());
    return shape;
}

void region_yolo_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    const YoloOptions options = yolo_options(context.attributes());
    check_yolo(options, context.shape(0));
    std::optional<Shape> shape;
    if (context.shape(0))
        shape = yolo_shape(options, *context.shape(0));
    context.output(0, context.type(0), shape);
}

float sigmoid(float x)
{
    return 1 / (1 + std::exp(-x));
}

/// Over `count` elements at steps.
void softmax_in_place(float *values, int64_t count, int64_t step)
{
    float most = std::numeric_limits<float>::lowest(), sum = 0;
    for (int64_t i = 0; i < count; i++)
        most = std::max(most, values[i * step]);
    for (int64_t i = 0; i < count; i++)
        sum += values[i * step] = std::exp(values[i * step] - most);
    for (int64_t i = 0; i < count; i++)
        values[i * step] /= sum;
}

void region_yolo(RunContext &context)
{
    const YoloOptions options = yolo_options(context.node.attributes);
    Tensor x = context.inputs[0].converted(Type::f32).clone();
    check_yolo(options, x.shape());
    const int64_t area = x.dim(2) * x.dim(3), of_one = options.entries() * area;
    const int64_t regions = of_one > 0 ? static_cast<int64_t>(x.count()) / of_one : 0;
    for (int64_t r = 0; r < regions; r++) {
        float *region = x.data<float>() + r * of_one;
        auto activate = [&](int64_t first, int64_t count) {
            std::transform(region + first * area, region + (first + count) * area, region + first * area, sigmoid);
        };
        activate(0, 2);
        activate(options.coordinates, options.softmax ? 1 : 1 + options.classes);
        for (int64_t i = 0; options.softmax && i < area; i++)
            softmax_in_place(region + (options.coordinates + 1) * area + i, options.classes, area);
    }
    copy_to_output(context, 0, x.reshaped(yolo_shape(options, x.shape())).converted(context.inputs[0].type()));
}

constexpr Op rows[] = {
    {"DeformablePSROIPooling", 2, 3, 1, deformable_rule, deformable_ps_roi_pooling},
    {"ExperimentalDetectronROIFeatureExtractor", 2, -1, 2, pyramid_rule, extract_features},
    {"PSROIPooling", 2, 2, 1, ps_roi_pooling_rule, ps_roi_pooling},
    {"ROIPooling", 2, 2, 1, roi_pooling_rule, roi_pooling},
    {"RegionYolo", 1, 1, 1, region_yolo_rule, region_yolo},
    {"RoiAlign", 3, 3, 1, roi_align_rule, roi_align},
};

} // namespace

std::span<const Op> region_ops()
{
    return rows;
}

} // namespace leat
