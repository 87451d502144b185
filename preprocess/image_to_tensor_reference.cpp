#include "preprocess/image_to_tensor.h"
#include "preprocess/sampling.h"

#include <leat/error.h>

#include <algorithm>
#include <cmath>

namespace leat {
namespace {

/// A pixel of the tensor in the frame.
struct Cell {
    double x, y;          ///< its centre
    double width, height; ///< what it covers, for an axis-aligned matrix
    Filter filter;
};

Cell cell_of(const Affine &m, const ImageSpec &spec, int x, int y)
{
    return {static_cast<double>(m.a) * x + static_cast<double>(m.b) * y + m.tx,
            static_cast<double>(m.c) * x + static_cast<double>(m.d) * y + m.ty, std::fabs(m.a), std::fabs(m.d),
            is_axis_aligned(m) ? spec.filter : Filter::bilinear};
}

float sample(const Image &image, const Component &component, const Cell &cell)
{
    const Taps columns = horizontal_axis(image, component.shift).taps(cell.x, cell.width, cell.filter);
    const Taps rows = vertical_axis(image, component.shift).taps(cell.y, cell.height, cell.filter);
    const Image::Plane &plane = image.planes[component.plane];
    double sum = 0;
    for (int row = 0; row < rows.count; row++)
        for (int column = 0; column < columns.count; column++) {
            const ptrdiff_t y = rows.first + row, x = columns.first + column;
            sum += rows.share(row) * columns.share(column) *
                   plane.data[y * plane.stride + x * component.step + component.offset];
        }
    return static_cast<float>(sum);
}

std::array<float, 3> rgb_at(const Image &image, const Cell &cell)
{
    const PixelLayout &layout = layout_of(image.format);
    std::array<float, 3> samples{};
    for (size_t i = 0; i < layout.count; i++)
        samples[i] = sample(image, layout.components[i], cell);
    std::array<float, 3> rgb;
    for (size_t i = 0; i < 3; i++) {
        const auto &row = image.colour.rows[i];
        rgb[i] = std::clamp(row[0] * samples[0] + row[1] * samples[1] + row[2] * samples[2] + row[3], 0.0f, 255.0f);
    }
    return rgb;
}

std::array<float, 3> in_order(const std::array<float, 3> &rgb, ColourOrder order)
{
    switch (order) {
    case ColourOrder::rgb: return rgb;
    case ColourOrder::bgr: return {rgb[2], rgb[1], rgb[0]};
    case ColourOrder::gray: break;
    }
    return {grey_weights[0] * rgb[0] + grey_weights[1] * rgb[1] + grey_weights[2] * rgb[2]};
}

void store(Type type, std::byte *out, ptrdiff_t index, float value)
{
    switch (type) {
    case Type::f32: reinterpret_cast<float *>(out)[index] = value; return;
    case Type::f16: reinterpret_cast<Half *>(out)[index] = Half(value); return;
    case Type::bf16: reinterpret_cast<BFloat16 *>(out)[index] = BFloat16(value); return;
    default:
        reinterpret_cast<uint8_t *>(out)[index] = static_cast<uint8_t>(std::clamp(std::nearbyint(value), 0.0f, 255.0f));
    }
}

} // namespace

void image_to_tensor_reference(const Image &image, const ImageSpec &spec, std::byte *out)
{
    check_output_type(spec.type);
    check_frame(image);
    const TensorLayout layout = dense_layout(spec);
    const Affine &m = image.to_frame;
    const bool aligned = is_axis_aligned(m);
    const Rectangle picture = picture_of(image, spec);
    const RegionTest shows_region(image);
    for (int y = 0; y < spec.height; y++)
        for (int x = 0; x < spec.width; x++) {
            const bool shown = aligned ? picture.contains(x, y) : shows_region(x, y);
            std::array<float, 3> pixel{spec.pad, spec.pad, spec.pad};
            if (shown)
                pixel = in_order(rgb_at(image, cell_of(m, spec, x, y)), spec.order);
            for (size_t c = 0; c < static_cast<size_t>(channels_of(spec.order)); c++)
                store(spec.type, out,
                      static_cast<ptrdiff_t>(c) * layout.channel_stride + y * layout.row_stride +
                          x * layout.pixel_stride,
                      pixel[c] * spec.mul[c] + spec.add[c]);
        }
}

} // namespace leat
