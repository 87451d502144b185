#pragma once
#include <optional>
#include <string>
#include <vector>

namespace leat {

enum class PerformanceHint { latency, throughput };
/// Which of the models that share a device goes first.
enum class ModelPriority { low, medium, high };
/// Of processors that have fast and slow cores.
enum class CoreType { any, performance, efficient };
/// What to give up for speed: `performance` may compute with fewer bits than the model has, `accuracy` never does.
enum class ExecutionMode { performance, accuracy };
/// The type in which layers of floats compute. Quantised layers compute with their integers whatever it is.
enum class InferencePrecision { automatic, f32, bf16, f16 };

/// What a user asks of a compiled model. 0 means "decide for me"; what was decided is in CompiledModel::settings().
struct Options {
    PerformanceHint performance_hint = PerformanceHint::latency;
    /// On the CPU, jobs of a higher model start first; of sixteen that start one is whoever has waited longest. AUTO
    /// takes a device that no higher model is on, if it can.
    ModelPriority model_priority = ModelPriority::medium;
    /// Milliseconds under which the 99th percentile of the latencies shall stay, while as many jobs are kept in flight
    /// as CompiledModel::depth() says at the time: it begins with one and becomes the most that the bound allows. Where
    /// a single one is late, fewer streams with more cores each take over, unless num_streams is set. 0: no bound.
    int latency_bound_ms = 0;
    int num_requests = 0; ///< jobs that the application will keep in flight
    int num_streams = 0;  ///< lanes that run jobs side by side
    int num_threads = 0;  ///< cores that the lanes share
    CoreType core_type = CoreType::any;
    std::optional<bool> hyper_threading; ///< whether the lanes also use the further hardware threads of a core
    std::optional<bool> pinning;         ///< whether threads are bound to their processors
    int batch_size = 0;       ///< jobs that are joined to one; 1: never
    int batch_timeout_ms = 0; ///< after which a batch that does not fill starts as it is
    ExecutionMode execution_mode = ExecutionMode::performance;
    /// One that the hardware lacks is not taken; CompiledModel::settings() has the one that is, and why.
    InferencePrecision inference_precision = InferencePrecision::automatic;
    bool profiling = false;
    std::vector<std::string> disabled_passes; ///< names of graph passes to leave out, for finding faults
    /// Folder where compiled models are kept, for the next start and for other processes; made when it is not there.
    /// Empty: none are kept. A model is known by its bytes, wherever it lies. Large files are read again to be sure of
    /// them only when they have been written to or the machine has started since.
    std::string cache_dir;
    int cache_size = 1024; ///< MiB that cache_dir may take; the models whose last use is longest ago are removed first

    bool operator==(const Options &) const = default;
};

} // namespace leat
