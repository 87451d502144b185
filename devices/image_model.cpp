#include "image_model.h"
#include "core.h"

#include "preprocess/geometry.h"

#include <leat/error.h>

#include <algorithm>

namespace leat {
namespace {

/// mul and add so that tensor = (pixel - mean) / scale.
void normalise(ImageSpec &spec, const std::vector<float> &mean, const std::vector<float> &scale)
{
    auto channel = [](const char *name, const std::vector<float> &numbers, size_t c) {
        if (numbers.size() != 1 && numbers.size() != 3)
            throw Error(std::string(name) + " has " + std::to_string(numbers.size()) + " numbers, want 1 or 3");
        return numbers[numbers.size() == 1 ? 0 : c];
    };
    for (size_t c = 0; c < 3; c++) {
        const float old_mean = -spec.add[c] / spec.mul[c];
        const float divisor = scale.empty() ? 1 / spec.mul[c] : channel("scale", scale, c);
        if (divisor == 0)
            throw Error("scale is 0; want what each pixel is divided by, such as 255");
        spec.mul[c] = 1 / divisor;
        spec.add[c] = -(mean.empty() ? old_mean : channel("mean", mean, c)) / divisor;
    }
}

struct Chosen {
    Choice choice;
    ImageSpec spec;
};

Chosen choose(const ModelFacts &facts, std::optional<Task> task, const std::string &name)
{
    Chosen chosen;
    if (task) {
        chosen.choice = choose_decoder(facts, *task, name);
        chosen.spec = chosen.choice.decoder->preprocessing(facts);
        return chosen;
    }
    for (Task either : {Task::detect, Task::classify})
        try {
            chosen.choice = choose_decoder(facts, either, name);
            chosen.spec = chosen.choice.decoder->preprocessing(facts);
            chosen.choice.decoder = nullptr;
            return chosen;
        } catch (const Error &) {
            continue;
        }
    if (!name.empty())
        choose_decoder(facts, Task::detect, name);
    chosen.choice.reason = "no decoder row fits: the picture goes in as it is (RGB, 0..255, stretched)";
    chosen.spec = plain_preprocessing(facts);
    return chosen;
}

/// The input's size as asked for. Throws Error when the model has one of its own.
void set_size(ImageSpec &spec, const Port &port, const ImageModelOptions &options)
{
    const size_t rows = spec.layout == Layout::nhwc ? 1 : 2;
    auto set = [&](const char *name, int wanted, size_t axis, int &size) {
        if (wanted <= 0)
            return;
        if (port.shape.size() > axis && port.shape[axis] > 0 && port.shape[axis] != wanted)
            throw Error(std::string("the model's input \"") + port.name + "\" (" + to_string(port.shape) + ") has a " +
                        name + " of " + std::to_string(port.shape[axis]) + " of its own; leave input-" + name +
                        " unset");
        size = wanted;
    };
    auto check = [&](const char *name, size_t axis, int size) {
        if (port.limits.size() > axis && size > 0 && !port.limits[axis].allows(size))
            throw Error(std::string("the input \"") + port.name + "\" (" + to_string(port.limits) +
                        ") does not take a " + name + " of " + std::to_string(size) + "; set input-" + name);
    };
    set("width", options.width, rows + 1, spec.width);
    set("height", options.height, rows, spec.height);
    check("width", rows + 1, spec.width);
    check("height", rows, spec.height);
}

std::vector<Tensor> further_inputs(const ImageModel &model, const std::map<std::string, Tensor> &known)
{
    std::vector<Tensor> tensors;
    for (const Port &port : model.compiled->inputs()) {
        if (port.image)
            continue;
        const auto found = known.find(port.name);
        if (found == known.end())
            throw Error("the model wants the input " + port.name +
                        " besides the picture, and no decoder row knows its value");
        tensors.push_back(found->second);
    }
    return tensors;
}

std::shared_ptr<const ImageModel> open(std::shared_ptr<const Graph> graph, const std::string &path,
                                       std::optional<Task> task, const ImageModelOptions &options)
{
    auto model = std::make_shared<ImageModel>();
    model->facts = facts_of(*graph);
    model->image_input = find_image_input(model->facts);
    Port &port = model->facts.inputs[model->image_input];
    port.image = true;
    const Chosen chosen = choose(model->facts, task, options.decoder);
    model->decoder = chosen.choice.decoder;
    model->decoder_reason = chosen.choice.reason;
    model->spec = chosen.spec;
    if (options.order)
        model->spec.order = *options.order;
    if (options.resize)
        model->spec.resize = *options.resize;
    if (options.filter)
        model->spec.filter = *options.filter;
    if (!options.mean.empty() || !options.scale.empty())
        normalise(model->spec, options.mean, options.scale);
    set_size(model->spec, port, options);
    if (model->spec.width < 1 || model->spec.height < 1)
        throw Error("the input \"" + port.name + "\" leaves its size open (" + to_string(port.shape) +
                    "), and the decoder row has no customary one; set input-width and input-height");
    model->compiled =
        compile_shared(std::move(graph), options.device, options.compile, ImageInput{port.name, model->spec}, path);
    if (model->decoder)
        model->constants = further_inputs(*model, model->decoder->constants(model->facts, model->spec));
    model->labels = options.labels;
    if (model->labels.empty())
        model->labels = labels_in(model->facts.metadata);
    if (model->labels.empty() && model->decoder)
        model->labels = model->decoder->labels(model->facts);
    return model;
}

} // namespace

std::string ImageModel::label(int id) const
{
    return id >= 0 && static_cast<size_t>(id) < labels.size() ? labels[static_cast<size_t>(id)] : std::to_string(id);
}

void set_constants(const ImageModel &model, InferRequest &request)
{
    size_t next = 0;
    for (const Port &port : model.compiled->inputs())
        if (!port.image)
            request.set_tensor(port.name, model.constants[next++]);
}

Region box_in_frame(const Object &object, const Affine &matrix, int frame_width, int frame_height)
{
    const Point corners[] = {to_frame(matrix, {object.x1, object.y1}), to_frame(matrix, {object.x2, object.y1}),
                             to_frame(matrix, {object.x1, object.y2}), to_frame(matrix, {object.x2, object.y2})};
    const auto [left, right] = std::minmax({corners[0].x, corners[1].x, corners[2].x, corners[3].x});
    const auto [top, bottom] = std::minmax({corners[0].y, corners[1].y, corners[2].y, corners[3].y});
    const auto width = static_cast<float>(frame_width), height = static_cast<float>(frame_height);
    const float x = std::clamp(left, 0.f, width), y = std::clamp(top, 0.f, height);
    return {x, y, std::clamp(right, 0.f, width) - x, std::clamp(bottom, 0.f, height) - y};
}

std::shared_ptr<const ImageModel> open_image_model(const std::string &path, std::optional<Task> task,
                                                   const ImageModelOptions &options)
{
    auto graph = read_shared(path, options.shapes, options.compile);
    return in_context("model \"" + path + "\"", [&] { return open(std::move(graph), path, task, options); });
}

} // namespace leat
