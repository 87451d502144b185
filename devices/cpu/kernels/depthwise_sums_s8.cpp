#include "depthwise_sums.h"
#include "x86_intrinsics.h"

namespace leat::cpu {

#ifdef __x86_64__
namespace {

#define LEAT_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")))
#define LEAT_INLINE LEAT_VNNI __attribute__((always_inline)) static inline

/// Integers of 16 channels of up to four pixels, those of a channel side by side.
class Column {
  public:
    LEAT_VNNI explicit Column(bool is_signed) : flipped_(_mm512_set1_epi8(is_signed ? static_cast<char>(0x80) : 0))
    {
        // Byte c of the first pair's first pixel, of its second, and the same of the second pair, which begins at 64.
        alignas(64) uint8_t order[64];
        for (int c = 0; c < 16; c++)
            for (int pixel = 0; pixel < 4; pixel++)
                order[4 * c + pixel] = static_cast<uint8_t>(pixel / 2 * 64 + pixel % 2 * 16 + c);
        order_ = _mm512_load_si512(order);
    }

    template <int count> LEAT_VNNI __attribute__((always_inline)) __m512i of(const std::byte *const (&pixels)[4]) const
    {
        const __m512i first = pair<(count > 1)>(pixels[0], pixels[1]);
        const __m512i four = count > 2
                                 ? _mm512_permutex2var_epi8(first, order_, pair<(count > 3)>(pixels[2], pixels[3]))
                                 : _mm512_permutex2var_epi8(first, order_, first);
        return _mm512_xor_si512(four, flipped_);
    }

  private:
    __m512i order_, flipped_;

    template <bool both> LEAT_INLINE __m512i pair(const std::byte *a, const std::byte *b)
    {
        const __m128i first = load(a);
        return _mm512_castsi256_si512(both ? _mm256_inserti128_si256(_mm256_castsi128_si256(first), load(b), 1)
                                           : _mm256_castsi128_si256(first));
    }

    LEAT_INLINE __m128i load(const std::byte *from) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(from)); }
};

/// Calls body(channel, weights, result) for each block of the tile. `taps`: bytes of a block's weights.
template <class To, class Body> LEAT_INLINE void each_block(const DepthwiseTile &t, int64_t taps, const Body &body)
{
    const int64_t begin = depthwise_channel(t.first, t.channels);
    for (int64_t block = t.first; block < t.last; block++) {
        const int64_t channel = depthwise_channel(block, t.channels);
        body(channel, static_cast<const std::byte *>(t.weights) + block * taps,
             reinterpret_cast<To *>(t.to) + channel - begin);
    }
}

/// Makes the result of the sums of a row of windows.
template <class To, int columns>
LEAT_INLINE void finish(const DepthwiseTile &t, const __m512i (&sums)[columns], int64_t channel, To *to)
{
    const __m512 scales = _mm512_loadu_ps(t.integers->scales + channel), bias = _mm512_loadu_ps(t.bias + channel);
    const __m512 lowest = _mm512_set1_ps(t.lowest), highest = _mm512_set1_ps(t.highest);
    const __m512i zero = _mm512_set1_epi32(t.integers->zero_point);
    __m512i made[columns];
#pragma GCC unroll 8
    for (int x = 0; x < columns; x++) {
        // Rounded twice, as the reference does.
        __m512 number = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[x]), scales), bias);
        if (t.bounded)
            number = _mm512_min_ps(_mm512_max_ps(number, lowest), highest);
        if constexpr (std::is_same_v<To, float>)
            _mm512_storeu_ps(to + x * t.step, number);
        else
            made[x] = _mm512_add_epi32(_mm512_cvtps_epi32(number), zero);
    }
    if constexpr (!std::is_same_v<To, float>)
#pragma GCC unroll 8
        for (int x = 0; x < columns; x++) {
            const __m128i bytes = std::is_same_v<To, int8_t>
                                      ? _mm512_cvtsepi32_epi8(made[x])
                                      : _mm512_cvtusepi32_epi8(_mm512_max_epi32(made[x], _mm512_setzero_si512()));
            _mm_storeu_si128(reinterpret_cast<__m128i *>(to + x * t.step), bytes);
        }
}

/// Ones for the bytes of a four of rows that are taps [0, size) of a window which begins `before` rows earlier.
constexpr int ones(int size, int before)
{
    int made = 0;
    for (int i = 0; i < 4; i++)
        if (i + before >= 0 && i + before < size)
            made |= 1 << 8 * i;
    return made;
}

/// Square windows of a known size: four rows of the input are one number for each column, which all windows share.
/// `shifted`: the weights have zeros.
template <class To, bool shifted, int size, int stride, int rows, int columns>
LEAT_VNNI void known(const DepthwiseTile &t)
{
    constexpr int in_rows = (rows - 1) * stride + size, in_columns = (columns - 1) * stride + size;
    constexpr int fours = (in_rows + 3) / 4, tap_fours = static_cast<int>(depthwise_fours(size));
    const Column column(t.integers->is_signed);
    each_block<To>(t, size * tap_fours * 64, [&](int64_t channel, const std::byte *weights, To *to) LEAT_VNNI {
        __m512i factors[rows][size][fours];
#pragma GCC unroll 8
        for (int k = 0; k < size; k++)
#pragma GCC unroll 4
            for (int g = 0; g < fours; g++) {
                const auto tap_four = [&](int four) LEAT_VNNI {
                    return four >= 0 && four < tap_fours ? _mm512_loadu_si512(weights + (k * tap_fours + four) * 64)
                                                         : _mm512_setzero_si512();
                };
                factors[0][k][g] = tap_four(g);
                // The windows of the second row begin `stride` rows below those of the first.
                if constexpr (rows == 2)
                    factors[1][k][g] = _mm512_or_si512(_mm512_slli_epi32(tap_four(g), 8 * stride),
                                                       _mm512_srli_epi32(tap_four(g - 1), 32 - 8 * stride));
            }
        __m512i sums[rows][columns];
        const __m512i start = _mm512_loadu_si512(t.integers->start + channel);
        const __m512i zeros = shifted ? _mm512_loadu_si512(t.integers->weight_zeros + channel) : start;
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
            for (int x = 0; x < columns; x++)
                sums[r][x] = start;
#pragma GCC unroll 24
        for (int j = 0; j < in_columns; j++) {
            __m512i inputs[rows]; // sums of the column
            for (int r = 0; r < rows; r++)
                inputs[r] = _mm512_setzero_si512();
#pragma GCC unroll 4
            for (int g = 0; g < fours; g++) {
                constexpr int rest = in_rows - (fours - 1) * 4;
                const std::byte *pixels[4] = {};
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++)
                    if (4 * g + i < in_rows)
                        pixels[i] = t.rows[4 * g + i][t.column + j] + channel;
                const __m512i four = g + 1 < fours ? column.of<4>(pixels) : column.of<rest>(pixels);
#pragma GCC unroll 2
                for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
                    for (int x = 0; x < columns; x++)
                        if (j >= x * stride && j < x * stride + size)
                            sums[r][x] = _mm512_dpbusd_epi32(sums[r][x], four, factors[r][j - x * stride][g]);
                if constexpr (shifted)
#pragma GCC unroll 2
                    for (int r = 0; r < rows; r++)
                        inputs[r] =
                            _mm512_dpbusd_epi32(inputs[r], four, _mm512_set1_epi32(ones(size, 4 * g - r * stride)));
            }
            if constexpr (shifted)
#pragma GCC unroll 2
                for (int r = 0; r < rows; r++) {
                    const __m512i less = _mm512_mullo_epi32(inputs[r], zeros);
#pragma GCC unroll 8
                    for (int x = 0; x < columns; x++)
                        if (j >= x * stride && j < x * stride + size)
                            sums[r][x] = _mm512_sub_epi32(sums[r][x], less);
                }
        }
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++)
            finish<To, columns>(t, sums[r], channel, to + r * t.row_step);
    });
}

/// Any windows, in one row.
template <class To, bool shifted, int columns> LEAT_VNNI void any(const DepthwiseTile &t)
{
    const DepthwiseWindow &w = t.window;
    const int64_t fours = depthwise_fours(w.height);
    const Column column(t.integers->is_signed);
    each_block<To>(t, w.width * fours * 64, [&](int64_t channel, const std::byte *weights, To *to) LEAT_VNNI {
        __m512i sums[columns], inputs[columns];
#pragma GCC unroll 8
        for (int x = 0; x < columns; x++) {
            sums[x] = _mm512_loadu_si512(t.integers->start + channel);
            inputs[x] = _mm512_setzero_si512();
        }
        for (int64_t k = 0; k < w.width; k++)
            for (int64_t g = 0; g < fours; g++, weights += 64) {
                const __m512i factor = _mm512_loadu_si512(weights);
                const __m512i present = _mm512_set1_epi32(ones(static_cast<int>(w.height), static_cast<int>(4 * g)));
                const std::byte *const *rows[4];
                for (int64_t i = 0; i < 4; i++) // beyond the last row weights are 0
                    rows[i] = t.rows[std::min(4 * g + i, w.height - 1) * w.row_dilation] + t.column + k * w.dilation;
#pragma GCC unroll 8
                for (int x = 0; x < columns; x++) {
                    const std::byte *const pixels[4] = {
                        rows[0][x * w.stride] + channel, rows[1][x * w.stride] + channel,
                        rows[2][x * w.stride] + channel, rows[3][x * w.stride] + channel};
                    const __m512i four = column.of<4>(pixels);
                    sums[x] = _mm512_dpbusd_epi32(sums[x], four, factor);
                    if constexpr (shifted)
                        inputs[x] = _mm512_dpbusd_epi32(inputs[x], four, present);
                }
            }
        if constexpr (shifted)
#pragma GCC unroll 8
            for (int x = 0; x < columns; x++)
                sums[x] = _mm512_sub_epi32(
                    sums[x], _mm512_mullo_epi32(inputs[x], _mm512_loadu_si512(t.integers->weight_zeros + channel)));
        finish<To, columns>(t, sums, channel, to);
    });
}

/// 0 when there are no functions for windows of just that size.
int known_size(const DepthwiseWindow &w)
{
    const bool is_known = w.height == w.width && (w.width == 3 || w.width == 5) && w.row_stride == w.stride &&
                          w.stride <= 2 && w.row_dilation == 1 && w.dilation == 1;
    return is_known ? static_cast<int>(w.width) : 0;
}

template <class To, bool shifted, int size, int stride, int rows> DepthwiseFunction find_known(int columns)
{
    return columns == 7   ? known<To, shifted, size, stride, rows, 7>
           : columns == 4 ? known<To, shifted, size, stride, rows, 4>
                          : known<To, shifted, size, stride, rows, 1>;
}

template <class To, bool shifted, int size>
DepthwiseFunction find_known(const DepthwiseWindow &w, DepthwiseTileSize tile)
{
    return w.stride == 2    ? find_known<To, shifted, size, 2, 1>(tile.columns)
           : tile.rows == 2 ? find_known<To, shifted, size, 1, 2>(tile.columns)
                            : find_known<To, shifted, size, 1, 1>(tile.columns);
}

template <class To, bool shifted> DepthwiseFunction find(const DepthwiseWindow &w, DepthwiseTileSize tile)
{
    switch (known_size(w)) {
    case 3: return find_known<To, shifted, 3>(w, tile);
    case 5: return find_known<To, shifted, 5>(w, tile);
    default:
        return tile.columns == 7 ? any<To, shifted, 7> : tile.columns == 4 ? any<To, shifted, 4> : any<To, shifted, 1>;
    }
}

template <bool shifted> DepthwiseFunction find(const DepthwiseWindow &w, Type to, DepthwiseTileSize tile)
{
    return to == Type::f32  ? find<float, shifted>(w, tile)
           : to == Type::u8 ? find<uint8_t, shifted>(w, tile)
                            : find<int8_t, shifted>(w, tile);
}

} // namespace

std::string depthwise_fault_s8()
{
    static const bool has = has_window_sums_s8() && __builtin_cpu_supports("avx512vbmi");
    return has ? "" : "this processor does not multiply integers of 8 bits in vectors of 64, or permute their bytes";
}

DepthwiseTileSize depthwise_tile_size_s8(const DepthwiseWindow &w, int64_t columns)
{
    // Rows next to each other share columns of four rows.
    const int rows = known_size(w) && w.stride == 1 ? 2 : 1;
    if (columns < 4)
        return {rows, 1};
    const int64_t sevens = (columns + 6) / 7 * 7, fours = (columns + 3) / 4 * 4;
    return {rows, columns >= 7 && sevens <= fours ? 7 : 4};
}

DepthwiseFunction depthwise_sums_s8(const DepthwiseWindow &w, Type to, DepthwiseTileSize tile, bool shifted)
{
    return shifted ? find<true>(w, to, tile) : find<false>(w, to, tile);
}
#else
std::string depthwise_fault_s8()
{
    return "it is made for processors of the x86-64 kind";
}

DepthwiseTileSize depthwise_tile_size_s8(const DepthwiseWindow &, int64_t)
{
    return {1, 1};
}

DepthwiseFunction depthwise_sums_s8(const DepthwiseWindow &, Type, DepthwiseTileSize, bool)
{
    return nullptr;
}
#endif

} // namespace leat::cpu
