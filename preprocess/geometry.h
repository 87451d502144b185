#pragma once
#include <leat/image.h>

#include "inference/image_spec.h"

namespace leat {

/// A rectangle in frame pixels; x, y is the outer top-left corner, so a whole frame is {0, 0, width, height}.
struct Region {
    float x = 0, y = 0, width = 0, height = 0;
};

struct Point {
    float x = 0, y = 0;
};

/// Matrix from the tensor's pixel centres to the frame's, so that `region` fills the tensor as spec.resize says. Stretch
/// maps outer edges to outer edges: frame = (tensor + 0.5) * region / size - 0.5 + origin, as OpenCV's and ONNX's half_pixel.
/// Letterbox rounds the scaled picture to whole pixels as OpenCV-based references do.
Affine fit(const ImageSpec &spec, const Region &region);
/// Throws Error when there is no inverse.
Affine inverse(const Affine &);
/// A point given in edge coordinates (a pixel spans [i, i+1]) of the tensor, to edge coordinates of the frame.
Point to_frame(const Affine &, Point);

} // namespace leat
