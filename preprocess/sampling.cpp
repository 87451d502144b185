#include "preprocess/sampling.h"

#include <leat/error.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace leat {
namespace {

constexpr PixelLayout packed(uint8_t red, uint8_t green, uint8_t blue, uint8_t step)
{
    return {ColourModel::rgb, 3, {{{0, red, step, 0}, {0, green, step, 0}, {0, blue, step, 0}}}};
}

/// In the order of PixelFormat.
constexpr PixelLayout layouts[] = {
    {ColourModel::yuv, 3, {{{0, 0, 1, 0}, {1, 0, 2, 1}, {1, 1, 2, 1}}}}, // nv12
    {ColourModel::yuv, 3, {{{0, 0, 1, 0}, {1, 0, 1, 1}, {2, 0, 1, 1}}}}, // i420
    packed(0, 1, 2, 3),                                                  // rgb
    packed(2, 1, 0, 3),                                                  // bgr
    packed(0, 1, 2, 4),                                                  // rgbx
    packed(2, 1, 0, 4),                                                  // bgrx
    packed(0, 1, 2, 4),                                                  // rgba
    packed(2, 1, 0, 4),                                                  // bgra
    {ColourModel::grey, 1, {{{0, 0, 1, 0}, {}, {}}}},                    // gray8
};

Taps bilinear(double position)
{
    const int first = static_cast<int>(position);
    const double share = position - first;
    if (share > 0)
        return {first, 2, 1 - share, 0, share};
    return {first};
}

/// Each sample by how much of [begin, end) it covers; a sample reaches from its number to the next.
Taps covering(double begin, double end)
{
    const int first = static_cast<int>(begin), last = static_cast<int>(std::ceil(end)) - 1;
    const double length = end - begin;
    if (first == last)
        return {first};
    return {first, last - first + 1, (first + 1 - begin) / length, 1 / length, (end - last) / length};
}

/// Outer edges, in frame pixels, of what may be seen along one axis.
struct Span {
    double first, last;
};

bool whole_frame(const Region &region)
{
    return region.width == 0 && region.height == 0;
}

Span seen(float origin, float length, int frame)
{
    const double first = std::clamp<double>(origin, 0, frame);
    return {first, std::clamp<double>(static_cast<double>(origin) + length, first, frame)};
}

Span seen_columns(const Image &image)
{
    if (whole_frame(image.region))
        return {0, static_cast<double>(image.width)};
    return seen(image.region.x, image.region.width, image.width);
}

Span seen_rows(const Image &image)
{
    if (whole_frame(image.region))
        return {0, static_cast<double>(image.height)};
    return seen(image.region.y, image.region.height, image.height);
}

SampleAxis axis_of(Span span, int frame, int shift)
{
    const double pixels = 1 << shift;
    const double samples = sample_count(frame, shift);
    SampleAxis axis;
    axis.shift = shift;
    axis.low = std::clamp(span.first / pixels, 0.0, samples - 1);
    axis.high = std::clamp((shift ? std::ceil(span.last / pixels) : span.last) - 1, axis.low, samples - 1);
    return axis;
}

/// Tensor pixels [first, last) whose centres see the span.
struct Pixels {
    int first, last;
};

Pixels pixels_that_see(Span span, double scale, double offset, int size)
{
    if (scale == 0) {
        const bool all = offset > span.first - 0.5 && offset < span.last - 0.5;
        return {0, all ? size : 0};
    }
    const auto edge = [&](double frame_edge) {
        const double tensor_edge = (frame_edge - 0.5 - offset) / scale + 0.5;
        return tensor_edge > 0 ? static_cast<int>(std::lround(std::min<double>(tensor_edge, size))) : 0;
    };
    const int one = edge(span.first), other = edge(span.last);
    return {std::min(one, other), std::max(one, other)};
}

} // namespace

const PixelLayout &layout_of(PixelFormat format)
{
    return layouts[static_cast<size_t>(format)];
}

ColourModel colour_model_of(PixelFormat format)
{
    return layout_of(format).model;
}

void check_output_type(Type type)
{
    if (type != Type::f32 && type != Type::f16 && type != Type::bf16 && type != Type::u8)
        throw Error("ImageToTensor makes f32, f16, bf16 or u8, not " + std::string(to_string(type)));
}

void check_frame(const Image &image)
{
    if (image.width < 1 || image.height < 1)
        throw Error("the frame has no pixels: " + std::to_string(image.width) + "x" + std::to_string(image.height));
    const PixelLayout &layout = layout_of(image.format);
    for (size_t i = 0; i < layout.count; i++)
        if (!image.planes[layout.components[i].plane].data)
            throw Error("the frame lacks its plane " + std::to_string(layout.components[i].plane));
}

double SampleAxis::position(double pixel) const
{
    const double sample = shift ? (pixel + 0.5) / (1 << shift) - 0.5 : pixel;
    return sample > low ? std::min(sample, high) : low;
}

Taps SampleAxis::taps(double pixel, double size, Filter filter) const
{
    const double samples = size / (1 << shift);
    if (filter == Filter::bilinear || !(samples > 1))
        return bilinear(position(pixel));
    const double middle = (pixel + 0.5) / (1 << shift);
    const double begin = std::clamp(middle - samples / 2, low, high + 1);
    const double end = std::clamp(middle + samples / 2, low, high + 1);
    return end > begin ? covering(begin, end) : bilinear(position(pixel));
}

SampleAxis horizontal_axis(const Image &image, int shift)
{
    return axis_of(seen_columns(image), image.width, shift);
}

SampleAxis vertical_axis(const Image &image, int shift)
{
    return axis_of(seen_rows(image), image.height, shift);
}

bool is_axis_aligned(const Affine &matrix)
{
    return matrix.b == 0 && matrix.c == 0;
}

Rectangle picture_of(const Image &image, const ImageSpec &spec)
{
    const Pixels columns = pixels_that_see(seen_columns(image), image.to_frame.a, image.to_frame.tx, spec.width);
    const Pixels rows = pixels_that_see(seen_rows(image), image.to_frame.d, image.to_frame.ty, spec.height);
    return {columns.first, rows.first, columns.last, rows.last};
}

RegionTest::RegionTest(const Image &image) : matrix_(image.to_frame)
{
    const Span columns = seen_columns(image), rows = seen_rows(image);
    left_ = columns.first - 0.5;
    right_ = columns.last - 0.5;
    top_ = rows.first - 0.5;
    bottom_ = rows.last - 0.5;
}

bool RegionTest::operator()(int x, int y) const
{
    const Affine &m = matrix_;
    const double u = static_cast<double>(m.a) * x + static_cast<double>(m.b) * y + m.tx;
    const double v = static_cast<double>(m.c) * x + static_cast<double>(m.d) * y + m.ty;
    return u > left_ && u < right_ && v > top_ && v < bottom_;
}

} // namespace leat
