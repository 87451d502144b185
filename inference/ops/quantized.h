#pragma once
#include "inference/ops.h"

#include <span>

// What the ops on quantised integers share: number = (integer - zero point) * scale.

namespace leat {

/// The integers minus their zero point, as s32. The zero point is absent, one number, or one for each index of `axis`.
/// Throws Error when it has another size than that.
Tensor without_zero_point(const Tensor &integers, const Tensor &zero_point, size_t axis);

/// The only element of a scale input. Throws Error that names the input when it has none or more.
float only_scale(const RunContext &, size_t input);

/// Output 0: sums (s32) times their factor (one, or one for each index of `axis`), rounded half to even, plus the zero
/// point, saturated to its type.
void requantize(RunContext &, const Tensor &sums, std::span<const float> factors, size_t axis,
                const Tensor &zero_point);

} // namespace leat
