#pragma once
#include <hwy/aligned_allocator.h>

#include <cstddef>
#include <cstdint>
#include <span>

/// The inner loops of ImageToTensor, in SIMD for the best instruction set of the machine (Highway, run-time dispatch).
namespace leat {

template <class T> using AlignedArray = hwy::AlignedFreeUniquePtr<T[]>;

/// Rows that the kernels read or write hold this many elements more than they need.
inline constexpr int row_slack = 64;

constexpr int with_slack(int count)
{
    return count + row_slack;
}

/// A share of a resampled pixel: (sample[x] * first + sample[x + 1] * second) / ColumnTable::one.
struct SamplePair {
    int32_t x;
    int16_t first, second;
};

/// A pair for each pixel of a resampled row.
///
/// `narrow`: pixels come in groups of four that find their eight samples in 16 bytes from `starts[group]` on, picked by
/// `picks` (16 bytes a group: sample x in byte 0, x + 1 in byte 2 of each pixel's four). Otherwise `starts` has the
/// sample x of each pixel.
struct ColumnTable {
    static constexpr int group = 4;
    static constexpr int one = 1 << 14;

    explicit ColumnTable(std::span<const SamplePair>);

    int count; ///< pixels
    bool narrow;
    AlignedArray<int32_t> starts;
    AlignedArray<uint8_t> picks;
    AlignedArray<int16_t> weights; ///< two a pixel
};

/// Takes `count` pixels of `step` interleaved bytes (1 to 4) apart, into as many rows.
void split_row(const uint8_t *row, int count, int step, uint8_t *const *out);

/// Writes the table's shares, or adds them to what `out` holds.
void resample_row(const uint8_t *samples, const ColumnTable &, bool add, float *out);

/// Writes row * share, or adds it to what `out` holds.
void scale_row(const float *row, int count, float share, bool add, float *out);

/// One plane, to be sampled at any positions.
struct SampledPlane {
    const uint8_t *lowest; ///< the plane's byte of the lowest address
    int32_t first;         ///< bytes from `lowest` to the plane's first sample
    int32_t last;          ///< bytes from `lowest` to the plane's last four bytes
    int32_t stride;
    int step;                       ///< bytes of a pixel, 1 to 4
    bool halved;                    ///< chroma of half resolution
    float left, right, top, bottom; ///< sample positions are clamped to them
};

/// Frame positions of the pixels x = 0, 1 … of a tensor row: (u + a x, v + c x).
struct PointRow {
    float u, v, a, c;
};

/// Bilinear samples of the pixels [first, last) of a row, for each of the pixel's first three bytes.
void sample_row(const SampledPlane &, const PointRow &, int first, int last, float *const *out);

/// From two resampled rows of each component to one row of tensor values: interpolation between the rows, colour
/// matrix, clamp to 0..255, and scale and shift.
struct RowMix {
    const float *upper[3], *lower[3]; ///< of each component
    float weight[3];                  ///< of `lower`
    int components;                   ///< 1 or 3
    float matrix[3][4];               ///< a row for each channel; for grey, R, G, B
    bool grey;                        ///< one channel: the weighted sum of three
    float grey_weights[3];
    float mul[3], add[3];
};

/// Writes exactly `count` values to each of `out` (three rows, or one when grey).
void mix_rows(const RowMix &, int count, float *const *out);

/// Converts with rounding to nearest even; u8 saturates.
void to_f16(const float *values, int count, uint16_t *out);
void to_bf16(const float *values, int count, uint16_t *out);
void to_u8(const float *values, int count, uint8_t *out);

/// Writes rows of channels, of elements of 1, 2 or 4 bytes, pixel by pixel.
void interleave_row(const std::byte *const *rows, int channels, int count, size_t element_bytes,
                    ptrdiff_t channel_stride, ptrdiff_t pixel_stride, std::byte *out);

} // namespace leat
