#include "team.h"

#include "arena.h"
#include "parts.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

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

/// Who works on the parts of what the thread that leads them splits.
class Crew {
  public:
    virtual ~Crew() = default;
    virtual void run(int64_t count, int64_t parts, const Parts::Body &) = 0;
};

/// The crew that the thread leads, while it is not at a part itself.
thread_local Crew *led = nullptr;

/// Leads that crew, or none, as long as it lives.
class Leading {
  public:
    explicit Leading(Crew *crew) : before_(led) { led = crew; }
    ~Leading() { led = before_; }
    Leading(const Leading &) = delete;
    Leading &operator=(const Leading &) = delete;

  private:
    Crew *before_;
};

/// Threads of its own, from the first work on. TBB may drop tasks of an arena that soon goes.
class Hired final : public Crew {
  public:
    explicit Hired(int threads) : threads_(threads) {}
    ~Hired() override
    {
        {
            std::lock_guard lock(mutex_);
            ends_ = true;
        }
        begun_.notify_all();
        for (std::thread &helper : helpers_)
            helper.join();
    }

    void run(int64_t count, int64_t parts, const Parts::Body &body) override
    {
        if (helpers_.empty())
            hire();
        parts_.begin(body, count, parts);
        {
            std::lock_guard lock(mutex_);
            works_++;
        }
        begun_.notify_all();
        parts_.end();
    }

  private:
    const int threads_;
    Parts parts_;
    std::vector<std::thread> helpers_;
    std::condition_variable begun_;
    std::mutex mutex_; // guards what follows
    int64_t works_ = 0;
    bool ends_ = false;

    void hire()
    {
        try {
            for (int i = 1; i < threads_; i++)
                helpers_.emplace_back([this] { help(); });
        } catch (const std::system_error &) { // no more threads for this process: fewer take longer
        }
    }

    void help()
    {
        std::unique_lock lock(mutex_);
        for (int64_t seen = 0; !ends_;) {
            begun_.wait(lock, [&] { return ends_ || works_ > seen; });
            seen = works_;
            lock.unlock();
            parts_.help();
            lock.lock();
        }
    }
};

} // namespace

struct Team::State final : Crew {
    State(std::span<const int> cpus, bool pinned) : threads(static_cast<int>(cpus.size())), arena(cpus, pinned) {}
    const int threads;
    const std::shared_ptr<Shared> shared = std::make_shared<Shared>();
    Arena arena;

    void run(int64_t count, int64_t parts, const Parts::Body &body) override
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

Team::Team(std::span<const int> cpus, bool pinned) : state_(std::make_unique<State>(cpus, pinned)) {}

Team::~Team() = default;

void Team::run(const std::function<void()> &body)
{
    const Leading leading(state_.get());
    state_->arena.run(body);
}

void with_threads(int threads, const std::function<void()> &body)
{
    Hired crew(threads);
    const Leading leading(&crew);
    body();
}

void parallel_for(int64_t count, int threads, const std::function<void(int64_t, int64_t)> &body)
{
    const int64_t parts = std::min({count, int64_t{threads}, Parts::most});
    Crew *crew = led;
    if (parts <= 1 || !crew) {
        if (count > 0)
            body(0, count);
        return;
    }
    const Leading leading(nullptr); // a part's own parts run one after the other
    crew->run(count, parts, body);
}

} // namespace leat::cpu
