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
    Tensor weights;                           ///< s8 without zero point, saturated
    std::shared_ptr<const WideChannels> wide; ///< whose weights are others; absent when there are none
    std::optional<int32_t> zero_point;        ///< the source's; nothing when only the run knows it: its operand 2
};

/// The node as one, or one sentence why it is none.
std::variant<IntegerProduct, std::string> integer_product(const NodeFacts &);

/// The kernel, which was given saturated weights, and what calculates the wide channels anew, when there are some.
Choice with_wide_channels(Choice, const IntegerProduct &, const IntegerEnding &, const Slice &);

} // namespace leat::cpu
