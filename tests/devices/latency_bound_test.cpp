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

/// Submits as many jobs as the model wants in flight, and ends them when each has taken longer than two milliseconds.
void run_late(CompiledModel &model, ManualDevice &device, size_t submissions)
{
    CountedJobs jobs(static_cast<size_t>(model.depth()));
    jobs.submit_all(model);
    device.await(submissions);
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    for (size_t i = 0; i < submissions; i++)
        device.end();
    EXPECT_TRUE(jobs.all_right());
}

TEST(LatencyBound, LateJobsLowerTheDepthDownToOne)
{
    ManualDevice device("MANUAL", 4);
    const auto model = with_latency_bound(device.compile(doubling_graph(), {}), 2);
    EXPECT_EQ(model->depth(), 4);
    run_late(*model, device, 4);
    EXPECT_EQ(model->depth(), 3);
    run_late(*model, device, 3);
    EXPECT_EQ(model->depth(), 2);
    run_late(*model, device, 2);
    run_late(*model, device, 1);
    run_late(*model, device, 1);
    EXPECT_EQ(model->depth(), 1);
    EXPECT_EQ(value_of(*model, "requests_in_flight"), "1");
    EXPECT_EQ(value_of(*model, "latency_bound_ms"), "2");
}

TEST(LatencyBound, JobsInTimeKeepTheDepth)
{
    ManualDevice device("MANUAL", 4);
    const auto model = with_latency_bound(device.compile(doubling_graph(), {}), 3600000);
    CountedJobs jobs(200);
    for (size_t i = 0; i < 200; i++) {
        model->submit(jobs[i]);
        device.end();
    }
    EXPECT_TRUE(jobs.all_right());
    EXPECT_EQ(model->depth(), 4);
}

TEST(LatencyBound, ABatchDoesNotWaitForJobsThatTheLimitKeepsOut)
{
    ManualDevice device;
    Options options;
    options.batch_size = 4;
    options.batch_timeout_ms = 3600000;
    const auto model = with_latency_bound(compile_on(device, doubling_graph(), options), 2);
    ASSERT_EQ(model->depth(), 4);
    run_late(*model, device, 1); // one batch
    ASSERT_EQ(model->depth(), 3);
    CountedJobs jobs(3);
    jobs.submit_all(*model);
    for (size_t i = 0; i < 3; i++) {
        device.await(1);
        EXPECT_EQ(device.inputs_of(0), 1u);
        device.end();
    }
    EXPECT_TRUE(jobs.all_right());
}

TEST(LatencyBound, IsAnOptionOfEveryDevice)
{
    Options options;
    options.latency_bound_ms = 3600000;
    const auto graph = std::make_shared<const Graph>(doubling_graph());
    for (const char *device : {"CPU", "REF", "FAKE(depth=3)", "MULTI:REF,FAKE", "AUTO:CPU", "BATCH:REF(2)"}) {
        const auto model = compile_shared(graph, device, options, {});
        EXPECT_EQ(value_of(*model, "latency_bound_ms"), "3600000") << device;
        EXPECT_EQ(value_of(*model, "requests_in_flight"), std::to_string(model->depth())) << device;
    }
}

} // namespace
} // namespace leat
