#include "devices/multi.h"
#include "inference/warning.h"
#include "tests/devices/manual_device.h"

#include <leat/core.h>

#include <gtest/gtest.h>
#include <thread>

// The rows "MULTI", "AUTO" and "Runtime fallback" of the runtime's checklist.

namespace leat {
namespace {

/// Collects the warnings of a test.
class Warnings {
  public:
    Warnings()
    {
        std::lock_guard lock(mutex);
        sentences.clear();
        before_ = set_warning_handler([](const std::string &sentence) {
            std::lock_guard held(mutex);
            sentences.push_back(sentence);
        });
    }
    ~Warnings() { set_warning_handler(before_); }
    std::vector<std::string> all() const
    {
        std::lock_guard lock(mutex);
        return sentences;
    }

  private:
    static inline std::mutex mutex;
    static inline std::vector<std::string> sentences;
    WarningHandler before_;
};

using Sentences = std::vector<std::string>;

/// Two devices of which the test ends the jobs; the second is called CPU, as AUTO's helper is.
struct Pair {
    std::shared_ptr<ManualDevice> first = std::make_shared<ManualDevice>("ACCELERATOR", 2),
                                  second = std::make_shared<ManualDevice>("CPU", 1);
    std::vector<NamedDevice> named() const { return {{"ACCELERATOR", first}, {"CPU", second}}; }
    std::unique_ptr<CompiledModel> multi(const Options &options = {}) const
    {
        return make_multi(named())->compile(doubling_graph(), options);
    }
    std::unique_ptr<CompiledModel> automatic(const Options &options = {}) const
    {
        return make_auto(named())->compile(doubling_graph(), options);
    }
};

/// Waits until the setting is told so; the test's time limit ends what never happens.
void await_setting(const CompiledModel &model, const std::string &name, const std::string &wanted)
{
    while (setting_of(model, name) != wanted)
        std::this_thread::yield();
}

TEST(Multi, JobGoesToTheFirstDeviceWithRoom)
{
    Pair devices;
    const auto model = devices.multi();
    EXPECT_EQ(model->depth(), 3);
    CountedJobs jobs(5);
    jobs.submit_all(*model);
    EXPECT_EQ(devices.first->jobs(), 2u);
    EXPECT_EQ(devices.second->jobs(), 1u);
    devices.second->end();
    EXPECT_EQ(devices.second->first_number_of(0), 3) << "the job that has waited longest";
    devices.first->end();
    EXPECT_EQ(devices.first->first_number_of(1), 4);
    devices.first->end();
    devices.first->end();
    devices.second->end();
    EXPECT_TRUE(jobs.all_right());
}

TEST(Multi, DepthIsTheSumAndAutosThatOfItsDevice)
{
    Pair devices;
    EXPECT_EQ(devices.multi()->depth(), 3);
    const auto model = devices.automatic();
    await_setting(*model, "device_2", "CPU: given up when a device before it was ready; 0 jobs so far");
    EXPECT_EQ(model->depth(), 2);
    Options options;
    options.num_requests = 7;
    EXPECT_EQ(devices.multi(options)->depth(), 7);
}

TEST(Multi, CountsTheJobsOfEachDevice)
{
    Pair devices;
    const auto model = devices.multi();
    CountedJobs jobs(3);
    jobs.submit_all(*model);
    devices.first->end();
    devices.first->end();
    devices.second->end();
    EXPECT_EQ(setting_of(*model, "device_1"), "ACCELERATOR: ready; 2 jobs so far");
    EXPECT_EQ(setting_of(*model, "device_2"), "CPU: ready; 1 job so far");
    EXPECT_EQ(setting_of(*model, "device_2.device"), "CPU: named by the test");
}

TEST(Multi, HandsOutByPriorityAndKeepsTheOrderOfEachStream)
{
    Pair devices;
    const auto model = devices.multi();
    CountedJobs jobs(7);
    for (size_t i : {3u, 4u, 5u})
        jobs[i].stream = 7;
    jobs[5].priority = 2; // its stream's third: waits for the first two
    jobs[6].priority = 1;
    jobs[6].stream = 8;
    jobs.submit_all(*model);
    std::vector<float> order;
    for (int i = 0; i < 4; i++) {
        devices.second->end();
        order.push_back(devices.second->first_number_of(0));
    }
    EXPECT_EQ(order, (std::vector<float>{6, 3, 4, 5}));
    devices.second->end();
    devices.first->end();
    devices.first->end();
    EXPECT_TRUE(jobs.all_right());
}

TEST(Multi, JobInADevicesMemoryGoesToThatDevice)
{
    Pair devices;
    const auto model = devices.multi();
    devices.second->own(7);
    CountedJobs jobs(3);
    jobs[0].inputs[0].data<float>()[1] = jobs[1].inputs[0].data<float>()[1] = 7;
    jobs.submit_all(*model);
    ASSERT_EQ(devices.second->jobs(), 1u);
    ASSERT_EQ(devices.first->jobs(), 0u) << "job 2 is of the same stream as job 1, which waits";
    devices.second->end();
    EXPECT_EQ(devices.second->first_number_of(0), 1);
    EXPECT_EQ(devices.first->first_number_of(0), 2);
    devices.second->end();
    devices.first->end();
    EXPECT_TRUE(jobs.all_right());
}

TEST(Multi, DeviceThatCannotCompileIsLeftOut)
{
    Warnings warnings;
    Pair devices;
    devices.first->fail_compile("no memory");
    const auto model = devices.multi();
    EXPECT_EQ(model->depth(), 1);
    EXPECT_EQ(warnings.all(), Sentences{"device ACCELERATOR is left out: no memory"});
    EXPECT_EQ(setting_of(*model, "device_1"), "ACCELERATOR: left out: no memory");
}

TEST(Multi, NoneThatCanCompileIsAnErrorWithAllReasons)
{
    Warnings warnings;
    Pair devices;
    devices.first->fail_compile("no memory");
    devices.second->fail_compile("no kernel");
    for (const bool automatic : {false, true})
        try {
            automatic ? devices.automatic() : devices.multi();
            FAIL();
        } catch (const Error &error) {
            EXPECT_STREQ(error.what(), "none of the devices can run the model: ACCELERATOR: no memory; CPU: no kernel");
        }
}

TEST(RuntimeFallback, FailedJobSucceedsElsewhereAndTheDeviceIsLeftOutWithOneWarning)
{
    Warnings warnings;
    Pair devices;
    const auto model = devices.multi();
    CountedJobs jobs(4);
    jobs.submit_all(*model);
    devices.first->fail("the bus is gone");
    devices.first->fail("the bus is gone");
    while (devices.second->jobs() + devices.first->jobs() > 0)
        if (devices.first->jobs() > 0)
            devices.first->fail("the bus is gone");
        else
            devices.second->end();
    EXPECT_TRUE(jobs.all_right());
    EXPECT_EQ(warnings.all(), Sentences{"device ACCELERATOR is left out from now on, because a job failed there that "
                                        "ran elsewhere: the bus is gone"});
    CountedJobs more(1);
    more.submit_all(*model);
    EXPECT_EQ(devices.first->jobs(), 0u);
    devices.second->end();
    EXPECT_TRUE(more.all_right());
}

TEST(RuntimeFallback, JobThatFailsEverywhereIsAtFaultItself)
{
    Warnings warnings;
    Pair devices;
    const auto model = devices.multi();
    CountedJobs jobs(1);
    jobs.submit_all(*model);
    devices.first->fail("a torn picture");
    devices.second->fail("torn");
    EXPECT_EQ(jobs.ended(0), 1);
    EXPECT_EQ(jobs.error_of(0), "a torn picture");
    EXPECT_TRUE(warnings.all().empty());
    EXPECT_EQ(setting_of(*model, "device_1"), "ACCELERATOR: ready; 0 jobs so far");
}

TEST(Multi, NoneLostNoneTwice)
{
    Warnings warnings;
    const auto model = Core::compile_model(Model(std::make_shared<const Graph>(doubling_graph())),
                                           "MULTI:FAKE(depth=2,outputs=reference,fail_every=2),REF");
    std::vector<std::unique_ptr<CountedJobs>> sets;
    std::vector<std::thread> senders;
    for (int t = 0; t < 4; t++)
        sets.push_back(std::make_unique<CountedJobs>(250));
    for (auto &set : sets)
        senders.emplace_back([&] { set->submit_all(*model); });
    for (auto &sender : senders)
        sender.join();
    for (auto &set : sets) {
        set->await_all();
        EXPECT_TRUE(set->all_right());
    }
    EXPECT_EQ(warnings.all().size(), 1u);
}

TEST(Auto, CpuTakesTheJobsUntilTheDeviceIsCompiledAndIsThenGivenUp)
{
    Pair devices;
    devices.first->hold_compile();
    const auto model = devices.automatic();
    EXPECT_EQ(setting_of(*model, "device_chosen"),
              "CPU: takes the jobs while a device before it is compiled, of ACCELERATOR, CPU");
    CountedJobs jobs(3);
    jobs.submit_all(*model);
    EXPECT_EQ(devices.second->jobs(), 1u);
    devices.first->let_compile();
    devices.first->await(2); // those that had not started on the CPU
    EXPECT_EQ(setting_of(*model, "device_chosen"), "ACCELERATOR: the first of ACCELERATOR, CPU that can run the model");
    devices.second->end();
    await_setting(*model, "device_2", "CPU: given up when a device before it was ready; 1 job so far");
    devices.first->end();
    devices.first->end();
    EXPECT_TRUE(jobs.all_right());
    EXPECT_EQ(setting_of(*model, "device_1"), "ACCELERATOR: ready; 2 jobs so far");
}

TEST(Auto, StartUpFallsBackToTheNextDevice)
{
    Warnings warnings;
    Pair devices;
    devices.first->fail_compile("no memory");
    const auto model = devices.automatic();
    await_setting(*model, "device_1", "ACCELERATOR: left out: no memory");
    await_setting(*model, "device_chosen", "CPU: the first of ACCELERATOR, CPU that can run the model");
    EXPECT_EQ(warnings.all(), Sentences{"device ACCELERATOR is left out: no memory"});
    CountedJobs jobs(1);
    jobs.submit_all(*model);
    devices.second->end();
    EXPECT_TRUE(jobs.all_right());
}

TEST(Auto, RuntimeFallbackCompilesForTheNextDevice)
{
    Warnings warnings;
    Pair devices;
    const auto model = devices.automatic();
    await_setting(*model, "device_2", "CPU: given up when a device before it was ready; 0 jobs so far");
    CountedJobs jobs(2);
    jobs.submit_all(*model);
    devices.first->fail("the bus is gone");
    devices.second->await(1);
    devices.second->end();
    devices.first->fail("the bus is gone");
    devices.second->await(1);
    devices.second->end();
    EXPECT_TRUE(jobs.all_right());
    EXPECT_EQ(warnings.all().size(), 1u);
    EXPECT_EQ(setting_of(*model, "device_chosen"), "CPU: the first of ACCELERATOR, CPU that can run the model");
}

TEST(Auto, ModelPriorityKeepsDevicesForHigherModels)
{
    Pair devices;
    Options high, low;
    high.model_priority = ModelPriority::high;
    low.model_priority = ModelPriority::low;
    const auto on = [](const CompiledModel &model) { return setting_of(model, "device_chosen"); };
    auto first = devices.automatic(high);
    await_setting(*first, "device_2", "CPU: given up when a device before it was ready; 0 jobs so far");
    auto second = devices.automatic();
    EXPECT_EQ(on(*second), "CPU: the first of CPU, ACCELERATOR that can run the model");
    EXPECT_EQ(setting_of(*second, "device_2"), "ACCELERATOR: not needed: a device before it runs the model; a model of "
                                               "a higher model_priority is on it");
    auto third = devices.automatic(low);
    EXPECT_EQ(on(*third), "CPU: the first of CPU, ACCELERATOR that can run the model") << "the last, as all are taken";
    auto equal = devices.automatic(high);
    await_setting(*equal, "device_chosen", "ACCELERATOR: the first of ACCELERATOR, CPU that can run the model");
    first.reset();
    equal.reset();
    second = devices.automatic();
    await_setting(*second, "device_chosen", "ACCELERATOR: the first of ACCELERATOR, CPU that can run the model");
}

TEST(Auto, DevicesThatAreLeftToOthersAreTakenWhenTheRestFails)
{
    Warnings warnings;
    Pair devices;
    Options high;
    high.model_priority = ModelPriority::high;
    const auto first = devices.automatic(high);
    await_setting(*first, "device_2", "CPU: given up when a device before it was ready; 0 jobs so far");
    devices.second->fail_compile("no memory");
    const auto second = devices.automatic();
    await_setting(*second, "device_chosen", "ACCELERATOR: the first of CPU, ACCELERATOR that can run the model");
}

TEST(Auto, DestructorWaitsForWhatIsBeingCompiled)
{
    Pair devices;
    devices.first->hold_compile();
    auto model = devices.automatic();
    std::thread helper([&] { devices.first->let_compile(); });
    model.reset();
    helper.join();
}

TEST(Multi, BadDeviceStringsAreSentences)
{
    const std::string cure = "want devices by priority, such as MULTI:CPU,REF";
    EXPECT_EQ(error_of("MULTI"), "device \"MULTI\": no devices are named; " + cure);
    EXPECT_EQ(error_of("MULTI:CPU,,REF"),
              "device \"MULTI:CPU,,REF\": a device is missing in its list \"CPU,,REF\"; " + cure);
    EXPECT_EQ(error_of("MULTI:REF,REF"), "device \"MULTI:REF,REF\": the device REF is named twice; " + cure);
    EXPECT_NE(error_of("AUTO:TPU").find("there is no device \"TPU\"; the devices are CPU, REF, FAKE, and made of them"),
              std::string::npos);
    EXPECT_EQ(error_of("AUTO"), "none");
    EXPECT_EQ(error_of("MULTI(REF,FAKE(depth=2,latency_ms=1))"), "none");
    EXPECT_EQ(error_of("BATCH:MULTI(REF,FAKE)(2)"), "none");
    EXPECT_EQ(error_of("AUTO:BATCH:FAKE(2),CPU"), "none");
}

} // namespace
} // namespace leat
