#include "heads.h"

#include <algorithm>
#include <cmath>
#include <locale>
#include <optional>
#include <sstream>

namespace leat {

namespace {

std::string in_quotes(std::string_view name)
{
    return '"' + std::string(name) + '"';
}

bool may_be(const Shape &shape, const Shape &want)
{
    if (shape.size() != want.size())
        return false;
    for (size_t i = 0; i < want.size(); i++)
        if (want[i] != any && shape[i] != -1 && shape[i] != want[i])
            return false;
    return true;
}

struct ResizeName {
    std::string_view name;
    ResizeMode mode;
};
constexpr ResizeName resize_names[] = {
    {"stretch", ResizeMode::stretch},
    {"standard", ResizeMode::stretch},
    {"letterbox", ResizeMode::letterbox},
    {"fit_to_window_letterbox", ResizeMode::letterbox},
    {"letterbox_corner", ResizeMode::letterbox_corner},
    {"fit_to_window", ResizeMode::letterbox_corner},
};

std::optional<ResizeMode> resize_mode(std::string_view type)
{
    for (const auto &[name, mode] : resize_names)
        if (name == type)
            return mode;
    return {};
}

bool is_true(const std::string &lower_case)
{
    return lower_case == "true" || lower_case == "yes" || lower_case == "1";
}

/// A value of OpenVINO's Model API, in lower case; "" when it is absent or the graph does the preprocessing.
std::string model_info(const ModelFacts &facts, const std::string &key)
{
    const auto value = [&](const std::string &name) {
        const auto found = facts.metadata.find("model_info." + name);
        std::string text = found == facts.metadata.end() ? "" : found->second;
        std::transform(text.begin(), text.end(), text.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        return text;
    };
    return is_true(value("embedded_processing")) ? "" : value(key);
}

/// One number for all channels, or three, between blanks, commas and brackets; nothing when it is anything else.
std::optional<std::array<float, 3>> numbers_in(std::string text)
{
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c == ',' || c == '[' || c == ']' || c == '(' || c == ')'; }, ' ');
    std::istringstream words(text);
    words.imbue(std::locale::classic());
    std::vector<float> numbers;
    for (float number = 0; numbers.size() < 4 && words >> number;)
        numbers.push_back(number);
    if (!words.eof() || (numbers.size() != 1 && numbers.size() != 3))
        return {};
    return std::array{numbers.front(), numbers[numbers.size() / 2], numbers.back()};
}

std::optional<std::array<float, 3>> deviation_in(const std::string &text)
{
    const auto numbers = numbers_in(text);
    return numbers && std::find(numbers->begin(), numbers->end(), 0.f) == numbers->end() ? numbers : std::nullopt;
}

std::optional<std::array<float, 3>> pad_in(const std::string &text)
{
    const auto numbers = numbers_in(text);
    return numbers && (*numbers)[0] == (*numbers)[1] && (*numbers)[0] == (*numbers)[2] ? numbers : std::nullopt;
}

/// The order that the file asks for: its pictures are BGR unless it reverses them.
std::optional<ColourOrder> colour_order(const ModelFacts &facts)
{
    const std::string space = model_info(facts, "color_space"), reversed = model_info(facts, "reverse_input_channels");
    if (space == "rgb" || space == "bgr")
        return space == "rgb" ? ColourOrder::rgb : ColourOrder::bgr;
    if (reversed.empty())
        return {};
    return is_true(reversed) ? ColourOrder::rgb : ColourOrder::bgr;
}

bool is_finite(const Object &o)
{
    return std::isfinite(o.x1) && std::isfinite(o.y1) && std::isfinite(o.x2) && std::isfinite(o.y2) &&
           std::isfinite(o.score);
}

} // namespace

std::string mismatch(const Port &port, const Shape &want)
{
    if (may_be(port.shape, want))
        return {};
    return "output " + in_quotes(port.name) + " is " + to_string(port.shape) + ", not " + to_string(want);
}

std::string mismatch(const ModelFacts &facts, std::string_view output, const Shape &want)
{
    const int index = find_output(facts, output);
    return index < 0 ? "there is no output " + in_quotes(output) : mismatch(facts.outputs[size_t(index)], want);
}

int find_output(const ModelFacts &facts, std::string_view name)
{
    for (size_t i = 0; i < facts.outputs.size(); i++)
        if (facts.outputs[i].name == name)
            return int(i);
    return -1;
}

std::string miscount(const ModelFacts &facts, size_t want)
{
    const size_t have = facts.outputs.size();
    if (have == want)
        return {};
    return "it has " + std::to_string(have) + (have == 1 ? " output" : " outputs") + ", not " + std::to_string(want);
}

Layout layout_of(const Port &port)
{
    const auto is_channels = [&](size_t axis) {
        return axis < port.shape.size() && (port.shape[axis] == 1 || port.shape[axis] == 3);
    };
    return !is_channels(1) && is_channels(3) ? Layout::nhwc : Layout::nchw;
}

int channels_of(const Port &port)
{
    const size_t axis = layout_of(port) == Layout::nchw ? 1 : 3;
    return axis < port.shape.size() && port.shape[axis] == 1 ? 1 : 3;
}

PictureSize picture_size(const ModelFacts &facts)
{
    const Port *port = image_port(facts);
    if (!port || port->shape.size() != 4)
        return {};
    const size_t height = layout_of(*port) == Layout::nchw ? 2 : 1;
    const auto known = [&](size_t axis) { return int(std::clamp<int64_t>(port->shape[axis], 0, 1 << 20)); };
    return {known(height + 1), known(height)};
}

ImageSpec image_spec(const ModelFacts &facts, ColourOrder order, const Normalisation &normalisation, ResizeMode resize,
                     float pad, PictureSize open_size)
{
    const Port &port = facts.inputs[find_image_input(facts)];
    const PictureSize size = picture_size(facts);
    ImageSpec spec;
    spec.width = size.width ? size.width : open_size.width;
    spec.height = size.height ? size.height : open_size.height;
    spec.order = channels_of(port) == 1 ? ColourOrder::gray : colour_order(facts).value_or(order);
    const auto mean = numbers_in(model_info(facts, "mean_values")).value_or(normalisation.mean),
               deviation = deviation_in(model_info(facts, "scale_values")).value_or(normalisation.deviation);
    for (size_t c = 0; c < 3; c++) {
        spec.mul[c] = 1 / deviation[c];
        spec.add[c] = -mean[c] / deviation[c];
    }
    spec.pad = pad_in(model_info(facts, "pad_value")).value_or(std::array{pad, pad, pad})[0];
    spec.resize = resize_mode(metadata_value(facts.metadata, "resize_type")).value_or(resize);
    spec.layout = layout_of(port);
    spec.type = port.type;
    return spec;
}

std::string unreadable_preprocessing(const ModelFacts &facts)
{
    const std::string type = metadata_value(facts.metadata, "resize_type"), mean = model_info(facts, "mean_values"),
                      scale = model_info(facts, "scale_values"), pad = model_info(facts, "pad_value");
    const auto remark = [](const char *key, const std::string &value, const char *fault, const char *property) {
        return std::string("the file's ") + key + " " + in_quotes(value) + " " + fault +
               ", so the family's own is used (property `" + property + "`)";
    };
    if (!type.empty() && !resize_mode(type))
        return remark("resize_type", type, "is unknown", "resize-mode");
    if (!mean.empty() && !numbers_in(mean))
        return remark("mean_values", mean, "are not one or three numbers", "mean");
    if (!scale.empty() && !deviation_in(scale))
        return remark("scale_values", scale, "are not one or three numbers other than 0", "scale");
    if (!pad.empty() && !pad_in(pad))
        return remark("pad_value", pad, "is not one grey", "resize-mode");
    return {};
}

const std::string &metadata_value(const std::map<std::string, std::string> &metadata, std::string_view key)
{
    static const std::string absent;
    for (const auto &[name, value] : metadata) {
        if (!name.ends_with(key))
            continue;
        const size_t before = name.size() - key.size();
        if (before == 0 || name[before - 1] == ' ' || name[before - 1] == '/' || name[before - 1] == '.')
            return value;
    }
    return absent;
}

bool contains(const std::vector<std::string> &ops, std::string_view op)
{
    return std::find(ops.begin(), ops.end(), op) != ops.end();
}

bool computes_after_convolution(const ModelFacts &facts, size_t output)
{
    if (output >= facts.head_ops.size())
        return false;
    static constexpr std::string_view arithmetic[] = {"Mul", "Div", "Pow", "Exp"};
    return std::any_of(std::begin(arithmetic), std::end(arithmetic),
                       [&](std::string_view op) { return contains(facts.head_ops[output], op); });
}

std::vector<Grid> grids(int width, int height, std::span<const int> strides)
{
    std::vector<Grid> result;
    for (int stride : strides)
        result.push_back({stride, (width + stride - 1) / stride, (height + stride - 1) / stride});
    return result;
}

int64_t cells(std::span<const Grid> all)
{
    int64_t sum = 0;
    for (const Grid &grid : all)
        sum += grid.cells();
    return sum;
}

std::vector<Grid> yolo_grids(int width, int height, int64_t predictions, int anchors)
{
    for (auto &pyramid : {grids(width, height, {8, 16, 32}), grids(width, height, {8, 16, 32, 64})})
        if (cells(pyramid) * anchors == predictions)
            return pyramid;
    return {};
}

Tensor read_output(const ModelFacts &facts, std::span<const Tensor> outputs, size_t index, const Shape &want)
{
    const std::string name = index < facts.outputs.size() ? facts.outputs[index].name : std::to_string(index);
    if (index >= outputs.size())
        throw Error("output " + in_quotes(name) + " is missing");
    const Tensor &tensor = outputs[index];
    if (!tensor || !may_be(tensor.shape(), want))
        throw Error("output " + in_quotes(name) + " has the shape " + to_string(tensor.shape()) +
                    ", which the decoder cannot read: it wants " + to_string(want));
    return tensor.type() == Type::f32 ? tensor : tensor.converted(Type::f32);
}

float sigmoid(float x)
{
    return 1 / (1 + std::exp(-x));
}

int argmax(const float *values, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (values[i] > values[best] || std::isnan(values[best]))
            best = i;
    return best;
}

void add(std::vector<Object> &objects, Object object)
{
    if (is_finite(object))
        objects.push_back(std::move(object));
}

Object centred(float x, float y, float width, float height, float score, int label_id)
{
    return {x - width / 2, y - height / 2, x + width / 2, y + height / 2, score, label_id, {}};
}

Results detections(std::vector<Object> objects, const DecodeOptions &options, float custom_iou)
{
    const float iou = options.iou_threshold >= 0 ? options.iou_threshold : custom_iou;
    if (iou >= 0)
        suppress(objects, iou);
    else
        std::stable_sort(objects.begin(), objects.end(),
                         [](const Object &a, const Object &b) { return a.score > b.score; });
    if (options.max_objects > 0 && objects.size() > size_t(options.max_objects))
        objects.resize(size_t(options.max_objects));
    return {std::move(objects), {}};
}

std::vector<std::string> no_labels(const ModelFacts &)
{
    return {};
}

std::map<std::string, Tensor> no_constants(const ModelFacts &, const ImageSpec &)
{
    return {};
}

} // namespace leat
