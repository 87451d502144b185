#include "heads.h"

#include <algorithm>
#include <cmath>

namespace leat {

namespace {

constexpr float custom_threshold = 0.7f, custom_iou = 0.3f;
constexpr Normalisation minus_127{.mean = {127, 127, 127}, .deviation = {128, 128, 128}};

std::string why_not_either(const ModelFacts &facts)
{
    if (std::string fault = miscount(facts, 2); !fault.empty())
        return fault;
    if (std::string fault = mismatch(facts, "scores", {1, any, any}); !fault.empty())
        return fault;
    if (std::string fault = mismatch(facts, "boxes", {1, any, 4}); !fault.empty())
        return fault;
    const int64_t classes = facts.outputs[size_t(find_output(facts, "scores"))].shape[2];
    return classes >= 2 ? "" : "output \"scores\" has no column for the background and one for each class";
}

bool applies_priors(const ModelFacts &facts)
{
    return computes_after_convolution(facts, size_t(find_output(facts, "boxes")));
}

std::string why_not_corners(const ModelFacts &facts)
{
    if (std::string fault = why_not_either(facts); !fault.empty())
        return fault;
    return !knows_graph(facts) || applies_priors(facts)
               ? ""
               : "the graph does not apply prior boxes: \"boxes\" are raw offsets";
}

/// The prior boxes of the Ultra-Light face detectors: squares of these sides, in pixels, at each cell's centre.
struct PriorLevel {
    int stride;
    std::vector<float> sides;
};
const PriorLevel prior_levels[] = {{8, {10, 16, 24}}, {16, {32, 48}}, {32, {64, 96}}, {64, {128, 192, 256}}};

int64_t prior_count(int width, int height)
{
    int64_t count = 0;
    for (const auto &[stride, sides] : prior_levels)
        count += grids(width, height, {stride})[0].cells() * int64_t(sides.size());
    return count;
}

std::string why_not_offsets(const ModelFacts &facts)
{
    if (std::string fault = why_not_either(facts); !fault.empty())
        return fault;
    if (knows_graph(facts) && applies_priors(facts))
        return "the graph applies prior boxes to \"boxes\" already";
    const auto [width, height] = picture_size(facts);
    const int64_t rows = facts.outputs[size_t(find_output(facts, "boxes"))].shape[1];
    if (width && height && rows != -1 && rows != prior_count(width, height))
        return "output \"boxes\" has " + std::to_string(rows) + " rows, the prior boxes known here are " +
               std::to_string(prior_count(width, height));
    return {};
}

ImageSpec preprocessing(const ModelFacts &facts)
{
    return image_spec(facts, ColourOrder::rgb, minus_127, ResizeMode::stretch, 0, {320, 240});
}

std::vector<std::string> labels(const ModelFacts &facts)
{
    if (facts.outputs[size_t(find_output(facts, "scores"))].shape[2] == 2)
        return {"background", "face"};
    return {};
}

std::string assumptions(const ModelFacts &facts)
{
    return labels(facts).empty() || !labels_in(facts.metadata).empty() ? "" : "the one class is assumed to be faces";
}

/// Centre and size as fractions of the picture, clipped to it.
struct Prior {
    float x, y, width, height;
};

std::vector<Prior> priors(int width, int height)
{
    std::vector<Prior> all;
    const auto clipped = [](float value) { return std::clamp(value, 0.f, 1.f); };
    for (const auto &[stride, sides] : prior_levels) {
        const Grid grid = grids(width, height, {stride})[0];
        for (int y = 0; y < grid.rows; y++)
            for (int x = 0; x < grid.columns; x++)
                for (float side : sides)
                    all.push_back({clipped((float(x) + 0.5f) * float(stride) / float(width)),
                                   clipped((float(y) + 0.5f) * float(stride) / float(height)),
                                   clipped(side / float(width)), clipped(side / float(height))});
    }
    return all;
}

/// Offsets with the variances 0.1 and 0.2 (Liu et al., "SSD", 2016), as fractions of the picture.
Object apply(const Prior &prior, const float *offset)
{
    return centred(prior.x + offset[0] * 0.1f * prior.width, prior.y + offset[1] * 0.1f * prior.height,
                   prior.width * std::exp(offset[2] * 0.2f), prior.height * std::exp(offset[3] * 0.2f), 0, 0);
}

Object to_pixels(Object box, const ImageSpec &spec)
{
    box.x1 *= float(spec.width), box.x2 *= float(spec.width);
    box.y1 *= float(spec.height), box.y2 *= float(spec.height);
    return box;
}

/// Calls `box(row)` for rows whose best class but the background passes.
template <class Box>
Results decode_rows(const ModelFacts &facts, const ImageSpec &spec, const DecodeOptions &options, const Tensor &scores,
                    Box &&box)
{
    const float threshold = threshold_of(options, custom_threshold);
    const int classes = int(scores.dim(2));
    if (classes < 2)
        throw Error("output \"scores\" is " + to_string(scores.shape()) + ", without a class beside the background");
    std::vector<Object> objects;
    const float *row = scores.data<float>();
    for (size_t i = 0; i < size_t(scores.dim(1)); i++, row += classes) {
        const int best = 1 + argmax(row + 1, classes - 1);
        if (!(row[best] >= threshold))
            continue;
        Object object = to_pixels(box(i), spec);
        object.score = row[best];
        object.label_id = best;
        add(objects, std::move(object));
    }
    return detections(std::move(objects), options, custom_iou);
}

Tensor read_scores(const ModelFacts &facts, std::span<const Tensor> outputs)
{
    return read_output(facts, outputs, size_t(find_output(facts, "scores")), {1, any, any});
}

Tensor read_boxes(const ModelFacts &facts, std::span<const Tensor> outputs, int64_t rows)
{
    return read_output(facts, outputs, size_t(find_output(facts, "boxes")), {1, rows, 4});
}

Results decode_corners(const ModelFacts &facts, const ImageSpec &spec, const DecodeOptions &options,
                       std::span<const Tensor> outputs)
{
    const Tensor scores = read_scores(facts, outputs);
    const Tensor boxes = read_boxes(facts, outputs, scores.dim(1));
    return decode_rows(facts, spec, options, scores, [&](size_t i) {
        const float *p = boxes.data<float>() + 4 * i;
        return Object{p[0], p[1], p[2], p[3], 0, 0, {}};
    });
}

Results decode_offsets(const ModelFacts &facts, const ImageSpec &spec, const DecodeOptions &options,
                       std::span<const Tensor> outputs)
{
    const auto all = priors(spec.width, spec.height);
    const Tensor scores = read_scores(facts, outputs);
    const Tensor offsets = read_boxes(facts, outputs, int64_t(all.size()));
    if (scores.dim(1) != offsets.dim(1))
        throw Error("output \"scores\" has " + std::to_string(scores.dim(1)) + " rows, \"boxes\" " +
                    std::to_string(offsets.dim(1)));
    return decode_rows(facts, spec, options, scores,
                       [&](size_t i) { return apply(all[i], offsets.data<float>() + 4 * i); });
}

} // namespace

extern const Decoder ssd_boxes{
    .name = "ssd-boxes",
    .about = "SSD with prior boxes applied in the graph (Ultra-Light RFB and slim face detectors): scores and boxes as "
             "fractions",
    .task = Task::detect,
    .why_not = why_not_corners,
    .preprocessing = preprocessing,
    .labels = labels,
    .constants = no_constants,
    .decode = decode_corners,
    .assumptions = assumptions,
};

extern const Decoder ssd_prior_boxes{
    .name = "ssd-prior-boxes",
    .about = "Ultra-Light RFB and slim face detectors with raw offsets, prior boxes applied here",
    .task = Task::detect,
    .why_not = why_not_offsets,
    .preprocessing = preprocessing,
    .labels = labels,
    .constants = no_constants,
    .decode = decode_offsets,
    .assumptions = assumptions,
};

} // namespace leat
