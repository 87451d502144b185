#include "devices/devices.h"

#include "devices/cpu/bfloat16.h"
#include "devices/cpu/integers.h"
#include "devices/cpu/lanes.h"
#include "devices/cpu/onednn.h"
#include "devices/cpu/plan.h"
#include "devices/cpu/precision.h"
#include "devices/cpu/team.h"
#include "devices/cpu/topology.h"
#include "inference/options.h"
#include "inference/passes.h"
#include "inference/ports.h"

#include <algorithm>
#include <array>
#include <future>
#include <iterator>
#include <list>
#include <set>

namespace leat::cpu {
namespace {

std::vector<PackedConstant> known_here(std::vector<PackedConstant> stored)
{
    for (PackedConstant &each : stored)
        each.form = onednn::form_here(each.form);
    return stored;
}

/// The inputs that bring tensors, not pictures.
std::vector<ValueId> tensor_inputs(const Graph &graph)
{
    std::vector<ValueId> ids;
    const std::vector<Port> ports = input_ports(graph);
    for (size_t i = 0; i < ports.size(); i++)
        if (!ports[i].image)
            ids.push_back(graph.inputs[i]);
    return ids;
}

/// Plans for the input sizes used lately.
class Plans {
  public:
    Plans(Compilation compilation, int threads, int lanes, bool in_bf16, Options options)
        : inputs_(tensor_inputs(compilation.graph)), threads_(threads), lanes_(lanes), in_bf16_(in_bf16),
          options_(std::move(options)), weights_(known_here(std::move(compilation.packed))),
          graph_(std::make_shared<const Graph>(std::move(compilation.graph))), types_(std::move(compilation.types))
    {
        for (const Value &value : graph_->values)
            weights_.memory()->expect(value.constant.bytes());
    }

    /// Makes the one plan of a graph whose sizes are all known, which is from then on the graph with the types in which
    /// its nodes compute, and lets go of the constants that it was made of: before they are packed, so that each goes
    /// as it is, unless they are wanted in `completed`. To be called before all others, if at all.
    void make_only(const std::vector<Shape> &shapes, Compilation *completed)
    {
        const onednn::RememberedPrimitives remembered;
        Typed typed;
        if (!types_) {
            typed = with_types(*graph_);
            graph_ = typed.graph;
            types_ = typed.reasons;
        }
        const auto plan = Plan::make(graph_, weights_, threads_, lanes_, options_.profiling, *types_);
        typed = {};
        const int parts = weights_.are_stored() ? 1 : plan->steps(); // others need not come when nothing is packed
        if (!completed)
            close();
        plan->prepare(parts);
        if (completed) {
            complete(*completed);
            close();
        }
        std::promise<std::shared_ptr<const Plan>> made;
        made.set_value(plan);
        entries_.push_front({shapes, made.get_future().share()});
        latest_ = plan;
    }

    /// Adds what is known by now.
    void complete(Compilation &compilation)
    {
        compilation.graph = *graph_;
        compilation.types = types_;
        compilation.packed = packed();
    }

    /// The plan for tensors of these shapes; made when it is asked for first. Who asks for one that is being made waits
    /// for it, and for no other. Throws what making it threw.
    std::shared_ptr<const Plan> get(const std::vector<Shape> &shapes)
    {
        std::promise<std::shared_ptr<const Plan>> promise;
        std::unique_lock lock(mutex_);
        const auto known = find(shapes);
        const bool is_new = known == entries_.end();
        if (is_new)
            entries_.push_front({shapes, promise.get_future().share()});
        else
            entries_.splice(entries_.begin(), entries_, known);
        if (entries_.size() > kept)
            entries_.pop_back();
        const auto future = entries_.front().plan;
        lock.unlock();
        if (is_new)
            make(shapes, promise);
        auto plan = future.get();
        lock.lock();
        latest_ = plan;
        return plan;
    }

    const std::shared_ptr<const Graph> &graph() const { return graph_; }

    /// The one used last; nothing before the first, or when it is no longer kept.
    std::shared_ptr<const Plan> latest()
    {
        std::lock_guard lock(mutex_);
        return latest_.lock();
    }

  private:
    struct Entry {
        std::vector<Shape> shapes;
        std::shared_future<std::shared_ptr<const Plan>> plan; ///< ready, or being made
    };

    /// A graph with the types in which its nodes compute.
    struct Typed {
        std::shared_ptr<const Graph> graph;
        std::map<std::string, std::string> reasons;
        std::vector<Choice> tried; ///< keep packed weights until the plan uses them
    };

    static constexpr size_t kept = 8;
    const std::vector<ValueId> inputs_;
    const int threads_, lanes_;
    const bool in_bf16_;
    const Options options_;
    Weights weights_;
    std::shared_ptr<const Graph> graph_;
    std::optional<std::map<std::string, std::string>> types_;
    std::mutex mutex_;         // guards what follows; not held while a plan is made
    std::list<Entry> entries_; ///< the one asked for last in front
    std::weak_ptr<const Plan> latest_;

    /// Of what is packed at present that which is made of the graph's constants, step by step.
    std::vector<PackedConstant> packed()
    {
        std::set<const std::byte *> sources;
        for (const Value &value : graph_->values)
            if (value.constant)
                sources.insert(value.constant.raw());
        std::vector<PackedConstant> waiting = weights_.entries(), result;
        for (size_t before = waiting.size() + 1; waiting.size() < before;) {
            before = waiting.size();
            const auto rest = std::stable_partition(waiting.begin(), waiting.end(), [&](const PackedConstant &each) {
                return sources.count(each.source.raw()) == 0;
            });
            for (auto each = rest; each != waiting.end(); ++each)
                sources.insert(each->made.raw());
            std::move(rest, waiting.end(), std::back_inserter(result));
            waiting.erase(rest, waiting.end());
        }
        return result;
    }

    /// Nobody asks for further plans.
    void close()
    {
        weights_.close();
        graph_ = without_constants(*graph_);
    }

    std::list<Entry>::iterator find(const std::vector<Shape> &shapes)
    {
        return std::find_if(entries_.begin(), entries_.end(), [&](const Entry &each) { return each.shapes == shapes; });
    }

    /// What failed is not kept: it may have been for want of memory.
    void make(const std::vector<Shape> &shapes, std::promise<std::shared_ptr<const Plan>> &promise)
    {
        try {
            promise.set_value(make(shapes));
        } catch (...) {
            promise.set_exception(std::current_exception());
            std::lock_guard lock(mutex_);
            if (const auto failed = find(shapes); failed != entries_.end())
                entries_.erase(failed);
        }
    }

    std::shared_ptr<const Plan> make(const std::vector<Shape> &shapes)
    {
        const onednn::RememberedPrimitives remembered;
        Graph sized = *graph_;
        if (!as_they_are(shapes)) {
            for (size_t i = 0; i < shapes.size(); i++)
                sized.values[inputs_[i]].shape = shapes[i];
            infer_shapes(sized);
            optimise(sized, options_); // known sizes let more passes apply
        }
        Typed typed = with_types(std::move(sized));
        const auto plan = Plan::make(typed.graph, weights_, threads_, lanes_, options_.profiling, typed.reasons);
        typed = {};
        plan->prepare(plan->steps());
        return plan;
    }

    Typed with_types(Graph graph)
    {
        IntegerReport integers;
        BFloat16Report bf16;
        with_one_thread([&] {
            integers = compute_in_integers(graph, weights_, options_, threads_);
            if (in_bf16_)
                bf16 = compute_in_bf16(graph, weights_, threads_);
        });
        Typed typed{std::make_shared<const Graph>(std::move(graph)), {}, std::move(integers.tried)};
        std::move(bf16.tried.begin(), bf16.tried.end(), std::back_inserter(typed.tried));
        for (const auto &[node, reason] : bf16.refusals)
            typed.reasons[node] = "not in bf16: " + reason;
        for (const auto &[node, reason] : integers.refusals)
            typed.reasons[node] = "not on integers: " + reason;
        return typed;
    }

    bool as_they_are(const std::vector<Shape> &shapes) const
    {
        for (size_t i = 0; i < shapes.size(); i++)
            if (graph_->values[inputs_[i]].shape != shapes[i])
                return false;
        return true;
    }
};

Setting priority_of(ModelPriority priority)
{
    constexpr std::array names = {"low", "medium", "high"};
    return {"model_priority", names.at(static_cast<size_t>(priority)),
            "as asked; among the models that share the CPU's lanes"};
}

std::vector<Setting> settings_of(const Resources &resources, const Options &options, const Setting &precision,
                                 const Compilation &compilation)
{
    std::vector<Setting> settings = resources.settings;
    settings.push_back(
        {"execution_mode", options.execution_mode == ExecutionMode::accuracy ? "accuracy" : "performance", "as asked"});
    settings.push_back(priority_of(options.model_priority));
    settings.push_back(precision);
    for (const std::string &change : compilation.notes)
        settings.back().reason += "; " + change;
    const std::string &origin = compilation.origin;
    settings.push_back({"loaded_from_cache", origin.empty() ? "false" : "true",
                        origin.empty() ? "it was compiled now" : "it was stored in " + origin});
    return settings;
}

class CpuModel final : public CompiledModel {
  public:
    /// `completed`: see StagedCompiler::build().
    CpuModel(std::shared_ptr<Lanes> lanes, const Topology &topology, Compilation compilation, const Options &options,
             Compilation *completed)
        : inputs_(input_ports(compilation.graph)), outputs_(output_ports(compilation.graph)),
          resources_(resolve(options, topology)), precision_(choose_precision(options, onednn::has_bf16())),
          settings_(settings_of(resources_, options, precision_, compilation)),
          plans_(std::move(compilation), resources_.threads, static_cast<int>(resources_.lanes.size()),
                 precision_.value == "bf16", options),
          client_(
              std::move(lanes), resources_.streams, resources_.lanes, resources_.pinned,
              [this](Job &job, LaneContext &lane) { run(job, lane); }, options.model_priority)
    {
        std::vector<Shape> shapes;
        for (const Port &port : inputs_)
            if (!port.image)
                shapes.push_back(port.shape);
        if (std::all_of(shapes.begin(), shapes.end(), is_static)) {
            const auto threads = resources_.threads * static_cast<int>(resources_.lanes.size());
            with_threads(threads, [&] { plans_.make_only(shapes, completed); });
        } else if (completed) {
            plans_.complete(*completed);
        }
    }

    std::span<const Port> inputs() const override { return inputs_; }
    std::span<const Port> outputs() const override { return outputs_; }
    int depth() const override { return resources_.depth; }
    Tensor allocate(const Port &port) const override { return Tensor(port.type, port.shape); }
    void submit(Job &job) override { client_.submit(job); }
    std::vector<Setting> settings() const override { return settings_; }
    std::vector<NodeReport> nodes() const override
    {
        if (const auto plan = plans_.latest())
            return plan->nodes();
        std::vector<NodeReport> reports;
        for (const Node &node : plans_.graph()->nodes)
            reports.push_back({node.name, std::string(node.op->name), "CPU", "not chosen yet",
                               "kernels are chosen when the first job brings the sizes of the inputs"});
        return reports;
    }

  private:
    const std::vector<Port> inputs_, outputs_;
    const Resources resources_;
    const Setting precision_;
    const std::vector<Setting> settings_;
    mutable Plans plans_;
    Lanes::Client client_; // last: its destructor waits for the jobs

    void run(Job &job, LaneContext &lane)
    {
        check_inputs(inputs_, job);
        std::vector<Shape> shapes;
        for (const Tensor &tensor : job.inputs)
            shapes.push_back(tensor.shape());
        plans_.get(shapes)->run(job, lane);
    }
};

class Cpu final : public Device, public StagedCompiler {
  public:
    Cpu() : topology_(read_topology("/sys", allowed_cpus())), lanes_(std::make_shared<Lanes>()) {}
    std::string name() const override { return "CPU"; }
    std::string description() const override
    {
        return std::to_string(topology_.cores.size()) + " cores, " + onednn::description();
    }
    std::string why_not(const Graph &, const Node &node) const override
    {
        if (node.op->reference || node.op->name == "ImageToTensor")
            return "";
        return "the op " + std::string(node.op->name) + " has no kernel";
    }
    std::unique_ptr<CompiledModel> compile(Graph graph, const Options &options) override
    {
        return build(prepare(std::move(graph), options), options, nullptr);
    }
    const StagedCompiler *staged() const override { return this; }
    std::string target() const override { return onednn::description(); }
    Compilation prepare(Graph graph, const Options &options) const override
    {
        infer_shapes(graph);
        graph.tidy();
        graph.verify();
        std::vector<std::string> precision = compute_in_f32(graph);
        optimise(graph, options);
        return {std::move(graph), std::move(precision)};
    }
    std::unique_ptr<CompiledModel> build(Compilation compilation, const Options &options,
                                         Compilation *completed) const override
    {
        return std::make_unique<CpuModel>(lanes_, topology_, std::move(compilation), options, completed);
    }

  private:
    const Topology topology_;
    const std::shared_ptr<Lanes> lanes_;
};

} // namespace
} // namespace leat::cpu

std::shared_ptr<leat::Device> leat::make_cpu()
{
    return std::make_shared<cpu::Cpu>();
}
