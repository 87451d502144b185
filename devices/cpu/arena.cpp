#include "arena.h"

#include "team.h"

#include <oneapi/dnnl/dnnl_config.h>
#include <tbb/task_arena.h>
#include <tbb/task_scheduler_observer.h>

#include <algorithm>
#include <vector>

#include <pthread.h>
#include <sched.h>

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
#include <omp.h>
#endif
#ifdef LEAT_THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#endif

namespace leat::cpu {
namespace {

/// Lets the calling thread run on this processor only.
void bind_thread(int cpu)
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(static_cast<size_t>(cpu), &mask);
    pthread_setaffinity_np(pthread_self(), sizeof mask, &mask); // refused in some containers: then the system places it
}

/// Binds helpers while they are in the arena: TBB lends its threads to many arenas.
class Binder final : public tbb::task_scheduler_observer {
  public:
    Binder(tbb::task_arena &arena, std::span<const int> cpus)
        : tbb::task_scheduler_observer(arena), cpus_(cpus.begin(), cpus.end())
    {
        CPU_ZERO(&everywhere_);
        sched_getaffinity(0, sizeof everywhere_, &everywhere_);
        observe(true);
    }
    ~Binder() override { observe(false); }

    void on_scheduler_entry(bool is_worker) override
    {
        const auto slot = static_cast<size_t>(std::max(tbb::this_task_arena::current_thread_index(), 0));
        if (is_worker)
            bind_thread(cpus_[slot % cpus_.size()]);
    }
    void on_scheduler_exit(bool is_worker) override
    {
        if (is_worker)
            pthread_setaffinity_np(pthread_self(), sizeof everywhere_, &everywhere_);
    }

  private:
    const std::vector<int> cpus_;
    cpu_set_t everywhere_;
};

// What happens before a task is enqueued happens before it runs. TBB sees to that; this tells ThreadSanitizer.
#ifdef LEAT_THREAD_SANITIZER
void give(void *argument)
{
    __tsan_release(argument);
}
void take(void *argument)
{
    __tsan_acquire(argument);
}
#else
void give(void *) {}
void take(void *) {}
#endif

} // namespace

/// Of more than one thread: TBB takes a millisecond to begin.
struct Arena::State {
    explicit State(size_t threads) : arena(static_cast<int>(threads)) {}
    tbb::task_arena arena;
    std::unique_ptr<Binder> binder;
};

Arena::Arena(std::span<const int> cpus, bool pinned)
{
    if (cpus.size() > 1)
        state_ = std::make_unique<State>(cpus.size());
    if (!pinned)
        return;
    if (state_)
        state_->binder = std::make_unique<Binder>(state_->arena, cpus); // before this thread is bound
    bind_thread(cpus.front());
}

Arena::~Arena() = default;

void Arena::run(const std::function<void()> &body)
{
    if (state_)
        state_->arena.execute(body);
    else
        body();
}

void Arena::enqueue(void (*task)(void *), void *argument)
{
    give(argument);
    state_->arena.enqueue([task, argument] {
        take(argument);
        task(argument);
    });
}

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP

void with_one_thread(const std::function<void()> &body)
{
    const int before = omp_get_max_threads(); // of the calling thread
    if (before == 1)
        return body();
    omp_set_num_threads(1);
    body();
    omp_set_num_threads(before);
}

#else

void with_one_thread(const std::function<void()> &body)
{
    if (tbb::this_task_arena::max_concurrency() == 1)
        return body();
    tbb::task_arena(1).execute(body);
}

#endif

} // namespace leat::cpu
