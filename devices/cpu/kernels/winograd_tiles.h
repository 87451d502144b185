#pragma once
#include <leat/tensor.h>

#include <array>
#include <cstdint>
#include <optional>

namespace leat::cpu {

// The transforms of F(4x4, 3x3): A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015. A tile
// of 6x6 pixels gives 4x4 of the result with 36 multiplications instead of 144. Channels lie side by side; the
// picture's are a multiple of winograd_channels, and so are those of the products.

constexpr int64_t winograd_in = 6, winograd_out = 4, winograd_points = winograd_in * winograd_in;
constexpr int64_t winograd_taps = 9, winograd_channels = 16;

/// Rows or columns [first, last) of a tile.
struct TileRange {
    int64_t first, last;
};

/// Where the points of a tile of the picture go: the point p of channel c to
/// to[c / chunk * chunk_stride + p * stride + c % chunk].
struct WinogradPoints {
    float *to;
    int64_t stride, chunk, chunk_stride;
};

/// B^T d B of a tile of the picture, f32 or bf16. `from`: where the tile's first pixel lies, or would lie; pixels
/// outside of `rows` and `columns` count as 0 and are not read; they lie `channels` apart. Strides in elements.
void winograd_input(const WinogradPoints &to, const std::byte *from, Type, int64_t row_stride, int64_t channels,
                    TileRange rows, TileRange columns);

/// The first `rows` rows, `columns` columns and `channels` channels of a tile of the result. Strides in elements.
struct WinogradTile {
    float *to;
    int64_t row_stride, pixel_stride, rows, columns, channels;
};

/// A^T m A + bias, brought into the bounds: the point p of channel c is from[p * from_stride + c]. `bias` may be null.
void winograd_output(const WinogradTile &to, const float *from, int64_t from_stride, const float *bias,
                     const std::optional<std::array<float, 2>> &bounds);

/// Rows of points whose filters are transformed together.
constexpr int winograd_pairs[][2] = {{0, 5}, {1, 2}, {3, 4}};
constexpr int64_t winograd_pair_points = 2 * winograd_in;

/// Of G g G^T of filters of 3x3 the rows winograd_pairs[pair], for `ins` channels, an even number of them, and `outs`,
/// whole groups of winograd_channels: the point number p of these, for the channels i and o, goes to
/// to[p * to_stride + i * outs + o]. `from`: f32 or bf16, tap by tap as weights_in_groups() makes them; `tap_stride`:
/// bytes.
void winograd_filters(float *to, int64_t to_stride, const std::byte *from, Type, int64_t tap_stride, int64_t ins,
                      int64_t outs, int pair);

} // namespace leat::cpu
