#include "npy.h"
#include "run.h"
#include "tensor_input.h"

#include "inference/ports.h"

#include <leat/core.h>
#include <leat/request.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <map>
#include <set>

namespace leat {
namespace {

/// The tensors of the files named by `-i NAME=FILE.npy`, by input.
std::map<std::string, Tensor> read_inputs(const std::vector<std::string> &arguments, const std::vector<Port> &ports)
{
    std::map<std::string, Tensor> tensors;
    for (const std::string &argument : arguments) {
        auto [name, tensor] = read_tensor_input(argument, ports);
        tensors[name] = std::move(tensor);
    }
    for (const Port &port : ports)
        if (!tensors.count(port.name))
            throw Error("the input " + to_string(port) + " has no tensor: pass -i " + port.name +
                        "=FILE.npy, or pictures for a model that takes them");
    return tensors;
}

/// With the sizes that the file leaves open taken from the tensors.
Model fixed(const Model &model, const std::map<std::string, Tensor> &tensors)
{
    std::map<std::string, Dimensions> shapes;
    for (const Port &port : model.inputs()) {
        const Shape &shape = tensors.at(port.name).shape();
        if (!fits(port, shape))
            throw Error("a tensor of " + to_string(shape) + " does not fit the input " + to_string(port));
        if (!is_static(port.shape))
            shapes[port.name] = Dimensions(shape.begin(), shape.end());
    }
    return shapes.empty() ? model : model.reshaped(shapes);
}

std::string file_name_of(std::string name)
{
    std::replace(name.begin(), name.end(), '/', '_');
    return name + ".npy";
}

void write_outputs(InferRequest &request, const CompiledModel &model, const std::filesystem::path &folder)
{
    std::filesystem::create_directories(folder);
    std::set<std::string> written;
    for (const Port &port : model.outputs()) {
        const std::string file = file_name_of(port.name);
        if (!written.insert(file).second)
            throw Error("two outputs would be written to \"" + file + "\"");
        write_npy(folder / file, request.tensor(port.name));
    }
}

double milliseconds_of(InferRequest &request)
{
    const auto start = std::chrono::steady_clock::now();
    request.infer();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

void print_times(std::vector<double> times)
{
    std::sort(times.begin(), times.end());
    std::cout << std::fixed << std::setprecision(2) << "time " << times[times.size() / 2] << " ms";
    if (times.size() > 1)
        std::cout << " median of " << times.size() << ", least " << times.front() << " ms, most " << times.back()
                  << " ms";
    std::cout << "\n";
}

} // namespace

void run_tensors(const RunOptions &options)
{
    const Model as_read = Core::read_model(options.model.path, options.model.compile);
    const Model read = options.model.image.shapes.empty() ? as_read : as_read.reshaped(options.model.image.shapes);
    const auto tensors = read_inputs(options.inputs, read.inputs());
    const auto model = Core::compile_model(fixed(read, tensors), options.device, options.model.compile);
    InferRequest request(model);
    for (const auto &[name, tensor] : tensors)
        request.set_tensor(name, tensor);
    std::vector<double> times;
    for (int i = 0; i < options.repeat; i++)
        times.push_back(milliseconds_of(request));
    if (!options.output_folder.empty())
        write_outputs(request, *model, options.output_folder);
    for (const Port &port : model->outputs()) {
        const Tensor &tensor = request.tensor(port.name);
        std::cout << port.name << " " << to_string(tensor.type()) << "[" << to_string(tensor.shape()) << "]\n";
    }
    print_times(std::move(times));
}

} // namespace leat
