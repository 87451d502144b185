#pragma once
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>

namespace leat {

/// Latencies and their percentiles, of which those of half a minute ago count half as much as those of now: a longer
/// memory than the last few hundred, which at a high frame rate are a moment. Not synchronised.
class LatencyHistogram {
  public:
    using Clock = std::chrono::steady_clock;

    void add(Clock::duration latency, Clock::time_point now)
    {
        if (count_++ == 0)
            begun_ = now;
        double weight = std::exp2(std::chrono::duration<double>(now - begun_) / half_life);
        if (weight > heaviest) {
            for (double &bucket : weights_)
                bucket /= weight;
            begun_ = now;
            weight = 1;
        }
        weights_[bucket_of(latency)] += weight;
    }

    size_t count() const { return count_; }
    void clear() { *this = {}; }

    /// At least as long as `percent` of the latencies, by at most a 24th; 0 when there are none.
    Clock::duration percentile(double percent) const
    {
        double total = 0;
        for (const double weight : weights_)
            total += weight;
        double left = total * percent / 100;
        for (size_t i = 0; i < weights_.size(); i++)
            if ((left -= weights_[i]) <= 0 && weights_[i] > 0)
                return upper_end(i);
        return {};
    }

  private:
    static constexpr std::chrono::duration<double> half_life = std::chrono::seconds(30);
    static constexpr double heaviest = 1e9;
    static constexpr double buckets_an_octave = 17, octaves = 30; // from a microsecond to a quarter of an hour

    static size_t bucket_of(Clock::duration latency)
    {
        const double microseconds = std::chrono::duration<double, std::micro>(latency).count();
        const double octave = std::clamp(std::log2(std::max(microseconds, 1.)), 0., octaves - 1);
        return static_cast<size_t>(octave * buckets_an_octave);
    }

    static Clock::duration upper_end(size_t bucket)
    {
        const std::chrono::duration<double, std::micro> end(
            std::exp2(static_cast<double>(bucket + 1) / buckets_an_octave));
        return std::chrono::duration_cast<Clock::duration>(end);
    }

    std::array<double, static_cast<size_t>(buckets_an_octave *octaves)> weights_{};
    size_t count_ = 0;
    Clock::time_point begun_{};
};

} // namespace leat
