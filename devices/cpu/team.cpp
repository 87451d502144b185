#include "team.h"

#include "arena.h"
#include "parts.h"

#include <algorithm>

namespace leat::cpu {
namespace {

/// What a team shares with helpers that may outlive it by a moment.
struct Shared {
    Parts parts;
    std::atomic<int> helpers{0};
};

void help(void *argument)
{
    const std::unique_ptr<std::shared_ptr<Shared>> team(static_cast<std::shared_ptr<Shared> *>(argument));
    (*team)->parts.help();
    (*team)->helpers--;
}

} // namespace

struct Team::State {
    State(std::span<const int> cpus, bool pinned) : threads(static_cast<int>(cpus.size())), arena(cpus, pinned) {}
    const int threads;
    const std::shared_ptr<Shared> shared = std::make_shared<Shared>();
    Arena arena;

    void run(int64_t count, int64_t parts, const Parts::Body &body)
    {
        shared->parts.begin(body, count, parts);
        const auto wanted = std::min(static_cast<int>(parts), threads) - 1;
        while (shared->helpers < wanted) {
            shared->helpers++;
            arena.enqueue(help, new std::shared_ptr<Shared>(shared));
        }
        shared->parts.end();
    }
};

namespace {

/// The team that the thread leads, while it is not at a part itself.
thread_local Team::State *led = nullptr;

/// Leads that team, or none, as long as it lives.
class Leading {
  public:
    explicit Leading(Team::State *team) : before_(led) { led = team; }
    ~Leading() { led = before_; }
    Leading(const Leading &) = delete;
    Leading &operator=(const Leading &) = delete;

  private:
    Team::State *before_;
};

} // namespace

Team::Team(std::span<const int> cpus, bool pinned) : state_(std::make_unique<State>(cpus, pinned)) {}

Team::~Team() = default;

void Team::run(const std::function<void()> &body)
{
    const Leading leading(state_.get());
    state_->arena.run(body);
}

void parallel_for(int64_t count, int threads, const std::function<void(int64_t, int64_t)> &body)
{
    const int64_t parts = std::min({count, int64_t{threads}, Parts::most});
    Team::State *team = led;
    if (parts <= 1 || !team) {
        if (count > 0)
            body(0, count);
        return;
    }
    const Leading leading(nullptr); // a part's own parts run one after the other
    team->run(count, parts, body);
}

} // namespace leat::cpu
