#include "batch.h"
#include "devices.h"
#include "model_cache.h"

#include "inference/batching.h"
#include "inference/ports.h"

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace leat {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// Until a batch has been measured, and the bounds of what follows from the measurement.
constexpr Clock::duration first_timeout = 10ms, least_timeout = 1ms, longest_timeout = 100ms;

/// How many jobs are joined, and one sentence why.
struct BatchSize {
    int size = 1;
    std::string reason;
};

struct Parts {
    std::unique_ptr<CompiledModel> single;
    std::unique_ptr<CompiledModel> together; ///< nothing: jobs run one by one
    int size = 1;
    int num_requests = 0;
    int timeout_ms = 0; ///< 0: as long as a batch runs
    std::string reason;
};

/// Two plans for one model, one for single jobs and one for batches. See compile_on().
class BatchModel final : public CompiledModel {
  public:
    explicit BatchModel(Parts parts)
        : size_(static_cast<size_t>(parts.size)), num_requests_(parts.num_requests), reason_(std::move(parts.reason)),
          measured_(parts.timeout_ms == 0),
          timeout_(measured_ ? first_timeout : std::chrono::milliseconds(parts.timeout_ms)),
          single_(std::move(parts.single)), together_(std::move(parts.together))
    {
        if (together_)
            timer_ = std::thread([this] { release_in_time(); });
    }

    ~BatchModel() override
    {
        if (!together_)
            return;
        {
            std::unique_lock lock(mutex_);
            stopping_ = true;
            released_ = waiting_.size();
            start();
            idle_.wait(lock, [&] { return unfinished_ == 0; });
        }
        wake_.notify_one();
        timer_.join();
        // Their destructors wait until the last done() has returned, which uses what is below.
        together_.reset();
        single_.reset();
    }

    std::span<const Port> inputs() const override { return single_->inputs(); }
    std::span<const Port> outputs() const override { return single_->outputs(); }
    int depth() const override
    {
        if (!together_)
            return single_->depth();
        const int size = static_cast<int>(size_);
        return std::max(size, num_requests_ ? num_requests_ : size * together_->depth());
    }
    Tensor allocate(const Port &port) const override { return single_->allocate(port); }

    void submit(Job &job) override
    {
        if (!together_)
            return single_->submit(job);
        const bool alone = !can_join(job);
        job.submitted = Clock::now();
        std::lock_guard lock(mutex_);
        unfinished_++;
        waiting_.push_back({&job, job.submitted + timeout_, alone, ++submitted_});
        if (alone)
            released_ = waiting_.size();
        start();
        wake_timer();
    }

    void flush() override
    {
        if (!together_)
            return single_->flush();
        std::lock_guard lock(mutex_);
        released_ = waiting_.size();
        start();
    }

    std::vector<Setting> settings() const override
    {
        std::vector<Setting> all = (together_ ? together_ : single_)->settings();
        all.push_back({"batch_size", std::to_string(size_), reason_});
        if (together_) {
            std::lock_guard lock(mutex_);
            const auto ms = std::chrono::duration<double, std::milli>(timeout_).count();
            all.push_back({"batch_timeout_ms", std::to_string(ms),
                           measured_ ? "as long as a batch runs: waiting longer than that is never worth it"
                                     : "set by batch_timeout_ms"});
            all.push_back({"num_requests", std::to_string(depth()),
                           num_requests_ ? "set by num_requests" : "the jobs of as many batches as the device takes"});
            const uint64_t started = submitted_ - waiting_.size();
            all.push_back({"batch_fill", std::to_string(started ? 100 * joined_ / started : 0) + " %",
                           std::to_string(joined_) + " of " + std::to_string(started) +
                               " jobs ran in batches, the others alone"});
        }
        return all;
    }

    std::vector<NodeReport> nodes() const override
    {
        std::lock_guard lock(mutex_);
        return (together_ && ran_together_ ? together_ : single_)->nodes();
    }

  private:
    struct Waiting {
        Job *job;
        Clock::time_point until; ///< it waits no longer than that for others
        bool alone;              ///< must not be joined with others
        uint64_t number;         ///< in the order in which they came
    };
    struct Batch {
        Job job;
        std::vector<Waiting> members;
    };

    const size_t size_;
    const int num_requests_;
    const std::string reason_;
    const bool measured_;

    mutable std::mutex mutex_;            // guards what follows up to the models
    std::condition_variable wake_, idle_; // of the timer; of the destructor
    Clock::duration timeout_;
    std::deque<Waiting> waiting_;           ///< in the order in which they came
    uint64_t submitted_ = 0, joined_ = 0;   ///< jobs; those of them that were started in batches
    size_t released_ = 0;                   ///< of them, from the first on, that wait for no others
    size_t in_flight_ = 0, unfinished_ = 0; ///< jobs that the models have; jobs of which done() has not returned
    bool running_together_ = false;         ///< what is in flight are batches
    bool ran_together_ = false, stopping_ = false, timer_sleeps_ = false;
    std::thread timer_;
    std::unique_ptr<CompiledModel> single_, together_;

    bool can_join(const Job &job) const
    {
        try {
            check_inputs(inputs(), job);
            return true;
        } catch (const Error &) {
            return false; // the device will say so when it runs alone
        }
    }

    bool is_full() const
    {
        return waiting_.size() >= size_ && std::none_of(waiting_.begin(), waiting_.begin() + static_cast<long>(size_),
                                                        [](const Waiting &each) { return each.alone; });
    }

    /// Gives the models what need not wait. Both never have jobs at a time, so that those of one stream start in order.
    void start()
    {
        while (!waiting_.empty()) {
            const bool together = is_full();
            if (!together && released_ == 0 && !waiting_.front().alone)
                return;
            if (in_flight_ > 0 && together != running_together_)
                return;
            running_together_ = together;
            in_flight_++;
            const size_t count = together ? size_ : 1;
            released_ -= std::min(released_, count);
            together ? start_batch() : start_single();
        }
    }

    Waiting take()
    {
        const Waiting first = waiting_.front();
        waiting_.pop_front();
        return first;
    }

    void start_single()
    {
        Job &job = *take().job;
        job.done = [this, done = std::move(job.done), submitted = job.submitted](Job &ended) {
            ended.submitted = submitted;
            leave();
            done(ended);
            end(1);
        };
        single_->submit(job);
    }

    /// The members' tensors and images by port, then by member: as the graph of the batch wants them.
    void start_batch()
    {
        const auto batch = std::make_shared<Batch>();
        batch->job.priority = waiting_.front().job->priority;
        joined_ += size_;
        for (size_t i = 0; i < size_; i++) {
            const Job &job = *batch->members.emplace_back(take()).job;
            batch->job.priority = std::max(batch->job.priority, job.priority);
            batch->job.deadline = std::min(batch->job.deadline, job.deadline);
        }
        const Job &first = *batch->members.front().job;
        for (size_t port = 0; port < first.images.size(); port++)
            for (const Waiting &member : batch->members)
                batch->job.images.push_back(member.job->images[port]);
        for (size_t port = 0; port < first.inputs.size(); port++)
            for (const Waiting &member : batch->members)
                batch->job.inputs.push_back(member.job->inputs[port]);
        for (size_t port = 0; port < outputs().size(); port++)
            for (const Waiting &member : batch->members)
                batch->job.outputs.push_back(port < member.job->outputs.size() ? member.job->outputs[port] : Tensor());
        batch->job.done = [this, batch](Job &) { finish(*batch); };
        ran_together_ = true;
        together_->submit(batch->job);
    }

    void finish(Batch &batch)
    {
        if (batch.job.error)
            return run_again(batch);
        measure(batch.job);
        leave();
        for (size_t i = 0; i < size_; i++) {
            Job &member = *batch.members[i].job;
            member.outputs.resize(outputs().size());
            for (size_t port = 0; port < member.outputs.size(); port++)
                member.outputs[port] = std::move(batch.job.outputs[port * size_ + i]);
            member.started = batch.job.started;
            member.prepared = batch.job.prepared;
            member.bytes_copied = bytes_of(member);
            try {
                throw_if_cancelled(member);
            } catch (...) {
                member.error = std::current_exception();
            }
            complete(member);
        }
        end(size_);
    }

    /// Tensors are copied on the way into a batch and out of it, pictures are not.
    static uint64_t bytes_of(const Job &job)
    {
        uint64_t bytes = 0;
        for (const auto *tensors : {&job.inputs, &job.outputs})
            for (const Tensor &tensor : *tensors)
                bytes += tensor.bytes();
        return bytes;
    }

    /// The fault is that of one member, perhaps.
    void run_again(Batch &batch)
    {
        {
            std::lock_guard lock(mutex_);
            const auto place = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting &each) {
                return each.number > batch.members.back().number;
            });
            for (Waiting &member : batch.members)
                member.alone = true;
            joined_ -= size_;
            waiting_.insert(place, batch.members.begin(), batch.members.end());
            if (released_ > 0)
                released_ += size_;
        }
        leave();
    }

    void measure(const Job &job)
    {
        if (!measured_)
            return;
        const auto ran = Clock::now() - job.started;
        std::lock_guard lock(mutex_);
        timeout_ = std::clamp<Clock::duration>((3 * timeout_ + ran) / 4, least_timeout, longest_timeout);
    }

    /// A model has one job less.
    void leave()
    {
        std::lock_guard lock(mutex_);
        in_flight_--;
        start();
        wake_timer();
    }

    void end(size_t jobs)
    {
        std::lock_guard lock(mutex_);
        unfinished_ -= jobs;
        if (unfinished_ == 0)
            idle_.notify_all();
    }

    /// While the device has no room, nothing is won by starting a batch that is not full.
    bool may_expire() const
    {
        return !waiting_.empty() && released_ < waiting_.size() &&
               in_flight_ < static_cast<size_t>(std::max(1, together_->depth()));
    }

    void wake_timer()
    {
        if (timer_sleeps_ && may_expire())
            wake_.notify_one();
    }

    void release_in_time()
    {
        std::unique_lock lock(mutex_);
        while (!stopping_) {
            timer_sleeps_ = !may_expire();
            if (timer_sleeps_) {
                wake_.wait(lock);
                continue;
            }
            const auto until = waiting_.front().until;
            if (Clock::now() < until) {
                wake_.wait_until(lock, until);
                continue;
            }
            released_ = waiting_.size();
            start();
        }
    }
};

BatchSize choose_size(const Device &device, const Options &options, bool asked)
{
    const int best = device.optimal_batch();
    if (options.batch_size > 0)
        return {options.batch_size, "as asked"};
    if (!asked && options.performance_hint == PerformanceHint::latency)
        return {1, "performance_hint latency: no job waits for others"};
    if (best <= 1)
        return {1, device.name() + " runs single jobs as fast; give a batch size if it shall join them nonetheless"};
    const int size = options.num_requests > 0 ? std::min(best, options.num_requests) : best;
    constexpr int least = 3;
    if (size < least)
        return {1, "num_requests allows " + std::to_string(size) + " at a time, too few to gain by joining them"};
    return {size, size < best ? "num_requests allows no more at a time" : "what " + device.name() + " gains most by"};
}

std::unique_ptr<CompiledModel> compile(Device &device, Graph graph, Options options, const BatchSize &wanted,
                                       const std::filesystem::path &path)
{
    infer_shapes(graph);
    graph.tidy();
    graph.verify();
    Parts parts;
    parts.num_requests = options.num_requests;
    parts.timeout_ms = options.batch_timeout_ms;
    parts.reason = wanted.reason;
    options.batch_size = 1;
    parts.single = compile_cached(device, graph, options, path);
    if (wanted.size > 1)
        try {
            options.num_requests = (options.num_requests + wanted.size - 1) / wanted.size;
            parts.together = compile_cached(device, batched(graph, wanted.size), options, {});
            parts.size = wanted.size;
        } catch (const Error &error) {
            parts.reason = "jobs run one by one, though " + std::to_string(wanted.size) + " at a time are wanted (" +
                           wanted.reason + "): " + error.what();
        }
    return std::make_unique<BatchModel>(std::move(parts));
}

class BatchDevice final : public Device {
  public:
    BatchDevice(std::shared_ptr<Device> device, int size) : device_(std::move(device)), size_(size) {}
    std::string name() const override { return "BATCH"; }
    std::string description() const override { return "joins jobs for " + device_->name(); }
    std::string why_not(const Graph &graph, const Node &node) const override { return device_->why_not(graph, node); }
    int optimal_batch() const override { return 0; }
    std::unique_ptr<CompiledModel> compile(Graph graph, const Options &options) override
    {
        Options sized = options;
        if (size_ > 0)
            sized.batch_size = size_;
        return leat::compile(*device_, std::move(graph), sized, choose_size(*device_, sized, true), {});
    }

  private:
    const std::shared_ptr<Device> device_;
    const int size_;
};

} // namespace

std::unique_ptr<CompiledModel> compile_on(Device &device, Graph graph, const Options &options,
                                          const std::filesystem::path &path)
{
    if (device.optimal_batch() == 0)
        return compile_cached(device, std::move(graph), options, path);
    const BatchSize wanted = choose_size(device, options, false);
    if (wanted.size == 1)
        return compile_cached(device, std::move(graph), options, path);
    return compile(device, std::move(graph), options, wanted, path);
}

std::shared_ptr<Device> make_batch(std::shared_ptr<Device> device, int size)
{
    return std::make_shared<BatchDevice>(std::move(device), size);
}

std::shared_ptr<Device> make_batch(const std::string &arguments)
{
    const char *cure = "want the device whose jobs are joined and how many, such as BATCH:CPU(4)";
    if (arguments.empty())
        throw Error(std::string("no device is named; ") + cure);
    const size_t open = arguments.rfind('(');
    const std::string digits = open == std::string::npos || arguments.back() != ')'
                                   ? ""
                                   : arguments.substr(open + 1, arguments.size() - open - 2);
    if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos)
        return make_batch(find_device(arguments), 0);
    int size = 0;
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
    constexpr int most = 1024;
    if (fault != std::errc() || size < 1 || size > most)
        throw Error("a batch of " + digits + " jobs; " + cure + ", from 1 to " + std::to_string(most));
    return make_batch(find_device(arguments.substr(0, open)), size);
}

} // namespace leat
