#include "options.h"

#include <algorithm>

namespace leat {
namespace {

struct Decision {
    int value;
    std::string reason;
};

std::string number(int value, const char *noun)
{
    return std::to_string(value) + ' ' + noun + (value == 1 ? "" : "s");
}

Decision wished(const char *property, int wish, int limit, const std::string &limit_name)
{
    if (wish <= limit)
        return {wish, std::string("set by ") + property};
    return {limit, std::string(property) + " asks for " + std::to_string(wish) + ", more than " + limit_name};
}

Decision decide_cores(const Options &options, int cores)
{
    if (options.num_threads > 0)
        return wished("num_threads", options.num_threads, cores, "the cores that this process may use");
    return {cores, "all cores that this process may use"};
}

Decision decide_streams(const Options &options, int cores)
{
    if (options.num_streams > 0)
        return wished("num_streams", options.num_streams, cores, "the " + number(cores, "core"));
    if (options.performance_hint == PerformanceHint::latency)
        return {1, "performance_hint latency: one inference at a time has all cores"};
    if (options.num_requests > 0 && options.num_requests < cores)
        return {options.num_requests, "performance_hint throughput, and num_requests allows no more at a time"};
    return {cores, "performance_hint throughput: one inference a core needs no waiting between cores"};
}

Decision decide_depth(const Options &options, int streams)
{
    if (options.num_requests > 0)
        return {options.num_requests, "set by num_requests"};
    if (options.performance_hint == PerformanceHint::latency)
        return {streams + 1, "one waits while " + number(streams, "stream") + " run" + (streams == 1 ? "s" : "")};
    return {2 * streams, "each stream has its next job waiting"};
}

} // namespace

Resources resolve(const Options &options, int cores)
{
    const Decision used = decide_cores(options, std::max(cores, 1));
    const Decision streams = decide_streams(options, used.value);
    const int threads = used.value / streams.value;
    const Decision depth = decide_depth(options, streams.value);
    const bool latency = options.performance_hint == PerformanceHint::latency;
    return {streams.value,
            threads,
            depth.value,
            {{"performance_hint", latency ? "latency" : "throughput", "as asked"},
             {"num_threads", std::to_string(used.value), used.reason},
             {"num_streams", std::to_string(streams.value), streams.reason},
             {"threads_per_stream", std::to_string(threads),
              number(used.value, "core") + " shared by " + number(streams.value, "stream")},
             {"num_requests", std::to_string(depth.value), depth.reason}}};
}

} // namespace leat
