#pragma once
#include <leat/image.h>
#include <leat/tensor.h>

#include "inference/image_spec.h"

namespace leat {

/// Crop, scale, colour conversion and normalisation in one pass: `out` (spec.layout, spec.type, 1 x 3 or 1 x 1
/// channels) from the frame. Bilinear or area (bilinear for a matrix that turns or shears), pixel centres at integers,
/// edge samples repeated inside the frame; tensor pixels whose centre falls outside the region get spec.pad. Plain and
/// obviously right: the twin that the fast one is tested against. Throws Error when the frame lacks pixels or planes,
/// or spec.type is not f32, f16, bf16 or u8.
void image_to_tensor_reference(const Image &, const ImageSpec &, std::byte *out);

/// The same in SIMD (Highway, run-time dispatch), for rows [first_row, last_row) of the tensor, so that callers may
/// split it among threads. `channel_stride` and `pixel_stride` and `row_stride` are in elements of spec.type: they let
/// the kernel write straight into the layout that the first convolution reads (nchw, nhwc, or nhwc padded to more
/// channels, which it leaves alone). u8 is rounded and saturates, so that only mul 1 and add 0 make sense with it.
struct TensorLayout {
    ptrdiff_t channel_stride, row_stride, pixel_stride;
};
TensorLayout dense_layout(const ImageSpec &);
void image_to_tensor(const Image &, const ImageSpec &, const TensorLayout &, std::byte *out, int first_row,
                     int last_row);

} // namespace leat
