#include "batching.h"
#include "ops.h"
#include "ports.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

namespace leat {
namespace {

std::string describe(const Node &node)
{
    return "node \"" + node.name + "\" (" + std::string(node.op->name) + ")";
}

/// `count` copies side by side along an axis.
Tensor repeated(const Tensor &once, size_t axis, int64_t count)
{
    Shape shape = once.shape();
    shape[axis] *= count;
    Tensor many(once.type(), shape);
    int64_t outer = 1;
    for (size_t a = 0; a < axis; a++)
        outer *= shape[a];
    const size_t piece = outer ? once.bytes() / static_cast<size_t>(outer) : 0;
    std::byte *to = many.raw();
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < count; i++, to += piece)
            std::memcpy(to, once.raw() + static_cast<size_t>(o) * piece, piece);
    return many;
}

Tensor integers(std::vector<int64_t> values)
{
    const auto size = static_cast<int64_t>(values.size());
    return Tensor::of<int64_t>({size}, std::move(values));
}

/// Follows the axis that separates the jobs through a graph, and rewrites what would not hold for many.
///
/// Along that axis a batch has what one job has, as often as there are jobs, one job after the other. For one job it
/// may be longer than 1: a Reshape from 1x4420x2 to 4420x2 leaves the jobs apart.
class Batching {
  public:
    Batching(const Graph &graph, int64_t count) : graph_(graph), count_(count), axes_(graph.values.size()) {}

    Graph run()
    {
        std::vector<Node> nodes = std::move(graph_.nodes);
        graph_.nodes.clear();
        join_inputs(nodes);
        for (Node &node : nodes) {
            in_context(describe(node), [&] { follow(node); });
            graph_.nodes.push_back(std::move(node));
        }
        split_outputs();
        for (size_t v = 0; v < axes_.size(); v++)
            if (axes_[v])
                (*graph_.values[v].shape)[*axes_[v]] *= count_;
        const std::vector<Value> expected = graph_.values;
        infer_shapes(graph_);
        for (size_t v = 0; v < axes_.size(); v++)
            if (axes_[v] && graph_.values[v].shape != expected[v].shape)
                throw Error("the value \"" + expected[v].name + "\" of a batch has another shape than that of one job");
        graph_.tidy();
        graph_.verify();
        return std::move(graph_);
    }

  private:
    using Rule = void (Batching::*)(Node &);
    struct Row {
        std::string_view op;
        Rule rule;
    };
    static std::span<const Row> rows();

    Graph graph_;
    const int64_t count_;
    std::vector<std::optional<size_t>> axes_; // by value: that separates the jobs; nothing: the same for all jobs

    // What the rules see of the node at hand.

    static bool has(const Node &node, size_t input)
    {
        return input < node.inputs.size() && node.inputs[input] != no_value;
    }
    std::optional<size_t> axis_of(const Node &node, size_t input) const
    {
        return has(node, input) ? axes_[node.inputs[input]] : std::nullopt;
    }
    const Shape &shape_of(ValueId id) const
    {
        const auto &shape = graph_.values[id].shape;
        if (!shape || !is_static(*shape))
            throw Error("the sizes of \"" + graph_.values[id].name + "\" are known only while it runs");
        return *shape;
    }
    const Shape &shape_of(const Node &node, size_t input) const { return shape_of(node.inputs[input]); }
    size_t rank_of(const Node &node, size_t input) const { return shape_of(node, input).size(); }
    const Shape &result_of(const Node &node) const { return shape_of(node.outputs[0]); }

    const Tensor &constant(const Node &node, size_t input) const
    {
        if (!graph_.is_constant(node.inputs[input]))
            throw Error("its input " + std::to_string(input) + " is known only while it runs");
        return graph_.values[node.inputs[input]].constant;
    }
    std::vector<int64_t> numbers(const Node &node, size_t input) const
    {
        const Tensor wide = constant(node, input).converted(Type::s64);
        return {wide.values<int64_t>().begin(), wide.values<int64_t>().end()};
    }
    void set_constant(Node &node, size_t input, Tensor tensor)
    {
        const Value &old = graph_.values[node.inputs[input]];
        const std::string name = old.name + " of a batch";
        node.inputs[input] = graph_.add_constant(name, std::move(tensor));
        axes_.resize(graph_.values.size());
    }

    /// All outputs that the node makes have the jobs on that axis.
    void give(const Node &node, size_t axis)
    {
        for (ValueId id : node.outputs)
            if (id != no_value)
                give(id, axis);
    }
    void give(ValueId id, size_t axis)
    {
        if (axis >= shape_of(id).size())
            throw Error("makes \"" + graph_.values[id].name + "\", which has no axis for the jobs of a batch");
        axes_[id] = axis;
    }

    /// Only the first input differs from job to job. Returns its axis.
    size_t first_alone(const Node &node) const
    {
        for (size_t i = 1; i < node.inputs.size(); i++)
            if (axis_of(node, i))
                throw Error("its input " + std::to_string(i) + " differs from job to job");
        return *axis_of(node, 0);
    }

    /// An input of which the jobs share one gets a copy for each.
    void repeat(Node &node, size_t input, size_t axis)
    {
        const Tensor &once = constant(node, input);
        if (axis >= once.rank())
            throw Error("its input " + std::to_string(input) + " has no batch axis");
        Tensor many = repeated(once, axis, count_);
        set_constant(node, input, std::move(many));
    }

    static void refuse_axis() { throw Error("works across the batch axis"); }

    /// Attribute or constant input, as axes of the first input.
    std::vector<size_t> axes_in(const Node &node, size_t input, std::vector<int64_t> otherwise) const
    {
        const std::vector<int64_t> given = has(node, input) ? numbers(node, input) : std::move(otherwise);
        std::vector<size_t> axes;
        for (int64_t axis : given)
            axes.push_back(normal_axis(axis, rank_of(node, 0)));
        return axes;
    }

    // The rules, by family.

    void along_axis(Node &node, int64_t otherwise)
    {
        const size_t jobs = first_alone(node);
        if (normal_axis(node.attributes.integer("axis", otherwise), rank_of(node, 0)) == jobs)
            refuse_axis();
        give(node, jobs);
    }
    void along_last(Node &node) { along_axis(node, -1); }
    void along_first(Node &node) { along_axis(node, 0); }

    void along_input(Node &node) // CumSum
    {
        const size_t jobs = first_alone(node);
        if (axes_in(node, 1, {}) == std::vector{jobs})
            refuse_axis();
        give(node, jobs);
    }

    void from_axis(Node &node) // LayerNormalization: over the axes from that one on
    {
        const size_t jobs = first_alone(node);
        if (normal_axis(node.attributes.integer("axis", -1), rank_of(node, 0)) <= jobs)
            refuse_axis();
        give(node, jobs);
    }

    void over_axes(Node &node) // MeanVarianceNormalization
    {
        const size_t jobs = first_alone(node);
        for (int64_t axis : node.attributes.integers("axes", {0, 2, 3}))
            if (normal_axis(axis, rank_of(node, 0)) == jobs)
                refuse_axis();
        give(node, jobs);
    }

    void arg(Node &node)
    {
        const size_t jobs = first_alone(node);
        const size_t axis = normal_axis(node.attributes.integer("axis", 0), rank_of(node, 0));
        if (axis == jobs)
            refuse_axis();
        give(node, node.attributes.integer("keepdims", 1) == 0 && axis < jobs ? jobs - 1 : jobs);
    }

    void reduce(Node &node)
    {
        const size_t jobs = first_alone(node);
        std::vector<size_t> axes = axes_in(node, 1, {});
        if (axes.empty() && node.attributes.integer("noop_with_empty_axes", 0) == 0)
            refuse_axis();
        size_t before = 0;
        for (size_t axis : axes) {
            if (axis == jobs)
                refuse_axis();
            before += axis < jobs;
        }
        give(node, node.attributes.integer("keepdims", 1) ? jobs : jobs - before);
    }

    /// Windows, channels and the like: axis 0 is the batch by definition.
    void on_axis_0(Node &node)
    {
        if (first_alone(node) != 0)
            throw Error("the jobs of a batch are not on its axis 0");
        if (node.op->name == "MaxPool" && node.outputs.size() > 1 && node.outputs[1] != no_value)
            throw Error("its indices count through the whole batch");
        give(node, 0);
    }

    /// Every input has the batch on axis 0, but for those that are weights.
    void together_on_axis_0(Node &node)
    {
        const bool deform = node.op->name == "DeformConv"; // of which 1 and 3 are weights and bias
        for (size_t i = 0; i < node.inputs.size(); i++) {
            const bool weights = deform && (i == 1 || i == 3);
            const auto jobs = axis_of(node, i);
            if (!has(node, i) || (weights && !jobs))
                continue;
            if (weights || jobs.value_or(0) != 0)
                throw Error("the jobs of a batch are not on axis 0 of its input " + std::to_string(i));
            if (!jobs)
                repeat(node, i, 0);
        }
        give(node, 0);
    }

    /// Broadcast against each other, axes counted from the last.
    void elementwise(Node &node)
    {
        std::optional<size_t> from_last;
        for (size_t i = 0; i < node.inputs.size(); i++)
            if (const auto jobs = axis_of(node, i)) {
                const size_t place = rank_of(node, i) - *jobs;
                if (from_last.value_or(place) != place)
                    throw Error("the jobs of a batch are on different axes of its inputs");
                from_last = place;
            }
        const size_t axis = result_of(node).size() - *from_last;
        for (size_t i = 0; i < node.inputs.size(); i++) {
            const bool reaches = has(node, i) && rank_of(node, i) >= *from_last;
            const int64_t size = reaches ? shape_of(node, i)[rank_of(node, i) - *from_last] : 1;
            if (size != (axis_of(node, i) ? result_of(node)[axis] : 1))
                throw Error("its inputs have different sizes on the axis on which the jobs of a batch are");
        }
        give(node, axis);
    }

    void quantise(Node &node) // QuantizeLinear and DequantizeLinear
    {
        const size_t jobs = first_alone(node);
        const Shape &scales = shape_of(node, 1);
        if (scales.size() > 1)
            throw Error("its scales are in blocks");
        if (count_of(scales) > 1 && normal_axis(node.attributes.integer("axis", 1), rank_of(node, 0)) == jobs)
            refuse_axis();
        give(node, jobs);
    }

    void matmul(Node &node)
    {
        const auto left = axis_of(node, 0), right = axis_of(node, 1);
        const size_t rank_a = rank_of(node, 0), rank_b = rank_of(node, 1);
        for (size_t i = 2; i < node.inputs.size(); i++)
            if (has(node, i) && (axis_of(node, i) || count_of(shape_of(node, i)) > 1))
                throw Error("its zero points differ from row to row");
        if (rank_a < 2 || rank_b < 2)
            throw Error("multiplies a vector");
        const size_t rank = result_of(node).size();
        const bool rows = left && *left == rank_a - 2, columns = right && *right == rank_b - 1;
        if ((rows || columns) && !(left && right))
            return give(node, rows ? rank - 2 : rank - 1);
        if ((left && *left + 2 >= rank_a) || (right && *right + 2 >= rank_b))
            refuse_axis();
        elementwise(node); // the axes before the matrices broadcast
    }

    void gemm(Node &node)
    {
        if (first_alone(node) != (node.attributes.integer("transA", 0) ? 1u : 0u))
            refuse_axis();
        if (has(node, 2) && rank_of(node, 2) == 2 && shape_of(node, 2)[0] > 1)
            throw Error("it adds other numbers to each row");
        give(node, 0);
    }

    void concat(Node &node) // and Interleave
    {
        std::optional<size_t> jobs;
        for (size_t i = 0; i < node.inputs.size(); i++)
            if (const auto axis = axis_of(node, i)) {
                if (jobs.value_or(*axis) != *axis)
                    throw Error("the jobs of a batch are on different axes of its inputs");
                jobs = axis;
            }
        if (normal_axis(node.attributes.integer("axis", 0), result_of(node).size()) == *jobs)
            refuse_axis();
        for (size_t i = 0; i < node.inputs.size(); i++)
            if (!axis_of(node, i))
                repeat(node, i, *jobs);
        give(node, *jobs);
    }

    void transpose(Node &node)
    {
        const size_t jobs = first_alone(node);
        std::vector<int64_t> backwards(rank_of(node, 0));
        std::iota(backwards.rbegin(), backwards.rend(), 0);
        const auto order = node.attributes.integers("perm", backwards);
        const auto found = std::find(order.begin(), order.end(), static_cast<int64_t>(jobs));
        give(node, static_cast<size_t>(found - order.begin()));
    }

    /// Flatten, Reshape, Squeeze and Unsqueeze become a Reshape to the sizes of a batch.
    void become_reshape(Node &node, size_t axis)
    {
        give(node, axis);
        Shape sizes = result_of(node);
        sizes[axis] *= count_;
        Node reshape;
        reshape.op = &op("Reshape");
        reshape.name = node.name;
        reshape.inputs = {node.inputs[0], graph_.add_constant(node.name + "/sizes of a batch", integers(sizes))};
        reshape.outputs = node.outputs;
        reshape.attributes.set("allowzero", int64_t(1));
        axes_.resize(graph_.values.size());
        node = std::move(reshape);
    }

    /// The jobs stay apart where as many elements lie outside of their axis as before.
    void reshape(Node &node)
    {
        const size_t jobs = *axis_of(node, 0);
        auto outside = [](const Shape &shape, size_t axis) {
            return std::accumulate(shape.begin(), shape.begin() + static_cast<long>(axis), int64_t(1),
                                   std::multiplies());
        };
        const Shape &from = shape_of(node, 0), &to = result_of(node);
        const int64_t wanted = outside(from, jobs);
        size_t axis = to.size();
        for (size_t a = 0; a < to.size(); a++) {
            if (outside(to, a) != wanted)
                continue;
            const bool better = axis == to.size() || (to[axis] != 1 && to[a] == 1) || (to[a] == 1 && a == jobs);
            axis = better ? a : axis;
        }
        if (axis == to.size())
            throw Error("merges the jobs of a batch into other axes: " + to_string(from) + " becomes " + to_string(to));
        become_reshape(node, axis);
    }

    void squeeze(Node &node)
    {
        const size_t jobs = *axis_of(node, 0);
        if (!has(node, 1))
            return reshape(node);
        size_t before = 0;
        for (size_t axis : axes_in(node, 1, {})) {
            if (axis == jobs)
                return reshape(node);
            before += axis < jobs;
        }
        become_reshape(node, jobs - before);
    }

    void unsqueeze(Node &node)
    {
        const size_t rank = result_of(node).size();
        std::vector<bool> is_new(rank, false);
        for (int64_t axis : numbers(node, 1))
            is_new[normal_axis(axis, rank)] = true;
        size_t old = 0, axis = 0;
        for (const size_t jobs = *axis_of(node, 0); axis < rank; axis++)
            if (!is_new[axis] && old++ == jobs)
                break;
        become_reshape(node, axis);
    }

    void slice(Node &node)
    {
        const size_t jobs = first_alone(node);
        std::vector<int64_t> all(numbers(node, 1).size());
        std::iota(all.begin(), all.end(), 0);
        const std::vector<size_t> axes = axes_in(node, 3, all);
        std::vector<int64_t> begins = numbers(node, 1), ends = numbers(node, 2);
        const std::vector<int64_t> steps = has(node, 4) ? numbers(node, 4) : std::vector<int64_t>(axes.size(), 1);
        for (size_t i = 0; i < axes.size(); i++) {
            if (axes[i] != jobs)
                continue;
            if (steps[i] != 1 || result_of(node)[jobs] != shape_of(node, 0)[jobs])
                throw Error("cuts the batch axis");
            begins[i] = 0;
            ends[i] = std::numeric_limits<int64_t>::max();
            set_constant(node, 1, integers(begins));
            set_constant(node, 2, integers(ends));
        }
        give(node, jobs);
    }

    void gather(Node &node)
    {
        const size_t axis = normal_axis(node.attributes.integer("axis", 0), rank_of(node, 0));
        const auto data = axis_of(node, 0), indices = axis_of(node, 1);
        if (data && indices)
            throw Error("picks from each job by indices of its own");
        if (indices)
            return give(node, axis + *indices);
        if (*data == axis && shape_of(node, 0)[axis] == 1 && count_of(shape_of(node, 1)) == 1)
            return reshape(node); // the only one there is
        if (*data == axis)
            throw Error("picks from the batch axis");
        give(node, *data < axis ? *data : *data - 1 + rank_of(node, 1));
    }

    void gather_elements(Node &node)
    {
        const auto data = axis_of(node, 0), indices = axis_of(node, 1);
        const size_t jobs = data.value_or(indices.value_or(0));
        if (indices.value_or(jobs) != jobs ||
            normal_axis(node.attributes.integer("axis", 0), rank_of(node, 0)) == jobs ||
            shape_of(node, 0)[jobs] != shape_of(node, 1)[jobs])
            refuse_axis();
        for (size_t i = 0; i < 2; i++)
            if (!axis_of(node, i))
                repeat(node, i, jobs);
        give(node, jobs);
    }

    void pad(Node &node)
    {
        const size_t jobs = first_alone(node);
        const std::vector<int64_t> pads = numbers(node, 1);
        std::vector<int64_t> all(pads.size() / 2);
        std::iota(all.begin(), all.end(), 0);
        const std::vector<size_t> axes = axes_in(node, 3, all);
        for (size_t i = 0; i < axes.size(); i++)
            if (axes[i] == jobs && (pads[i] != 0 || pads[i + axes.size()] != 0))
                throw Error("pads the batch axis");
        give(node, jobs);
    }

    void expand(Node &node)
    {
        const size_t jobs = first_alone(node), from_last = rank_of(node, 0) - jobs;
        const size_t axis = result_of(node).size() - from_last;
        if (result_of(node)[axis] != shape_of(node, 0)[jobs])
            throw Error("repeats the batch axis");
        Shape sizes = result_of(node);
        sizes[axis] = 1;
        set_constant(node, 1, integers(sizes));
        give(node, axis);
    }

    void tile(Node &node)
    {
        const size_t jobs = first_alone(node);
        if (numbers(node, 1).at(jobs) != 1)
            throw Error("repeats the batch axis");
        give(node, jobs);
    }

    void trilu(Node &node)
    {
        const size_t jobs = first_alone(node);
        if (jobs + 2 >= rank_of(node, 0))
            refuse_axis();
        give(node, jobs);
    }

    void resize(Node &node)
    {
        const size_t jobs = first_alone(node), rank = rank_of(node, 0);
        std::vector<int64_t> axes(rank);
        std::iota(axes.begin(), axes.end(), 0);
        axes = node.attributes.integers("axes", axes);
        for (size_t i = 0; i < axes.size(); i++) {
            if (normal_axis(axes[i], rank) != jobs)
                continue;
            if (result_of(node)[jobs] != shape_of(node, 0)[jobs])
                throw Error("resizes the batch axis");
            if (has(node, 3) && constant(node, 3).count() > 0) {
                std::vector<int64_t> sizes = numbers(node, 3);
                sizes.at(i) *= count_;
                set_constant(node, 3, integers(sizes));
            }
        }
        give(node, jobs);
    }

    void recurrent(Node &node)
    {
        if (node.attributes.integer("layout", 0) != 0 || axis_of(node, 0) != 1u)
            throw Error("the jobs of a batch are not on axis 1 of its input");
        for (size_t i = 1; i < node.inputs.size(); i++) {
            const bool state = i == 5 || (i == 6 && node.op->name == "LSTM");
            if (!has(node, i) || (!state && i != 4 && !axis_of(node, i)))
                continue;
            if (!state || axis_of(node, i).value_or(1) != 1)
                throw Error("its input " + std::to_string(i) + " differs from job to job");
            if (!axis_of(node, i))
                repeat(node, i, 1);
        }
        for (size_t i = 0; i < node.outputs.size(); i++)
            if (node.outputs[i] != no_value)
                give(node.outputs[i], i == 0 ? 2 : 1);
    }

    Rule rule_of(const Op &op) const
    {
        for (const Row &row : rows())
            if (row.op == op.name)
                return row.rule;
        if (std::ranges::any_of(elementwise_ops(), [&](const Op &each) { return &each == &op; }))
            return &Batching::elementwise;
        if (op.name.starts_with("Reduce"))
            return &Batching::reduce;
        throw Error("this op is not known to treat the jobs of a batch apart");
    }

    void follow(Node &node)
    {
        const std::vector<ValueId> read = Graph::reads(node);
        if (std::none_of(read.begin(), read.end(), [&](ValueId id) { return axes_[id].has_value(); }))
            return;
        if (!node.post_ops.empty())
            throw Error("it has post-ops already");
        for (ValueId id : read)
            shape_of(id);
        (this->*rule_of(*node.op))(node);
    }

    void join_inputs(std::vector<Node> &nodes)
    {
        const std::vector<ValueId> inputs = std::move(graph_.inputs);
        graph_.inputs.clear();
        for (ValueId id : inputs) {
            std::vector<ValueId> parts;
            for (int64_t i = 0; i < count_; i++) {
                Value part = graph_.values[id];
                part.name += " of job " + std::to_string(i);
                parts.push_back(graph_.add_value(std::move(part)));
            }
            axes_.resize(graph_.values.size());
            graph_.inputs.insert(graph_.inputs.end(), parts.begin(), parts.end());
            const auto image =
                std::find_if(nodes.begin(), nodes.end(), [&](const Node &node) { return reads_picture(node, id); });
            if (image == nodes.end())
                join(id, std::move(parts));
            else
                join_images(nodes, image, std::move(parts));
        }
    }

    void join(ValueId id, std::vector<ValueId> parts)
    {
        const Value &value = graph_.values[id];
        in_context("input \"" + value.name + "\"", [&] {
            if (shape_of(id).empty())
                throw Error("it has no axis on which jobs could be joined");
        });
        Node concat;
        concat.op = &op("Concat");
        concat.name = value.name + "/batch";
        concat.inputs = std::move(parts);
        concat.outputs = {id};
        concat.attributes.set("axis", int64_t(0));
        axes_[id] = 0;
        graph_.nodes.push_back(std::move(concat));
    }

    void join_images(std::vector<Node> &nodes, std::vector<Node>::iterator image, std::vector<ValueId> parts)
    {
        image->inputs = std::move(parts);
        axes_[image->outputs[0]] = 0;
        graph_.nodes.push_back(std::move(*image));
        nodes.erase(image);
    }

    void split_outputs()
    {
        const std::vector<ValueId> outputs = std::move(graph_.outputs);
        graph_.outputs.clear();
        for (ValueId id : outputs) {
            const Value value = graph_.values[id];
            if (!axes_[id])
                throw Error("the output \"" + value.name + "\" does not depend on the inputs");
            Node split;
            split.op = &op("Split");
            split.name = value.name + "/batch";
            split.inputs = {id};
            split.attributes.set("axis", static_cast<int64_t>(*axes_[id]));
            for (int64_t i = 0; i < count_; i++) {
                Value part = value;
                part.name += " of job " + std::to_string(i);
                split.outputs.push_back(graph_.add_value(std::move(part)));
            }
            axes_.resize(graph_.values.size());
            graph_.outputs.insert(graph_.outputs.end(), split.outputs.begin(), split.outputs.end());
            graph_.nodes.push_back(std::move(split));
        }
    }
};

/// To add an op whose nodes treat the jobs of a batch apart: a row here, and a case in
/// tests/inference/batching_test.cpp.
std::span<const Batching::Row> Batching::rows()
{
    static constexpr Row table[] = {
        {"AdaptiveAvgPool", &Batching::on_axis_0},
        {"AdaptiveMaxPool", &Batching::on_axis_0},
        {"ArgMax", &Batching::arg},
        {"ArgMin", &Batching::arg},
        {"AveragePool", &Batching::on_axis_0},
        {"BatchNormalization", &Batching::on_axis_0},
        {"Concat", &Batching::concat},
        {"Conv", &Batching::on_axis_0},
        {"ConvInteger", &Batching::on_axis_0},
        {"ConvTranspose", &Batching::on_axis_0},
        {"CumSum", &Batching::along_input},
        {"DeformConv", &Batching::together_on_axis_0},
        {"DepthToSpace", &Batching::on_axis_0},
        {"DequantizeLinear", &Batching::quantise},
        {"Expand", &Batching::expand},
        {"FakeQuantize", &Batching::elementwise},
        {"Flatten", &Batching::reshape},
        {"GRU", &Batching::recurrent},
        {"Gather", &Batching::gather},
        {"GatherElements", &Batching::gather_elements},
        {"Gemm", &Batching::gemm},
        {"GlobalAveragePool", &Batching::on_axis_0},
        {"GlobalLpPool", &Batching::on_axis_0},
        {"GlobalMaxPool", &Batching::on_axis_0},
        {"GridSample", &Batching::together_on_axis_0},
        {"GroupNormalization", &Batching::on_axis_0},
        {"Hardmax", &Batching::along_last},
        {"InstanceNormalization", &Batching::on_axis_0},
        {"Interleave", &Batching::concat},
        {"LRN", &Batching::on_axis_0},
        {"LSTM", &Batching::recurrent},
        {"LayerNormalization", &Batching::from_axis},
        {"LogSoftmax", &Batching::along_last},
        {"LpNormalization", &Batching::along_last},
        {"LpPool", &Batching::on_axis_0},
        {"MatMul", &Batching::matmul},
        {"MatMulInteger", &Batching::matmul},
        {"MaxPool", &Batching::on_axis_0},
        {"MeanVarianceNormalization", &Batching::over_axes},
        {"Pad", &Batching::pad},
        {"QLinearConv", &Batching::on_axis_0},
        {"QuantizeLinear", &Batching::quantise},
        {"RMSNormalization", &Batching::from_axis},
        {"RNN", &Batching::recurrent},
        {"Reshape", &Batching::reshape},
        {"Resize", &Batching::resize},
        {"Slice", &Batching::slice},
        {"Softmax", &Batching::along_last},
        {"SpaceToDepth", &Batching::on_axis_0},
        {"Split", &Batching::along_first},
        {"Squeeze", &Batching::squeeze},
        {"Tile", &Batching::tile},
        {"TopK", &Batching::along_last},
        {"Transpose", &Batching::transpose},
        {"Trilu", &Batching::trilu},
        {"Unsqueeze", &Batching::unsqueeze},
    };
    return table;
}

} // namespace

Graph batched(const Graph &graph, int64_t count)
{
    return Batching(graph, count).run();
}

} // namespace leat
