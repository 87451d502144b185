#pragma once
#include <functional>
#include <memory>
#include <span>

namespace leat::cpu {

/// Threads of TBB, as many as there are processors listed, the calling one among them. `pinned`: each is bound to one.
class Arena {
  public:
    Arena(std::span<const int> cpus, bool pinned);
    ~Arena();
    /// Runs it on the calling thread.
    void run(const std::function<void()> &);
    /// Runs it on another, if one is free, now or later. What the argument points to must live until then.
    void enqueue(void (*task)(void *), void *argument);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace leat::cpu
