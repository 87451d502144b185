#pragma once
#include <leat/tensor.h>

#include <array>

namespace leat {

enum class ColourOrder : uint8_t { rgb, bgr, gray };
/// How a frame or region fills the model's input.
enum class ResizeMode : uint8_t {
    stretch,          ///< each axis on its own
    letterbox,        ///< aspect kept, picture in the middle, rest padded
    letterbox_corner, ///< aspect kept, picture at the top left, rest padded
};
/// How samples of the frame become a pixel of the tensor.
enum class Filter : uint8_t {
    bilinear, ///< between the nearest samples, whatever the scale; as OpenCV's INTER_LINEAR
    area,     ///< where the picture shrinks, the mean of what the pixel covers; as OpenCV's INTER_AREA
};
enum class Layout : uint8_t { nchw, nhwc };

/// What a model wants of a picture: the attributes of the op ImageToTensor.
///
/// tensor[c] = pixel[c] * mul[c] + add[c], pixel in 0..255 in the colour order; padding is `pad`, in pixel units.
struct ImageSpec {
    int width = 0, height = 0; ///< of the tensor, in pixels
    ColourOrder order = ColourOrder::rgb;
    std::array<float, 3> mul{1, 1, 1}, add{0, 0, 0};
    float pad = 0;
    ResizeMode resize = ResizeMode::stretch;
    Filter filter = Filter::bilinear;
    Layout layout = Layout::nchw;
    Type type = Type::f32;

    bool operator==(const ImageSpec &) const = default;
};

} // namespace leat
