#include "ceilings.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tools/ceilings.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

HWY_BEFORE_NAMESPACE();
namespace leat::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Ten chains of multiply-and-add, so that each has its time; returns how many operations it did.
double multiply_and_add(int64_t turns, float factor, float *result)
{
    const hn::ScalableTag<float> d;
    const auto x = hn::Set(d, factor), y = hn::Set(d, 1.f);
    auto start = [&](float number) { return hn::Set(d, number * factor); }; // equal chains would become one
    auto a = start(1), b = start(2), c = start(3), e = start(4), f = start(5), g = start(6), h = start(7), i = start(8),
         j = start(9), k = start(10);
    for (int64_t turn = 0; turn < turns; turn++) {
        a = hn::MulAdd(a, x, y);
        b = hn::MulAdd(b, x, y);
        c = hn::MulAdd(c, x, y);
        e = hn::MulAdd(e, x, y);
        f = hn::MulAdd(f, x, y);
        g = hn::MulAdd(g, x, y);
        h = hn::MulAdd(h, x, y);
        i = hn::MulAdd(i, x, y);
        j = hn::MulAdd(j, x, y);
        k = hn::MulAdd(k, x, y);
    }
    const auto sum =
        hn::Add(hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)), hn::Add(hn::Add(f, g), hn::Add(h, i))), hn::Add(j, k));
    *result = hn::GetLane(sum);
    return 10. * 2. * static_cast<double>(hn::Lanes(d)) * static_cast<double>(turns);
}

float sum_of(const float *from, size_t count)
{
    const hn::ScalableTag<float> d;
    const size_t lanes = hn::Lanes(d);
    auto a = hn::Zero(d), b = a, c = a, e = a;
    for (size_t i = 0; i + 4 * lanes <= count; i += 4 * lanes) {
        a = hn::Add(a, hn::LoadU(d, from + i));
        b = hn::Add(b, hn::LoadU(d, from + i + lanes));
        c = hn::Add(c, hn::LoadU(d, from + i + 2 * lanes));
        e = hn::Add(e, hn::LoadU(d, from + i + 3 * lanes));
    }
    return hn::GetLane(hn::Add(hn::Add(a, b), hn::Add(c, e)));
}

} // namespace
} // namespace leat::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace leat {

HWY_EXPORT(multiply_and_add);
HWY_EXPORT(sum_of);

namespace {

volatile float seen; // keeps what is measured from being left out

/// The best of some rounds: others may have taken the core in between.
double best_rate(const std::function<double()> &work)
{
    double best = 0;
    for (int round = 0; round < 8; round++) {
        const auto begin = std::chrono::steady_clock::now();
        const double done = work();
        const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - begin;
        best = std::max(best, done / spent.count());
    }
    return best;
}

} // namespace

Ceilings measure_ceilings()
{
    const float factor = 0.5f + 0 * seen;
    const double operations = best_rate([&] {
        float result = 0;
        const double done = HWY_DYNAMIC_DISPATCH(multiply_and_add)(200'000, factor, &result);
        seen = result;
        return done;
    });
    const std::vector<float> memory(size_t(16) << 20, 1.f); // 64 MiB: more than caches hold
    const double bytes = best_rate([&] {
        seen = HWY_DYNAMIC_DISPATCH(sum_of)(memory.data(), memory.size());
        return static_cast<double>(memory.size() * sizeof(float));
    });
    return {operations, bytes};
}

} // namespace leat
#endif
