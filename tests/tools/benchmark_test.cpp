#include "errors/onnx_text.h"
#include "support/shared_data.h"
#include "support/temporary_folder.h"
#include "tools/command.h"

#include "tools/measure.h"
#include "tools/npy.h"

#include <leat/core.h>

#include <algorithm>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace leat {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

std::shared_ptr<CompiledModel> doubling(const std::string &device)
{
    return Core::compile_model(Model(std::make_shared<const Graph>(parse(R"(graph "doubling"
input %0:f32[4] "x"
%1:f32[4] "y" = Add(%0, %0) "add"
output %1
)"))),
                               device);
}

Feed zeros()
{
    return {{Tensor::of<float>({4}, {0, 0, 0, 0})}, {}, {}};
}

Limit iterations(int64_t count)
{
    return {count, 0s};
}

/// A convolution with 1x1 weights, whose batch may be anything.
std::string convolution_model(const TemporaryFolder &folder)
{
    const std::string graph = onnx_input("x", {-1, 2, 4, 4}) +
                              "node { op_type: \"Conv\" input: \"x\" input: \"w\" output: \"y\" name: \"product\" } "
                              "initializer { name: \"w\" data_type: 1 dims: 3 dims: 2 dims: 1 dims: 1 "
                              "float_data: [1, 2, 3, 4, 5, 6] } " +
                              onnx_output("y");
    return folder.write("convolution.onnx", onnx_bytes(onnx_model(graph)));
}

Json report_of(std::vector<std::string> arguments)
{
    arguments.insert(arguments.begin(), "benchmark");
    arguments.insert(arguments.end(), {"--json", "-"});
    const Ran ran = leat_command(arguments);
    EXPECT_EQ(ran.status, 0) << ran.err;
    return Json::parse(ran.out);
}

TEST(Measure, PercentilesAreByNearestRank)
{
    std::vector<double> values;
    for (int i = 200; i > 0; i--)
        values.push_back(i);
    const Percentiles found = percentiles_of(values);
    EXPECT_EQ(found.min, 1);
    EXPECT_EQ(found.median, 100);
    EXPECT_EQ(found.mean, 100.5);
    EXPECT_EQ(found.p90, 180);
    EXPECT_EQ(found.p95, 190);
    EXPECT_EQ(found.p99, 198);
    EXPECT_EQ(found.max, 200);
    EXPECT_EQ(percentiles_of({7}).p99, 7);
    EXPECT_EQ(percentiles_of({}).max, 0);
}

TEST(Measure, RunsTheIterationsAskedForOnTheRequestsAskedFor)
{
    const auto model = doubling("FAKE(latency_ms=1,depth=8)");
    const Measurement measured = measure(*model, zeros(), 3, iterations(20));
    ASSERT_EQ(measured.inferences.size(), 20u);
    EXPECT_EQ(measured.failed, 0);
    EXPECT_GE(measured.first_ms, 1);
    for (const Inference &a : measured.inferences) {
        EXPECT_TRUE(a.begun <= a.started && a.started <= a.prepared && a.prepared <= a.ended);
        EXPECT_TRUE(a.request >= 0 && a.request < 3);
        const auto together =
            std::count_if(measured.inferences.begin(), measured.inferences.end(),
                          [&](const Inference &b) { return b.begun <= a.begun && a.begun < b.ended; });
        EXPECT_LE(together, 3);
    }
    EXPECT_EQ(latencies_of(measured).size(), 20u);
    EXPECT_DOUBLE_EQ(frames_per_second(measured, 2), 40000 / measured.duration_ms);
}

TEST(Measure, EndsWhenTheTimeIsOver)
{
    const Measurement measured = measure(*doubling("FAKE(latency_ms=1)"), zeros(), 1, {0, 20ms});
    EXPECT_GE(measured.duration_ms, 20);
}

TEST(Measure, StartsNoMoreASecondThanAllowed)
{
    const Measurement measured = measure(*doubling("FAKE"), zeros(), 2, {6, 0s, 100});
    EXPECT_GE(measured.duration_ms, 50); // the sixth starts after that
}

TEST(Measure, CountsFailuresAndLeavesThemOut)
{
    const auto model = doubling("FAKE(fail_every=5)"); // the warm-up runs two inferences
    const Measurement measured = measure(*model, zeros(), 1, iterations(13));
    EXPECT_EQ(measured.failed, 3);
    EXPECT_EQ(measured.first_error, "device FAKE: job 5 fails as scripted");
    EXPECT_EQ(latencies_of(measured).size(), 10u);
}

TEST(Measure, ThrowsWhatTheWarmUpFailsWith)
{
    EXPECT_THROW(measure(*doubling("FAKE(fail_every=1)"), zeros(), 2, iterations(1)), Error);
}

/// Of a decoder that fails after some pictures.
TEST(Measure, ThrowsWhatDecodingFailsWith)
{
    Feed feed = zeros();
    feed.decode = [](size_t number) -> Image {
        if (number == 3)
            throw Error("the fourth picture is damaged");
        return {};
    };
    const auto model = doubling("FAKE");
    EXPECT_THROW(measure(*model, feed, 1, iterations(10)), Error);
}

TEST(Measure, TellsProgressFromNoneToAll)
{
    std::vector<double> parts;
    measure(*doubling("FAKE"), zeros(), 1, iterations(4), [&](double part) { parts.push_back(part); });
    EXPECT_EQ(parts, (std::vector<double>{0, 0.25, 0.5, 0.75, 1}));
}

TEST(Timeline, HasATrackForDecodingAndForEachRequest)
{
    TemporaryFolder folder;
    const TimePoint zero{};
    Measurement measured;
    measured.decoded = {{zero + 1ms, zero + 3ms}};
    measured.inferences = {{0, zero + 3ms, zero + 9ms, zero + 4ms, zero + 6ms, false},
                           {1, zero + 5ms, zero + 8ms, zero + 5ms, zero + 5ms, true}};
    write_timeline(folder / "trace.json", measured);
    const Json events = Json::parse(text_of(folder / "trace.json"));
    std::vector<std::string> tracks, slices;
    for (const Json &event : events)
        if (event.at("ph") == "M")
            tracks.push_back(event.at("args").at("name"));
        else
            slices.push_back(event.at("name").get<std::string>() + " " + std::to_string(event.at("tid").get<int>()) +
                             " " + std::to_string(event.at("ts").get<int>()) + "+" +
                             std::to_string(event.at("dur").get<int>()));
    EXPECT_EQ(tracks, (std::vector<std::string>{"decode", "request 1", "request 2"}));
    EXPECT_EQ(slices, (std::vector<std::string>{"decode 1 1000+2000", "wait 2 3000+1000", "preprocess 2 4000+2000",
                                                "inference 2 6000+3000", "wait 3 5000+0", "inference 3 5000+3000"}));
    EXPECT_THROW(write_timeline(folder / "missing/trace.json", measured), Error);
}

TEST(Benchmark, ReportsWhatWasMeasured)
{
    TemporaryFolder folder;
    const Json report = report_of({convolution_model(folder), "--iterations", "12", "--shape", "x=3x2x4x4"});
    EXPECT_EQ(report.at("count"), 12);
    EXPECT_EQ(report.at("failed"), 0);
    EXPECT_EQ(report.at("batch"), 3);
    EXPECT_EQ(report.at("api"), "async");
    EXPECT_EQ(report.at("hint"), "throughput");
    EXPECT_EQ(report.at("inputs")[0].at("shape"), (Json{3, 2, 4, 4}));
    EXPECT_EQ(report.at("inputs")[0].at("from"), "random numbers");
    const Json &latency = report.at("latency_ms");
    double before = 0;
    for (const char *name : {"min", "median", "p90", "p95", "p99", "max"}) {
        EXPECT_GE(latency.at(name), before) << name;
        before = latency.at(name);
    }
    for (const char *name : {"read_ms", "compile_ms", "first_inference_ms", "duration_ms", "frames_per_second"})
        EXPECT_GT(report.at(name), 0) << name;
    EXPECT_GE(report.at("peak_memory_mb").at("measured"), report.at("peak_memory_mb").at("compiled"));
    EXPECT_FALSE(report.at("settings").empty());
    EXPECT_FALSE(report.contains("layers"));
}

TEST(Benchmark, ABoundThatCannotBeKeptLeavesOneRequestInFlight)
{
    TemporaryFolder folder;
    const Json report = report_of(
        {convolution_model(folder), "-d", "FAKE(latency_ms=5,depth=4)", "--latency-bound", "2", "--iterations", "60"});
    EXPECT_EQ(report.at("count"), 60);
    EXPECT_EQ(report.at("requests"), 4);
    Json in_flight;
    for (const Json &setting : report.at("settings"))
        if (setting.at("name") == "requests_in_flight")
            in_flight = setting.at("value");
    EXPECT_EQ(in_flight, "1");
}

TEST(Benchmark, SynchronouslyHasOneRequestAndTheHintLatency)
{
    TemporaryFolder folder;
    const std::string model = convolution_model(folder);
    const Json report = report_of({model, "--api", "sync", "--iterations", "3"});
    EXPECT_EQ(report.at("requests"), 1);
    EXPECT_EQ(report.at("hint"), "latency");
    EXPECT_EQ(report_of({model, "--api", "sync", "--hint", "throughput", "--iterations", "1"}).at("hint"),
              "throughput");
    EXPECT_EQ(report_of({model, "--requests", "5", "--iterations", "1"}).at("requests"), 5);
}

TEST(Benchmark, ListsTheLayersWithTheirWork)
{
    TemporaryFolder folder;
    const Json report = report_of({convolution_model(folder), "--iterations", "2", "--shape", "5x2x4x4", "--layers"});
    const Json &layers = report.at("layers");
    const auto product =
        std::find_if(layers.begin(), layers.end(), [](const Json &layer) { return layer.at("node") == "product"; });
    ASSERT_NE(product, layers.end()) << layers;
    EXPECT_EQ(product->at("operations"), 2 * (5 * 3 * 4 * 4) * 2);
    EXPECT_GT(product->at("milliseconds"), 0);
    EXPECT_GT(product->at("bytes"), 2 * (5 * 2 + 5 * 3) * 4 * 4); // of bf16 at least, and weights
    EXPECT_TRUE(product->contains("gb_per_second"));
    EXPECT_TRUE(product->contains("of_ceiling"));
    EXPECT_NE(product->at("kernel"), "");
    EXPECT_GT(report.at("ceilings").at("gflops"), 0);
    EXPECT_GT(report.at("ceilings").at("gb_per_second"), 0);
}

TEST(Benchmark, SweepFindsTheBestAndComparesTheHint)
{
    TemporaryFolder folder;
    const Json sweep =
        report_of({convolution_model(folder), "-d", "FAKE(latency_ms=1,depth=2)", "--iterations", "12", "--sweep"})
            .at("sweep");
    double best = 0;
    for (const Json &point : sweep.at("points"))
        best = std::max(best, point.at("frames_per_second").get<double>());
    EXPECT_EQ(sweep.at("best").at("frames_per_second"), best);
    EXPECT_EQ(sweep.at("best").at("batch"), 8); // takes as long as a batch of 1
    EXPECT_EQ(sweep.at("by_hint").at("requests"), 2);
    EXPECT_LE(sweep.at("hint_of_best"), 1);
}

TEST(Benchmark, SweepTellsWhatTheHintChose)
{
    TemporaryFolder folder;
    const Json by_hint = report_of({convolution_model(folder), "--num-threads", "1", "--iterations", "4", "--sweep"})
                             .at("sweep")
                             .at("by_hint");
    EXPECT_EQ(by_hint.at("streams"), 1);
    EXPECT_EQ(by_hint.at("batch"), 1);
}

TEST(Benchmark, TakesTensorsFromFiles)
{
    TemporaryFolder folder;
    write_npy(folder / "x.npy", Tensor(Type::f32, {2, 2, 4, 4}));
    const Json report =
        report_of({convolution_model(folder), "-i", "x=" + (folder / "x.npy").string(), "--iterations", "1"});
    EXPECT_EQ(report.at("inputs")[0].at("from"), "the file named");
    EXPECT_EQ(report.at("inputs")[0].at("shape")[0], 2);
}

TEST(Benchmark, TellsWhatIsWrong)
{
    TemporaryFolder folder;
    const std::string graph =
        onnx_input("x", {1, -1}) + "node { op_type: \"Relu\" input: \"x\" output: \"y\" } " + onnx_output("y");
    const std::string open = folder.write("open.onnx", onnx_bytes(onnx_model(graph)));
    const Ran sizes = leat_command({"benchmark", open});
    EXPECT_EQ(sizes.status, 1);
    EXPECT_EQ(sizes.err, "leat: the input x f32[1x?] leaves sizes open: say --shape x=SIZES, such as 1x3x224x224\n");
    for (const std::vector<std::string> &wrong : std::vector<std::vector<std::string>>{
             {"--shape", "x=1x"},
             {"--shape", "x=none"},
             {"--time", "0"},
             {"--time", "1", "--iterations", "1"},
             {"--api", "sync", "--requests", "2"},
             {"-i", "x=a.npy", "-i", "b.png"},
             {"-i", "b.png", "--batch", "2"},
             {"--decode"},
         }) {
        std::vector<std::string> arguments{"benchmark", open};
        arguments.insert(arguments.end(), wrong.begin(), wrong.end());
        EXPECT_EQ(leat_command(arguments).status, 2) << wrong[0] << " " << wrong.back();
    }
    const Ran failing = leat_command(
        {"benchmark", open, "--shape", "1x4", "-d", "FAKE(fail_every=4)", "--iterations", "8", "--requests", "1"});
    EXPECT_EQ(failing.status, 1);
    EXPECT_EQ(failing.err, "leat: 2 of 8 inferences failed: device FAKE: job 4 fails as scripted\n");
    const Ran unwritable =
        leat_command({"benchmark", open, "--shape", "1x4", "--iterations", "1", "--json", folder / "no/report.json"});
    EXPECT_EQ(unwritable.status, 1);
    EXPECT_NE(unwritable.err.find("cannot be written"), std::string::npos);
}

TEST(Benchmark, TakesVideos)
{
    const std::filesystem::path street = source_root() / "pipelines/street";
    const auto from = [&](std::vector<std::string> more) {
        std::vector<std::string> arguments{street / "street.onnx", "-i", street / "street.mp4", "--iterations", "40"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Json report = report_of(arguments);
        EXPECT_EQ(report.at("count"), 40);
        return report.at("inputs")[0].at("from").get<std::string>();
    };
    EXPECT_EQ(from({}), "1 video (32 frames), decoded before");
    EXPECT_EQ(from({"--decode"}), "1 video, decoded while measuring");
}

/// The time of decoding and of inference overlaps, and ImageToTensor is a slice of its own.
TEST(Benchmark, TimelineShowsDecodingPreprocessingAndInference)
{
    SKIP_WITHOUT_SHARED_DATA();
    TemporaryFolder folder;
    const auto models = shared_data() / "data/models/onnx";
    const Json meta = Json::parse(std::ifstream(models / "cifar10_classifier.expected/meta.json"));
    const std::string picture =
        shared_data() / meta.at("preprocess").at("image").get<std::string>().substr(std::string("shared/").size());
    const Json report = report_of({models / "cifar10_classifier.onnx", "-i", picture, "--decode", "--iterations", "6",
                                   "--timeline", folder / "trace.json"});
    EXPECT_EQ(report.at("inputs")[0].at("from"), "1 picture, decoded while measuring");
    EXPECT_GT(report.at("mean_ms").at("preprocess"), 0);
    std::map<std::string, int> slices;
    const Json trace = Json::parse(text_of(folder / "trace.json"));
    for (const Json &event : trace)
        if (event.at("ph") == "X")
            slices[event.at("name")]++;
    EXPECT_GE(slices["decode"], 6);
    EXPECT_EQ(slices["preprocess"], 6);
    EXPECT_EQ(slices["inference"], 6);
    EXPECT_EQ(slices["wait"], 6);
}

} // namespace
} // namespace leat
