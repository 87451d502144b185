#include "heads.h"

#include <cmath>

namespace leat {

namespace {

constexpr float custom_threshold = 0.6f, custom_iou = 0.45f;
constexpr int stride = 16;

std::string why_not(const ModelFacts &facts)
{
    if (std::string fault = miscount(facts, 1); !fault.empty())
        return fault;
    const auto [width, height] = picture_size(facts);
    const Grid grid = grids(width, height, {stride})[0];
    const Shape want{1, any, height ? grid.rows : any, width ? grid.columns : any};
    if (std::string fault = mismatch(facts.outputs[0], want); !fault.empty())
        return fault + " (a grid of stride 16)";
    if (facts.outputs[0].shape[1] < 6)
        return "output \"" + facts.outputs[0].name + "\" has no channels for 1 + 4 + classes";
    if (knows_graph(facts) && !(contains(facts.head_ops[0], "Sigmoid") && contains(facts.head_ops[0], "Softmax")))
        return "the graph does not end in a sigmoid for objects and a softmax for classes";
    return {};
}

ImageSpec preprocessing(const ModelFacts &facts)
{
    ImageSpec spec = image_spec(facts, ColourOrder::bgr, to_unit, ResizeMode::stretch, 0, {352, 352});
    spec.filter = Filter::area;
    return spec;
}

std::vector<std::string> labels(const ModelFacts &facts)
{
    return labels_for(facts.outputs[0].shape[1] - 5);
}

/// One channel for each of: objectness, dx, dy, width, height (the last two before their sigmoid), classes.
Results decode(const ModelFacts &facts, const ImageSpec &spec, const DecodeOptions &options,
               std::span<const Tensor> outputs)
{
    const Grid grid = grids(spec.width, spec.height, {stride})[0];
    const Tensor tensor = read_output(facts, outputs, 0, {1, any, grid.rows, grid.columns});
    const auto classes = int(tensor.dim(1) - 5);
    if (classes < 1)
        throw Error("output \"" + facts.outputs[0].name + "\" has no channels for 1 + 4 + classes");
    const float threshold = threshold_of(options, custom_threshold);
    const auto plane = size_t(grid.cells());
    std::vector<float> scores(static_cast<size_t>(classes));
    std::vector<Object> objects;
    for (size_t cell = 0; cell < plane; cell++) {
        const float *p = tensor.data<float>() + cell;
        const float objectness = std::pow(p[0], 0.6f);
        if (!(objectness >= threshold))
            continue;
        for (size_t c = 0; c < scores.size(); c++)
            scores[c] = p[(5 + c) * plane];
        const int best = argmax(scores.data(), classes);
        const float score = objectness * std::pow(scores[size_t(best)], 0.4f);
        if (!(score >= threshold))
            continue;
        const float x = float(cell % size_t(grid.columns)) + std::tanh(p[plane]);
        const float y = float(cell / size_t(grid.columns)) + std::tanh(p[2 * plane]);
        const auto width = float(spec.width), height = float(spec.height);
        add(objects, centred(x / float(grid.columns) * width, y / float(grid.rows) * height,
                             sigmoid(p[3 * plane]) * width, sigmoid(p[4 * plane]) * height, score, best));
    }
    return detections(std::move(objects), options, custom_iou);
}

} // namespace

extern const Decoder fastestdet{
    .name = "fastestdet",
    .about = "FastestDet",
    .task = Task::detect,
    .why_not = why_not,
    .preprocessing = preprocessing,
    .labels = labels,
    .constants = no_constants,
    .decode = decode,
};

} // namespace leat
