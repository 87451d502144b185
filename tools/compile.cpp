#include "model_options.h"
#include "subcommand.h"

#include "devices/core.h"
#include "devices/devices.h"
#include "devices/model_cache.h"
#include "preprocess/image_input.h"

#include <leat/error.h>

#include <iostream>
#include <memory>

namespace leat {
namespace {

struct CompileOptions {
    ModelOptions model;
    std::string device = "CPU", target;
    bool tensors = false;
};

/// The graph with the picture in front, as the elements and `leat run MODEL IMAGE` open it.
Graph with_picture(const CompileOptions &options, const std::shared_ptr<const Graph> &graph)
{
    const Task task = in_context("no picture can be put in front of the model, as without --tensors",
                                 [&] { return task_of(options.model, facts_of(*graph)); });
    const auto model = open_image_model(options.model.path, task, image_options(options.model, options.device));
    return with_image_input(*graph, model->facts.inputs[model->image_input].name, model->spec);
}

int compile(const CompileOptions &options)
{
    const auto source = read_shared(options.model.path, options.model.image.shapes);
    const Graph graph = options.tensors ? *source : with_picture(options, source);
    store_compiled(*find_device(options.device), *source, graph, options.model.compile, options.target);
    std::cout << options.target << ": " << options.model.path << " for " << options.device << ", fed with "
              << (options.tensors ? "tensors" : "pictures") << "\n";
    return 0;
}

} // namespace

std::function<int()> add_compile(CLI::App &app)
{
    auto options = std::make_shared<CompileOptions>();
    app.add_option("MODEL", options->model.path, "Model file (.onnx, .xml)")->required();
    app.add_option("-o,--output", options->target, "File to write, which can be loaded in the model's place")
        ->required();
    app.add_option("-d,--device", options->device, "Device, as listed by `leat devices`")->capture_default_str();
    app.add_flag("--tensors", options->tensors, "Compile for raw tensors instead of pictures");
    add_shape_option(app, options->model);
    add_compile_options(app, options->model);
    add_picture_options(app, options->model);
    return [options] { return compile(*options); };
}

} // namespace leat
