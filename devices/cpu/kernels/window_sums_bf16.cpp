#include "window_tiles.h"
#include "x86_intrinsics.h"

namespace leat::cpu {

#ifdef __x86_64__
namespace {

#define LEAT_BF16 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))

/// By the instruction that multiplies two pairs of bf16, which Highway's targets do not have.
struct TileBFloat16 {
    static constexpr bool whole_groups = true, masks_memory = true, sevens = true;
    static constexpr int pixels(int blocks) { return blocks == 1 ? 16 : blocks == 4 ? 6 : 8; }

    template <int blocks, int pixels, bool partial>
    LEAT_BF16 static void make(std::byte *to, int64_t stride, const WindowSums &w, const WindowBlocks &b, int64_t x,
                               const std::byte *fetched)
    {
        constexpr int64_t vector = 64;
        const int64_t channel = b.first * window_channels, left = w.outs - channel - (blocks - 1) * window_channels;
        const auto last = static_cast<__mmask16>(partial ? (1u << left) - 1 : 0xffffu);
        __m512 sums[pixels][blocks];
#pragma GCC unroll 16
        for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
            for (int v = 0; v < blocks; v++)
                sums[p][v] = _mm512_setzero_ps();
        const int64_t first = x * w.step, step = w.step, weights_step = b.step, fetched_step = b.after_step;
        const std::byte *weights = b.weights;
        const std::byte *const *end = w.taps + w.last_tap;
        for (const std::byte *const *tap = w.taps + w.first_tap; tap != end; tap++, weights += weights_step) {
            _mm_prefetch(reinterpret_cast<const char *>(fetched), _MM_HINT_T0);
            fetched += fetched_step;
            const std::byte *number = *tap + first;
            __m512bh factors[blocks];
#pragma GCC unroll 4
            for (int v = 0; v < blocks; v++)
                factors[v] = reinterpret_cast<__m512bh>(_mm512_loadu_ps(weights + v * vector));
#pragma GCC unroll 16
            for (int p = 0; p < pixels; p++, number += step) {
                int32_t pair;
                std::memcpy(&pair, number, sizeof pair); // it may lie at any even address
                const auto spread = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
#pragma GCC unroll 4
                for (int v = 0; v < blocks; v++)
                    sums[p][v] = _mm512_dpbf16_ps(sums[p][v], spread, factors[v]);
            }
        }
        const bool is_short = w.made == Type::bf16;
        const int64_t block = window_channels * (is_short ? 2 : 4);
        const auto mask_of = [&](int v) { return v + 1 < blocks || !partial ? static_cast<__mmask16>(0xffff) : last; };
#pragma GCC unroll 4
        for (int v = 0; v < blocks; v++) {
            const __m512 bias = _mm512_loadu_ps(w.bias + channel + v * window_channels);
#pragma GCC unroll 16
            for (int p = 0; p < pixels; p++)
                sums[p][v] = _mm512_add_ps(sums[p][v], bias);
        }
        if (w.added)
#pragma GCC unroll 16
            for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
                for (int v = 0; v < blocks; v++)
                    sums[p][v] = _mm512_add_ps(sums[p][v], load(to + p * stride + v * block, is_short, mask_of(v)));
        if (w.slopes)
#pragma GCC unroll 4
            for (int v = 0; v < blocks; v++) {
                const __m512 slope = _mm512_loadu_ps(w.slopes + channel + v * window_channels);
                const __m512 zero = _mm512_setzero_ps();
#pragma GCC unroll 16
                for (int p = 0; p < pixels; p++)
                    sums[p][v] =
                        _mm512_fmadd_ps(_mm512_min_ps(sums[p][v], zero), slope, _mm512_max_ps(sums[p][v], zero));
            }
        if (w.bounds) {
            const __m512 lowest = _mm512_set1_ps((*w.bounds)[0]), highest = _mm512_set1_ps((*w.bounds)[1]);
#pragma GCC unroll 16
            for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
                for (int v = 0; v < blocks; v++)
                    sums[p][v] = _mm512_min_ps(_mm512_max_ps(sums[p][v], lowest), highest);
        }
        if (is_short)
#pragma GCC unroll 16
            for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
                for (int v = 0; v < blocks; v++)
                    _mm256_mask_storeu_epi16(to + p * stride + v * block, mask_of(v),
                                             reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sums[p][v])));
        else
#pragma GCC unroll 16
            for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
                for (int v = 0; v < blocks; v++)
                    _mm512_mask_storeu_ps(to + p * stride + v * block, mask_of(v), sums[p][v]);
    }

  private:
    LEAT_BF16 static __m512 load(const std::byte *from, bool is_short, __mmask16 mask)
    {
        if (!is_short)
            return _mm512_maskz_loadu_ps(mask, from);
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from)), 16));
    }
};

} // namespace

void window_sums_bf16(std::byte *to, const WindowSums &w)
{
    WindowTiles<TileBFloat16>::run(to, w);
}

bool has_window_sums_bf16()
{
    static const bool has = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl") &&
                            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    return has;
}
#else
void window_sums_bf16(std::byte *, const WindowSums &) {}

bool has_window_sums_bf16()
{
    return false;
}
#endif

} // namespace leat::cpu
