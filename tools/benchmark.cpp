#include "benchmark.h"
#include "subcommand.h"

#include <leat/error.h>

#include <CLI/Validators.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>

#include <sys/resource.h>
#include <unistd.h>

namespace leat {
namespace {

double peak_megabytes()
{
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024;
}

/// A bar on standard error, when that is a terminal.
class ProgressBar {
  public:
    explicit ProgressBar(std::string about) : about_(std::move(about)) {}
    ~ProgressBar()
    {
        if (drawn_)
            std::fprintf(stderr, "\r\033[K");
    }
    ProgressBar(const ProgressBar &) = delete;
    ProgressBar &operator=(const ProgressBar &) = delete;

    void show(double part)
    {
        constexpr int width = 40;
        constexpr std::chrono::milliseconds often(100);
        const auto now = std::chrono::steady_clock::now();
        if (!terminal_ || (now - last_ < often && part < 1))
            return;
        last_ = now;
        drawn_ = true;
        const int filled = static_cast<int>(std::clamp(part, 0.0, 1.0) * width);
        std::fprintf(stderr, "\r%s [%s%s] %3d %%", about_.c_str(), std::string(size_t(filled), '#').c_str(),
                     std::string(size_t(width - filled), ' ').c_str(), static_cast<int>(100 * std::min(part, 1.0)));
    }

  private:
    const std::string about_;
    const bool terminal_ = isatty(STDERR_FILENO) != 0;
    bool drawn_ = false;
    TimePoint last_;
};

Measurement measure_with_bar(const BenchmarkModel &model, int requests, const Limit &limit, const std::string &about)
{
    ProgressBar bar(about);
    return measure(*model.compiled, model.feed, requests, limit, [&](double part) { bar.show(part); });
}

bool is_latency(const BenchmarkOptions &options)
{
    return options.model.compile.performance_hint == PerformanceHint::latency;
}

int requests_of(const BenchmarkOptions &options, const CompiledModel &model)
{
    if (options.synchronous)
        return 1;
    return options.model.compile.num_requests > 0 ? options.model.compile.num_requests : model.most_depth();
}

/// A number among the device's settings; 0 when it does not say.
int setting_of(const CompiledModel &model, const std::string &name)
{
    for (const Setting &setting : model.settings())
        if (setting.name == name)
            return std::stoi(setting.value);
    return 0;
}

SweepPoint try_point(const BenchmarkOptions &options, const Options &compile, SweepPoint point)
{
    try {
        const BenchmarkModel model =
            open_benchmark_model(options, compile, point.batch == 1 ? options.batch : point.batch);
        if (point.streams == 0)
            point.streams = setting_of(*model.compiled, "num_streams");
        if (point.requests == 0)
            point.requests = is_latency(options) ? 1 : model.compiled->most_depth();
        const std::string about = "sweep: streams " + std::to_string(point.streams) + ", requests " +
                                  std::to_string(point.requests) + ", batch " + std::to_string(point.batch);
        const Measurement measured = measure_with_bar(model, point.requests, options.limit, about);
        point.batch = model.batch;
        point.frames_per_second = frames_per_second(measured, model.batch);
        point.latency = percentiles_of(latencies_of(measured));
        if (measured.failed)
            point.error = measured.first_error;
    } catch (const Error &error) {
        point.error = error.what();
    }
    return point;
}

/// 1, 2, 4 … and the number itself.
std::vector<int> steps_to(int most)
{
    std::vector<int> steps;
    for (int step = 1; step < most; step *= 2)
        steps.push_back(step);
    steps.push_back(most);
    return steps;
}

/// Higher is better.
double merit(const SweepPoint &point, bool latency)
{
    if (!point.error.empty())
        return 0;
    return latency ? 1 / std::max(point.latency.median, 1e-6) : point.frames_per_second;
}

/// Of a larger batch only one point is tried once it turns out that the model does not take it.
std::vector<SweepPoint> sweep_points(const BenchmarkOptions &options, const CompiledModel &model)
{
    const bool fixed = !options.inputs.empty() || options.batch > 0;
    std::vector<SweepPoint> points;
    for (const int64_t batch : fixed ? std::vector<int64_t>{1} : std::vector<int64_t>{1, 2, 4, 8})
        for (const int streams : steps_to(std::max(1, setting_of(model, "num_threads"))))
            for (const int requests : std::set<int>{1, streams, 2 * streams}) {
                Options compile = options.model.compile;
                compile.num_streams = streams;
                compile.num_requests = requests;
                points.push_back(try_point(options, compile, {streams, requests, batch, 0, {}, ""}));
                if (batch > 1 && !points.back().error.empty())
                    return points;
            }
    return points;
}

Sweep sweep(const BenchmarkOptions &options, const CompiledModel &model)
{
    const bool latency = is_latency(options);
    Sweep result;
    result.points = sweep_points(options, model);
    const auto best =
        std::max_element(result.points.begin(), result.points.end(), [&](const SweepPoint &a, const SweepPoint &b) {
            return merit(a, latency) < merit(b, latency);
        });
    result.best = static_cast<size_t>(best - result.points.begin());
    Options by_hint = options.model.compile;
    by_hint.num_streams = by_hint.num_requests = 0;
    result.by_hint = try_point(options, by_hint, {0, 0, 1, 0, {}, ""});
    result.of_best = merit(*best, latency) > 0 ? merit(result.by_hint, latency) / merit(*best, latency) : 0;
    return result;
}

int run(BenchmarkOptions &options)
{
    if (!options.hint_given && !options.synchronous)
        options.model.compile.performance_hint = PerformanceHint::throughput;
    if (options.synchronous && options.model.compile.num_requests > 1)
        throw CLI::ValidationError("--requests", "--api sync waits for each inference: it has one request");
    options.model.compile.profiling = options.layers;
    options.limit.follow_depth = options.model.compile.latency_bound_ms > 0;
    const BenchmarkModel model = open_benchmark_model(options, options.model.compile, options.batch);
    BenchmarkReport report;
    report.model = options.model.path;
    report.device = options.device;
    report.api = options.synchronous ? "sync" : "async";
    report.hint = is_latency(options) ? "latency" : "throughput";
    report.requests = requests_of(options, *model.compiled);
    report.batch = model.batch;
    report.inputs = model.inputs;
    report.read_ms = model.read_ms;
    report.compile_ms = model.compile_ms;
    report.megabytes_compiled = peak_megabytes();
    report.measured = measure_with_bar(model, report.requests, options.limit, "measuring");
    report.settings = model.compiled->settings();
    if (options.layers)
        report.layers = model.compiled->nodes();
    report.megabytes_peak = peak_megabytes();
    if (options.layers)
        report.ceilings = measure_ceilings(); // takes memory of its own
    if (options.sweep)
        report.sweep = sweep(options, *model.compiled);
    if (options.json_file != "-")
        print_text(report);
    if (!options.json_file.empty())
        write_json(options.json_file, report);
    if (!options.timeline_file.empty())
        write_timeline(options.timeline_file, report.measured);
    if (report.measured.failed)
        throw Error(std::to_string(report.measured.failed) + " of " +
                    std::to_string(report.measured.inferences.size()) +
                    " inferences failed: " + report.measured.first_error);
    return 0;
}

} // namespace

std::function<int()> add_benchmark(CLI::App &app)
{
    auto options = std::make_shared<BenchmarkOptions>();
    app.add_option("MODEL", options->model.path, "Model file (.onnx, .xml)")->required();
    app.add_option("-d,--device", options->device, "Device, as listed by `leat devices`")->capture_default_str();
    app.add_option_function<std::string>(
           "--api", [options](const std::string &api) { options->synchronous = api == "sync"; },
           "async: requests side by side, with the hint throughput; sync: one after the other, with the hint latency")
        ->check(CLI::IsMember({"async", "sync"}));
    app.add_option("-i,--input", options->inputs,
                   "Pictures and videos, or NAME=FILE.npy; inputs without a file get random numbers")
        ->take_all()
        ->allow_extra_args(false);
    app.add_option("--shape", options->shapes, "NAME=1x3x224x224: other sizes for an input")
        ->take_all()
        ->allow_extra_args(false);
    app.add_option("--batch", options->batch, "Frames of one inference: the first size of the inputs")
        ->check(CLI::PositiveNumber);
    app.add_option("--num-requests,--requests", options->model.compile.num_requests,
                   "Inferences in flight; 0: decide for me")
        ->check(CLI::NonNegativeNumber);
    auto *iterations =
        app.add_option("--iterations", options->limit.iterations, "Inferences to measure")->check(CLI::PositiveNumber);
    app.add_option_function<double>(
           "--time", [options](double seconds) { options->limit.time_s = std::chrono::duration<double>(seconds); },
           "Seconds to measure, with --sweep for each combination; without it 10")
        ->check(CLI::PositiveNumber)
        ->excludes(iterations);
    app.add_option("--max-rate", options->limit.most_per_second,
                   "Start no more inferences a second than this, as a camera does")
        ->check(CLI::PositiveNumber);
    app.add_flag("--decode", options->decode, "Decode the pictures while measuring, on a thread of its own");
    app.add_flag("--layers", options->layers, "Measure every layer and list them");
    app.add_flag("--sweep", options->sweep, "Try streams, requests and batches, and compare the best with the hint");
    app.add_option("--json", options->json_file, "Write the report as JSON to this file; -: to standard output, alone");
    app.add_option("--timeline", options->timeline_file,
                   "Write what ran when to this file, for Perfetto or chrome://tracing");
    add_compile_options(app, options->model);
    add_picture_options(app, options->model);
    return [options, &app] {
        options->hint_given = app.count("--performance-hint") > 0;
        return run(*options);
    };
}

} // namespace leat
