#include "inference/graph.h"
#include "inference/ops.h"
#include "inference/ports.h"

#include <leat/core.h>
#include <leat/request.h>

#include <atomic>
#include <deque>
#include <future>
#include <gtest/gtest.h>
#include <numeric>
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

/// Answers when the test says so: what is submitted waits for end_one().
class GatedModel final : public CompiledModel {
  public:
    std::span<const Port> inputs() const override { return inputs_; }
    std::span<const Port> outputs() const override { return outputs_; }
    int depth() const override { return 2; }
    Tensor allocate(const Port &port) const override { return Tensor(port.type, port.shape); }
    std::vector<Setting> settings() const override { return {}; }
    std::vector<NodeReport> nodes() const override { return {}; }
    void submit(Job &job) override
    {
        std::lock_guard lock(mutex_);
        jobs_.push_back(&job);
        changed_.notify_all();
    }

    /// Waits for a job and ends it as a device does, on this thread.
    void end_one()
    {
        Job &job = take();
        try {
            throw_if_cancelled(job);
        } catch (...) {
            job.error = std::current_exception();
        }
        complete(job);
    }
    void fail_one(const std::string &sentence)
    {
        Job &job = take();
        job.error = std::make_exception_ptr(Error(sentence));
        complete(job);
    }

  private:
    const std::vector<Port> inputs_{{"x", Type::f32, {4}, false}}, outputs_{{"y", Type::f32, {4}, false}};
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Job *> jobs_;

    Job &take()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !jobs_.empty(); });
        Job *job = jobs_.front();
        jobs_.pop_front();
        return *job;
    }
};

/// Every call that would touch a request throws `Refusal` while it runs.
template <class Refusal> void expect_refused(InferRequest &request)
{
    const Tensor tensor(Type::f32, {4});
    EXPECT_THROW(request.start_async(), Refusal);
    EXPECT_THROW(request.infer(), Refusal);
    EXPECT_THROW(request.tensor("x"), Refusal);
    EXPECT_THROW(request.set_tensor("x", tensor), Refusal);
    EXPECT_THROW(request.set_tensors("x", {tensor}), Refusal);
    EXPECT_THROW(request.set_region("x", tensor, {0}, {4}), Refusal);
    EXPECT_THROW(request.set_image("x", {}), Refusal);
    EXPECT_THROW(request.set_stream(1), Refusal);
    EXPECT_THROW(request.set_callback({}), Refusal);
    EXPECT_THROW(request.bytes_copied(), Refusal);
    EXPECT_THROW(request.profile(), Refusal);
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

TEST(RequestStates, IdleBeforeTheFirstStart)
{
    InferRequest request(std::make_shared<GatedModel>());
    EXPECT_EQ(request.state(), InferRequest::State::idle);
    request.wait();
    EXPECT_FALSE(request.wait_for(1h)); // at once
    EXPECT_EQ(error_of([&] { request.wait_for(-1ms); }), "the time to wait is negative: -1 ms");
    request.cancel();
    EXPECT_EQ(request.state(), InferRequest::State::idle);
}

TEST(RequestStates, StartThatIsRefusedLeavesTheRequestIdle)
{
    InferRequest request(std::make_shared<GatedModel>());
    request.tensor("x") = Tensor();
    EXPECT_EQ(error_of([&] { request.start_async(); }), "input \"x\" is missing");
    EXPECT_EQ(request.state(), InferRequest::State::idle);
    EXPECT_FALSE(request.wait_for(1h)); // it never ran
    request.wait();
}

TEST(RequestStates, BusyRefusesWhatTouchesTheRequest)
{
    const auto model = std::make_shared<GatedModel>();
    InferRequest request(model);
    request.start_async();
    EXPECT_EQ(request.state(), InferRequest::State::busy);
    expect_refused<Busy>(request);
    EXPECT_EQ(error_of([&] { request.start_async(); }),
              "cannot start while the request is running; wait() for it first");
    EXPECT_FALSE(request.wait_for(0ms));
    auto waiting = std::async(std::launch::async, [&] { request.wait(); });
    model->end_one();
    waiting.get();
    EXPECT_TRUE(request.wait_for(0ms));
    EXPECT_EQ(request.state(), InferRequest::State::idle);
    request.tensor("x");
}

TEST(RequestStates, CancelledRefusesUntilTheDeviceHasEndedIt)
{
    const auto model = std::make_shared<GatedModel>();
    InferRequest request(model);
    request.start_async();
    request.cancel();
    request.cancel();
    EXPECT_EQ(request.state(), InferRequest::State::cancelled);
    expect_refused<Cancelled>(request);
    EXPECT_FALSE(request.wait_for(0ms));
    model->end_one();
    EXPECT_THROW(request.wait(), Cancelled);
    EXPECT_THROW(request.wait_for(0ms), Cancelled);
    EXPECT_EQ(request.state(), InferRequest::State::idle);
    request.start_async(); // and on with the next
    model->end_one();
    request.wait();
}

TEST(RequestStates, AFailureIsThrownByWaitAndWaitForUntilTheNextStart)
{
    const auto model = std::make_shared<GatedModel>();
    InferRequest request(model);
    request.start_async();
    model->fail_one("as it should");
    EXPECT_EQ(error_of([&] { request.wait(); }), "as it should");
    EXPECT_EQ(error_of([&] { request.wait_for(0ms); }), "as it should");
    request.start_async();
    model->end_one();
    request.wait();
}

TEST(RequestStates, DestructionWaitsForTheInferenceAndItsCallback)
{
    int calls = 0; // not atomic: the destructor comes after
    {
        InferRequest request(Core::compile_model(doubling_model(), "FAKE(latency_ms=20)"));
        request.set_callback([&](std::exception_ptr) { calls++; });
        request.start_async();
    }
    EXPECT_EQ(calls, 1);
}

TEST(RequestStates, DestructionEndsARequestThatStartsItselfAgainForEver)
{
    std::atomic<int> calls = 0;
    {
        InferRequest request(Core::compile_model(doubling_model(), "FAKE"));
        request.set_callback([&](std::exception_ptr) {
            calls++;
            calls.notify_all();
            request.start_async();
        });
        request.start_async();
        for (int seen = calls; seen < 10; seen = calls)
            calls.wait(seen);
    }
    EXPECT_GE(calls, 10);
}

/// Without the gate: the device looks at the flag before it runs a job.
TEST(RequestStates, EveryDeviceEndsACancelledJobThatItHasNotBegun)
{
    for (const std::string device : {"CPU", "REF", "FAKE"}) {
        const auto model = Core::compile_model(doubling_model(), device);
        const std::atomic<bool> cancelled = true;
        Job job;
        job.cancelled = &cancelled;
        job.inputs = {Tensor(Type::f32, {4})};
        std::promise<void> done;
        job.done = [&](Job &) { done.set_value(); };
        model->submit(job);
        done.get_future().wait();
        EXPECT_THROW(std::rethrow_exception(job.error), Cancelled) << device;
    }
}

TEST(RequestCallback, RunsOncePerStartBeforeWaitReturnsOnAThreadOfItsOwn)
{
    const auto model = std::make_shared<GatedModel>();
    InferRequest request(model);
    int calls = 0; // not atomic: wait() comes after
    std::thread::id thread, device_thread;
    request.set_callback([&](std::exception_ptr error) {
        EXPECT_FALSE(error);
        EXPECT_EQ(request.state(), InferRequest::State::idle);
        thread = std::this_thread::get_id();
        calls++;
    });
    for (int start = 1; start <= 3; start++) {
        request.start_async();
        std::thread device([&] { model->end_one(); });
        device_thread = device.get_id();
        request.wait();
        EXPECT_EQ(calls, start);
        EXPECT_NE(thread, std::this_thread::get_id());
        EXPECT_NE(thread, device_thread);
        device.join();
    }
    request.set_callback({});
    request.start_async();
    model->end_one();
    request.wait();
    EXPECT_EQ(calls, 3);
}

TEST(RequestCallback, MayStartTheSameRequestAgainAndWaitWaitsForTheLast)
{
    InferRequest request(Core::compile_model(doubling_model(), "FAKE"));
    constexpr int rounds = 200;
    int calls = 0, inside = 0, most = 0;
    request.set_callback([&](std::exception_ptr) {
        most = std::max(most, ++inside);
        if (++calls < rounds)
            request.start_async();
        inside--;
    });
    request.start_async();
    request.wait();
    EXPECT_EQ(calls, rounds);
    EXPECT_EQ(most, 1); // never overlaps itself
}

TEST(RequestCallback, WhileItRunsTheRequestIsBusyForOtherThreads)
{
    const auto model = std::make_shared<GatedModel>();
    InferRequest request(model);
    std::promise<void> in_callback, go_on;
    request.set_callback([&](std::exception_ptr) {
        in_callback.set_value();
        go_on.get_future().wait();
    });
    request.start_async();
    model->end_one();
    in_callback.get_future().wait();
    EXPECT_EQ(request.state(), InferRequest::State::busy);
    expect_refused<Busy>(request);
    EXPECT_FALSE(request.wait_for(0ms));
    go_on.set_value();
    request.wait();
}

TEST(RequestCallback, IsToldTheErrorAndWhatItThrowsIsWhatWaitThrows)
{
    const auto model = std::make_shared<GatedModel>();
    InferRequest request(model);
    std::string told;
    request.set_callback([&](std::exception_ptr error) {
        told = error_of([&] { std::rethrow_exception(error); });
        throw Error("from the callback");
    });
    request.start_async();
    model->fail_one("from the device");
    EXPECT_EQ(error_of([&] { request.wait(); }), "from the callback");
    EXPECT_EQ(told, "from the device");
    request.set_callback({});
    request.start_async();
    model->end_one();
    request.wait();
}

TEST(RequestCallback, CannotWaitForItsOwnRequest)
{
    InferRequest request(Core::compile_model(doubling_model(), "FAKE"));
    std::vector<std::string> told;
    request.set_callback([&](std::exception_ptr) {
        told = {error_of([&] { request.wait(); }), error_of([&] { request.wait_for(1ms); }),
                error_of([&] { request.infer(); })};
    });
    request.start_async();
    request.wait();
    EXPECT_EQ(told,
              std::vector<std::string>(3, "the callback of a request cannot wait for it: it would wait for itself"));
}

TEST(RequestCallback, MayBeReplacedInsideAndStartWithoutOne)
{
    InferRequest request(Core::compile_model(doubling_model(), "FAKE"));
    std::vector<int> calls;
    request.set_callback([&](std::exception_ptr) {
        calls.push_back(1);
        request.set_callback({});
        request.start_async();
    });
    request.start_async();
    request.wait();
    EXPECT_EQ(calls, std::vector<int>{1});
}

TEST(RequestCallback, IsNotCalledByInfer)
{
    InferRequest request(Core::compile_model(doubling_model(), "FAKE"));
    int calls = 0;
    request.set_callback([&](std::exception_ptr) { calls++; });
    request.infer();
    EXPECT_EQ(calls, 0);
}

/// While one request runs, the application fills and starts the next: that neither waits nor disturbs it.
TEST(AsyncOverlap, TheNextRequestIsFilledAndStartedWhileTheCurrentOneRuns)
{
    const auto model = std::make_shared<GatedModel>();
    InferRequest current(model), next(model);
    current.start_async();
    for (int frame = 0; frame < 5; frame++) {
        next.tensor("x").values<float>()[0] = static_cast<float>(frame);
        next.start_async();
        EXPECT_EQ(current.state(), InferRequest::State::busy);
        EXPECT_EQ(next.state(), InferRequest::State::busy);
        model->end_one();
        current.wait();
        EXPECT_EQ(next.state(), InferRequest::State::busy);
        std::swap(current, next);
    }
    model->end_one();
    current.wait();
}

TEST(ZeroCopy, TensorsOfTheRequestAreUsedInPlace)
{
    for (const std::string device : {"CPU", "REF", "FAKE(outputs=reference)"}) {
        InferRequest request(Core::compile_model(doubling_model(), device));
        const float *in = request.tensor("x").data<float>();
        std::iota(request.tensor("x").values<float>().begin(), request.tensor("x").values<float>().end(), 1.0f);
        for (int round = 0; round < 3; round++) {
            request.infer();
            EXPECT_EQ(request.tensor("x").data<float>(), in);
            EXPECT_EQ(request.tensor("y").data<float>()[3], 8);
        }
        // The reference kernels make tensors of their own, whose copy into the request's is counted.
        EXPECT_EQ(request.bytes_copied(), device == "CPU" ? 0u : 16u) << device;
    }
}

TEST(ZeroCopy, TensorsThatAreSetAreUsedInPlace)
{
    InferRequest request(Core::compile_model(doubling_model(), "CPU"));
    Tensor in = Tensor::of<float>({4}, {1, 2, 3, 4}), out(Type::f32, {4});
    request.set_tensor("x", in);
    request.set_tensor("y", out);
    request.infer();
    EXPECT_EQ(out.data<float>()[3], 8);
    EXPECT_EQ(request.tensor("y").raw(), out.raw());
    EXPECT_EQ(request.bytes_copied(), 0u);
}

Model doubling_frames()
{
    return Model(std::make_shared<const Graph>(parse(R"(graph "doubling frames"
input %0:f32[?x2x2] "x"
%1:f32[?x2x2] "y" = Add(%0, %0) "add"
output %1
)")));
}

std::vector<float> values_of(const Tensor &tensor)
{
    return {tensor.values<float>().begin(), tensor.values<float>().end()};
}

TEST(SetTensors, OfFramesAreOneBatchAndTheCopyIsCounted)
{
    for (const std::string device : {"CPU", "REF"}) {
        InferRequest request(Core::compile_model(doubling_frames(), device));
        Tensor first = Tensor::of<float>({1, 2, 2}, {1, 2, 3, 4}), second = Tensor::of<float>({1, 2, 2}, {5, 6, 7, 8});
        request.set_tensors("x", {first, second});
        for (float next : {8.0f, 9.0f}) {
            second.data<float>()[3] = next; // read at each start
            request.infer();
            EXPECT_EQ(request.tensor("y").shape(), (Shape{2, 2, 2}));
            EXPECT_EQ(values_of(request.tensor("y")), (std::vector<float>{2, 4, 6, 8, 10, 12, 14, 2 * next}));
            EXPECT_GE(request.bytes_copied(), 32u);
        }
        request.set_tensor("x", first);
        request.infer();
        EXPECT_EQ(values_of(request.tensor("y")), (std::vector<float>{2, 4, 6, 8})) << device;
    }
}

TEST(SetTensors, ThatDoNotFitAreRefused)
{
    InferRequest request(Core::compile_model(doubling_frames().reshaped({{"x", {2, 2, 2}}}), "REF"));
    const Tensor frame(Type::f32, {1, 2, 2});
    auto refusal = [&](const std::string &port, std::vector<Tensor> tensors) {
        return error_of([&] { request.set_tensors(port, std::move(tensors)); });
    };
    EXPECT_EQ(refusal("x", {frame}),
              "1 tensors do not fit the port x f32[2x2x2]: want one for each frame of the batch");
    EXPECT_EQ(refusal("x", {}), "0 tensors do not fit the port x f32[2x2x2]: want one for each frame of the batch");
    EXPECT_EQ(refusal("x", {frame, Tensor(Type::f32, {2, 2, 2})}),
              "a tensor f32[2x2x2] does not fit the port x f32[1x2x2]");
    EXPECT_EQ(refusal("x", {frame, Tensor(Type::u8, {1, 2, 2})}),
              "a tensor u8[1x2x2] does not fit the port x f32[1x2x2]");
    EXPECT_EQ(refusal("x", {frame, Tensor()}), "a tensor undefined[scalar] does not fit the port x f32[1x2x2]");
    EXPECT_EQ(refusal("x", {Tensor(Type::f32, {1, 2}), Tensor(Type::f32, {1, 2})}),
              "a tensor f32[1x2] does not fit the port x f32[2x2x2]");
    EXPECT_EQ(refusal("x", {Tensor(Type::f32, {}), Tensor(Type::f32, {})}),
              "a tensor f32[scalar] does not fit the port x f32[2x2x2]");
    EXPECT_EQ(refusal("y", {frame, frame}), "the port y f32[2x2x2] is not an input that takes tensors");
    request.set_tensors("x", {frame, frame});
}

TEST(SetRegion, OfOnePieceIsUsedInPlaceAndKeepsItsOwner)
{
    InferRequest request(Core::compile_model(doubling_frames().reshaped({{"x", {1, 2, 2}}}), "CPU"));
    {
        const Tensor owner = Tensor::of<float>({3, 2, 2}, {0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0});
        request.set_region("x", owner, {1, 0, 0}, {2, 2, 2});
        EXPECT_EQ(request.tensor("x").raw(), owner.raw() + 16);
    }
    request.infer();
    EXPECT_EQ(values_of(request.tensor("y")), (std::vector<float>{2, 4, 6, 8}));
    EXPECT_EQ(request.bytes_copied(), 0u);
}

TEST(SetRegion, InSeveralPiecesIsCopiedAtEachStart)
{
    InferRequest request(Core::compile_model(doubling_frames().reshaped({{"x", {1, 2, 2}}}), "CPU"));
    Tensor owner = Tensor::of<float>({1, 3, 4}, {0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0});
    request.set_region("x", owner, {0, 1, 1}, {1, 3, 3});
    for (float last : {4.0f, 5.0f}) {
        owner.data<float>()[10] = last;
        request.infer();
        EXPECT_EQ(values_of(request.tensor("y")), (std::vector<float>{2, 4, 6, 2 * last}));
        EXPECT_EQ(request.bytes_copied(), 16u);
    }
}

TEST(SetRegion, OutsideOrOfAnotherSizeIsRefused)
{
    InferRequest request(Core::compile_model(doubling_frames().reshaped({{"x", {1, 2, 2}}}), "REF"));
    const Tensor owner(Type::f32, {1, 3, 4});
    auto refusal = [&](const Shape &begin, const Shape &end) {
        return error_of([&] { request.set_region("x", owner, begin, end); });
    };
    const std::string outside = "does not lie within a tensor of 1x3x4";
    for (const auto &[begin, end] : std::vector<std::pair<Shape, Shape>>{
             {{0, 2, 0}, {1, 4, 2}}, {{0, -1, 0}, {1, 1, 2}}, {{0, 2, 0}, {1, 0, 2}}, {{0, 0}, {1, 2}}, {{}, {}}})
        EXPECT_NE(refusal(begin, end).find(outside), std::string::npos) << refusal(begin, end);
    EXPECT_EQ(refusal({0, 0, 0}, {1, 3, 2}), "a tensor f32[1x3x2] does not fit the port x f32[1x2x2]");
    EXPECT_EQ(error_of([&] { request.set_region("x", {}, {}, {}); }),
              "a tensor undefined[scalar] does not fit the port x f32[1x2x2]");
    EXPECT_EQ(error_of([&] {
                  owner.region({0, 0, 0}, {1, 2, 2});
              }),
              "the region from 0x0x0 to before 1x2x2 of a tensor of 1x3x4 does not lie in one piece; copy it");
}

TEST(Profiling, RowsOfARequestAddUpToLessThanItsLatency)
{
    Options options;
    options.profiling = true;
    InferRequest request(Core::compile_model(doubling_model(), "CPU", options));
    EXPECT_EQ(error_of([&] { request.profile(); }),
              "no times were measured: compile with Options::profiling for a device that measures, and run once");
    const auto begin = std::chrono::steady_clock::now();
    request.infer();
    const std::chrono::duration<double, std::milli> latency = std::chrono::steady_clock::now() - begin;
    double sum = 0;
    for (const NodeReport &row : request.profile())
        sum += std::max(0.0, row.milliseconds);
    EXPECT_GT(sum, 0);
    EXPECT_LE(sum, latency.count());
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
              "there is no device \"TPU\"; the devices are CPU, REF, FAKE, and made of them AUTO:CPU,REF BATCH:CPU(4) "
              "HETERO:REF,CPU "
              "MULTI:CPU,REF");
    EXPECT_EQ(error_of([] { Core::compile_model(doubling_model(), "REF(1)"); }),
              "device \"REF(1)\": this device takes no arguments, but got \"1\"");
    EXPECT_EQ(error_of([] { Core::compile_model(doubling_model(), "FAKE(speed=3)"); }),
              "device \"FAKE(speed=3)\": device FAKE does not know \"speed=3\"; it knows latency_ms, jitter_ms, depth, "
              "batch, fail_every, "
              "outputs=zeros|reference and ops=Relu+Concat");
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
