#pragma once
#include "inference/graph.h"

#include <array>
#include <span>

// How the windows of convolutions and poolings slide over the spatial axes: the axes from the third on.

namespace leat {

/// A window on one spatial axis, in elements. -1 is a size that only the run knows; the pads that `auto_pad` asks for
/// are then 0.
struct WindowAxis {
    int64_t input = 1, kernel = 1, stride = 1, dilation = 1, pad_begin = 0, pad_end = 0, output = 1;
    /// Elements from the first tap to the last.
    int64_t reach() const { return (kernel - 1) * dilation + 1; }
    /// Where the tap of the window at `position` lies in the input; outside of [0, input) is padding.
    int64_t at(int64_t position, int64_t tap) const { return position * stride - pad_begin + tap * dilation; }
    /// The positions [first, last) whose tap lies inside of the input.
    std::array<int64_t, 2> positions_inside(int64_t tap) const;
    /// The taps [first, last) of the window at `position` that lie inside of the input.
    std::array<int64_t, 2> taps_inside(int64_t position) const;
    /// How many taps of the window at `position` lie before the end of the padding.
    int64_t taps_before_end(int64_t position) const;
};

/// The windows over the spatial axes of a tensor of that shape, with the attributes strides, dilations, pads and
/// auto_pad. `kernel` holds one size an axis. `ceil_mode` lets a last window begin in the input and end beyond the
/// padding. Throws Error that names the attribute, and when there is no place for a single window.
std::vector<WindowAxis> windows_of(const Attributes &, const Shape &shape, std::span<const int64_t> kernel,
                                   bool ceil_mode = false);

/// The windows of a transposed convolution over a tensor of that shape: those of the convolution that it turns round,
/// so that `output` is the size of its input and `input` that of its result (attributes output_padding, output_shape).
std::vector<WindowAxis> transposed_windows_of(const Attributes &, const Shape &shape, std::span<const int64_t> kernel);

/// One to three axes as three, with single elements in front.
std::array<WindowAxis, 3> three_axes(std::span<const WindowAxis>);

} // namespace leat
