#pragma once
#include "slices.h"

namespace leat::cpu {

/// All of a convolution, channels last.
Slice whole_convolution(const NodeFacts &);
/// The kernel for a slice of a convolution that attempt_convolution() takes. Throws dnnl::error when there is none.
Choice solve_convolution(const NodeFacts &, const Slice &);
/// The kernels of ours for a slice of a 1x1 or of a depthwise convolution, channels last, on one thread.
Attempt attempt_pointwise(const NodeFacts &, const Slice &);
Attempt attempt_depthwise(const NodeFacts &, const Slice &);

} // namespace leat::cpu
