#pragma once
#include <cstdint>

namespace leat::cpu {

/// Output channels whose weights lie side by side, whatever the length of the processor's vectors.
constexpr int64_t window_channels = 16;
/// At most so many neighbouring pixels are summed at once.
constexpr int64_t window_pixels = 16;

/// What one row of a convolution's result is made of.
struct WindowRow {
    const float *const *taps; ///< for each tap and channel of the window, its number for the first pixel
    int64_t count;            ///< of them
    int64_t step;             ///< from the number for one pixel to that for the next
    const float *weights;     ///< [outs / 16, count, 16]
    const float *bias;        ///< whole blocks of 16
    int64_t outs, width;      ///< of the result: numbers of a pixel, pixels
    bool bounded;             ///< whether the sums are brought into the range from `lowest` to `highest`
    float lowest, highest;
};

/// The row, channels last: bias + sum over taps of number * weight. Reads the numbers of fewer than
/// `window_pixels` pixels beyond the last, and drops what they give.
void window_sums(float *to, const WindowRow &);

} // namespace leat::cpu
