#pragma once
#include <leat/tensor.h>

#include <cstdint>

namespace leat::cpu {

// The transforms of F(4x4, 3x3): A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015. A tile
// of 6x6 pixels gives 4x4 of the result with 36 multiplications instead of 144. Channels lie side by side; the
// picture's are a multiple of winograd_channels, and so are those of the products.

constexpr int64_t winograd_in = 6, winograd_out = 4, winograd_points = winograd_in * winograd_in;
constexpr int64_t winograd_channels = 16;

/// Rows or columns [first, last) of a tile.
struct TileRange {
    int64_t first, last;
};

/// B^T d B of a tile of the picture, f32 or bf16: the point p of channel c goes to to[p * to_stride + c]. `from`: where
/// the tile's first pixel lies, or would lie; pixels outside of `rows` and `columns` count as 0 and are not read.
/// Strides in elements.
void winograd_input(float *to, int64_t to_stride, const std::byte *from, Type, int64_t row_stride, int64_t channels,
                    TileRange rows, TileRange columns);

/// A^T m A + bias: the first `rows` rows, `columns` columns and `channels` channels of the result's tile, pixels of
/// which lie `channels` apart. `bias` may be null.
void winograd_output(float *to, int64_t row_stride, int64_t rows, int64_t columns, const float *from,
                     int64_t from_stride, int64_t channels, const float *bias);

/// G g G^T of `count` filters of 3x3, calculated in double: the point p of filter f goes to to[p * to_stride + f].
/// `filter_stride`: elements from one filter to the next.
void winograd_filters(float *to, int64_t to_stride, const float *filters, int64_t filter_stride, int64_t count);

} // namespace leat::cpu
