#include "devices/cpu/estimate.h"
#include "devices/cpu/kernels/bands.h"
#include "plan.h"
#include "team.h"

#include "inference/plan.h"
#include "inference/ports.h"
#include "inference/work.h"

#include <algorithm>
#include <array>
#include <utility>

namespace leat::cpu {
namespace {

std::string describe(const Node &node)
{
    return "node \"" + node.name + "\" (" + std::string(node.op->name) + ")";
}

bool known(const Value &value)
{
    return value.type != Type::undefined && value.shape && is_static(*value.shape);
}

std::string form_of(const Layout &layout)
{
    std::string form = "strides";
    for (int64_t stride : layout.strides)
        form += ' ' + std::to_string(stride);
    return form;
}

/// Whether it makes nothing but next to zero of denormal numbers.
bool multiplies(const Node &node)
{
    static constexpr std::array names{"Conv",   "ConvTranspose", "Gemm",    "LSTM",
                                      "MatMul", "Mul",           "Softmax", "SoftmaxInteger"};
    return std::ranges::find(names, node.op->name) != names.end();
}

bool row_lists(const KernelRow &row, std::string_view op)
{
    return row.ops.empty() || std::find(row.ops.begin(), row.ops.end(), op) != row.ops.end();
}

} // namespace

/// Turns a graph into a plan, node by node: for each the first kernel that fits, and copies where it wants another
/// layout.
class Lowering {
  public:
    Lowering(Plan &plan, Weights &weights, int threads, const std::map<std::string, std::string> &notes)
        : plan_(plan), graph_(*plan.graph_), weights_(weights), threads_(threads), notes_(notes),
          versions_(graph_.values.size()), loose_(graph_.values.size(), false), readers_(graph_.values.size(), 0)
    {
    }

    void run()
    {
        for (const Node &node : graph_.nodes)
            for (ValueId id : Graph::reads(node))
                readers_[id]++;
        for (ValueId id : graph_.outputs)
            readers_[id]++;
        find_parts();
        place_inputs();
        for (node_ = 0; node_ < graph_.nodes.size(); node_++)
            in_context(describe(graph_.nodes[node_]), [&] {
                if (!lower_in_bands())
                    lower(graph_.nodes[node_]);
            });
        place_outputs();
        drop_unread_constants();
        pack_arena();
    }

  private:
    /// One place where a value lies. A value may lie in several, in other layouts.
    struct Version {
        Place place;
        Layout layout;
    };

    /// Where a value would lie in the memory of the Concat that alone reads it.
    struct Part {
        size_t concat;   ///< node
        int64_t channel; ///< the first one there
    };

    Plan &plan_;
    const Graph &graph_;
    Weights &weights_;
    const int threads_;
    const std::map<std::string, std::string> &notes_;
    std::vector<std::vector<Version>> versions_; // by value; the first is what its maker wrote
    std::vector<bool> loose_;                    // by value: only the run knows its shape
    std::vector<int> readers_;                   // by value: reads to come
    std::vector<std::vector<ValueId>> contents_; // by buffer: values that lie there
    std::map<ValueId, Part> parts_;
    std::map<size_t, size_t> joined_; // by Concat, of which a part has been made: its buffer
    size_t node_ = 0;

    size_t add_buffer(Buffer buffer)
    {
        buffer.first = buffer.last = static_cast<int>(plan_.steps_.size());
        plan_.buffers_.push_back(std::move(buffer));
        contents_.emplace_back();
        return plan_.buffers_.size() - 1;
    }

    size_t add_arena(size_t bytes)
    {
        Buffer buffer;
        buffer.bytes = bytes;
        return add_buffer(std::move(buffer));
    }

    void add_version(ValueId id, Place place, Layout layout)
    {
        contents_[place.buffer].push_back(id);
        versions_[id].push_back({place, std::move(layout)});
    }

    void add_step(Step step)
    {
        const int now = static_cast<int>(plan_.steps_.size());
        auto touch = [&](Place place) { plan_.buffers_[place.buffer].last = now; };
        std::for_each(step.in.begin(), step.in.end(), touch);
        std::for_each(step.out.begin(), step.out.end(), touch);
        for (const LooseOperand &operand : step.operands)
            if (operand.place)
                touch(*operand.place);
        plan_.scratch_bytes_ = std::max(plan_.scratch_bytes_, step.scratch);
        step.node = node_;
        step.denormals = graph_.nodes.empty() || !multiplies(graph_.nodes[node_]);
        plan_.steps_.push_back(std::move(step));
    }

    /// Results of convolutions that a Concat of channels alone reads, or the Split whose outputs it joins as they were.
    /// Few channels take longer apart than to copy.
    void find_parts()
    {
        const std::vector<int> makers = graph_.producers();
        for (size_t n = 0; n < graph_.nodes.size(); n++) {
            const Node &node = graph_.nodes[n];
            if (node.op->name != "Concat" || !node.post_ops.empty() || is_loose(node))
                continue;
            const Value &whole = graph_.values[node.outputs[0]];
            constexpr size_t rank = 4;
            if (whole.shape->size() != rank || normal_axis(node.attributes.integer("axis", 0), rank) != 1)
                continue;
            int64_t channel = 0;
            for (auto rest = std::span(node.inputs); !rest.empty();) {
                const Joined part = first_joined(rest, makers);
                const Value &value = graph_.values[part.value];
                if (!known(value))
                    break;
                constexpr int64_t worth_it = 128; // bytes
                const bool convolved = makers[part.value] >= 0 &&
                                       graph_.nodes[static_cast<size_t>(makers[part.value])].op->name == "Conv" &&
                                       (*value.shape)[1] * static_cast<int64_t>(size_of(value.type)) >= worth_it;
                if (convolved && readers_[part.value] == 1 && value.type == whole.type && count_of(*value.shape) > 0)
                    parts_[part.value] = {n, channel};
                channel += (*value.shape)[1];
                rest = rest.subspan(part.inputs);
            }
        }
    }

    /// What lies in the next channels of a Concat.
    struct Joined {
        ValueId value;
        size_t inputs; ///< how many of the Concat's it is
    };

    /// The first of these inputs of a Concat of channels, or what a Split of channels made the first ones of.
    Joined first_joined(std::span<const ValueId> inputs, const std::vector<int> &makers) const
    {
        const int maker = makers[inputs[0]];
        const Node *split = maker < 0 ? nullptr : &graph_.nodes[static_cast<size_t>(maker)];
        if (!split || split->op->name != "Split" || !split->post_ops.empty() || !known(graph_.values[split->inputs[0]]))
            return {inputs[0], 1};
        const size_t rank = graph_.values[split->inputs[0]].shape->size();
        const size_t count = split->outputs.size();
        if (normal_axis(split->attributes.integer("axis", 0), rank) == 1 && count <= inputs.size() &&
            std::ranges::equal(split->outputs, inputs.first(count)))
            return {split->inputs[0], count};
        return {inputs[0], 1};
    }

    /// Where output 0 of the node would lie in a Concat.
    std::optional<Layout> part_of(const Node &node) const
    {
        const auto part = parts_.find(node.outputs[0]);
        if (part == parts_.end())
            return {};
        const Value &value = graph_.values[part->first];
        return Layout{value.type, *value.shape, joined_layout(part->second.concat).strides};
    }

    Layout joined_layout(size_t concat) const
    {
        const Value &value = graph_.values[graph_.nodes[concat].outputs[0]];
        return Layout::channels_last(value.type, *value.shape);
    }

    Place place_of(const Part &part)
    {
        const Layout whole = joined_layout(part.concat);
        const auto [buffer, fresh] = joined_.try_emplace(part.concat);
        if (fresh)
            buffer->second = add_arena(whole.bytes());
        return {buffer->second, static_cast<size_t>(part.channel) * size_of(whole.type)};
    }

    /// Copies what does not lie in the memory of the Concat yet; false when nothing does.
    bool join(const Node &node, NodeReport &report)
    {
        const auto joined = joined_.find(node_);
        if (joined == joined_.end())
            return false;
        const Layout whole = joined_layout(node_);
        size_t copied = 0;
        Place to{joined->second, 0};
        for (ValueId id : node.inputs) {
            const Version from = first_version(id);
            const Layout part{whole.type, from.layout.dims, whole.strides};
            if (from.layout.count() > 0 && (from.place.buffer != to.buffer || from.place.offset != to.offset)) {
                add_copy(from.place, from.layout, to, part);
                copied += part.dims.empty() ? 0 : static_cast<size_t>(part.count()) * size_of(part.type);
            }
            to.offset += static_cast<size_t>(from.layout.dims[1]) * size_of(whole.type);
        }
        add_version(node.outputs[0], {joined->second, 0}, whole);
        report.kernel = copied > 0 ? "copy" : "in place";
        report.reason = copied > 0 ? "of what was not made in its place" : "what it joins was made in its place";
        report.bytes = static_cast<double>(2 * copied);
        return true;
    }

    void place_inputs()
    {
        size_t input = 0;
        const std::vector<size_t> images = image_inputs();
        for (size_t i = 0; i < graph_.inputs.size(); i++) {
            if (std::find(images.begin(), images.end(), i) != images.end())
                continue;
            const Value &value = graph_.values[graph_.inputs[i]];
            Buffer buffer;
            buffer.kind = Buffer::Kind::input;
            buffer.index = input++;
            if (!known(value))
                throw Error("the shape of input \"" + value.name + "\" is not known");
            Layout layout = Layout::dense(value.type, *value.shape);
            buffer.bytes = layout.bytes();
            add_version(graph_.inputs[i], {add_buffer(std::move(buffer)), 0}, std::move(layout));
        }
    }

    /// Which of the graph's inputs are pictures.
    std::vector<size_t> image_inputs() const
    {
        std::vector<size_t> images;
        for (size_t i = 0; i < graph_.inputs.size(); i++)
            for (const Node &node : graph_.nodes)
                if (reads_picture(node, graph_.inputs[i]))
                    images.push_back(i);
        return images;
    }

    /// Index into Job::images of the first picture that the ImageToTensor reads; the others follow.
    size_t image_of(const Node &node) const
    {
        std::vector<ValueId> pictures;
        for (size_t i : image_inputs())
            pictures.push_back(graph_.inputs[i]);
        const auto found = std::search(pictures.begin(), pictures.end(), node.inputs.begin(), node.inputs.end());
        if (found == pictures.end())
            throw Error("reads pictures that are no inputs of the graph, one after the other");
        return static_cast<size_t>(found - pictures.begin());
    }

    const Version &first_version(ValueId id)
    {
        if (versions_[id].empty()) {
            const Value &value = graph_.values[id];
            if (!value.constant)
                throw Error("reads \"" + value.name + "\", which no node has made");
            Layout layout = Layout::dense(value.type, value.constant.shape());
            add_version(id, add_constant(value.constant), std::move(layout));
        }
        return versions_[id].front();
    }

    Place add_constant(const Tensor &constant)
    {
        Buffer buffer;
        buffer.kind = Buffer::Kind::constant;
        buffer.constant = constant;
        buffer.bytes = constant.bytes();
        return {add_buffer(std::move(buffer)), 0};
    }

    /// Where the value lies in that layout; copies it there first if need be.
    Place version(ValueId id, const Layout &layout)
    {
        first_version(id);
        for (const Version &each : versions_[id])
            if (each.layout.same_places(layout))
                return each.place;
        const Version from = versions_[id].front();
        Place place;
        if (graph_.is_constant(id)) {
            place = add_constant(weights_.get(graph_.values[id].constant, form_of(layout), [&] {
                Tensor copied(Type::u8, {static_cast<int64_t>(layout.bytes())});
                run_at_once(*make_copy(from.layout, layout, 1), graph_.values[id].constant.raw(), copied.raw());
                return copied;
            }));
        } else {
            place = {add_arena(layout.bytes()), 0};
            add_copy(from.place, from.layout, place, layout);
        }
        add_version(id, place, layout);
        return place;
    }

    static void run_at_once(const Kernel &kernel, const std::byte *in, std::byte *out)
    {
        std::shared_ptr<void> kept;
        kernel.run({{&in, 1}, {&out, 1}, nullptr, kept, {}});
    }

    void add_copy(Place from, const Layout &from_layout, Place to, const Layout &to_layout)
    {
        Step step;
        step.kernel = make_copy(from_layout, to_layout, threads_);
        step.in = {from};
        step.out = {to};
        add_step(std::move(step));
    }

    /// True when nobody reads the buffer after this node, so that the node may write into it.
    bool dies(size_t buffer, const std::vector<ValueId> &read_now) const
    {
        if (plan_.buffers_[buffer].kind != Buffer::Kind::arena)
            return false;
        for (ValueId id : contents_[buffer])
            if (readers_[id] > std::count(read_now.begin(), read_now.end(), id))
                return false;
        return true;
    }

    /// `unmade`: an input that no step makes, and where it would lie.
    NodeFacts facts_of(const Node &node, ValueId unmade = no_value, const Layout &layout = {})
    {
        NodeFacts facts{graph_, node, {}, {}, weights_, threads_};
        const std::vector<ValueId> ids = Graph::operands(node);
        for (ValueId id : ids) {
            Operand operand;
            if (id != no_value && id == unmade) {
                operand.layout = layout;
            } else if (id != no_value && !reads_picture(node, id)) {
                const Version &at = first_version(id);
                operand.layout = at.layout;
                operand.constant = graph_.is_constant(id) ? &graph_.values[id].constant : nullptr;
                operand.dies = dies(at.place.buffer, ids);
            }
            facts.in.push_back(std::move(operand));
        }
        for (ValueId id : node.outputs)
            facts.out.push_back(id == no_value ? Layout()
                                               : Layout::dense(graph_.values[id].type, *graph_.values[id].shape));
        return facts;
    }

    /// Of all that the node reads and writes, each once.
    double bytes_of(const Node &node) const
    {
        std::vector<ValueId> ids = Graph::operands(node);
        ids.insert(ids.end(), node.outputs.begin(), node.outputs.end());
        double bytes = 0;
        for (ValueId id : ids)
            if (id != no_value && known(graph_.values[id]))
                bytes += static_cast<double>(Layout::dense(graph_.values[id].type, *graph_.values[id].shape).bytes());
        return bytes;
    }

    bool is_loose(const Node &node) const
    {
        for (ValueId id : Graph::operands(node))
            if (id != no_value && loose_[id])
                return true;
        return std::any_of(node.outputs.begin(), node.outputs.end(),
                           [&](ValueId id) { return id != no_value && !known(graph_.values[id]); });
    }

    NodeReport &add_report(const Node &node)
    {
        NodeReport &report = plan_.reports_.emplace_back();
        report.node = node.name;
        report.op = node.op->name;
        report.device = "CPU";
        report.operations = operations_of(graph_, node).value_or(-1);
        return report;
    }

    /// How many nodes from this one on, up to three, are convolutions of which each is read by the next alone.
    size_t convolutions_in_turn() const
    {
        size_t count = 0;
        for (size_t i = node_; i < graph_.nodes.size() && count < 3; i++, count++) {
            const Node &node = graph_.nodes[i];
            if (node.op->name != "Conv" || is_loose(node) || count_of(*graph_.values[node.outputs[0]].shape) == 0)
                break;
            if (count > 0 && (node.inputs[0] != graph_.nodes[i - 1].outputs[0] || readers_[node.inputs[0]] != 1))
                break;
        }
        return count;
    }

    /// Lowers this node and the next ones together where that pays, and goes on to the last of them.
    bool lower_in_bands()
    {
        const auto nodes = std::span(graph_.nodes).subspan(node_, convolutions_in_turn());
        if (nodes.size() < 2)
            return false;
        std::vector<NodeFacts> chain;
        for (const Node &node : nodes) {
            if (chain.empty()) {
                chain.push_back(facts_of(node));
            } else {
                const Layout &made = chain.back().out[0];
                chain.push_back(facts_of(node, node.inputs[0], Layout::channels_last(made.type, made.dims)));
            }
            chain.back().threads = threads_for(chain.back(), threads_);
        }
        for (size_t count = chain.size(); count > 1; count--) {
            Attempt attempt = attempt_bands(std::span(chain).first(count));
            if (auto *choice = std::get_if<Choice>(&attempt)) {
                apply_bands(std::span(chain).first(count), *choice);
                return true;
            }
        }
        return false;
    }

    /// The last node's report speaks for all, as the time is measured on its behalf.
    void apply_bands(std::span<const NodeFacts> chain, Choice &choice)
    {
        const Node &first = chain.front().node, &last = chain.back().node;
        double operations = 0, bytes = 0;
        for (const NodeFacts &facts : chain) {
            NodeReport &report = add_report(facts.node);
            operations += std::exchange(report.operations, 0.);
            bytes += bytes_of(facts.node);
            report.kernel = "in bands";
            report.reason = "rows of it are made and read while they are in the cache: with \"" + last.name + "\"";
            if (&facts.node != &last)
                bytes -= 2 * static_cast<double>(facts.out[0].bytes());
        }
        NodeReport &report = plan_.reports_.back();
        report.operations = operations;
        report.bytes = bytes;
        report.kernel = "in " + choice.detail;
        report.reason =
            "with the nodes from \"" + first.name + "\" on, so that what lies between them stays in the cache";
        if (const auto note = notes_.find(last.name); note != notes_.end())
            report.reason = note->second + "; " + report.reason;

        node_ += chain.size() - 1;
        const std::vector<ValueId> ids = Graph::operands(last);
        Step step;
        for (const Reads &reads : choice.in)
            step.in.push_back(version(step.in.empty() ? first.inputs[0] : ids[reads.operand], reads.layout));
        step.out = {choice.in_place ? place_over(last, choice, step.in) : Place{add_arena(choice.out[0].bytes()), 0}};
        add_version(last.outputs[0], step.out[0], choice.out[0]);
        step.kernel = std::move(choice.kernel);
        step.scratch = choice.scratch;
        add_step(std::move(step));
        for (const NodeFacts &facts : chain)
            for (ValueId id : Graph::reads(facts.node))
                readers_[id]--;
    }

    void lower(const Node &node)
    {
        NodeReport &report = add_report(node);
        if (is_loose(node))
            lower_loose(node, report);
        else if (!without_elements(node, report) && !join(node, report))
            lower_by_table(node, report);
        if (!is_loose(node) && !joined_.contains(node_))
            report.bytes = report.kernel == "view" ? 0 : bytes_of(node);
        for (ValueId id : Graph::reads(node))
            readers_[id]--;
    }

    /// Outputs without elements need places in memory, but no work.
    bool without_elements(const Node &node, NodeReport &report)
    {
        for (ValueId id : node.outputs)
            if (id != no_value && count_of(*graph_.values[id].shape) != 0)
                return false;
        for (ValueId id : node.outputs)
            if (id != no_value)
                add_version(id, {add_arena(0), 0}, Layout::dense(graph_.values[id].type, *graph_.values[id].shape));
        report.kernel = "none";
        report.reason = "its outputs have no elements";
        return true;
    }

    bool is_result(ValueId id) const
    {
        const auto times = std::ranges::count(graph_.outputs, id);
        return times > 0 && readers_[id] == times;
    }

    void lower_by_table(const Node &node, NodeReport &report)
    {
        NodeFacts facts = facts_of(node);
        facts.threads = threads_for(facts, threads_);
        facts.part = part_of(node);
        facts.is_result = is_result(node.outputs[0]);
        lower_by_table(facts, report);
    }

    void lower_by_table(const NodeFacts &facts, NodeReport &report)
    {
        const Node &node = facts.node;
        std::string reasons;
        for (const KernelRow &row : kernels()) {
            if (!row_lists(row, node.op->name))
                continue;
            Attempt attempt = row.attempt(facts);
            if (auto *choice = std::get_if<Choice>(&attempt)) {
                Attempt rest = Choice();
                const bool leaves = choice->post_ops < node.post_ops.size();
                if (leaves && facts.part) { // which run over numbers without gaps
                    NodeFacts apart = facts;
                    apart.part.reset();
                    return lower_by_table(apart, report);
                }
                if (leaves)
                    rest = attempt_post_ops(facts, choice->out.at(0), choice->post_ops);
                if (auto *after = std::get_if<Choice>(&rest)) {
                    report.kernel = std::string(row.name) + (choice->detail.empty() ? "" : " " + choice->detail);
                    report.reason = !reasons.empty()  ? reasons
                                    : row.ops.empty() ? "there is no other kernel for this op"
                                                      : "the first in the table fits";
                    if (const auto note = notes_.find(node.name); note != notes_.end())
                        report.reason = note->second + "; " + report.reason;
                    apply(facts, *choice);
                    if (after->kernel)
                        apply_after(node, *after);
                    return;
                }
                attempt = std::get<std::string>(rest);
            }
            reasons += (reasons.empty() ? "" : "; ") + std::string(row.name) + ": " + std::get<std::string>(attempt);
        }
        throw Error("no kernel fits (" + reasons + ")");
    }

    void apply(const NodeFacts &facts, Choice &choice)
    {
        const Node &node = facts.node;
        if (!choice.views.empty())
            return apply_views(node, choice);
        const std::vector<ValueId> ids = Graph::operands(node);
        Step step;
        for (const Reads &reads : choice.in)
            step.in.push_back(version(ids[reads.operand], reads.layout));
        for (size_t i = 0; i < node.outputs.size(); i++) {
            const bool first_in_place = i == 0 && choice.in_place;
            const bool present = node.outputs[i] != no_value;
            const bool in_part = i == 0 && facts.part && choice.out[0].same_places(*facts.part);
            step.out.push_back(first_in_place ? place_over(node, choice, step.in)
                               : in_part      ? place_of(parts_.at(node.outputs[0]))
                                              : Place{add_arena(present ? choice.out[i].bytes() : 0), 0});
            if (present)
                add_version(node.outputs[i], step.out.back(), choice.out[i]);
        }
        step.kernel = std::move(choice.kernel);
        step.scratch = choice.scratch;
        if (node.op->name == "ImageToTensor") {
            step.image = image_of(node);
            step.images = node.inputs.size();
        }
        add_step(std::move(step));
    }

    /// Memory for output 0 that starts with the elements of one of the operands.
    Place place_over(const Node &node, const Choice &choice, const std::vector<Place> &in)
    {
        const Place over = in[*choice.in_place];
        const auto shared = std::count_if(in.begin(), in.end(), [&](Place p) { return p.buffer == over.buffer; });
        if (shared == 1 && over.offset == 0 && plan_.buffers_[over.buffer].bytes == choice.out[0].bytes() &&
            dies(over.buffer, Graph::operands(node)))
            return over;
        const Place place{add_arena(choice.out[0].bytes()), 0};
        add_copy(over, choice.in[*choice.in_place].layout, place, choice.out[0]);
        return place;
    }

    void apply_views(const Node &node, const Choice &choice)
    {
        const std::vector<ValueId> ids = Graph::operands(node);
        for (size_t i = 0; i < node.outputs.size(); i++) {
            if (node.outputs[i] == no_value)
                continue;
            const View &view = choice.views[i];
            Place place = first_version(ids[view.operand]).place;
            place.offset += static_cast<size_t>(view.offset) * size_of(view.layout.type);
            add_version(node.outputs[i], place, view.layout);
        }
    }

    /// The post-ops that the kernel left: in place on its output, unless they give another type.
    void apply_after(const Node &node, Choice &choice)
    {
        const std::vector<ValueId> ids = Graph::operands(node);
        const Version made = versions_[node.outputs[0]].front();
        Place value = made.place;
        Step step;
        step.in = {value};
        if (choice.out[0].type != made.layout.type) {
            value = {add_arena(choice.out[0].bytes()), 0};
            versions_[node.outputs[0]].clear();
            add_version(node.outputs[0], value, choice.out[0]);
        }
        for (const Reads &reads : choice.in)
            step.in.push_back(version(ids[reads.operand], reads.layout));
        step.out = {value};
        step.kernel = std::move(choice.kernel);
        step.scratch = choice.scratch;
        add_step(std::move(step));
    }

    void lower_loose(const Node &node, NodeReport &report)
    {
        report.kernel = "reference";
        report.reason = "the shape of what it reads or makes is known only while it runs";
        Step step;
        step.loose = true;
        for (ValueId id : Graph::operands(node)) {
            LooseOperand operand{id, {}};
            if (id != no_value && !loose_[id]) {
                const Value &value = graph_.values[id];
                operand.type = value.type;
                operand.dims = *value.shape;
                operand.place = version(id, Layout::dense(value.type, *value.shape));
            }
            step.operands.push_back(std::move(operand));
        }
        for (ValueId id : node.outputs)
            if (id != no_value)
                loose_[id] = true;
        add_step(std::move(step));
    }

    void place_outputs()
    {
        node_ = graph_.nodes.empty() ? 0 : graph_.nodes.size() - 1;
        for (size_t i = 0; i < graph_.outputs.size(); i++) {
            const ValueId id = graph_.outputs[i];
            const Value &value = graph_.values[id];
            plan_.outputs_.emplace_back(value.type, loose_[id] ? std::nullopt : value.shape);
            if (loose_[id]) {
                plan_.loose_outputs_.push_back({i, id});
                continue;
            }
            const Layout layout = Layout::dense(value.type, *value.shape);
            const Place place = version(id, layout);
            size_t target = place.buffer;
            const Buffer &made = plan_.buffers_[target];
            if (made.kind != Buffer::Kind::arena || place.offset != 0 || made.bytes != layout.bytes()) {
                target = add_arena(layout.bytes());
                add_copy(place, layout, {target, 0}, layout);
            }
            plan_.buffers_[target].kind = Buffer::Kind::output;
            plan_.buffers_[target].index = i;
        }
    }

    /// What kernels have packed, they read no more.
    void drop_unread_constants()
    {
        std::vector<bool> read(plan_.buffers_.size(), false);
        for (const Step &step : plan_.steps_) {
            for (const Place &place : step.in)
                read[place.buffer] = true;
            for (const LooseOperand &operand : step.operands)
                if (operand.place)
                    read[operand.place->buffer] = true;
        }
        for (size_t b = 0; b < read.size(); b++)
            if (!read[b])
                plan_.buffers_[b].constant = {};
    }

    void pack_arena()
    {
        std::vector<Lifetime> pieces;
        for (const Buffer &buffer : plan_.buffers_)
            pieces.push_back({buffer.kind == Buffer::Kind::arena ? buffer.bytes : 0, buffer.first, buffer.last});
        const Arena arena = pack(pieces);
        for (size_t b = 0; b < plan_.buffers_.size(); b++)
            plan_.buffers_[b].offset = arena.offsets[b];
        plan_.arena_bytes_ = arena.bytes;
        plan_.scratch_bytes_ += 64;
    }
};

std::shared_ptr<const Graph> without_constants(const Graph &graph)
{
    Graph bare = graph;
    for (Value &value : bare.values)
        value.constant = {};
    return std::make_shared<const Graph>(std::move(bare));
}

std::shared_ptr<Plan> Plan::make(std::shared_ptr<const Graph> graph, Weights &weights, int threads, int lanes,
                                 bool profiling, const std::map<std::string, std::string> &notes)
{
    auto plan = std::make_shared<Plan>();
    plan->graph_ = std::move(graph);
    plan->profiling_ = profiling;
    with_one_thread([&] { Lowering(*plan, weights, threads, notes).run(); });
    plan->graph_ = without_constants(*plan->graph_);
    plan->states_.resize(static_cast<size_t>(lanes));
    plan->measured_ = std::vector<Measured>(std::max<size_t>(plan->reports_.size(), 1));
    return plan;
}

} // namespace leat::cpu
