#pragma once
#include "window_sums.h"

// Depthwise convolutions: each channel has weights of its own. Channels, which lie side by side, fill the vectors, and
// each number of the input is read once for all windows of a tile. Of 8-bit integers four rows are multiplied at once.
namespace leat::cpu {

/// Channels whose weights lie side by side; a pixel has no fewer.
constexpr int64_t depthwise_block = 16;

/// The first channel of a block: the last one goes back over channels of the one before, so that none is partial.
constexpr int64_t depthwise_channel(int64_t block, int64_t channels)
{
    const int64_t first = block * depthwise_block, last = channels - depthwise_block;
    return first < last ? first : last;
}

/// What all windows of a convolution have in common: numbers of rows and columns of the input.
struct DepthwiseWindow {
    int64_t height, width;          ///< taps
    int64_t row_stride, stride;     ///< from one window to the next
    int64_t row_dilation, dilation; ///< from one tap to the next
};

/// Windows beside and, maybe, below each other, and some blocks of their channels.
struct DepthwiseTile {
    DepthwiseWindow window;
    const std::byte *const *const *rows; ///< of the input, from that of the first tap on: the places of their pixels
    int64_t column;                      ///< of the first tap
    int64_t channels;                    ///< of a pixel
    int64_t first, last;                 ///< blocks
    const void *weights;                 ///< [blocks, taps, 16], of the type of the input; see depthwise_fours()
    const float *bias;                   ///< [channels]
    bool bounded;                        ///< into [lowest, highest]
    float lowest, highest;
    std::byte *to;                         ///< the first block's first channel of the first window's result
    int64_t row_step, step;                ///< there, from one window to the next: elements
    const IntegerSums *integers = nullptr; ///< of integers: by channel
};

/// Windows in a tile.
struct DepthwiseTileSize {
    int rows, columns;
};

/// The size that cuts rows of so many windows best.
DepthwiseTileSize depthwise_tile_size(const DepthwiseWindow &, int64_t columns);

/// Sums number * weight over the taps, one after the other, in f32, then adds the bias.
using DepthwiseFunction = void (*)(const DepthwiseTile &);

/// The function for tiles of the size that depthwise_tile_size() gave, or of one row of it. `to` is `from`, f32 or
/// bf16, or f32.
DepthwiseFunction depthwise_sums(const DepthwiseWindow &, Type from, Type to, DepthwiseTileSize);
/// The same for the largest number of each window, of f32 or bf16, without weights, bias and bounds.
DepthwiseFunction depthwise_largest(const DepthwiseWindow &, Type, DepthwiseTileSize);

/// Why depthwise convolutions of 8-bit integers are not made so; "" when they are.
std::string depthwise_fault_s8();
DepthwiseTileSize depthwise_tile_size_s8(const DepthwiseWindow &, int64_t columns);
/// The same of u8 or s8 times s8. `to`: u8, s8 or f32. `shifted`: the weights have zeros.
DepthwiseFunction depthwise_sums_s8(const DepthwiseWindow &, Type to, DepthwiseTileSize, bool shifted);

/// The taps of a column of integer weights in fours, one below the other: so many fours.
constexpr int64_t depthwise_fours(int64_t height)
{
    return (height + 3) / 4;
}

} // namespace leat::cpu
