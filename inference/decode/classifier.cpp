#include "heads.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace leat {

namespace {

constexpr float custom_threshold = 0;
constexpr int custom_count = 5; ///< best classes of each output that are reported

/// Number of classes of an output [1, C], [1, C, 1, 1], [1, 1, C] …; 0 when it is not such a vector or C is open.
int64_t classes_of(const Shape &shape)
{
    if (shape.size() < 2 || (shape[0] != 1 && shape[0] != -1))
        return 0;
    int64_t classes = 1;
    for (int64_t size : std::span(shape).subspan(1)) {
        if (size < 1 || (size != 1 && classes != 1))
            return 0;
        classes = std::max(classes, size);
    }
    return classes;
}

bool has_classes(const Port &port)
{
    return classes_of(port.shape) >= 2;
}

/// What the numbers of an output are.
enum class Scores {
    unknown, ///< the graph is not known: the values decide
    raw,     ///< before a softmax
    logarithms,
    probabilities,
};

Scores scores_of(const ModelFacts &facts, size_t output)
{
    if (!knows_graph(facts) || output >= facts.head_ops.size())
        return Scores::unknown;
    const auto &ops = facts.head_ops[output];
    static constexpr std::string_view moving[] = {"Reshape",   "Flatten",        "Squeeze",
                                                  "Unsqueeze", "Transpose",      "Identity",
                                                  "Cast",      "QuantizeLinear", "DequantizeLinear"};
    const auto last = std::find_if(ops.begin(), ops.end(), [](const std::string &op) {
        return std::find(std::begin(moving), std::end(moving), op) == std::end(moving);
    });
    if (last == ops.end())
        return Scores::raw;
    if (*last == "LogSoftmax")
        return Scores::logarithms;
    const bool spelt_out = *last == "Div" && contains(ops, "Exp") && contains(ops, "ReduceSum");
    return spelt_out || *last == "Softmax" || *last == "Sigmoid" || *last == "HardSigmoid" ? Scores::probabilities
                                                                                           : Scores::raw;
}

std::string why_not(const ModelFacts &facts)
{
    for (const Port &port : facts.outputs)
        if (classes_of(port.shape) == 0)
            return "output \"" + port.name + "\" is " + to_string(port.shape) + ", not one score for each class";
    if (std::none_of(facts.outputs.begin(), facts.outputs.end(), has_classes))
        return "no output has two or more classes";
    for (const auto &ops : facts.head_ops)
        if (contains(ops, "LpNormalization") || contains(ops, "ReduceL2"))
            return "the graph scales its output to length 1, as embeddings are";
    return {};
}

/// Class counts of well-known training sets; up to `few_classes` numbers are taken for classes anyway.
constexpr int64_t known_counts[] = {100, 101, 102, 200, 365, 1000, 1001, 11221, 21841, 21843}, few_classes = 20;

std::string doubt(const ModelFacts &facts)
{
    if (facts.name.find("landmarks") != std::string::npos)
        return "by its name " + facts.name + " the model measures landmarks";
    for (size_t i = 0; i < facts.outputs.size(); i++) {
        const int64_t classes = classes_of(facts.outputs[i].shape);
        const bool is_count =
            classes <= few_classes || classes == int64_t(labels_in(facts.metadata).size()) ||
            std::find(std::begin(known_counts), std::end(known_counts), classes) != std::end(known_counts);
        if (!is_count && scores_of(facts, i) == Scores::raw)
            return "nothing tells the " + std::to_string(classes) + " numbers of \"" + facts.outputs[i].name +
                   "\" from an embedding or other measurements (no softmax, no labels in the file)";
    }
    return {};
}

bool is_side(const ModelFacts &facts, int side)
{
    const auto [width, height] = picture_size(facts);
    return width == side && height == side;
}

const Port &first_classes(const ModelFacts &facts)
{
    return *std::find_if(facts.outputs.begin(), facts.outputs.end(), has_classes);
}

bool computes_before_convolution(const ModelFacts &facts)
{
    for (std::string_view op : {"Sub", "Mul", "Div", "BatchNormalization"})
        if (contains(facts.stem_ops, op))
            return true;
    return false;
}

bool is_paddle_text_direction(const ModelFacts &facts)
{
    const auto [width, height] = picture_size(facts);
    return facts.outputs[0].name.find(".tmp_") != std::string::npos && classes_of(facts.outputs[0].shape) == 2 &&
           (width == 0 || width == 192) && (height == 0 || height == 48);
}

bool is_eye_classifier(const ModelFacts &facts)
{
    return is_side(facts, 32) && first_classes(facts).shape.size() == 4 && classes_of(first_classes(facts).shape) == 2;
}

/// What OpenVINO's converter was told; "" also for an empty list.
std::string conversion(const ModelFacts &facts, const std::string &parameter)
{
    const auto found = facts.metadata.find("conversion_parameters." + parameter);
    return found == facts.metadata.end() || found->second == "()" || found->second == "[]" ? "" : found->second;
}

/// The converter put mean or scale into the graph, perhaps into its first weights.
bool was_normalised(const ModelFacts &facts)
{
    return !conversion(facts, "mean_values").empty() || !conversion(facts, "scale_values").empty() ||
           !conversion(facts, "scale").empty();
}

/// Models of Caffe take BGR, and others too when the converter reversed their channels.
bool was_normalised_for_bgr(const ModelFacts &facts)
{
    return was_normalised(facts) &&
           (conversion(facts, "framework") == "caffe" || conversion(facts, "reverse_input_channels") == "True");
}

/// How pictures customarily reach a classifier; the first row that applies counts.
struct Customs {
    std::string_view sentence;
    bool (*apply)(const ModelFacts &);
    ColourOrder order;
    Normalisation normalisation;
    PictureSize open_size;
    std::vector<std::string> labels;
};

const Customs all_customs[] = {
    {"Ultralytics classifier: RGB / 255",
     [](const ModelFacts &f) { return metadata_value(f.metadata, "task") == "classify"; },
     ColourOrder::rgb,
     to_unit,
     {224, 224},
     {}},
    {"the input is 8-bit: RGB 0..255 assumed",
     [](const ModelFacts &f) { return image_port(f)->type == Type::u8; },
     ColourOrder::rgb,
     as_is,
     {224, 224},
     {}},
    {"open or closed eye of the Open Model Zoo, normalised in the graph: BGR 0..255",
     [](const ModelFacts &f) { return is_eye_classifier(f) && (was_normalised(f) || computes_before_convolution(f)); },
     ColourOrder::bgr,
     as_is,
     {32, 32},
     {"open", "closed"}},
    {"age and gender of the Open Model Zoo: BGR 0..255",
     [](const ModelFacts &f) { return f.name.find("age-gender") != std::string::npos; },
     ColourOrder::bgr,
     as_is,
     {62, 62},
     {"female", "male"}},
    {"OpenVINO's converter put the normalisation into the graph: BGR 0..255",
     was_normalised_for_bgr,
     ColourOrder::bgr,
     as_is,
     {224, 224},
     {}},
    {"OpenVINO's converter put the normalisation into the graph: RGB 0..255 assumed",
     was_normalised,
     ColourOrder::rgb,
     as_is,
     {224, 224},
     {}},
    {"the graph normalises its input: RGB 0..255 assumed",
     computes_before_convolution,
     ColourOrder::rgb,
     as_is,
     {224, 224},
     {}},
    {"written by CNTK: 0..255 as is",
     [](const ModelFacts &f) { return f.outputs[0].name.ends_with("_Output_0"); },
     ColourOrder::bgr,
     as_is,
     {224, 224},
     {}},
    {"written by Caffe2: BGR minus 104, 117, 123",
     [](const ModelFacts &f) { return image_port(f)->name == "data_0"; },
     ColourOrder::bgr,
     {.mean = {104, 117, 123}},
     {224, 224},
     {}},
    {"PaddleOCR's text direction: BGR / 127.5 - 1",
     is_paddle_text_direction,
     ColourOrder::bgr,
     to_plus_minus_one,
     {192, 48},
     {"0", "180"}},
    {"open or closed eye of the Open Model Zoo: (BGR - 127) / 255",
     is_eye_classifier,
     ColourOrder::bgr,
     {.mean = {127, 127, 127}, .deviation = {255, 255, 255}},
     {32, 32},
     {"open", "closed"}},
    {"one channel: grey / 255 assumed",
     [](const ModelFacts &f) { return channels_of(*image_port(f)) == 1; },
     ColourOrder::gray,
     to_unit,
     {28, 28},
     {}},
    {"32x32 with ten classes: CIFAR-10, RGB / 127.5 - 1 assumed",
     [](const ModelFacts &f) { return is_side(f, 32) && classes_of(first_classes(f).shape) == 10; },
     ColourOrder::rgb,
     to_plus_minus_one,
     {32, 32},
     {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}},
    {"32x32: RGB / 127.5 - 1 assumed",
     [](const ModelFacts &f) { return is_side(f, 32); },
     ColourOrder::rgb,
     to_plus_minus_one,
     {32, 32},
     {}},
    {"channels last, as TensorFlow: RGB / 127.5 - 1 assumed",
     [](const ModelFacts &f) { return layout_of(*image_port(f)) == Layout::nhwc; },
     ColourOrder::rgb,
     to_plus_minus_one,
     {224, 224},
     {}},
    {"RGB with ImageNet's mean and deviation assumed",
     [](const ModelFacts &) { return true; },
     ColourOrder::rgb,
     imagenet,
     {224, 224},
     {}},
};

const Customs &customs(const ModelFacts &facts)
{
    return *std::find_if(std::begin(all_customs), std::end(all_customs),
                         [&](const Customs &row) { return row.apply(facts); });
}

ImageSpec preprocessing(const ModelFacts &facts)
{
    const Customs &row = customs(facts);
    return image_spec(facts, row.order, row.normalisation, ResizeMode::stretch, 0, row.open_size);
}

std::vector<std::string> labels(const ModelFacts &facts)
{
    return customs(facts).labels;
}

std::string assumptions(const ModelFacts &facts)
{
    std::string text = std::string(customs(facts).sentence) + " (properties `input-color`, `mean`, `scale`)";
    for (size_t i = 0; i < facts.outputs.size(); i++)
        if (has_classes(facts.outputs[i]) && scores_of(facts, i) == Scores::raw)
            text += "; \"" + facts.outputs[i].name + "\" gets a softmax";
    return text;
}

void softmax(std::span<float> values)
{
    const float highest = *std::max_element(values.begin(), values.end());
    float sum = 0;
    for (float &value : values)
        sum += value = std::exp(value - highest);
    for (float &value : values)
        value /= sum;
}

bool look_like_probabilities(std::span<const float> values)
{
    const float sum = std::accumulate(values.begin(), values.end(), 0.f);
    return std::abs(sum - 1) < 0.01f && std::all_of(values.begin(), values.end(), [](float v) { return v >= 0; });
}

void make_probabilities(std::span<float> values, Scores scores)
{
    if (scores == Scores::unknown)
        scores = look_like_probabilities(values) ? Scores::probabilities : Scores::raw;
    if (scores == Scores::raw)
        softmax(values);
    if (scores == Scores::logarithms)
        for (float &value : values)
            value = std::exp(value);
}

/// Appends the best classes of one output, best first, equal ones by number.
void append_best(const std::vector<float> &values, const std::string &output, const DecodeOptions &options,
                 std::vector<Classification> &classes)
{
    const float threshold = threshold_of(options, custom_threshold);
    std::vector<int> ids;
    for (size_t i = 0; i < values.size(); i++)
        if (values[i] >= threshold)
            ids.push_back(int(i));
    const size_t count = std::min(ids.size(), size_t(options.max_objects > 0 ? options.max_objects : custom_count));
    std::partial_sort(ids.begin(), ids.begin() + std::ptrdiff_t(count), ids.end(), [&](int a, int b) {
        return values[size_t(a)] != values[size_t(b)] ? values[size_t(a)] > values[size_t(b)] : a < b;
    });
    for (size_t i = 0; i < count; i++)
        classes.push_back({ids[i], values[size_t(ids[i])], output});
}

Results decode(const ModelFacts &facts, const ImageSpec &, const DecodeOptions &options,
               std::span<const Tensor> outputs)
{
    Results results;
    for (size_t i = 0; i < facts.outputs.size(); i++) {
        const Port &port = facts.outputs[i];
        if (!has_classes(port))
            continue;
        Shape want = port.shape;
        want[0] = 1;
        const Tensor tensor = read_output(facts, outputs, i, want);
        const auto given = tensor.values<float>();
        std::vector<float> values(given.begin(), given.end());
        make_probabilities(values, scores_of(facts, i));
        append_best(values, port.name, options, results.classes);
    }
    return results;
}

} // namespace

extern const Decoder classifier{
    .name = "classifier",
    .about = "any model with one score for each class",
    .task = Task::classify,
    .why_not = why_not,
    .doubt = doubt,
    .preprocessing = preprocessing,
    .labels = labels,
    .constants = no_constants,
    .decode = decode,
    .assumptions = assumptions,
};

} // namespace leat
