#include "options.h"

#include <algorithm>
#include <map>

namespace leat {
namespace {

std::string number(size_t value, const char *noun)
{
    return std::to_string(value) + ' ' + noun + (value == 1 ? "" : "s");
}

/// The steps from all cores of the machine to the lanes of a model. Each step notes what it decided and why.
class Resolution {
  public:
    Resolution(const Options &options, const Topology &topology)
        : options_(options), latency_(options.performance_hint == PerformanceHint::latency), cores_(topology.cores),
          quota_(topology.quota)
    {
        if (cores_.empty())
            cores_.push_back({{0}, 0, false});
    }

    Resources run()
    {
        note("performance_hint", latency_ ? "latency" : "throughput", "as asked");
        choose_kind();
        choose_node();
        choose_threads();
        limit();
        choose_streams();
        choose_depth();
        choose_pinning();
        cut_lanes();
        return std::move(result_);
    }

  private:
    /// A hardware thread with the facts of its core.
    struct Thread {
        int cpu, node;
        bool efficient;
    };

    const Options &options_;
    const bool latency_;
    std::vector<ProcessorCore> cores_;
    const int quota_;
    std::vector<Thread> threads_; // that may be used, the best first
    size_t used_ = 0;             // of them at a time
    Resources result_;

    void note(const char *name, const std::string &value, const std::string &reason)
    {
        result_.settings.push_back({name, value, reason});
    }

    long count(bool efficient) const
    {
        return std::count_if(cores_.begin(), cores_.end(),
                             [&](const ProcessorCore &core) { return core.efficient == efficient; });
    }

    void keep(bool efficient)
    {
        std::erase_if(cores_, [&](const ProcessorCore &core) { return core.efficient != efficient; });
    }

    void choose_kind()
    {
        const long fast = count(false), slow = count(true);
        const CoreType wish = options_.core_type;
        if (wish != CoreType::any) {
            const bool efficient = wish == CoreType::efficient;
            const char *name = efficient ? "efficient" : "performance";
            if ((efficient ? slow : fast) == 0)
                return note("core_type", "any",
                            std::string("core_type asks for ") + name + " cores, of which this process may use none");
            keep(efficient);
            return note("core_type", name, "set by core_type");
        }
        if (fast == 0 || slow == 0)
            return note("core_type", "any", "the cores are all of one kind");
        if (!latency_)
            return note("core_type", "any", "performance_hint throughput: every core has a stream of its own");
        if (2 * fast <= slow)
            return note("core_type", "any",
                        number(static_cast<size_t>(slow), "efficient core") + " outweigh " +
                            number(static_cast<size_t>(fast), "performance core"));
        keep(false);
        note("core_type", "performance", "performance_hint latency: one inference would wait for its slowest core");
    }

    void choose_node()
    {
        std::map<int, long> sizes;
        for (const ProcessorCore &core : cores_)
            sizes[core.node]++;
        if (!latency_ || sizes.size() < 2 || options_.num_threads > 0 || options_.num_streams > 1)
            return;
        const auto largest = std::max_element(sizes.begin(), sizes.end(),
                                              [](const auto &a, const auto &b) { return a.second < b.second; });
        const int node = largest->first;
        std::erase_if(cores_, [&](const ProcessorCore &core) { return core.node != node; });
        note("node", std::to_string(node), "performance_hint latency: one inference stays near its memory");
    }

    void choose_threads()
    {
        std::stable_sort(cores_.begin(), cores_.end(), [](const ProcessorCore &a, const ProcessorCore &b) {
            return std::pair(a.efficient, a.node) < std::pair(b.efficient, b.node);
        });
        size_t most = 0;
        for (const ProcessorCore &core : cores_)
            most = std::max(most, core.cpus.size());
        const bool all = options_.hyper_threading.value_or(false);
        for (size_t place = 0; place < (all ? most : 1); place++)
            for (const ProcessorCore &core : cores_)
                if (place < core.cpus.size())
                    threads_.push_back({core.cpus[place], core.node, core.efficient});
        if (most < 2)
            note("hyper_threading", "false", "the cores have one hardware thread each");
        else if (options_.hyper_threading)
            note("hyper_threading", all ? "true" : "false", "set by hyper_threading");
        else
            note("hyper_threading", "false", "the hardware threads of a core share its vector units");
    }

    void limit()
    {
        std::string reason = "all cores that this process may use";
        if (result_.settings.size() > 1 && threads_.size() < static_cast<size_t>(count(false) + count(true)))
            reason = "what the choices above leave";
        used_ = threads_.size();
        if (quota_ > 0 && used_ > static_cast<size_t>(quota_)) {
            used_ = static_cast<size_t>(quota_);
            reason = "the container's quota grants no more";
        }
        if (const auto wish = static_cast<size_t>(std::max(options_.num_threads, 0))) {
            reason = wish <= used_ ? "set by num_threads"
                                   : "num_threads asks for " + std::to_string(wish) +
                                         ", more than the cores that this process may use";
            used_ = std::min(used_, wish);
        }
        note("num_threads", std::to_string(used_), reason);
    }

    void choose_streams()
    {
        const size_t cores = used_;
        const auto wish = static_cast<size_t>(std::max(options_.num_streams, 0));
        const auto requests = static_cast<size_t>(std::max(options_.num_requests, 0));
        size_t streams = cores;
        std::string reason = "performance_hint throughput: one inference a core needs no waiting between cores";
        if (wish > 0) {
            streams = std::min(wish, cores);
            reason = wish <= cores
                         ? "set by num_streams"
                         : "num_streams asks for " + std::to_string(wish) + ", more than the " + number(cores, "core");
        } else if (latency_) {
            streams = 1;
            reason = "performance_hint latency: one inference at a time has all cores";
        } else if (requests > 0 && requests < cores) {
            streams = requests;
            reason = "performance_hint throughput, and num_requests allows no more at a time";
        }
        result_.streams = static_cast<int>(streams);
        result_.threads = static_cast<int>(cores / streams);
        note("num_streams", std::to_string(streams), reason);
        note("threads_per_stream", std::to_string(result_.threads),
             number(cores, "core") + " shared by " + number(streams, "stream"));
    }

    void choose_depth()
    {
        const auto streams = static_cast<size_t>(result_.streams);
        result_.depth = options_.num_requests > 0 ? options_.num_requests
                        : latency_                ? result_.streams + 1
                                                  : 2 * result_.streams;
        note("num_requests", std::to_string(result_.depth),
             options_.num_requests > 0 ? "set by num_requests"
             : latency_ ? "one waits while " + number(streams, "stream") + " run" + (streams == 1 ? "s" : "")
                        : "each stream has its next job waiting");
    }

    void choose_pinning()
    {
        const auto end = threads_.begin() + static_cast<long>(used_);
        const bool mixed = std::any_of(threads_.begin(), end,
                                       [&](const Thread &thread) { return thread.efficient != threads_[0].efficient; });
        const bool shared = mixed && result_.threads > 1;
        result_.pinned = options_.pinning.value_or(!shared);
        note("pinning", result_.pinned ? "true" : "false",
             options_.pinning ? "set by pinning"
             : shared         ? "streams have cores of both kinds; the system moves their threads"
                              : "a stream keeps its cores and their caches");
    }

    /// Sets of `threads` processors: first within the nodes, then from what is left of them.
    void cut_lanes()
    {
        const auto width = static_cast<size_t>(result_.threads);
        std::map<std::pair<bool, int>, std::vector<int>> groups;
        for (const Thread &thread : threads_)
            groups[{thread.efficient, thread.node}].push_back(thread.cpu);
        std::vector<int> left;
        auto cut = [&](const std::vector<int> &cpus) {
            size_t at = 0;
            for (; at + width <= cpus.size(); at += width)
                result_.lanes.emplace_back(cpus.begin() + static_cast<long>(at),
                                           cpus.begin() + static_cast<long>(at + width));
            return std::vector<int>(cpus.begin() + static_cast<long>(at), cpus.end());
        };
        for (const auto &[group, cpus] : groups) {
            const std::vector<int> rest = cut(cpus);
            left.insert(left.end(), rest.begin(), rest.end());
        }
        cut(left);
    }
};

} // namespace

Resources resolve(const Options &options, const Topology &topology)
{
    return Resolution(options, topology).run();
}

} // namespace leat
