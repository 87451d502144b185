#include "graph.h"
#include "ops.h"

#include <algorithm>
#include <queue>

namespace leat {
namespace {

template <class T>
const T *find_as(const std::map<std::string, Attribute> &map, const std::string &name, const char *wanted)
{
    const auto found = map.find(name);
    if (found == map.end())
        return nullptr;
    const T *value = std::get_if<T>(&found->second);
    if (!value)
        throw Error("attribute " + name + " is not " + wanted);
    return value;
}

std::string describe(const Node &node)
{
    return "node \"" + node.name + "\" (" + std::string(node.op ? node.op->name : "no op") + ")";
}

void check_ids(const Graph &graph, const Node &node)
{
    auto check = [&](ValueId id) {
        if (id != no_value && id >= graph.values.size())
            throw Error(describe(node) + " refers to a value that does not exist");
    };
    for (ValueId id : node.inputs)
        check(id);
    for (ValueId id : node.outputs)
        check(id);
    for (const PostOp &post : node.post_ops)
        check(post.input);
}

void check_arity(const Node &node)
{
    const int inputs = static_cast<int>(node.inputs.size()), outputs = static_cast<int>(node.outputs.size());
    const Op &row = *node.op;
    if (inputs < row.min_inputs || (row.max_inputs >= 0 && inputs > row.max_inputs))
        throw Error(describe(node) + " has " + std::to_string(inputs) + " inputs, want " +
                    std::to_string(row.min_inputs) +
                    (row.max_inputs == row.min_inputs ? ""
                     : row.max_inputs < 0             ? " or more"
                                                      : " to " + std::to_string(row.max_inputs)));
    if (outputs < 1 || (row.max_outputs >= 0 && outputs > row.max_outputs))
        throw Error(describe(node) + " has " + std::to_string(outputs) + " outputs, want 1 to " +
                    std::to_string(row.max_outputs));
    for (int i = 0; i < row.min_inputs; i++)
        if (node.inputs[static_cast<size_t>(i)] == no_value)
            throw Error(describe(node) + " lacks its input " + std::to_string(i));
}

/// Node indices in an order in which they can run; the original order where that is free.
std::vector<size_t> runnable_order(const Graph &graph)
{
    const auto maker = graph.producers();
    std::vector<int> waiting(graph.nodes.size(), 0);
    std::vector<std::vector<size_t>> readers(graph.nodes.size());
    for (size_t n = 0; n < graph.nodes.size(); n++)
        for (ValueId id : Graph::reads(graph.nodes[n]))
            if (maker[id] >= 0) {
                waiting[n]++;
                readers[static_cast<size_t>(maker[id])].push_back(n);
            }
    std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
    for (size_t n = 0; n < graph.nodes.size(); n++)
        if (!waiting[n])
            ready.push(n);
    std::vector<size_t> order;
    while (!ready.empty()) {
        const size_t n = ready.top();
        ready.pop();
        order.push_back(n);
        for (size_t reader : readers[n])
            if (--waiting[reader] == 0)
                ready.push(reader);
    }
    if (order.size() != graph.nodes.size()) {
        for (size_t n = 0; n < graph.nodes.size(); n++)
            if (waiting[n])
                throw Error(describe(graph.nodes[n]) + " depends on its own output");
    }
    return order;
}

} // namespace

int64_t Attributes::integer(const std::string &name, int64_t otherwise) const
{
    const auto *value = find_as<int64_t>(map_, name, "an integer");
    return value ? *value : otherwise;
}

float Attributes::number(const std::string &name, float otherwise) const
{
    const auto *value = find_as<float>(map_, name, "a number");
    return value ? *value : otherwise;
}

std::string Attributes::text(const std::string &name, const std::string &otherwise) const
{
    const auto *value = find_as<std::string>(map_, name, "a text");
    return value ? *value : otherwise;
}

std::vector<int64_t> Attributes::integers(const std::string &name, std::vector<int64_t> otherwise) const
{
    const auto *value = find_as<std::vector<int64_t>>(map_, name, "a list of integers");
    return value ? *value : otherwise;
}

std::vector<float> Attributes::numbers(const std::string &name, std::vector<float> otherwise) const
{
    const auto *value = find_as<std::vector<float>>(map_, name, "a list of numbers");
    return value ? *value : otherwise;
}

ValueId Graph::add_value(Value value)
{
    values.push_back(std::move(value));
    return static_cast<ValueId>(values.size() - 1);
}

ValueId Graph::add_constant(const std::string &constant_name, Tensor tensor)
{
    Value value;
    value.name = constant_name;
    value.type = tensor.type();
    value.shape = tensor.shape();
    value.constant = std::move(tensor);
    return add_value(std::move(value));
}

std::vector<ValueId> Graph::operands(const Node &node)
{
    std::vector<ValueId> ids = node.inputs;
    for (const PostOp &post : node.post_ops)
        if (post.input != no_value)
            ids.push_back(post.input);
    return ids;
}

std::vector<ValueId> Graph::reads(const Node &node)
{
    std::vector<ValueId> ids = operands(node);
    std::erase(ids, no_value);
    return ids;
}

std::vector<int> Graph::producers() const
{
    std::vector<int> maker(values.size(), -1);
    for (size_t n = 0; n < nodes.size(); n++)
        for (ValueId id : nodes[n].outputs)
            if (id != no_value)
                maker[id] = static_cast<int>(n);
    return maker;
}

std::vector<std::vector<int>> Graph::consumers() const
{
    std::vector<std::vector<int>> readers(values.size());
    for (size_t n = 0; n < nodes.size(); n++)
        for (ValueId id : reads(nodes[n]))
            readers[id].push_back(static_cast<int>(n));
    return readers;
}

void Graph::replace_uses(ValueId from, ValueId to)
{
    for (Node &node : nodes) {
        std::replace(node.inputs.begin(), node.inputs.end(), from, to);
        for (PostOp &post : node.post_ops)
            if (post.input == from)
                post.input = to;
    }
    std::replace(outputs.begin(), outputs.end(), from, to);
}

void Graph::tidy()
{
    const auto order = runnable_order(*this);
    std::vector<bool> needed(values.size(), false);
    for (ValueId id : inputs)
        needed[id] = true;
    for (ValueId id : outputs)
        needed[id] = true;
    std::vector<bool> live(nodes.size(), false);
    for (auto n = order.rbegin(); n != order.rend(); ++n) {
        for (ValueId id : nodes[*n].outputs)
            live[*n] = live[*n] || (id != no_value && needed[id]);
        if (live[*n])
            for (ValueId id : reads(nodes[*n]))
                needed[id] = true;
    }
    std::vector<Node> kept;
    for (size_t n : order)
        if (live[n]) {
            for (ValueId id : nodes[n].outputs)
                if (id != no_value)
                    needed[id] = true;
            kept.push_back(std::move(nodes[n]));
        }
    nodes = std::move(kept);

    std::vector<ValueId> renamed(values.size(), no_value);
    std::vector<Value> kept_values;
    for (size_t v = 0; v < values.size(); v++)
        if (needed[v]) {
            renamed[v] = static_cast<ValueId>(kept_values.size());
            kept_values.push_back(std::move(values[v]));
        }
    values = std::move(kept_values);
    auto rename = [&](ValueId &id) {
        if (id != no_value)
            id = renamed[id];
    };
    for (Node &node : nodes) {
        std::for_each(node.inputs.begin(), node.inputs.end(), rename);
        std::for_each(node.outputs.begin(), node.outputs.end(), rename);
        for (PostOp &post : node.post_ops)
            rename(post.input);
    }
    std::for_each(inputs.begin(), inputs.end(), rename);
    std::for_each(outputs.begin(), outputs.end(), rename);
}

void Graph::verify() const
{
    std::vector<bool> made(values.size(), false);
    for (size_t v = 0; v < values.size(); v++)
        made[v] = bool(values[v].constant);
    for (ValueId id : inputs) {
        if (id >= values.size())
            throw Error("a graph input does not exist");
        made[id] = true;
    }
    for (const Node &node : nodes) {
        if (!node.op)
            throw Error(describe(node) + " has no op");
        check_ids(*this, node);
        check_arity(node);
        for (ValueId id : reads(node))
            if (!made[id])
                throw Error(describe(node) + " reads \"" + values[id].name + "\", which nobody made before it");
        for (ValueId id : node.outputs) {
            if (id == no_value)
                continue;
            if (made[id])
                throw Error(describe(node) + " makes \"" + values[id].name + "\", which somebody else made already");
            made[id] = true;
        }
    }
    for (ValueId id : outputs)
        if (id >= values.size() || !made[id])
            throw Error("the output \"" + (id < values.size() ? values[id].name : std::string("?")) +
                        "\" is made by nobody");
}

} // namespace leat
