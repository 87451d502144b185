#include "devices.h"
#include "reference.h"

#include "inference/ops.h"
#include "inference/ports.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <sstream>

namespace leat {
namespace {

using Clock = std::chrono::steady_clock;

/// What a FAKE device is told to do.
struct Script {
    double latency_ms = 0;
    double jitter_ms = 0;                   ///< added to every odd job, so that neighbours end in the wrong order
    int depth = 1;                          ///< jobs that run side by side
    int batch = 1;                          ///< jobs worth joining
    int fail_every = 0;                     ///< every n-th job fails; 0: none
    std::string outputs = "zeros";          ///< or "reference": what the reference kernels compute
    std::set<std::string, std::less<>> ops; ///< the only ones that it can run; none: it runs all
};

double number(const std::string &key, const std::string &value)
{
    double result = 0;
    const auto end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, result);
    if (parsed.ec != std::errc() || parsed.ptr != end || result < 0)
        throw Error("device FAKE: " + key + "=" + value + " is not a number of 0 or more");
    return result;
}

/// From "Relu+Concat".
std::set<std::string, std::less<>> ops_of(const std::string &list)
{
    std::set<std::string, std::less<>> ops;
    std::istringstream items(list);
    std::string name;
    while (std::getline(items, name, '+')) {
        if (!find_op(name))
            throw Error("device FAKE: ops=" + list + " names the op \"" + name + "\", which does not exist");
        ops.insert(name);
    }
    return ops;
}

Script script_of(const std::string &arguments)
{
    Script script;
    std::istringstream list(arguments);
    std::string item;
    while (std::getline(list, item, ',')) {
        const size_t equals = item.find('=');
        const std::string key = item.substr(0, equals),
                          value = equals == std::string::npos ? "" : item.substr(equals + 1);
        if (key == "latency_ms")
            script.latency_ms = number(key, value);
        else if (key == "jitter_ms")
            script.jitter_ms = number(key, value);
        else if (key == "depth")
            script.depth = std::max(1, static_cast<int>(number(key, value)));
        else if (key == "batch")
            script.batch = std::max(1, static_cast<int>(number(key, value)));
        else if (key == "fail_every")
            script.fail_every = static_cast<int>(number(key, value));
        else if (key == "outputs" && (value == "zeros" || value == "reference"))
            script.outputs = value;
        else if (key == "ops")
            script.ops = ops_of(value);
        else
            throw Error("device FAKE does not know \"" + item +
                        "\"; it knows latency_ms, jitter_ms, depth, batch, fail_every, outputs=zeros|reference and "
                        "ops=Relu+Concat");
    }
    return script;
}

Tensor zeros(const Port &port)
{
    Shape shape = port.shape;
    std::replace(shape.begin(), shape.end(), int64_t(-1), int64_t(1));
    Tensor tensor(port.type, shape);
    std::fill_n(tensor.raw(), tensor.bytes(), std::byte{0});
    return tensor;
}

/// One thread waits for the time at which each job ends: as many run side by side as the depth says.
class FakeModel final : public CompiledModel {
  public:
    FakeModel(Graph graph, const Script &script)
        : graph_(std::move(graph)), script_(script), inputs_(input_ports(graph_)), outputs_(output_ports(graph_)),
          slots_(static_cast<size_t>(script.depth)), thread_([this] { loop(); })
    {
    }

    ~FakeModel() override
    {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }

    std::span<const Port> inputs() const override { return inputs_; }
    std::span<const Port> outputs() const override { return outputs_; }
    int depth() const override { return script_.depth; }
    Tensor allocate(const Port &port) const override { return zeros(port); }

    void submit(Job &job) override
    {
        std::lock_guard lock(mutex_);
        const auto now = Clock::now();
        job.submitted = now;
        const int number = ++submitted_;
        auto slot = std::min_element(slots_.begin(), slots_.end());
        job.started = job.prepared = std::max(*slot, now);
        const double ms = script_.latency_ms + (number % 2 ? script_.jitter_ms : 0);
        *slot =
            job.started + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::milli>(ms));
        running_.emplace(*slot, std::pair(&job, number));
        changed_.notify_one();
    }

    std::vector<Setting> settings() const override
    {
        return {{"device", "FAKE", "named by the user"},
                {"depth", std::to_string(script_.depth), "as scripted"},
                {"latency_ms", std::to_string(script_.latency_ms), "as scripted"},
                {"outputs", script_.outputs, "as scripted"}};
    }

    std::vector<NodeReport> nodes() const override
    {
        std::vector<NodeReport> reports;
        for (const Node &node : graph_.nodes)
            reports.push_back(
                {node.name, std::string(node.op->name), "FAKE", script_.outputs, "this device only pretends"});
        return reports;
    }

  private:
    void loop()
    {
        std::unique_lock lock(mutex_);
        while (true) {
            if (running_.empty()) {
                if (stopping_)
                    return;
                changed_.wait(lock);
                continue;
            }
            const auto first = running_.begin()->first;
            if (Clock::now() < first) {
                changed_.wait_until(lock, first);
                continue;
            }
            auto [job, number] = running_.begin()->second;
            running_.erase(running_.begin());
            lock.unlock();
            answer(*job, number);
            lock.lock();
        }
    }

    void answer(Job &job, int number) const
    {
        job.bytes_copied = 0;
        try {
            throw_if_cancelled(job);
            check_inputs(inputs_, job);
            if (script_.fail_every && number % script_.fail_every == 0)
                throw Error("device FAKE: job " + std::to_string(number) + " fails as scripted");
            if (script_.outputs == "reference")
                run_by_reference(graph_, job);
            else
                fill_with_zeros(job);
        } catch (...) {
            job.error = std::current_exception();
        }
        complete(job);
    }

    void fill_with_zeros(Job &job) const
    {
        job.outputs.resize(outputs_.size());
        for (size_t i = 0; i < outputs_.size(); i++)
            if (job.outputs[i])
                std::fill_n(job.outputs[i].raw(), job.outputs[i].bytes(), std::byte{0});
            else
                job.outputs[i] = zeros(outputs_[i]);
    }

    const Graph graph_;
    const Script script_;
    const std::vector<Port> inputs_, outputs_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Clock::time_point> slots_;                            ///< when each becomes free
    std::multimap<Clock::time_point, std::pair<Job *, int>> running_; ///< by the time at which they end
    int submitted_ = 0;
    bool stopping_ = false;
    std::thread thread_;
};

class Fake final : public Device {
  public:
    explicit Fake(const Script &script) : script_(script) {}
    std::string name() const override { return "FAKE"; }
    std::string description() const override { return "computes nothing: scripted latency and failures, for tests"; }
    std::string why_not(const Graph &, const Node &node) const override
    {
        if (script_.ops.empty() || script_.ops.contains(node.op->name))
            return "";
        return "the op " + std::string(node.op->name) + " is not among those of its script";
    }
    int optimal_batch() const override { return script_.batch; }
    std::unique_ptr<CompiledModel> compile(Graph graph, const Options &) override
    {
        infer_shapes(graph);
        graph.tidy();
        for (const Node &node : graph.nodes)
            if (const std::string reason = why_not(graph, node); !reason.empty())
                throw Error("node \"" + node.name + "\" cannot run on FAKE: " + reason +
                            "; let HETERO:FAKE,CPU give it to the CPU");
        return std::make_unique<FakeModel>(std::move(graph), script_);
    }

  private:
    const Script script_;
};

} // namespace

std::shared_ptr<Device> make_fake(const std::string &arguments)
{
    return std::make_shared<Fake>(script_of(arguments));
}

} // namespace leat
