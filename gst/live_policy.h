#pragma once
#include <algorithm>
#include <chrono>
#include <cstddef>

namespace leat {

/// What becomes of frames that come faster than the model can look at them.
enum class LatePolicy { block, drop_oldest, skip_inference };

struct LivePolicy {
    LatePolicy late = LatePolicy::block;
    std::chrono::steady_clock::duration max_latency{}; ///< none when 0; from entering to leaving
};

/// How many frames may be at work at once so that each of them ends in time: one fewer after each that was late, one
/// more after many in a row that left time for it (additive increase as in congestion control of networks).
class Pace {
  public:
    using Duration = std::chrono::steady_clock::duration;

    /// As many as the device takes.
    void begin(size_t most)
    {
        most_ = places_ = std::max<size_t>(1, most);
        in_a_row_ = late_in_a_row_ = 0;
        longest_ = {};
    }

    size_t places() const { return places_; }

    /// A frame was inside for `took`, of at most `bound` (0: any time).
    void ended(Duration took, Duration bound)
    {
        if (bound == Duration{})
            return;
        if (took >= bound) {
            places_ = std::max<size_t>(1, places_ - 1);
            late_in_a_row_++;
            in_a_row_ = 0;
            longest_ = {};
            return;
        }
        late_in_a_row_ = 0;
        longest_ = std::max(longest_, took);
        if (++in_a_row_ < many)
            return;
        const auto with_one_more = longest_ * static_cast<int>(places_ + 1) / static_cast<int>(places_);
        if (places_ < most_ && with_one_more < bound)
            places_++;
        in_a_row_ = 0;
        longest_ = {};
    }

    /// Many in a row were late although they were alone at work: the bound cannot be kept.
    bool is_hopeless() const { return places_ == 1 && late_in_a_row_ == many; }

  private:
    static constexpr int many = 32;
    size_t most_ = 1, places_ = 1;
    int in_a_row_ = 0, late_in_a_row_ = 0;
    Duration longest_{};
};

} // namespace leat
