#include "inference/ops/walk.h"

#include <algorithm>

namespace leat {
namespace {

using SharedGraph = std::shared_ptr<const Graph>;

const Graph &graph_attribute(const Attributes &attributes, const char *name)
{
    const auto found = attributes.all().find(name);
    const SharedGraph *graph = found == attributes.all().end() ? nullptr : std::get_if<SharedGraph>(&found->second);
    if (!graph || !*graph)
        throw Error("the attribute " + std::string(name) + " is not a graph");
    return **graph;
}

void check_inputs(const Graph &body, size_t given)
{
    if (body.inputs.size() != given)
        throw Error("the graph \"" + body.name + "\" has " + std::to_string(body.inputs.size()) + " inputs and gets " +
                    std::to_string(given));
}

/// Runs every node by its reference kernel; `inputs` are those of the body.
std::vector<Tensor> run_body(const Graph &body, std::vector<Tensor> inputs)
{
    check_inputs(body, inputs.size());
    std::vector<Tensor> values(body.values.size());
    for (size_t v = 0; v < values.size(); v++)
        values[v] = body.values[v].constant;
    for (size_t i = 0; i < inputs.size(); i++)
        values[body.inputs[i]] = std::move(inputs[i]);
    for (const Node &node : body.nodes)
        run_node(node, values);
    std::vector<Tensor> outputs;
    for (ValueId id : body.outputs)
        outputs.push_back(values[id]);
    return outputs;
}

struct ValueFacts {
    Type type = Type::undefined;
    std::optional<Shape> shape;
    Tensor constant;
};

ValueFacts facts_of_input(const ShapeContext &context, size_t input)
{
    const Tensor *constant = context.constant(input);
    return {context.type(input), context.shape(input), constant ? *constant : Tensor()};
}

/// Counts the graphs inside graphs that this thread is at work on; a Loop looks at its body more than once, so that the
/// work grows with the power of the depth.
class Nesting {
  public:
    Nesting()
    {
        constexpr int deepest = 6;
        if (depth_ >= deepest)
            throw Error("the graph is nested deeper than " + std::to_string(deepest) + " levels");
        depth_++;
    }
    ~Nesting() { depth_--; }
    Nesting(const Nesting &) = delete;
    Nesting &operator=(const Nesting &) = delete;

  private:
    static thread_local int depth_;
};
thread_local int Nesting::depth_ = 0;

/// Types, shapes and, of those that do not change with the inputs, elements of the body's outputs for such inputs.
std::vector<ValueFacts> infer_body(const Graph &graph, const std::vector<ValueFacts> &inputs)
{
    const Nesting level;
    check_inputs(graph, inputs.size());
    Graph body = graph;
    for (size_t i = 0; i < inputs.size(); i++) {
        Value &value = body.values[body.inputs[i]];
        value.type = inputs[i].type;
        value.shape = inputs[i].shape;
        value.constant = inputs[i].constant;
    }
    infer_shapes(body);
    std::vector<ValueFacts> outputs;
    for (ValueId id : body.outputs)
        outputs.push_back({body.values[id].type, body.values[id].shape, body.values[id].constant});
    return outputs;
}

/// The shape of a value that has the one or the other.
std::optional<Shape> either(const std::optional<Shape> &a, const std::optional<Shape> &b)
{
    if (!a || !b || a->size() != b->size())
        return {};
    Shape result = *a;
    for (size_t i = 0; i < result.size(); i++)
        if (result[i] != (*b)[i])
            result[i] = -1;
    return result;
}

bool truth(const Tensor &condition)
{
    if (condition.type() != Type::boolean || condition.count() != 1)
        throw Error("the condition is not one bool");
    return condition.data<bool>()[0];
}

// If

void if_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::boolean);
    std::vector<ValueFacts> captured;
    for (size_t i = 1; i < context.inputs(); i++)
        captured.push_back(facts_of_input(context, i));
    auto branch = [&](bool chosen) {
        const auto facts =
            infer_body(graph_attribute(context.attributes(), chosen ? "then_branch" : "else_branch"), captured);
        if (facts.size() != context.outputs())
            throw Error(std::string(chosen ? "then_branch" : "else_branch") + " has " + std::to_string(facts.size()) +
                        " outputs, want " + std::to_string(context.outputs()));
        return facts;
    };
    if (const Tensor *condition = context.constant(0)) {
        const auto facts = branch(truth(*condition));
        const bool constant =
            std::all_of(facts.begin(), facts.end(), [](const ValueFacts &each) { return bool(each.constant); });
        for (size_t i = 0; i < facts.size(); i++) {
            if (constant)
                context.constant_output(i, facts[i].constant);
            else
                context.output(i, facts[i].type, facts[i].shape);
        }
        return;
    }
    const auto yes = branch(true), no = branch(false);
    for (size_t i = 0; i < yes.size(); i++) {
        if (yes[i].type != no[i].type)
            throw Error("the branches give output " + std::to_string(i) + " different element types");
        context.output(i, yes[i].type, either(yes[i].shape, no[i].shape));
    }
}

void run_if(RunContext &context)
{
    const Graph &branch =
        graph_attribute(context.node.attributes, truth(context.inputs[0]) ? "then_branch" : "else_branch");
    const auto results = run_body(branch, {context.inputs.begin() + 1, context.inputs.end()});
    if (results.size() != context.outputs())
        throw Error("the branch has " + std::to_string(results.size()) + " outputs, want " +
                    std::to_string(context.outputs()));
    for (size_t i = 0; i < results.size(); i++)
        if (context.wants(i))
            copy_to_output(context, i, results[i]);
}

// Loop

/// How the values of a Loop are divided: carried ones come before the captured ones among the inputs and before the
/// collected ones among the outputs.
struct LoopParts {
    const Graph &body;
    size_t carried, collected;
};

LoopParts loop_parts(const Attributes &attributes, size_t inputs, size_t outputs)
{
    const Graph &body = graph_attribute(attributes, "body");
    const int64_t carried = attributes.integer("carried", 0);
    if (carried < 0 || static_cast<size_t>(carried) > outputs || static_cast<size_t>(carried) + 2 > inputs)
        throw Error("the loop carries " + std::to_string(carried) + " values and has " + std::to_string(inputs) +
                    " inputs and " + std::to_string(outputs) + " outputs");
    if (body.outputs.size() != outputs + 1)
        throw Error("body has " + std::to_string(body.outputs.size()) + " outputs, want " +
                    std::to_string(outputs + 1));
    const auto count = static_cast<size_t>(carried);
    return {body, count, outputs - count};
}

/// What the body makes in any iteration. A carried value may change its shape from one to the next: `inputs` forget
/// what changes, and after a few rounds all that they know of the shapes.
std::vector<ValueFacts> infer_iterations(const LoopParts &parts, std::vector<ValueFacts> &inputs)
{
    constexpr int rounds = 3;
    for (int round = 0;; round++) {
        auto results = infer_body(parts.body, inputs);
        bool changed = false;
        for (size_t i = 0; i < parts.carried; i++) {
            ValueFacts &before = inputs[i + 2];
            if (before.type != results[i + 1].type)
                throw Error("carried value " + std::to_string(i) + " changes its element type");
            const auto common = round < rounds ? either(before.shape, results[i + 1].shape) : std::nullopt;
            changed = changed || common != before.shape;
            before.shape = common;
        }
        if (!changed)
            return results;
    }
}

void loop_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::integer);
    want_type(context, 1, TypeSet::boolean);
    const LoopParts parts = loop_parts(context.attributes(), context.inputs(), context.outputs());
    std::vector<ValueFacts> inputs{{Type::s64, Shape(), {}}, {Type::boolean, Shape(), {}}};
    for (size_t i = 2; i < context.inputs(); i++)
        inputs.push_back(facts_of_input(context, i));
    for (size_t i = 0; i < parts.carried; i++)
        inputs[i + 2].constant = Tensor();
    const auto results = infer_iterations(parts, inputs);
    for (size_t i = 0; i < parts.carried; i++)
        context.output(i, inputs[i + 2].type, inputs[i + 2].shape);
    for (size_t i = parts.carried; i < context.outputs(); i++) {
        std::optional<Shape> shape = results[i + 1].shape;
        if (shape)
            shape->insert(shape->begin(), -1);
        context.output(i, results[i + 1].type, shape);
    }
}

/// The pieces one after another along a new first axis.
void stack(RunContext &context, size_t index, const std::vector<Tensor> &pieces)
{
    Shape shape = pieces[0].shape();
    shape.insert(shape.begin(), static_cast<int64_t>(pieces.size()));
    Tensor &result = context.output(index, pieces[0].type(), shape);
    std::byte *to = result.raw();
    for (const Tensor &piece : pieces) {
        if (piece.type() != pieces[0].type() || piece.shape() != pieces[0].shape())
            throw Error("output " + std::to_string(index) + " changes its type or shape between iterations");
        to = std::copy_n(piece.raw(), piece.bytes(), to);
    }
}

/// What a loop without iterations collects: nothing, of the type and shape that the body would give.
void stack_nothing(RunContext &context, const LoopParts &parts, size_t index)
{
    std::vector<ValueFacts> inputs{{Type::s64, Shape(), {}}, {Type::boolean, Shape(), {}}};
    for (const Tensor &input : context.inputs.subspan(2))
        inputs.push_back({input.type(), input.shape(), {}});
    const ValueFacts facts = infer_body(parts.body, inputs)[index + 1];
    Shape shape{0};
    if (facts.shape)
        for (int64_t size : *facts.shape)
            shape.push_back(std::max<int64_t>(size, 0));
    context.output(index, facts.type, shape);
}

/// Counts the iterations of the loop that this thread runs and of those inside of it: one that would never end is an
/// Error.
class Iterations {
  public:
    Iterations()
    {
        if (depth_++ == 0)
            count_ = 0;
    }
    ~Iterations() { depth_--; }
    Iterations(const Iterations &) = delete;
    Iterations &operator=(const Iterations &) = delete;

    static void next()
    {
        constexpr int64_t most = 10'000'000;
        if (++count_ > most)
            throw Error("the loop did not end after " + std::to_string(most) + " iterations");
    }

  private:
    static thread_local int depth_;
    static thread_local int64_t count_;
};
thread_local int Iterations::depth_ = 0;
thread_local int64_t Iterations::count_ = 0;

void run_loop(RunContext &context)
{
    const LoopParts parts = loop_parts(context.node.attributes, context.inputs.size(), context.outputs());
    int64_t limit = std::numeric_limits<int64_t>::max();
    if (context.has(0)) {
        const auto given = integers(context, 0);
        if (given.size() != 1)
            throw Error("the trip count is not one integer");
        limit = given[0];
    }
    const Iterations counted;
    std::vector<Tensor> state(context.inputs.begin() + 2, context.inputs.end());
    std::vector<std::vector<Tensor>> collected(parts.collected);
    bool more = !context.has(1) || truth(context.inputs[1]);
    for (int64_t iteration = 0; more && iteration < limit; iteration++) {
        Iterations::next();
        std::vector<Tensor> inputs{Tensor::of<int64_t>({}, {iteration}), Tensor::of<bool>({}, {more})};
        inputs.insert(inputs.end(), state.begin(), state.end());
        const auto results = run_body(parts.body, std::move(inputs));
        more = truth(results[0]);
        std::copy_n(results.begin() + 1, parts.carried, state.begin());
        for (size_t i = 0; i < parts.collected; i++)
            collected[i].push_back(results[1 + parts.carried + i]);
    }
    for (size_t i = 0; i < parts.carried; i++)
        if (context.wants(i))
            copy_to_output(context, i, state[i]);
    for (size_t i = 0; i < parts.collected; i++) {
        if (!context.wants(parts.carried + i))
            continue;
        if (collected[i].empty())
            stack_nothing(context, parts, parts.carried + i);
        else
            stack(context, parts.carried + i, collected[i]);
    }
}

constexpr Op rows[] = {
    {"If", 1, -1, -1, if_rule, run_if},
    {"Loop", 0, -1, -1, loop_rule, run_loop},
};

} // namespace

std::span<const Op> control_ops()
{
    return rows;
}

} // namespace leat
