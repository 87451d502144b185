#pragma once
#include "ceilings.h"
#include "measure.h"
#include "model_options.h"

#include <string>
#include <utility>
#include <vector>

namespace leat {

struct BenchmarkOptions {
    ModelOptions model;
    std::string device = "CPU";
    bool synchronous = false;
    bool hint_given = false;
    std::vector<std::string> inputs; ///< NAME=FILE.npy, or pictures
    std::vector<std::string> shapes; ///< NAME=SIZES
    int64_t batch = 0;               ///< 0: the model's own
    Limit limit;
    bool decode = false, layers = false, sweep = false;
    std::string json_file, timeline_file;
};

/// How an input is fed, for the report.
struct InputReport {
    Port port; ///< sizes as measured
    std::string from;
};

/// A model made ready to be measured, and what that took.
struct BenchmarkModel {
    std::shared_ptr<CompiledModel> compiled;
    std::shared_ptr<const void> owner; ///< of `compiled` and what it needs
    Feed feed;
    std::vector<InputReport> inputs;
    int64_t batch = 1; ///< frames of one inference
    double read_ms = 0, compile_ms = 0;
};

/// Reads and compiles the model and makes its inputs: from files, else random numbers that are the same in every run.
/// Throws Error, also when sizes that the model leaves open are not given.
BenchmarkModel open_benchmark_model(const BenchmarkOptions &, const Options &, int64_t batch);

/// A combination that --sweep tried.
struct SweepPoint {
    int streams = 0, requests = 0; ///< streams 0: the device does not say
    int64_t batch = 1;
    double frames_per_second = 0;
    Percentiles latency;
    std::string error; ///< why it could not be measured; else empty
};

struct Sweep {
    std::vector<SweepPoint> points;
    size_t best = 0;    ///< of the points
    SweepPoint by_hint; ///< what the hint chooses by itself
    double of_best = 0; ///< what the hint reaches of the best: of its throughput or, for latency, best median / median
};

struct BenchmarkReport {
    std::string model, device, api, hint;
    int requests = 1;
    int64_t batch = 1;
    std::vector<InputReport> inputs;
    double read_ms = 0, compile_ms = 0;
    double megabytes_compiled = 0, megabytes_peak = 0; ///< the process's largest resident memory so far
    std::vector<Setting> settings;
    Measurement measured;
    std::vector<NodeReport> layers; ///< empty unless asked for
    Ceilings ceilings{};            ///< of a core, with the layers
    std::optional<Sweep> sweep;
};

void print_text(const BenchmarkReport &);
/// Throws Error when the file cannot be written; "-" is standard output.
void write_json(const std::string &path, const BenchmarkReport &);

} // namespace leat
