#pragma once
#include <leat/image.h>

#include "inference/image_spec.h"

namespace leat {

struct Point {
    float x = 0, y = 0;
};

/// Matrix from the tensor's pixel centres to the frame's, so that `region` fills the tensor as spec.resize says.
/// Stretch maps outer edges to outer edges: frame = (tensor + 0.5) * region / size - 0.5 + origin, as OpenCV's and
/// ONNX's half_pixel. Letterbox cuts the scaled picture to whole pixels and puts it at whole pixels, as OpenCV-based
/// references do. The same region belongs into Image::region. Throws Error when spec or region are empty.
Affine fit(const ImageSpec &spec, const Region &region);
/// Throws Error when there is no inverse.
Affine inverse(const Affine &);
/// A point given in edge coordinates (a pixel spans [i, i+1]) of the tensor, to edge coordinates of the frame.
Point to_frame(const Affine &, Point);

} // namespace leat
