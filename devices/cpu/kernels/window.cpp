#include "window.h"

#include <algorithm>

namespace leat::cpu::onednn {

Window window_of(std::span<const WindowAxis> axes)
{
    Window window;
    for (const WindowAxis &axis : axes) {
        window.strides.push_back(axis.stride);
        window.dilations.push_back(axis.dilation);
        window.pads_begin.push_back(axis.pad_begin);
        window.pads_end.push_back((axis.output - 1) * axis.stride + axis.reach() - axis.input - axis.pad_begin);
    }
    return window;
}

bool are_pixels(std::span<const WindowAxis> axes)
{
    return std::all_of(axes.begin(), axes.end(), [](const WindowAxis &axis) {
        return axis.kernel == 1 && axis.stride == 1 && axis.pad_begin == 0 && axis.output == axis.input;
    });
}

Dims spatial(const Shape &shape)
{
    return Dims(shape.begin() + 2, shape.end());
}

std::string convolution_fault(const NodeFacts &facts)
{
    if (!is_float(facts.type(0)) || facts.type(1) != facts.type(0))
        return "its data and weights are not floats of one type";
    if (!facts.constant(1))
        return "its weights are computed";
    if (facts.has(2) && (!facts.constant(2) || facts.type(2) != Type::f32))
        return "its bias is computed, or not f32";
    if (facts.dims(0).size() < 3 || facts.dims(0).size() > 5)
        return "it has neither one, two nor three spatial axes";
    return "";
}

} // namespace leat::cpu::onednn
