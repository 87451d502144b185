#pragma once
#include "devices/cpu/weights.h"
#include "inference/passes/rewriter.h"

#include <leat/tensor.h>

#include <string>
#include <variant>

namespace leat::cpu {

/// The matrix of 8-bit integers with its axes swapped, made once.
Tensor transposed(const Tensor &matrix, Weights &);

/// Weights of a convolution or a product as s8 without zero point.
struct IntegerWeights {
    Tensor integers;
    std::vector<float> scales; ///< one, or one for each output channel
};

/// What the value stands for when it is DequantizeLinear of a constant, seen through a Transpose of a matrix or a
/// Reshape; else one sentence why not. `channel_axis`: where its output channels lie.
std::variant<IntegerWeights, std::string> integer_weights(const Rewriter &, ValueId, size_t channel_axis, Weights &);

/// The same for integers minus `zero_point`, which is absent, one number, or one for each output channel.
std::variant<IntegerWeights, std::string> integer_weights(const Tensor &integers, const Tensor *zero_point,
                                                          size_t channel_axis, Weights &);

} // namespace leat::cpu
