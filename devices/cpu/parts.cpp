#include "parts.h"

#include "denormals.h"

#include <chrono>
#include <thread>
#include <utility>

namespace leat::cpu {
namespace {

int64_t part_of(uint64_t next)
{
    return static_cast<int64_t>(next & 0xffff);
}

int64_t parts_of(uint64_t next)
{
    return static_cast<int64_t>(next >> 16 & 0xffff);
}

} // namespace

void Parts::begin(const Body &body, int64_t count, int64_t parts)
{
    body_.store(&body, std::memory_order_relaxed);
    count_.store(count, std::memory_order_relaxed);
    zeroes_.store(denormals_are_zero(), std::memory_order_relaxed);
    finished_.store(0, std::memory_order_relaxed);
    const uint64_t number = (next_.load(std::memory_order_relaxed) >> 32) + 1;
    next_.store(number << 32 | static_cast<uint64_t>(parts) << 16, std::memory_order_release);
}

bool Parts::run_one()
{
    uint64_t next = next_.load(std::memory_order_acquire);
    do {
        if (part_of(next) >= parts_of(next))
            return false;
    } while (!next_.compare_exchange_weak(next, next + 1, std::memory_order_acq_rel, std::memory_order_acquire));
    run(part_of(next), parts_of(next));
    return true;
}

void Parts::run(int64_t part, int64_t parts)
{
    const int64_t count = count_.load(std::memory_order_relaxed);
    const DenormalsAsZero mode(zeroes_.load(std::memory_order_relaxed));
    try {
        (*body_.load(std::memory_order_relaxed))(count * part / parts, count * (part + 1) / parts);
    } catch (...) {
        std::lock_guard lock(mutex_);
        error_ = std::current_exception();
    }
    finished_.fetch_add(1, std::memory_order_release);
}

void Parts::help()
{
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::microseconds patience(100);
    auto idle_since = Clock::now();
    while (Clock::now() - idle_since < patience) {
        if (run_one())
            idle_since = Clock::now();
        else
            std::this_thread::yield();
    }
}

void Parts::end()
{
    while (run_one())
        ;
    const int64_t parts = parts_of(next_.load(std::memory_order_relaxed));
    while (finished_.load(std::memory_order_acquire) < parts)
        std::this_thread::yield();
    if (auto error = std::exchange(error_, nullptr))
        std::rethrow_exception(error);
}

} // namespace leat::cpu
