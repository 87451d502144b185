#pragma once
#include "devices/cpu/onednn.h"

namespace leat::cpu::onednn {

/// Strides, dilations and pads of a convolution or pooling node whose input and output sizes are known. `kernel`: the
/// spatial sizes of the window. The pads at the end are what it takes to reach the output's size, which the pads of the
/// node may fall short of when sizes round up.
Window window_of(const NodeFacts &, const Dims &kernel);

/// The bias as one f32 number a channel; an empty Desc without one. Fails with a reason when it is not constant.
std::optional<std::string> bias_fault(const NodeFacts &, size_t input);

} // namespace leat::cpu::onednn
