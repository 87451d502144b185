#include "yolo.h"

#include <cmath>

namespace leat {

namespace {

constexpr float custom_threshold = 0.3f, custom_iou = 0.45f;

std::string why_not(const ModelFacts &facts)
{
    if (std::string fault = miscount(facts, 1); !fault.empty())
        return fault;
    if (std::string fault = no_rows_with_objectness(facts); !fault.empty())
        return fault;
    const int64_t predictions = facts.outputs[0].shape[1];
    const int anchors = anchors_per_cell(facts, predictions);
    if (anchors == 3 || anchors == -1)
        return std::to_string(predictions) + " predictions are not one for each cell of strides 8, 16 and 32";
    if (box_arithmetic(facts, 0) == BoxArithmetic::no_exp)
        return "the graph computes boxes after the last convolution, without exp()";
    return {};
}

ImageSpec preprocessing(const ModelFacts &facts)
{
    return image_spec(facts, ColourOrder::bgr, as_is, ResizeMode::letterbox_corner, 114, {640, 640});
}

std::vector<std::string> labels(const ModelFacts &facts)
{
    return labels_for(facts.outputs[0].shape[2] - 5);
}

/// Reads the rows of one grid. `raw`: centre = (xy + cell) * stride, size = exp(wh) * stride (Ge et al., "YOLOX",
/// 2021).
void decode_grid(const Grid &grid, bool raw, const float *row, int columns, float threshold,
                 std::vector<Object> &objects)
{
    const auto stride = float(grid.stride);
    for (int y = 0; y < grid.rows; y++)
        for (int x = 0; x < grid.columns; x++, row += columns) {
            if (!(row[4] >= threshold))
                continue;
            const int best = argmax(row + 5, columns - 5);
            const float score = row[4] * row[5 + best];
            if (!(score >= threshold))
                continue;
            add(objects, raw ? centred((row[0] + float(x)) * stride, (row[1] + float(y)) * stride,
                                       std::exp(row[2]) * stride, std::exp(row[3]) * stride, score, best)
                             : centred(row[0], row[1], row[2], row[3], score, best));
        }
}

Results decode(const ModelFacts &facts, const ImageSpec &spec, const DecodeOptions &options,
               std::span<const Tensor> outputs)
{
    const Tensor rows = read_output(facts, outputs, 0, {1, any, any});
    const auto pyramid = yolo_grids(spec.width, spec.height, rows.dim(1), 1);
    const int columns = int(rows.dim(2));
    if (pyramid.empty() || columns < 6)
        throw Error("output \"" + facts.outputs[0].name + "\" is " + to_string(rows.shape()) +
                    ", which does not belong to YOLOX over a picture of " + std::to_string(spec.width) + "x" +
                    std::to_string(spec.height));
    std::vector<Object> objects;
    const bool raw = box_arithmetic(facts, 0) != BoxArithmetic::exp;
    const float *row = rows.data<float>();
    for (const Grid &grid : pyramid) {
        decode_grid(grid, raw, row, columns, threshold_of(options, custom_threshold), objects);
        row += grid.cells() * columns;
    }
    return detections(std::move(objects), options, custom_iou);
}

} // namespace

extern const Decoder yolox{
    .name = "yolox",
    .about = "YOLOX, boxes computed in the graph or not",
    .task = Task::detect,
    .why_not = why_not,
    .preprocessing = preprocessing,
    .labels = labels,
    .constants = no_constants,
    .decode = decode,
};

} // namespace leat
