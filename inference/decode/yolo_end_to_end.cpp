#include "yolo.h"

namespace leat {

namespace {

constexpr float custom_threshold = 0.25f, no_suppression = -1;
constexpr int64_t most_rows = 1000;

std::string why_not(const ModelFacts &facts)
{
    if (std::string fault = miscount(facts, 1); !fault.empty())
        return fault;
    const Port &port = facts.outputs[0];
    if (std::string fault = mismatch(port, {1, any, 6}); !fault.empty())
        return fault + " (x1, y1, x2, y2, score, class)";
    if (port.shape[2] != 6 || port.shape[1] > most_rows)
        return "output \"" + port.name + "\" is " + to_string(port.shape) + ", not at most 1000 rows of 6 numbers";
    if (knows_graph(facts) && !contains(facts.ops, "TopK") && !contains(facts.ops, "NonMaxSuppression"))
        return "the graph does not select boxes (no TopK, no NonMaxSuppression)";
    return {};
}

std::vector<std::string> labels(const ModelFacts &)
{
    return coco_labels();
}

Results decode(const ModelFacts &facts, const ImageSpec &, const DecodeOptions &options,
               std::span<const Tensor> outputs)
{
    const Tensor rows = read_output(facts, outputs, 0, {1, any, 6});
    const float threshold = threshold_of(options, custom_threshold);
    std::vector<Object> objects;
    const float *row = rows.data<float>();
    for (int64_t i = 0; i < rows.dim(1); i++, row += 6)
        if (row[4] >= threshold && row[5] >= 0 && row[5] < 1e6f)
            add(objects, {row[0], row[1], row[2], row[3], row[4], int(row[5]), {}});
    return detections(std::move(objects), options, no_suppression);
}

std::string assumptions(const ModelFacts &facts)
{
    return labels_in(facts.metadata).empty() ? "the file names no classes: COCO's 80 are assumed" : "";
}

} // namespace

extern const Decoder yolo_end_to_end{
    .name = "yolo-end-to-end",
    .about = "YOLOv10, YOLO26 and YOLO exported with suppression in the graph: rows x1, y1, x2, y2, score, class",
    .task = Task::detect,
    .why_not = why_not,
    .preprocessing = ultralytics_preprocessing,
    .labels = labels,
    .constants = no_constants,
    .decode = decode,
    .assumptions = assumptions,
};

} // namespace leat
