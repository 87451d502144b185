#include "onnx_scope.h"

#include <functional>
#include <queue>
#include <set>

namespace leat {

std::optional<ValueId> find_value(OnnxScope &scope, const std::string &name)
{
    if (const auto found = scope.names.find(name); found != scope.names.end())
        return found->second;
    if (!scope.outer)
        return {};
    const auto outside = find_value(*scope.outer, name);
    if (!outside || *outside == no_value)
        return outside;
    const Value &original = scope.outer->graph.values[*outside];
    ValueId id;
    if (original.constant) {
        id = scope.graph.add_constant(original.name, original.constant);
    } else {
        id = scope.graph.add_value(original);
        scope.captured.emplace_back(*outside, id);
    }
    if (const auto rank = scope.outer->ranks.find(*outside); rank != scope.outer->ranks.end())
        scope.ranks[id] = rank->second;
    scope.names[name] = id;
    return id;
}

std::string name_of(const onnx::NodeProto &node, int index)
{
    return node.name().empty() ? node.op_type() + "_" + std::to_string(index) : node.name();
}

namespace {

/// Names that the nodes of the graph, or its outputs, read from outside of it.
std::set<std::string> free_names(const onnx::GraphProto &graph);

void add_names_read(const onnx::NodeProto &node, std::set<std::string> &names)
{
    names.insert(node.input().begin(), node.input().end());
    for (const auto &attribute : node.attribute())
        if (attribute.has_g())
            names.merge(free_names(attribute.g()));
}

std::set<std::string> free_names(const onnx::GraphProto &graph)
{
    std::set<std::string> names;
    for (const auto &node : graph.node())
        add_names_read(node, names);
    for (const auto &output : graph.output())
        names.insert(output.name());
    for (const auto &node : graph.node())
        for (const auto &output : node.output())
            names.erase(output);
    for (const auto &input : graph.input())
        names.erase(input.name());
    for (const auto &initializer : graph.initializer())
        names.erase(initializer.name());
    return names;
}

std::string quoted_name(const OnnxNodes &nodes, int index)
{
    return '"' + name_of(nodes[index], index) + '"';
}

/// The node that makes each name.
std::unordered_map<std::string, int> find_makers(const OnnxNodes &nodes, const OnnxScope &scope)
{
    std::unordered_map<std::string, int> makers;
    for (int i = 0; i < nodes.size(); i++)
        for (const std::string &output : nodes[i].output()) {
            if (output.empty())
                continue;
            if (scope.names.count(output))
                throw Error("node " + quoted_name(nodes, i) + " makes " + "\"" + output + "\"" +
                            ", which is an input or initializer of the graph already");
            const auto [maker, is_new] = makers.emplace(output, i);
            if (!is_new)
                throw Error("node " + quoted_name(nodes, i) + " makes " + "\"" + output + "\"" + ", which node " +
                            quoted_name(nodes, maker->second) + " makes already");
        }
    return makers;
}

} // namespace

std::vector<int> runnable_order(const OnnxNodes &nodes, const OnnxScope &scope)
{
    const auto makers = find_makers(nodes, scope);
    std::vector<std::vector<int>> readers(static_cast<size_t>(nodes.size()));
    std::vector<int> waiting(static_cast<size_t>(nodes.size()), 0);
    for (int i = 0; i < nodes.size(); i++) {
        std::set<std::string> names;
        add_names_read(nodes[i], names);
        for (const std::string &name : names)
            if (const auto maker = makers.find(name); maker != makers.end()) {
                readers[static_cast<size_t>(maker->second)].push_back(i);
                waiting[static_cast<size_t>(i)]++;
            }
    }
    std::priority_queue<int, std::vector<int>, std::greater<>> ready;
    for (int i = 0; i < nodes.size(); i++)
        if (waiting[static_cast<size_t>(i)] == 0)
            ready.push(i);
    std::vector<int> order;
    while (!ready.empty()) {
        order.push_back(ready.top());
        ready.pop();
        for (int reader : readers[static_cast<size_t>(order.back())])
            if (--waiting[static_cast<size_t>(reader)] == 0)
                ready.push(reader);
    }
    for (int i = 0; i < nodes.size(); i++)
        if (waiting[static_cast<size_t>(i)] != 0)
            throw Error("node " + quoted_name(nodes, i) + " depends on its own output");
    return order;
}
} // namespace leat
