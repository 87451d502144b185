#include "wide_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "devices/cpu/kernels/wide_sums.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace leat::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// For runs of a few elements, as those of depthwise windows.
template <class T> void sum_short(std::span<int32_t> sums, std::span<const Run<T>> runs, int64_t step)
{
    std::fill(sums.begin(), sums.end(), 0);
    for (const Run<T> &run : runs)
        for (int64_t k = 0; k < run.count; k++) {
            const T *x = run.x + k;
            const int32_t weight = run.weights[k];
            for (int32_t &sum : sums) {
                sum += *x * weight;
                x += step;
            }
        }
}

template <class T> void sum_long(std::span<int32_t> sums, std::span<const Run<T>> runs, int64_t step)
{
    const hn::ScalableTag<int16_t> d16;
    const hn::Repartition<int32_t, decltype(d16)> d32;
    const hn::Rebind<T, decltype(d16)> d8;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d16));
    int64_t moved = 0;
    for (int32_t &sum : sums) {
        auto even = hn::Zero(d32), odd = hn::Zero(d32);
        for (const Run<T> &run : runs) {
            const T *x = run.x + moved;
            int64_t i = 0;
            for (; i + lanes <= run.count; i += lanes)
                even = hn::ReorderWidenMulAccumulate(d32, hn::PromoteTo(d16, hn::LoadU(d8, x + i)),
                                                     hn::LoadU(d16, run.weights + i), even, odd);
            if (const auto rest = static_cast<size_t>(run.count - i); rest > 0)
                even = hn::ReorderWidenMulAccumulate(
                    d32, hn::PromoteTo(d16, hn::MaskedLoad(hn::FirstN(d8, rest), d8, x + i)),
                    hn::MaskedLoad(hn::FirstN(d16, rest), d16, run.weights + i), even, odd);
        }
        sum = hn::GetLane(hn::SumOfLanes(d32, hn::Add(even, odd)));
        moved += step;
    }
}

template <class T> void sum(std::span<int32_t> sums, std::span<const Run<T>> runs, int64_t step)
{
    const bool is_short = std::all_of(runs.begin(), runs.end(), [](const Run<T> &run) { return run.count < 4; });
    is_short ? sum_short(sums, runs, step) : sum_long(sums, runs, step);
}

void sum_unsigned(std::span<int32_t> sums, std::span<const Run<uint8_t>> runs, int64_t step)
{
    sum(sums, runs, step);
}

void sum_signed(std::span<int32_t> sums, std::span<const Run<int8_t>> runs, int64_t step)
{
    sum(sums, runs, step);
}

void scale(std::span<float> numbers, const int32_t *sums, int32_t less, float factor, float bias)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> d32;
    const auto shift = hn::Set(d32, less);
    const auto factors = hn::Set(d, factor), biases = hn::Set(d, bias);
    for (size_t i = 0; i < numbers.size(); i += hn::Lanes(d)) {
        const auto in = hn::FirstN(d32, numbers.size() - i);
        const auto exact = hn::ConvertTo(d, hn::Sub(hn::MaskedLoad(in, d32, sums + i), shift));
        hn::BlendedStore(hn::Add(hn::Mul(exact, factors), biases), hn::FirstN(d, numbers.size() - i), d,
                         numbers.data() + i);
    }
}

void round(std::span<float> numbers, float lowest, float highest)
{
    const hn::ScalableTag<float> d;
    for (size_t i = 0; i < numbers.size(); i += hn::Lanes(d)) {
        const auto in = hn::FirstN(d, numbers.size() - i);
        const auto rounded = hn::Round(hn::MaskedLoad(in, d, numbers.data() + i));
        hn::BlendedStore(hn::Clamp(rounded, hn::Set(d, lowest), hn::Set(d, highest)), in, d, numbers.data() + i);
    }
}

} // namespace
} // namespace leat::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace leat::cpu {

HWY_EXPORT(sum_unsigned);
HWY_EXPORT(sum_signed);
HWY_EXPORT(scale);
HWY_EXPORT(round);

void sum_runs(std::span<int32_t> sums, std::span<const Run<uint8_t>> runs, int64_t step)
{
    HWY_DYNAMIC_DISPATCH(sum_unsigned)(sums, runs, step);
}

void sum_runs(std::span<int32_t> sums, std::span<const Run<int8_t>> runs, int64_t step)
{
    HWY_DYNAMIC_DISPATCH(sum_signed)(sums, runs, step);
}

void scale_sums(std::span<float> numbers, const int32_t *sums, int32_t less, float factor, float bias)
{
    HWY_DYNAMIC_DISPATCH(scale)(numbers, sums, less, factor, bias);
}

void round_sums(std::span<float> numbers, float lowest, float highest)
{
    HWY_DYNAMIC_DISPATCH(round)(numbers, lowest, highest);
}

} // namespace leat::cpu
#endif
