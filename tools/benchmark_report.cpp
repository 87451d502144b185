#include "benchmark.h"

#include "inference/ports.h"

#include <leat/error.h>

#include <nlohmann/json.hpp>

#include <array>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <numeric>

namespace leat {
namespace {

using Json = nlohmann::ordered_json;

struct PercentileName {
    const char *name;
    double Percentiles::*value;
};
constexpr std::array percentile_names{
    PercentileName{"min", &Percentiles::min},   PercentileName{"median", &Percentiles::median},
    PercentileName{"mean", &Percentiles::mean}, PercentileName{"p90", &Percentiles::p90},
    PercentileName{"p95", &Percentiles::p95},   PercentileName{"p99", &Percentiles::p99},
    PercentileName{"max", &Percentiles::max},
};

/// Mean milliseconds between two instants of the inferences that did not fail.
double mean_between(const Measurement &measured, TimePoint Inference::*from, TimePoint Inference::*to)
{
    double sum = 0;
    int64_t count = 0;
    for (const Inference &each : measured.inferences)
        if (!each.failed) {
            sum += std::chrono::duration<double, std::milli>(each.*to - each.*from).count();
            count++;
        }
    return count ? sum / static_cast<double>(count) : 0;
}

/// A thousandth of the unit is enough to print.
double rounded(double value)
{
    return std::round(value * 1e3) / 1e3;
}

double sum_of(const std::vector<NodeReport> &layers)
{
    return std::accumulate(layers.begin(), layers.end(), 0.0,
                           [](double sum, const NodeReport &layer) { return sum + std::max(layer.milliseconds, 0.0); });
}

/// Billions of operations a second; nothing where the work or the time is not known.
std::optional<double> rate_of(const NodeReport &layer)
{
    if (layer.operations <= 0 || layer.milliseconds <= 0)
        return std::nullopt;
    return layer.operations / layer.milliseconds / 1e6;
}

/// Billions of bytes a second; nothing where they or the time are not known.
std::optional<double> traffic_of(const NodeReport &layer)
{
    if (layer.bytes <= 0 || layer.milliseconds <= 0)
        return std::nullopt;
    return layer.bytes / layer.milliseconds / 1e6;
}

/// The part of the cores' ceiling that the layer reaches, in f32 operations or in bytes of memory, whichever is more.
/// More than 1 where caches give the bytes, where integers or bf16 compute, and where Winograd saves operations.
double of_ceiling(const NodeReport &layer, const BenchmarkReport &report)
{
    double cores = 1;
    for (const Setting &setting : report.settings)
        if (setting.name == "threads_per_stream")
            cores = std::stod(setting.value);
    return std::max(rate_of(layer).value_or(0) / report.ceilings.operations,
                    traffic_of(layer).value_or(0) / report.ceilings.bytes) /
           cores;
}

std::ostream &label(const char *name)
{
    return std::cout << std::left << std::setw(18) << name << std::right;
}

void print_number(std::optional<double> number, int width)
{
    std::cout << std::setw(width);
    if (number)
        std::cout << *number;
    else
        std::cout << "";
}

void print_layers(const BenchmarkReport &report)
{
    const double total = sum_of(report.layers);
    std::cout << std::setprecision(1);
    label("a core's ceiling") << report.ceilings.operations << " GFLOP/s of f32, " << report.ceilings.bytes
                              << " GB/s from memory, measured afterwards\n";
    std::cout << "\n      ms      %  GFLOP/s     GB/s  %ceiling  op                    kernel  node\n";
    for (const NodeReport &layer : report.layers) {
        if (layer.milliseconds < 0)
            continue;
        std::cout << std::setprecision(3) << std::setw(8) << layer.milliseconds << std::setprecision(1) << std::setw(7)
                  << (total > 0 ? 100 * layer.milliseconds / total : 0);
        print_number(rate_of(layer), 9);
        print_number(traffic_of(layer), 9);
        const double part = of_ceiling(layer, report);
        print_number(part > 0 ? std::optional(100 * part) : std::nullopt, 10);
        std::cout << "  " << std::left << std::setw(20) << layer.op << std::right << "  " << layer.kernel << "  "
                  << layer.node << "\n";
    }
    std::cout << std::setprecision(3) << std::setw(8) << total << "  all layers, by one inference\n"
              << std::setprecision(2);
}

void print_point(const SweepPoint &point, const char *mark)
{
    std::cout << std::setw(7);
    if (point.streams > 0)
        std::cout << point.streams;
    else
        std::cout << "-";
    std::cout << std::setw(10) << point.requests << std::setw(7) << point.batch;
    if (!point.error.empty())
        std::cout << "  " << point.error << "\n";
    else
        std::cout << std::setw(12) << point.frames_per_second << std::setw(10) << point.latency.median << std::setw(10)
                  << point.latency.p99 << mark << "\n";
}

void print_sweep(const Sweep &sweep, const std::string &hint)
{
    std::cout << "\nstreams  requests  batch    frames/s median ms    p99 ms\n";
    for (size_t i = 0; i < sweep.points.size(); i++)
        print_point(sweep.points[i], i == sweep.best ? "  best" : "");
    print_point(sweep.by_hint, "  chosen by the hint");
    std::cout << "The hint " << hint << " reaches " << std::setprecision(1) << 100 * sweep.of_best
              << " % of the best found.\n"
              << std::setprecision(2);
}

Json percentiles_json(const Percentiles &percentiles)
{
    Json json;
    for (const PercentileName &each : percentile_names)
        json[each.name] = rounded(percentiles.*each.value);
    return json;
}

Json point_json(const SweepPoint &point)
{
    Json json{{"streams", point.streams}, {"requests", point.requests}, {"batch", point.batch}};
    if (!point.error.empty()) {
        json["error"] = point.error;
        return json;
    }
    json["frames_per_second"] = rounded(point.frames_per_second);
    json["latency_ms"] = percentiles_json(point.latency);
    return json;
}

Json sweep_json(const Sweep &sweep)
{
    Json points = Json::array();
    for (const SweepPoint &point : sweep.points)
        points.push_back(point_json(point));
    return {{"points", points},
            {"best", point_json(sweep.points[sweep.best])},
            {"by_hint", point_json(sweep.by_hint)},
            {"hint_of_best", rounded(sweep.of_best)}};
}

Json layers_json(const BenchmarkReport &report)
{
    Json rows = Json::array();
    for (const NodeReport &layer : report.layers) {
        Json row{{"node", layer.node}, {"op", layer.op}, {"kernel", layer.kernel}};
        if (layer.milliseconds >= 0)
            row["milliseconds"] = layer.milliseconds;
        if (layer.operations >= 0)
            row["operations"] = layer.operations;
        if (const auto rate = rate_of(layer))
            row["gflops"] = rounded(*rate);
        if (layer.bytes >= 0)
            row["bytes"] = layer.bytes;
        if (const auto traffic = traffic_of(layer))
            row["gb_per_second"] = rounded(*traffic);
        if (const double part = of_ceiling(layer, report); part > 0)
            row["of_ceiling"] = rounded(part);
        rows.push_back(row);
    }
    return rows;
}

Json json_of(const BenchmarkReport &report)
{
    const Measurement &measured = report.measured;
    Json json{{"model", report.model},   {"device", report.device},     {"api", report.api},
              {"hint", report.hint},     {"requests", report.requests}, {"batch", report.batch},
              {"inputs", Json::array()}, {"settings", Json::array()}};
    for (const InputReport &input : report.inputs)
        json["inputs"].push_back({{"name", input.port.name},
                                  {"type", std::string(to_string(input.port.type))},
                                  {"shape", input.port.shape},
                                  {"from", input.from}});
    for (const Setting &setting : report.settings)
        json["settings"].push_back({{"name", setting.name}, {"value", setting.value}, {"reason", setting.reason}});
    json["read_ms"] = rounded(report.read_ms);
    json["compile_ms"] = rounded(report.compile_ms);
    json["first_inference_ms"] = rounded(measured.first_ms);
    json["count"] = measured.inferences.size();
    json["failed"] = measured.failed;
    json["duration_ms"] = rounded(measured.duration_ms);
    json["latency_ms"] = percentiles_json(percentiles_of(latencies_of(measured)));
    json["mean_ms"] = {{"wait", rounded(mean_between(measured, &Inference::begun, &Inference::started))},
                       {"preprocess", rounded(mean_between(measured, &Inference::started, &Inference::prepared))},
                       {"inference", rounded(mean_between(measured, &Inference::prepared, &Inference::ended))}};
    json["frames_per_second"] = rounded(frames_per_second(measured, report.batch));
    json["peak_memory_mb"] = {{"compiled", rounded(report.megabytes_compiled)},
                              {"measured", rounded(report.megabytes_peak)}};
    if (!report.layers.empty()) {
        json["ceilings"] = {{"gflops", rounded(report.ceilings.operations)},
                            {"gb_per_second", rounded(report.ceilings.bytes)}};
        json["layers"] = layers_json(report);
    }
    if (report.sweep)
        json["sweep"] = sweep_json(*report.sweep);
    return json;
}

} // namespace

void print_text(const BenchmarkReport &report)
{
    const Measurement &measured = report.measured;
    std::cout << std::fixed << std::setprecision(2);
    label("model") << report.model << ", read in " << report.read_ms << " ms\n";
    label("device") << report.device << ", compiled in " << report.compile_ms << " ms\n";
    for (const InputReport &input : report.inputs)
        label("input") << to_string(input.port) << ": " << input.from << "\n";
    for (const Setting &setting : report.settings)
        label("setting") << setting.name << " = " << setting.value << " (" << setting.reason << ")\n";
    label("api") << report.api << ", hint " << report.hint << ", " << report.requests
                 << (report.requests == 1 ? " request" : " requests") << "\n";
    label("first inference") << measured.first_ms << " ms\n";
    label("count") << measured.inferences.size() << " inferences";
    if (report.batch > 1)
        std::cout << " of " << report.batch << " frames";
    std::cout << (measured.failed ? ", " + std::to_string(measured.failed) + " failed: " + measured.first_error : "")
              << "\n";
    label("duration") << measured.duration_ms << " ms\n";
    const Percentiles latency = percentiles_of(latencies_of(measured));
    label("latency");
    for (const PercentileName &each : percentile_names)
        std::cout << each.name << " " << latency.*each.value << (each.value == &Percentiles::max ? " ms\n" : "  ");
    label("of which, mean") << "wait " << mean_between(measured, &Inference::begun, &Inference::started)
                            << "  preprocess " << mean_between(measured, &Inference::started, &Inference::prepared)
                            << "  inference " << mean_between(measured, &Inference::prepared, &Inference::ended)
                            << " ms\n";
    label("throughput") << frames_per_second(measured, report.batch) << " frames/s\n";
    label("peak memory") << report.megabytes_peak << " MB, " << report.megabytes_compiled << " MB when compiled\n";
    if (!report.layers.empty())
        print_layers(report);
    if (report.sweep)
        print_sweep(*report.sweep, report.hint);
}

void write_json(const std::string &path, const BenchmarkReport &report)
{
    // Names come from files and need not be UTF-8.
    const std::string text = json_of(report).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    if (path == "-") {
        std::cout << text;
        return;
    }
    std::ofstream file(path);
    file << text;
    file.close();
    if (!file)
        throw Error("the report \"" + path + "\" cannot be written; is its folder there and has the disk room?");
}

} // namespace leat
