#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>

namespace leat::cpu {

/// The parts of one piece of work after the other, which the members of a team take from each other. Denormal numbers
/// are in all of them what they are where the work begins.
class Parts {
  public:
    using Body = std::function<void(int64_t, int64_t)>;
    static constexpr int64_t most = 0xffff;

    /// Offers [0, count) in so many parts. Only for who leads the team, after the end of the work before.
    void begin(const Body &, int64_t count, int64_t parts);
    /// Runs a part that nobody has taken; false when there is none.
    bool run_one();
    /// Runs parts until none has come for a tenth of a millisecond.
    void help();
    /// Runs what nobody has taken and waits for the parts that others have begun. Throws what a part threw.
    void end();

  private:
    /// Number of the work, its parts, and the next one to take: 32, 16 and 16 bits, so that who takes a part takes it
    /// of the work that it has seen.
    std::atomic<uint64_t> next_{0};
    // Of the work at hand. They stay as long as a part of it has not ended.
    std::atomic<const Body *> body_{nullptr};
    std::atomic<int64_t> count_{0}, finished_{0};
    std::atomic<bool> zeroes_{false};
    std::mutex mutex_; // guards the error
    std::exception_ptr error_;

    void run(int64_t part, int64_t parts);
};

} // namespace leat::cpu
