#include "devices/batch.h"
#include "devices/core.h"
#include "devices/devices.h"
#include "tests/devices/manual_device.h"
#include "tests/support/shared_data.h"

#include <leat/core.h>

#include <cmath>
#include <gtest/gtest.h>
#include <numeric>

// The rows "Auto-batch" and "Batch size choice" of the runtime's checklist.

namespace leat {
namespace {

/// Until the test's end no batch that does not fill starts by itself.
Options of_four()
{
    Options options;
    options.batch_size = 4;
    options.batch_timeout_ms = 3600000;
    return options;
}

TEST(AutoBatch, FullGroupIsOneSubmission)
{
    ManualDevice device;
    const auto model = compile_on(device, doubling_graph(), of_four());
    CountedJobs jobs(4);
    for (size_t i = 0; i < 3; i++)
        model->submit(jobs[i]);
    EXPECT_EQ(device.jobs(), 0u);
    model->submit(jobs[3]);
    ASSERT_EQ(device.jobs(), 1u);
    EXPECT_EQ(device.inputs_of(0), 4u);
    device.end();
    EXPECT_TRUE(jobs.all_right());
    EXPECT_EQ(jobs.order(), (std::vector<size_t>{0, 1, 2, 3}));
}

TEST(AutoBatch, TimeoutRunsWhatIsThereAsSingleJobs)
{
    ManualDevice device;
    Options options = of_four();
    options.batch_timeout_ms = 1;
    const auto model = compile_on(device, doubling_graph(), options);
    CountedJobs jobs(3);
    jobs.submit_all(*model);
    device.await(3);
    for (size_t i = 0; i < 3; i++)
        EXPECT_EQ(device.inputs_of(i), 1u);
    for (size_t i = 0; i < 3; i++)
        device.end();
    EXPECT_TRUE(jobs.all_right());
}

TEST(AutoBatch, FlushRunsWhatIsThereAsSingleJobs)
{
    ManualDevice device;
    const auto model = compile_on(device, doubling_graph(), of_four());
    CountedJobs jobs(6);
    jobs.submit_all(*model);
    EXPECT_EQ(device.jobs(), 1u);
    model->flush();
    EXPECT_EQ(device.jobs(), 1u) << "single jobs wait for the batch before them";
    device.end();
    ASSERT_EQ(device.jobs(), 2u);
    EXPECT_EQ(device.inputs_of(0), 1u);
    device.end(1);
    device.end(0);
    EXPECT_TRUE(jobs.all_right());
}

TEST(AutoBatch, WaitsForMoreWhileTheDeviceHasNoRoom)
{
    ManualDevice device;
    Options options = of_four();
    options.batch_timeout_ms = 1;
    const auto model = compile_on(device, doubling_graph(), options);
    CountedJobs jobs(8);
    for (size_t i = 0; i < 7; i++)
        model->submit(jobs[i]);
    device.await(1); // a batch of four, after which the device is full
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    model->submit(jobs[7]);
    ASSERT_EQ(device.jobs(), 2u);
    EXPECT_EQ(device.inputs_of(1), 4u);
    device.end();
    device.end();
    EXPECT_TRUE(jobs.all_right());
}

TEST(AutoBatch, WritesWhereTheJobsWantTheirOutputs)
{
    ManualDevice device;
    const auto model = compile_on(device, doubling_graph(), of_four());
    CountedJobs jobs(4);
    std::vector<const float *> places;
    for (size_t i = 0; i < 4; i++) {
        jobs[i].outputs = {model->allocate(model->outputs()[0])};
        places.push_back(jobs[i].outputs[0].data<float>());
    }
    jobs.submit_all(*model);
    device.end();
    EXPECT_TRUE(jobs.all_right());
    for (size_t i = 0; i < 4; i++)
        EXPECT_EQ(jobs[i].outputs[0].data<float>(), places[i]);
}

TEST(AutoBatch, OneJobsErrorDoesNotTouchTheOthers)
{
    ManualDevice device;
    const auto model = compile_on(device, doubling_graph(), of_four());
    CountedJobs jobs(4);
    jobs.submit_all(*model);
    device.fail("the picture of job 2 is torn");
    ASSERT_EQ(device.jobs(), 4u);
    for (size_t i = 0; i < 4; i++)
        if (i == 2)
            device.fail("torn");
        else
            device.end();
    for (size_t i = 0; i < 4; i++) {
        EXPECT_EQ(jobs.ended(i), 1);
        EXPECT_EQ(jobs.error_of(i), i == 2 ? "torn" : "none");
    }
}

TEST(AutoBatch, JobOfTheWrongFormRunsAlone)
{
    const auto model = compile_on(*find_device("REF"), doubling_graph(), of_four());
    CountedJobs jobs(5);
    jobs[1].inputs = {Tensor(Type::f32, {3})};
    jobs.submit_all(*model);
    model->flush();
    jobs.await_all();
    EXPECT_EQ(jobs.error_of(1), "input \"x\" has the shape 3, want 1x2");
    for (size_t i : {0u, 2u, 3u, 4u})
        EXPECT_EQ(jobs.error_of(i), "none");
}

TEST(AutoBatch, JobsStartInTheOrderInWhichTheyCome)
{
    ManualDevice device("MANUAL", 4);
    const auto model = compile_on(device, doubling_graph(), of_four());
    CountedJobs jobs(11);
    jobs.submit_all(*model);
    model->flush();
    std::vector<float> started;
    while (device.jobs() > 0) {
        started.push_back(device.first_number_of(0));
        device.end();
    }
    EXPECT_EQ(started, (std::vector<float>{0, 4, 8, 9, 10}));
    EXPECT_TRUE(jobs.all_right());
}

TEST(AutoBatch, DestructorRunsWhatWaits)
{
    CountedJobs jobs(6);
    {
        const auto model = compile_on(*find_device("FAKE(outputs=reference)"), doubling_graph(), of_four());
        jobs.submit_all(*model);
    }
    EXPECT_TRUE(jobs.all_right());
}

TEST(AutoBatch, NoneLostNoneTwice)
{
    Options options = of_four();
    options.batch_timeout_ms = 1;
    const auto model = compile_on(*find_device("FAKE(depth=3,outputs=reference)"), doubling_graph(), options);
    constexpr size_t threads = 4, each = 250;
    std::vector<std::unique_ptr<CountedJobs>> sets;
    std::vector<std::thread> senders;
    for (size_t t = 0; t < threads; t++)
        sets.push_back(std::make_unique<CountedJobs>(each));
    for (auto &set : sets)
        senders.emplace_back([&] { set->submit_all(*model); });
    for (auto &sender : senders)
        sender.join();
    for (auto &set : sets) {
        set->await_all();
        EXPECT_TRUE(set->all_right());
    }
}

TEST(AutoBatch, ModelThatCannotBeBatchedSaysWhyAndRuns)
{
    const char *fixed = R"(graph "fixed"
input %0:f32[1x2] "x"
%1:f32[*] "y" = Softmax(%0) {axis=0} "soft"
output %1
)";
    ManualDevice device;
    const auto model = compile_on(device, parse(fixed), of_four());
    EXPECT_EQ(setting_of(*model, "batch_size"),
              "1: jobs run one by one, though 4 at a time are wanted (as asked): node \"soft\" (Softmax): works "
              "across the batch axis");
    CountedJobs jobs(1);
    jobs.submit_all(*model);
    EXPECT_EQ(device.inputs_of(0), 1u);
    device.end();
    EXPECT_EQ(jobs.error_of(0), "none");
}

std::string size_chosen(ManualDevice &device, const Options &options)
{
    return setting_of(
        *make_batch(std::shared_ptr<Device>(std::shared_ptr<void>(), &device), 0)->compile(doubling_graph(), options),
        "batch_size");
}

TEST(BatchSizeChoice, IsReportedWithItsReason)
{
    ManualDevice single, joining("JOINING", 1, 8);
    Options options;
    options.performance_hint = PerformanceHint::throughput;
    EXPECT_EQ(size_chosen(joining, options), "8: what JOINING gains most by");
    options.num_requests = 5;
    EXPECT_EQ(size_chosen(joining, options), "5: num_requests allows no more at a time");
    options.num_requests = 2;
    EXPECT_EQ(size_chosen(joining, options), "1: num_requests allows 2 at a time, too few to gain by joining them");
    EXPECT_EQ(size_chosen(single, options),
              "1: MANUAL runs single jobs as fast; give a batch size if it shall join them nonetheless");
    options.batch_size = 6;
    EXPECT_EQ(size_chosen(single, options), "6: as asked");
}

TEST(BatchSizeChoice, IsAutomaticOnlyForThroughputOnDevicesThatGain)
{
    ManualDevice single, joining("JOINING", 1, 8);
    Options options;
    EXPECT_EQ(setting_of(*compile_on(joining, doubling_graph(), options), "batch_size"), "none");
    options.performance_hint = PerformanceHint::throughput;
    EXPECT_EQ(setting_of(*compile_on(single, doubling_graph(), options), "batch_size"), "none");
    const auto model = compile_on(joining, doubling_graph(), options);
    EXPECT_EQ(setting_of(*model, "batch_size"), "8: what JOINING gains most by");
    EXPECT_EQ(model->depth(), 8);
}

TEST(Batch, BadDeviceStringsAreSentences)
{
    const std::string cure = "want the device whose jobs are joined and how many, such as BATCH:CPU(4)";
    EXPECT_EQ(error_of("BATCH"), "device \"BATCH\": no device is named; " + cure);
    EXPECT_EQ(error_of("BATCH:CPU(0)"), "device \"BATCH:CPU(0)\": a batch of 0 jobs; " + cure + ", from 1 to 1024");
    EXPECT_EQ(error_of("BATCH:CPU(4"), "device \"BATCH:CPU(4\": the device \"CPU(4\" lacks its closing parenthesis");
    EXPECT_NE(error_of("BATCH:GPX(4)").find("there is no device \"GPX\""), std::string::npos);
    EXPECT_NE(error_of("CPU:4").find("CPU is not made of others"), std::string::npos);
    EXPECT_EQ(error_of("BATCH:FAKE(latency_ms=1,depth=2)(3)"), "none");
    EXPECT_EQ(error_of("BATCH(REF)"), "none");
}

void expect_like_single_jobs(const Model &model)
{
    Options options;
    options.batch_timeout_ms = 3600000;
    const auto alone = Core::compile_model(model, "CPU"), many = Core::compile_model(model, "BATCH:CPU(3)", options);
    ASSERT_EQ(setting_of(*many, "batch_size"), "3: as asked");
    CountedJobs one(3), joined(3);
    for (size_t i = 0; i < 3; i++) {
        one[i].inputs.clear();
        for (const Port &port : alone->inputs()) {
            Tensor tensor(Type::f32, port.shape);
            for (size_t e = 0; e < tensor.count(); e++)
                tensor.data<float>()[e] = static_cast<float>((e * 7 + i * 13) % 101) / 101;
            one[i].inputs.push_back(tensor.converted(port.type));
        }
        joined[i].inputs = one[i].inputs;
    }
    one.submit_all(*alone);
    joined.submit_all(*many);
    one.await_all();
    joined.await_all();
    for (size_t i = 0; i < 3; i++) {
        ASSERT_EQ(joined.error_of(i), "none");
        for (size_t port = 0; port < one[i].outputs.size(); port++) {
            const Tensor want = one[i].outputs[port].converted(Type::f32),
                         have = joined[i].outputs[port].converted(Type::f32);
            ASSERT_EQ(to_string(have.shape()), to_string(want.shape()));
            float largest = 0;
            for (float value : want.values<float>())
                largest = std::max(largest, std::abs(value));
            for (size_t e = 0; e < want.count(); e++)
                ASSERT_NEAR(have.data<float>()[e], want.data<float>()[e], 1e-4f * std::max(1.f, largest))
                    << "output " << port << " of job " << i << ", element " << e;
        }
    }
}

TEST(AutoBatch, OutputsOfRealModelsAreThoseOfSingleJobs)
{
    SKIP_WITHOUT_SHARED_DATA();
    for (const char *name : {"nanodet_m_320", "mobilefacenet", "version-slim-320", "yolox_nano", "landmarks_68_pfld"}) {
        SCOPED_TRACE(name);
        expect_like_single_jobs(Core::read_model(shared_data() / "data/models/onnx" / (std::string(name) + ".onnx")));
    }
}

TEST(AutoBatch, PicturesGoStraightIntoTheBatch)
{
    const auto graph = std::make_shared<const Graph>(parse(R"(graph "g"
input %0:f32[1x3x4x6] "x"
const %1:f32[2x3x1x1] "w" = {1, 2, 3, -1, 0, 1}
%2:f32[*] "y" = Conv(%0, %1) "conv"
output %2
)"));
    ImageInput input{"x", {}};
    input.spec.width = 6;
    input.spec.height = 4;
    Options options = of_four();
    std::vector<uint8_t> pixels(4 * 6 * 3 + 4);
    std::iota(pixels.begin(), pixels.end(), uint8_t(3));
    for (const char *device : {"CPU", "REF"}) {
        const auto alone = compile_shared(graph, device, {}, input),
                   many = compile_shared(graph, device, options, input);
        ASSERT_EQ(setting_of(*many, "batch_size"), "4: as asked");
        CountedJobs one(4), joined(4);
        for (size_t i = 0; i < 4; i++) {
            Image image;
            image.width = 6;
            image.height = 4;
            image.region = {0, 0, 6, 4};
            image.planes[0] = {pixels.data() + i, 18};
            one[i].inputs.clear();
            joined[i].inputs.clear();
            one[i].images = joined[i].images = {image};
        }
        one.submit_all(*alone);
        joined.submit_all(*many);
        one.await_all();
        joined.await_all();
        for (size_t i = 0; i < 4; i++) {
            ASSERT_EQ(one.error_of(i), "none");
            ASSERT_EQ(joined.error_of(i), "none");
            for (size_t e = 0; e < one[i].outputs[0].count(); e++)
                ASSERT_NEAR(joined[i].outputs[0].data<float>()[e], one[i].outputs[0].data<float>()[e], 1e-3);
        }
    }
}

} // namespace
} // namespace leat
