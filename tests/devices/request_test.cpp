#include "inference/graph.h"
#include "inference/ops.h"
#include "inference/ports.h"

#include <leat/core.h>
#include <leat/request.h>

#include <atomic>
#include <gtest/gtest.h>
#include <thread>

namespace leat {
namespace {

using namespace std::chrono_literals;

Model doubling_model()
{
    return Model(std::make_shared<const Graph>(parse(R"(graph "doubling"
input %0:f32[4] "x"
%1:f32[4] "y" = Add(%0, %0) "add"
output %1
)")));
}

std::string error_of(auto body)
{
    try {
        body();
    } catch (const Error &error) {
        return error.what();
    }
    return "no error";
}

TEST(InferRequest, ComputesInPlaceAndCanBeStartedAgain)
{
    InferRequest request(Core::compile_model(doubling_model(), "REF"));
    for (float round = 1; round < 4; round++) {
        request.tensor("x").values<float>()[3] = round;
        const float *before = request.tensor("y").data<float>();
        request.infer();
        EXPECT_EQ(request.tensor("y").data<float>(), before);
        EXPECT_EQ(request.tensor("y").data<float>()[3], 2 * round);
    }
}

TEST(InferRequest, CallsBackBeforeWaitReturns)
{
    InferRequest request(Core::compile_model(doubling_model(), "FAKE(latency_ms=5)"));
    std::atomic<int> calls = 0;
    std::thread::id thread;
    request.set_callback([&](std::exception_ptr error) {
        EXPECT_FALSE(error);
        thread = std::this_thread::get_id();
        calls++;
    });
    request.start_async();
    request.wait();
    EXPECT_EQ(calls, 1);
    EXPECT_NE(thread, std::this_thread::get_id());
}

TEST(InferRequest, RefusesChangesWhileRunning)
{
    InferRequest request(Core::compile_model(doubling_model(), "FAKE(latency_ms=200)"));
    request.start_async();
    EXPECT_EQ(error_of([&] { request.start_async(); }),
              "cannot start while the request is running; wait() for it first");
    EXPECT_EQ(error_of([&] { request.set_tensor("x", Tensor(Type::f32, {4})); }),
              "cannot set a tensor while the request is running; wait() for it first");
    EXPECT_FALSE(request.wait_for(0ms));
    request.wait();
    EXPECT_TRUE(request.wait_for(0ms));
}

TEST(InferRequest, NamesPortsInItsErrors)
{
    InferRequest request(Core::compile_model(doubling_model(), "REF"));
    EXPECT_EQ(error_of([&] { request.tensor("z"); }), "the model has no port \"z\"; its ports are x f32[4], y f32[4]");
    EXPECT_EQ(error_of([&] { request.set_tensor("x", Tensor(Type::u8, {4})); }),
              "a tensor u8[4] does not fit the port x f32[4]");
    EXPECT_EQ(error_of([&] { request.set_image("x", {}); }), "the port x f32[4] takes a tensor, see set_tensor()");
}

TEST(InferRequest, ThrowsWhatTheInferenceFailedWith)
{
    InferRequest request(Core::compile_model(doubling_model(), "FAKE(fail_every=2)"));
    request.infer();
    EXPECT_EQ(error_of([&] { request.infer(); }), "device FAKE: job 2 fails as scripted");
    request.infer();
}

TEST(InferRequest, DestructorWaits)
{
    std::atomic<int> calls = 0;
    {
        InferRequest request(Core::compile_model(doubling_model(), "FAKE(latency_ms=20)"));
        request.set_callback([&](std::exception_ptr) { calls++; });
        request.start_async();
    }
    EXPECT_EQ(calls, 1);
}

TEST(Core, SharesCompiledModelsOfEqualRequests)
{
    const Model model = doubling_model();
    const auto first = Core::compile_model(model, "REF");
    EXPECT_EQ(first, Core::compile_model(model, "REF"));
    EXPECT_NE(first, Core::compile_model(model, "FAKE"));
    Options two_streams;
    two_streams.num_streams = 2;
    EXPECT_NE(first, Core::compile_model(model, "REF", two_streams));
    EXPECT_NE(first, Core::compile_model(doubling_model(), "REF"));
}

TEST(Core, NamesTheDevicesWhenThereIsNoSuchOne)
{
    EXPECT_EQ(error_of([] { Core::compile_model(doubling_model(), "TPU"); }),
              "there is no device \"TPU\"; the devices are CPU, REF, FAKE");
    EXPECT_EQ(error_of([] { Core::compile_model(doubling_model(), "REF(1)"); }),
              "device \"REF(1)\": this device takes no arguments, but got \"1\"");
    EXPECT_EQ(error_of([] { Core::compile_model(doubling_model(), "FAKE(speed=3)"); }),
              "device \"FAKE(speed=3)\": device FAKE does not know \"speed=3\"; it knows latency_ms, jitter_ms, depth, "
              "fail_every and "
              "outputs=zeros|reference");
    EXPECT_EQ(error_of([] { Core::compile_model(doubling_model(), "FAKE(latency_ms=fast)"); }),
              "device \"FAKE(latency_ms=fast)\": device FAKE: latency_ms=fast is not a number of 0 or more");
}

TEST(Core, ReshapesAModel)
{
    const Model wide = doubling_model().reshaped({{"x", {3, 5}}});
    EXPECT_EQ(to_string(wide.outputs()[0].shape), "3x5");
    EXPECT_EQ(error_of([] { doubling_model().reshaped({{"z", {1}}}); }), "the model has no input \"z\" to reshape");
    EXPECT_EQ(
        error_of([] {
            doubling_model().reshaped({{"x", {{3, 2}, 1}}});
        }),
        "input \"x\" cannot become 3..2x1: sizes are not negative, and a range goes from the lower to the higher");
}

TEST(Core, RefusesSizesOutOfTheRange)
{
    const Model model = doubling_model().reshaped({{"x", {{2, 4}, -1}}});
    EXPECT_EQ(to_string(model.inputs()[0]), "x f32[2..4x?]");
    for (const char *device : {"REF", "CPU"}) {
        InferRequest request(Core::compile_model(model, device));
        request.set_tensor("x", Tensor(Type::f32, {4, 9}));
        request.infer();
        EXPECT_EQ(to_string(request.tensor("y").shape()), "4x9");
        EXPECT_EQ(error_of([&] {
                      request.set_tensor("x", Tensor(Type::f32, {5, 9}));
                      request.infer();
                  }),
                  "a tensor f32[5x9] does not fit the port x f32[2..4x?]");
    }
}

/// Jobs in flight at once, counted from outside: as many as the depth, whatever order they end in.
TEST(Fake, RunsAsManyJobsSideBySideAsItsDepth)
{
    for (int depth : {1, 2, 4}) {
        const auto model = Core::compile_model(doubling_model(),
                                               "FAKE(latency_ms=10,jitter_ms=7,depth=" + std::to_string(depth) + ")");
        EXPECT_EQ(model->depth(), depth);
        constexpr int count = 12;
        std::vector<Job> jobs(count);
        std::atomic<int> done = 0;
        for (Job &job : jobs) {
            job.inputs = {Tensor::of<float>({4}, {1, 2, 3, 4})};
            job.done = [&](Job &) {
                done++;
                done.notify_all();
            };
            model->submit(job);
        }
        for (int seen = done; seen < count; seen = done)
            done.wait(seen);
        int most = 0;
        for (const Job &a : jobs) {
            int together = 0;
            for (const Job &b : jobs)
                together += b.started <= a.started && a.started < b.finished && &a != &b && b.started != b.finished;
            most = std::max(most, together + 1);
        }
        EXPECT_GE(most, depth);
    }
}

TEST(Fake, ComputesByReferenceWhenAsked)
{
    InferRequest request(Core::compile_model(doubling_model(), "FAKE(outputs=reference)"));
    request.set_tensor("x", Tensor::of<float>({4}, {1, 2, 3, 4}));
    request.infer();
    EXPECT_EQ(request.tensor("y").data<float>()[3], 8);
}

TEST(Job, OfTheWrongFormFailsWithASentence)
{
    const auto model = Core::compile_model(doubling_model(), "REF");
    Job job;
    job.inputs = {Tensor(Type::f32, {5})};
    std::atomic<bool> done = false;
    job.done = [&](Job &) {
        done = true;
        done.notify_all();
    };
    model->submit(job);
    done.wait(false);
    EXPECT_EQ(error_of([&] { std::rethrow_exception(job.error); }), "input \"x\" has the shape 5, want 4");
}

} // namespace
} // namespace leat
