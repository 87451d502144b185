#include "window_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "devices/cpu/kernels/window_sums.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace leat::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, window_channels>;
using V = hn::Vec<D>;

constexpr int lanes = static_cast<int>(hn::MaxLanes(D()));
/// Vectors of a block of channels, and sums that stay in registers beside a pixel's number and the weights.
constexpr int vectors = static_cast<int>(window_channels) / lanes;
constexpr int sums_at_once = lanes == 16 ? 16 : lanes == 8 ? 12 : 8;

constexpr int pixels_at_once(int blocks)
{
    return std::max(1, sums_at_once / (blocks * vectors));
}

/// Some pixels, beginning with `x`, of some blocks of channels, beginning with `block`.
template <int blocks> HWY_INLINE void tile(float *to, const WindowRow &row, int64_t block, int64_t x)
{
    constexpr int wide = blocks * vectors, pixels = pixels_at_once(blocks);
    const D d;
    const float *bias = row.bias + block * window_channels;
    const float *weights = row.weights + block * row.count * window_channels;
    V sums[pixels][wide];
#pragma GCC unroll 16
    for (auto &pixel : sums)
#pragma GCC unroll 4
        for (int v = 0; v < wide; v++)
            pixel[v] = hn::LoadU(d, bias + v * lanes);
    for (int64_t t = 0; t < row.count; t++) {
        const float *number = row.taps[t] + x * row.step;
        V factors[wide];
#pragma GCC unroll 4
        for (int v = 0; v < wide; v++)
            factors[v] =
                hn::LoadU(d, weights + ((v / vectors) * row.count + t) * window_channels + v % vectors * lanes);
#pragma GCC unroll 16
        for (auto &pixel : sums) {
            const V spread = hn::Set(d, *number);
            number += row.step;
#pragma GCC unroll 4
            for (int v = 0; v < wide; v++)
                pixel[v] = hn::MulAdd(spread, factors[v], pixel[v]);
        }
    }
    if (row.bounded) {
        const V lowest = hn::Set(d, row.lowest), highest = hn::Set(d, row.highest);
        for (auto &pixel : sums)
            for (V &sum : pixel)
                sum = hn::Min(hn::Max(sum, lowest), highest);
    }
    const int64_t channel = block * window_channels;
    float *pixel_to = to + x * row.outs + channel;
#pragma GCC unroll 16
    for (int p = 0; p < pixels; p++, pixel_to += row.outs) {
        if (x + p >= row.width)
            break;
#pragma GCC unroll 4
        for (int v = 0; v < wide; v++) {
            const int64_t left = row.outs - channel - v * lanes;
            if (left >= lanes)
                hn::StoreU(sums[p][v], d, pixel_to + v * lanes);
            else if (left > 0)
                hn::BlendedStore(sums[p][v], hn::FirstN(d, static_cast<size_t>(left)), d, pixel_to + v * lanes);
        }
    }
}

template <int blocks> void tiles(float *to, const WindowRow &row, int64_t block)
{
    for (int64_t x = 0; x < row.width; x += pixels_at_once(blocks))
        tile<blocks>(to, row, block, x);
}

void sums(float *to, const WindowRow &row)
{
    const int64_t blocks = (row.outs + window_channels - 1) / window_channels;
    int64_t block = 0;
    if constexpr (vectors == 1)
        for (; block + 2 <= blocks; block += 2)
            tiles<2>(to, row, block);
    for (; block < blocks; block++)
        tiles<1>(to, row, block);
}

} // namespace
} // namespace leat::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace leat::cpu {

HWY_EXPORT(sums);

void window_sums(float *to, const WindowRow &row)
{
    HWY_DYNAMIC_DISPATCH(sums)(to, row);
}

} // namespace leat::cpu
#endif
