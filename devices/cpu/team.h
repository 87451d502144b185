#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

// The threads that work on one job together. They are those of TBB: who calls parallel_for() works too and waits only
// for parts that somebody has begun, so that a helper whose core is busy with something else delays nobody. OpenMP,
// which Debian's oneDNN is built with, has barriers instead, and falls to a fraction of one core's speed as soon as its
// threads have to share their cores; so each primitive is made and run for one thread, and work is cut in parts above
// oneDNN.
namespace leat::cpu {

class Team {
  public:
    /// Of as many threads as there are processors listed, the calling one among them. `pinned`: each is bound to one.
    Team(std::span<const int> cpus, bool pinned);
    ~Team();
    /// Runs `body` on the calling thread, with this team as what parallel_for() uses.
    void run(const std::function<void()> &body);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Splits [0, count) into at most `threads` parts of nearly equal size and runs body(first, last) on each.
void parallel_for(int64_t count, int threads, const std::function<void(int64_t, int64_t)> &body);

/// Runs `body` with one thread as what oneDNN may use: it is part of how a primitive is chosen.
void with_one_thread(const std::function<void()> &body);

} // namespace leat::cpu
