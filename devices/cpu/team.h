#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

// The threads that work on one job together. The helpers are TBB's, who asks them to help works too, and waits only
// for parts that somebody has begun, so that a helper whose core is busy with something else delays nobody. OpenMP,
// which Debian's oneDNN is built with, has barriers instead, and falls to a fraction of one core's speed as soon as its
// threads have to share their cores; so each primitive is made and run for one thread, and work is cut in parts above
// oneDNN. A helper stays a tenth of a millisecond after its last part: the next layer's come sooner, and to wake a
// thread takes as long as a small layer. A plan is made by threads that end with it.
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

/// Runs `body` on the calling thread, which leads a team of so many until it ends: for what takes long and comes once.
void with_threads(int threads, const std::function<void()> &body);

/// Splits [0, count) into at most `threads` parts of nearly equal size and runs body(first, last) on each: on the
/// threads of the team that runs the caller, or on the calling thread where there is none. Throws what a part throws,
/// when all have ended.
void parallel_for(int64_t count, int threads, const std::function<void(int64_t, int64_t)> &body);

/// The same for as many parts as threads: calls body(part) for each.
template <class Body> void parallel_parts(int threads, const Body &body)
{
    parallel_for(threads, threads, [&](int64_t first, int64_t last) {
        for (int64_t part = first; part < last; part++)
            body(part);
    });
}

/// Runs `body` with one thread as what oneDNN may use: it is part of how a primitive is chosen.
void with_one_thread(const std::function<void()> &body);

} // namespace leat::cpu
