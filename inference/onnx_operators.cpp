#include "onnx_operators.h"
#include "ops.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace leat {

namespace {

constexpr int64_t any = INT64_MAX;
constexpr std::string_view standard = "", microsoft = "com.microsoft";

void same(ImportedNode &node)
{
    node.add_as(node.type);
}

void random_numbers(ImportedNode &node)
{
    throw Error("operator " + node.type +
                " makes random numbers, which inference does not want; export the model for " + "inference");
}

void training_only(ImportedNode &node)
{
    throw Error("operator " + node.type + " belongs to training; export the model for inference");
}

/// Before opset 7 a second operand of lower rank was lined up with `axis` of the first one instead of with its end.
void legacy_broadcast(ImportedNode &node)
{
    if (node.attributes.integer("broadcast", 0) != 0 && node.attributes.has("axis")) {
        const ValueId a = node.input(0), b = node.input(1);
        const ValueId rank_a = node.add("Shape", {node.add("Shape", {a})});
        const ValueId shape_b = node.add("Shape", {b});
        const ValueId axis = node.add_integers({node.attributes.integer("axis", 0)});
        const ValueId trailing = node.add("Sub", {node.add("Sub", {rank_a, axis}), node.add("Shape", {shape_b})});
        const ValueId ones = node.add("Expand", {node.add_integers({1}), trailing});
        const ValueId wanted = node.add("Concat", {shape_b, ones}, with(integer("axis", 0)));
        node.set_input(1, node.add("Reshape", {b, wanted}));
    }
    node.attributes.erase("broadcast");
    node.attributes.erase("axis");
    node.add_as(node.type);
}

/// Before opset 7 a slope for each channel had one dimension, whatever the rank of the first input.
void legacy_prelu(ImportedNode &node)
{
    const Tensor *slope = node.constant(1);
    if (slope && slope->rank() == 1 && slope->count() > 1) {
        const auto rank = node.rank(0);
        if (!rank || *rank < 2)
            throw Error("the slope cannot be lined up with the channels of an input of unknown rank; convert the model "
                        "to opset 7 or above with onnx.version_converter");
        Shape shape(*rank - 1, 1);
        shape[0] = static_cast<int64_t>(slope->count());
        node.set_input(1, node.add_constant(slope->reshaped(shape)));
    }
    node.add_as("PRelu");
}

/// The mean and variance of training are outputs 1 and up.
void batch_normalization_for_inference(ImportedNode &node)
{
    if (node.attributes.integer("spatial", 1) == 0)
        throw Error(
            "operator BatchNormalization with spatial=0 is not supported; export the model with opset 9 or above");
    node.add("BatchNormalization", node.inputs, {node.outputs[0]},
             with(std::pair<const char *, Attribute>{"epsilon", node.attributes.number("epsilon", 1e-5f)}));
}

void clip_by_attributes(ImportedNode &node)
{
    const ValueId like = node.input(0);
    const char *bounds[] = {"min", "max"};
    for (size_t i = 0; i < 2; i++)
        if (node.attributes.has(bounds[i])) {
            const ValueId bound = node.add_number(node.attributes.number(bounds[i], 0));
            node.set_input(1 + i, node.add("CastLike", {bound, like}));
            node.attributes.erase(bounds[i]);
        }
    node.add_as("Clip");
}

template <class T> Tensor list(const std::vector<T> &values)
{
    return Tensor::of<T>({static_cast<int64_t>(values.size())}, values);
}

void constant(ImportedNode &node)
{
    if (node.attributes.all().size() != 1)
        throw Error("operator Constant has " + std::to_string(node.attributes.all().size()) + " attributes, want 1");
    const auto &[name, value] = *node.attributes.all().begin();
    if (const auto *tensor = std::get_if<Tensor>(&value); tensor && name == "value")
        node.set_constant_output(*tensor);
    else if (name == "value_float")
        node.set_constant_output(Tensor::of<float>({}, {node.attributes.number(name, 0)}));
    else if (name == "value_int")
        node.set_constant_output(Tensor::of<int64_t>({}, {node.attributes.integer(name, 0)}));
    else if (name == "value_floats")
        node.set_constant_output(list(node.attributes.numbers(name)));
    else if (name == "value_ints")
        node.set_constant_output(list(node.attributes.integers(name)));
    else
        throw Error("operator Constant with " + name + " is not supported; only tensors of numbers are");
}

/// In inference the data passes, and the mask keeps everything. Whether it is inference, only the run may know.
void dropout(ImportedNode &node)
{
    const Tensor *training = node.constant(2), *ratio = node.constant(1);
    const bool keeps_all = ratio && ratio->count() == 1 && ratio->converted(Type::f64).data<double>()[0] == 0;
    const bool in_training = training && training->count() == 1 && training->to_int64()[0] != 0;
    if (node.has(2) && !keeps_all && (!training || (in_training && node.has(1) && !ratio))) {
        node.attributes = {};
        return node.add_as("Dropout");
    }
    if (in_training && !keeps_all)
        throw Error("operator Dropout in training mode makes random numbers; export the model for inference");
    const ValueId data = node.input(0);
    if (node.wants(0))
        node.add("Identity", {data}, {node.outputs[0]});
    if (node.wants(1)) {
        const ValueId shape = node.add("Shape", {data});
        node.add("ConstantOfShape", {shape}, {node.outputs[1]},
                 with(std::pair<const char *, Attribute>{"value", Tensor::of<bool>({1}, {true})}));
    }
}

void gemm_with_broadcast(ImportedNode &node)
{
    node.attributes.erase("broadcast");
    node.add_as("Gemm");
}

/// Opset 20 renamed the modes.
void grid_sample_with_old_names(ImportedNode &node)
{
    const std::string mode = node.attributes.text("mode", "bilinear");
    if (mode == "bilinear")
        node.attributes.set("mode", std::string("linear"));
    else if (mode == "bicubic")
        node.attributes.set("mode", std::string("cubic"));
    node.add_as("GridSample");
}

/// Before opset 21 scale and bias had one element a group; now they have one a channel.
void group_normalization_by_group(ImportedNode &node)
{
    const int64_t groups = node.attributes.integer("num_groups", 0);
    if (groups < 1)
        throw Error("operator GroupNormalization has num_groups " + std::to_string(groups) + ", want 1 or more");
    const ValueId channels = node.add("Shape", {node.input(0)}, with(integer("start", 1), integer("end", 2)));
    const ValueId repeats = node.add("Div", {channels, node.add_integers({groups})});
    const ValueId wanted = node.add("Concat", {node.add_integers({groups}), repeats}, with(integer("axis", 0)));
    for (size_t i = 1; i <= 2; i++) {
        const ValueId column = node.add("Reshape", {node.input(i), node.add_integers({groups, 1})});
        const ValueId expanded = node.add("Expand", {column, wanted});
        node.set_input(i, node.add("Reshape", {expanded, node.add_integers({-1})}));
    }
    node.add_as("GroupNormalization");
}

/// Before opset 13 the tensor was seen as a matrix, rows before `axis`, columns from it on.
void softmax_of_matrix(ImportedNode &node)
{
    const ValueId x = node.input(0);
    const int64_t axis = node.attributes.integer("axis", 1);
    const auto rank = node.rank(0);
    if (axis == -1 || (rank && axis == static_cast<int64_t>(*rank) - 1)) {
        node.add(node.type, {x}, node.outputs, with(integer("axis", -1)));
        return;
    }
    const ValueId matrix = node.add("Flatten", {x}, with(integer("axis", axis)));
    const ValueId result = node.add(node.type, {matrix}, with(integer("axis", 1)));
    node.add("Reshape", {result, node.add("Shape", {x})}, node.outputs);
}

/// Of the inputs, iteration count and condition come first.
void loop(ImportedNode &node)
{
    const size_t own = node.inputs.size() - node.captured;
    if (own < 2)
        throw Error("operator Loop has a body with " + std::to_string(own) + " inputs, want 2 or more");
    node.attributes.set("carried", static_cast<int64_t>(own - 2));
    node.add_as("Loop");
}

/// The i-th number of a list that an operator may leave out.
int64_t listed(const ImportedNode &node, const char *name, size_t i)
{
    const auto numbers = node.attributes.integers(name);
    return i < numbers.size() ? numbers[i] : 0;
}

/// The body of a Scan, which reads elements of its inputs after the `carried` ones, as that of a Loop, which captures
/// the whole ones.
std::shared_ptr<const Graph> loop_body_of(const ImportedNode &scan, const Graph &stored, size_t carried, size_t own)
{
    auto body = std::make_shared<Graph>(stored);
    const std::unordered_map<ValueId, size_t> no_ranks;
    ImportedNode inside(*body, no_ranks);
    inside.name = scan.name;
    const auto add_input = [&](const char *name, Type type, std::optional<Shape> shape) {
        Value value;
        value.name = scan.name + "/" + name;
        value.type = type;
        value.shape = std::move(shape);
        return body->add_value(std::move(value));
    };
    std::vector<ValueId> inputs{add_input("iteration", Type::s64, Shape()),
                                add_input("condition", Type::boolean, Shape())};
    inputs.insert(inputs.end(), stored.inputs.begin(), stored.inputs.begin() + static_cast<ptrdiff_t>(carried));
    for (size_t i = 0; i < own - carried; i++) {
        const ValueId whole = add_input("whole", Type::undefined, std::nullopt);
        const ValueId index = listed(scan, "scan_input_directions", i) == 0
                                  ? inputs[0]
                                  : inside.add("Sub", {inside.add_integer(-1), inputs[0]}); // counts from the end
        inside.add("Gather", {whole, index}, {stored.inputs[carried + i]},
                   with(integer("axis", listed(scan, "scan_input_axes", i))));
        inputs.push_back(whole);
    }
    inputs.insert(inputs.end(), stored.inputs.begin() + static_cast<ptrdiff_t>(own), stored.inputs.end());
    body->outputs.insert(body->outputs.begin(), inputs[1]);
    body->inputs = std::move(inputs);
    body->tidy();
    body->verify();
    return body;
}

/// A Loop over the elements of the first scanned input, whose length is that of all of them.
void scan(ImportedNode &node)
{
    const auto found = node.attributes.all().find("body");
    const auto *body =
        found == node.attributes.all().end() ? nullptr : std::get_if<std::shared_ptr<const Graph>>(&found->second);
    const size_t own = node.inputs.size() - node.captured;
    const int64_t scanned = node.attributes.integer("num_scan_inputs", 0);
    if (!body || scanned < 1 || scanned > static_cast<int64_t>(own))
        throw Error("operator Scan has " + std::to_string(own) + " inputs, of which it scans " +
                    std::to_string(scanned) + (body ? "; want one or more" : ", and no body"));
    if ((*body)->inputs.size() != node.inputs.size())
        throw Error("operator Scan has graphs of different inputs");
    const size_t carried = own - static_cast<size_t>(scanned);
    const std::vector<ValueId> made = (*body)->outputs;
    if (made.size() < std::max(carried, node.outputs.size()))
        throw Error("operator Scan has " + std::to_string(node.outputs.size()) + " outputs and carries " +
                    std::to_string(carried) + " values, but its body makes " + std::to_string(made.size()));

    std::vector<ValueId> outputs = node.outputs;
    outputs.resize(made.size(), no_value);
    std::vector<std::pair<ValueId, ValueId>> backwards; // as collected, as wanted
    for (size_t i = carried; i < outputs.size(); i++) {
        if (listed(node, "scan_output_axes", i - carried) != 0)
            throw Error("operator Scan with scan_output_axes other than 0 is not supported; export the model with "
                        "Loop, or transpose after it");
        if (listed(node, "scan_output_directions", i - carried) == 0 || outputs[i] == no_value)
            continue;
        Value collected;
        collected.name = node.name + "/collected_" + std::to_string(i);
        backwards.emplace_back(node.graph.add_value(std::move(collected)), outputs[i]);
        outputs[i] = backwards.back().first;
    }
    const ValueId sizes = node.add("Shape", {node.input(carried)});
    std::vector<ValueId> inputs{
        node.add("Gather", {sizes, node.add_integer(listed(node, "scan_input_axes", 0))}, with(integer("axis", 0))),
        no_value};
    inputs.insert(inputs.end(), node.inputs.begin(), node.inputs.end());
    Attributes attributes = with(integer("carried", static_cast<int64_t>(carried)));
    attributes.set("body", loop_body_of(node, **body, carried, own));
    node.add("Loop", std::move(inputs), std::move(outputs), std::move(attributes));
    for (const auto &[collected, wanted] : backwards)
        node.add("Slice",
                 {collected, node.add_integers({-1}), node.add_integers({-INT64_MAX}), node.add_integers({0}),
                  node.add_integers({-1})},
                 {wanted});
}

void pad_by_attributes(ImportedNode &node)
{
    const ValueId data = node.input(0);
    if (const float value = node.attributes.number("value", 0); value != 0)
        node.set_input(2, node.add("CastLike", {node.add_number(value), data}));
    node.attributes.erase("value");
    if (!node.attributes.has("pads"))
        throw Error("operator Pad lacks the attribute pads");
    node.make_input(1, "pads");
    node.add_as("Pad");
}

void dft_by_axis(ImportedNode &node)
{
    node.set_input(2, node.add_integer(node.attributes.integer("axis", 1)));
    node.attributes.erase("axis");
    node.add_as("DFT");
}

/// x · sigmoid(alpha · x)
void sigmoid_gate(ImportedNode &node, float usual_alpha)
{
    const ValueId x = node.input(0);
    const ValueId alpha = node.add("CastLike", {node.add_number(node.attributes.number("alpha", usual_alpha)), x});
    node.add("Mul", {x, node.add("Sigmoid", {node.add("Mul", {x, alpha})})}, node.outputs);
}

void swish(ImportedNode &node)
{
    sigmoid_gate(node, 1);
}

/// Whether the value is of bools, as far as the nodes before it tell: nothing infers types while a file is read.
bool is_boolean(const Graph &graph, ValueId id)
{
    constexpr std::string_view makers[] = {"And",   "Equal", "Greater", "GreaterOrEqual",
                                           "IsInf", "IsNaN", "Less",    "LessOrEqual",
                                           "Not",   "Or",    "Xor"},
                               movers[] = {"Concat", "Expand",  "Gather", "Identity",  "Pad",   "Reshape",
                                           "Slice",  "Squeeze", "Tile",   "Transpose", "Trilu", "Unsqueeze"};
    constexpr int farthest = 10000; // nodes back
    auto node = graph.nodes.rbegin();
    for (int i = 0; i < farthest && graph.values[id].type == Type::undefined && node != graph.nodes.rend();
         i++, node++) {
        if (std::find(node->outputs.begin(), node->outputs.end(), id) == node->outputs.end())
            continue;
        const std::string_view name = node->op->name;
        if (std::find(std::begin(makers), std::end(makers), name) != std::end(makers))
            return true;
        if (name == "Cast")
            return node->attributes.text("to", "") == to_string(Type::boolean);
        if (name != "Where" && std::find(std::begin(movers), std::end(movers), name) == std::end(movers))
            return false;
        const size_t moved = name == "Where" ? 1 : 0;
        if (moved >= node->inputs.size() || node->inputs[moved] == no_value)
            return false;
        id = node->inputs[moved];
    }
    return graph.values[id].type == Type::boolean;
}

Attributes permutation(std::vector<int64_t> order)
{
    return with(std::pair<const char *, Attribute>("perm", std::move(order)));
}

/// The heads of query, key and value: attributes where these have rank 3, else their axis 1; 0 where that is not known.
struct Heads {
    bool joined; ///< in the last axis of rank 3
    int64_t query, key;
};

Heads heads_of(const ImportedNode &node)
{
    Heads heads{node.rank(0) == 3u || (!node.rank(0) && node.attributes.has("q_num_heads")),
                node.attributes.integer("q_num_heads", 0), node.attributes.integer("kv_num_heads", 0)};
    if (!heads.joined) {
        const auto counted = [&](size_t input) {
            const auto &shape = node.graph.values[node.input(input)].shape;
            return shape && shape->size() == 4 ? std::max<int64_t>((*shape)[1], 0) : 0;
        };
        heads.query = counted(0);
        heads.key = counted(1);
    }
    constexpr int64_t most = 65536;
    if ((heads.joined && (heads.query < 1 || heads.key < 1)) || heads.query > most || heads.key > most ||
        (heads.query > 0 && heads.key > 0 && heads.query % heads.key != 0))
        throw Error("operator Attention has " + std::to_string(heads.query) + " heads of queries and " +
                    std::to_string(heads.key) + " of keys; want a multiple of the keys'");
    return heads;
}

/// [batch, length, heads · size] as [batch, heads, length, size].
ValueId apart(ImportedNode &node, ValueId value, int64_t heads)
{
    return node.add("Transpose", {node.add("Reshape", {value, node.add_integers({0, 0, heads, -1})})},
                    permutation({0, 2, 1, 3}));
}

/// Each head of keys or values as often as there are heads of queries for it.
ValueId repeated(ImportedNode &node, ValueId value, const Heads &heads)
{
    if (heads.query == heads.key || heads.query == 0 || heads.key == 0)
        return value;
    std::vector<int64_t> chosen;
    for (int64_t i = 0; i < heads.query; i++)
        chosen.push_back(i / (heads.query / heads.key));
    return node.add("Gather", {value, node.add_integers(chosen)}, with(integer("axis", 1)));
}

/// Numbers from 0 on, as many as the last axis but one of the value has, along that axis or the last one.
ValueId places(ImportedNode &node, ValueId value, bool last)
{
    const ValueId size = node.add("Shape", {value}, with(integer("start", -2), integer("end", -1)));
    const ValueId count = node.add("Reshape", {size, node.add_integers({})});
    const ValueId numbers = node.add("Range", {node.add_integer(0), count, node.add_integer(1)});
    return node.add("Unsqueeze", {numbers, node.add_integers({last ? 0 : 1})});
}

/// Y, present key, present value, scores = Attention(Q, K, V, mask, past key, past value): softmax(softcap(scale · Q ·
/// Kᵀ
/// + mask)) · V.
void attention(ImportedNode &node)
{
    const Heads heads = heads_of(node);
    const bool causal = node.attributes.integer("is_causal", 0) != 0;
    if (node.has(6) || (causal && node.has(4)))
        throw Error(node.has(6)
                        ? "operator Attention with padded keys is not supported; export the model without a cache"
                        : "operator Attention that is causal with past keys is not supported; export the model "
                          "without a cache");
    const auto joint = [&](size_t input, int64_t count) {
        return heads.joined ? apart(node, node.input(input), count) : node.input(input);
    };
    const ValueId q = joint(0, heads.query);
    ValueId k = joint(1, heads.key), v = joint(2, heads.key);
    if (node.has(4)) {
        k = node.add("Concat", {node.input(4), k}, with(integer("axis", 2)));
        v = node.add("Concat", {node.input(5), v}, with(integer("axis", 2)));
    }
    const auto give = [&](size_t output, ValueId value) {
        if (node.wants(output))
            node.add("Identity", {value}, {node.outputs[output]});
    };
    give(1, k);
    give(2, v);
    k = repeated(node, k, heads);
    v = repeated(node, v, heads);

    const auto like_query = [&](ValueId value) { return node.add("CastLike", {value, q}); };
    const ValueId scale =
        node.attributes.has("scale")
            ? like_query(node.add_number(node.attributes.number("scale", 1)))
            : node.add("Reciprocal",
                       {node.add("Sqrt", {like_query(node.add("Shape", {q}, with(integer("start", -1))))})});
    const int64_t stage = node.attributes.integer("qk_matmul_output_mode", 0);
    const ValueId products = node.add("MatMul", {q, node.add("Transpose", {k}, permutation({0, 1, 3, 2}))});
    ValueId scores = node.add("Mul", {products, scale});
    if (stage == 0)
        give(3, scores);
    const ValueId never = like_query(node.add_number(-INFINITY));
    if (causal)
        scores = node.add("Where",
                          {node.add("GreaterOrEqual", {places(node, q, false), places(node, k, true)}), scores, never});
    if (node.has(3))
        scores = is_boolean(node.graph, node.input(3)) ? node.add("Where", {node.input(3), scores, never})
                                                       : node.add("Add", {scores, node.input(3)});
    if (stage == 1)
        give(3, scores);
    if (const float cap = node.attributes.number("softcap", 0); cap != 0) {
        const ValueId most = like_query(node.add_number(cap));
        scores = node.add("Mul", {node.add("Tanh", {node.add("Div", {scores, most})}), most});
    }
    if (stage == 2)
        give(3, scores);
    const ValueId weights = node.add("Softmax", {scores}, with(integer("axis", -1)));
    if (stage == 3)
        give(3, weights);
    if (!node.wants(0))
        return;
    if (!heads.joined)
        return node.add("MatMul", {weights, v}, {node.outputs[0]});
    const ValueId result = node.add("Transpose", {node.add("MatMul", {weights, v})}, permutation({0, 2, 1, 3}));
    node.add("Reshape", {result, node.add_integers({0, 0, -1})}, {node.outputs[0]});
}

/// Older versions have the axes as an attribute, newer ones as an input; exporters mix them up.
void with_axes(ImportedNode &node)
{
    if (node.attributes.has("axes") && node.has(1))
        throw Error("it has axes as an attribute and as an input; remove one of them");
    node.make_input(1, "axes");
    node.add_as(node.type);
}

/// True when a known scale makes an axis smaller.
bool shrinks(const Tensor *scales)
{
    if (!scales)
        return false;
    const Tensor numbers = scales->converted(Type::f32);
    const auto values = numbers.values<float>();
    return std::any_of(values.begin(), values.end(), [](float scale) { return scale < 1; });
}

void add_asymmetric_resize(ImportedNode &node, ValueId scales, bool shrinking)
{
    std::string mode = node.attributes.text("mode", "nearest");
    if (mode == "bilinear")
        mode = "linear";
    node.add("Resize", {node.input(0), no_value, scales}, node.outputs,
             with(std::pair<const char *, Attribute>{"mode", mode},
                  text("coordinate_transformation_mode", "asymmetric"),
                  text("nearest_mode", shrinking ? "ceil" : "floor")));
}

void upsample_by_attribute(ImportedNode &node)
{
    if (!node.attributes.has("scales"))
        throw Error("operator Upsample lacks the attribute scales");
    const ValueId scales = node.add_constant(list(node.attributes.numbers("scales")));
    add_asymmetric_resize(node, scales, false);
}

/// Resize 10 took the source pixel below when growing, the one above when shrinking.
void resize_by_scales(ImportedNode &node)
{
    add_asymmetric_resize(node, node.input(1), shrinks(node.constant(1)));
}

void reshape_by_attribute(ImportedNode &node)
{
    node.make_input(1, "shape");
    node.add_as("Reshape");
}

void max_roi_pool(ImportedNode &node)
{
    const auto sizes = node.attributes.integers("pooled_shape");
    if (sizes.size() != 2)
        throw Error("operator MaxRoiPool has a pooled_shape of " + std::to_string(sizes.size()) + " numbers, want 2");
    node.attributes.erase("pooled_shape");
    node.attributes.set("pooled_h", sizes[0]);
    node.attributes.set("pooled_w", sizes[1]);
    node.add_as("ROIPooling");
}

void roi_align_with_whole_pixels(ImportedNode &node)
{
    node.attributes.set("coordinate_transformation_mode", std::string("output_half_pixel"));
    node.add_as("RoiAlign");
}

void scatter(ImportedNode &node)
{
    node.add_as("ScatterElements");
}

void slice_by_attributes(ImportedNode &node)
{
    if (!node.attributes.has("starts") || !node.attributes.has("ends"))
        throw Error("operator Slice lacks the attributes starts and ends");
    node.make_input(1, "starts");
    node.make_input(2, "ends");
    node.make_input(3, "axes");
    node.add_as("Slice");
}

/// Without sizes the parts are equal.
void split_evenly(ImportedNode &node)
{
    if (!node.has(1) && !node.attributes.has("num_outputs"))
        node.attributes.set("num_outputs", static_cast<int64_t>(node.outputs.size()));
    node.add_as("Split");
}

void split_by_attribute(ImportedNode &node)
{
    node.make_input(1, "split");
    split_evenly(node);
}

void top_k_by_attribute(ImportedNode &node)
{
    node.set_input(1, node.add_integers({node.attributes.integer("k", 1)}));
    node.attributes.erase("k");
    node.add_as("TopK");
}

void image_scaler(ImportedNode &node)
{
    const std::vector<float> bias = node.attributes.numbers("bias");
    const ValueId scaled = node.add("Mul", {node.input(0), node.add_number(node.attributes.number("scale", 1))});
    Tensor offsets = list(bias).reshaped({static_cast<int64_t>(bias.size()), 1, 1});
    node.add("Add", {scaled, node.add_constant(std::move(offsets))}, node.outputs);
}

ValueId dequantized(ImportedNode &node, size_t first)
{
    return node.add("DequantizeLinear", {node.input(first), node.input(first + 1), node.optional_input(first + 2)});
}

void quantize(ImportedNode &node, ValueId number, size_t first)
{
    node.add("QuantizeLinear", {number, node.input(first), node.optional_input(first + 1)}, node.outputs);
}

/// QLinearAdd, QLinearMul: of two quantised inputs (a, scale, zero point; b …), then scale and zero point of the
/// result.
template <const char *name> void quantized_binary(ImportedNode &node)
{
    quantize(node, node.add(name, {dequantized(node, 0), dequantized(node, 3)}), 6);
}

/// Of one quantised input, then scale and zero point of the result.
template <const char *name> void quantized_unary(ImportedNode &node)
{
    quantize(node, node.add(name, {dequantized(node, 0)}, node.attributes), 3);
}

template <const char *name> void quantized_pooling(ImportedNode &node)
{
    if (node.attributes.integer("channels_last", 0) != 0)
        throw Error("operator " + node.type +
                    " with channels_last=1 is not supported; export the model with channels first");
    node.attributes.erase("channels_last");
    quantized_unary<name>(node);
}

void quantized_concat(ImportedNode &node)
{
    std::vector<ValueId> parts;
    for (size_t first = 2; first < node.inputs.size(); first += 3)
        parts.push_back(dequantized(node, first));
    quantize(node, node.add("Concat", std::move(parts), node.attributes), 0);
}

/// The activation that a fused operator names, with its parameters in the order of ONNX's attributes.
void add_activation(ImportedNode &node, ValueId x, const std::string &parameters_name)
{
    static constexpr struct {
        std::string_view name;
        const char *parameters[2];
    } activations[] = {{"Relu", {}},
                       {"Sigmoid", {}},
                       {"Tanh", {}},
                       {"LeakyRelu", {"alpha", nullptr}},
                       {"HardSigmoid", {"alpha", "beta"}},
                       {"Clip", {}}};
    const std::string name = node.attributes.text("activation", "");
    const std::vector<float> numbers = node.attributes.numbers(parameters_name);
    const auto *row = std::find_if(std::begin(activations), std::end(activations),
                                   [&](const auto &candidate) { return candidate.name == name; });
    if (row == std::end(activations))
        throw Error("the activation \"" + name + "\" is not supported; export the model without fused operators");
    std::vector<ValueId> inputs{x};
    Attributes attributes;
    if (name == "Clip")
        for (float bound : numbers)
            inputs.push_back(node.add("CastLike", {node.add_number(bound), x}));
    for (size_t i = 0; i < 2 && i < numbers.size() && row->parameters[i]; i++)
        attributes.set(row->parameters[i], numbers[i]);
    node.add(name, std::move(inputs), node.outputs, std::move(attributes));
}

void fused_convolution(ImportedNode &node)
{
    Attributes attributes = node.attributes;
    attributes.erase("activation");
    attributes.erase("activation_params");
    ValueId sum = node.add("Conv", {node.input(0), node.input(1), node.optional_input(2)}, attributes);
    if (node.has(3))
        sum = node.add("Add", {sum, node.inputs[3]});
    if (node.attributes.has("activation"))
        add_activation(node, sum, "activation_params");
    else
        node.add("Identity", {sum}, node.outputs);
}

void fused_gemm(ImportedNode &node)
{
    Attributes attributes;
    for (const char *name : {"alpha", "beta", "transA", "transB"})
        if (const auto found = node.attributes.all().find(name); found != node.attributes.all().end())
            attributes.set(name, found->second);
    const ValueId sum = node.add("Gemm", {node.input(0), node.input(1), node.optional_input(2)}, attributes);
    add_activation(node, sum, "activation_params");
}

void gelu_with_bias(ImportedNode &node)
{
    ValueId x = node.input(0);
    if (node.has(1))
        x = node.add("Add", {x, node.inputs[1]});
    const bool fast = node.type == "FastGelu";
    node.add("Gelu", {x}, node.outputs, with(text("approximate", fast ? "tanh" : "none")));
}

void quick_gelu(ImportedNode &node)
{
    sigmoid_gate(node, 1.702f);
}

constexpr char add_name[] = "Add", mul_name[] = "Mul", sigmoid_name[] = "Sigmoid", leaky_relu_name[] = "LeakyRelu",
               average_pool_name[] = "AveragePool", global_average_pool_name[] = "GlobalAveragePool";

/// Sorted by domain and name. To add one: a row here for each range of versions; a function above where it is not
/// the op of the same name.
constexpr OnnxOperator operators[] = {
    {standard, "Abs", 1, any, same},
    {standard, "Acos", 7, any, same},
    {standard, "Acosh", 9, any, same},
    {standard, "Add", 1, 6, legacy_broadcast},
    {standard, "Add", 7, any, same},
    {standard, "AffineGrid", 20, any, same},
    {standard, "And", 1, 6, legacy_broadcast},
    {standard, "And", 7, any, same},
    {standard, "ArgMax", 1, any, same},
    {standard, "ArgMin", 1, any, same},
    {standard, "Asin", 7, any, same},
    {standard, "Asinh", 9, any, same},
    {standard, "Atan", 7, any, same},
    {standard, "Atanh", 9, any, same},
    {standard, "Attention", 23, any, attention},
    {standard, "AveragePool", 1, any, same},
    {standard, "BatchNormalization", 1, 13, batch_normalization_for_inference},
    {standard, "BatchNormalization", 14, any, same},
    {standard, "Bernoulli", 1, any, random_numbers},
    {standard, "BitShift", 11, any, same},
    {standard, "BitwiseAnd", 18, any, same},
    {standard, "BitwiseNot", 18, any, same},
    {standard, "BitwiseOr", 18, any, same},
    {standard, "BitwiseXor", 18, any, same},
    {standard, "BlackmanWindow", 17, any, same},
    {standard, "Cast", 6, any, same},
    {standard, "CastLike", 15, any, same},
    {standard, "Ceil", 1, any, same},
    {standard, "Celu", 12, any, same},
    {standard, "CenterCropPad", 18, any, same},
    {standard, "Clip", 1, 10, clip_by_attributes},
    {standard, "Clip", 11, any, same},
    {standard, "Col2Im", 18, any, same},
    {standard, "Compress", 9, any, same},
    {standard, "Concat", 4, any, same},
    {standard, "Constant", 1, any, constant},
    {standard, "ConstantOfShape", 9, any, same},
    {standard, "Conv", 1, any, same},
    {standard, "ConvInteger", 10, any, same},
    {standard, "ConvTranspose", 1, any, same},
    {standard, "Cos", 7, any, same},
    {standard, "Cosh", 9, any, same},
    {standard, "CumSum", 11, any, same},
    {standard, "DFT", 17, 19, dft_by_axis},
    {standard, "DFT", 20, any, same},
    {standard, "DeformConv", 19, any, same},
    {standard, "DepthToSpace", 1, any, same},
    {standard, "DequantizeLinear", 10, any, same},
    {standard, "Det", 11, any, same},
    {standard, "Div", 1, 6, legacy_broadcast},
    {standard, "Div", 7, any, same},
    {standard, "Dropout", 1, any, dropout},
    {standard, "DynamicQuantizeLinear", 11, any, same},
    {standard, "Einsum", 12, any, same},
    {standard, "Elu", 1, any, same},
    {standard, "Equal", 1, 6, legacy_broadcast},
    {standard, "Equal", 7, any, same},
    {standard, "Erf", 9, any, same},
    {standard, "Exp", 1, any, same},
    {standard, "Expand", 8, any, same},
    {standard, "EyeLike", 9, any, same},
    {standard, "Flatten", 1, any, same},
    {standard, "Floor", 1, any, same},
    {standard, "GRU", 3, any, same},
    {standard, "Gather", 1, any, same},
    {standard, "GatherElements", 11, any, same},
    {standard, "GatherND", 11, any, same},
    {standard, "Gelu", 20, any, same},
    {standard, "Gemm", 1, 6, gemm_with_broadcast},
    {standard, "Gemm", 7, any, same},
    {standard, "GlobalAveragePool", 1, any, same},
    {standard, "GlobalLpPool", 2, any, same},
    {standard, "GlobalMaxPool", 1, any, same},
    {standard, "Greater", 1, 6, legacy_broadcast},
    {standard, "Greater", 7, any, same},
    {standard, "GreaterOrEqual", 12, any, same},
    {standard, "GridSample", 16, 19, grid_sample_with_old_names},
    {standard, "GridSample", 20, any, same},
    {standard, "GroupNormalization", 18, 20, group_normalization_by_group},
    {standard, "GroupNormalization", 21, any, same},
    {standard, "HammingWindow", 17, any, same},
    {standard, "HannWindow", 17, any, same},
    {standard, "HardSigmoid", 1, any, same},
    {standard, "HardSwish", 14, any, same},
    {standard, "Hardmax", 1, 12, softmax_of_matrix},
    {standard, "Hardmax", 13, any, same},
    {standard, "Identity", 1, any, same},
    {standard, "If", 1, any, same},
    {standard, "ImageScaler", 1, any, image_scaler},
    {standard, "InstanceNormalization", 1, any, same},
    {standard, "IsInf", 10, any, same},
    {standard, "IsNaN", 9, any, same},
    {standard, "LRN", 1, any, same},
    {standard, "LSTM", 1, any, same},
    {standard, "LayerNormalization", 1, any, same},
    {standard, "LeakyRelu", 1, any, same},
    {standard, "Less", 1, 6, legacy_broadcast},
    {standard, "Less", 7, any, same},
    {standard, "LessOrEqual", 12, any, same},
    {standard, "Log", 1, any, same},
    {standard, "LogSoftmax", 1, 12, softmax_of_matrix},
    {standard, "LogSoftmax", 13, any, same},
    {standard, "Loop", 1, any, loop},
    {standard, "LpNormalization", 1, any, same},
    {standard, "LpPool", 2, any, same},
    {standard, "MatMul", 1, any, same},
    {standard, "MatMulInteger", 10, any, same},
    {standard, "Max", 1, any, same},
    {standard, "MaxPool", 1, any, same},
    {standard, "MaxRoiPool", 1, any, max_roi_pool},
    {standard, "MaxUnpool", 9, any, same},
    {standard, "Mean", 1, any, same},
    {standard, "MeanVarianceNormalization", 9, any, same},
    {standard, "MelWeightMatrix", 17, any, same},
    {standard, "Min", 1, any, same},
    {standard, "Mish", 18, any, same},
    {standard, "Mod", 10, any, same},
    {standard, "Mul", 1, 6, legacy_broadcast},
    {standard, "Mul", 7, any, same},
    {standard, "Multinomial", 1, any, random_numbers},
    {standard, "Neg", 1, any, same},
    {standard, "NegativeLogLikelihoodLoss", 1, any, training_only},
    {standard, "NonMaxSuppression", 10, any, same},
    {standard, "NonZero", 9, any, same},
    {standard, "Not", 1, any, same},
    {standard, "OneHot", 9, any, same},
    {standard, "Or", 1, 6, legacy_broadcast},
    {standard, "Or", 7, any, same},
    {standard, "PRelu", 1, 6, legacy_prelu},
    {standard, "PRelu", 7, any, same},
    {standard, "Pad", 2, 10, pad_by_attributes},
    {standard, "Pad", 11, any, same},
    {standard, "Pow", 1, 6, legacy_broadcast},
    {standard, "Pow", 7, any, same},
    {standard, "QLinearConv", 10, any, same},
    {standard, "QLinearMatMul", 10, any, same},
    {standard, "QuantizeLinear", 10, any, same},
    {standard, "RMSNormalization", 23, any, same},
    {standard, "RNN", 1, any, same},
    {standard, "RandomNormal", 1, any, random_numbers},
    {standard, "RandomNormalLike", 1, any, random_numbers},
    {standard, "RandomUniform", 1, any, random_numbers},
    {standard, "RandomUniformLike", 1, any, random_numbers},
    {standard, "Range", 11, any, same},
    {standard, "Reciprocal", 1, any, same},
    {standard, "ReduceL1", 1, any, with_axes},
    {standard, "ReduceL2", 1, any, with_axes},
    {standard, "ReduceLogSum", 1, any, with_axes},
    {standard, "ReduceLogSumExp", 1, any, with_axes},
    {standard, "ReduceMax", 1, any, with_axes},
    {standard, "ReduceMean", 1, any, with_axes},
    {standard, "ReduceMin", 1, any, with_axes},
    {standard, "ReduceProd", 1, any, with_axes},
    {standard, "ReduceSum", 1, any, with_axes},
    {standard, "ReduceSumSquare", 1, any, with_axes},
    {standard, "Relu", 1, any, same},
    {standard, "Reshape", 1, 4, reshape_by_attribute},
    {standard, "Reshape", 5, any, same},
    {standard, "Resize", 10, 10, resize_by_scales},
    {standard, "Resize", 11, any, same},
    {standard, "ReverseSequence", 10, any, same},
    {standard, "RoiAlign", 10, 15, roi_align_with_whole_pixels},
    {standard, "RoiAlign", 16, any, same},
    {standard, "Round", 11, any, same},
    {standard, "STFT", 17, any, same},
    {standard, "Scan", 9, any, scan},
    {standard, "Scatter", 9, any, scatter},
    {standard, "ScatterElements", 11, any, same},
    {standard, "ScatterND", 11, any, same},
    {standard, "Selu", 1, any, same},
    {standard, "Shape", 1, any, same},
    {standard, "Shrink", 9, any, same},
    {standard, "Sigmoid", 1, any, same},
    {standard, "Sign", 9, any, same},
    {standard, "SimplifiedLayerNormalization", 1, any, same},
    {standard, "Sin", 7, any, same},
    {standard, "Sinh", 9, any, same},
    {standard, "Size", 1, any, same},
    {standard, "Slice", 1, 9, slice_by_attributes},
    {standard, "Slice", 10, any, same},
    {standard, "Softmax", 1, 12, softmax_of_matrix},
    {standard, "Softmax", 13, any, same},
    {standard, "SoftmaxCrossEntropyLoss", 1, any, training_only},
    {standard, "Softplus", 1, any, same},
    {standard, "Softsign", 1, any, same},
    {standard, "SpaceToDepth", 1, any, same},
    {standard, "Split", 2, 12, split_by_attribute},
    {standard, "Split", 13, any, split_evenly},
    {standard, "Sqrt", 1, any, same},
    {standard, "Squeeze", 1, any, with_axes},
    {standard, "Sub", 1, 6, legacy_broadcast},
    {standard, "Sub", 7, any, same},
    {standard, "Sum", 1, any, same},
    {standard, "Swish", 24, any, swish},
    {standard, "Tan", 7, any, same},
    {standard, "Tanh", 1, any, same},
    {standard, "ThresholdedRelu", 1, any, same},
    {standard, "Tile", 6, any, same},
    {standard, "TopK", 1, 9, top_k_by_attribute},
    {standard, "TopK", 10, any, same},
    {standard, "Transpose", 1, any, same},
    {standard, "Trilu", 14, any, same},
    {standard, "Unique", 11, any, same},
    {standard, "Unsqueeze", 1, any, with_axes},
    {standard, "Upsample", 7, 8, upsample_by_attribute},
    {standard, "Upsample", 9, 9, resize_by_scales},
    {standard, "Where", 9, any, same},
    {standard, "Xor", 1, 6, legacy_broadcast},
    {standard, "Xor", 7, any, same},
    {microsoft, "BiasGelu", 1, any, gelu_with_bias},
    {microsoft, "DequantizeLinear", 1, any, same},
    {microsoft, "FastGelu", 1, any, gelu_with_bias},
    {microsoft, "FusedConv", 1, any, fused_convolution},
    {microsoft, "FusedGemm", 1, any, fused_gemm},
    {microsoft, "Gelu", 1, any, gelu_with_bias},
    {microsoft, "QLinearAdd", 1, any, quantized_binary<add_name>},
    {microsoft, "QLinearAveragePool", 1, any, quantized_pooling<average_pool_name>},
    {microsoft, "QLinearConcat", 1, any, quantized_concat},
    {microsoft, "QLinearGlobalAveragePool", 1, any, quantized_pooling<global_average_pool_name>},
    {microsoft, "QLinearLeakyRelu", 1, any, quantized_unary<leaky_relu_name>},
    {microsoft, "QLinearMul", 1, any, quantized_binary<mul_name>},
    {microsoft, "QLinearSigmoid", 1, any, quantized_unary<sigmoid_name>},
    {microsoft, "QuantizeLinear", 1, any, same},
    {microsoft, "QuickGelu", 1, any, quick_gelu},
};

bool before(const OnnxOperator &row, const ImportedNode &node)
{
    return std::pair(row.domain, row.type) < std::pair<std::string_view, std::string_view>(node.domain, node.type);
}

std::string describe(const ImportedNode &node)
{
    return "operator " + node.type + " (domain " + (node.domain.empty() ? "ai.onnx" : node.domain) + ", opset " +
           std::to_string(node.opset) + ") is not supported; ";
}

/// Says which versions would do, when the operator is known.
std::string cure(std::span<const OnnxOperator> rows, const ImportedNode &node)
{
    if (node.domain == "ai.onnx.ml")
        return "models of classical machine learning cannot be read, export a neural network";
    if (rows.empty())
        return "export the model without it, as standard ONNX operators of opset 22 or below";
    if (node.opset < rows.front().first)
        return "convert the model to opset " + std::to_string(rows.front().first) +
               " or above with onnx.version_converter";
    return "it was removed after opset " + std::to_string(rows.back().last) + ", export the model again";
}

} // namespace

void translate(ImportedNode &node)
{
    const auto *first = std::partition_point(std::begin(operators), std::end(operators),
                                             [&](const OnnxOperator &row) { return before(row, node); });
    const auto *last = std::find_if(first, std::end(operators), [&](const OnnxOperator &row) {
        return row.domain != node.domain || row.type != node.type;
    });
    const auto *row = std::find_if(first, last, [&](const OnnxOperator &candidate) {
        return candidate.first <= node.opset && node.opset <= candidate.last;
    });
    if (row == last)
        throw Error(describe(node) + cure({first, last}, node));
    if (row->translate == same && !find_op(node.type))
        throw Error(describe(node) + cure({}, node));
    row->translate(node);
}

} // namespace leat
