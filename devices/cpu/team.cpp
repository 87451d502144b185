#include "team.h"

#include <oneapi/dnnl/dnnl_config.h>

#include <algorithm>

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
#include <omp.h>
#else
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#endif

namespace leat::cpu {
namespace {

struct Part {
    int64_t first, last;
};

Part part_of(int64_t count, int64_t parts, int64_t index)
{
    return {count * index / parts, count * (index + 1) / parts};
}

} // namespace

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP

struct Team::State {
    int threads;
};

Team::Team(int threads) : state_(new State{threads}) {}

void Team::run(const std::function<void()> &body)
{
    // The number is a property of the calling thread, and part of oneDNN's choice of a kernel.
    const int before = omp_get_max_threads();
    omp_set_num_threads(state_->threads);
    body();
    omp_set_num_threads(before);
}

void parallel_for(int64_t count, int threads, const std::function<void(int64_t, int64_t)> &body)
{
    const int64_t parts = std::min<int64_t>(count, threads);
    if (parts <= 1) {
        if (count > 0)
            body(0, count);
        return;
    }
#pragma omp parallel for num_threads(static_cast <int>(parts)) schedule(static, 1)
    for (int64_t i = 0; i < parts; i++) {
        const Part part = part_of(count, parts, i);
        body(part.first, part.last);
    }
}

#else

struct Team::State {
    tbb::task_arena arena;
};

Team::Team(int threads) : state_(new State{tbb::task_arena(threads)}) {}

void Team::run(const std::function<void()> &body)
{
    state_->arena.execute(body);
}

void parallel_for(int64_t count, int threads, const std::function<void(int64_t, int64_t)> &body)
{
    const int64_t parts = std::min<int64_t>(count, threads);
    if (parts <= 1) {
        if (count > 0)
            body(0, count);
        return;
    }
    tbb::parallel_for(int64_t(0), parts, [&](int64_t i) {
        const Part part = part_of(count, parts, i);
        body(part.first, part.last);
    });
}

#endif

Team::~Team() = default;

} // namespace leat::cpu
