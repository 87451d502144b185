#include "pixels.h"

#include <algorithm>
#include <cstring>

namespace leat::cpu {

void Pixels::copy(std::byte *to, const std::byte *in, int64_t index, int64_t element, std::byte padding) const
{
    const int64_t column = x.at(index % x.output, 0), line = y.at(index / x.output % y.output, 0);
    const auto bytes = static_cast<size_t>(channels * element);
    if (column < 0 || column >= x.input || line < 0 || line >= y.input)
        std::memset(to, std::to_integer<int>(padding), bytes);
    else
        std::memcpy(to, in + (index / x.output / y.output * picture + line * row + column * pixel) * element, bytes);
}

Pixels pixels_of(const Layout &in, std::span<const WindowAxis> axes)
{
    Pixels pixels;
    pixels.pictures = in.dims[0];
    pixels.channels = in.dims[1];
    pixels.picture = in.strides[0];
    pixels.x = axes.back();
    pixels.pixel = in.strides.back();
    if (axes.size() == 2) {
        pixels.y = axes[0];
        pixels.row = in.strides[2];
    }
    return pixels;
}

/// The distance between pixels that lie one after the other, whatever else lies between; nothing when they do not.
std::optional<int64_t> step_of(const Layout &in)
{
    if (in.strides[1] != 1 && in.dims[1] != 1)
        return std::nullopt;
    std::optional<int64_t> step;
    int64_t next = 0;
    for (size_t axis = in.rank(); axis-- > 0;) {
        if (axis == 1 || in.dims[axis] == 1)
            continue;
        if (!step)
            step = in.strides[axis];
        else if (in.strides[axis] != next)
            return std::nullopt;
        next = in.strides[axis] * in.dims[axis];
    }
    return step;
}

int64_t Product::rows_at_once(int64_t cache, int64_t made, int threads) const
{
    constexpr int64_t whole_tiles = 24; // of all sizes
    const int64_t fit = cache / (ins * element() + outs * made) / whole_tiles * whole_tiles;
    const int64_t all = (rows + threads - 1) / threads, most = std::max(2 * whole_tiles, fit);
    // A few rows that are left over would read all weights again.
    const int64_t times = std::max<int64_t>(1, all / most), even = (all + times - 1) / times;
    return times == 1 ? all : (even + whole_tiles - 1) / whole_tiles * whole_tiles;
}

int64_t Product::gathered_bytes(int64_t at_once) const
{
    return gathered ? in_lines(std::max(at_once, window_pixels) * ins * element()) : 0;
}

void Product::gather(std::byte *to, const std::byte *in, int64_t first, int64_t last, std::byte padding) const
{
    const int64_t row = ins * element(), copied = gathered->channels * element();
    for (int64_t i = first; i < last; i++, to += row) {
        gathered->copy(to, in, i, element(), padding);
        std::memset(to + copied, std::to_integer<int>(padding), static_cast<size_t>(row - copied));
    }
}

void Product::find_taps(const std::byte **taps, const std::byte *row) const
{
    for (int64_t i = 0; i < numbers(); i++)
        taps[i] = row + i * window_number;
}

Product product_of_rows(Type type, int64_t rows, int64_t ins, int64_t outs, int64_t step)
{
    Product product{type, rows, ins, outs, rows > 1 ? step : 0};
    if (rows > 1 && rows < window_pixels) {
        Pixels pixels;
        pixels.x.output = pixels.x.input = rows;
        pixels.pixel = step;
        pixels.channels = ins;
        product.gathered = pixels;
        product.step = ins;
    }
    return product;
}

Product product_of_pixels(const Layout &in, std::span<const WindowAxis> axes, int64_t outs, std::optional<int64_t> step)
{
    const int64_t ins = in.dims[1];
    if (step)
        return product_of_rows(in.type, in.count() / ins, ins, outs, *step);
    const Pixels pixels = pixels_of(in, axes);
    return {in.type, pixels.count(), ins, outs, ins, pixels};
}

} // namespace leat::cpu
