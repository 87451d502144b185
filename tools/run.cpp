#include "run.h"

#include "subcommand.h"

#include <CLI/Validators.hpp>

#include <memory>

namespace leat {
namespace {

int run(const RunOptions &options)
{
    if (!options.pictures.empty() && (!options.inputs.empty() || !options.output_folder.empty()))
        throw CLI::ValidationError("run", "pictures cannot be mixed with -i and -o, which are for raw tensors");
    options.pictures.empty() ? run_tensors(options) : run_pictures(options);
    return 0;
}

} // namespace

std::function<int()> add_run(CLI::App &app)
{
    auto options = std::make_shared<RunOptions>();
    app.add_option("MODEL", options->model.path, "Model file (.onnx, .xml)")->required();
    app.add_option("IMAGE", options->pictures, "Pictures; each gives a line of JSON with what was found in it");
    app.add_option("-d,--device", options->device, "Device, as listed by `leat devices`")->capture_default_str();
    app.add_option("-i,--input", options->inputs,
                   "NAME=FILE.npy, once for each input; numbers are converted to the input's type")
        ->take_all()
        ->allow_extra_args(false);
    app.add_option("-o,--output-folder", options->output_folder,
                   "Where to write NAME.npy for each output; slashes in names become underscores");
    app.add_option("--repeat", options->repeat, "Inferences to time")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    add_shape_option(app, options->model);
    add_compile_options(app, options->model);
    add_decode_options(app, options->decode);
    add_picture_options(app, options->model);
    return [options] { return run(*options); };
}

} // namespace leat
