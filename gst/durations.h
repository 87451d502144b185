#pragma once
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <vector>

namespace leat {

/// The most recent durations of something, and their percentiles. Not synchronised.
class Durations {
  public:
    using Duration = std::chrono::steady_clock::duration;

    void add(Duration duration) { recent_[count_++ % recent_.size()] = duration; }
    size_t count() const { return count_; }
    void clear() { count_ = 0; }

    /// The smallest recent duration that `percent` of the recent ones do not exceed; 0 when there are none.
    Duration percentile(int percent) const
    {
        const size_t size = std::min(count_, recent_.size());
        if (!size)
            return {};
        std::vector<Duration> sorted(recent_.begin(), recent_.begin() + static_cast<ptrdiff_t>(size));
        const size_t rank = std::min(size - 1, size * static_cast<size_t>(percent) / 100);
        std::nth_element(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(rank), sorted.end());
        return sorted[rank];
    }

  private:
    std::array<Duration, 512> recent_;
    size_t count_ = 0;
};

} // namespace leat
