#pragma once
#include <leat/image.h>

#include "inference/image_spec.h"

#include <array>

namespace leat {

enum class ColourModel : uint8_t { yuv, rgb, grey };

/// Where one component of a pixel lies: byte `offset` of each `step` bytes of a plane, which has a sample for every
/// 2^shift pixels each way.
struct Component {
    uint8_t plane, offset, step, shift;
};

/// How a pixel format stores its samples, in the order that ColourMatrix takes them.
struct PixelLayout {
    ColourModel model;
    uint8_t count; ///< of components
    std::array<Component, 3> components;
};

const PixelLayout &layout_of(PixelFormat);
ColourModel colour_model_of(PixelFormat);

constexpr int channels_of(ColourOrder order)
{
    return order == ColourOrder::gray ? 1 : 3;
}

/// Throws Error unless it is f32, f16 or u8.
void check_output_type(Type);

/// Throws Error unless the frame has pixels and every plane that its format needs.
void check_frame(const Image &);

/// Weights of the tensor's R, G, B that make grey: BT.601 luma, as OpenCV.
inline constexpr std::array<float, 3> grey_weights{0.299f, 0.587f, 0.114f};

/// Columns or rows of samples that an axis of the frame has: one for every 2^shift pixels.
constexpr int sample_count(int pixels, int shift)
{
    return (pixels + (1 << shift) - 1) >> shift;
}

/// Samples first, first + 1 … of an axis that make one pixel, and their shares, which sum to 1: all but the outermost
/// are alike.
struct Taps {
    int first = 0, count = 1;
    double head = 1, inner = 0, tail = 0;

    double share(int tap) const { return tap == 0 ? head : tap == count - 1 ? tail : inner; }
};

/// One axis (columns or rows) of one component: which samples may be read, and where pixel positions lie among them.
///
/// Chroma of half resolution is sited in the middle of its pixels (as JPEG): GStreamer's own fast converters repeat a
/// chroma sample for its two pixels, whose mean position is the middle, whatever the stream says about siting.
struct SampleAxis {
    double low = 0, high = 0; ///< sample positions are clamped to [low, high]
    int shift = 0;
    bool operator==(const SampleAxis &) const = default;
    /// Position among the samples for a position in frame pixels.
    double position(double pixel) const;
    /// For a pixel of the tensor centred at that position, which is `size` frame pixels wide.
    Taps taps(double pixel, double size, Filter) const;
};

SampleAxis horizontal_axis(const Image &, int shift);
SampleAxis vertical_axis(const Image &, int shift);

/// Tensor pixels [left, right) x [top, bottom).
struct Rectangle {
    int left = 0, top = 0, right = 0, bottom = 0;
    bool contains(int x, int y) const { return x >= left && x < right && y >= top && y < bottom; }
};

/// True when rows of the tensor are rows of the frame: no rotation and no shear.
bool is_axis_aligned(const Affine &);

/// The part of the tensor that shows the region, for an axis-aligned matrix. Edges are rounded to whole pixels, so that
/// small errors of the matrix do not matter.
Rectangle picture_of(const Image &, const ImageSpec &);

/// For any matrix: which tensor pixels show the region.
class RegionTest {
  public:
    explicit RegionTest(const Image &);
    bool operator()(int x, int y) const;

  private:
    Affine matrix_;
    double left_, right_, top_, bottom_; ///< outermost positions of frame pixels that still belong to it
};

} // namespace leat
