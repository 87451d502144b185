#pragma once
#include "slices.h"

#include <optional>

// Weights of products of integers that lie outside of s8 once their zero point is taken away: with one zero point for
// a whole tensor that is so of the few weights at one end of the range.

namespace leat::cpu {

/// The output channels that have such weights, which are then as they should be.
struct WideChannels {
    std::vector<int64_t> channels;
    std::vector<int16_t> weights; ///< [channels.size(), taps, inputs]
    int64_t taps = 1, inputs = 1; ///< `inputs`: channels of the input that one of the output reads
};

struct NarrowedWeights {
    Tensor saturated; ///< as s8 without zero point
    WideChannels wide;
};

/// Constant integers of 8 bits, less the zero point, which is absent, one number, or one for each output channel.
/// `convolves`: they lie [outputs, inputs, taps…], else [inputs, outputs].
NarrowedWeights narrowed(const Tensor &integers, const Tensor *zero_point, bool convolves, Weights &);

struct WeightsWithZeros {
    Tensor weights;             ///< s8
    std::vector<int32_t> zeros; ///< one for each output channel
};

/// Constant integers of 8 bits with their zero point as s8, to which unsigned ones are brought.
WeightsWithZeros as_s8(const Tensor &integers, const Tensor *zero_point, int64_t channels, Weights &);

/// What becomes of the sums of an output channel: sum * scale + bias, for integers rounded and saturated.
struct SumScales {
    std::vector<float> scales, bias; ///< one for each output channel
};

/// Runs `product`, which was given saturated weights and leaves sums * scale + bias, then calculates the wide channels
/// anew. `source_zero_point`: absent when the second operand brings it as s32.
std::unique_ptr<Kernel> with_wide_channels(std::unique_ptr<Kernel> product, const Slice &,
                                           std::shared_ptr<const WideChannels>, SumScales,
                                           std::optional<int32_t> source_zero_point);

} // namespace leat::cpu
