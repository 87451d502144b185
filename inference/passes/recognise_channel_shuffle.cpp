#include "inference/passes.h"
#include "rewriter.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace leat {
namespace {

bool is_plain(const Rewriter &graph, int index, std::string_view op)
{
    return graph.is(index, op) && graph.node(index).post_ops.empty();
}

const Shape *shape_of(const Rewriter &graph, ValueId id)
{
    const auto &shape = graph.value(id).shape;
    return shape ? &*shape : nullptr;
}

/// -1 when the size is not known.
int64_t channels_of(const Rewriter &graph, ValueId id)
{
    const Shape *shape = shape_of(graph, id);
    return shape && shape->size() > 1 ? (*shape)[1] : -1;
}

/// Batch, channels, which so many axes hold, and elements of a channel; -1: not known.
Shape merged(const Shape &shape, size_t channel_axes)
{
    const auto product = [&](size_t first, size_t last) {
        const Shape axes(shape.begin() + static_cast<ptrdiff_t>(first), shape.begin() + static_cast<ptrdiff_t>(last));
        return is_static(axes) ? count_of(axes) : -1;
    };
    return {shape[0], product(1, 1 + channel_axes), product(1 + channel_axes, shape.size())};
}

/// Whether two shapes with as many elements are the same: one size that is not known follows from the others.
bool same(const Shape &a, const Shape &b)
{
    return a == b && std::count(a.begin(), a.end(), -1) <= 1 && std::count(a.begin(), a.end(), 0) == 0;
}

struct Shuffle {
    ValueId source;
    int64_t groups;
};

/// Reshape to batch x groups x channels of a group x …, Transpose of the two, Reshape back.
std::optional<Shuffle> shuffle_of(const Rewriter &graph, int index)
{
    if (!is_plain(graph, index, "Reshape"))
        return {};
    const ValueId exchanged = graph.node(index).inputs[0];
    const int exchange = graph.maker(exchanged);
    if (!is_plain(graph, exchange, "Transpose") || graph.only_reader(exchanged) != index)
        return {};
    const ValueId divided = graph.node(exchange).inputs[0];
    const int division = graph.maker(divided);
    if (!is_plain(graph, division, "Reshape") || graph.only_reader(divided) != exchange)
        return {};
    const ValueId source = graph.node(division).inputs[0];
    const Shape *before = shape_of(graph, source), *between = shape_of(graph, divided),
                *after = shape_of(graph, graph.node(index).outputs[0]);
    auto perm = graph.node(exchange).attributes.integers("perm");
    if (!before || !between || !after || before->size() < 2 || between->size() < 3 || perm.size() != between->size())
        return {};
    std::swap(perm[1], perm[2]);
    for (size_t i = 0; i < perm.size(); i++)
        if (perm[i] != static_cast<int64_t>(i))
            return {};
    const int64_t groups = (*between)[1];
    if (groups < 2 || !same(merged(*before, 1), merged(*between, 2)) || !same(*before, *after))
        return {};
    return Shuffle{source, groups};
}

ValueId add_value(Rewriter &graph, const std::string &name, Type type)
{
    Value value;
    value.name = name;
    value.type = type;
    return graph.add_value(std::move(value));
}

/// The groups of channels: what a Concat puts together, or what a Split makes.
std::vector<ValueId> groups_of(Rewriter &graph, const Shuffle &shuffle)
{
    const Value source = graph.value(shuffle.source);
    const int64_t each = (*source.shape)[1] / shuffle.groups;
    const int maker = graph.maker(shuffle.source);
    if (is_plain(graph, maker, "Concat") &&
        normal_axis(graph.node(maker).attributes.integer("axis", 0), source.shape->size()) == 1) {
        const std::vector<ValueId> &joined = graph.node(maker).inputs;
        if (std::all_of(joined.begin(), joined.end(), [&](ValueId id) { return channels_of(graph, id) == each; }))
            return joined;
    }
    Node split;
    split.op = &op("Split");
    split.name = source.name + "/groups";
    split.inputs = {shuffle.source};
    split.attributes.set("axis", int64_t(1));
    for (int64_t i = 0; i < shuffle.groups; i++)
        split.outputs.push_back(add_value(graph, source.name + "/group " + std::to_string(i), source.type));
    const std::vector<ValueId> made = split.outputs;
    graph.add(std::move(split));
    return made;
}

bool recognise(Rewriter &graph, int index)
{
    const auto shuffle = shuffle_of(graph, index);
    if (!shuffle)
        return false;
    const std::vector<ValueId> groups = groups_of(graph, *shuffle);
    graph.change(index, [&](Node &node) {
        node.op = &op("Interleave");
        node.inputs = groups;
        node.attributes = {};
        node.attributes.set("axis", int64_t(1));
    });
    return true;
}

/// Channels of a value from `start` on.
struct Part {
    ValueId made;
    int64_t start, count;
};

/// What a Slice takes, if it takes all of the other axes.
std::optional<Part> sliced(const Rewriter &graph, const Node &node)
{
    const auto integers = [&](size_t input, std::vector<int64_t> otherwise) -> std::optional<std::vector<int64_t>> {
        if (input >= node.inputs.size() || node.inputs[input] == no_value)
            return otherwise;
        const Tensor *constant = graph.constant(node.inputs[input]);
        return constant ? std::optional(constant->to_int64()) : std::nullopt;
    };
    const Shape *from = shape_of(graph, node.inputs[0]), *to = shape_of(graph, node.outputs[0]);
    const auto starts = integers(1, {});
    if (!from || !to || !starts)
        return {};
    std::vector<int64_t> all(starts->size());
    std::iota(all.begin(), all.end(), int64_t(0));
    const auto axes = integers(3, all), steps = integers(4, std::vector<int64_t>(all.size(), 1));
    if (!axes || !steps || axes->size() != starts->size() ||
        std::any_of(steps->begin(), steps->end(), [](int64_t step) { return step != 1; }))
        return {};
    Part part{node.outputs[0], 0, (*to)[1]};
    for (size_t i = 0; i < axes->size(); i++) {
        const size_t axis = normal_axis((*axes)[i], from->size());
        const int64_t size = (*from)[axis], start = (*starts)[i];
        if (size < 0 || (axis != 1 && (*to)[axis] != size))
            return {};
        if (axis == 1)
            part.start = std::clamp<int64_t>(start < 0 ? start + size : start, 0, size);
    }
    return part;
}

/// The parts into which the node cuts the channels of what it reads; empty when it does something else.
std::vector<Part> parts_of(const Rewriter &graph, int index)
{
    if (is_plain(graph, index, "Slice")) {
        const auto part = sliced(graph, graph.node(index));
        return part ? std::vector{*part} : std::vector<Part>();
    }
    const Node &node = graph.node(index);
    if (!is_plain(graph, index, "Split"))
        return {};
    const Shape *from = shape_of(graph, node.inputs[0]);
    if (!from || normal_axis(node.attributes.integer("axis", 0), from->size()) != 1)
        return {};
    std::vector<Part> parts;
    int64_t start = 0;
    for (ValueId id : node.outputs) {
        if (id == no_value || channels_of(graph, id) < 0)
            return {};
        parts.push_back({id, start, channels_of(graph, id)});
        start += parts.back().count;
    }
    return parts;
}

/// Makes the part of an Interleave out of the same part of each of its groups.
void interleave_part(Rewriter &graph, const std::vector<ValueId> &groups, const Part &part, const std::string &name)
{
    const auto count = static_cast<int64_t>(groups.size());
    const auto constant = [&](const char *what, int64_t value) {
        return graph.graph().add_constant(name + what, Tensor::of<int64_t>({1}, {value}));
    };
    const ValueId start = constant("/start", part.start / count),
                  end = constant("/end", (part.start + part.count) / count), axis = constant("/axis", 1);
    Node interleave;
    interleave.op = &op("Interleave");
    interleave.name = name;
    interleave.outputs = {part.made};
    interleave.attributes.set("axis", int64_t(1));
    for (size_t i = 0; i < groups.size(); i++) {
        Node slice;
        slice.op = &op("Slice");
        slice.name = name + "/group " + std::to_string(i);
        slice.inputs = {groups[i], start, end, axis};
        slice.outputs = {add_value(graph, slice.name, graph.value(part.made).type)};
        interleave.inputs.push_back(slice.outputs[0]);
        graph.add(std::move(slice));
    }
    graph.add(std::move(interleave));
}

/// Where everybody reads parts that hold as many channels of each group, each part is interleaved on its own, and lies
/// without gaps.
bool interleave_parts(Rewriter &graph, int index)
{
    if (!is_plain(graph, index, "Interleave") || graph.node(index).attributes.integer("axis", 0) != 1)
        return false;
    const ValueId whole = graph.node(index).outputs[0];
    const std::vector<ValueId> groups = graph.node(index).inputs;
    const auto count = static_cast<int64_t>(groups.size());
    const std::vector<int> readers = graph.readers(whole);
    if (readers.empty() || graph.is_output(whole))
        return false;
    std::vector<std::vector<Part>> parts;
    for (int reader : readers) {
        const auto &made = parts.emplace_back(parts_of(graph, reader));
        if (made.empty() || std::any_of(made.begin(), made.end(), [&](const Part &part) {
                return part.start % count != 0 || part.count % count != 0;
            }))
            return false;
    }
    for (size_t i = 0; i < readers.size(); i++) {
        const std::string name = graph.node(readers[i]).name;
        graph.remove(readers[i]);
        for (const Part &part : parts[i])
            interleave_part(graph, groups, part, name);
    }
    graph.remove(index);
    return true;
}

} // namespace

int recognise_channel_shuffle(Graph &graph)
{
    Rewriter rewriter(graph);
    int changes = 0;
    for (int n = 0; n < rewriter.nodes(); n++)
        changes += recognise(rewriter, n);
    for (int n = 0; n < rewriter.nodes(); n++)
        changes += interleave_parts(rewriter, n);
    return changes;
}

} // namespace leat
