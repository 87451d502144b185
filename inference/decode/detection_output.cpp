#include "heads.h"

namespace leat {

namespace {

constexpr float custom_threshold = 0.5f, no_suppression = -1;
constexpr int64_t columns = 7;

std::string why_not(const ModelFacts &facts)
{
    if (std::string fault = miscount(facts, 1); !fault.empty())
        return fault;
    if (std::string fault = mismatch(facts.outputs[0], {1, 1, any, columns}); !fault.empty())
        return fault + " (image, label, score, x1, y1, x2, y2)";
    return facts.outputs[0].shape[3] == columns ? ""
                                                : "output \"" + facts.outputs[0].name + "\" leaves its last size open";
}

ImageSpec preprocessing(const ModelFacts &facts)
{
    return image_spec(facts, ColourOrder::bgr, as_is, ResizeMode::stretch, 0, {300, 300});
}

/// Models of the Open Model Zoo by a part of the graph's name; label 0 is the background.
struct KnownModel {
    std::string_view name;
    std::vector<std::string> labels;
};

std::vector<std::string> labels(const ModelFacts &facts)
{
    static const KnownModel known[] = {
        {"face-detection", {"background", "face"}},
        {"person-detection-retail", {"background", "person"}},
        {"person-vehicle-bike-detection-crossroad", {"background", "person", "vehicle", "bike"}},
        {"vehicle-license-plate-detection", {"background", "vehicle", "license-plate"}},
    };
    for (const auto &[name, names] : known)
        if (facts.name.find(name) != std::string::npos)
            return names;
    return {};
}

/// Rows of (image, label, score, x1, y1, x2, y2), the box as fractions of the picture; image -1 ends the list.
Results decode(const ModelFacts &facts, const ImageSpec &spec, const DecodeOptions &options,
               std::span<const Tensor> outputs)
{
    const Tensor rows = read_output(facts, outputs, 0, {1, 1, any, columns});
    const float threshold = threshold_of(options, custom_threshold);
    const auto width = float(spec.width), height = float(spec.height);
    std::vector<Object> objects;
    const float *p = rows.data<float>();
    for (int64_t i = 0; i < rows.dim(2) && p[0] >= 0; i++, p += columns)
        if (p[2] >= threshold && p[1] >= 0 && p[1] < 1e6f)
            add(objects, {p[3] * width, p[4] * height, p[5] * width, p[6] * height, p[2], int(p[1]), {}});
    return detections(std::move(objects), options, no_suppression);
}

} // namespace

extern const Decoder detection_output{
    .name = "detection-output",
    .about = "SSD ending in DetectionOutput: rows image, label, score, x1, y1, x2, y2",
    .task = Task::detect,
    .why_not = why_not,
    .preprocessing = preprocessing,
    .labels = labels,
    .constants = no_constants,
    .decode = decode,
};

} // namespace leat
