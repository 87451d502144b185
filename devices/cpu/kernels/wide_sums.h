#pragma once
#include <cstdint>
#include <span>

namespace leat::cpu {

/// Integers that lie side by side, times weights that do.
template <class T> struct Run {
    const T *x;
    const int16_t *weights;
    int64_t count;
};

/// sums[i] = the products of all runs, each moved by i * step elements; exact modulo 2^32.
void sum_runs(std::span<int32_t> sums, std::span<const Run<uint8_t>>, int64_t step);
void sum_runs(std::span<int32_t> sums, std::span<const Run<int8_t>>, int64_t step);

/// numbers[i] = (sums[i] - less) * scale + bias.
void scale_sums(std::span<float> numbers, const int32_t *sums, int32_t less, float scale, float bias);
/// The same rounded, halves to even, and cut off at the limits.
void round_sums(std::span<float> numbers, float lowest, float highest);

} // namespace leat::cpu
