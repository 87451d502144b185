#include "graph.h"
#include "ops.h"

#include <algorithm>

namespace leat {
namespace {

/// Folding more than this at read time would trade a small file for a large memory: in one value, and in all of them,
/// where what the constants of the graph have grows eightfold at most besides.
constexpr int64_t fold_limit_bytes = int64_t(64) << 20, fold_total_bytes = int64_t(256) << 20, fold_growth = 8;

/// What folding may still add to the graph.
int64_t fold_budget(const Graph &graph)
{
    int64_t bytes = 0;
    for (const Value &value : graph.values)
        bytes += static_cast<int64_t>(value.constant.bytes());
    return fold_total_bytes + fold_growth * bytes;
}

bool small_enough(const Graph &graph, const Node &node, int64_t budget)
{
    for (ValueId id : node.outputs) {
        if (id == no_value)
            continue;
        const Value &value = graph.values[id];
        const auto element = static_cast<int64_t>(std::max<size_t>(size_of(value.type), 1));
        if (value.shape && is_static(*value.shape)) {
            if (count_of(*value.shape) > std::min(fold_limit_bytes, budget) / element)
                return false;
        } else if (budget < fold_limit_bytes || (node.op->name != "NonZero" && node.op->name != "If")) {
            return false;
        }
    }
    return true;
}

/// Stands for a value of which only type and shape are read.
Tensor stand_in(const Value &value, const Shape &shape)
{
    return Tensor::view(value.type, shape, nullptr);
}

void fold_with(Graph &graph, const Node &node, std::span<const Tensor> inputs)
{
    Tensor result;
    RunContext context(node, inputs, {&result, 1});
    run_reference(context, {});
    Value &value = graph.values[node.outputs[0]];
    value.shape = result.shape();
    value.constant = std::move(result);
}

/// Shape and Size need no elements, only a shape that is known.
bool fold_shape(Graph &graph, const Node &node)
{
    if (node.op->name != "Shape" && node.op->name != "Size")
        return false;
    const Value &value = graph.values[node.inputs[0]];
    if (!value.shape || !is_static(*value.shape))
        return false;
    fold_with(graph, node, {{stand_in(value, *value.shape)}});
    return true;
}

/// CastLike needs no elements of the second input, only a type that is known.
bool fold_cast_like(Graph &graph, const Node &node)
{
    if (node.op->name != "CastLike" || !graph.is_constant(node.inputs[0]))
        return false;
    const Value &like = graph.values[node.inputs[1]];
    if (like.type == Type::undefined)
        return false;
    fold_with(graph, node, {{graph.values[node.inputs[0]].constant, stand_in(like, {0})}});
    return true;
}

/// What may run long whatever its outputs' sizes are runs only when the model does: loops, and what compares boxes or
/// reads each pixel for many of them.
bool may_run_long(const Node &node)
{
    constexpr std::string_view names[] = {"DeformablePSROIPooling",
                                          "DetectionOutput",
                                          "ExperimentalDetectronDetectionOutput",
                                          "ExperimentalDetectronGenerateProposalsSingleImage",
                                          "ExperimentalDetectronROIFeatureExtractor",
                                          "Loop",
                                          "PSROIPooling",
                                          "Proposal",
                                          "ROIPooling",
                                          "RoiAlign"};
    if (std::binary_search(std::begin(names), std::end(names), node.op->name))
        return true;
    for (const auto &[name, attribute] : node.attributes.all())
        if (const auto *inner = std::get_if<std::shared_ptr<const Graph>>(&attribute))
            if (*inner && std::any_of((*inner)->nodes.begin(), (*inner)->nodes.end(), may_run_long))
                return true;
    return false;
}

/// Quantised weights stay integers: whether to compute with them is for the device to say.
bool keeps_integers(const Graph &graph, const Node &node)
{
    const std::string_view name = node.op->name;
    if (name != "DequantizeLinear" && name != "FakeQuantize" && name != "Cast")
        return false;
    const Value &data = graph.values[node.inputs[0]];
    const bool integers = data.type == Type::u8 || data.type == Type::s8;
    if (name == "Cast")
        return integers && graph.values[node.outputs[0]].type != Type::boolean && data.shape && data.shape->size() > 1;
    return integers || name == "FakeQuantize";
}

/// Takes what it adds to the graph from the budget, in bytes.
void fold(Graph &graph, const Node &node, int64_t &budget)
{
    if (!node.op->reference || may_run_long(node) || fold_shape(graph, node) || fold_cast_like(graph, node) ||
        keeps_integers(graph, node))
        return;
    std::vector<Tensor> inputs, operands;
    for (ValueId id : node.inputs) {
        if (id != no_value && !graph.is_constant(id))
            return;
        inputs.push_back(id == no_value ? Tensor() : graph.values[id].constant);
    }
    for (const PostOp &post : node.post_ops)
        if (post.input != no_value) {
            if (!graph.is_constant(post.input))
                return;
            operands.push_back(graph.values[post.input].constant);
        }
    if (!small_enough(graph, node, budget))
        return;
    std::vector<Tensor> outputs(node.outputs.size());
    RunContext context(node, inputs, outputs);
    run_reference(context, operands);
    for (size_t i = 0; i < outputs.size(); i++)
        if (node.outputs[i] != no_value && outputs[i]) {
            Value &value = graph.values[node.outputs[i]];
            value.type = outputs[i].type();
            value.shape = outputs[i].shape();
            value.constant = std::move(outputs[i]);
            budget -= static_cast<int64_t>(value.constant.bytes());
        }
}

bool already_constant(const Graph &graph, const Node &node)
{
    for (ValueId id : node.outputs)
        if (id != no_value && !graph.is_constant(id))
            return false;
    return true;
}

} // namespace

void infer_shapes(Graph &graph)
{
    int64_t budget = fold_budget(graph);
    std::vector<Node> kept;
    kept.reserve(graph.nodes.size());
    for (Node &node : graph.nodes) {
        in_context("node \"" + node.name + "\" (" + std::string(node.op->name) + ")", [&] {
            ShapeContext context(graph, node);
            node.op->shape(context);
            for (const PostOp &post : node.post_ops)
                graph.values[node.outputs[0]].type = type_after(post, graph.values[node.outputs[0]].type);
            fold(graph, node, budget);
        });
        if (!already_constant(graph, node))
            kept.push_back(std::move(node));
    }
    graph.nodes = std::move(kept);
}

void set_input_shape(Graph &graph, const std::string &input, const Dimensions &dimensions)
{
    const auto id = std::find_if(graph.inputs.begin(), graph.inputs.end(),
                                 [&](ValueId each) { return graph.values[each].name == input; });
    if (id == graph.inputs.end())
        throw Error("the model has no input \"" + input + "\" to reshape");
    Value &value = graph.values[*id];
    const std::string what = "input \"" + input + "\" cannot become " + to_string(dimensions) + ": ";
    Shape shape;
    for (const Dimension &each : dimensions) {
        if (each.least < 0 || each.most < each.least)
            throw Error(what + "sizes are not negative, and a range goes from the lower to the higher");
        shape.push_back(each.is_fixed() ? each.least : -1);
    }
    value.shape = shape;
    const bool limited = std::any_of(dimensions.begin(), dimensions.end(),
                                     [](const Dimension &each) { return !each.is_fixed() && each != Dimension(); });
    value.limits = limited ? dimensions : Dimensions();
}

} // namespace leat
