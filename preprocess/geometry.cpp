#include "preprocess/geometry.h"

#include <leat/error.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace leat {
namespace {

/// Whole pixels that a length of scaled picture fills. Cut, not rounded; the small number forgives the error of a
/// product that is whole in exact arithmetic.
double whole_pixels(double length, int limit)
{
    return std::clamp(std::floor(length + 1e-4), 1.0, static_cast<double>(limit));
}

struct Placement {
    double x, y, width, height;
};

/// Where the picture lies in the tensor.
Placement place(const ImageSpec &spec, const Region &region)
{
    Placement picture{0, 0, static_cast<double>(spec.width), static_cast<double>(spec.height)};
    if (spec.resize == ResizeMode::stretch)
        return picture;
    const double scale = std::min(picture.width / region.width, picture.height / region.height);
    picture.width = whole_pixels(region.width * scale, spec.width);
    picture.height = whole_pixels(region.height * scale, spec.height);
    if (spec.resize == ResizeMode::letterbox) {
        picture.x = std::floor((spec.width - picture.width) / 2);
        picture.y = std::floor((spec.height - picture.height) / 2);
    }
    return picture;
}

} // namespace

Affine fit(const ImageSpec &spec, const Region &region)
{
    if (spec.width <= 0 || spec.height <= 0)
        throw Error("the model's input has no pixels: " + std::to_string(spec.width) + "x" +
                    std::to_string(spec.height));
    if (!(region.width > 0 && region.height > 0))
        throw Error("the region is empty: " + std::to_string(region.width) + "x" + std::to_string(region.height) +
                    " pixels");
    const Placement picture = place(spec, region);
    const double a = region.width / picture.width, d = region.height / picture.height;
    Affine matrix;
    matrix.a = static_cast<float>(a);
    matrix.d = static_cast<float>(d);
    matrix.tx = static_cast<float>((0.5 - picture.x) * a - 0.5 + region.x);
    matrix.ty = static_cast<float>((0.5 - picture.y) * d - 0.5 + region.y);
    return matrix;
}

Affine inverse(const Affine &m)
{
    const double determinant = static_cast<double>(m.a) * m.d - static_cast<double>(m.b) * m.c;
    if (determinant == 0 || !std::isfinite(determinant))
        throw Error("the matrix from tensor to frame has no inverse: its region is empty");
    Affine result;
    result.a = static_cast<float>(m.d / determinant);
    result.b = static_cast<float>(-m.b / determinant);
    result.c = static_cast<float>(-m.c / determinant);
    result.d = static_cast<float>(m.a / determinant);
    result.tx = static_cast<float>((static_cast<double>(m.b) * m.ty - static_cast<double>(m.d) * m.tx) / determinant);
    result.ty = static_cast<float>((static_cast<double>(m.c) * m.tx - static_cast<double>(m.a) * m.ty) / determinant);
    return result;
}

Point to_frame(const Affine &m, Point point)
{
    const float x = point.x - 0.5f, y = point.y - 0.5f;
    return {m.a * x + m.b * y + m.tx + 0.5f, m.c * x + m.d * y + m.ty + 0.5f};
}

} // namespace leat
