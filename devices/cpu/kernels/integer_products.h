#pragma once
#include "integer_ending.h"
#include "wide_channels.h"

#include <memory>
#include <optional>
#include <string>
#include <variant>

// Convolutions and matrix products of 8-bit integers whose sums become numbers: the normal form that
// compute_in_integers() makes.
namespace leat::cpu {

/// What every kernel for a ConvInteger or a MatMulInteger asks for.
struct IntegerProduct {
    bool convolves;
    size_t channel_axis;                      ///< of the output
    Tensor weights;                           ///< s8
    std::vector<int32_t> weight_zeros;        ///< that they have, one for each output channel; empty: none
    std::shared_ptr<const WideChannels> wide; ///< whose weights do not fit in s8; absent when there are none
    std::optional<int32_t> zero_point;        ///< the source's; nothing when only the run knows it: its operand 2
};

/// The node as one, or one sentence why it is none. `takes_zeros`: the kernel knows zeros of weights; the weights of
/// others are without, saturated, and there may be wide channels.
std::variant<IntegerProduct, std::string> integer_product(const NodeFacts &, bool takes_zeros);

} // namespace leat::cpu
