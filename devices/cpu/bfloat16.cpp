#include "bfloat16.h"

#include "devices/cpu/estimate.h"
#include "devices/cpu/kernels/vector_functions.h"
#include "devices/cpu/onednn.h"
#include "devices/cpu/team.h"
#include "inference/ops.h"

#include <algorithm>
#include <array>
#include <set>

namespace leat::cpu {
namespace {

template <size_t N> bool is_any(const Node &node, const std::array<std::string_view, N> &names)
{
    return std::find(names.begin(), names.end(), node.op->name) != names.end();
}

bool is_product(const Node &node)
{
    static constexpr std::array<std::string_view, 4> names{"Conv", "ConvTranspose", "Gemm", "MatMul"};
    return is_any(node, names);
}

/// Rounded to nearest even, by all threads together.
Tensor in_bf16(const Tensor &numbers, Slab &memory)
{
    Tensor made = memory.allocate(Type::bf16, numbers.shape());
    constexpr int64_t part = 64 * 1024;
    const auto count = static_cast<int64_t>(numbers.count());
    parallel_for(count, static_cast<int>(count / part + 1), [&](int64_t first, int64_t last) {
        vector_narrow(made.raw() + static_cast<size_t>(first) * size_of(Type::bf16), numbers.data<float>() + first,
                      last - first);
    });
    return made;
}

bool moves_elements(const Node &node)
{
    static constexpr std::array<std::string_view, 16> names{
        "Concat",  "DepthToSpace", "Expand",       "Flatten", "Gather",  "Identity", "Interleave", "Pad",
        "Reshape", "Slice",        "SpaceToDepth", "Split",   "Squeeze", "Tile",     "Transpose",  "Unsqueeze"};
    return is_any(node, names);
}

/// The first input that is a parameter of the op, in f32 whatever the type of the data.
size_t first_parameter(const Node &node)
{
    static constexpr std::array<std::string_view, 3> third{"Conv", "ConvTranspose", "Gemm"};
    static constexpr std::array<std::string_view, 6> second{
        "GroupNormalization", "InstanceNormalization", "LayerNormalization", "Pow", "RMSNormalization", "Resize"};
    return is_any(node, third) ? 2 : is_any(node, second) ? 1 : node.inputs.size();
}

class Shortening {
  public:
    Shortening(Graph &graph, Weights &weights, int threads)
        : graph_(graph), weights_(weights), threads_(threads), short_(graph.nodes.size(), false),
          wanted_(graph.values.size(), false), follows_(graph.values.size(), false),
          long_readers_(graph.values.size(), 0)
    {
        for (const Value &value : graph.values)
            made_.push_back(value.type);
    }

    BFloat16Report run()
    {
        follow_products();
        for (size_t n = graph_.nodes.size(); n-- > 0;)
            decide(n);
        if (std::find(short_.begin(), short_.end(), true) != short_.end())
            rewrite();
        return std::move(report_);
    }

  private:
    Graph &graph_;
    Weights &weights_;
    const int threads_;
    BFloat16Report report_;
    std::vector<bool> short_;                // by node: computes in bf16
    std::vector<bool> wanted_;               // by value: some reader wants it in bf16
    std::vector<bool> follows_;              // by value: a product comes before it
    std::vector<int> long_readers_;          // by value: how many want f32
    std::vector<Type> made_;                 // by value: what its maker writes
    std::map<ValueId, ValueId> constants_;   // in bf16
    std::map<ValueId, ValueId> cast_values_; // in the other type
    std::map<ValueId, ValueId> widened_;     // what was bf16 before a Cast made it f32
    std::vector<Node> casts_;

    bool is_f32(ValueId id) const { return graph_.values[id].type == Type::f32; }

    bool is_sized(ValueId id) const
    {
        const auto &shape = graph_.values[id].shape;
        return shape && is_static(*shape);
    }

    /// Calls `visit(ValueId &, whether it is data of the type in which the node computes)` for all that the node reads.
    template <class N, class Visit> void visit_operands(N &node, Visit visit) const
    {
        const size_t end = first_parameter(node);
        for (size_t i = 0; i < node.inputs.size(); i++)
            if (node.inputs[i] != no_value)
                visit(node.inputs[i], i < end && is_f32(node.inputs[i]));
        for (auto &post : node.post_ops)
            if (post.input != no_value)
                visit(post.input, is_f32(post.input) && !graph_.is_constant(post.input));
    }

    void follow_products()
    {
        for (const Node &node : graph_.nodes) {
            bool follows = is_product(node);
            visit_operands(node, [&](ValueId id, bool data) { follows = follows || (data && follows_[id]); });
            for (ValueId id : node.outputs)
                if (id != no_value)
                    follows_[id] = follows;
        }
    }

    bool is_wanted(const Node &node) const
    {
        return std::any_of(node.outputs.begin(), node.outputs.end(),
                           [&](ValueId id) { return id != no_value && wanted_[id]; });
    }

    bool makes_f32(const Node &node) const
    {
        return std::all_of(node.outputs.begin(), node.outputs.end(), [&](ValueId id) {
            return id == no_value || (is_f32(id) && is_sized(id) && count_of(*graph_.values[id].shape) > 0);
        });
    }

    bool is_worth_trying(const Node &node, bool wanted) const
    {
        if (!makes_f32(node))
            return false;
        return is_product(node) || (wanted && (moves_elements(node) || follows_[node.outputs.at(0)]));
    }

    void decide(size_t n)
    {
        const Node &node = graph_.nodes[n];
        const bool wanted = is_wanted(node);
        if (!is_worth_trying(node, wanted))
            return;
        std::set<ValueId> data;
        visit_operands(node, [&](ValueId id, bool is_data) {
            if (is_data && !graph_.is_constant(id))
                data.insert(id);
        });
        const std::string refusal = tried(shortened(node, wanted), data, wanted ? Type::bf16 : Type::f32);
        if (!refusal.empty()) {
            report_.refusals[node.name] = refusal;
            return;
        }
        short_[n] = true;
        for (ValueId id : data)
            wanted_[id] = true;
    }

    /// The node with its constants in bf16, and a product that writes f32 unless bf16 is wanted.
    Node shortened(Node node, bool wanted)
    {
        visit_operands(node, [&](ValueId &id, bool data) {
            if (data && graph_.is_constant(id))
                id = constant(id);
        });
        if (!wanted)
            node.post_ops.push_back(casting(Type::f32));
        return node;
    }

    ValueId constant(ValueId id)
    {
        const auto known = constants_.find(id);
        if (known != constants_.end())
            return known->second;
        Value value = graph_.values[id];
        value.type = Type::bf16;
        const Tensor &old = graph_.values[id].constant;
        value.constant = weights_.get(old, "bf16", [&] { return in_bf16(old, *weights_.memory()); });
        return constants_[id] = graph_.add_value(std::move(value));
    }

    /// "" when a kernel takes the node with these operands in bf16; else why not.
    std::string tried(const Node &node, const std::set<ValueId> &data, Type out)
    {
        NodeFacts facts{graph_, node, {}, {}, weights_, 1};
        for (ValueId id : Graph::operands(node)) {
            Operand operand;
            if (id != no_value) {
                if (!is_sized(id))
                    return "the sizes of what it reads are not known";
                const Value &value = graph_.values[id];
                operand.layout = Layout::dense(data.contains(id) ? Type::bf16 : value.type, *value.shape);
                operand.constant = graph_.is_constant(id) ? &value.constant : nullptr;
            }
            facts.in.push_back(std::move(operand));
        }
        for (ValueId id : node.outputs)
            facts.out.push_back(id == no_value ? Layout() : Layout::dense(out, *graph_.values[id].shape));
        facts.threads = threads_for(facts, threads_);
        Attempt attempt = first_fit(facts);
        auto *choice = std::get_if<Choice>(&attempt);
        if (!choice)
            return std::get<std::string>(attempt);
        if (onednn::is_slow(choice->detail))
            return "oneDNN has only loops without optimisation for it";
        report_.tried.push_back(std::move(*choice));
        return "";
    }

    void rewrite()
    {
        const size_t nodes = graph_.nodes.size();
        for (size_t n = 0; n < nodes; n++)
            visit_operands(graph_.nodes[n], [&](ValueId id, bool data) { long_readers_[id] += !(short_[n] && data); });
        for (ValueId id : graph_.outputs)
            long_readers_[id]++;
        for (const Node &node : graph_.nodes)
            if (node.op->name == "Cast" && node.post_ops.empty() && graph_.values[node.inputs[0]].type == Type::bf16 &&
                is_f32(node.outputs[0]))
                widened_[node.outputs[0]] = node.inputs[0];
        for (size_t n = 0; n < nodes; n++)
            write_right_type(n);
        for (size_t n = 0; n < nodes; n++)
            read_right_types(n);
        for (ValueId &id : graph_.outputs)
            id = as(id, graph_.values[id].type);
        for (size_t id = 0; id < made_.size(); id++)
            graph_.values[id].type = made_[id];
        graph_.nodes.insert(graph_.nodes.end(), casts_.begin(), casts_.end());
        graph_.tidy();
        infer_shapes(graph_);
        graph_.tidy();
        graph_.verify();
    }

    void write_right_type(size_t n)
    {
        Node &node = graph_.nodes[n];
        const bool wanted = is_wanted(node);
        if (short_[n])
            node = shortened(std::move(node), wanted);
        if (!wanted || !(short_[n] || writes_bf16(node)))
            return;
        for (ValueId id : node.outputs)
            if (id != no_value)
                made_[id] = Type::bf16;
    }

    /// Lets a node that computes in f32 write bf16, if it can and nobody reads f32.
    bool writes_bf16(Node &node)
    {
        if (node.outputs.size() != 1 || !is_f32(node.outputs[0]) || long_readers_[node.outputs[0]] > 0 ||
            widened_.contains(node.outputs[0]))
            return false;
        if (node.op->name == "ImageToTensor") {
            node.attributes.set("type", static_cast<int64_t>(Type::bf16));
            return true;
        }
        if (node.op->name == "Cast" && node.post_ops.empty()) {
            node.attributes.set("to", std::string(to_string(Type::bf16)));
            return true;
        }
        Node form = node;
        form.post_ops.push_back(casting(Type::bf16));
        if (moves_elements(node) || !is_sized(node.outputs[0]) || !tried(form, {}, Type::bf16).empty() ||
            report_.tried.back().post_ops != form.post_ops.size())
            return false;
        node = std::move(form);
        return true;
    }

    void read_right_types(size_t n)
    {
        visit_operands(graph_.nodes[n], [&](ValueId &id, bool data) {
            if (is_f32(id) && !graph_.is_constant(id))
                id = as(id, short_[n] && data ? Type::bf16 : Type::f32);
        });
    }

    /// The value in that type, through a Cast if it must be.
    ValueId as(ValueId id, Type type)
    {
        if (made_[id] == type)
            return id;
        if (const auto before = widened_.find(id); before != widened_.end())
            return before->second;
        const auto known = cast_values_.find(id);
        if (known != cast_values_.end())
            return known->second;
        Value value = graph_.values[id];
        value.type = type;
        const ValueId made = graph_.add_value(std::move(value));
        Node cast;
        cast.op = &op("Cast");
        cast.name = graph_.values[id].name;
        cast.inputs = {id};
        cast.outputs = {made};
        cast.attributes.set("to", std::string(to_string(type)));
        casts_.push_back(std::move(cast));
        return cast_values_[id] = made;
    }
};

} // namespace

BFloat16Report compute_in_bf16(Graph &graph, Weights &weights, int threads)
{
    return Shortening(graph, weights, threads).run();
}

} // namespace leat::cpu
