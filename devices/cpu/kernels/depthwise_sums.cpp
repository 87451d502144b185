#include "depthwise_sums.h"

#include "vector_functions.h"

#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "devices/cpu/kernels/depthwise_sums.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After foreach_target.h, which includes it again.
#include "inference/bfloat16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace leat::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, depthwise_block>;
using V = hn::Vec<D>;

constexpr int64_t lanes = static_cast<int64_t>(hn::MaxLanes(D()));
/// Two rows of windows share the numbers of the rows between them where 32 registers hold their sums.
constexpr int most_rows = lanes == 16 ? 2 : 1;

HWY_INLINE V load(const float *from)
{
    return hn::LoadU(D(), from);
}

HWY_INLINE V load(const uint16_t *from)
{
    return leat::HWY_NAMESPACE::load_bfloat16(D(), from);
}

HWY_INLINE void store(V sum, float *to)
{
    hn::StoreU(sum, D(), to);
}

HWY_INLINE void store(V sum, uint16_t *to)
{
    leat::HWY_NAMESPACE::store_bfloat16(sum, D(), to);
}

/// A bf16 that is rounded by the processor's instruction, which Highway's targets do not have.
struct RoundedNatively {
    uint16_t bits;
};

template <class Sum> HWY_INLINE void store(Sum sum, RoundedNatively *to)
{
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86_64
    hn::StoreU(leat::HWY_NAMESPACE::round_natively(sum), hn::Rebind<uint16_t, D>(), &to->bits);
#else
    store(sum, &to->bits);
#endif
}

/// The sum of number * weight, and the bias.
struct Products {
    static V start() { return hn::Zero(D()); }
    template <class From> static const From *weights(const DepthwiseTile &t, int64_t offset)
    {
        return static_cast<const From *>(t.weights) + offset;
    }
    template <class From> static V factor(const From *weight) { return load(weight); }
    static V join(V number, V factor, V sum) { return hn::MulAdd(number, factor, sum); }
    template <int rows, int columns> static void end(const DepthwiseTile &t, int64_t channel, V (&sums)[rows][columns])
    {
        const V bias = load(t.bias + channel);
        each(sums, [&](V sum) HWY_ATTR { return hn::Add(sum, bias); });
        if (!t.bounded)
            return;
        const V lowest = hn::Set(D(), t.lowest), highest = hn::Set(D(), t.highest);
        each(sums, [&](V sum) HWY_ATTR { return hn::Min(hn::Max(sum, lowest), highest); });
    }

  private:
    template <int rows, int columns, class Change> static HWY_INLINE void each(V (&sums)[rows][columns], Change change)
    {
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
            for (int x = 0; x < columns; x++)
                sums[r][x] = change(sums[r][x]);
    }
};

/// The largest number.
struct Largest {
    static V start() { return hn::Set(D(), -std::numeric_limits<float>::infinity()); }
    template <class From> static const From *weights(const DepthwiseTile &, int64_t) { return nullptr; }
    template <class From> static V factor(const From *) { return hn::Zero(D()); }
    static V join(V number, V, V largest) { return hn::Max(number, largest); }
    template <int rows, int columns> static void end(const DepthwiseTile &, int64_t, V (&)[rows][columns]) {}
};

/// Calls body(channel, weights, result) for each vector of channels of the tile's blocks.
template <class Joined, class From, class To, class Body>
HWY_INLINE void each_vector(const DepthwiseTile &t, int64_t taps, const Body &body)
{
    const int64_t begin = depthwise_channel(t.first, t.channels);
    for (int64_t block = t.first; block < t.last; block++) {
        const int64_t channel = depthwise_channel(block, t.channels);
        for (int64_t v = 0; v < depthwise_block; v += lanes)
            body(channel + v, Joined::template weights<From>(t, block * taps * depthwise_block + v),
                 reinterpret_cast<To *>(t.to) + channel + v - begin);
    }
}

template <class Joined, class To, int rows, int columns>
HWY_INLINE void finish(const DepthwiseTile &t, V (&sums)[rows][columns], int64_t channel, To *to)
{
    Joined::end(t, channel, sums);
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int x = 0; x < columns; x++)
            store(sums[r][x], to + r * t.row_step + x * t.step);
}

/// Square windows of a known size.
template <class Joined, class From, class To, int size, int stride, int rows, int columns>
HWY_NOINLINE void known(const DepthwiseTile &t)
{
    constexpr int in_rows = (rows - 1) * stride + size, in_columns = (columns - 1) * stride + size;
    each_vector<Joined, From, To>(t, size * size, [&](int64_t channel, const From *weights, To *to) {
        V sums[rows][columns];
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
            for (int x = 0; x < columns; x++)
                sums[r][x] = Joined::start();
#pragma GCC unroll 8
        for (int i = 0; i < in_rows; i++) {
            const std::byte *const *pixels = t.rows[i] + t.column;
            V factors[rows][size];
#pragma GCC unroll 2
            for (int r = 0; r < rows; r++)
                if (i >= r * stride && i < r * stride + size)
#pragma GCC unroll 8
                    for (int k = 0; k < size; k++)
                        factors[r][k] = Joined::factor(weights + ((i - r * stride) * size + k) * depthwise_block);
#pragma GCC unroll 24
            for (int j = 0; j < in_columns; j++) {
                const V number = load(reinterpret_cast<const From *>(pixels[j]) + channel);
#pragma GCC unroll 2
                for (int r = 0; r < rows; r++)
                    if (i >= r * stride && i < r * stride + size)
#pragma GCC unroll 8
                        for (int x = 0; x < columns; x++)
                            if (j >= x * stride && j < x * stride + size)
                                sums[r][x] = Joined::join(number, factors[r][j - x * stride], sums[r][x]);
            }
        }
        finish<Joined, To, rows, columns>(t, sums, channel, to);
    });
}

/// Any windows, in one row.
template <class Joined, class From, class To, int columns> HWY_NOINLINE void any(const DepthwiseTile &t)
{
    const DepthwiseWindow &w = t.window;
    each_vector<Joined, From, To>(t, w.height * w.width, [&](int64_t channel, const From *weights, To *to) {
        V sums[1][columns];
#pragma GCC unroll 8
        for (int x = 0; x < columns; x++)
            sums[0][x] = Joined::start();
        for (int64_t i = 0; i < w.height; i++) {
            const std::byte *const *pixels = t.rows[i * w.row_dilation] + t.column;
            for (int64_t k = 0; k < w.width; k++, weights += depthwise_block, pixels += w.dilation) {
                const V factor = Joined::factor(weights);
#pragma GCC unroll 8
                for (int x = 0; x < columns; x++)
                    sums[0][x] = Joined::join(load(reinterpret_cast<const From *>(pixels[x * w.stride]) + channel),
                                              factor, sums[0][x]);
            }
        }
        finish<Joined, To, 1, columns>(t, sums, channel, to);
    });
}

/// 0 when there are no functions for windows of just that size.
int known_size(const DepthwiseWindow &w)
{
    const bool is_known = w.height == w.width && (w.width == 3 || w.width == 5) && w.row_stride == w.stride &&
                          w.stride <= 2 && w.row_dilation == 1 && w.dilation == 1;
    return is_known ? static_cast<int>(w.width) : 0;
}

template <class Joined, class From, class To, int size, int stride> DepthwiseFunction find_known(DepthwiseTileSize tile)
{
    if (tile.rows == 1)
        return tile.columns == 7   ? known<Joined, From, To, size, stride, 1, 7>
               : tile.columns == 4 ? known<Joined, From, To, size, stride, 1, 4>
                                   : known<Joined, From, To, size, stride, 1, 1>;
    return tile.columns == 7   ? known<Joined, From, To, size, stride, most_rows, 7>
           : tile.columns == 4 ? known<Joined, From, To, size, stride, most_rows, 4>
                               : known<Joined, From, To, size, stride, most_rows, 1>;
}

template <class Joined, class From, class To>
DepthwiseFunction find_typed(const DepthwiseWindow &w, DepthwiseTileSize tile)
{
    switch (known_size(w)) {
    case 3: return w.stride == 1 ? find_known<Joined, From, To, 3, 1>(tile) : find_known<Joined, From, To, 3, 2>(tile);
    case 5: return w.stride == 1 ? find_known<Joined, From, To, 5, 1>(tile) : find_known<Joined, From, To, 5, 2>(tile);
    default:
        return tile.columns == 7   ? any<Joined, From, To, 7>
               : tile.columns == 4 ? any<Joined, From, To, 4>
                                   : any<Joined, From, To, 1>;
    }
}

DepthwiseFunction find(const DepthwiseWindow &w, Type from, Type to, DepthwiseTileSize tile)
{
    if (from == Type::f32)
        return find_typed<Products, float, float>(w, tile);
    if (to == Type::f32)
        return find_typed<Products, uint16_t, float>(w, tile);
    return lanes == 16 && narrows_natively() ? find_typed<Products, uint16_t, RoundedNatively>(w, tile)
                                             : find_typed<Products, uint16_t, uint16_t>(w, tile);
}

DepthwiseFunction find_largest(const DepthwiseWindow &w, Type type, DepthwiseTileSize tile)
{
    return type == Type::f32 ? find_typed<Largest, float, float>(w, tile)
                             : find_typed<Largest, uint16_t, uint16_t>(w, tile);
}

int rows_of_tile(const DepthwiseWindow &w)
{
    return known_size(w) ? most_rows : 1;
}

} // namespace
} // namespace leat::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace leat::cpu {

HWY_EXPORT(find);
HWY_EXPORT(find_largest);
HWY_EXPORT(rows_of_tile);

DepthwiseTileSize depthwise_tile_size(const DepthwiseWindow &w, int64_t columns)
{
    if (columns < 4)
        return {HWY_DYNAMIC_DISPATCH(rows_of_tile)(w), 1};
    // Sevens share more numbers, but of small windows two apart fewer than their loads cost.
    const int64_t sevens = (columns + 6) / 7 * 7, fours = (columns + 3) / 4 * 4;
    const bool dear = w.stride == 2 && w.width == 3;
    const bool seven = columns >= 7 && (dear ? sevens < fours : sevens <= fours);
    return {HWY_DYNAMIC_DISPATCH(rows_of_tile)(w), seven ? 7 : 4};
}

DepthwiseFunction depthwise_sums(const DepthwiseWindow &w, Type from, Type to, DepthwiseTileSize tile)
{
    return HWY_DYNAMIC_DISPATCH(find)(w, from, to, tile);
}

DepthwiseFunction depthwise_largest(const DepthwiseWindow &w, Type type, DepthwiseTileSize tile)
{
    return HWY_DYNAMIC_DISPATCH(find_largest)(w, type, tile);
}

} // namespace leat::cpu
#endif
