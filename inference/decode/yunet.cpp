#include "heads.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace leat {

namespace {

constexpr float custom_threshold = 0.6f, custom_iou = 0.3f;
constexpr std::array strides{8, 16, 32};
constexpr int points = 5;

struct Part {
    std::string_view prefix;
    int64_t columns;
};
constexpr Part parts[] = {{"cls_", 1}, {"obj_", 1}, {"bbox_", 4}, {"kps_", 2 * points}};

std::string name_of(const Part &part, int stride)
{
    return std::string(part.prefix) + std::to_string(stride);
}

std::string why_not(const ModelFacts &facts)
{
    if (std::string fault = miscount(facts, std::size(parts) * strides.size()); !fault.empty())
        return fault;
    for (int stride : strides)
        for (const Part &part : parts)
            if (std::string fault = mismatch(facts, name_of(part, stride), {1, any, part.columns}); !fault.empty())
                return fault;
    return {};
}

ImageSpec preprocessing(const ModelFacts &facts)
{
    return image_spec(facts, ColourOrder::bgr, as_is, ResizeMode::letterbox_corner, 0, {640, 640});
}

std::vector<std::string> labels(const ModelFacts &)
{
    return {"face"};
}

/// The four outputs of one stride.
struct Level {
    Level(const ModelFacts &facts, std::span<const Tensor> outputs, const Grid &g) : grid(g)
    {
        for (size_t i = 0; i < tensors.size(); i++) {
            const int index = find_output(facts, name_of(parts[i], grid.stride));
            tensors[i] = read_output(facts, outputs, size_t(index), {1, grid.cells(), parts[i].columns});
        }
    }
    const float *row(size_t part, int64_t cell) const
    {
        return tensors[part].data<float>() + cell * parts[part].columns;
    }

    float score(int64_t cell) const
    {
        return std::sqrt(std::clamp(*row(0, cell), 0.f, 1.f) * std::clamp(*row(1, cell), 0.f, 1.f));
    }

    Object object(int64_t cell, float score) const
    {
        const auto stride = float(grid.stride), x = float(cell % grid.columns), y = float(cell / grid.columns);
        const float *box = row(2, cell), *point = row(3, cell);
        Object found = centred((x + box[0]) * stride, (y + box[1]) * stride, std::exp(box[2]) * stride,
                               std::exp(box[3]) * stride, score, 0);
        for (int i = 0; i < points; i++)
            found.keypoints.push_back({(x + point[2 * i]) * stride, (y + point[2 * i + 1]) * stride, 1});
        return found;
    }

    Grid grid;
    std::array<Tensor, std::size(parts)> tensors;
};

/// Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", 2023.
Results decode(const ModelFacts &facts, const ImageSpec &spec, const DecodeOptions &options,
               std::span<const Tensor> outputs)
{
    const float threshold = threshold_of(options, custom_threshold);
    std::vector<Object> objects;
    for (const Grid &grid : grids(spec.width, spec.height, strides)) {
        const Level level(facts, outputs, grid);
        for (int64_t cell = 0; cell < grid.cells(); cell++)
            if (const float score = level.score(cell); score >= threshold)
                add(objects, level.object(cell, score));
    }
    return detections(std::move(objects), options, custom_iou);
}

} // namespace

extern const Decoder yunet{
    .name = "yunet",
    .about = "YuNet: faces and five points",
    .task = Task::detect,
    .why_not = why_not,
    .preprocessing = preprocessing,
    .labels = labels,
    .constants = no_constants,
    .decode = decode,
};

} // namespace leat
