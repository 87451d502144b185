#include "inference/ops/window.h"
#include "inference/ops/attributes.h"

#include <algorithm>

namespace leat {
namespace {

size_t spatial_axes(const Shape &shape)
{
    if (shape.size() < 3 || shape.size() > 5)
        throw Error("the input has the shape " + to_string(shape) +
                    ", want batch, channels, and one, two or three spatial sizes");
    return shape.size() - 2;
}

enum class AutoPad : uint8_t { notset, same_upper, same_lower, valid };
constexpr std::string_view auto_pad_names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};

int64_t divide_up(int64_t a, int64_t b)
{
    return a / b + (a % b > 0 ? 1 : 0);
}

/// The i in [first, last), of `count`, for which offset + i * step lies in [0, size).
std::array<int64_t, 2> steps_inside(int64_t offset, int64_t step, int64_t size, int64_t count)
{
    const int64_t first = offset >= 0 ? 0 : std::min(count, divide_up(-offset, step));
    const int64_t last = offset >= size ? 0 : divide_up(size - offset, step);
    return {first, std::clamp(last, first, count)};
}

/// Everything but the pads that auto_pad asks for, and the output.
std::vector<WindowAxis> windows_before_padding(const Attributes &attributes, const Shape &shape,
                                               std::span<const int64_t> kernel, AutoPad automatic)
{
    const size_t axes = spatial_axes(shape);
    if (kernel.size() != axes)
        throw Error("kernel_shape has " + std::to_string(kernel.size()) + " numbers, want " + std::to_string(axes));
    const auto strides = list_attribute(attributes, "strides", axes, 1, 1);
    const auto dilations = list_attribute(attributes, "dilations", axes, 1, 1);
    const auto pads = list_attribute(attributes, "pads", 2 * axes, 0, 0);
    std::vector<WindowAxis> result(axes);
    for (size_t i = 0; i < axes; i++) {
        if (shape[i + 2] != -1)
            check_number("the input's shape", shape[i + 2], 0);
        if (kernel[i] != -1)
            check_number("kernel_shape", kernel[i], 1);
        result[i] = {shape[i + 2], kernel[i], strides[i], dilations[i], 0, 0, -1};
        if (automatic == AutoPad::notset) {
            result[i].pad_begin = pads[i];
            result[i].pad_end = pads[i + axes];
        }
    }
    return result;
}

void pad_to_same(WindowAxis &axis, AutoPad automatic)
{
    axis.output = divide_up(axis.input, axis.stride);
    if (axis.kernel < 0)
        return;
    const int64_t total = std::max<int64_t>(0, (axis.output - 1) * axis.stride + axis.reach() - axis.input);
    axis.pad_begin = automatic == AutoPad::same_upper ? total / 2 : total - total / 2;
    axis.pad_end = total - axis.pad_begin;
}

void count_positions(WindowAxis &axis, bool ceil_mode)
{
    const int64_t free = axis.input + axis.pad_begin + axis.pad_end - axis.reach();
    if (free < 0)
        throw Error("a window of " + std::to_string(axis.reach()) + " elements does not fit in " +
                    std::to_string(axis.input) + " elements padded by " + std::to_string(axis.pad_begin) + " and " +
                    std::to_string(axis.pad_end));
    axis.output = (ceil_mode ? divide_up(free, axis.stride) : free / axis.stride) + 1;
    if (ceil_mode && (axis.output - 1) * axis.stride >= axis.input + axis.pad_begin)
        axis.output--;
}

} // namespace

std::array<int64_t, 2> WindowAxis::positions_inside(int64_t tap) const
{
    return steps_inside(at(0, tap), stride, input, output);
}

std::array<int64_t, 2> WindowAxis::taps_inside(int64_t position) const
{
    return steps_inside(at(position, 0), dilation, input, kernel);
}

int64_t WindowAxis::taps_before_end(int64_t position) const
{
    return steps_inside(at(position, 0), dilation, input + pad_end, kernel)[1];
}

std::vector<WindowAxis> windows_of(const Attributes &attributes, const Shape &shape, std::span<const int64_t> kernel,
                                   bool ceil_mode)
{
    const auto automatic = enum_attribute<AutoPad>(attributes, "auto_pad", "NOTSET", auto_pad_names);
    auto axes = windows_before_padding(attributes, shape, kernel, automatic);
    for (WindowAxis &axis : axes) {
        if (axis.input < 0)
            continue;
        if (automatic == AutoPad::same_upper || automatic == AutoPad::same_lower)
            pad_to_same(axis, automatic);
        else if (axis.kernel > 0)
            count_positions(axis, ceil_mode);
    }
    return axes;
}

std::vector<WindowAxis> transposed_windows_of(const Attributes &attributes, const Shape &shape,
                                              std::span<const int64_t> kernel)
{
    const auto automatic = enum_attribute<AutoPad>(attributes, "auto_pad", "NOTSET", auto_pad_names);
    auto axes = windows_before_padding(attributes, shape, kernel, automatic);
    const auto output_padding = list_attribute(attributes, "output_padding", axes.size(), 0, 0);
    const bool given = attributes.has("output_shape");
    const auto output_shape = list_attribute(attributes, "output_shape", axes.size(), 1, 1);
    const bool same = automatic == AutoPad::same_upper || automatic == AutoPad::same_lower;
    for (size_t i = 0; i < axes.size(); i++) {
        WindowAxis &axis = axes[i];
        const int64_t from = axis.input;
        axis.output = from;
        axis.input = given ? output_shape[i] : -1;
        if (from < 0 || axis.kernel < 0)
            continue;
        const int64_t spread = axis.stride * (from - 1) + output_padding[i] + axis.reach();
        if (given || same) {
            if (!given)
                axis.input = from * axis.stride;
            const int64_t total = std::max<int64_t>(0, spread - axis.input);
            axis.pad_begin = automatic == AutoPad::same_upper ? total / 2 : total - total / 2;
            axis.pad_end = total - axis.pad_begin;
        } else {
            axis.input = spread - axis.pad_begin - axis.pad_end;
            if (axis.input < 1)
                throw Error("pads of " + std::to_string(axis.pad_begin) + " and " + std::to_string(axis.pad_end) +
                            " leave nothing of " + std::to_string(spread) + " elements");
        }
    }
    return axes;
}

std::array<WindowAxis, 3> three_axes(std::span<const WindowAxis> axes)
{
    std::array<WindowAxis, 3> three;
    std::copy(axes.begin(), axes.end(), three.end() - static_cast<ptrdiff_t>(axes.size()));
    return three;
}

} // namespace leat
