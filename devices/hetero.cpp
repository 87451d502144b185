#include "hetero.h"
#include "batch.h"
#include "reference.h"

#include "inference/ops.h"
#include "inference/ports.h"

#include <leat/error.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <set>

namespace leat {
namespace {

std::string count(size_t number, const std::string &noun)
{
    return std::to_string(number) + ' ' + noun + (number == 1 ? "" : "s");
}

/// Where a node runs.
struct Affinity {
    size_t device = 0;
    std::string reason; ///< why not on those before; empty on the first
};

/// Throws Error that names the node when no device can run it.
Affinity affinity_of(const Graph &graph, const Node &node, const std::vector<NamedDevice> &devices)
{
    size_t first = 0;
    while (first < devices.size() && !devices[first].device->why_not(graph, node).empty())
        first++;
    std::string reason = why_none(std::span(devices).first(first), graph, node);
    if (first < devices.size())
        return {first, std::move(reason)};
    throw Error("node \"" + node.name + "\" (" + std::string(node.op->name) +
                ") runs on none of the devices: " + reason + "; name one more that can run it, such as CPU");
}

/// Whether a value can go from one device to another.
bool can_cross(const Value &value)
{
    return value.shape && value.type != Type::undefined;
}

/// By node. Who reads what cannot leave the device that makes it runs there too, if it can.
std::vector<Affinity> affinities_of(const Graph &graph, const std::vector<NamedDevice> &devices)
{
    const std::vector<int> makers = graph.producers();
    std::vector<Affinity> affinities;
    for (const Node &node : graph.nodes) {
        Affinity affinity = affinity_of(graph, node, devices);
        for (ValueId id : Graph::reads(node)) {
            if (makers[id] < 0 || can_cross(graph.values[id]))
                continue;
            const size_t device = affinities[static_cast<size_t>(makers[id])].device;
            if (device != affinity.device && devices[device].device->why_not(graph, node).empty())
                affinity = {device, "how many axes \"" + graph.values[id].name +
                                        "\" has is known only while it runs, so that it stays on its device"};
        }
        affinities.push_back(std::move(affinity));
    }
    return affinities;
}

/// Nodes of one device, by index in the graph.
struct Part {
    size_t device = 0;
    std::vector<size_t> nodes{};
};

/// Parts in an order in which they can run: all nodes that are ready for the device `first`, then for the next, and so
/// on in a circle.
std::vector<Part> cut(const Graph &graph, const std::vector<Affinity> &affinities, size_t first, size_t devices)
{
    std::vector<bool> made(graph.values.size());
    for (size_t v = 0; v < made.size(); v++)
        made[v] = graph.is_constant(static_cast<ValueId>(v));
    for (ValueId id : graph.inputs)
        made[id] = true;
    std::vector<bool> taken(graph.nodes.size(), false);
    std::vector<Part> parts;
    for (size_t left = graph.nodes.size(), device = first; left > 0; device = (device + 1) % devices) {
        Part part{device};
        for (size_t n = 0; n < graph.nodes.size(); n++) {
            const std::vector<ValueId> reads = Graph::reads(graph.nodes[n]);
            if (taken[n] || affinities[n].device != device ||
                !std::all_of(reads.begin(), reads.end(), [&](ValueId id) { return made[id]; }))
                continue;
            taken[n] = true;
            part.nodes.push_back(n);
            for (ValueId id : graph.nodes[n].outputs)
                if (id != no_value)
                    made[id] = true;
        }
        left -= part.nodes.size();
        if (!part.nodes.empty())
            parts.push_back(std::move(part));
    }
    return parts;
}

/// The fewest parts, whichever device begins.
std::vector<Part> cut(const Graph &graph, const std::vector<Affinity> &affinities, size_t devices)
{
    std::vector<Part> best = cut(graph, affinities, 0, devices);
    for (size_t first = 1; first < devices; first++)
        if (std::vector<Part> parts = cut(graph, affinities, first, devices); parts.size() < best.size())
            best = std::move(parts);
    return best;
}

/// A part with what it reads from and gives to the others.
struct Borders {
    std::vector<ValueId> inputs, outputs;
};

std::vector<Borders> borders_of(const Graph &graph, const std::vector<Part> &parts)
{
    std::vector<size_t> maker(graph.values.size(), parts.size());
    for (size_t p = 0; p < parts.size(); p++)
        for (size_t n : parts[p].nodes)
            for (ValueId id : graph.nodes[n].outputs)
                if (id != no_value)
                    maker[id] = p;
    std::vector<std::set<ValueId>> inputs(parts.size()), outputs(parts.size());
    for (size_t p = 0; p < parts.size(); p++)
        for (size_t n : parts[p].nodes)
            for (ValueId id : Graph::reads(graph.nodes[n])) {
                if (maker[id] == p || graph.is_constant(id))
                    continue;
                inputs[p].insert(id);
                if (maker[id] < parts.size())
                    outputs[maker[id]].insert(id);
            }
    for (ValueId id : graph.outputs)
        if (maker[id] < parts.size())
            outputs[maker[id]].insert(id);
    std::vector<Borders> borders(parts.size());
    for (size_t p = 0; p < parts.size(); p++) {
        // The graph's inputs first, in its order, for pictures must stay neighbours.
        for (ValueId id : graph.inputs)
            if (inputs[p].erase(id) > 0)
                borders[p].inputs.push_back(id);
        borders[p].inputs.insert(borders[p].inputs.end(), inputs[p].begin(), inputs[p].end());
        borders[p].outputs.assign(outputs[p].begin(), outputs[p].end());
    }
    return borders;
}

Graph subgraph(const Graph &graph, const Part &part, const Borders &borders)
{
    Graph result;
    result.name = graph.name;
    result.values = graph.values;
    result.fold_budget = graph.fold_budget;
    for (size_t n : part.nodes)
        result.nodes.push_back(graph.nodes[n]);
    result.inputs = borders.inputs;
    result.outputs = borders.outputs;
    const std::vector<int> makers = graph.producers();
    for (ValueId id : borders.inputs)
        if (const Value &value = graph.values[id]; makers[id] >= 0 && !can_cross(value))
            throw Error("how many axes \"" + value.name +
                        "\" has is known only while it runs, so that it cannot go from one device to another; give the "
                        "model's inputs fixed sizes, or run it on one device");
    result.tidy();
    return result;
}

/// A subgraph made ready for its device. Numbers are those of the values that cross borders.
struct Stage {
    std::string place;  ///< "subgraph 2 of 3 on CPU"
    std::string device; ///< as it was named
    size_t nodes = 0;
    std::string range; ///< the first node and the last
    std::unique_ptr<CompiledModel> model{};
    std::vector<size_t> images{}; ///< by index in Job::images
    std::vector<size_t> inputs{}, outputs{};
};

/// What the stages are made from, and told of.
struct Plan {
    Graph graph;
    std::vector<Affinity> affinities{}; ///< by node
    std::vector<Stage> stages{};
    std::vector<size_t> inputs{};  ///< the number of each input that brings a tensor
    std::vector<size_t> outputs{}; ///< the number of each output
    std::vector<Tensor> values{};  ///< by number: constants, else absent
    std::vector<Setting> settings{};
};

class HeteroModel final : public CompiledModel {
  public:
    HeteroModel(Plan plan, int num_requests)
        : plan_(std::move(plan)), num_requests_(num_requests), inputs_(input_ports(plan_.graph)),
          outputs_(output_ports(plan_.graph)), refusals_([this](Job &job) { check_inputs(inputs_, job); })
    {
    }

    ~HeteroModel() override
    {
        {
            std::unique_lock lock(mutex_);
            idle_.wait(lock, [&] { return unfinished_ == 0; });
        }
        // Their destructors wait until the last done() has returned, which uses what is here.
        for (Stage &stage : plan_.stages)
            stage.model.reset();
    }

    std::span<const Port> inputs() const override { return inputs_; }
    std::span<const Port> outputs() const override { return outputs_; }

    /// Every device has its jobs while the others have theirs.
    int depth() const override
    {
        if (num_requests_ > 0)
            return num_requests_;
        std::map<std::string, int> depths;
        for (const Stage &stage : plan_.stages)
            depths[stage.device] = std::max(depths[stage.device], stage.model->depth());
        int sum = 0;
        for (const auto &[device, depth] : depths)
            sum += depth;
        return sum;
    }

    Tensor allocate(const Port &port) const override { return plan_.stages.front().model->allocate(port); }

    void submit(Job &job) override
    {
        try {
            check_inputs(inputs_, job);
        } catch (const Error &) {
            return refusals_.submit(job);
        }
        job.submitted = std::chrono::steady_clock::now();
        job.error = nullptr;
        job.bytes_copied = 0;
        auto run = std::make_shared<Run>();
        run->job = &job;
        run->values = plan_.values;
        for (size_t i = 0; i < plan_.inputs.size(); i++)
            run->values[plan_.inputs[i]] = job.inputs[i];
        std::lock_guard lock(mutex_);
        draining_ = false;
        unfinished_++;
        streams_[job.stream].push_back(run);
        advance(job.stream);
    }

    void flush() override
    {
        std::lock_guard lock(mutex_);
        draining_ = true;
        for (const Stage &stage : plan_.stages)
            stage.model->flush();
    }

    std::vector<Setting> settings() const override
    {
        std::vector<Setting> all = plan_.settings;
        for (size_t s = 0; s < plan_.stages.size(); s++) {
            const Stage &stage = plan_.stages[s];
            const std::string name = "subgraph_" + std::to_string(s + 1);
            all.push_back({name, stage.device, count(stage.nodes, "node") + ", " + stage.range});
            for (const Setting &setting : stage.model->settings())
                all.push_back({name + "." + setting.name, setting.value, setting.reason});
        }
        return all;
    }

    std::vector<NodeReport> nodes() const override
    {
        std::map<std::string, std::string> affinities;
        for (size_t n = 0; n < plan_.affinities.size(); n++)
            if (!plan_.affinities[n].reason.empty())
                affinities[plan_.graph.nodes[n].name] = "not on a device before (" + plan_.affinities[n].reason + "); ";
        std::vector<NodeReport> all;
        for (const Stage &stage : plan_.stages)
            for (NodeReport &report : stage.model->nodes()) {
                if (const auto known = affinities.find(report.node); known != affinities.end())
                    report.reason = known->second + report.reason;
                all.push_back(std::move(report));
            }
        return all;
    }

  private:
    /// A job on its way.
    struct Run {
        Job *job = nullptr;
        std::vector<Tensor> values{}; ///< by number
        Job part{};                   ///< for the stage where it is
        size_t started = 0;           ///< stages
        bool waits = true;            ///< for its turn to start the next
    };
    using RunPointer = std::shared_ptr<Run>;

    Plan plan_;
    const int num_requests_;
    const std::vector<Port> inputs_, outputs_;
    std::mutex mutex_; // guards what follows
    std::condition_variable idle_;
    std::map<uint64_t, std::list<RunPointer>> streams_; ///< in the order submitted
    size_t unfinished_ = 0;
    bool draining_ = false; ///< none may come soon
    JobThread refusals_;    ///< ends jobs that do not fit the ports

    /// Starts what may start: a job enters a stage after the one before it in its stream.
    void advance(uint64_t stream)
    {
        const auto found = streams_.find(stream);
        if (found == streams_.end())
            return;
        const Run *before = nullptr;
        for (const RunPointer &run : found->second) {
            if (run->waits && (!before || before->started > run->started))
                start(run);
            before = run.get();
        }
    }

    void start(const RunPointer &run)
    {
        const Stage &stage = plan_.stages[run->started++];
        run->waits = false;
        Job &part = run->part = Job();
        const Job &job = *run->job;
        for (size_t image : stage.images)
            part.images.push_back(job.images[image]);
        for (size_t input : stage.inputs)
            part.inputs.push_back(run->values[input]);
        for (size_t output : stage.outputs)
            part.outputs.push_back(wanted(job, output));
        part.cancelled = job.cancelled;
        part.stream = job.stream;
        part.priority = job.priority;
        part.deadline = job.deadline;
        part.done = [this, run](Job &) { end(run); };
        stage.model->submit(part);
        if (draining_)
            stage.model->flush();
    }

    /// Where the job wants the value; absent when it has no place for it.
    Tensor wanted(const Job &job, size_t number) const
    {
        for (size_t i = 0; i < std::min(job.outputs.size(), plan_.outputs.size()); i++)
            if (plan_.outputs[i] == number)
                return job.outputs[i];
        return {};
    }

    /// A device's thread: the job has passed a stage.
    void end(const RunPointer &run)
    {
        Job &job = *run->job, &part = run->part;
        const Stage &stage = plan_.stages[run->started - 1];
        if (run->started == 1) {
            job.started = part.started;
            job.prepared = part.prepared;
        }
        job.bytes_copied += part.bytes_copied;
        job.error = part.error;
        if (!job.error)
            for (size_t i = 0; i < stage.outputs.size(); i++)
                run->values[stage.outputs[i]] = std::move(part.outputs[i]);
        const bool finished = job.error || run->started == plan_.stages.size();
        {
            std::lock_guard lock(mutex_);
            const uint64_t stream = job.stream;
            run->waits = !finished;
            if (finished && std::erase(streams_[stream], run) > 0 && streams_[stream].empty())
                streams_.erase(stream);
            advance(stream);
        }
        if (!finished)
            return;
        if (!job.error)
            deliver(*run);
        complete(job);
        std::lock_guard lock(mutex_);
        if (--unfinished_ == 0)
            idle_.notify_all();
    }

    /// Gives the job its outputs, each in memory of its own.
    void deliver(Run &run) const
    {
        Job &job = *run.job;
        job.outputs.resize(plan_.outputs.size());
        std::set<const std::byte *> given;
        for (const Tensor &input : job.inputs)
            given.insert(input.raw());
        for (const Tensor &constant : plan_.values)
            given.insert(constant.raw());
        for (size_t i = 0; i < job.outputs.size(); i++) {
            const Tensor &made = run.values[plan_.outputs[i]];
            Tensor &place = job.outputs[i];
            const bool fits = place && place.type() == made.type() && place.shape() == made.shape();
            const bool is_free = given.insert(made.raw()).second;
            if (fits && place.raw() == made.raw())
                continue;
            if (fits)
                std::memcpy(place.raw(), made.raw(), made.bytes());
            else
                place = is_free ? made : made.clone();
            if (fits || !is_free)
                job.bytes_copied += made.bytes();
        }
    }
};

/// The values that cross borders get numbers.
class Numbers {
  public:
    size_t of(ValueId id) { return numbers_.try_emplace(id, numbers_.size()).first->second; }
    std::vector<Tensor> constants(const Graph &graph) const
    {
        std::vector<Tensor> values(numbers_.size());
        for (const auto &[id, number] : numbers_)
            values[number] = graph.values[id].constant;
        return values;
    }

  private:
    std::map<ValueId, size_t> numbers_;
};

std::string in_quotes(const std::string &name)
{
    return '"' + name + '"';
}

class HeteroDevice final : public Device {
  public:
    explicit HeteroDevice(std::vector<NamedDevice> devices) : devices_(std::move(devices)) {}
    std::string name() const override { return "HETERO"; }
    std::string description() const override { return "runs each node on the first that can, of " + names(); }
    std::string why_not(const Graph &graph, const Node &node) const override { return why_none(devices_, graph, node); }
    int optimal_batch() const override { return 0; }

    std::unique_ptr<CompiledModel> compile(Graph graph, const Options &options) override
    {
        infer_shapes(graph);
        graph.tidy();
        graph.verify();
        Plan plan{std::move(graph)};
        plan.affinities = affinities_of(plan.graph, devices_);
        const std::vector<Part> parts = cut(plan.graph, plan.affinities, devices_.size());
        if (parts.empty()) // outputs are inputs or constants
            return compile_on(*devices_.front().device, std::move(plan.graph), options);
        number_values(plan, parts, borders_of(plan.graph, parts), options);
        tell(plan, parts.size());
        return std::make_unique<HeteroModel>(std::move(plan), options.num_requests);
    }

  private:
    const std::vector<NamedDevice> devices_;

    std::string names() const
    {
        std::string all;
        for (const NamedDevice &each : devices_)
            all += (all.empty() ? "" : ", ") + each.name;
        return all;
    }

    /// Compiles the parts.
    void number_values(Plan &plan, const std::vector<Part> &parts, const std::vector<Borders> &borders,
                       const Options &options) const
    {
        const Graph &graph = plan.graph;
        const std::vector<Port> ports = input_ports(graph);
        Numbers numbers;
        std::map<ValueId, size_t> images; // their places in Job::images
        for (size_t i = 0; i < ports.size(); i++)
            if (ports[i].image)
                images.emplace(graph.inputs[i], images.size());
            else
                plan.inputs.push_back(numbers.of(graph.inputs[i]));
        for (size_t p = 0; p < parts.size(); p++) {
            Stage stage = stage_of(graph, parts, p);
            for (ValueId id : borders[p].inputs)
                if (const auto image = images.find(id); image != images.end())
                    stage.images.push_back(image->second);
                else
                    stage.inputs.push_back(numbers.of(id));
            for (ValueId id : borders[p].outputs)
                stage.outputs.push_back(numbers.of(id));
            in_context(stage.place, [&] {
                stage.model =
                    compile_on(*devices_[parts[p].device].device, subgraph(graph, parts[p], borders[p]), options);
            });
            plan.stages.push_back(std::move(stage));
        }
        for (ValueId id : graph.outputs)
            plan.outputs.push_back(numbers.of(id));
        plan.values = numbers.constants(graph);
    }

    Stage stage_of(const Graph &graph, const std::vector<Part> &parts, size_t p) const
    {
        const Part &part = parts[p];
        const std::string first = in_quotes(graph.nodes[part.nodes.front()].name),
                          last = in_quotes(graph.nodes[part.nodes.back()].name);
        const std::string range = part.nodes.size() == 1 ? first : first + " to " + last;
        const std::string &device = devices_[part.device].name;
        return {"subgraph " + std::to_string(p + 1) + " of " + std::to_string(parts.size()) + " on " + device + " (" +
                    range + ")",
                device, part.nodes.size(), range};
    }

    /// What each device has, and of that what the devices before it cannot run.
    void tell(Plan &plan, size_t parts) const
    {
        plan.settings.push_back(
            {"subgraphs", std::to_string(parts), "each node runs on the first of " + names() + " that can run it"});
        std::vector<size_t> sizes(devices_.size(), 0);
        std::vector<std::map<std::string, size_t>> refused(devices_.size()); // by op
        for (size_t n = 0; n < plan.affinities.size(); n++) {
            const Affinity &affinity = plan.affinities[n];
            sizes[affinity.device]++;
            if (!affinity.reason.empty())
                refused[affinity.device][std::string(plan.graph.nodes[n].op->name)]++;
        }
        for (size_t d = 0; d < devices_.size(); d++) {
            std::string ops;
            for (const auto &[op, nodes] : refused[d])
                ops += (ops.empty() ? "" : ", ") + std::to_string(nodes) + ' ' + op;
            plan.settings.push_back({"device_" + std::to_string(d + 1), devices_[d].name,
                                     std::to_string(sizes[d]) + " of " + count(plan.affinities.size(), "node") +
                                         (ops.empty() ? ""
                                                      : "; the devices before it refuse " + ops +
                                                            ", for the reasons that the nodes tell")});
        }
    }
};

} // namespace

std::shared_ptr<Device> make_hetero(std::vector<NamedDevice> devices)
{
    return std::make_shared<HeteroDevice>(std::move(devices));
}

std::shared_ptr<Device> make_hetero(const std::string &arguments)
{
    const std::string cure = "want devices by priority, such as HETERO:REF,CPU";
    if (arguments.empty())
        throw Error("no devices are named; " + cure);
    return make_hetero(devices_of(arguments, cure));
}

} // namespace leat
