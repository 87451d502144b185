#include "picture.h"
#include "run.h"

#include "devices/core.h"
#include "preprocess/geometry.h"

#include <leat/request.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <iostream>

namespace leat {
namespace {

using Json = nlohmann::ordered_json;

/// Decimals that mean something: thousandths of a pixel, hundred-thousandths of a probability.
double rounded(double value, double steps)
{
    return std::round(value * steps) / steps;
}

double pixels(float value)
{
    return rounded(value, 1e3);
}

double probability(float value)
{
    return rounded(value, 1e5);
}

/// In pixels of the picture; what lies outside is cut off.
Json object_json(const Object &object, const ImageModel &model, const Image &image)
{
    const Region box = box_in_frame(object, image.to_frame, image.width, image.height);
    Json json{
        {"label", model.label(object.label_id)},
        {"label_id", object.label_id},
        {"confidence", probability(object.score)},
        {"box", {{"x", pixels(box.x)}, {"y", pixels(box.y)}, {"w", pixels(box.width)}, {"h", pixels(box.height)}}}};
    for (const Object::Keypoint &keypoint : object.keypoints) {
        const Point point = to_frame(image.to_frame, {keypoint.x, keypoint.y});
        json["keypoints"].push_back(
            {{"x", pixels(point.x)}, {"y", pixels(point.y)}, {"confidence", probability(keypoint.score)}});
    }
    return json;
}

Json class_json(const Classification &found, const ImageModel &model)
{
    return {{"label", model.label(found.label_id)},
            {"label_id", found.label_id},
            {"confidence", probability(found.score)},
            {"output", found.output}};
}

Results infer(const ImageModel &model, InferRequest &request, const Image &image, const DecodeOptions &options)
{
    request.set_image(model.facts.inputs[model.image_input].name, image);
    request.infer();
    std::vector<Tensor> outputs;
    for (const Port &port : model.compiled->outputs())
        outputs.push_back(request.tensor(port.name));
    return model.decoder->decode(model.facts, model.spec, options, outputs);
}

} // namespace

void run_pictures(const RunOptions &options)
{
    const ModelOptions &asked = options.model;
    auto graph = read_shared(asked.path, asked.image.shapes, asked.compile); // held, so that it is read once
    const Task task = in_context("model \"" + asked.path + "\"", [&] { return task_of(asked, facts_of(*graph)); });
    const auto model = open_image_model(asked.path, task, image_options(asked, options.device));
    graph.reset();
    InferRequest request(model->compiled);
    set_constants(*model, request);
    for (const std::string &path : options.pictures) {
        Image image = read_picture(path);
        image.to_frame = fit(model->spec, {0, 0, static_cast<float>(image.width), static_cast<float>(image.height)});
        const Results results = infer(*model, request, image, options.decode);
        Json line{{"file", path}, {"width", image.width}, {"height", image.height}};
        if (task == Task::detect) {
            line["objects"] = Json::array();
            for (const Object &object : results.objects)
                line["objects"].push_back(object_json(object, *model, image));
        } else {
            line["classes"] = Json::array();
            for (const Classification &found : results.classes)
                line["classes"].push_back(class_json(found, *model));
        }
        std::cout << line.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    }
}

} // namespace leat
