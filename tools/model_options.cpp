#include "model_options.h"

#include <leat/error.h>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <algorithm>
#include <charconv>
#include <map>
#include <sstream>

namespace leat {
namespace {

const std::map<std::string, PerformanceHint> hints{{"latency", PerformanceHint::latency},
                                                   {"throughput", PerformanceHint::throughput}};
const std::map<std::string, ColourOrder> orders{
    {"rgb", ColourOrder::rgb}, {"bgr", ColourOrder::bgr}, {"gray", ColourOrder::gray}};
const std::map<std::string, ResizeMode> resize_modes{{"stretch", ResizeMode::stretch},
                                                     {"letterbox", ResizeMode::letterbox},
                                                     {"letterbox-corner", ResizeMode::letterbox_corner}};
const std::map<std::string, Filter> filters{{"bilinear", Filter::bilinear}, {"area", Filter::area}};

const std::map<std::string, CoreType> core_types = {
    {"any", CoreType::any}, {"performance", CoreType::performance}, {"efficient", CoreType::efficient}};
const std::map<std::string, ModelPriority> priorities = {
    {"low", ModelPriority::low}, {"medium", ModelPriority::medium}, {"high", ModelPriority::high}};
const std::map<std::string, ExecutionMode> execution_modes = {{"performance", ExecutionMode::performance},
                                                              {"accuracy", ExecutionMode::accuracy}};
const std::map<std::string, InferencePrecision> precisions = {{"auto", InferencePrecision::automatic},
                                                              {"f32", InferencePrecision::f32},
                                                              {"bf16", InferencePrecision::bf16},
                                                              {"f16", InferencePrecision::f16}};
const std::map<std::string, bool> switches = {{"off", false}, {"on", true}};

/// An option whose words stand for the values of an enum.
template <class Enum>
void add_choice(CLI::App &app, const std::string &name, const std::map<std::string, Enum> &words,
                const std::string &about, std::function<void(Enum)> choose)
{
    std::vector<std::string> names;
    for (const auto &[word, value] : words)
        names.push_back(word);
    app.add_option_function<std::string>(
           name, [&words, choose](const std::string &word) { choose(words.at(word)); }, about)
        ->check(CLI::IsMember(names));
}

[[noreturn]] void refuse_shape(const std::string &text, const std::string &why)
{
    throw Error("--shape " + text + ": " + why + "; want NAME=SIZE,SIZE… with 3, ? or 64..640 for each size");
}

/// A size, `?` or -1 for any, or a range `64..640` whose end may be left out.
Dimension read_dimension(const std::string &text, const std::string &whole)
{
    auto number = [&](const std::string &digits) {
        int64_t value = 0;
        const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (fault != std::errc() || end != digits.data() + digits.size())
            refuse_shape(whole, '"' + text + "\" is no size");
        return value;
    };
    if (text == "?")
        return {};
    const size_t dots = text.find("..");
    if (dots == std::string::npos)
        return number(text);
    const std::string last = text.substr(dots + 2);
    return {number(text.substr(0, dots)), last.empty() ? Dimension::any_size : number(last)};
}

void read_shape(const std::string &text, std::map<std::string, Dimensions> &shapes)
{
    const size_t sign = text.rfind('=');
    if (sign == std::string::npos)
        refuse_shape(text, "it has no \"=\"");
    Dimensions dimensions;
    std::string list = text.substr(sign + 1);
    std::replace(list.begin(), list.end(), 'x', ',');
    std::istringstream sizes(list);
    for (std::string size; std::getline(sizes, size, ',');)
        dimensions.push_back(read_dimension(size, text));
    shapes[text.substr(0, sign)] = std::move(dimensions);
}

} // namespace

void add_shape_option(CLI::App &app, ModelOptions &options)
{
    app.add_option_function<std::vector<std::string>>(
           "--shape",
           [&options](const std::vector<std::string> &texts) {
               for (const std::string &text : texts)
                   read_shape(text, options.image.shapes);
           },
           "NAME=1,3,64..640,? gives an input other sizes than the file says; ? is any, 64..640 a range")
        ->take_all()
        ->allow_extra_args(false);
}

void add_compile_options(CLI::App &app, ModelOptions &options)
{
    add_choice<PerformanceHint>(app, "--performance-hint,--hint", hints, "What to optimise for",
                                [&options](PerformanceHint hint) { options.compile.performance_hint = hint; });
    app.add_option("--latency-bound", options.compile.latency_bound_ms,
                   "Milliseconds under which the 99th percentile stays: as many requests in flight as that allows; 0: "
                   "no bound")
        ->check(CLI::NonNegativeNumber);
    add_choice<ModelPriority>(app, "--model-priority", priorities, "Whose jobs go first where models share a device",
                              [&options](ModelPriority priority) { options.compile.model_priority = priority; });
    app.add_option("--num-streams,--streams", options.compile.num_streams,
                   "Jobs that run side by side; 0: decide for me")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--num-threads,--threads", options.compile.num_threads, "Cores to use; 0: decide for me")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--batch-size", options.compile.batch_size,
                   "Jobs that are joined to one; 1: never; 0: as many as the device gains by")
        ->check(CLI::Range(0, 1024));
    app.add_option("--batch-timeout", options.compile.batch_timeout_ms,
                   "Milliseconds after which a batch that does not fill starts as it is; 0: as long as a batch runs")
        ->check(CLI::NonNegativeNumber);
    add_choice<CoreType>(app, "--core-type", core_types, "Cores to use, where the processor has fast and slow ones",
                         [&options](CoreType type) { options.compile.core_type = type; });
    add_choice<bool>(app, "--hyper-threading", switches, "Whether to use the second hardware threads of the cores",
                     [&options](bool on) { options.compile.hyper_threading = on; });
    add_choice<bool>(app, "--pinning", switches, "Whether threads are bound to their cores",
                     [&options](bool on) { options.compile.pinning = on; });
    add_choice<ExecutionMode>(app, "--execution-mode", execution_modes, "Whether speed may cost bits",
                              [&options](ExecutionMode mode) { options.compile.execution_mode = mode; });
    add_choice<InferencePrecision>(
        app, "--inference-precision,--precision", precisions, "Type in which layers of floats compute",
        [&options](InferencePrecision precision) { options.compile.inference_precision = precision; });
    app.add_option("--cache-dir", options.compile.cache_dir,
                   "Folder where compiled models are kept for the next start");
    app.add_option("--cache-size", options.compile.cache_size, "MiB that the cache may take")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--disable-pass", options.compile.disabled_passes, "Graph passes to leave out, for finding faults")
        ->delimiter(',')
        ->allow_extra_args(false);
}

void add_decode_options(CLI::App &app, DecodeOptions &decode)
{
    app.add_option("--threshold", decode.threshold, "Least confidence; without it as customary for the model's family")
        ->check(CLI::Range(0.0, 1.0));
    app.add_option("--iou-threshold", decode.iou_threshold, "Overlap from which the weaker of two objects is left out")
        ->check(CLI::Range(0.0, 1.0));
    app.add_option("--max-objects", decode.max_objects, "Most objects of a picture; 0: all")
        ->check(CLI::NonNegativeNumber);
}

void add_picture_options(CLI::App &app, ModelOptions &options)
{
    ImageModelOptions &image = options.image;
    app.add_option("--task", options.task, "What to read from the outputs, where more than one is possible")
        ->check(CLI::IsMember({"detect", "classify"}));
    app.add_option("--decoder", image.decoder, "Decoder of the outputs, where the file alone does not tell");
    app.add_option("--labels-file", options.labels_file, "Text file with one class name a line");
    add_choice<ColourOrder>(app, "--input-color", orders, "Channel order that the model wants",
                            [&image](ColourOrder order) { image.order = order; });
    app.add_option("--mean", image.mean, "1 or 3 numbers, separated by commas, that are subtracted from the pixels")
        ->delimiter(',')
        ->allow_extra_args(false);
    app.add_option("--scale", image.scale, "1 or 3 numbers, separated by commas, that the pixels are then divided by")
        ->delimiter(',')
        ->allow_extra_args(false);
    add_choice<ResizeMode>(app, "--resize-mode", resize_modes, "How a picture fills the model's input",
                           [&image](ResizeMode mode) { image.resize = mode; });
    add_choice<Filter>(app, "--resize-filter", filters,
                       "How pixels are made where a picture shrinks: from the nearest, or from all they cover",
                       [&image](Filter filter) { image.filter = filter; });
    app.add_option("--input-width", image.width, "Pixels, for models that leave their input's width open");
    app.add_option("--input-height", image.height, "Pixels, for models that leave their input's height open");
}

ImageModelOptions image_options(const ModelOptions &options, const std::string &device)
{
    ImageModelOptions image = options.image;
    image.device = device;
    image.compile = options.compile;
    if (!options.labels_file.empty())
        image.labels = read_labels(options.labels_file);
    return image;
}

Task task_of(const ModelOptions &options, const ModelFacts &facts)
{
    const auto asked = task_from(options.task);
    return asked ? *asked : only_task(facts, options.image.decoder);
}

} // namespace leat
