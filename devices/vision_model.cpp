#include "core.h"
#include "image_model.h"

#include "preprocess/geometry.h"
#include "preprocess/sampling.h"

#include <leat/error.h>
#include <leat/vision.h>

#include <cstdlib>

namespace leat {
namespace {

Task task_of(const VisionOptions &options, const ModelFacts &facts)
{
    if (options.task.empty())
        return only_task(facts, options.decoder);
    const auto task = task_from(options.task);
    if (!task)
        throw Error("there is no task \"" + options.task + "\"; the tasks are detect and classify");
    return *task;
}

ImageModelOptions options_of(const VisionOptions &options)
{
    ImageModelOptions image;
    image.device = options.device;
    image.compile = options.compile;
    image.decoder = options.decoder;
    if (!options.labels_file.empty())
        image.labels = read_labels(options.labels_file);
    return image;
}

Results read(const ImageModel &model, const VisionOptions &options, InferRequest &request, Task task)
{
    if (model.decoder->task != task)
        throw Error(task == Task::detect ? "the model classifies, see classes()"
                                         : "the model detects, see detections()");
    std::vector<Tensor> outputs;
    for (const Port &port : model.compiled->outputs()) {
        outputs.push_back(request.tensor(port.name));
        if (!outputs.back())
            throw Error("the request has no output \"" + port.name + "\" yet: it has not run");
    }
    return model.decoder->decode(model.facts, model.spec,
                                 {options.threshold, options.iou_threshold, options.max_objects}, outputs);
}

bool contains(const Image &frame, const Region &region)
{
    return region.width > 0 && region.height > 0 && region.x >= 0 && region.y >= 0 &&
           region.x + region.width <= static_cast<float>(frame.width) &&
           region.y + region.height <= static_cast<float>(frame.height);
}

/// Throws Error when the rows of a plane overlap.
void check_strides(const Image &frame)
{
    for (const Component &component :
         std::span(layout_of(frame.format).components).first(layout_of(frame.format).count)) {
        const ptrdiff_t samples = sample_count(frame.width, component.shift);
        const ptrdiff_t stride = frame.planes[component.plane].stride;
        if (frame.height > 1 && std::abs(stride) < samples * component.step)
            throw Error("plane " + std::to_string(component.plane) + " of a frame " + std::to_string(frame.width) +
                        " pixels wide has a stride of " + std::to_string(stride) + ", want at least " +
                        std::to_string(samples * component.step));
    }
}

std::string to_string(const Region &region)
{
    return std::to_string(region.width) + "x" + std::to_string(region.height) + " at " + std::to_string(region.x) +
           ", " + std::to_string(region.y);
}

} // namespace

VisionModel::VisionModel(const std::string &path, const VisionOptions &options) : options_(options)
{
    const auto graph = read_shared(path); // held, so that it is read once
    const Task task = in_context("model \"" + path + "\"", [&] { return task_of(options, facts_of(*graph)); });
    model_ = open_image_model(path, task, options_of(options));
}

const std::shared_ptr<CompiledModel> &VisionModel::compiled() const
{
    return model_->compiled;
}

const std::string &VisionModel::reason() const
{
    return model_->decoder_reason;
}

const std::vector<std::string> &VisionModel::labels() const
{
    return model_->labels;
}

bool VisionModel::detects() const
{
    return model_->decoder->task == Task::detect;
}

InferRequest VisionModel::make_request() const
{
    InferRequest request(model_->compiled);
    set_constants(*model_, request);
    return request;
}

void VisionModel::set_frame(InferRequest &request, Image frame, const std::optional<Region> &region) const
{
    check_frame(frame);
    check_strides(frame);
    const Region whole{0, 0, static_cast<float>(frame.width), static_cast<float>(frame.height)};
    frame.region = region.value_or(whole);
    if (!contains(frame, frame.region))
        throw Error("the region of " + to_string(frame.region) + " does not lie within a frame of " + to_string(whole));
    frame.to_frame = fit(model_->spec, frame.region);
    request.set_image(model_->facts.inputs[model_->image_input].name, std::move(frame));
}

std::vector<Detection> VisionModel::detections(InferRequest &request) const
{
    const Image &frame = request.image();
    check_frame(frame);
    std::vector<Detection> found;
    for (const Object &object : read(*model_, options_, request, Task::detect).objects) {
        Detection detection{box_in_frame(object, frame.to_frame, frame.width, frame.height),
                            object.score,
                            object.label_id,
                            model_->label(object.label_id),
                            {}};
        if (!(detection.box.width > 0 && detection.box.height > 0))
            continue;
        for (const Object::Keypoint &point : object.keypoints) {
            const Point at = to_frame(frame.to_frame, {point.x, point.y});
            detection.keypoints.push_back({at.x, at.y, point.score});
        }
        found.push_back(std::move(detection));
    }
    return found;
}

std::vector<ClassScore> VisionModel::classes(InferRequest &request) const
{
    std::vector<ClassScore> found;
    for (const Classification &each : read(*model_, options_, request, Task::classify).classes)
        found.push_back({each.label_id, model_->label(each.label_id), each.score, each.output});
    return found;
}

} // namespace leat
