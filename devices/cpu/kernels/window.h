#pragma once
#include "devices/cpu/onednn.h"
#include "inference/ops/window.h"

namespace leat::cpu::onednn {

/// The windows in oneDNN's terms. The pads at the end are what it takes to reach the output's size, which the node's
/// own may fall short of when sizes round up.
Window window_of(std::span<const WindowAxis>);

/// Whether each window is one pixel, in steps of one.
bool are_pixels(std::span<const WindowAxis>);

/// Spatial sizes of weights or of a tensor: all but the first two.
Dims spatial(const Shape &);

/// Why the node is no float computation with constant weights and bias on one to three spatial axes; "" when it is.
std::string convolution_fault(const NodeFacts &);

} // namespace leat::cpu::onednn
