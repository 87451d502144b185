#include <leat/image.h>

#include "preprocess/sampling.h"

namespace leat {
namespace {

/// Shares of red and blue in luma: ITU-R BT.601-7, BT.709-6 and BT.2020-2 (non-constant luminance).
struct Luma {
    double red, blue;
};

constexpr Luma luma_of(ColourStandard standard)
{
    constexpr Luma table[] = {{0.299, 0.114}, {0.2126, 0.0722}, {0.2627, 0.0593}};
    return table[static_cast<size_t>(standard)];
}

/// Factor and offset that bring a stored code to 0..255 (luma, RGB) or -127.5..127.5 (chroma).
struct Scale {
    double factor, zero;
};

constexpr Scale luma_scale(ColourRange range)
{
    return range == ColourRange::full ? Scale{1, 0} : Scale{255.0 / 219, 16};
}

constexpr Scale chroma_scale(ColourRange range)
{
    return range == ColourRange::full ? Scale{1, 128} : Scale{255.0 / 224, 128};
}

ColourMatrix diagonal(Scale scale)
{
    ColourMatrix matrix;
    for (size_t row = 0; row < 3; row++)
        matrix.rows[row] = {};
    for (size_t row = 0; row < 3; row++) {
        matrix.rows[row][row] = static_cast<float>(scale.factor);
        matrix.rows[row][3] = static_cast<float>(-scale.zero * scale.factor);
    }
    return matrix;
}

ColourMatrix grey(Scale scale)
{
    ColourMatrix matrix;
    for (auto &row : matrix.rows)
        row = {static_cast<float>(scale.factor), 0, 0, static_cast<float>(-scale.zero * scale.factor)};
    return matrix;
}

ColourMatrix from_yuv(Luma luma, Scale y, Scale c)
{
    const double green = 1 - luma.red - luma.blue;
    const double red_of_v = 2 * (1 - luma.red), blue_of_u = 2 * (1 - luma.blue);
    const double factors[3][2] = {
        {0, red_of_v}, {-blue_of_u * luma.blue / green, -red_of_v * luma.red / green}, {blue_of_u, 0}};
    ColourMatrix matrix;
    for (size_t row = 0; row < 3; row++) {
        const double u = factors[row][0] * c.factor, v = factors[row][1] * c.factor;
        matrix.rows[row] = {static_cast<float>(y.factor), static_cast<float>(u), static_cast<float>(v),
                            static_cast<float>(-y.factor * y.zero - (u + v) * c.zero)};
    }
    return matrix;
}

} // namespace

ColourMatrix colour_matrix(PixelFormat format, ColourStandard standard, ColourRange range)
{
    switch (colour_model_of(format)) {
    case ColourModel::yuv: return from_yuv(luma_of(standard), luma_scale(range), chroma_scale(range));
    case ColourModel::grey: return grey(luma_scale(range));
    case ColourModel::rgb: break;
    }
    return diagonal(luma_scale(range));
}

} // namespace leat
