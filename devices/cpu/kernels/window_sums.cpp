#include "window_sums.h"

#include "devices/cpu/onednn.h"
#include "vector_functions.h"
#include "window_tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "devices/cpu/kernels/window_sums.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After highway.h, which it needs.
#include <hwy/cache_control.h>
// After foreach_target.h, which includes it again.
#include "inference/bfloat16-inl.h"

#include <algorithm>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace leat::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, window_channels>;
using V = hn::Vec<D>;

struct Tile {
    static constexpr int lanes = static_cast<int>(hn::MaxLanes(D()));
    /// Vectors of a block of channels.
    static constexpr int vectors = static_cast<int>(window_channels) / lanes;
    static constexpr bool whole_groups = lanes == 16, masks_memory = lanes >= 8, sevens = false;

    static constexpr int pixels(int blocks)
    {
        constexpr int with_32_registers[] = {16, 12, 8, 6};
        return lanes == 16 ? with_32_registers[blocks - 1] : lanes == 8 ? 6 : std::max(1, 8 / vectors);
    }

    template <int blocks, int pixels, bool partial>
    static HWY_NOINLINE void make(std::byte *HWY_RESTRICT to, int64_t to_stride, const WindowSums &w,
                                  const WindowBlocks &b, int64_t x, const std::byte *fetched)
    {
        constexpr int wide = blocks * vectors, first_of_last = wide - vectors;
        const D d;
        auto *result = reinterpret_cast<float *>(to);
        const int64_t stride = to_stride / window_number, channel = b.first * window_channels;
        hn::Mask<D> present[vectors];
        for (int v = 0; v < vectors; v++)
            present[v] = hn::FirstN(
                d, static_cast<size_t>(std::clamp<int64_t>(w.outs - channel - (first_of_last + v) * lanes, 0, lanes)));
        V sums[pixels][wide];
        const float *bias = w.bias + channel;
#pragma GCC unroll 16
        for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
            for (int v = 0; v < wide; v++)
                sums[p][v] = hn::LoadU(d, bias + v * lanes);
        if (w.added)
#pragma GCC unroll 16
            for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
                for (int v = 0; v < wide; v++) {
                    const float *at = result + p * stride + v * lanes;
                    sums[p][v] = hn::Add(sums[p][v], partial && v >= first_of_last
                                                         ? hn::MaskedLoad(present[v - first_of_last], d, at)
                                                         : hn::LoadU(d, at));
                }
        const int64_t first = x * w.step, step = w.step, weights_step = b.step, fetched_step = b.after_step;
        const std::byte *weights = b.weights;
        const std::byte *const *end = w.taps + w.last_tap;
        const auto add = [&](const std::byte *number, const std::byte *from) HWY_ATTR __attribute__((always_inline))
        {
            V factors[wide];
#pragma GCC unroll 4
            for (int v = 0; v < wide; v++)
                factors[v] = hn::LoadU(d, reinterpret_cast<const float *>(from) + v * lanes);
#pragma GCC unroll 16
            for (int p = 0; p < pixels; p++, number += step) {
                const V spread = hn::Set(d, *reinterpret_cast<const float *>(number));
#pragma GCC unroll 4
                for (int v = 0; v < wide; v++)
                    sums[p][v] = hn::MulAdd(spread, factors[v], sums[p][v]);
            }
        };
        const std::byte *const *tap = w.taps + w.first_tap;
        if (w.side_by_side) {
            const std::byte *number = *tap + first, *last = number + (w.last_tap - w.first_tap) / 2 * 2 * window_number;
            for (; number != last; number += 2 * window_number, weights += 2 * weights_step) {
                hwy::Prefetch(fetched);
                hwy::Prefetch(fetched + fetched_step);
                fetched += 2 * fetched_step;
                add(number, weights);
                add(number + window_number, weights + weights_step);
            }
            tap = end - (w.last_tap - w.first_tap) % 2;
        }
        for (; tap != end; tap++, weights += weights_step) {
            hwy::Prefetch(fetched);
            fetched += fetched_step;
            add(*tap + first, weights);
        }
        if (w.slopes)
#pragma GCC unroll 4
            for (int v = 0; v < wide; v++) {
                const V slope = hn::LoadU(d, w.slopes + channel + v * lanes), zero = hn::Zero(d);
#pragma GCC unroll 16
                for (int p = 0; p < pixels; p++)
                    sums[p][v] = hn::MulAdd(hn::Min(sums[p][v], zero), slope, hn::Max(sums[p][v], zero));
            }
        if (w.bounds) {
            const V lowest = hn::Set(d, (*w.bounds)[0]), highest = hn::Set(d, (*w.bounds)[1]);
#pragma GCC unroll 16
            for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
                for (int v = 0; v < wide; v++)
                    sums[p][v] = hn::Min(hn::Max(sums[p][v], lowest), highest);
        }
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86_64
        if (w.made == Type::bf16) {
            const hn::Rebind<uint16_t, D> narrow;
            const auto kept = hn::FirstN(
                narrow, static_cast<size_t>(std::clamp<int64_t>(w.outs - channel - first_of_last * lanes, 0, lanes)));
#pragma GCC unroll 16
            for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
                for (int v = 0; v < wide; v++) {
                    auto *at = reinterpret_cast<uint16_t *>(to + p * to_stride) + v * lanes;
                    const auto rounded = leat::HWY_NAMESPACE::round_natively(sums[p][v]);
                    if (partial && v >= first_of_last)
                        hn::BlendedStore(rounded, kept, narrow, at);
                    else
                        hn::StoreU(rounded, narrow, at);
                }
            return;
        }
#endif
#pragma GCC unroll 16
        for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
            for (int v = 0; v < wide; v++) {
                float *at = result + p * stride + v * lanes;
                if (partial && v >= first_of_last)
                    hn::BlendedStore(sums[p][v], present[v - first_of_last], d, at);
                else
                    hn::StoreU(sums[p][v], d, at);
            }
    }
};

void sums(std::byte *to, const WindowSums &w)
{
    WindowTiles<Tile>::run(to, w);
}

bool makes_bf16()
{
    return Tile::lanes == 16 && narrows_natively();
}

} // namespace
} // namespace leat::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace leat::cpu {

HWY_EXPORT(sums);
HWY_EXPORT(makes_bf16);

void window_sums(std::byte *to, const WindowSums &w)
{
    HWY_DYNAMIC_DISPATCH(sums)(to, w);
}

bool window_sums_make_bf16()
{
    return HWY_DYNAMIC_DISPATCH(makes_bf16)();
}

std::string window_sums_fault(Type type, int64_t together)
{
    if (type == Type::f32)
        return "";
    if (type == Type::bf16 && !has_window_sums_bf16())
        return "this processor does not multiply pairs of bf16";
    if (is_8_bit(type) && !has_window_sums_s8())
        return "this processor does not multiply integers of 8 bits in vectors of 64";
    constexpr int64_t worth_tiles = 16;
    return onednn::has_tiles() && together >= worth_tiles
               ? "oneDNN multiplies " + std::string(to_string(type)) + " in tiles"
               : "";
}

namespace {

/// So many inputs lie `together`. What lies side by side is read at once.
template <class T> void write_groups(T *to, const T *from, const WindowWeights &w, int64_t together)
{
    const WindowGroups all(w.outs);
    const int64_t numbers = (w.ins + together - 1) / together;
    for (int64_t group = 0; group < all.groups; group++) {
        const int64_t first = all.first(group) * window_channels;
        const int64_t wide = all.first(group + 1) * window_channels - first, tap = numbers * wide * together;
        for (int64_t c = 0; c < numbers * together; c += together)
            for (int64_t o = first; o < first + wide; o++)
                for (int64_t i = c; i < c + together; i++, to++)
                    for (int64_t t = 0; t < w.taps; t++)
                        to[t * tap] =
                            o < w.outs && i < w.ins ? from[o * w.out_step + i * w.in_step + t * w.tap_step] : T();
        to += (w.taps - 1) * tap;
    }
}

} // namespace

WindowWeights window_weights(const Shape &shape)
{
    const int64_t taps = count_of(shape) / (shape[0] * shape[1]);
    return {shape[0], shape[1], taps, shape[1] * taps, taps, 1};
}

Constant weights_in_groups(Weights &all, const Tensor &weights, const WindowWeights &w)
{
    const auto together = window_number / static_cast<int64_t>(size_of(weights.type()));
    const int64_t ins = (w.ins + together - 1) / together * together;
    const Shape shape{WindowGroups(w.outs).blocks, w.taps, ins, window_channels};
    const std::string form = "in groups of 64, by " + std::to_string(w.out_step) + ", " + std::to_string(w.in_step);
    return all.later(weights, form, weights.type(), shape, [=, memory = all.memory()] {
        Tensor groups = memory->allocate(weights.type(), shape);
        if (weights.type() == Type::f32)
            write_groups(groups.data<float>(), weights.data<float>(), w, together);
        else if (weights.type() == Type::s8)
            write_groups(groups.data<int8_t>(), weights.data<int8_t>(), w, together);
        else
            write_groups(groups.data<BFloat16>(), weights.data<BFloat16>(), w, together);
        return groups;
    });
}

Constant weight_sums(Weights &all, const Tensor &weights, const WindowWeights &w)
{
    const Shape shape{WindowGroups(w.outs).blocks * window_channels};
    const std::string form = "sums by " + std::to_string(w.out_step) + ", " + std::to_string(w.in_step);
    return all.later(weights, form, Type::s32, shape, [=] {
        Tensor sums(Type::s32, shape);
        auto *to = sums.data<int32_t>();
        std::ranges::fill(sums.values<int32_t>(), 0);
        const auto *from = weights.data<int8_t>();
        const auto add = [&](int64_t o, int64_t i, int64_t t) {
            to[o] += from[o * w.out_step + i * w.in_step + t * w.tap_step];
        };
        const bool outs_lie_together = w.out_step < w.in_step;
        for (int64_t a = 0; a < (outs_lie_together ? w.ins : w.outs); a++)
            for (int64_t t = 0; t < w.taps; t++)
                for (int64_t b = 0; b < (outs_lie_together ? w.outs : w.ins); b++)
                    outs_lie_together ? add(b, a, t) : add(a, b, t);
        return sums;
    });
}

std::vector<float> in_blocks(std::span<const float> numbers)
{
    const WindowGroups all(static_cast<int64_t>(numbers.size()));
    std::vector<float> blocks(static_cast<size_t>(all.blocks * window_channels), 0.f);
    std::ranges::copy(numbers, blocks.begin());
    return blocks;
}

std::vector<float> bias_in_blocks(const Tensor *bias, int64_t outs)
{
    if (bias)
        return in_blocks(bias->values<float>());
    return in_blocks(std::vector<float>(static_cast<size_t>(outs), 0.f));
}

} // namespace leat::cpu
#endif
