#include "yolo.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace leat {

namespace {

constexpr float custom_threshold = 0.25f, custom_iou = 0.7f;

/// Columns of keypoints behind the classes, from metadata "kpt_shape" = "[17, 3]".
struct KeypointShape {
    int count = 0, numbers = 0; ///< numbers: 2 (x, y) or 3 (x, y, score)
    int columns() const { return count * numbers; }
};

KeypointShape keypoint_shape(const ModelFacts &facts)
{
    const std::string &text = metadata_value(facts.metadata, "kpt_shape");
    KeypointShape shape;
    if (std::sscanf(text.c_str(), "[%d, %d]", &shape.count, &shape.numbers) != 2 || shape.count < 1 ||
        shape.count > 10'000 || shape.numbers < 2 || shape.numbers > 3)
        return {};
    return shape;
}

/// The file's names tell the classes apart from mask coefficients or keypoints behind them.
int64_t classes_of(const ModelFacts &facts, int64_t rows)
{
    const int64_t named = int64_t(labels_in(facts.metadata).size());
    const int64_t free = rows - 4 - keypoint_shape(facts).columns();
    return named > 0 ? std::min(named, free) : free;
}

std::string why_not(const ModelFacts &facts)
{
    if (facts.outputs.empty())
        return "it has no output";
    const Port &port = facts.outputs[0];
    if (std::string fault = mismatch(port, {1, any, any}); !fault.empty())
        return fault + " ((4 + classes) x predictions)";
    if (metadata_value(facts.metadata, "task") == "obb")
        return "the file says that its boxes are rotated";
    const int64_t rows = port.shape[1], predictions = port.shape[2];
    const int anchors = anchors_per_cell(facts, predictions);
    if (rows < 5 || classes_of(facts, rows) < 1 || (anchors == 0 && predictions != -1 && predictions <= rows))
        return "output \"" + port.name + "\" is " + to_string(port.shape) + ", not (4 + classes) x predictions";
    if (anchors == 3 || anchors == -1)
        return std::to_string(predictions) + " predictions are not one for each cell of strides 8, 16 and 32";
    if (box_arithmetic(facts, 0) == BoxArithmetic::none)
        return "the graph does not compute boxes after the last convolution";
    return no_sigmoid(facts);
}

std::vector<std::string> labels(const ModelFacts &facts)
{
    return labels_for(classes_of(facts, facts.outputs[0].shape[1]));
}

/// Highest score of each of the first predictions from `scores` on; walks the classes in the outer loop, as they lie in
/// memory.
void find_highest(const float *scores, int64_t classes, size_t predictions, std::span<float> highest)
{
    std::copy_n(scores, highest.size(), highest.begin());
    for (int64_t c = 1; c < classes; c++) {
        const float *row = scores + size_t(c) * predictions;
        for (size_t i = 0; i < highest.size(); i++)
            highest[i] = row[i] > highest[i] ? row[i] : highest[i];
    }
}

int class_with(float score, const float *scores, int64_t classes, size_t predictions)
{
    int c = 0;
    while (c + 1 < classes && scores[size_t(c) * predictions] != score)
        c++;
    return c;
}

std::vector<Object::Keypoint> keypoints(const float *first, size_t predictions, const KeypointShape &shape)
{
    std::vector<Object::Keypoint> points;
    for (int k = 0; k < shape.count; k++) {
        const float *p = first + size_t(k) * size_t(shape.numbers) * predictions;
        points.push_back({p[0], p[predictions], shape.numbers == 3 ? p[2 * predictions] : 1.f});
    }
    return points;
}

Results decode(const ModelFacts &facts, const ImageSpec &, const DecodeOptions &options,
               std::span<const Tensor> outputs)
{
    const Tensor columns = read_output(facts, outputs, 0, {1, any, any});
    const int64_t classes = classes_of(facts, columns.dim(1));
    if (classes < 1)
        throw Error("output \"" + facts.outputs[0].name + "\" is " + to_string(columns.shape()) +
                    ", not (4 + classes) x predictions");
    const auto n = size_t(columns.dim(2));
    const float *data = columns.data<float>();
    const float threshold = threshold_of(options, custom_threshold);
    const KeypointShape shape = keypoint_shape(facts);
    std::vector<Object> objects;
    std::array<float, 512> block;
    for (size_t first = 0; first < n; first += block.size()) {
        const auto highest = std::span(block).first(std::min(block.size(), n - first));
        find_highest(data + 4 * n + first, classes, n, highest);
        for (size_t i = first; i < first + highest.size(); i++) {
            const float score = highest[i - first];
            if (!(score >= threshold))
                continue;
            Object object = centred(data[i], data[n + i], data[2 * n + i], data[3 * n + i], score,
                                    class_with(score, data + 4 * n + i, classes, n));
            object.keypoints = keypoints(data + size_t(4 + classes) * n + i, n, shape);
            add(objects, std::move(object));
        }
    }
    return detections(std::move(objects), options, custom_iou);
}

std::string assumptions(const ModelFacts &facts)
{
    if (metadata_value(facts.metadata, "task") == "segment")
        return "its masks are not decoded, only the boxes";
    return {};
}

} // namespace

extern const Decoder yolov8{
    .name = "yolov8",
    .about = "YOLOv8, YOLOv9, YOLO11 and YOLO12: boxes, and keypoints where the file tells their shape",
    .task = Task::detect,
    .why_not = why_not,
    .preprocessing = ultralytics_preprocessing,
    .labels = labels,
    .constants = no_constants,
    .decode = decode,
    .assumptions = assumptions,
};

} // namespace leat
