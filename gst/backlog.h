#pragma once
#include <algorithm>
#include <chrono>
#include <cstddef>

namespace leat {

/// How many buffers may be inside: upstream waits when there are `most`, until `few` are left. It then works for a
/// while, on its data in its caches, instead of waking for each buffer.
struct Room {
    size_t most = 0, few = 0;

    /// Until half have left, or four: where a buffer should not stay long. For one at least.
    static Room prompt(size_t most)
    {
        constexpr size_t several = 4;
        most = std::max<size_t>(most, 1);
        return {most, std::max(most / 2, most - std::min(most, several))};
    }
};

/// The room where nobody asked for a number: for as many as the device wants, but of a fast model as many as leave in
/// some milliseconds. So long the system may let upstream's threads wait for a processor, and a device that has done
/// all that is inside would wait with them.
class Backlog {
  public:
    using Clock = std::chrono::steady_clock;

    /// A buffer has left.
    void left(Clock::time_point now)
    {
        constexpr int share = 16; // of the newest in the mean
        if (last_ != Clock::time_point())
            interval_ += (now - last_ - interval_) / share;
        last_ = now;
    }

    /// How many buffers of `bytes` each upstream should make in a row, where they may wait: what it loads into its
    /// caches again after each wait, its code and the pictures that it refers to, then counts for little.
    static size_t burst(size_t bytes)
    {
        constexpr size_t enough = 5 << 20, most = 12;
        return std::clamp<size_t>(enough / std::max<size_t>(bytes, 1), 1, most);
    }

    /// `depth`: as many as the device wants, and as remain when a longer burst begins. `burst`: see there; 1 where
    /// buffers should not stay long.
    Room room(size_t depth, size_t burst) const
    {
        constexpr Clock::duration covered = std::chrono::milliseconds(16);
        constexpr Clock::duration::rep most = 16;
        const auto leaving = covered / std::max(interval_, Clock::duration(1));
        const Room prompt = Room::prompt(std::max(depth, static_cast<size_t>(std::min(leaving, most))));
        return burst > prompt.most - prompt.few ? Room{depth + burst, depth} : prompt;
    }

  private:
    Clock::time_point last_{};
    Clock::duration interval_ = std::chrono::seconds(1);
};

} // namespace leat
