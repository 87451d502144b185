#pragma once
#include <leat/model.h>

#include <optional>
#include <string>
#include <vector>

namespace leat {

/// How many jobs run side by side so that the 99th percentile of their latencies stays under a bound. Fewer have more
/// of the device each and end sooner; more get more done.
///
/// It begins with the number that gets most done. When even a single job is late twice over, half of them: it is told
/// to try. It goes back when what a single job takes now, times what it took longer with more streams, stays a tenth
/// under the bound; each time that this fails, it waits for twice as many windows.
///
/// Not for several threads at once.
class StreamChoice {
  public:
    static constexpr int first_patience = 8, most_patience = 1024; ///< windows

    /// `most`: 1 leaves no choice.
    StreamChoice(double bound_ms, int most);

    /// What the model runs at present.
    int now() const { return numbers_[at_]; }
    /// A job alone takes too long, so much.
    void late(double milliseconds);
    /// A window of jobs has kept the bound, with that 99th percentile and `in_flight` at a time.
    void kept(double p99_ms, int in_flight);
    /// What to try; nothing when all is well, or when there is no choice.
    std::optional<int> wanted() const { return wanted_; }
    /// The model now runs what was wanted.
    void changed();
    /// It cannot be made, for that reason: nothing is wanted any more.
    void refused(const std::string &reason);

    /// The number, and why, once the bound has played a part; else nothing.
    std::optional<Setting> setting() const;

  private:
    const double bound_ms_;
    std::vector<int> numbers_; ///< to choose from: the most, half of it, …, 1
    size_t at_ = 0;            ///< in numbers_
    std::optional<int> wanted_;
    std::string refused_;
    int late_ = 0;                        ///< times in a row
    double alone_ms_ = 0;                 ///< a job that waits for none; 0: not known
    int failed_ = 0;                      ///< number with which a job alone was late the last time; 0: none
    double failed_ms_ = 0, slowdown_ = 0; ///< what it took, and how many times as long as now; 0: not known
    int patience_ = first_patience, waited_ = 0;

    int more() const { return at_ > 0 ? numbers_[at_ - 1] : now(); }
};

} // namespace leat
