#include "benchmark.h"
#include "picture.h"
#include "tensor_input.h"

#include "inference/ports.h"
#include "preprocess/geometry.h"

#include <leat/core.h>

#include <CLI/Error.hpp>

#include <algorithm>
#include <charconv>
#include <random>

namespace leat {
namespace {

using Tensors = std::map<std::string, Tensor>;

class Stopwatch {
  public:
    double milliseconds() const
    {
        return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin_).count();
    }

  private:
    const TimePoint begin_ = std::chrono::steady_clock::now();
};

/// "1x3x224x224"; commas and brackets are taken too.
Shape shape_of(const std::string &argument, std::string text)
{
    std::erase_if(text, [](char c) { return c == '[' || c == ']'; });
    std::replace(text.begin(), text.end(), ',', 'x');
    Shape shape;
    const char *at = text.data(), *const end = at + text.size();
    while (true) {
        int64_t size = 0;
        const auto parsed = std::from_chars(at, end, size);
        if (parsed.ec != std::errc() || size < 1 || (parsed.ptr != end && *parsed.ptr != 'x'))
            throw CLI::ValidationError("--shape", argument + ": want NAME=1x3x224x224");
        shape.push_back(size);
        if (parsed.ptr == end)
            return shape;
        at = parsed.ptr + 1;
    }
}

/// Of `NAME=SIZES`; a model with one input may leave the name out.
std::map<std::string, Shape> shapes_of(const std::vector<std::string> &arguments, const std::vector<Port> &ports)
{
    std::map<std::string, Shape> shapes;
    for (const std::string &argument : arguments) {
        const size_t sign = argument.rfind('=');
        if (sign == std::string::npos && ports.size() != 1)
            throw CLI::ValidationError("--shape", argument + ": the model has several inputs, want NAME=1x3x224x224");
        const std::string name = sign == std::string::npos ? ports[0].name : argument.substr(0, sign);
        shapes[name] = shape_of(argument, sign == std::string::npos ? argument : argument.substr(sign + 1));
    }
    return shapes;
}

bool are_pictures(const std::vector<std::string> &inputs)
{
    const auto tensors = std::count_if(inputs.begin(), inputs.end(), [](const std::string &input) {
        return input.ends_with(".npy") && input.find('=') != std::string::npos;
    });
    if (tensors != 0 && tensors != static_cast<int64_t>(inputs.size()))
        throw CLI::ValidationError("-i", "pictures cannot be mixed with NAME=FILE.npy");
    return tensors == 0 && !inputs.empty();
}

Tensors read_tensors(const std::vector<std::string> &arguments, const std::vector<Port> &ports)
{
    Tensors tensors;
    for (const std::string &argument : arguments) {
        auto [name, tensor] = read_tensor_input(argument, ports);
        tensors[name] = std::move(tensor);
    }
    return tensors;
}

template <class T, class Distribution> void fill(Tensor &tensor, Distribution distribution)
{
    std::mt19937 random(1);
    for (T &each : tensor.values<T>())
        each = static_cast<T>(distribution(random));
}

/// Floats of -1 to 1, bytes of any value; other integers are 0 or 1, which are valid as indices and as lengths.
Tensor random_tensor(const Port &port)
{
    Tensor tensor(port.type, port.shape);
    if (port.type == Type::u8) {
        fill<uint8_t>(tensor, std::uniform_int_distribution<int>(0, 255));
        return tensor;
    }
    const bool real =
        port.type == Type::f32 || port.type == Type::f16 || port.type == Type::bf16 || port.type == Type::f64;
    Tensor numbers(Type::f32, port.shape);
    if (real)
        fill<float>(numbers, std::uniform_real_distribution<float>(-1, 1));
    else
        fill<float>(numbers, std::uniform_int_distribution<int>(0, 1));
    return port.type == Type::f32 ? numbers : numbers.converted(port.type);
}

/// Frames of one inference: the first size that all inputs of four sizes, pictures as a rule, have in common.
int64_t batch_of(const std::vector<Port> &ports)
{
    int64_t batch = 0;
    for (const Port &port : ports)
        if (port.shape.size() == 4) {
            if (batch > 0 && port.shape[0] != batch)
                return 1;
            batch = port.shape[0];
        }
    return std::max<int64_t>(batch, 1);
}

/// The sizes to measure with: those given, then the batch; an open first size becomes 1.
std::map<std::string, Shape> wanted_shapes(const std::vector<Port> &ports, const Tensors &tensors,
                                           std::map<std::string, Shape> shapes, int64_t batch)
{
    const int64_t own = batch_of(ports);
    for (const auto &[name, tensor] : tensors)
        shapes.emplace(name, tensor.shape());
    for (const Port &port : ports) {
        Shape shape = shapes.contains(port.name) ? shapes[port.name] : port.shape;
        if (!shape.empty() && (shape[0] < 0 || (batch > 0 && shape[0] == own)))
            shape[0] = std::max<int64_t>(batch, 1);
        if (!is_static(shape))
            throw Error("the input " + to_string(port) + " leaves sizes open: say --shape " + port.name +
                        "=SIZES, such as 1x3x224x224");
        if (shape != port.shape)
            shapes[port.name] = shape;
    }
    return shapes;
}

void feed_tensors(BenchmarkModel &model, const Tensors &tensors)
{
    for (const Port &port : model.compiled->inputs()) {
        if (port.image)
            continue;
        const auto given = tensors.find(port.name);
        const Tensor tensor = given != tensors.end() ? given->second : random_tensor(port);
        model.feed.tensors.push_back(tensor);
        model.inputs.push_back({port, given != tensors.end() ? "the file named" : "random numbers"});
    }
}

BenchmarkModel open_with_tensors(const BenchmarkOptions &options, const Options &compile, int64_t batch)
{
    BenchmarkModel model;
    const Stopwatch reading;
    Model read = Core::read_model(options.model.path, compile);
    model.read_ms = reading.milliseconds();
    const Tensors tensors = read_tensors(options.inputs, read.inputs());
    const auto shapes = wanted_shapes(read.inputs(), tensors, shapes_of(options.shapes, read.inputs()), batch);
    const Stopwatch compiling;
    std::map<std::string, Dimensions> dimensions;
    for (const auto &[name, shape] : shapes)
        dimensions[name] = Dimensions(shape.begin(), shape.end());
    if (!shapes.empty())
        read = in_context("model \"" + options.model.path + "\" with other sizes",
                          [&] { return read.reshaped(dimensions); });
    model.batch = batch > 0 ? batch : batch_of(read.inputs());
    model.compiled = Core::compile_model(std::move(read), options.device, compile);
    model.compile_ms = compiling.milliseconds();
    feed_tensors(model, tensors);
    return model;
}

/// What a video is measured with when it is decoded before.
constexpr size_t most_frames = 32;

Image fitted(Image image, const ImageSpec &spec)
{
    image.to_frame = fit(spec, {0, 0, static_cast<float>(image.width), static_cast<float>(image.height)});
    return image;
}

std::vector<Image> first_frames(const std::string &path, const ImageSpec &spec)
{
    FrameReader reader(path);
    std::vector<Image> frames;
    while (frames.size() < most_frames) {
        std::optional<Image> frame = reader.next();
        if (!frame)
            break;
        frames.push_back(fitted(std::move(*frame), spec));
    }
    return frames;
}

/// The frames of a file, and again from the first.
class FrameLoop {
  public:
    FrameLoop(std::string path, const ImageSpec &spec) : path_(std::move(path)), spec_(spec), reader_(path_) {}
    Image next()
    {
        std::optional<Image> frame = reader_.next();
        if (!frame) {
            reader_ = FrameReader(path_);
            frame = reader_.next();
        }
        return fitted(std::move(*frame), spec_);
    }

  private:
    std::string path_;
    ImageSpec spec_;
    FrameReader reader_;
};

std::shared_ptr<std::vector<FrameLoop>> loops_of(const std::vector<std::string> &paths, const ImageSpec &spec)
{
    auto loops = std::make_shared<std::vector<FrameLoop>>();
    for (const std::string &path : paths)
        loops->emplace_back(path, spec);
    return loops;
}

std::string counted(size_t count, const std::string &noun)
{
    return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

/// "2 pictures and 1 video (32 frames), decoded before"
std::string list_of(const std::vector<std::vector<Image>> &decoded, bool while_measuring)
{
    size_t pictures = 0, videos = 0, frames = 0;
    for (const auto &file : decoded) {
        (file.size() == 1 ? pictures : videos)++;
        frames += file.size();
    }
    std::string text = pictures > 0 ? counted(pictures, "picture") : "";
    if (videos > 0)
        text += (text.empty() ? "" : " and ") + counted(videos, "video") +
                (while_measuring ? "" : " (" + counted(frames - pictures, "frame") + ")");
    return text + (while_measuring ? ", decoded while measuring" : ", decoded before");
}

BenchmarkModel open_with_pictures(const BenchmarkOptions &options, const Options &compile)
{
    if (!options.shapes.empty() || options.batch > 0)
        throw CLI::ValidationError("-i", "pictures go in one by one: --shape and --batch are for tensors; an open size "
                                         "is set with --input-width and --input-height");
    BenchmarkModel model;
    const Stopwatch reading;
    const Model read = Core::read_model(options.model.path, compile);
    model.read_ms = reading.milliseconds();
    ImageModelOptions images = image_options(options.model, options.device);
    images.compile = compile;
    std::optional<Task> task;
    if (!options.model.task.empty() || !images.decoder.empty())
        task = task_of(options.model, facts_of(read.graph()));
    const Stopwatch compiling;
    const auto opened = open_image_model(options.model.path, task, images);
    model.compile_ms = compiling.milliseconds();
    model.compiled = opened->compiled;
    model.owner = opened;

    std::vector<std::vector<Image>> decoded;
    for (const std::string &path : options.inputs)
        decoded.push_back(first_frames(path, opened->spec));
    for (const auto &frames : decoded)
        model.feed.images.insert(model.feed.images.end(), frames.begin(), frames.end());
    if (options.decode)
        model.feed.decode = [loops = loops_of(options.inputs, opened->spec)](size_t number) {
            return (*loops)[number % loops->size()].next();
        };
    for (const Port &port : model.compiled->inputs())
        if (port.image)
            model.inputs.push_back({port, list_of(decoded, options.decode)});
    Tensors constants;
    size_t next = 0;
    for (const Port &port : model.compiled->inputs())
        if (!port.image && next < opened->constants.size())
            constants[port.name] = opened->constants[next++];
    feed_tensors(model, constants);
    return model;
}

} // namespace

BenchmarkModel open_benchmark_model(const BenchmarkOptions &options, const Options &compile, int64_t batch)
{
    if (are_pictures(options.inputs))
        return open_with_pictures(options, compile);
    if (options.decode)
        throw CLI::ValidationError("--decode", "needs pictures: -i FILE…");
    return open_with_tensors(options, compile, batch);
}

} // namespace leat
