#include "devices/cpu/lanes.h"
#include "inference/graph.h"

#include <leat/core.h>
#include <leat/request.h>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

namespace leat {
namespace {

using Clock = std::chrono::steady_clock;

/// What takes jobs and computes nothing.
using Submit = std::function<void(Job &)>;

/// Jobs of eight camera streams, so many in flight, each submitted again when it ends.
class Load {
  public:
    Load(const Submit &submit, const std::vector<Tensor> &inputs, size_t in_flight) : submit_(submit), jobs_(in_flight)
    {
        for (size_t i = 0; i < jobs_.size(); i++) {
            jobs_[i].inputs = inputs;
            jobs_[i].stream = i % 8;
        }
    }

    void move(int count)
    {
        left_ = count - static_cast<int>(jobs_.size());
        running_ = static_cast<int>(jobs_.size());
        for (Job &job : jobs_)
            submit(job);
        for (int seen = running_; seen > 0; seen = running_)
            running_.wait(seen);
    }

  private:
    const Submit &submit_;
    std::vector<Job> jobs_;
    std::atomic<int> left_ = 0, running_ = 0;

    void submit(Job &job)
    {
        job.done = [this](Job &ended) { end(ended); };
        submit_(job);
    }
    void end(Job &job)
    {
        if (left_.fetch_sub(1, std::memory_order_relaxed) > 0)
            submit(job);
        else if (--running_ == 0)
            running_.notify_one();
    }
};

void measure_rate(benchmark::State &state, const Submit &submit, const std::vector<Tensor> &inputs)
{
    constexpr int count = 20000;
    Load load(submit, inputs, static_cast<size_t>(state.range(0)));
    for (auto _ : state)
        load.move(count);
    state.SetItemsProcessed(state.iterations() * count);
}

/// From submit() to done(), of one job at a time: what scheduling adds to a model that takes no time.
void measure_latency(benchmark::State &state, const Submit &submit, const std::vector<Tensor> &inputs)
{
    std::vector<double> microseconds;
    Job job;
    job.inputs = inputs;
    std::atomic<bool> done;
    Clock::time_point ended;
    for (auto _ : state) {
        done = false;
        job.done = [&](Job &) {
            ended = Clock::now();
            done = true;
            done.notify_one();
        };
        const auto begun = Clock::now();
        submit(job);
        done.wait(false);
        microseconds.push_back(std::chrono::duration<double, std::micro>(ended - begun).count());
    }
    std::sort(microseconds.begin(), microseconds.end());
    state.counters["median_us"] = microseconds[microseconds.size() / 2];
    state.counters["p99_us"] = microseconds[microseconds.size() * 99 / 100];
}

struct NoOpLanes {
    static std::vector<std::vector<int>> sets(int lanes)
    {
        std::vector<std::vector<int>> sets;
        for (int cpu = 0; cpu < lanes; cpu++)
            sets.push_back({cpu});
        return sets;
    }
    explicit NoOpLanes(int lanes)
        : client(std::make_shared<cpu::Lanes>(), lanes, sets(lanes), false, [](Job &, cpu::LaneContext &) {})
    {
    }
    cpu::Lanes::Client client;
};

Model no_op()
{
    return Model(std::make_shared<const Graph>(parse(R"(graph "no-op"
input %0:f32[4] "x"
%1:f32[4] "y" = Add(%0, %0) "add"
output %1
)")));
}

void lanes_rate(benchmark::State &state)
{
    NoOpLanes lanes(static_cast<int>(state.range(1)));
    measure_rate(state, [&](Job &job) { lanes.client.submit(job); }, {});
}

void lanes_latency(benchmark::State &state)
{
    NoOpLanes lanes(1);
    measure_latency(state, [&](Job &job) { lanes.client.submit(job); }, {});
}

void model_rate(benchmark::State &state, const char *device)
{
    Options options;
    options.performance_hint = PerformanceHint::throughput;
    const auto model = Core::compile_model(no_op(), device, options);
    measure_rate(state, [&](Job &job) { model->submit(job); }, {Tensor(Type::f32, {4})});
}

void model_latency(benchmark::State &state, const char *device)
{
    const auto model = Core::compile_model(no_op(), device);
    measure_latency(state, [&](Job &job) { model->submit(job); }, {Tensor(Type::f32, {4})});
}

/// The same through requests, each started again by its callback.
void callback_rate(benchmark::State &state)
{
    constexpr int count = 20000;
    const auto model = Core::compile_model(no_op(), "FAKE");
    std::vector<InferRequest> requests;
    std::atomic<int> left = 0;
    for (int i = 0; i < state.range(0); i++)
        requests.emplace_back(model);
    for (InferRequest &request : requests)
        request.set_callback([&](std::exception_ptr) {
            if (--left >= 0)
                request.start_async();
        });
    for (auto _ : state) {
        left = count - static_cast<int>(requests.size());
        for (InferRequest &request : requests)
            request.start_async();
        for (InferRequest &request : requests)
            request.wait();
    }
    state.SetItemsProcessed(state.iterations() * count);
}

/// start_async() and wait() of a request without a callback.
void request_latency(benchmark::State &state)
{
    InferRequest request(Core::compile_model(no_op(), "FAKE"));
    for (auto _ : state)
        request.infer();
}

BENCHMARK(lanes_rate)->Args({1, 1})->Args({16, 1})->Args({16, 2})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(lanes_latency)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(model_rate, FAKE, "FAKE")->Arg(16)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(model_rate, CPU, "CPU")->Arg(16)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(model_latency, FAKE, "FAKE")->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(model_latency, CPU, "CPU")->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(callback_rate)->Arg(16)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(request_latency)->UseRealTime()->Unit(benchmark::kMicrosecond);

} // namespace
} // namespace leat
