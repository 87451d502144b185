#pragma once
#include <string>
#include <vector>

namespace leat {

enum class PerformanceHint { latency, throughput };

/// What a user asks of a compiled model. 0 means "decide for me"; what was decided is in CompiledModel::settings().
struct Options {
    PerformanceHint performance_hint = PerformanceHint::latency;
    int num_requests = 0; ///< jobs that the application will keep in flight
    int num_streams = 0;  ///< lanes that run jobs side by side
    int num_threads = 0;  ///< cores that the lanes share
    bool profiling = false;
    std::vector<std::string> disabled_passes; ///< names of graph passes to leave out, for finding faults

    bool operator==(const Options &) const = default;
};

} // namespace leat
