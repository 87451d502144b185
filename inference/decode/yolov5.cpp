#include "yolo.h"

namespace leat {

namespace {

constexpr float custom_threshold = 0.25f, custom_iou = 0.45f;

std::string why_not(const ModelFacts &facts)
{
    if (std::string fault = no_rows_with_objectness(facts); !fault.empty())
        return fault;
    const int64_t predictions = facts.outputs[0].shape[1];
    const int anchors = anchors_per_cell(facts, predictions);
    if (anchors == -1)
        return std::to_string(predictions) + " predictions are not one or three for each cell of strides 8, 16 and 32";
    switch (box_arithmetic(facts, 0)) {
    case BoxArithmetic::none: return "the graph does not compute boxes after the last convolution";
    case BoxArithmetic::exp: return "the graph computes the boxes' sizes with exp()";
    case BoxArithmetic::no_exp:
    case BoxArithmetic::unknown: return {};
    }
    return {};
}

std::vector<std::string> labels(const ModelFacts &facts)
{
    return labels_for(facts.outputs[0].shape[2] - 5);
}

Results decode(const ModelFacts &facts, const ImageSpec &, const DecodeOptions &options,
               std::span<const Tensor> outputs)
{
    const Tensor rows = read_output(facts, outputs, 0, {1, any, any});
    const int columns = int(rows.dim(2));
    if (columns < 6)
        throw Error("output \"" + facts.outputs[0].name + "\" is " + to_string(rows.shape()) +
                    ", not predictions x (4 + 1 + classes)");
    const float threshold = threshold_of(options, custom_threshold);
    std::vector<Object> objects;
    const float *row = rows.data<float>();
    for (int64_t i = 0; i < rows.dim(1); i++, row += columns) {
        if (!(row[4] >= threshold))
            continue;
        const int best = argmax(row + 5, columns - 5);
        const float score = row[4] * row[5 + best];
        if (score >= threshold)
            add(objects, centred(row[0], row[1], row[2], row[3], score, best));
    }
    return detections(std::move(objects), options, custom_iou);
}

} // namespace

extern const Decoder yolov5{
    .name = "yolov5",
    .about = "YOLOv5, YOLOv6 and YOLOv7 with boxes computed in the graph",
    .task = Task::detect,
    .why_not = why_not,
    .preprocessing = ultralytics_preprocessing,
    .labels = labels,
    .constants = no_constants,
    .decode = decode,
};

} // namespace leat
