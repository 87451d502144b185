#include "heads.h"

namespace leat {

namespace {

constexpr float custom_threshold = 0.4f, no_suppression = -1;
constexpr std::string_view size_input = "orig_target_sizes";

const Port *size_port(const ModelFacts &facts)
{
    for (const Port &port : facts.inputs)
        if (port.name == size_input)
            return &port;
    return nullptr;
}

std::string why_not(const ModelFacts &facts)
{
    if (std::string fault = miscount(facts, 3); !fault.empty())
        return fault;
    if (std::string fault = mismatch(facts, "boxes", {1, any, 4}); !fault.empty())
        return fault;
    for (std::string_view name : {"labels", "scores"})
        if (std::string fault = mismatch(facts, name, {1, any}); !fault.empty())
            return fault;
    return size_port(facts) ? "" : "there is no input \"orig_target_sizes\"";
}

ImageSpec preprocessing(const ModelFacts &facts)
{
    return image_spec(facts, ColourOrder::rgb, to_unit, ResizeMode::stretch, 0, {640, 640});
}

std::vector<std::string> labels(const ModelFacts &)
{
    return coco_labels();
}

/// The network's own width and height, so that the boxes come in pixels of the tensor.
std::map<std::string, Tensor> constants(const ModelFacts &facts, const ImageSpec &spec)
{
    const Tensor size = Tensor::of<int64_t>({1, 2}, {spec.width, spec.height});
    return {{std::string(size_input), size.converted(size_port(facts)->type)}};
}

Results decode(const ModelFacts &facts, const ImageSpec &, const DecodeOptions &options,
               std::span<const Tensor> outputs)
{
    const auto read = [&](std::string_view name, const Shape &want) {
        return read_output(facts, outputs, size_t(find_output(facts, name)), want);
    };
    const Tensor scores = read("scores", {1, any});
    const Tensor ids = read("labels", {1, scores.dim(1)});
    const Tensor boxes = read("boxes", {1, scores.dim(1), 4});
    const float threshold = threshold_of(options, custom_threshold);
    std::vector<Object> objects;
    for (size_t i = 0; i < size_t(scores.dim(1)); i++) {
        const float score = scores.data<float>()[i], id = ids.data<float>()[i];
        const float *p = boxes.data<float>() + 4 * i;
        if (score >= threshold && id >= 0 && id < 1e6f)
            add(objects, {p[0], p[1], p[2], p[3], score, int(id), {}});
    }
    return detections(std::move(objects), options, no_suppression);
}

std::string assumptions(const ModelFacts &facts)
{
    return labels_in(facts.metadata).empty() ? "the file names no classes: COCO's 80 are assumed" : "";
}

} // namespace

extern const Decoder detr{
    .name = "detr",
    .about = "RT-DETR, D-FINE, DEIM and DEIMv2: outputs labels, boxes and scores, input orig_target_sizes",
    .task = Task::detect,
    .why_not = why_not,
    .preprocessing = preprocessing,
    .labels = labels,
    .constants = constants,
    .decode = decode,
    .assumptions = assumptions,
};

} // namespace leat
