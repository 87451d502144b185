#pragma once
#include "devices/cpu/weights.h"
#include "inference/passes/rewriter.h"

#include <leat/tensor.h>

#include <string>
#include <variant>

namespace leat::cpu {

/// The matrix of 8-bit integers with its axes swapped, made once.
Tensor transposed(const Tensor &matrix, Weights &);

/// Weights of a convolution or a product.
struct IntegerWeights {
    Tensor integers;
    Tensor zero_point;         ///< absent, one, or one for each output channel, of the type of the integers
    std::vector<float> scales; ///< one, or one for each output channel
};

/// What the value stands for when it is DequantizeLinear of a constant, seen through a Transpose of a matrix or a
/// Reshape; else one sentence why not. `channel_axis`: where its output channels lie.
std::variant<IntegerWeights, std::string> integer_weights(const Rewriter &, ValueId, size_t channel_axis, Weights &);

} // namespace leat::cpu
