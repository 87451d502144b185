#include "window_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "devices/cpu/kernels/window_sums.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After highway.h, which it needs.
#include <hwy/cache_control.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace leat::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, window_channels>;
using V = hn::Vec<D>;

constexpr int lanes = static_cast<int>(hn::MaxLanes(D()));
/// Vectors of a block of channels.
constexpr int vectors = static_cast<int>(window_channels) / lanes;
/// Whether the sums of a whole group stay in registers beside its weights.
constexpr bool whole_groups = lanes == 16;
/// Whether some numbers of a vector are read or written without touching the memory of the others.
constexpr bool masks_memory = lanes >= 8;

constexpr int pixels_of(int blocks)
{
    constexpr int with_32_registers[] = {16, 8, 8, 6};
    return lanes == 16 ? with_32_registers[blocks - 1] : lanes == 8 ? 6 : std::max(1, 8 / vectors);
}

/// Blocks that are summed at once, from `first` on, and where their weights lie.
struct Blocks {
    int64_t first;
    const float *weights;
    int64_t step;       ///< from the weights for one tap to those for the next
    const float *after; ///< the weights that are read next: the same ones, where there are no others
    int64_t after_step;
};

/// `pixels` pixels from `x` on. `partial`: the last block has fewer channels. `fetched`: what is read next.
template <int blocks, int pixels, bool partial>
HWY_INLINE void tile(float *HWY_RESTRICT to, int64_t stride, const WindowSums &w, const Blocks &b, int64_t x,
                     const float *fetched)
{
    constexpr int wide = blocks * vectors, first_of_last = wide - vectors;
    const D d;
    const int64_t channel = b.first * window_channels;
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
            for (int v = 0; v < wide; v++)
                sums[p][v] =
                    hn::Add(sums[p][v], partial && v >= first_of_last
                                            ? hn::MaskedLoad(present[v - first_of_last], d, to + p * stride + v * lanes)
                                            : hn::LoadU(d, to + p * stride + v * lanes));
    const int64_t first = x * w.step, step = w.step, weights_step = b.step, fetched_step = b.after_step;
    const float *weights = b.weights;
    const float *const *end = w.taps + w.last_tap;
    for (const float *const *tap = w.taps + w.first_tap; tap != end; tap++, weights += weights_step) {
        hwy::Prefetch(fetched);
        fetched += fetched_step;
        const float *number = *tap + first;
        V factors[wide];
#pragma GCC unroll 4
        for (int v = 0; v < wide; v++)
            factors[v] = hn::LoadU(d, weights + v * lanes);
#pragma GCC unroll 16
        for (int p = 0; p < pixels; p++, number += step) {
            const V spread = hn::Set(d, *number);
#pragma GCC unroll 4
            for (int v = 0; v < wide; v++)
                sums[p][v] = hn::MulAdd(spread, factors[v], sums[p][v]);
        }
    }
    if (w.bounds) {
        const V lowest = hn::Set(d, (*w.bounds)[0]), highest = hn::Set(d, (*w.bounds)[1]);
#pragma GCC unroll 16
        for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
            for (int v = 0; v < wide; v++)
                sums[p][v] = hn::Min(hn::Max(sums[p][v], lowest), highest);
    }
#pragma GCC unroll 16
    for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
        for (int v = 0; v < wide; v++)
            if (partial && v >= first_of_last)
                hn::BlendedStore(sums[p][v], present[v - first_of_last], d, to + p * stride + v * lanes);
            else
                hn::StoreU(sums[p][v], d, to + p * stride + v * lanes);
}

/// The pixels [first, w.last) of a tile that begins with the pixel `x`.
template <int blocks, int pixels>
HWY_NOINLINE void part_of_tile(float *to, const WindowSums &w, const Blocks &b, int64_t x, int64_t first,
                               const float *fetched)
{
    constexpr int64_t channels = blocks * window_channels;
    HWY_ALIGN float whole[pixels * channels] = {};
    const int64_t begin = b.first * window_channels, count = std::min(channels, w.outs - begin);
    const int64_t last = std::min(w.last, x + pixels);
    if (w.added)
        for (int64_t p = first; p < last; p++)
            std::copy_n(to + p * w.stride + begin, count, whole + (p - x) * channels);
    tile<blocks, pixels, false>(whole, channels, w, b, x, fetched);
    for (int64_t p = first; p < last; p++)
        std::copy_n(whole + (p - x) * channels, count, to + p * w.stride + begin);
}

template <int blocks, int pixels, bool partial> void tiles(float *to, const WindowSums &w, const Blocks &b)
{
    constexpr bool at_once = !partial || masks_memory;
    const int64_t begin = b.first * window_channels;
    const float *fetched = b.after;
    for (int64_t x = w.first; x < w.last; x += pixels) {
        if (at_once && x + pixels <= w.last)
            tile<blocks, pixels, at_once && partial>(to + x * w.stride + begin, w.stride, w, b, x, fetched);
        else // the last one goes back over pixels that another has made
            part_of_tile<blocks, pixels>(to, w, b, std::max<int64_t>(0, std::min(x, w.last - pixels)), x, fetched);
        if (fetched + window_channels < b.after + b.after_step)
            fetched += window_channels; // each tile fetches a part of what comes after it
    }
}

template <int blocks> void all_tiles(float *to, const WindowSums &w, const Blocks &b)
{
    constexpr int pixels = pixels_of(blocks);
    const int64_t count = w.last - w.first;
    const bool partial = (b.first + blocks) * window_channels > w.outs;
    // Pictures of 7x7 are best taken by sevens.
    if constexpr (blocks > 1)
        if (count % 7 == 0 && count % pixels != 0 && count < 100)
            return partial ? tiles<blocks, 7, true>(to, w, b) : tiles<blocks, 7, false>(to, w, b);
    partial ? tiles<blocks, pixels, true>(to, w, b) : tiles<blocks, pixels, false>(to, w, b);
}

void sums(float *to, const WindowSums &w)
{
    const WindowGroups all(w.outs);
    for (int64_t group = 0; group < all.groups; group++) {
        const int64_t first = all.first(group), size = all.first(group + 1) - first;
        const auto weights_of = [&](int64_t block, int64_t blocks) {
            return w.weights + (block * w.count + w.first_tap * blocks) * window_channels;
        };
        const int64_t after = group + 1 < all.groups ? all.first(group + 2) - all.first(group + 1) : size;
        const Blocks b{first, weights_of(first, size), size * window_channels,
                       group + 1 < all.groups ? weights_of(first + size, after) : weights_of(first, size),
                       after * window_channels};
        if constexpr (!whole_groups)
            for (int64_t i = 0; i < size; i++)
                all_tiles<1>(to, w, {first + i, b.weights + i * window_channels, b.step, b.after, b.after_step});
        else if (size == 4)
            all_tiles<4>(to, w, b);
        else if (size == 3)
            all_tiles<3>(to, w, b);
        else if (size == 2)
            all_tiles<2>(to, w, b);
        else
            all_tiles<1>(to, w, b);
    }
}

} // namespace
} // namespace leat::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace leat::cpu {

HWY_EXPORT(sums);

void window_sums(float *to, const WindowSums &w)
{
    HWY_DYNAMIC_DISPATCH(sums)(to, w);
}

namespace {

void write_groups(float *to, const float *from, int64_t outs, int64_t ins, int64_t taps)
{
    const WindowGroups all(outs);
    for (int64_t group = 0; group < all.groups; group++)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t c = 0; c < ins; c++)
                for (int64_t o = all.first(group) * window_channels; o < all.first(group + 1) * window_channels; o++)
                    *to++ = o < outs ? from[(o * ins + c) * taps + t] : 0.f;
}

} // namespace

Constant weights_in_groups(const NodeFacts &facts)
{
    const Tensor &weights = *facts.constant(1);
    const int64_t outs = weights.dim(0), ins = weights.dim(1), taps = count_of(weights.shape()) / (outs * ins);
    const Shape shape{WindowGroups(outs).blocks, taps, ins, window_channels};
    Constant made = facts.weights.later(weights, "in groups of 64", [=, memory = facts.weights.memory()] {
        Tensor groups = memory->allocate(Type::f32, shape);
        write_groups(groups.data<float>(), weights.data<float>(), outs, ins, taps);
        return groups;
    });
    if (made.known() && (made.known()->type() != Type::f32 || made.known()->shape() != shape))
        throw Error("stored weights have another size than the kernel wants");
    return made;
}

std::vector<float> bias_in_blocks(const NodeFacts &facts)
{
    std::vector<float> bias(static_cast<size_t>(WindowGroups(facts.dims(1)[0]).blocks * window_channels), 0.f);
    if (const Tensor *constant = facts.constant(2))
        std::ranges::copy(constant->values<float>(), bias.begin());
    return bias;
}

} // namespace leat::cpu
#endif
