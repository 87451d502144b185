#include <leat/core.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

#include <ctime>

// Several models on the lanes of one processor: what they get done at once compared with one after the other, and what
// the load of the others does to the latency of the first when it has the high priority. Usage: several_models MODEL
// MODEL… (of fixed sizes)

namespace leat {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

/// Keeps as many jobs of a model in flight as it asks for.
class Load {
  public:
    explicit Load(CompiledModel &model) : model_(model), jobs_(static_cast<size_t>(model.depth()))
    {
        for (Job &job : jobs_)
            for (const Port &port : model.inputs()) {
                job.inputs.emplace_back(port.type, port.shape);
                std::fill_n(job.inputs.back().raw(), job.inputs.back().bytes(), std::byte{0});
            }
    }

    void start()
    {
        going_ = true;
        running_ = jobs_.size();
        for (Job &job : jobs_)
            submit(job);
    }

    void stop()
    {
        going_ = false;
        std::unique_lock lock(mutex_);
        idle_.wait(lock, [&] { return running_ == 0; });
    }

    size_t ended() const { return ended_; }

  private:
    CompiledModel &model_;
    std::vector<Job> jobs_;
    std::atomic<bool> going_ = false;
    std::atomic<size_t> ended_ = 0;
    std::mutex mutex_;
    std::condition_variable idle_;
    size_t running_ = 0;

    void submit(Job &job)
    {
        job.done = [this](Job &ended) {
            ended_++;
            if (going_)
                return submit(ended);
            std::lock_guard lock(mutex_);
            if (--running_ == 0)
                idle_.notify_one();
        };
        model_.submit(job);
    }
};

double processor_seconds()
{
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Work {
    std::vector<double> jobs; ///< by model
    double seconds = 0, processor_seconds = 0;
};

Work run(const std::vector<CompiledModel *> &models, Seconds time)
{
    std::vector<std::unique_ptr<Load>> loads;
    for (CompiledModel *model : models)
        loads.push_back(std::make_unique<Load>(*model));
    const auto begin = Clock::now();
    const double before = processor_seconds();
    for (auto &load : loads)
        load->start();
    std::this_thread::sleep_for(time);
    for (auto &load : loads)
        load->stop();
    Work work;
    for (auto &load : loads)
        work.jobs.push_back(static_cast<double>(load->ended()));
    work.seconds = Seconds(Clock::now() - begin).count();
    work.processor_seconds = processor_seconds() - before;
    return work;
}

/// The 99th percentile of jobs one after the other with pauses, in milliseconds.
double p99_of(CompiledModel &model, int count)
{
    std::vector<double> latencies;
    Job job;
    for (const Port &port : model.inputs()) {
        job.inputs.emplace_back(port.type, port.shape);
        std::fill_n(job.inputs.back().raw(), job.inputs.back().bytes(), std::byte{0});
    }
    for (int i = 0; i < count; i++) {
        std::atomic<bool> done = false;
        job.done = [&](Job &) {
            done = true;
            done.notify_one();
        };
        const auto begin = Clock::now();
        model.submit(job);
        done.wait(false);
        latencies.push_back(1e3 * Seconds(job.finished - begin).count());
        std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
    std::sort(latencies.begin(), latencies.end());
    return latencies[latencies.size() * 99 / 100];
}

double median(std::vector<double> numbers)
{
    std::sort(numbers.begin(), numbers.end());
    return numbers[numbers.size() / 2];
}

void measure(const std::vector<std::string> &paths, int rounds)
{
    std::vector<std::shared_ptr<CompiledModel>> held;
    std::vector<CompiledModel *> models;
    for (const std::string &path : paths) {
        Options options;
        options.performance_hint = PerformanceHint::throughput;
        options.model_priority = held.empty() ? ModelPriority::high : ModelPriority::medium;
        held.push_back(Core::compile_model(Core::read_model(path), "CPU", options));
        models.push_back(held.back().get());
        run({models.back()}, Seconds(0.2));
    }
    // At once, none may go before the others.
    std::vector<std::shared_ptr<CompiledModel>> equal{held};
    Options options;
    options.performance_hint = PerformanceHint::throughput;
    equal[0] = Core::compile_model(Core::read_model(paths[0]), "CPU", options);
    std::vector<CompiledModel *> peers = models;
    peers[0] = equal[0].get();
    const std::vector<CompiledModel *> others(models.begin() + 1, models.end());

    std::vector<double> by_time, by_processor, alone_ms, loaded_ms;
    for (int round = 0; round < rounds; round++) {
        std::vector<Work> alone;
        for (CompiledModel *model : peers)
            alone.push_back(run({model}, Seconds(0.5)));
        const Work together = run(peers, Seconds(0.5 * static_cast<double>(peers.size())));
        double seconds = 0, processor = 0;
        for (size_t i = 0; i < peers.size(); i++) {
            seconds += together.jobs[i] * alone[i].seconds / alone[i].jobs[0];
            processor += together.jobs[i] * alone[i].processor_seconds / alone[i].jobs[0];
        }
        by_time.push_back(seconds / together.seconds);
        by_processor.push_back(processor / together.processor_seconds);

        alone_ms.push_back(p99_of(*models[0], 200));
        std::vector<std::unique_ptr<Load>> loads;
        for (CompiledModel *model : others)
            loads.push_back(std::make_unique<Load>(*model));
        for (auto &load : loads)
            load->start();
        loaded_ms.push_back(p99_of(*models[0], 200));
        for (auto &load : loads)
            load->stop();
    }
    std::printf("work at once / work one after the other: %.2f by the clock, %.2f by processor time\n", median(by_time),
                median(by_processor));
    std::printf("p99 of %s with high priority: %.2f ms alone, %.2f ms under load, ratio %.2f\n",
                std::filesystem::path(paths[0]).stem().c_str(), median(alone_ms), median(loaded_ms),
                median(loaded_ms) / median(alone_ms));
}

} // namespace
} // namespace leat

int main(int argc, char **argv)
{
    const char *rounds = std::getenv("ROUNDS");
    if (argc < 3) {
        std::fprintf(stderr,
                     "several_models MODEL MODEL...: the first gets the high priority; ROUNDS=5 is the default\n");
        return 2;
    }
    try {
        leat::measure({argv + 1, argv + argc}, rounds ? std::max(1, std::atoi(rounds)) : 5);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
