#include "measure.h"

#include "inference/timeline.h"

#include <leat/error.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <numeric>
#include <thread>

namespace leat {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_between(TimePoint from, TimePoint to)
{
    return std::chrono::duration<double, std::milli>(to - from).count();
}

/// Decodes pictures ahead, as a camera's decoder does, no more than a few.
class Decoding {
  public:
    Decoding(std::function<Image(size_t)> decode, size_t ahead)
        : decode_(std::move(decode)), ahead_(ahead), thread_([this] { loop(); })
    {
    }
    ~Decoding() { stop(); }
    Decoding(const Decoding &) = delete;
    Decoding &operator=(const Decoding &) = delete;

    /// Waits for the next picture. Throws what decoding failed with.
    Image next()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !ready_.empty() || error_; });
        if (ready_.empty())
            std::rethrow_exception(error_);
        Image image = std::move(ready_.front());
        ready_.pop_front();
        changed_.notify_all();
        return image;
    }

    std::vector<Decoded> stop()
    {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        changed_.notify_all();
        if (thread_.joinable())
            thread_.join();
        return times_;
    }

  private:
    const std::function<Image(size_t)> decode_;
    const size_t ahead_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Image> ready_;
    std::vector<Decoded> times_;
    std::exception_ptr error_;
    bool stopping_ = false;
    std::thread thread_;

    void loop()
    {
        std::unique_lock lock(mutex_);
        for (size_t number = 0; !stopping_; number++) {
            lock.unlock();
            Decoded time{Clock::now(), {}};
            Image image;
            std::exception_ptr error;
            try {
                image = decode_(number);
            } catch (...) {
                error = std::current_exception();
            }
            time.ended = Clock::now();
            lock.lock();
            error_ = error;
            times_.push_back(time);
            if (!error)
                ready_.push_back(std::move(image));
            changed_.notify_all();
            if (error)
                return;
            changed_.wait(lock, [&] { return stopping_ || ready_.size() < ahead_; });
        }
    }
};

/// The requests of a measurement, idle or running.
class Requests {
  public:
    Requests(CompiledModel &model, const Feed &feed, int count, bool follow_depth)
        : model_(model), follow_depth_(follow_depth)
    {
        for (int i = 0; i < count; i++) {
            auto &slot = *slots_.emplace_back(std::make_unique<Slot>());
            slot.inference.request = i;
            fill(slot.job, feed);
            idle_.push_back(&slot);
        }
    }
    ~Requests() { wait_for_all(); }
    Requests(const Requests &) = delete;
    Requests &operator=(const Requests &) = delete;

    /// Waits for an idle request and starts it, with that picture where the model takes one.
    void start(const Image *image)
    {
        Slot &slot = take();
        if (image)
            slot.job.images = {*image};
        slot.job.error = nullptr;
        slot.job.done = [this, &slot](Job &) { end(slot); };
        slot.inference.begun = Clock::now();
        model_.submit(slot.job);
    }

    void wait_for_all()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return idle_.size() == slots_.size(); });
    }

    /// What ended since the last call, by the order of the ends. No request may be running.
    Measurement results() { return std::exchange(results_, {}); }

    /// Throws the first error since the last call of results().
    void rethrow() const
    {
        if (results_.failed)
            throw Error(results_.first_error);
    }

  private:
    struct Slot {
        Job job;
        Inference inference;
    };

    CompiledModel &model_;
    const bool follow_depth_;
    std::vector<std::unique_ptr<Slot>> slots_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Slot *> idle_; // the one that rested longest first
    Measurement results_;

    void fill(Job &job, const Feed &feed)
    {
        for (const Tensor &tensor : feed.tensors)
            job.inputs.push_back(tensor.clone());
        for (const Port &port : model_.outputs())
            job.outputs.push_back(is_static(port.shape) ? model_.allocate(port) : Tensor());
    }

    bool has_room() const
    {
        return !follow_depth_ || slots_.size() - idle_.size() < static_cast<size_t>(model_.depth());
    }

    Slot &take()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !idle_.empty() && has_room(); });
        Slot *slot = idle_.front();
        idle_.pop_front();
        return *slot;
    }

    void end(Slot &slot)
    {
        Inference &inference = slot.inference;
        inference.ended = Clock::now();
        inference.started = slot.job.started;
        inference.prepared = slot.job.prepared;
        inference.failed = slot.job.error != nullptr;
        const std::string error = inference.failed ? sentence_of(slot.job.error) : "";
        std::lock_guard lock(mutex_);
        if (inference.failed && ++results_.failed == 1)
            results_.first_error = error;
        results_.inferences.push_back(inference);
        idle_.push_back(&slot);
        changed_.notify_all();
    }

    static std::string sentence_of(const std::exception_ptr &error)
    {
        try {
            std::rethrow_exception(error);
        } catch (const std::exception &known) {
            return known.what();
        }
    }
};

/// The part of the limit that is reached.
double part_done(const Limit &limit, int64_t started, TimePoint begin)
{
    if (limit.iterations > 0)
        return static_cast<double>(started) / static_cast<double>(limit.iterations);
    return std::chrono::duration<double>(Clock::now() - begin) / limit.time_s;
}

Clock::duration started_after(double seconds)
{
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

double warm_up(Requests &requests, int count, const Image *image)
{
    requests.start(image);
    requests.wait_for_all();
    requests.rethrow();
    const Inference first = requests.results().inferences.at(0);
    for (int i = 0; i < count; i++)
        requests.start(image);
    requests.wait_for_all();
    requests.rethrow();
    requests.results();
    return milliseconds_between(first.begun, first.ended);
}

} // namespace

Measurement measure(CompiledModel &model, const Feed &feed, int requests, const Limit &limit,
                    const std::function<void(double)> &progress)
{
    Requests running(model, feed, requests, limit.follow_depth);
    std::optional<Decoding> decoding;
    const Image *image = feed.images.empty() ? nullptr : &feed.images[0];
    const double first_ms = warm_up(running, requests, image);
    if (feed.decode)
        decoding.emplace(feed.decode, static_cast<size_t>(requests));
    const TimePoint begin = Clock::now();
    double done = 0;
    for (int64_t started = 0; done < 1; done = part_done(limit, started, begin)) {
        if (limit.most_per_second > 0)
            std::this_thread::sleep_until(begin + started_after(static_cast<double>(started) / limit.most_per_second));
        Image decoded;
        if (decoding) {
            decoded = decoding->next();
            image = &decoded;
        } else if (image) {
            image = &feed.images[static_cast<size_t>(started) % feed.images.size()];
        }
        running.start(image);
        started++;
        if (progress)
            progress(done);
    }
    running.wait_for_all();
    Measurement measured = running.results();
    if (decoding)
        measured.decoded = decoding->stop();
    measured.first_ms = first_ms;
    measured.duration_ms = milliseconds_between(begin, measured.inferences.back().ended);
    if (progress)
        progress(1);
    return measured;
}

Percentiles percentiles_of(std::vector<double> values)
{
    if (values.empty())
        return {};
    std::sort(values.begin(), values.end());
    const auto count = static_cast<double>(values.size());
    const auto at = [&](double percent) {
        const double rank = std::ceil(percent / 100 * count);
        return values[static_cast<size_t>(std::max(rank, 1.0)) - 1];
    };
    return {values.front(), at(50),       std::accumulate(values.begin(), values.end(), 0.0) / count, at(90), at(95),
            at(99),         values.back()};
}

std::vector<double> latencies_of(const Measurement &measured)
{
    std::vector<double> latencies;
    for (const Inference &inference : measured.inferences)
        if (!inference.failed)
            latencies.push_back(milliseconds_between(inference.begun, inference.ended));
    return latencies;
}

double frames_per_second(const Measurement &measured, int64_t batch)
{
    const auto done = static_cast<int64_t>(measured.inferences.size()) - measured.failed;
    return measured.duration_ms > 0 ? 1000 * static_cast<double>(done * batch) / measured.duration_ms : 0;
}

void write_timeline(const std::string &path, const Measurement &measured)
{
    Timeline timeline(path);
    const int decoder = measured.decoded.empty() ? 0 : timeline.add_track("decode");
    for (const Decoded &decoded : measured.decoded)
        timeline.add_slice(decoder, "decode", decoded.begun, decoded.ended);
    std::vector<int> tracks;
    for (const Inference &inference : measured.inferences) {
        while (tracks.size() <= static_cast<size_t>(inference.request))
            tracks.push_back(timeline.add_track("request " + std::to_string(tracks.size() + 1)));
        const int track = tracks[static_cast<size_t>(inference.request)];
        timeline.add_slice(track, "wait", inference.begun, inference.started);
        if (inference.prepared > inference.started)
            timeline.add_slice(track, "preprocess", inference.started, inference.prepared);
        timeline.add_slice(track, "inference", inference.prepared, inference.ended, inference.failed);
    }
    timeline.close();
}

} // namespace leat
