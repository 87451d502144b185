#include "heads.h"

#include <array>
#include <vector>

namespace leat {

namespace {

constexpr float custom_threshold = 0.5f, custom_iou = 0.3f;
constexpr int64_t face_columns = 4 + 2 * 6, palm_columns = 4 + 2 * 7;

struct AnchorLevel {
    int stride, anchors;
};
using AnchorLayout = std::vector<AnchorLevel>;

/// MediaPipe's SSD anchors, fixed size: many at one centre. The number of predictions tells which layout it is.
const AnchorLayout layouts[] = {
    {{8, 2}, {16, 6}},          // short range faces 128x128, palms 192x192
    {{16, 2}, {32, 6}},         // faces of the rear camera 256x256
    {{4, 1}},                   // full range faces 192x192
    {{8, 2}, {16, 2}, {32, 6}}, // palms 256x256
};

int64_t anchors_of(const AnchorLayout &layout, int width, int height)
{
    int64_t count = 0;
    for (const auto &[stride, anchors] : layout)
        count += grids(width, height, {stride})[0].cells() * anchors;
    return count;
}

const AnchorLayout *find_layout(int width, int height, int64_t predictions)
{
    for (const AnchorLayout &layout : layouts)
        if (anchors_of(layout, width, height) == predictions)
            return &layout;
    return nullptr;
}

/// Which output holds boxes and which scores; the names differ between exporters, the shapes do not.
struct Roles {
    size_t boxes, scores;
};
Roles roles(const ModelFacts &facts)
{
    const Shape &first = facts.outputs[0].shape;
    return !first.empty() && first.back() == 1 ? Roles{1, 0} : Roles{0, 1};
}

std::string why_not(const ModelFacts &facts)
{
    if (std::string fault = miscount(facts, 2); !fault.empty())
        return fault;
    const Port &boxes = facts.outputs[roles(facts).boxes], &scores = facts.outputs[roles(facts).scores];
    if (std::string fault = mismatch(scores, {1, any, 1}); !fault.empty())
        return fault;
    if (std::string fault = mismatch(boxes, {1, any, any}); !fault.empty())
        return fault;
    if (boxes.shape[2] != face_columns && boxes.shape[2] != palm_columns)
        return "output \"" + boxes.name + "\" is " + to_string(boxes.shape) +
               ": its rows are not of 16 (face) or 18 (palm) numbers";
    const auto [width, height] = picture_size(facts);
    if (boxes.shape[1] != -1 && width && height && !find_layout(width, height, boxes.shape[1]))
        return std::to_string(boxes.shape[1]) + " predictions fit no known anchors over " + std::to_string(width) +
               "x" + std::to_string(height);
    return {};
}

bool is_palm(const ModelFacts &facts)
{
    return facts.outputs[roles(facts).boxes].shape[2] == palm_columns;
}

ImageSpec preprocessing(const ModelFacts &facts)
{
    const int side = is_palm(facts) ? 192 : 128;
    return image_spec(facts, ColourOrder::rgb, is_palm(facts) ? to_unit : to_plus_minus_one, ResizeMode::letterbox, 0,
                      {side, side});
}

std::vector<std::string> labels(const ModelFacts &facts)
{
    return {is_palm(facts) ? "palm" : "face"};
}

/// Box and points relative to the anchor's centre, in pixels (Bazarevsky et al., "BlazeFace", 2019).
Object object(const float *p, int64_t columns, float x, float y, float score)
{
    Object found = centred(x + p[0], y + p[1], p[2], p[3], score, 0);
    for (int64_t i = 4; i + 1 < columns; i += 2)
        found.keypoints.push_back({x + p[i], y + p[i + 1], 1});
    return found;
}

Results decode(const ModelFacts &facts, const ImageSpec &spec, const DecodeOptions &options,
               std::span<const Tensor> outputs)
{
    const Tensor boxes = read_output(facts, outputs, roles(facts).boxes, {1, any, any});
    const Tensor scores = read_output(facts, outputs, roles(facts).scores, {1, boxes.dim(1), 1});
    const AnchorLayout *layout = find_layout(spec.width, spec.height, boxes.dim(1));
    const int64_t columns = boxes.dim(2);
    if (!layout || columns < 4)
        throw Error("output \"" + facts.outputs[roles(facts).boxes].name + "\" is " + to_string(boxes.shape()) +
                    ", which fits no known anchors over a picture of " + std::to_string(spec.width) + "x" +
                    std::to_string(spec.height));
    const float threshold = threshold_of(options, custom_threshold);
    std::vector<Object> objects;
    int64_t row = 0;
    for (const auto &[stride, anchors] : *layout) {
        const Grid grid = grids(spec.width, spec.height, {stride})[0];
        for (int64_t i = 0; i < grid.cells() * anchors; i++, row++) {
            const float score = sigmoid(scores.data<float>()[row]);
            if (!(score >= threshold))
                continue;
            const int64_t cell = i / anchors;
            const float x = (float(cell % grid.columns) + 0.5f) / float(grid.columns) * float(spec.width);
            const float y = (float(cell / grid.columns) + 0.5f) / float(grid.rows) * float(spec.height);
            add(objects, object(boxes.data<float>() + row * columns, columns, x, y, score));
        }
    }
    return detections(std::move(objects), options, custom_iou);
}

} // namespace

extern const Decoder blazeface{
    .name = "blazeface",
    .about = "MediaPipe's BlazeFace (faces and six points) and palm detector (palms and seven points)",
    .task = Task::detect,
    .why_not = why_not,
    .preprocessing = preprocessing,
    .labels = labels,
    .constants = no_constants,
    .decode = decode,
};

} // namespace leat
