#pragma once
#include "devices/cpu/kernel.h"

namespace leat::cpu {

/// A 1x1 convolution, a depthwise one and perhaps another 1x1, as in the blocks of MobileNetV2 (Sandler et al.,
/// "Inverted Residuals and Linear Bottlenecks", 2018): band by band, some rows of the result at a time, so that what
/// lies between them stays in the second cache. `chain`: two or three nodes, each the only reader of the one before, as
/// its input 0. The choice reads input 0 of the first, then operands of the last, makes the output of the last, and
/// does all post-ops of all. Refuses a chain that is no faster so.
Attempt attempt_bands(std::span<const NodeFacts> chain);

} // namespace leat::cpu
