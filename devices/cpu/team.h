#pragma once
#include <cstdint>
#include <functional>
#include <memory>

namespace leat::cpu {

/// The threads of a lane that work on one job together. oneDNN brings its own kind of threads (OpenMP in Debian, TBB
/// elsewhere); kernels of ours use the same ones, so that a lane never has more than it was given.
class Team {
  public:
    explicit Team(int threads);
    ~Team();
    /// Runs `body` on the calling thread, with this team as what oneDNN and parallel_for() use.
    void run(const std::function<void()> &body);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Splits [0, count) into at most `threads` parts of nearly equal size and runs body(first, last) on each.
void parallel_for(int64_t count, int threads, const std::function<void(int64_t, int64_t)> &body);

} // namespace leat::cpu
