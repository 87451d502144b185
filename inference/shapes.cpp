#include "graph.h"
#include "ops.h"
#include "work.h"

#include <algorithm>

namespace leat {
namespace {

/// Folding more than this at read time would trade a small file for a large memory: in one value, and in all of them,
/// where what the constants of the graph have grows eightfold at most besides.
constexpr int64_t fold_limit_bytes = int64_t(64) << 20, fold_total_bytes = int64_t(256) << 20, fold_growth = 8;

/// And for a long time: about a second for one node, some for all of them, where each byte of the constants may be
/// looked at a few times besides. Up to `few_steps` do not count.
constexpr double most_steps = 1 << 28, total_steps = 1 << 30, steps_for_each_byte = 16, few_steps = 4096;

FoldBudget fold_budget_of(const Graph &graph)
{
    int64_t bytes = 0;
    for (const Value &value : graph.values)
        bytes += static_cast<int64_t>(value.constant.bytes());
    return {fold_total_bytes + fold_growth * bytes, total_steps + steps_for_each_byte * static_cast<double>(bytes)};
}

/// What this thread spends on the graph that it was called with and on those inside of it.
class Spending {
  public:
    explicit Spending(Graph &graph) : outermost_(!budget_)
    {
        if (outermost_) {
            if (!graph.fold_budget)
                graph.fold_budget = fold_budget_of(graph);
            budget_ = &*graph.fold_budget;
            inner_ = 0;
        } else if ((inner_ += graph.nodes.size() + graph.values.size()) > most_inner) {
            throw Error("the types of " + std::to_string(most_inner) +
                        " nodes and values of graphs inside graphs were asked for; nest the graphs less deeply");
        }
    }
    ~Spending()
    {
        if (outermost_)
            budget_ = nullptr;
    }
    Spending(const Spending &) = delete;
    Spending &operator=(const Spending &) = delete;

    FoldBudget &budget() { return *budget_; }

  private:
    static constexpr size_t most_inner = 1 << 19;
    static thread_local FoldBudget *budget_; ///< of the outermost graph
    static thread_local size_t inner_;       ///< nodes and values of graphs inside graphs that were looked at
    const bool outermost_;
};
thread_local FoldBudget *Spending::budget_ = nullptr;
thread_local size_t Spending::inner_ = 0;

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
        } else if (budget < fold_limit_bytes || node.op->name != "NonZero") {
            return false;
        }
    }
    return true;
}

bool may_fold(const Graph &graph, const Node &node, const FoldBudget &budget)
{
    const double steps = steps_of(graph, node);
    if (steps <= few_steps)
        return small_enough(graph, node, fold_limit_bytes);
    return steps <= std::min(most_steps, budget.steps) && small_enough(graph, node, budget.bytes);
}

/// Takes from the budget what the folding of a node took.
void pay(const Graph &graph, const Node &node, double steps, FoldBudget &budget)
{
    if (steps <= few_steps)
        return;
    budget.steps -= steps;
    for (ValueId id : node.outputs)
        if (id != no_value)
            budget.bytes -= static_cast<int64_t>(graph.values[id].constant.bytes());
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

/// The constant that the node reads there, or a stand-in where its elements do not count; nothing when neither is
/// known.
Tensor foldable(const Graph &graph, const Node &node, size_t input)
{
    const Value &value = graph.values[node.inputs[input]];
    if (node.op->name == "CastLike" && input == 1 && value.type != Type::undefined)
        return stand_in(value, {0});
    return value.constant;
}

/// Outputs without elements are known whatever the inputs hold. Kernels may take long to find nothing to do: their
/// loops over elements are not always the outer ones.
bool fold_empty(Graph &graph, const Node &node)
{
    const auto is_empty = [&](ValueId id) {
        if (id == no_value)
            return true;
        const Value &value = graph.values[id];
        return value.type != Type::undefined && value.shape && is_static(*value.shape) && count_of(*value.shape) == 0;
    };
    if (!std::all_of(node.outputs.begin(), node.outputs.end(), is_empty))
        return false;
    for (ValueId id : node.outputs)
        if (id != no_value)
            graph.values[id].constant = Tensor(graph.values[id].type, *graph.values[id].shape);
    return true;
}

void fold(Graph &graph, const Node &node, FoldBudget &budget)
{
    if (!node.op->reference || fold_shape(graph, node) || keeps_integers(graph, node))
        return;
    std::vector<Tensor> inputs, operands;
    for (size_t i = 0; i < node.inputs.size(); i++) {
        inputs.push_back(node.inputs[i] == no_value ? Tensor() : foldable(graph, node, i));
        if (node.inputs[i] != no_value && !inputs.back())
            return;
    }
    for (const PostOp &post : node.post_ops)
        if (post.input != no_value) {
            if (!graph.is_constant(post.input))
                return;
            operands.push_back(graph.values[post.input].constant);
        }
    if (fold_empty(graph, node) || !may_fold(graph, node, budget))
        return;
    const double steps = steps_of(graph, node);
    std::vector<Tensor> outputs(node.outputs.size());
    RunContext context(node, inputs, outputs);
    run_reference(context, operands);
    for (size_t i = 0; i < outputs.size(); i++)
        if (node.outputs[i] != no_value && outputs[i]) {
            Value &value = graph.values[node.outputs[i]];
            value.type = outputs[i].type();
            value.shape = outputs[i].shape();
            value.constant = std::move(outputs[i]);
        }
    pay(graph, node, steps, budget);
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
    Spending spending(graph);
    std::vector<Node> kept;
    kept.reserve(graph.nodes.size());
    for (Node &node : graph.nodes) {
        in_context("node \"" + node.name + "\" (" + std::string(node.op->name) + ")", [&] {
            ShapeContext context(graph, node);
            node.op->shape(context);
            for (const PostOp &post : node.post_ops)
                graph.values[node.outputs[0]].type = type_after(post, graph.values[node.outputs[0]].type);
            fold(graph, node, spending.budget());
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
