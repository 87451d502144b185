#include "openvino_operators.h"
#include "ops.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

namespace leat {
namespace {

constexpr int64_t any = INT64_MAX;
using Layer = OpenvinoLayer;

/// The name of an op as an argument of a template.
template <size_t N> struct Name {
    char text[N];
    constexpr Name(const char (&name)[N]) { std::copy_n(name, N, text); }
};

std::string lower(std::string text)
{
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

std::string trimmed(const std::string &text)
{
    const size_t first = text.find_first_not_of(" \t\r\n"), last = text.find_last_not_of(" \t\r\n");
    return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

std::vector<std::string> pieces_of(const std::string &list)
{
    std::vector<std::string> pieces;
    if (trimmed(list).empty())
        return pieces;
    for (size_t at = 0; at <= list.size();) {
        const size_t end = std::min(list.find(',', at), list.size());
        pieces.push_back(trimmed(list.substr(at, end - at)));
        at = end + 1;
    }
    return pieces;
}

template <class Number> std::optional<Number> parsed(const std::string &text)
{
    Number number{};
    const char *end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, number);
    if (result.ec != std::errc() || result.ptr != end)
        return std::nullopt;
    return number;
}

std::optional<int64_t> integer_in(const std::string &text)
{
    const std::string word = lower(text);
    if (word == "true" || word == "false")
        return word == "true";
    return parsed<int64_t>(word);
}

[[noreturn]] void refuse(const std::string &name, const std::string &value, const char *wanted)
{
    throw Error("its attribute " + name + " is \"" + value.substr(0, 100) + "\", want " + wanted);
}

// Inputs in the form that the ops take.

/// Constant integers as a list of s64; a scalar becomes a list of one.
ValueId as_list(Layer &layer, size_t input)
{
    if (const Tensor *constant = layer.constant(input))
        return layer.add_integers(constant->to_int64());
    const ValueId wide = layer.add("Cast", {layer.input(input)}, with(text("to", "s64")));
    return layer.add("Reshape", {wide, layer.add_integers({-1})});
}

void list_inputs(Layer &layer, std::initializer_list<size_t> inputs)
{
    for (size_t input : inputs)
        if (layer.has(input))
            layer.set_input(input, as_list(layer, input));
}

size_t rank_of(const Layer &layer, size_t input)
{
    const auto rank = layer.rank(input);
    if (!rank)
        throw Error("the file does not say the rank of its input " + std::to_string(input));
    return *rank;
}

int64_t constant_axis(const Layer &layer, size_t input)
{
    const auto values = layer.constant_integers(input);
    if (values.size() != 1)
        throw Error("its axis has " + std::to_string(values.size()) + " elements, want 1");
    return values[0];
}

void finish(Layer &layer, std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {})
{
    layer.add(op, std::move(inputs), {layer.outputs.at(0)}, std::move(attributes));
}

ValueId cast_to(Layer &layer, ValueId value, const std::string &type)
{
    return layer.add("Cast", {value}, with(std::pair<const char *, Attribute>("to", type)));
}

/// Makes the op and casts its result.
void finish_as(Layer &layer, std::string_view op, std::vector<ValueId> inputs, const std::string &type,
               Attributes attributes = {})
{
    const ValueId made = layer.add(op, std::move(inputs), std::move(attributes));
    finish(layer, "Cast", {made}, with(std::pair<const char *, Attribute>("to", type)));
}

ValueId root(Layer &layer, ValueId x)
{
    return layer.add("Sqrt", {x});
}

// Elementwise

void check_broadcast(const Layer &layer)
{
    const std::string mode = layer.text("auto_broadcast", "numpy");
    if (mode != "numpy" && mode != "none")
        throw Error("auto_broadcast \"" + mode + "\" is not supported; want numpy or none");
}

/// The layer is the op of the same meaning, whatever its attributes say.
template <Name Op> void elementwise(Layer &layer)
{
    check_broadcast(layer);
    finish(layer, Op.text, layer.inputs);
}

void not_equal(Layer &layer)
{
    check_broadcast(layer);
    finish(layer, "Not", {layer.add("Equal", layer.inputs)});
}

void squared_difference(Layer &layer)
{
    check_broadcast(layer);
    const ValueId difference = layer.add("Sub", layer.inputs);
    finish(layer, "Mul", {difference, difference});
}

/// The remainder has the sign of the dividend.
void truncated_mod(Layer &layer)
{
    finish(layer, "Mod", layer.inputs, with(integer("fmod", 1)));
}

/// The remainder has the sign of the divisor.
void floor_mod(Layer &layer)
{
    const ValueId remainder = layer.add("Mod", layer.inputs, with(integer("fmod", 1)));
    const ValueId shifted = layer.add("Add", {remainder, layer.input(1)});
    finish(layer, "Mod", {shifted, layer.input(1)}, with(integer("fmod", 1)));
}

/// Of bools it is the logical op.
template <Name OfIntegers, Name OfBools> void bitwise(Layer &layer)
{
    check_broadcast(layer);
    finish(layer, layer.declared_type(0) == Type::boolean ? OfBools.text : OfIntegers.text, layer.inputs);
}

void is_finite(Layer &layer)
{
    const ValueId infinite = layer.add("IsInf", layer.inputs), none = layer.add("IsNaN", layer.inputs);
    finish(layer, "Not", {layer.add("Or", {infinite, none})});
}

void is_inf(Layer &layer)
{
    finish(layer, "IsInf", layer.inputs,
           with(integer("detect_negative", layer.flag("detect_negative", true)),
                integer("detect_positive", layer.flag("detect_positive", true))));
}

void round(Layer &layer)
{
    if (layer.text("mode", "half_to_even") == "half_to_even")
        return finish(layer, "Round", layer.inputs);
    const ValueId size = layer.add("Abs", layer.inputs);
    const ValueId whole = layer.add("Floor", {layer.add("Add", {size, layer.add_number_like(0, 0.5)})});
    finish(layer, "Mul", {layer.add("Sign", layer.inputs), whole});
}

void clamp(Layer &layer)
{
    finish(layer, "Clip",
           {layer.input(0), layer.add_number_like(0, layer.number("min", -INFINITY)),
            layer.add_number_like(0, layer.number("max", INFINITY))});
}

Attributes with_number(const char *name, double value)
{
    return with(std::pair<const char *, Attribute>(name, static_cast<float>(value)));
}

void elu(Layer &layer)
{
    finish(layer, "Elu", layer.inputs, with_number("alpha", layer.number("alpha", 1)));
}

/// A constant of one element.
float constant_number(const Layer &layer, size_t input)
{
    const Tensor *constant = layer.constant(input);
    if (!constant || constant->count() != 1)
        throw Error("its input " + std::to_string(input) + " is not a constant number");
    return constant->converted(Type::f32).data<float>()[0];
}

void hard_sigmoid(Layer &layer)
{
    Attributes attributes = with_number("alpha", constant_number(layer, 1));
    attributes.set("beta", constant_number(layer, 2));
    finish(layer, "HardSigmoid", {layer.input(0)}, std::move(attributes));
}

/// min(max(x + 3, 0), 6) / 6
void hsigmoid(Layer &layer)
{
    Attributes attributes = with_number("alpha", 1.f / 6);
    attributes.set("beta", 0.5f);
    finish(layer, "HardSigmoid", layer.inputs, std::move(attributes));
}

void selu(Layer &layer)
{
    Attributes attributes = with_number("alpha", constant_number(layer, 1));
    attributes.set("gamma", constant_number(layer, 2));
    finish(layer, "Selu", {layer.input(0)}, std::move(attributes));
}

void swish(Layer &layer)
{
    finish(layer, "Swish", {layer.input(0)}, with_number("alpha", layer.has(1) ? constant_number(layer, 1) : 1));
}

void gelu(Layer &layer)
{
    const bool tanh = lower(layer.text("approximation_mode", "erf")) == "tanh";
    finish(layer, "Gelu", layer.inputs, with(text("approximate", tanh ? "tanh" : "none")));
}

/// A list of slopes belongs to the channels, which are axis 1.
void prelu(Layer &layer)
{
    const size_t rank = rank_of(layer, 0);
    if (layer.rank(1) == 1 && rank > 2) {
        Shape shape(rank - 1, 1);
        shape[0] = -1;
        layer.set_input(1, layer.add("Reshape", {layer.input(1), layer.add_integers(shape)}));
    }
    layer.set_input(1, layer.add("CastLike", {layer.input(1), layer.input(0)})); // types may differ
    finish(layer, "PRelu", layer.inputs);
}

void convert(Layer &layer)
{
    const std::string type = layer.element_type("destination_type", "f32");
    // Quantised weights stay integers, as in infer_shapes().
    if (const Tensor *constant = layer.constant(0);
        constant && constant->type() != Type::u8 && constant->type() != Type::s8)
        return layer.set_constant_output(constant->converted(*type_from(type)));
    finish(layer, "Cast", layer.inputs, with(std::pair<const char *, Attribute>("to", type)));
}

void convert_like(Layer &layer)
{
    finish(layer, "CastLike", layer.inputs);
}

void fake_quantize(Layer &layer)
{
    check_broadcast(layer);
    finish(layer, "FakeQuantize", layer.inputs, with(integer("levels", layer.integer("levels", 256))));
}

// Windows

/// Strides, dilations and padding of windows over `spatial` axes.
Attributes window_attributes(const Layer &layer, size_t spatial)
{
    Attributes attributes;
    attributes.set("strides", layer.integers("strides", std::vector<int64_t>(spatial, 1)));
    attributes.set("dilations", layer.integers("dilations", std::vector<int64_t>(spatial, 1)));
    const std::string automatic = layer.text("auto_pad", "explicit");
    if (automatic == "explicit" || automatic == "notset") {
        std::vector<int64_t> pads = layer.integers("pads_begin", std::vector<int64_t>(spatial, 0));
        const auto end = layer.integers("pads_end", std::vector<int64_t>(spatial, 0));
        pads.insert(pads.end(), end.begin(), end.end());
        attributes.set("pads", std::move(pads));
    } else if (automatic == "same_upper") {
        attributes.set("auto_pad", std::string("SAME_UPPER"));
    } else if (automatic == "same_lower") {
        attributes.set("auto_pad", std::string("SAME_LOWER"));
    } else if (automatic == "valid") {
        attributes.set("auto_pad", std::string("VALID"));
    } else {
        refuse("auto_pad", automatic, "explicit, same_upper, same_lower or valid");
    }
    return attributes;
}

/// Weights [groups, x, y, …] as [groups * x, y, …]; returns the number of groups.
int64_t merge_groups(Layer &layer, size_t input)
{
    Shape shape = layer.declared_shape(input);
    if (shape.size() < 3)
        throw Error("its weights have the shape " + to_string(shape) + ", want groups, channels, channels, window");
    const int64_t groups = shape[0];
    if (shape[1] != 0 && groups > INT64_MAX / std::max<int64_t>(shape[1], 1))
        throw Error("its weights have the shape " + to_string(shape) + ", which is too large");
    shape[1] *= groups;
    shape.erase(shape.begin());
    if (const Tensor *constant = layer.constant(input))
        layer.set_input(input, layer.add_constant(constant->reshaped(shape)));
    else
        layer.set_input(input, layer.add("Reshape", {layer.input(input), layer.add_integers(shape)}));
    return groups;
}

size_t spatial_of(const Layer &layer)
{
    const size_t rank = rank_of(layer, 0);
    if (rank < 3)
        throw Error("its input has the rank " + std::to_string(rank) + ", want 3 or more");
    return rank - 2;
}

void convolve(Layer &layer, int64_t groups)
{
    Attributes attributes = window_attributes(layer, spatial_of(layer));
    attributes.set("group", groups);
    finish(layer, "Conv", {layer.input(0), layer.input(1)}, std::move(attributes));
}

void convolution(Layer &layer)
{
    convolve(layer, 1);
}

void group_convolution(Layer &layer)
{
    convolve(layer, merge_groups(layer, 1));
}

void convolve_back(Layer &layer, int64_t groups)
{
    const size_t spatial = spatial_of(layer);
    Attributes attributes = window_attributes(layer, spatial);
    attributes.set("group", groups);
    attributes.set("output_padding", layer.integers("output_padding", std::vector<int64_t>(spatial, 0)));
    if (layer.has(2))
        attributes.set("output_shape", layer.constant_integers(2));
    finish(layer, "ConvTranspose", {layer.input(0), layer.input(1)}, std::move(attributes));
}

void convolution_back(Layer &layer)
{
    convolve_back(layer, 1);
}

void group_convolution_back(Layer &layer)
{
    convolve_back(layer, merge_groups(layer, 1));
}

void deformable_convolution(Layer &layer)
{
    Attributes attributes = window_attributes(layer, spatial_of(layer));
    attributes.set("sharp_edges", int64_t(!layer.flag("bilinear_interpolation_pad", false)));
    attributes.set("group", layer.integer("group", 1));
    attributes.set("offset_group", layer.integer("deformable_group", 1));
    finish(layer, "DeformConv", {layer.input(0), layer.input(2), layer.input(1), no_value, layer.optional_input(3)},
           std::move(attributes));
}

Attributes pool_attributes(const Layer &layer)
{
    const auto kernel = layer.integers("kernel");
    Attributes attributes = window_attributes(layer, kernel.size());
    attributes.set("kernel_shape", kernel);
    attributes.set("ceil_mode", int64_t(layer.text("rounding_type", "floor") != "floor"));
    return attributes;
}

void max_pool(Layer &layer)
{
    Attributes attributes = pool_attributes(layer);
    if (!layer.wants(1))
        return finish(layer, "MaxPool", {layer.input(0)}, std::move(attributes));
    if (layer.integer("axis", 0) != 0)
        throw Error("indices that count from axis " + layer.text("axis", "") + " are not supported; want axis 0");
    Value indices;
    indices.name = layer.name + "/indices";
    const ValueId made = layer.graph.add_value(std::move(indices));
    layer.add("MaxPool", {layer.input(0)}, {layer.outputs[0], made}, std::move(attributes));
    layer.add("Cast", {made}, {layer.outputs[1]},
              with(std::pair<const char *, Attribute>("to", layer.element_type("index_element_type", "s64"))));
}

void average_pool(Layer &layer)
{
    Attributes attributes = pool_attributes(layer);
    const bool excluded = layer.flag("exclude-pad", layer.flag("exclude_pad", false));
    attributes.set("count_include_pad", int64_t(!excluded));
    finish(layer, "AveragePool", {layer.input(0)}, std::move(attributes));
}

/// To the size 1 of every axis it is the op over the whole.
void adaptive_pool(Layer &layer, const char *whole, const char *adaptive, Attributes attributes = {})
{
    const auto all_ones = [](const std::vector<int64_t> &sizes) {
        return std::all_of(sizes.begin(), sizes.end(), [](int64_t size) { return size == 1; });
    };
    if (!layer.wants(1) && layer.constant(1) && all_ones(layer.constant_integers(1)))
        return finish(layer, whole, {layer.input(0)});
    list_inputs(layer, {1});
    layer.add(adaptive, layer.inputs, layer.outputs, std::move(attributes));
}

void adaptive_average_pool(Layer &layer)
{
    adaptive_pool(layer, "GlobalAveragePool", "AdaptiveAvgPool");
}

void adaptive_max_pool(Layer &layer)
{
    adaptive_pool(layer, "GlobalMaxPool", "AdaptiveMaxPool",
                  with(text("index_element_type", layer.element_type("index_element_type", "s64").c_str())));
}

/// Inputs: data, the size of the picture, that of the windows.
void columns_to_picture(Layer &layer)
{
    list_inputs(layer, {1, 2});
    finish(layer, "Col2Im", layer.inputs, window_attributes(layer, 2));
}

// Products

/// The same tensor with its last two axes exchanged.
ValueId transposed(Layer &layer, size_t input)
{
    const size_t rank = rank_of(layer, input);
    if (rank < 2)
        return layer.input(input);
    std::vector<int64_t> order(rank);
    std::iota(order.begin(), order.end(), 0);
    std::swap(order[rank - 1], order[rank - 2]);
    return layer.add("Transpose", {layer.input(input)}, with(std::pair<const char *, Attribute>("perm", order)));
}

void mat_mul(Layer &layer)
{
    const ValueId a = layer.flag("transpose_a", false) ? transposed(layer, 0) : layer.input(0);
    const ValueId b = layer.flag("transpose_b", false) ? transposed(layer, 1) : layer.input(1);
    finish(layer, "MatMul", {a, b});
}

void einsum(Layer &layer)
{
    finish(layer, "Einsum", layer.inputs, with(text("equation", layer.text("equation", "").c_str())));
}

/// Where `query` may look at `key`, counted from the first of each.
ValueId causal_mask(Layer &layer)
{
    const auto numbered = [&](size_t input, int64_t axis) {
        const ValueId shape = layer.add("Shape", {layer.input(input)}, with(integer("start", -2), integer("end", -1)));
        const ValueId size = layer.add("Reshape", {shape, layer.add_integers({})});
        const ValueId numbers = layer.add("Range", {layer.add_integer(0), size, layer.add_integer(1)});
        return layer.add("Unsqueeze", {numbers, layer.add_integers({axis})});
    };
    return layer.add("GreaterOrEqual", {numbered(0, 1), numbered(1, 0)});
}

/// softmax(query · keyᵀ · scale + mask) · value; inputs query, key, value, mask, scale. A mask of bools, and that of
/// causal attention, says what may be looked at.
void attention(Layer &layer)
{
    ValueId scale;
    if (layer.has(4)) {
        scale = layer.input(4);
    } else {
        const ValueId size = layer.add("Shape", {layer.input(0)}, with(integer("start", -1)));
        const ValueId length = root(layer, layer.add("CastLike", {size, layer.input(0)}));
        scale = layer.add("Reciprocal", {length});
    }
    const ValueId products = layer.add("MatMul", {layer.input(0), transposed(layer, 1)});
    ValueId scores = layer.add("Mul", {products, scale});
    const bool causal = layer.flag("causal", false);
    if (causal || (layer.has(3) && layer.declared_type(3) == Type::boolean))
        scores = layer.add("Where",
                           {causal ? causal_mask(layer) : layer.input(3), scores, layer.add_number_like(0, -INFINITY)});
    else if (layer.has(3))
        scores = layer.add("Add", {scores, layer.input(3)});
    const ValueId weights = layer.add("Softmax", {scores}, with(integer("axis", -1)));
    finish(layer, "MatMul", {weights, layer.input(2)});
}

// Reductions and normalisation

template <Name Op> void reduce(Layer &layer)
{
    list_inputs(layer, {1});
    finish(layer, Op.text, {layer.input(0), layer.input(1)},
           with(integer("keepdims", layer.flag("keep_dims", false)), integer("noop_with_empty_axes", 1)));
}

Attributes kept_axes()
{
    return with(integer("keepdims", 1), integer("noop_with_empty_axes", 1));
}

/// (x - mean) / deviation over some axes.
void mean_variance(Layer &layer, ValueId axes, bool eps_inside)
{
    const ValueId mean = layer.add("ReduceMean", {layer.input(0), axes}, kept_axes());
    if (!layer.flag("normalize_variance", true))
        return finish(layer, "Sub", {layer.input(0), mean});
    const ValueId difference = layer.add("Sub", {layer.input(0), mean});
    const ValueId squares = layer.add("Mul", {difference, difference});
    const ValueId variance = layer.add("ReduceMean", {squares, axes}, kept_axes());
    const ValueId eps = layer.add_number_like(0, layer.number("eps", 1e-9));
    const ValueId deviation =
        eps_inside ? root(layer, layer.add("Add", {variance, eps})) : layer.add("Add", {root(layer, variance), eps});
    finish(layer, "Div", {difference, deviation});
}

/// Operator sets 1 and 2: axes as attribute, or all from 2 (from 1 across channels).
void mean_variance_2(Layer &layer)
{
    auto axes = layer.integers("reduction_axes");
    if (axes.empty()) {
        axes.resize(rank_of(layer, 0));
        std::iota(axes.begin(), axes.end(), 0);
        const long kept = std::min<long>(layer.flag("across_channels", true) ? 1 : 2, std::ssize(axes));
        axes.erase(axes.begin(), axes.begin() + kept);
    }
    mean_variance(layer, layer.add_integers(axes), false);
}

void mean_variance_6(Layer &layer)
{
    mean_variance(layer, as_list(layer, 1), lower(layer.text("eps_mode", "inside_sqrt")) != "outside_sqrt");
}

void normalize_l2(Layer &layer)
{
    const ValueId squares = layer.add("Mul", {layer.input(0), layer.input(0)});
    const ValueId sum = layer.add("ReduceSum", {squares, as_list(layer, 1)}, kept_axes());
    const ValueId eps = layer.add_number_like(0, layer.number("eps", 1e-10));
    const bool most = layer.text("eps_mode", "add") == "max";
    finish(layer, "Div", {layer.input(0), root(layer, layer.add(most ? "Max" : "Add", {sum, eps}))});
}

/// x / sqrt(sum over channels of x² + bias)
void global_response(Layer &layer)
{
    const ValueId squares = layer.add("Mul", {layer.input(0), layer.input(0)});
    const ValueId sum = layer.add("ReduceSum", {squares, layer.add_integers({1})}, kept_axes());
    const ValueId bias = layer.add_number_like(0, layer.number("bias", 1e-10));
    finish(layer, "Div", {layer.input(0), root(layer, layer.add("Add", {sum, bias}))});
}

/// Of bools: whether all are true (the least one), or any is (the highest one).
template <Name Op> void reduce_logical(Layer &layer)
{
    list_inputs(layer, {1});
    const ValueId reduced =
        layer.add(Op.text, {cast_to(layer, layer.input(0), "s32"), layer.input(1)},
                  with(integer("keepdims", layer.flag("keep_dims", false)), integer("noop_with_empty_axes", 1)));
    finish(layer, "Cast", {reduced}, with(text("to", "bool")));
}

void group_normalization(Layer &layer)
{
    Attributes attributes = with_number("epsilon", layer.number("epsilon", 1e-5));
    attributes.set("num_groups", layer.integer("num_groups", 1));
    finish(layer, "GroupNormalization", layer.inputs, std::move(attributes));
}

void softmax(Layer &layer)
{
    finish(layer, "Softmax", layer.inputs, with(integer("axis", layer.integer("axis", 1))));
}

void log_softmax(Layer &layer)
{
    finish(layer, "LogSoftmax", layer.inputs, with(integer("axis", layer.integer("axis", 1))));
}

/// Of operator set 1 the data come third.
void batch_norm(Layer &layer)
{
    std::vector<ValueId> inputs = layer.inputs;
    if (inputs.size() != 5)
        throw Error("it has " + std::to_string(inputs.size()) + " inputs, want 5");
    if (layer.opset < 5)
        std::rotate(inputs.begin(), inputs.begin() + 2, inputs.begin() + 3);
    finish(layer, "BatchNormalization", std::move(inputs),
           with_number("epsilon", layer.number("epsilon", layer.number("eps", 1e-5))));
}

void local_response(Layer &layer)
{
    if (layer.constant_integers(1) != std::vector<int64_t>{1})
        throw Error("LRN over other axes than the channels is not supported");
    Attributes attributes = with_number("alpha", layer.number("alpha", 1e-4));
    attributes.set("beta", static_cast<float>(layer.number("beta", 0.75)));
    attributes.set("bias", static_cast<float>(layer.number("bias", 1)));
    attributes.set("size", layer.integer("size", 5));
    finish(layer, "LRN", {layer.input(0)}, std::move(attributes));
}

void cum_sum(Layer &layer)
{
    finish(
        layer, "CumSum", layer.inputs,
        with(integer("exclusive", layer.flag("exclusive", false)), integer("reverse", layer.flag("reverse", false))));
}

void top_k(Layer &layer)
{
    const std::string sort = layer.text("sort", "none");
    if (sort == "index")
        throw Error("results sorted by index are not supported; want sort=\"value\" or \"none\"");
    Value indices;
    indices.name = layer.name + "/indices";
    const ValueId made = layer.graph.add_value(std::move(indices));
    layer.add("TopK", {layer.input(0), as_list(layer, 1)}, {layer.outputs[0], made},
              with(integer("axis", layer.integer("axis", -1)), integer("largest", layer.text("mode", "max") == "max"),
                   integer("sorted", 1)));
    if (layer.wants(1))
        layer.add("Cast", {made}, {layer.outputs[1]},
                  with(std::pair<const char *, Attribute>("to", layer.element_type("index_element_type", "s32"))));
}

// Shapes and movement

void reshape(Layer &layer)
{
    list_inputs(layer, {1});
    finish(layer, "Reshape", {layer.input(0), layer.input(1)},
           with(integer("allowzero", !layer.flag("special_zero", false))));
}

void squeeze(Layer &layer)
{
    list_inputs(layer, {1});
    finish(layer, "Squeeze", layer.inputs);
}

void unsqueeze(Layer &layer)
{
    list_inputs(layer, {1});
    finish(layer, "Unsqueeze", layer.inputs);
}

void transpose(Layer &layer)
{
    const auto order = layer.constant_integers(1);
    Attributes attributes;
    if (!order.empty())
        attributes.set("perm", order);
    finish(layer, "Transpose", {layer.input(0)}, std::move(attributes));
}

void concat(Layer &layer)
{
    finish(layer, "Concat", layer.inputs, with(integer("axis", layer.integer("axis", 0))));
}

void split(Layer &layer)
{
    layer.add("Split", {layer.input(0)}, layer.outputs,
              with(integer("axis", constant_axis(layer, 1)),
                   integer("num_outputs", layer.integer("num_splits", std::ssize(layer.outputs)))));
}

/// One length may be -1: the rest.
void variadic_split(Layer &layer)
{
    const int64_t axis = constant_axis(layer, 1);
    auto lengths = layer.constant_integers(2);
    const auto open = std::find(lengths.begin(), lengths.end(), -1);
    if (open != lengths.end()) {
        const Shape shape = layer.declared_shape(0);
        *open = 0;
        *open = shape[normal_axis(axis, shape.size())] - std::accumulate(lengths.begin(), lengths.end(), int64_t(0));
    }
    layer.add("Split", {layer.input(0), layer.add_integers(lengths)}, layer.outputs, with(integer("axis", axis)));
}

bool is_set(const std::vector<int64_t> &mask, size_t place)
{
    return place < mask.size() && mask[place] != 0;
}

/// The entries of a strided slice, sorted into what Slice, Squeeze and Unsqueeze do.
struct SlicedAxes {
    std::vector<int64_t> axes, dropped, added;
    std::vector<size_t> entries; ///< of `axes`: place in begin, end and strides
};

SlicedAxes sort_entries(const Layer &layer, size_t entries)
{
    const auto added = layer.integers("new_axis_mask"), dropped = layer.integers("shrink_axis_mask"),
               ellipsis = layer.integers("ellipsis_mask");
    SlicedAxes result;
    int64_t in = 0, out = 0;
    for (size_t i = 0; i < entries; i++) {
        if (is_set(ellipsis, i)) {
            int64_t sliced = 0;
            for (size_t other = 0; other < entries; other++)
                sliced += other != i && !is_set(added, other);
            const int64_t skipped = static_cast<int64_t>(rank_of(layer, 0)) - sliced;
            in += skipped;
            out += skipped;
        } else if (is_set(added, i)) {
            result.added.push_back(out++);
        } else {
            result.axes.push_back(in);
            result.entries.push_back(i);
            if (is_set(dropped, i))
                result.dropped.push_back(in);
            else
                out++;
            in++;
        }
    }
    return result;
}

/// A chain of ops on one value, the last of which makes the layer's output.
class Chain {
  public:
    Chain(Layer &layer, ValueId from) : layer_(layer), value_(from) {}
    void then(std::string_view op, std::vector<ValueId> further, Attributes attributes = {})
    {
        further.insert(further.begin(), value_);
        value_ = layer_.add(op, std::move(further), std::move(attributes));
    }
    void finish() { layer_.add("Identity", {value_}, {layer_.outputs.at(0)}); }

  private:
    Layer &layer_;
    ValueId value_;
};

void strided_slice(Layer &layer)
{
    constexpr int64_t most = INT64_MAX;
    const Tensor *begin = layer.constant(1), *end = layer.constant(2);
    const auto begin_mask = layer.integers("begin_mask"), end_mask = layer.integers("end_mask"),
               dropped = layer.integers("shrink_axis_mask");
    const size_t entries = begin                 ? begin->count()
                           : end                 ? end->count()
                           : !begin_mask.empty() ? begin_mask.size()
                                                 : layer.list_length(1);
    const std::vector<int64_t> strides = layer.has(3) ? layer.constant_integers(3) : std::vector<int64_t>(entries, 1);
    const SlicedAxes sorted = sort_entries(layer, entries);
    const auto places = [&](auto &&value_of) {
        std::vector<int64_t> values;
        for (size_t entry : sorted.entries)
            values.push_back(value_of(entry));
        return values;
    };
    const auto step = [&](size_t i) { return i < strides.size() ? strides[i] : 1; };
    // Entries that a mask leaves open begin or end at the edge.
    const auto edge = [&](size_t i, bool last) { return (step(i) > 0) == last ? most : last ? -most : 0; };
    const auto bounds = [&](size_t input, const std::vector<int64_t> &mask, bool last) {
        const auto open = [&](size_t i) { return is_set(mask, i) && !is_set(dropped, i); };
        if (const Tensor *constant = layer.constant(input)) {
            const auto given = constant->to_int64();
            return layer.add_integers(
                places([&](size_t i) { return open(i) || i >= given.size() ? edge(i, last) : given[i]; }));
        }
        const ValueId list = as_list(layer, input);
        std::vector<int64_t> entry_list(sorted.entries.begin(), sorted.entries.end());
        const ValueId given = layer.add("Gather", {list, layer.add_integers(entry_list)});
        const auto flags = places([&](size_t i) { return int64_t(open(i)); });
        const ValueId condition = layer.add("Cast", {layer.add_integers(flags)}, with(text("to", "bool")));
        const ValueId edges = layer.add_integers(places([&](size_t i) { return edge(i, last); }));
        return layer.add("Where", {condition, edges, given});
    };
    Chain chain(layer, layer.input(0));
    if (!sorted.axes.empty()) {
        const ValueId starts = bounds(1, begin_mask, false);
        ValueId ends = bounds(2, end_mask, true);
        if (!sorted.dropped.empty()) {
            // One element from the start on, however the end is given; -1 + 1 would be the front again.
            const ValueId one = layer.add("Add", {starts, layer.add_integers({1})});
            const ValueId zero = layer.add("Equal", {one, layer.add_integers({0})});
            const ValueId next = layer.add("Where", {zero, layer.add_integers({most}), one});
            const auto flags = places([&](size_t i) { return int64_t(is_set(dropped, i)); });
            const ValueId condition = layer.add("Cast", {layer.add_integers(flags)}, with(text("to", "bool")));
            ends = layer.add("Where", {condition, next, ends});
        }
        const auto steps = places([&](size_t i) { return is_set(dropped, i) ? 1 : step(i); });
        chain.then("Slice", {starts, ends, layer.add_integers(sorted.axes), layer.add_integers(steps)});
    }
    if (!sorted.dropped.empty())
        chain.then("Squeeze", {layer.add_integers(sorted.dropped)});
    if (!sorted.added.empty())
        chain.then("Unsqueeze", {layer.add_integers(sorted.added)});
    chain.finish();
}

/// Inputs: data, start, stop, step, axes.
void slice(Layer &layer)
{
    list_inputs(layer, {1, 2, 3, 4});
    finish(layer, "Slice", {layer.input(0), layer.input(1), layer.input(2), layer.optional_input(4), layer.input(3)});
}

void gather(Layer &layer)
{
    const int64_t axis = constant_axis(layer, 2);
    int64_t batches = layer.integer("batch_dims", 0);
    if (batches == 0)
        return finish(layer, "Gather", {layer.input(0), layer.input(1)}, with(integer("axis", axis)));
    if (batches < 0)
        batches += static_cast<int64_t>(rank_of(layer, 1));
    if (axis != batches)
        throw Error("batch_dims " + std::to_string(batches) + " with axis " + std::to_string(axis) +
                    " is not supported; want the axis right after the batches");
    const ValueId indices = layer.add("Unsqueeze", {layer.input(1), layer.add_integers({-1})});
    finish(layer, "GatherND", {layer.input(0), indices}, with(integer("batch_dims", batches)));
}

void gather_elements(Layer &layer)
{
    finish(layer, "GatherElements", layer.inputs, with(integer("axis", layer.integer("axis", 0))));
}

void gather_nd(Layer &layer)
{
    const int64_t batches = layer.integer("batch_dims", 0);
    if (layer.opset < 8 && batches > 1)
        throw Error("GatherND of operator set 5 with batch_dims above 1 is not supported");
    finish(layer, "GatherND", layer.inputs, with(integer("batch_dims", batches)));
}

Attributes scatter_reduction(const Layer &layer)
{
    const std::string reduction = layer.text("reduction", "none");
    const std::pair<const char *, const char *> names[] = {
        {"none", "none"}, {"sum", "add"}, {"prod", "mul"}, {"min", "min"}, {"max", "max"}};
    for (const auto &[openvino, onnx] : names)
        if (reduction == openvino && (reduction == "none" || layer.flag("use_init_val", true)))
            return with(text("reduction", onnx));
    throw Error("the reduction \"" + reduction + "\" is not supported");
}

void scatter_elements(Layer &layer)
{
    Attributes attributes = scatter_reduction(layer);
    attributes.set("axis", constant_axis(layer, 3));
    finish(layer, "ScatterElements", {layer.input(0), layer.input(1), layer.input(2)}, std::move(attributes));
}

void scatter_nd(Layer &layer)
{
    Attributes attributes = scatter_reduction(layer);
    finish(layer, "ScatterND", layer.inputs, std::move(attributes));
}

/// `count` axes from `from` on moved to the front, or, the other way, from the front to there.
std::vector<int64_t> axes_in_front(size_t rank, size_t from, size_t count, bool back)
{
    std::vector<int64_t> order(rank);
    std::iota(order.begin(), order.end(), 0);
    const auto first = order.begin(), axis = first + static_cast<long>(from), end = axis + static_cast<long>(count);
    std::rotate(first, back ? first + static_cast<long>(count) : axis, end);
    return order;
}

ValueId with_axes_in_front(Layer &layer, ValueId value, size_t rank, size_t from, size_t count)
{
    return layer.add("Transpose", {value},
                     with(std::pair<const char *, Attribute>("perm", axes_in_front(rank, from, count, false))));
}

/// Whole slices of an axis.
void scatter_update(Layer &layer)
{
    const ValueId indices = layer.add("Unsqueeze", {layer.input(1), layer.add_integers({-1})});
    const int64_t given = constant_axis(layer, 3);
    if (given == 0)
        return finish(layer, "ScatterND", {layer.input(0), indices, layer.input(2)});
    const size_t rank = rank_of(layer, 0), axis = normal_axis(given, rank), taken = rank_of(layer, 1);
    const ValueId data = with_axes_in_front(layer, layer.input(0), rank, axis, 1);
    const ValueId updates = with_axes_in_front(layer, layer.input(2), rank - 1 + taken, axis, taken);
    const ValueId scattered = layer.add("ScatterND", {data, indices, updates});
    finish(layer, "Transpose", {scattered},
           with(std::pair<const char *, Attribute>("perm", axes_in_front(rank, axis, 1, true))));
}

void pad(Layer &layer)
{
    const std::string mode = layer.text("pad_mode", "constant");
    if (mode != "constant" && mode != "reflect" && mode != "edge")
        throw Error("the pad_mode \"" + mode + "\" is not supported; want constant, reflect or edge");
    const ValueId pads = layer.add("Concat", {as_list(layer, 1), as_list(layer, 2)}, with(integer("axis", 0)));
    finish(layer, "Pad", {layer.input(0), pads, mode == "constant" ? layer.optional_input(3) : no_value},
           with(text("mode", mode.c_str())));
}

/// Repeats may be fewer than the axes: then they are for the last ones.
void tile(Layer &layer)
{
    const Tensor *constant = layer.constant(1);
    if (!constant)
        return finish(layer, "Tile", {layer.input(0), as_list(layer, 1)});
    auto repeats = constant->to_int64();
    const size_t rank = rank_of(layer, 0);
    if (repeats.size() < rank)
        repeats.insert(repeats.begin(), rank - repeats.size(), 1);
    ValueId data = layer.input(0);
    if (repeats.size() > rank) {
        std::vector<int64_t> axes(repeats.size() - rank);
        std::iota(axes.begin(), axes.end(), 0);
        data = layer.add("Unsqueeze", {data, layer.add_integers(axes)});
    }
    finish(layer, "Tile", {data, layer.add_integers(repeats)});
}

void broadcast_to(Layer &layer)
{
    ValueId data = layer.input(0);
    if (layer.text("mode", "numpy") == "explicit") {
        const auto mapping = layer.constant_integers(2);
        const auto rank = static_cast<int64_t>(layer.list_length(1));
        std::vector<int64_t> added;
        for (int64_t axis = 0; axis < rank; axis++)
            if (std::find(mapping.begin(), mapping.end(), axis) == mapping.end())
                added.push_back(axis);
        data = layer.add("Unsqueeze", {data, layer.add_integers(added)});
    }
    finish(layer, "Expand", {data, as_list(layer, 1)});
}

void shape_of(Layer &layer)
{
    finish_as(layer, "Shape", {layer.input(0)}, layer.element_type("output_type", "s64"));
}

/// Start, stop and step are made one type first.
void range(Layer &layer)
{
    if (layer.opset < 4)
        return finish(layer, "Range", layer.inputs);
    const std::string type = layer.element_type("output_type", "f32");
    std::vector<ValueId> bounds;
    for (size_t i = 0; i < 3; i++)
        bounds.push_back(cast_to(layer, layer.input(i), type));
    finish(layer, "Range", std::move(bounds));
}

void non_zero(Layer &layer)
{
    finish_as(layer, "NonZero", {layer.input(0)}, layer.element_type("output_type", "s64"));
}

void one_hot(Layer &layer)
{
    const ValueId shape = layer.add_integers({1});
    const ValueId on = layer.add("Reshape", {layer.input(2), shape}),
                  off = layer.add("Reshape", {layer.input(3), shape});
    const ValueId values = layer.add("Concat", {off, on}, with(integer("axis", 0)));
    finish(layer, "OneHot", {layer.input(0), layer.input(1), values}, with(integer("axis", layer.integer("axis", -1))));
}

/// Ones on a diagonal, in each matrix of a batch.
void eye(Layer &layer)
{
    const auto number = [&](size_t input) {
        return layer.add("Reshape", {cast_to(layer, layer.input(input), "s64"), layer.add_integers({1})});
    };
    const ValueId sizes = layer.add("Concat", {number(0), number(1)}, with(integer("axis", 0)));
    Attributes attributes = with(integer("k", constant_axis(layer, 2)));
    attributes.set("dtype", layer.element_type("output_type", "f32"));
    const ValueId one = layer.add("EyeLike", {layer.add("ConstantOfShape", {sizes})}, std::move(attributes));
    if (!layer.has(3))
        return finish(layer, "Identity", {one});
    list_inputs(layer, {3});
    finish(layer, "Expand", {one, layer.add("Concat", {layer.input(3), sizes}, with(integer("axis", 0)))});
}

void shift_left(Layer &layer)
{
    check_broadcast(layer);
    finish(layer, "BitShift", layer.inputs, with(text("direction", "LEFT")));
}

/// The sign is kept: x >> n is the quotient by 2 to the n, rounded down.
void shift_right(Layer &layer)
{
    check_broadcast(layer);
    const ValueId divisor =
        layer.add("BitShift", {layer.add_number_like(0, 1), layer.input(1)}, with(text("direction", "LEFT")));
    const ValueId rest = layer.add("Mod", {layer.input(0), divisor});
    finish(layer, "Div", {layer.add("Sub", {layer.input(0), rest}), divisor});
}

/// What a slice reads is written; inputs: data, updates, start, stop, step, axes. The slice of the elements' numbers
/// says where.
void slice_scatter(Layer &layer)
{
    list_inputs(layer, {2, 3, 4, 5});
    const ValueId shape = layer.add("Shape", {layer.input(0)}), count = layer.add("Size", {layer.input(0)}),
                  flat = layer.add_integers({-1});
    const ValueId numbers = layer.add("Range", {layer.add_integer(0), count, layer.add_integer(1)});
    const ValueId written = layer.add("Slice", {layer.add("Reshape", {numbers, shape}), layer.input(2), layer.input(3),
                                                layer.optional_input(5), layer.input(4)});
    const ValueId updates = layer.add("Expand", {layer.input(1), layer.add("Shape", {written})});
    const ValueId result =
        layer.add("ScatterElements", {layer.add("Reshape", {layer.input(0), flat}),
                                      layer.add("Reshape", {written, flat}), layer.add("Reshape", {updates, flat})});
    finish(layer, "Reshape", {result, shape});
}

// Fourier transforms

/// An axis, and how many of its points are transformed; -1: all.
struct Transformed {
    int64_t axis, length;
};

/// The axes that the layer names, of `rank` ones, that of the real and imaginary parts not counted.
std::vector<Transformed> transformed_axes(const Layer &layer, size_t rank)
{
    const auto axes = layer.constant_integers(1);
    const auto lengths = layer.has(2) ? layer.constant_integers(2) : std::vector<int64_t>(axes.size(), -1);
    if (axes.empty() || lengths.size() != axes.size())
        throw Error("it has " + std::to_string(axes.size()) + " axes and " + std::to_string(lengths.size()) +
                    " sizes of signals, want one or more of each");
    std::vector<Transformed> result;
    for (size_t i = 0; i < axes.size(); i++) {
        const auto axis = static_cast<int64_t>(normal_axis(axes[i], rank));
        if (std::any_of(result.begin(), result.end(), [&](const Transformed &other) { return other.axis == axis; }))
            throw Error("it names the axis " + std::to_string(axis) + " twice");
        result.push_back({axis, lengths[i]});
    }
    return result;
}

size_t rank_of_complex(const Layer &layer)
{
    const size_t rank = rank_of(layer, 0);
    if (rank == 0)
        throw Error("its input has no axis of the real and imaginary parts");
    return rank - 1;
}

ValueId transformed(Layer &layer, ValueId signal, const Transformed &how, bool inverse, bool onesided)
{
    return layer.add("DFT",
                     {signal, how.length == -1 ? no_value : layer.add_integer(how.length), layer.add_integer(how.axis)},
                     with(integer("inverse", inverse), integer("onesided", onesided)));
}

template <bool inverse> void fourier(Layer &layer)
{
    ValueId signal = layer.input(0);
    for (const Transformed &each : transformed_axes(layer, rank_of_complex(layer)))
        signal = transformed(layer, signal, each, inverse, false);
    finish(layer, "Identity", {signal});
}

/// Of a real signal; half of the spectrum along the last axis named.
void real_fourier(Layer &layer)
{
    const auto axes = transformed_axes(layer, rank_of(layer, 0));
    ValueId signal = layer.add("Unsqueeze", {layer.input(0), layer.add_integers({-1})});
    for (size_t i = axes.size(); i-- > 0;)
        signal = transformed(layer, signal, axes[i], false, i + 1 == axes.size());
    finish(layer, "Identity", {signal});
}

void real_fourier_back(Layer &layer)
{
    const auto axes = transformed_axes(layer, rank_of_complex(layer));
    ValueId signal = layer.input(0);
    for (size_t i = 0; i < axes.size(); i++)
        signal = transformed(layer, signal, axes[i], true, i + 1 == axes.size());
    finish(layer, "Squeeze", {signal, layer.add_integers({-1})});
}

// What is no matter of inference

void keeps_a_state(Layer &layer)
{
    throw Error("the type " + layer.type +
                " keeps a state from one inference to the next; convert the model again with its states as inputs and "
                "outputs");
}

void random_numbers(Layer &layer)
{
    throw Error("the type " + layer.type +
                " makes random numbers, which inference does not want; convert the model for inference");
}

void training_only(Layer &layer)
{
    throw Error("the type " + layer.type + " belongs to training; convert the model for inference");
}

void reverse_sequence(Layer &layer)
{
    const ValueId lengths = cast_to(layer, layer.input(1), "s64");
    finish(layer, "ReverseSequence", {layer.input(0), lengths},
           with(integer("batch_axis", layer.integer("batch_axis", 0)),
                integer("time_axis", layer.integer("seq_axis", 1))));
}

/// Indices of axes, or a flag for each axis.
void reverse(Layer &layer)
{
    auto axes = layer.constant_integers(1);
    if (layer.text("mode", "index") == "mask") {
        std::vector<int64_t> chosen;
        for (size_t axis = 0; axis < axes.size(); axis++)
            if (axes[axis] != 0)
                chosen.push_back(static_cast<int64_t>(axis));
        axes = chosen;
    }
    const auto all = [&](int64_t value) { return layer.add_integers(std::vector<int64_t>(axes.size(), value)); };
    finish(layer, "Slice", {layer.input(0), all(-1), all(-INT64_MAX), layer.add_integers(axes), all(-1)});
}

void depth_to_space(Layer &layer)
{
    const bool depth_first = layer.text("mode", "blocks_first") == "depth_first";
    finish(layer, "DepthToSpace", layer.inputs,
           with(integer("blocksize", layer.integer("block_size", 1)), text("mode", depth_first ? "CRD" : "DCR")));
}

void space_to_depth(Layer &layer)
{
    const int64_t block = layer.integer("block_size", 1);
    if (layer.text("mode", "blocks_first") == "blocks_first")
        return finish(layer, "SpaceToDepth", layer.inputs, with(integer("blocksize", block)));
    const Shape shape = layer.declared_shape(0);
    if (shape.size() != 4 || block < 1 || shape[2] % block != 0 || shape[3] % block != 0)
        throw Error("an input of shape " + to_string(shape) + " cannot be cut into blocks of " + std::to_string(block));
    const Shape cut{shape[0], shape[1], shape[2] / block, block, shape[3] / block, block};
    const Shape deep{shape[0], count_of({shape[1], block, block}), cut[2], cut[4]};
    const ValueId blocks = layer.add("Reshape", {layer.input(0), layer.add_integers(cut)});
    const ValueId moved =
        layer.add("Transpose", {blocks},
                  with(std::pair<const char *, Attribute>("perm", std::vector<int64_t>{0, 1, 3, 5, 2, 4})));
    finish(layer, "Reshape", {moved, layer.add_integers(deep)});
}

/// Channels in groups, rows and columns of that table exchanged.
void shuffle_channels(Layer &layer)
{
    const Shape shape = layer.declared_shape(0);
    const size_t axis = normal_axis(layer.integer("axis", 1), shape.size());
    const int64_t groups = layer.integer("group", 1);
    if (groups < 1 || shape[axis] % groups != 0)
        throw Error(std::to_string(shape[axis]) + " channels cannot be cut into " + std::to_string(groups) + " groups");
    Shape table = shape;
    table[axis] /= groups;
    table.insert(table.begin() + static_cast<long>(axis), groups);
    std::vector<int64_t> order(table.size());
    std::iota(order.begin(), order.end(), 0);
    std::swap(order[axis], order[axis + 1]);
    const ValueId cut = layer.add("Reshape", {layer.input(0), layer.add_integers(table)});
    const ValueId moved = layer.add("Transpose", {cut}, with(std::pair<const char *, Attribute>("perm", order)));
    finish(layer, "Reshape", {moved, layer.add_integers(shape)});
}

// Interpolation

/// Nearest "simple" takes the pixel below when a size grows, the pixel above when it shrinks.
const char *simple_rounding(const Layer &layer)
{
    const auto &made = layer.graph.values[layer.outputs.at(0)].shape;
    const Shape from = layer.declared_shape(0);
    if (made && made->size() == from.size())
        for (size_t axis = 0; axis < from.size(); axis++)
            if ((*made)[axis] >= 0 && (*made)[axis] < from[axis])
                return "ceil";
    return "floor";
}

const char *nearest_mode(const Layer &layer, const std::string &mode)
{
    constexpr const char *known[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
    for (const char *name : known)
        if (mode == name)
            return name;
    if (mode == "simple")
        return simple_rounding(layer);
    refuse("nearest_mode", mode, "round_prefer_floor, round_prefer_ceil, floor, ceil or simple");
}

void check_no_pads(const Layer &layer)
{
    for (const char *name : {"pads_begin", "pads_end"})
        for (int64_t pad : layer.integers(name))
            if (pad != 0)
                throw Error("an interpolation with " + std::string(name) + " is not supported; pad before it");
}

/// Of operator set 1: inputs data, sizes.
void interpolate_1(Layer &layer)
{
    check_no_pads(layer);
    const auto axes = layer.integers("axes");
    const std::string mode = layer.text("mode", "nearest");
    if (mode != "nearest" && mode != "linear" && mode != "cubic")
        throw Error("the interpolation mode \"" + mode + "\" is not supported; want nearest, linear or cubic");
    const bool planes = axes == std::vector<int64_t>{2, 3} && layer.rank(0) == 4;
    const char *coordinates = layer.flag("align_corners", true) ? "align_corners"
                              : mode == "linear" && !planes     ? "half_pixel"
                                                                : "asymmetric";
    Attributes attributes =
        with(text("mode", mode.c_str()), text("coordinate_transformation_mode", coordinates),
             text("nearest_mode", simple_rounding(layer)), integer("antialias", layer.flag("antialias", false)));
    attributes.set("axes", axes);
    finish(layer, "Resize", {layer.input(0), no_value, no_value, as_list(layer, 1)}, std::move(attributes));
}

/// Operator set 4: inputs data, sizes, scales, axes. 11: data, sizes or scales, axes.
void interpolate(Layer &layer)
{
    check_no_pads(layer);
    std::string mode = layer.text("mode", "nearest");
    if (mode == "linear_onnx")
        mode = "linear";
    if (mode != "nearest" && mode != "linear" && mode != "cubic")
        throw Error("the interpolation mode \"" + mode +
                    "\" is not supported; want nearest, linear, linear_onnx or cubic");
    const std::string coordinates = layer.text("coordinate_transformation_mode", "half_pixel");
    if (coordinates == "tf_half_pixel_for_nn")
        throw Error("the coordinate_transformation_mode tf_half_pixel_for_nn is not supported");
    Attributes attributes =
        with(text("mode", mode.c_str()), text("coordinate_transformation_mode", coordinates.c_str()),
             text("nearest_mode", nearest_mode(layer, layer.text("nearest_mode", "round_prefer_floor"))),
             integer("antialias", layer.flag("antialias", false)));
    attributes.set("cubic_coeff_a", static_cast<float>(layer.number("cube_coeff", -0.75)));
    const size_t axes = layer.opset < 11 ? 3 : 2;
    if (layer.has(axes))
        attributes.set("axes", layer.constant_integers(axes));
    const bool by_size = layer.text("shape_calculation_mode", "sizes") == "sizes";
    if (by_size)
        return finish(layer, "Resize", {layer.input(0), no_value, no_value, as_list(layer, 1)}, std::move(attributes));
    const ValueId scales = cast_to(layer, layer.input(layer.opset < 11 ? 2 : 1), "f32");
    finish(layer, "Resize", {layer.input(0), no_value, scales}, std::move(attributes));
}

void grid_sample(Layer &layer)
{
    finish(layer, "GridSample", layer.inputs,
           with(text("mode", layer.text("mode", "bilinear") == "bicubic"   ? "cubic"
                             : layer.text("mode", "bilinear") == "nearest" ? "nearest"
                                                                           : "linear"),
                text("padding_mode", layer.text("padding_mode", "zeros").c_str()),
                integer("align_corners", layer.flag("align_corners", false))));
}

// Recurrent layers

struct Gates {
    std::string_view op;
    std::vector<int64_t> order; ///< for each gate of the op, where the layer keeps it
    std::vector<const char *> activations;
};

const Gates lstm_gates{"LSTM", {1, 3, 0, 2}, {"Sigmoid", "Tanh", "Tanh"}};
const Gates gru_gates{"GRU", {0, 1, 2}, {"Sigmoid", "Tanh"}};
const Gates rnn_gates{"RNN", {0}, {"Tanh"}};

/// The gates along axis 1 in the order of the op.
ValueId reordered(Layer &layer, ValueId weights, const std::vector<int64_t> &order, size_t stored)
{
    std::vector<ValueId> gates(stored), chosen;
    for (ValueId &gate : gates) {
        Value value;
        value.name = layer.name + "/gate";
        gate = layer.graph.add_value(std::move(value));
    }
    layer.add("Split", {weights}, gates, with(integer("axis", 1), integer("num_outputs", std::ssize(gates))));
    for (int64_t gate : order)
        chosen.push_back(gates[static_cast<size_t>(gate)]);
    return layer.add("Concat", chosen, with(integer("axis", 1)));
}

/// The layer has one bias for each gate, the op one for the input and one for the hidden state.
ValueId both_biases(Layer &layer, ValueId bias, const Gates &gates, bool split_last)
{
    const size_t count = gates.order.size();
    if (split_last) {
        const ValueId input = reordered(layer, bias, {0, 1, 2}, 4), hidden = reordered(layer, bias, {3}, 4);
        const ValueId two = reordered(layer, bias, {0, 1}, 4);
        const ValueId none = layer.add("Sub", {two, two});
        return layer.add("Concat", {input, none, hidden}, with(integer("axis", 1)));
    }
    const ValueId input = reordered(layer, bias, gates.order, count);
    const ValueId none = layer.add("Sub", {input, input});
    return layer.add("Concat", {input, none}, with(integer("axis", 1)));
}

std::string activations_of(const Layer &layer, const Gates &gates, bool both)
{
    const auto given = pieces_of(layer.text("activations", ""));
    std::string list;
    for (int direction = 0; direction < (both ? 2 : 1); direction++)
        for (size_t i = 0; i < gates.activations.size(); i++) {
            std::string name = i < given.size() ? given[i] : gates.activations[i];
            if (!name.empty())
                name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
            list += (list.empty() ? "" : ",") + name;
        }
    return list;
}

Attributes recurrent_attributes(const Layer &layer, const Gates &gates)
{
    const std::string direction = layer.text("direction", "forward");
    Attributes attributes =
        with(text("direction", direction.c_str()),
             text("activations", activations_of(layer, gates, direction == "bidirectional").c_str()),
             integer("hidden_size", layer.integer("hidden_size", 0)), integer("layout", 1));
    if (const double clip = layer.number("clip", 0); clip > 0)
        attributes.set("clip", static_cast<float>(clip));
    if (gates.op == "GRU")
        attributes.set("linear_before_reset", int64_t(layer.flag("linear_before_reset", false)));
    return attributes;
}

/// Sequences: X [batch, time, size], states [batch, directions, hidden], lengths, W, R, B with directions in front.
void sequence(Layer &layer, const Gates &gates)
{
    const bool cell_state = gates.op == "LSTM";
    const size_t lengths = cell_state ? 3 : 2, count = gates.order.size();
    const bool split_last = gates.op == "GRU" && layer.flag("linear_before_reset", false);
    const ValueId w = reordered(layer, layer.input(lengths + 1), gates.order, count);
    const ValueId r = reordered(layer, layer.input(lengths + 2), gates.order, count);
    const ValueId b = both_biases(layer, layer.input(lengths + 3), gates, split_last);
    const ValueId times = cast_to(layer, layer.input(lengths), "s32");
    Value value;
    value.name = layer.name + "/time_first";
    const ValueId made = layer.graph.add_value(std::move(value));
    std::vector<ValueId> outputs = layer.outputs;
    outputs.resize(cell_state ? 3 : 2, no_value);
    const ValueId wanted = std::exchange(outputs[0], made);
    std::vector<ValueId> inputs{layer.input(0), w, r, b, times, layer.input(1)};
    if (cell_state)
        inputs.push_back(layer.input(2));
    layer.add(gates.op, std::move(inputs), std::move(outputs), recurrent_attributes(layer, gates));
    if (wanted != no_value) // the op has [batch, time, directions, hidden]
        layer.add("Transpose", {made}, {wanted},
                  with(std::pair<const char *, Attribute>("perm", std::vector<int64_t>{0, 2, 1, 3})));
}

/// One step: X [batch, size], states [batch, hidden], W, R, B without directions.
void cell(Layer &layer, const Gates &gates)
{
    const bool cell_state = gates.op == "LSTM";
    const size_t weights = cell_state ? 3 : 2, count = gates.order.size();
    const bool split_last = gates.op == "GRU" && layer.flag("linear_before_reset", false);
    auto in_front = [&](ValueId value, int64_t axis) {
        return layer.add("Unsqueeze", {value, layer.add_integers({axis})});
    };
    const ValueId w = reordered(layer, in_front(layer.input(weights), 0), gates.order, count);
    const ValueId r = reordered(layer, in_front(layer.input(weights + 1), 0), gates.order, count);
    const ValueId b = layer.has(weights + 2)
                          ? both_biases(layer, in_front(layer.input(weights + 2), 0), gates, split_last)
                          : no_value;
    std::vector<ValueId> inputs{in_front(layer.input(0), 1), w, r, b, no_value, in_front(layer.input(1), 1)};
    if (cell_state)
        inputs.push_back(in_front(layer.input(2), 1));
    std::vector<ValueId> outputs{no_value};
    for (size_t i = 0; i < (cell_state ? 2u : 1u); i++) {
        Value value;
        value.name = layer.name + "/state";
        outputs.push_back(layer.graph.add_value(std::move(value)));
    }
    layer.add(gates.op, std::move(inputs), outputs, recurrent_attributes(layer, gates));
    for (size_t i = 0; i < layer.outputs.size() && i + 1 < outputs.size(); i++)
        if (layer.wants(i))
            layer.add("Squeeze", {outputs[i + 1], layer.add_integers({1})}, {layer.outputs[i]});
}

void lstm_sequence(Layer &layer)
{
    sequence(layer, lstm_gates);
}
void gru_sequence(Layer &layer)
{
    sequence(layer, gru_gates);
}
void rnn_sequence(Layer &layer)
{
    sequence(layer, rnn_gates);
}
void lstm_cell(Layer &layer)
{
    cell(layer, lstm_gates);
}
void gru_cell(Layer &layer)
{
    cell(layer, gru_gates);
}
void rnn_cell(Layer &layer)
{
    cell(layer, rnn_gates);
}

/// To add one: a function above, a row here, a case in tests/openvino.
constexpr OpenvinoOperator operators[] = {
    {"Abs", 1, any, elementwise<"Abs">},
    {"Acos", 1, any, elementwise<"Acos">},
    {"Acosh", 4, any, elementwise<"Acosh">},
    {"AdaptiveAvgPool", 8, any, adaptive_average_pool},
    {"AdaptiveMaxPool", 8, any, adaptive_max_pool},
    {"Add", 1, any, elementwise<"Add">},
    {"Asin", 1, any, elementwise<"Asin">},
    {"Asinh", 4, any, elementwise<"Asinh">},
    {"Assign", 3, any, keeps_a_state},
    {"Atan", 1, any, elementwise<"Atan">},
    {"Atanh", 4, any, elementwise<"Atanh">},
    {"AvgPool", 1, any, average_pool},
    {"BatchNormInference", 1, any, batch_norm},
    {"BitwiseAnd", 13, any, bitwise<"BitwiseAnd", "And">},
    {"BitwiseLeftShift", 15, any, shift_left},
    {"BitwiseNot", 13, any, bitwise<"BitwiseNot", "Not">},
    {"BitwiseOr", 13, any, bitwise<"BitwiseOr", "Or">},
    {"BitwiseRightShift", 15, any, shift_right},
    {"BitwiseXor", 13, any, bitwise<"BitwiseXor", "Xor">},
    {"Broadcast", 1, any, broadcast_to},
    {"CTCLoss", 4, any, training_only},
    {"Ceiling", 1, any, elementwise<"Ceil">},
    {"Clamp", 1, any, clamp},
    {"Col2Im", 15, any, columns_to_picture},
    {"Concat", 1, any, concat},
    {"Convert", 1, any, convert},
    {"ConvertLike", 1, any, convert_like},
    {"Convolution", 1, any, convolution},
    {"ConvolutionBackpropData", 1, any, convolution_back},
    {"Cos", 1, any, elementwise<"Cos">},
    {"Cosh", 1, any, elementwise<"Cosh">},
    {"CumSum", 3, any, cum_sum},
    {"DFT", 7, any, fourier<false>},
    {"DeformableConvolution", 1, any, deformable_convolution},
    {"DepthToSpace", 1, any, depth_to_space},
    {"Divide", 1, any, elementwise<"Div">},
    {"Einsum", 7, any, einsum},
    {"Elu", 1, any, elu},
    {"Equal", 1, any, elementwise<"Equal">},
    {"Erf", 1, any, elementwise<"Erf">},
    {"Exp", 1, any, elementwise<"Exp">},
    {"Eye", 9, any, eye},
    {"FakeQuantize", 1, any, fake_quantize},
    {"Floor", 1, any, elementwise<"Floor">},
    {"FloorMod", 1, any, floor_mod},
    {"GRN", 1, any, global_response},
    {"GRUCell", 1, any, gru_cell},
    {"GRUSequence", 5, any, gru_sequence},
    {"Gather", 1, any, gather},
    {"GatherElements", 6, any, gather_elements},
    {"GatherND", 5, any, gather_nd},
    {"Gelu", 2, any, gelu},
    {"Greater", 1, any, elementwise<"Greater">},
    {"GreaterEqual", 1, any, elementwise<"GreaterOrEqual">},
    {"GridSample", 9, any, grid_sample},
    {"GroupConvolution", 1, any, group_convolution},
    {"GroupConvolutionBackpropData", 1, any, group_convolution_back},
    {"GroupNormalization", 12, any, group_normalization},
    {"HSigmoid", 5, any, hsigmoid},
    {"HSwish", 4, any, elementwise<"HardSwish">},
    {"HardSigmoid", 1, any, hard_sigmoid},
    {"IDFT", 7, any, fourier<true>},
    {"IRDFT", 9, any, real_fourier_back},
    {"Identity", 15, any, elementwise<"Identity">},
    {"Interpolate", 1, 3, interpolate_1},
    {"Interpolate", 4, any, interpolate},
    {"IsFinite", 10, any, is_finite},
    {"IsInf", 10, any, is_inf},
    {"IsNaN", 10, any, elementwise<"IsNaN">},
    {"LRN", 1, any, local_response},
    {"LSTMCell", 1, any, lstm_cell},
    {"LSTMSequence", 1, any, lstm_sequence},
    {"Less", 1, any, elementwise<"Less">},
    {"LessEqual", 1, any, elementwise<"LessOrEqual">},
    {"Log", 1, any, elementwise<"Log">},
    {"LogSoftmax", 5, any, log_softmax},
    {"LogicalAnd", 1, any, elementwise<"And">},
    {"LogicalNot", 1, any, elementwise<"Not">},
    {"LogicalOr", 1, any, elementwise<"Or">},
    {"LogicalXor", 1, any, elementwise<"Xor">},
    {"MVN", 1, 5, mean_variance_2},
    {"MVN", 6, any, mean_variance_6},
    {"MatMul", 1, any, mat_mul},
    {"MaxPool", 1, any, max_pool},
    {"Maximum", 1, any, elementwise<"Max">},
    {"Minimum", 1, any, elementwise<"Min">},
    {"Mish", 4, any, elementwise<"Mish">},
    {"Mod", 1, any, truncated_mod},
    {"Multiply", 1, any, elementwise<"Mul">},
    {"Negative", 1, any, elementwise<"Neg">},
    {"Multinomial", 13, any, random_numbers},
    {"NonZero", 3, any, non_zero},
    {"NormalizeL2", 1, any, normalize_l2},
    {"NotEqual", 1, any, not_equal},
    {"OneHot", 1, any, one_hot},
    {"PRelu", 1, any, prelu},
    {"Pad", 1, any, pad},
    {"Power", 1, any, elementwise<"Pow">},
    {"RDFT", 9, any, real_fourier},
    {"RNNCell", 1, any, rnn_cell},
    {"RNNSequence", 5, any, rnn_sequence},
    {"RandomUniform", 8, any, random_numbers},
    {"Range", 1, any, range},
    {"ReadValue", 3, any, keeps_a_state},
    {"ReLU", 1, any, elementwise<"Relu">},
    {"ReduceL1", 4, any, reduce<"ReduceL1">},
    {"ReduceL2", 4, any, reduce<"ReduceL2">},
    {"ReduceLogicalAnd", 1, any, reduce_logical<"ReduceMin">},
    {"ReduceLogicalOr", 1, any, reduce_logical<"ReduceMax">},
    {"ReduceMax", 1, any, reduce<"ReduceMax">},
    {"ReduceMean", 1, any, reduce<"ReduceMean">},
    {"ReduceMin", 1, any, reduce<"ReduceMin">},
    {"ReduceProd", 1, any, reduce<"ReduceProd">},
    {"ReduceSum", 1, any, reduce<"ReduceSum">},
    {"Reshape", 1, any, reshape},
    {"Reverse", 1, any, reverse},
    {"ReverseSequence", 1, any, reverse_sequence},
    {"Round", 5, any, round},
    {"ScaledDotProductAttention", 13, any, attention},
    {"ScatterElementsUpdate", 3, any, scatter_elements},
    {"ScatterNDUpdate", 3, any, scatter_nd},
    {"ScatterUpdate", 3, any, scatter_update},
    {"Select", 1, any, elementwise<"Where">},
    {"Selu", 1, any, selu},
    {"ShapeOf", 1, any, shape_of},
    {"ShuffleChannels", 1, any, shuffle_channels},
    {"Sigmoid", 1, any, elementwise<"Sigmoid">},
    {"Sign", 1, any, elementwise<"Sign">},
    {"Sin", 1, any, elementwise<"Sin">},
    {"Sinh", 1, any, elementwise<"Sinh">},
    {"Slice", 8, any, slice},
    {"SliceScatter", 15, any, slice_scatter},
    {"SoftMax", 1, any, softmax},
    {"SoftPlus", 4, any, elementwise<"Softplus">},
    {"SoftSign", 9, any, elementwise<"Softsign">},
    {"SpaceToDepth", 1, any, space_to_depth},
    {"Split", 1, any, split},
    {"Sqrt", 1, any, elementwise<"Sqrt">},
    {"SquaredDifference", 1, any, squared_difference},
    {"Squeeze", 1, any, squeeze},
    {"StridedSlice", 1, any, strided_slice},
    {"Subtract", 1, any, elementwise<"Sub">},
    {"Swish", 4, any, swish},
    {"Tan", 1, any, elementwise<"Tan">},
    {"Tanh", 1, any, elementwise<"Tanh">},
    {"Tile", 1, any, tile},
    {"TopK", 1, any, top_k},
    {"Transpose", 1, any, transpose},
    {"Unsqueeze", 1, any, unsqueeze},
    {"VariadicSplit", 1, any, variadic_split},
};

/// The attributes that the row names, each as the kind that it says.
Attributes typed_attributes(const Layer &layer, std::string_view kinds)
{
    Attributes attributes;
    while (!kinds.empty()) {
        const std::string_view entry = kinds.substr(0, kinds.find(' '));
        kinds.remove_prefix(std::min(entry.size() + 1, kinds.size()));
        const std::string name(entry.substr(0, entry.find(':')));
        if (!layer.data.count(name))
            continue;
        switch (entry.back()) {
        case 'i': attributes.set(name, layer.integer(name, 0)); break;
        case 'f': attributes.set(name, static_cast<float>(layer.number(name, 0))); break;
        case 'I': attributes.set(name, layer.integers(name)); break;
        case 'F': attributes.set(name, layer.numbers(name)); break;
        case 'T': attributes.set(name, layer.element_type(name, "")); break;
        default: attributes.set(name, layer.text(name, "")); break;
        }
    }
    return attributes;
}

} // namespace

int64_t OpenvinoLayer::integer(const std::string &attribute, int64_t otherwise) const
{
    const auto found = data.find(attribute);
    if (found == data.end())
        return otherwise;
    const auto value = integer_in(trimmed(found->second));
    if (!value)
        refuse(attribute, found->second, "an integer");
    return *value;
}

double OpenvinoLayer::number(const std::string &attribute, double otherwise) const
{
    const auto found = data.find(attribute);
    if (found == data.end())
        return otherwise;
    const auto value = parsed<double>(trimmed(found->second));
    if (!value)
        refuse(attribute, found->second, "a number");
    return *value;
}

std::string OpenvinoLayer::text(const std::string &attribute, const std::string &otherwise) const
{
    const auto found = data.find(attribute);
    return found == data.end() ? otherwise : found->second;
}

std::vector<int64_t> OpenvinoLayer::integers(const std::string &attribute, std::vector<int64_t> otherwise) const
{
    const auto found = data.find(attribute);
    if (found == data.end())
        return otherwise;
    std::vector<int64_t> values;
    for (const std::string &piece : pieces_of(found->second)) {
        const auto value = integer_in(piece);
        if (!value)
            refuse(attribute, found->second, "integers");
        values.push_back(*value);
    }
    return values;
}

std::vector<float> OpenvinoLayer::numbers(const std::string &attribute) const
{
    const auto found = data.find(attribute);
    std::vector<float> values;
    if (found == data.end())
        return values;
    for (const std::string &piece : pieces_of(found->second)) {
        const auto value = parsed<double>(piece);
        if (!value)
            refuse(attribute, found->second, "numbers");
        values.push_back(static_cast<float>(*value));
    }
    return values;
}

std::string OpenvinoLayer::element_type(const std::string &attribute, const std::string &otherwise) const
{
    const auto found = data.find(attribute);
    return found == data.end() ? otherwise : std::string(to_string(type_from_openvino(found->second)));
}

Shape OpenvinoLayer::declared_shape(size_t index) const
{
    const auto &known = graph.values[input(index)].shape;
    const auto found = declared_.find(input(index));
    const Shape shape = known && is_static(*known) ? *known
                        : found == declared_.end() ? Shape{-1}
                                                   : found->second.shape;
    if (!is_static(shape))
        throw Error("its input " + std::to_string(index) + " has sizes that the file leaves open");
    return shape;
}

size_t OpenvinoLayer::list_length(size_t index) const
{
    constexpr int64_t most = 64;
    const Shape shape = constant(index) ? constant(index)->shape() : declared_shape(index);
    if (shape.size() != 1 || shape[0] > most)
        throw Error("its input " + std::to_string(index) + " has the shape " + to_string(shape) +
                    ", want a list of at most " + std::to_string(most) + " entries");
    return static_cast<size_t>(shape[0]);
}

Type OpenvinoLayer::declared_type(size_t index) const
{
    const auto found = declared_.find(input(index));
    return found == declared_.end() ? Type::undefined : found->second.type;
}

ValueId OpenvinoLayer::add_number_like(size_t index, double value)
{
    const Type declared = declared_type(index);
    return add_constant(Tensor::of<double>({}, {value}).converted(declared == Type::undefined ? Type::f32 : declared));
}

std::vector<int64_t> OpenvinoLayer::constant_integers(size_t index) const
{
    const Tensor *tensor = constant(index);
    if (!tensor)
        throw Error("its input " + std::to_string(index) + " is not constant, which it must be here");
    return tensor->to_int64();
}

Type type_from_openvino(const std::string &name)
{
    constexpr std::pair<std::string_view, Type> names[] = {
        {"f32", Type::f32},         {"f16", Type::f16},      {"bf16", Type::bf16}, {"f64", Type::f64},
        {"i8", Type::s8},           {"u8", Type::u8},        {"i16", Type::s16},   {"u16", Type::u16},
        {"i32", Type::s32},         {"u32", Type::u32},      {"i64", Type::s64},   {"u64", Type::u64},
        {"boolean", Type::boolean}, {"bool", Type::boolean}, {"fp32", Type::f32},  {"fp16", Type::f16},
        {"fp64", Type::f64},
    };
    const std::string wanted = lower(trimmed(name));
    for (const auto &[known, type] : names)
        if (wanted == known)
            return type;
    throw Error("the element type \"" + name.substr(0, 50) + "\" is not supported");
}

void translate(OpenvinoLayer &layer)
{
    const std::string wanted = lower(layer.type);
    bool known = false;
    for (const auto rows : {std::span<const OpenvinoOperator>(operators), openvino_detection_operators()})
        for (const OpenvinoOperator &row : rows) {
            if (lower(std::string(row.type)) != wanted)
                continue;
            known = true;
            if (layer.opset < row.first || layer.opset > row.last)
                continue;
            if (row.translate)
                return row.translate(layer);
            return layer.add(row.type, layer.inputs, layer.outputs, typed_attributes(layer, row.attributes));
        }
    const std::string what = "the type " + layer.type.substr(0, 100) + " (opset" + std::to_string(layer.opset) + ")";
    throw Error(what + " is not supported; " +
                (known ? "convert the model again with a newer version of OpenVINO"
                       : "convert the model again without it, as standard operations of opset1 to opset15, or export "
                         "it to ONNX"));
}

} // namespace leat
