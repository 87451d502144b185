#include "model_options.h"
#include "subcommand.h"

#include "devices/core.h"
#include "devices/devices.h"
#include "inference/ops.h"
#include "inference/passes.h"
#include "inference/ports.h"
#include "preprocess/image_input.h"

#include <leat/error.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>

namespace leat {
namespace {

using Json = nlohmann::ordered_json;

struct InspectOptions {
    ModelOptions model;
    std::vector<std::string> devices{"CPU"};
    bool json = false, graph = false, verbose = false;
};

/// What one decoder row says of the model.
struct Verdict {
    const Decoder *row;
    std::string why_not, doubt;
};

struct Compiled {
    std::string name, description, error;
    std::vector<Setting> settings;
    std::vector<NodeReport> nodes;
};

/// All that is shown, whatever the form.
struct Findings {
    std::shared_ptr<const Graph> graph;
    ModelFacts facts;
    std::map<std::string, int> ops;
    size_t constant_bytes = 0;
    std::vector<Verdict> verdicts;
    std::optional<Task> task;
    std::string decoder_reason; ///< why that decoder, or why none
    std::shared_ptr<const ImageModel> image_model;
    std::vector<Compiled> devices;
};

std::vector<Verdict> verdicts_of(const ModelFacts &facts)
{
    std::vector<Verdict> verdicts;
    for (const Decoder *row : decoders()) {
        Verdict verdict{row, row->why_not(facts), {}};
        if (verdict.why_not.empty() && row->doubt)
            verdict.doubt = row->doubt(facts);
        verdicts.push_back(std::move(verdict));
    }
    return verdicts;
}

std::shared_ptr<CompiledModel> compile(Findings &findings, const InspectOptions &options, const std::string &device)
{
    if (!findings.task)
        return compile_shared(findings.graph, device, options.model.compile, std::nullopt, options.model.path);
    findings.image_model = open_image_model(options.model.path, findings.task, image_options(options.model, device));
    return findings.image_model->compiled;
}

Compiled compiled_on(Findings &findings, const InspectOptions &options, const std::string &device)
{
    Compiled compiled{device, find_device(device)->description(), {}, {}, {}};
    try {
        const auto model = compile(findings, options, device);
        compiled.settings = model->settings();
        compiled.nodes = model->nodes();
    } catch (const Error &error) {
        compiled.error = error.what();
    }
    return compiled;
}

Findings findings_of(const InspectOptions &options)
{
    Findings findings;
    findings.graph = read_shared(options.model.path, options.model.image.shapes, options.model.compile);
    findings.facts = facts_of(*findings.graph);
    for (const Node &node : findings.graph->nodes)
        findings.ops[std::string(node.op->name)]++;
    for (const Value &value : findings.graph->values)
        findings.constant_bytes += value.constant.bytes();
    findings.verdicts = verdicts_of(findings.facts);
    try {
        const Task task = task_of(options.model, findings.facts);
        findings.decoder_reason = choose_decoder(findings.facts, task, options.model.image.decoder).reason;
        findings.task = task;
    } catch (const Error &error) {
        findings.decoder_reason = error.what();
    }
    for (const std::string &device : options.devices)
        findings.devices.push_back(compiled_on(findings, options, device));
    return findings;
}

constexpr const char *order_names[] = {"RGB", "BGR", "gray"};
constexpr const char *resize_names[] = {"stretch", "letterbox", "letterbox-corner"};
constexpr const char *filter_names[] = {"bilinear", "area"};
constexpr const char *layout_names[] = {"NCHW", "NHWC"};

template <class Enum, size_t count> std::string name_of(const char *const (&names)[count], Enum value)
{
    return names[static_cast<size_t>(value)];
}

/// What the user's own numbers would be: tensor = (pixel - mean) / scale.
std::array<float, 3> mean_of(const ImageSpec &spec)
{
    std::array<float, 3> mean;
    for (size_t c = 0; c < 3; c++)
        mean[c] = spec.mul[c] == 0 ? 0 : 0 - spec.add[c] / spec.mul[c];
    return mean;
}

std::array<float, 3> scale_of(const ImageSpec &spec)
{
    return {1 / spec.mul[0], 1 / spec.mul[1], 1 / spec.mul[2]};
}

// As JSON.

Json ports_json(const std::vector<Port> &ports)
{
    Json list = Json::array();
    for (const Port &port : ports)
        list.push_back({{"name", port.name}, {"type", to_string(port.type)}, {"shape", port.shape}});
    return list;
}

Json preprocessing_json(const ImageModel &model)
{
    const ImageSpec &spec = model.spec;
    return {{"input", model.facts.inputs[model.image_input].name},
            {"width", spec.width},
            {"height", spec.height},
            {"input_color", name_of(order_names, spec.order)},
            {"mean", mean_of(spec)},
            {"scale", scale_of(spec)},
            {"resize_mode", name_of(resize_names, spec.resize)},
            {"pad", spec.pad},
            {"filter", name_of(filter_names, spec.filter)},
            {"layout", name_of(layout_names, spec.layout)},
            {"type", to_string(spec.type)}};
}

Json decoders_json(const std::vector<Verdict> &verdicts)
{
    Json list = Json::array();
    for (const Verdict &verdict : verdicts)
        list.push_back({{"name", verdict.row->name},
                        {"about", verdict.row->about},
                        {"fits", verdict.why_not.empty() && verdict.doubt.empty()},
                        {"why_not", verdict.why_not.empty() ? verdict.doubt : verdict.why_not}});
    return list;
}

Json device_json(const Compiled &compiled)
{
    Json json{{"name", compiled.name}, {"description", compiled.description}};
    if (!compiled.error.empty()) {
        json["error"] = compiled.error;
        return json;
    }
    json["settings"] = Json::array();
    for (const Setting &setting : compiled.settings)
        json["settings"].push_back({{"name", setting.name}, {"value", setting.value}, {"reason", setting.reason}});
    json["nodes"] = Json::array();
    for (const NodeReport &node : compiled.nodes)
        json["nodes"].push_back({{"node", node.node},
                                 {"op", node.op},
                                 {"device", node.device},
                                 {"kernel", node.kernel},
                                 {"reason", node.reason}});
    return json;
}

void print_json(const Findings &findings, const std::string &path)
{
    Json json{{"model", path},
              {"name", findings.graph->name},
              {"inputs", ports_json(findings.facts.inputs)},
              {"outputs", ports_json(findings.facts.outputs)},
              {"metadata", findings.graph->metadata},
              {"nodes", findings.graph->nodes.size()},
              {"ops", findings.ops},
              {"constant_bytes", findings.constant_bytes},
              {"decoders", decoders_json(findings.verdicts)},
              {"decoder", nullptr},
              {"decoder_reason", findings.decoder_reason}};
    if (const auto &model = findings.image_model) {
        json["decoder"] = model->decoder->name;
        json["preprocessing"] = preprocessing_json(*model);
        json["labels"] = model->labels;
    }
    json["devices"] = Json::array();
    for (const Compiled &compiled : findings.devices)
        json["devices"].push_back(device_json(compiled));
    std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
}

// As text.

void heading(const std::string &text)
{
    std::cout << "\n" << text << "\n";
}

void print_ports(const std::string &title, const std::vector<Port> &ports)
{
    heading(title);
    for (const Port &port : ports)
        std::cout << "  " << to_string(port) << "\n";
}

std::string shortened(std::string text)
{
    constexpr size_t most = 160;
    for (char &c : text)
        if (static_cast<unsigned char>(c) < ' ')
            c = ' ';
    if (text.size() <= most)
        return text;
    size_t end = most;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
        end--;
    return text.substr(0, end) + " … (" + std::to_string(text.size()) + " bytes)";
}

void print_metadata(const std::map<std::string, std::string> &metadata)
{
    if (metadata.empty())
        return;
    heading("Metadata");
    for (const auto &[key, value] : metadata)
        std::cout << "  " << key << ": " << shortened(value) << "\n";
}

void print_ops(const Findings &findings)
{
    heading("Ops");
    std::cout << "  " << findings.graph->nodes.size() << " nodes, "
              << static_cast<double>(findings.constant_bytes / 10'000) / 100 << " MB of constants\n ";
    for (const auto &[name, count] : findings.ops)
        std::cout << " " << name << " " << count << (name == findings.ops.rbegin()->first ? "\n" : ",");
}

void print_verdict(const Verdict &verdict)
{
    std::cout << "  " << verdict.row->name << ": "
              << (!verdict.why_not.empty() ? "no, " + verdict.why_not
                  : !verdict.doubt.empty() ? "fits, but " + verdict.doubt + "; --decoder names it"
                                           : "fits")
              << "\n";
}

std::string numbers_of(const std::array<float, 3> &values)
{
    std::ostringstream text;
    text << values[0];
    if (values[1] != values[0] || values[2] != values[0])
        text << "," << values[1] << "," << values[2];
    return text.str();
}

void print_image_model(const ImageModel &model)
{
    const ImageSpec &spec = model.spec;
    heading("Preprocessing");
    std::cout << "  " << model.facts.inputs[model.image_input].name << ": " << spec.width << "x" << spec.height << " "
              << name_of(order_names, spec.order) << ", (pixel - " << numbers_of(mean_of(spec)) << ") / "
              << numbers_of(scale_of(spec)) << ", " << name_of(resize_names, spec.resize);
    if (spec.resize != ResizeMode::stretch)
        std::cout << " padded with " << spec.pad;
    std::cout << ", " << name_of(filter_names, spec.filter) << ", " << name_of(layout_names, spec.layout) << " "
              << to_string(spec.type) << "\n";
    heading("Labels");
    std::string labels;
    for (const std::string &label : model.labels)
        labels += (labels.empty() ? "" : ", ") + label;
    std::cout << "  " << (labels.empty() ? "none: classes are shown as numbers" : shortened(labels)) << "\n";
}

/// Nodes that share kernel and reason, with their ops counted.
void print_kernels(const std::vector<NodeReport> &nodes)
{
    std::map<std::pair<std::string, std::string>, std::map<std::string, int>> groups;
    for (const NodeReport &node : nodes)
        groups[{node.device + " " + node.kernel, node.reason}][node.op]++;
    for (const auto &[kernel, ops] : groups) {
        std::cout << "  " << kernel.first << ":";
        for (const auto &[name, count] : ops)
            std::cout << " " << name << " " << count << (name == ops.rbegin()->first ? "" : ",");
        std::cout << (kernel.second.empty() ? "" : " (" + kernel.second + ")") << "\n";
    }
}

void print_device(const Compiled &compiled, bool verbose)
{
    heading("On " + compiled.name + " (" + compiled.description + ")");
    if (!compiled.error.empty()) {
        std::cout << "  cannot run: " << compiled.error << "\n";
        return;
    }
    for (const Setting &setting : compiled.settings)
        std::cout << "  " << setting.name << " = " << setting.value << " (" << setting.reason << ")\n";
    if (!verbose) {
        print_kernels(compiled.nodes);
        return;
    }
    for (const NodeReport &node : compiled.nodes)
        std::cout << "  " << node.op << " \"" << node.node << "\": " << node.device << " " << node.kernel
                  << (node.reason.empty() ? "" : " (" + node.reason + ")") << "\n";
}

/// Without the rows that plainly do not fit, which --verbose lists.
void print_decoder(const Findings &findings, const InspectOptions &options)
{
    heading("Decoder");
    const bool asked = !options.model.task.empty() || !options.model.image.decoder.empty();
    if (findings.image_model)
        std::cout << "  " << findings.image_model->decoder->name << ": " << findings.decoder_reason << "\n";
    else if (asked || findings.task)
        std::cout << "  none: " << findings.decoder_reason << "\n";
    else
        std::cout << "  none that the file alone tells" << (options.verbose ? "\n" : "; --verbose says why\n");
    for (const Verdict &verdict : findings.verdicts)
        if (options.verbose || (!findings.image_model && verdict.why_not.empty()))
            print_verdict(verdict);
}

void print_text(const Findings &findings, const InspectOptions &options)
{
    std::cout << options.model.path << (findings.graph->name.empty() ? "" : ": " + findings.graph->name) << "\n";
    print_ports("Inputs", findings.facts.inputs);
    print_ports("Outputs", findings.facts.outputs);
    print_metadata(findings.graph->metadata);
    print_ops(findings);
    print_decoder(findings, options);
    if (findings.image_model)
        print_image_model(*findings.image_model);
    for (const Compiled &compiled : findings.devices)
        print_device(compiled, options.verbose);
}

/// After the passes, with the picture input in front where there is one.
void print_graph(const Findings &findings, const InspectOptions &options)
{
    Graph graph = *findings.graph;
    if (const auto &model = findings.image_model)
        graph = with_image_input(std::move(graph), model->facts.inputs[model->image_input].name, model->spec);
    optimise(graph, options.model.compile);
    std::cout << print(graph);
}

int inspect(const InspectOptions &options)
{
    const Findings findings = findings_of(options);
    if (options.graph)
        print_graph(findings, options);
    else if (options.json)
        print_json(findings, options.model.path);
    else
        print_text(findings, options);
    for (const Compiled &compiled : findings.devices)
        if (!compiled.error.empty())
            throw Error(compiled.name + " cannot run \"" + options.model.path + "\": " + compiled.error);
    return 0;
}

} // namespace

std::function<int()> add_inspect(CLI::App &app)
{
    auto options = std::make_shared<InspectOptions>();
    app.add_option("MODEL", options->model.path, "Model file (.onnx, .xml)")->required();
    app.add_option("-d,--device", options->devices, "Device to compile for; may be given several times")
        ->take_all()
        ->allow_extra_args(false)
        ->capture_default_str();
    CLI::Option *json = app.add_flag("--json", options->json, "Everything as JSON");
    app.add_flag("--graph", options->graph, "The graph after the passes, as text, and nothing else")->excludes(json);
    app.add_flag("-v,--verbose", options->verbose, "Every node, and what every decoder says of the model");
    add_shape_option(app, options->model);
    add_compile_options(app, options->model);
    add_picture_options(app, options->model);
    return [options] { return inspect(*options); };
}

} // namespace leat
