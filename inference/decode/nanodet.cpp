#include "heads.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace leat {

namespace {

constexpr float custom_threshold = 0.4f, custom_iou = 0.6f;
constexpr Normalisation bgr_imagenet{.mean = {103.53f, 116.28f, 123.675f}, .deviation = {57.375f, 57.12f, 58.395f}};
constexpr std::array strides{8, 16, 32};

struct Level {
    std::string classes, distances;
};

Level level(int stride)
{
    return {"cls_pred_stride_" + std::to_string(stride), "dis_pred_stride_" + std::to_string(stride)};
}

std::string why_not(const ModelFacts &facts)
{
    if (std::string fault = miscount(facts, 2 * strides.size()); !fault.empty())
        return fault;
    for (int stride : strides) {
        const auto [classes, distances] = level(stride);
        for (const std::string &name : {classes, distances})
            if (std::string fault = mismatch(facts, name, {1, any, any}); !fault.empty())
                return fault;
        const int64_t bins = facts.outputs[size_t(find_output(facts, distances))].shape[2];
        if (bins % 4 != 0)
            return "output \"" + distances + "\" is not four distributions";
    }
    return {};
}

ImageSpec preprocessing(const ModelFacts &facts)
{
    return image_spec(facts, ColourOrder::bgr, bgr_imagenet, ResizeMode::stretch, 0, {320, 320});
}

std::vector<std::string> labels(const ModelFacts &facts)
{
    return labels_for(facts.outputs[size_t(find_output(facts, level(strides[0]).classes))].shape[2]);
}

/// Mean of the bin numbers under the softmax of the bins.
float expected_bin(const float *bins, int count)
{
    const float highest = *std::max_element(bins, bins + count);
    float sum = 0, weighted = 0;
    for (int i = 0; i < count; i++) {
        const float weight = std::exp(bins[i] - highest);
        sum += weight;
        weighted += weight * float(i);
    }
    return weighted / sum;
}

/// Distances left, top, right, bottom from the cell's centre pixel, each a distribution over bins of one stride (Li et
/// al., "Generalized Focal Loss", 2020).
Object box(const Grid &grid, int64_t cell, const float *distances, int bins)
{
    const auto stride = float(grid.stride);
    const float x = float(cell % grid.columns) * stride + 0.5f * (stride - 1);
    const float y = float(cell / grid.columns) * stride + 0.5f * (stride - 1);
    const auto distance = [&](int side) { return expected_bin(distances + side * bins, bins) * stride; };
    return {x - distance(0), y - distance(1), x + distance(2), y + distance(3), 0, 0, {}};
}

Results decode(const ModelFacts &facts, const ImageSpec &spec, const DecodeOptions &options,
               std::span<const Tensor> outputs)
{
    const float threshold = threshold_of(options, custom_threshold);
    std::vector<Object> objects;
    for (const Grid &grid : grids(spec.width, spec.height, strides)) {
        const auto names = level(grid.stride);
        const Tensor scores =
            read_output(facts, outputs, size_t(find_output(facts, names.classes)), {1, grid.cells(), any});
        const Tensor distances =
            read_output(facts, outputs, size_t(find_output(facts, names.distances)), {1, grid.cells(), any});
        const int classes = int(scores.dim(2)), bins = int(distances.dim(2) / 4);
        if (classes < 1 || bins < 1)
            throw Error("output \"" + names.classes + "\" or \"" + names.distances + "\" is empty");
        for (int64_t cell = 0; cell < grid.cells(); cell++) {
            const float *row = scores.data<float>() + cell * classes;
            const int best = argmax(row, classes);
            if (!(row[best] >= threshold))
                continue;
            Object object = box(grid, cell, distances.data<float>() + cell * 4 * bins, bins);
            object.score = row[best];
            object.label_id = best;
            add(objects, std::move(object));
        }
    }
    return detections(std::move(objects), options, custom_iou);
}

} // namespace

extern const Decoder nanodet{
    .name = "nanodet",
    .about = "NanoDet with an output of classes and one of distances for each of the strides 8, 16 and 32",
    .task = Task::detect,
    .why_not = why_not,
    .preprocessing = preprocessing,
    .labels = labels,
    .constants = no_constants,
    .decode = decode,
};

} // namespace leat
