#include "window_tiles.h"
#include "x86_intrinsics.h"

#include <hwy/base.h>

namespace leat::cpu {

#ifdef __x86_64__
namespace {

#define LEAT_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

/// By the instruction that sums four products of 8-bit integers, unsigned ones by signed ones. `shifted`: the weights
/// have zeros, which are taken from the sums by those of the input.
template <bool shifted> struct TileS8 {
    static constexpr bool whole_groups = true, masks_memory = true, sevens = !shifted;
    static constexpr int pixels(int blocks)
    {
        constexpr int with_32_registers[2][4] = {{16, 12, 8, 6}, {12, 8, 6, 4}};
        return with_32_registers[shifted][blocks - 1];
    }

    template <int blocks, int pixels, bool>
    LEAT_VNNI static void make(std::byte *to, int64_t stride, const WindowSums &w, const WindowBlocks &b, int64_t x,
                               const std::byte *fetched)
    {
        constexpr int64_t vector = 64;
        const IntegerSums &integers = *w.integers;
        const int64_t channel = b.first * window_channels;
        __m512i sums[pixels][blocks];
#pragma GCC unroll 4
        for (int v = 0; v < blocks; v++) {
            const __m512i start = _mm512_loadu_si512(integers.start + channel + v * window_channels);
#pragma GCC unroll 16
            for (int p = 0; p < pixels; p++)
                sums[p][v] = start;
        }
        const __m512i flipped = _mm512_set1_epi8(integers.is_signed ? static_cast<char>(0x80) : 0);
        const __m512i ones = _mm512_set1_epi8(1);
        __m512i inputs[pixels]; // their sums, in each number the same
#pragma GCC unroll 16
        for (int p = 0; p < pixels; p++)
            inputs[p] = _mm512_setzero_si512();
        const int64_t first = x * w.step, step = w.step, weights_step = b.step, fetched_step = b.after_step;
        const std::byte *weights = b.weights;
        const std::byte *const *end = w.taps + w.last_tap;
        for (const std::byte *const *tap = w.taps + w.first_tap; tap != end; tap++, weights += weights_step) {
            _mm_prefetch(reinterpret_cast<const char *>(fetched), _MM_HINT_T0);
            fetched += fetched_step;
            const std::byte *number = *tap + first;
            __m512i factors[blocks];
#pragma GCC unroll 4
            for (int v = 0; v < blocks; v++)
                factors[v] = _mm512_loadu_si512(weights + v * vector);
#pragma GCC unroll 16
            for (int p = 0; p < pixels; p++, number += step) {
                int32_t four;
                std::memcpy(&four, number, sizeof four); // it may lie at any address
                const __m512i spread = _mm512_xor_si512(_mm512_set1_epi32(four), flipped);
#pragma GCC unroll 4
                for (int v = 0; v < blocks; v++)
                    sums[p][v] = _mm512_dpbusd_epi32(sums[p][v], spread, factors[v]);
                if constexpr (shifted)
                    inputs[p] = _mm512_dpbusd_epi32(inputs[p], spread, ones);
            }
        }
        // Through memory, so that the registers of the loop are free for it alone.
        alignas(64) int32_t made[pixels][blocks * window_channels];
#pragma GCC unroll 16
        for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
            for (int v = 0; v < blocks; v++) {
                if constexpr (shifted) {
                    const int32_t *zeros = integers.weight_zeros + channel + v * window_channels;
                    sums[p][v] = _mm512_sub_epi32(sums[p][v], _mm512_mullo_epi32(inputs[p], _mm512_loadu_si512(zeros)));
                }
                _mm512_store_si512(&made[p][v * window_channels], sums[p][v]);
            }
        if (w.made == Type::f32)
            w.added ? finish<blocks, false, true>(to, stride, w, channel, made[0], pixels)
                    : finish<blocks, false, false>(to, stride, w, channel, made[0], pixels);
        else
            w.added ? finish<blocks, true, true>(to, stride, w, channel, made[0], pixels)
                    : finish<blocks, true, false>(to, stride, w, channel, made[0], pixels);
    }

  private:
    /// Makes the result of the sums of some pixels.
    template <int blocks, bool packs, bool added>
    LEAT_VNNI static HWY_NOINLINE void finish(std::byte *to, int64_t stride, const WindowSums &w, int64_t channel,
                                              const int32_t *sums, int pixels)
    {
        constexpr int64_t all = blocks * window_channels;
        const int64_t left = std::min(w.outs - channel, all);
        const uint64_t present = left == 64 ? ~uint64_t(0) : (uint64_t(1) << left) - 1;
        const auto mask_of = [&](int v) { return static_cast<__mmask16>(present >> (v * window_channels)); };
        const __m512i zero = _mm512_set1_epi32(w.integers->zero_point);
        const bool bounded = w.bounds.has_value();
        const __m512 lowest = _mm512_set1_ps(bounded ? (*w.bounds)[0] : 0);
        const __m512 highest = _mm512_set1_ps(bounded ? (*w.bounds)[1] : 0);
        const __m512 times = _mm512_set1_ps(w.integers->added);
        constexpr int64_t block = window_channels * (packs ? 1 : window_number);
        // The numbers of 16 bytes of four vectors, packed side by side, in their order.
        const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
        __m512 scales[blocks], biases[blocks];
#pragma GCC unroll 4
        for (int v = 0; v < blocks; v++) {
            scales[v] = _mm512_loadu_ps(w.integers->scales + channel + v * window_channels);
            biases[v] = _mm512_loadu_ps(w.bias + channel + v * window_channels);
        }
        for (int p = 0; p < pixels; p++, to += stride, sums += all) {
            __m512i made[4] = {};
#pragma GCC unroll 4
            for (int v = 0; v < blocks; v++) {
                // Rounded twice, as the reference does.
                __m512 number =
                    _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums + v * window_channels)), scales[v]);
                number = _mm512_add_ps(number, biases[v]);
                if constexpr (added)
                    number = _mm512_fmadd_ps(held(to + v * block, w.made, mask_of(v)), times, number);
                if (bounded)
                    number = _mm512_min_ps(_mm512_max_ps(number, lowest), highest);
                if constexpr (!packs)
                    _mm512_mask_storeu_ps(to + v * block, mask_of(v), number);
                made[v] = _mm512_add_epi32(_mm512_cvtps_epi32(number), zero);
            }
            if constexpr (!packs)
                continue;
            const __m512i first = _mm512_packs_epi32(made[0], made[1]), second = _mm512_packs_epi32(made[2], made[3]);
            const __m512i packed =
                w.made == Type::u8 ? _mm512_packus_epi16(first, second) : _mm512_packs_epi16(first, second);
            store<blocks>(to, _mm512_permutexvar_epi32(order, packed), present, left == all);
        }
    }

    /// In the shortest vectors: those that cross lines of the cache take longer, with a mask most of all.
    template <int blocks> LEAT_VNNI static void store(std::byte *to, __m512i bytes, uint64_t present, bool all)
    {
        if constexpr (blocks == 1) {
            const __m128i few = _mm512_castsi512_si128(bytes);
            all ? _mm_storeu_si128(reinterpret_cast<__m128i *>(to), few)
                : _mm_mask_storeu_epi8(to, static_cast<__mmask16>(present), few);
        } else if constexpr (blocks == 2) {
            const __m256i few = _mm512_castsi512_si256(bytes);
            all ? _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), few)
                : _mm256_mask_storeu_epi8(to, static_cast<__mmask32>(present), few);
        } else if constexpr (blocks == 3) {
            _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), _mm512_castsi512_si256(bytes));
            const __m128i few = _mm512_extracti32x4_epi32(bytes, 2);
            all ? _mm_storeu_si128(reinterpret_cast<__m128i *>(to + 32), few)
                : _mm_mask_storeu_epi8(to + 32, static_cast<__mmask16>(present >> 32), few);
        } else {
            all ? _mm512_storeu_si512(to, bytes) : _mm512_mask_storeu_epi8(to, present, bytes);
        }
    }

    LEAT_VNNI static __m512 held(const std::byte *from, Type type, __mmask16 mask)
    {
        if (type == Type::f32)
            return _mm512_maskz_loadu_ps(mask, from);
        const __m128i bytes = _mm_maskz_loadu_epi8(mask, from);
        return _mm512_cvtepi32_ps(type == Type::u8 ? _mm512_cvtepu8_epi32(bytes) : _mm512_cvtepi8_epi32(bytes));
    }
};

} // namespace

void window_sums_s8(std::byte *to, const WindowSums &w)
{
    w.integers->weight_zeros ? WindowTiles<TileS8<true>>::run(to, w) : WindowTiles<TileS8<false>>::run(to, w);
}

bool has_window_sums_s8()
{
    static const bool has = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl") &&
                            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    return has;
}
#else
void window_sums_s8(std::byte *, const WindowSums &) {}

bool has_window_sums_s8()
{
    return false;
}
#endif

} // namespace leat::cpu
