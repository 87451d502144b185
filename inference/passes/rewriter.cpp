#include "rewriter.h"

#include <algorithm>

namespace leat {

Rewriter::Rewriter(Graph &graph)
    : graph_(graph), makers_(graph.producers()), readers_(graph.consumers()), is_output_(graph.values.size(), false)
{
    for (ValueId id : graph.outputs)
        is_output_[id] = true;
}

bool Rewriter::is(int index, std::string_view op) const
{
    return index >= 0 && !node(index).outputs.empty() && node(index).op->name == op;
}

int Rewriter::only_reader(ValueId id) const
{
    return id != no_value && !is_output_[id] && readers_[id].size() == 1 ? readers_[id][0] : -1;
}

const Tensor *Rewriter::constant(ValueId id) const
{
    return graph_.is_constant(id) ? &graph_.values[id].constant : nullptr;
}

std::optional<float> Rewriter::scalar(ValueId id) const
{
    const Tensor *tensor = constant(id);
    if (!tensor || tensor->count() != 1)
        return {};
    return *tensor->converted(Type::f32).data<float>();
}

void Rewriter::link(int index)
{
    makers_.resize(graph_.values.size(), -1);
    readers_.resize(graph_.values.size());
    is_output_.resize(graph_.values.size(), false);
    for (ValueId id : Graph::reads(node(index)))
        readers_[id].push_back(index);
    for (ValueId id : node(index).outputs)
        if (id != no_value)
            makers_[id] = index;
}

void Rewriter::unlink(int index)
{
    for (ValueId id : Graph::reads(node(index)))
        readers_[id].erase(std::find(readers_[id].begin(), readers_[id].end(), index));
    for (ValueId id : node(index).outputs)
        if (id != no_value && makers_[id] == index)
            makers_[id] = -1;
}

int Rewriter::add(Node node)
{
    graph_.nodes.push_back(std::move(node));
    link(nodes() - 1);
    return nodes() - 1;
}

ValueId Rewriter::add_value(Value value)
{
    const ValueId id = graph_.add_value(std::move(value));
    makers_.push_back(-1);
    readers_.emplace_back();
    is_output_.push_back(false);
    return id;
}

void Rewriter::remove(int index)
{
    change(index, [](Node &gone) {
        gone.inputs.clear();
        gone.outputs.clear();
        gone.post_ops.clear();
    });
}

void Rewriter::take_over(int index, int last)
{
    const ValueId made = node(last).outputs[0];
    remove(last);
    change(index, [&](Node &node) { node.outputs[0] = made; });
}

void Rewriter::move_readers(ValueId from, ValueId to)
{
    std::vector<int> readers = readers_[from];
    std::sort(readers.begin(), readers.end());
    readers.erase(std::unique(readers.begin(), readers.end()), readers.end());
    for (int reader : readers)
        change(reader, [&](Node &node) {
            std::replace(node.inputs.begin(), node.inputs.end(), from, to);
            for (PostOp &post : node.post_ops)
                if (post.input == from)
                    post.input = to;
        });
}

bool Rewriter::bypass(int index, ValueId in)
{
    const ValueId out = node(index).outputs[0];
    if (!is_output_[out]) {
        remove(index);
        move_readers(out, in);
        return true;
    }
    // The output's name must stay: whoever makes the input makes the output instead.
    const int source = maker(in);
    if (source < 0 || is_output_[in])
        return false;
    remove(index);
    move_readers(in, out);
    change(source, [&](Node &node) { std::replace(node.outputs.begin(), node.outputs.end(), in, out); });
    return true;
}

} // namespace leat
