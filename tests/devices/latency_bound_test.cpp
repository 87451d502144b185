#include "devices/batch.h"
#include "devices/core.h"
#include "devices/latency_bound.h"
#include "tests/devices/manual_device.h"

#include <gtest/gtest.h>

#include <thread>

namespace leat {
namespace {

std::string value_of(const CompiledModel &model, const std::string &name)
{
    const std::string setting = setting_of(model, name);
    return setting.substr(0, setting.find(':'));
}

/// Submits as many jobs as the model wants in flight, and ends them after that time.
void run_round(CompiledModel &model, ManualDevice &device, std::chrono::milliseconds after = {})
{
    CountedJobs jobs(static_cast<size_t>(model.depth()));
    jobs.submit_all(model);
    std::this_thread::sleep_for(after);
    while (device.jobs() > 0)
        device.end();
    EXPECT_TRUE(jobs.all_right());
}

TEST(LatencyBound, LateJobsLowerTheDepth)
{
    ManualDevice device("MANUAL", 4);
    const auto model = with_latency_bound(device.compile(doubling_graph(), {}), 20, {});
    while (model->depth() < 2) // at once when nothing else keeps this process from running
        run_round(*model, device);
    run_round(*model, device, std::chrono::milliseconds(21));
    EXPECT_EQ(model->depth(), 1);
    EXPECT_EQ(value_of(*model, "requests_in_flight"), "1");
    EXPECT_EQ(value_of(*model, "latency_bound_ms"), "20");
}

TEST(LatencyBound, JobsInTimeRaiseTheDepthFromOneToWhatTheDeviceTakes)
{
    ManualDevice device("MANUAL", 4);
    const auto model = with_latency_bound(device.compile(doubling_graph(), {}), 3600000, {});
    EXPECT_EQ(model->depth(), 1);
    EXPECT_EQ(model->most_depth(), 4);
    for (int i = 0; i < 50; i++)
        run_round(*model, device);
    EXPECT_EQ(model->depth(), 4);
}

TEST(LatencyBound, ABatchDoesNotWaitForJobsThatTheLimitKeepsOut)
{
    ManualDevice device;
    Options options;
    options.batch_size = 4;
    options.batch_timeout_ms = 3600000;
    const auto model = with_latency_bound(compile_on(device, doubling_graph(), options), 3600000, {});
    for (int depth : {1, 2}) {
        ASSERT_EQ(model->depth(), depth);
        for (int i = 0; i < 25 / depth + 1; i++)
            run_round(*model, device);
    }
    ASSERT_EQ(model->depth(), 4);
    CountedJobs jobs(4);
    jobs.submit_all(*model);
    EXPECT_EQ(device.inputs_of(0), 4u) << "now it fills";
    device.end();
    EXPECT_TRUE(jobs.all_right());
}

std::unique_ptr<CompiledModel> with_streams(ManualDevice &device, int streams)
{
    Options options;
    options.num_streams = streams;
    return device.compile(doubling_graph(), options);
}

TEST(LatencyBound, FewerStreamsTakeTheJobsWhileASingleOneIsLate)
{
    ManualDevice device;
    const auto model = with_latency_bound(with_streams(device, 2), 20, [&](int s) { return with_streams(device, s); });
    EXPECT_EQ(setting_of(*model, "num_streams"), "2: set by num_streams");
    device.hold_compile();
    for (int i = 0; i < 4; i++)
        run_round(*model, device, std::chrono::milliseconds(21));
    CountedJobs begun(1);
    begun.submit_all(*model);
    device.let_compile();
    while (value_of(*model, "num_streams") != "1")
        std::this_thread::yield();
    EXPECT_NE(setting_of(*model, "num_streams").find("with 2 streams a single inference took up to 2"),
              std::string::npos);
    EXPECT_EQ(model->depth(), 1);
    CountedJobs next(1);
    next.submit_all(*model);
    ASSERT_EQ(device.jobs(), 2u);
    while (device.jobs() > 0)
        device.end();
    EXPECT_TRUE(begun.all_right());
    EXPECT_TRUE(next.all_right());
    while (value_of(*model, "num_streams") != "2") // they are in time now
        run_round(*model, device);
}

TEST(LatencyBound, AModelThatCannotBeMadeAgainGoesOn)
{
    ManualDevice device;
    const auto model = with_latency_bound(with_streams(device, 2), 20, [&](int s) { return with_streams(device, s); });
    device.fail_compile("out of memory");
    while (setting_of(*model, "num_streams").find("could not be made: out of memory") == std::string::npos)
        run_round(*model, device, std::chrono::milliseconds(21));
    EXPECT_EQ(value_of(*model, "num_streams"), "2");
    run_round(*model, device);
}

TEST(LatencyBound, StreamsThatWereAskedForStay)
{
    Options options;
    options.latency_bound_ms = 1;
    options.num_streams = 1;
    const auto graph = std::make_shared<const Graph>(doubling_graph());
    const auto model = compile_shared(graph, "CPU", options, {});
    EXPECT_EQ(setting_of(*model, "num_streams"), "1: set by num_streams");
}

TEST(LatencyBound, IsAnOptionOfEveryDevice)
{
    Options options;
    options.latency_bound_ms = 3600000;
    const auto graph = std::make_shared<const Graph>(doubling_graph());
    for (const char *device :
         {"CPU", "REF", "FAKE(depth=3)", "MULTI:REF,FAKE", "HETERO:REF,CPU", "AUTO:CPU", "BATCH:REF(2)"}) {
        const auto model = compile_shared(graph, device, options, {});
        EXPECT_EQ(value_of(*model, "latency_bound_ms"), "3600000") << device;
        EXPECT_EQ(value_of(*model, "requests_in_flight"), std::to_string(model->depth())) << device;
    }
}

} // namespace
} // namespace leat
