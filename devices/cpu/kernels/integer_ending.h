#pragma once
#include "devices/cpu/kernel.h"

#include <functional>
#include <optional>
#include <vector>

namespace leat::cpu {

/// What becomes of the sums of a product of integers: sum * scale + bias, then the steps one after the other, then, for
/// integers, rounding half to even, the zero point, and saturation.
struct IntegerEnding {
    struct Step {
        enum class Kind {
            unary,  ///< `post`
            linear, ///< a x + b
            sum,    ///< x + a times what the output holds, elements of its type
        } kind;
        PostOp post{};
        float a = 1, b = 0;
    };
    std::vector<float> scales, bias; ///< one for each output channel
    std::vector<Step> steps;
    int32_t zero_point = 0;
    Type out = Type::f32;
    size_t count = 0;          ///< how many of the node's post-ops this is
    std::optional<size_t> sum; ///< operand that the output starts with
};

/// The same with the zero point among the numbers, which are rounded after it, as others want it.
IntegerEnding with_early_zero_point(IntegerEnding);

/// The longest run of the node's post-ops that `takes` wants; nothing when the sums themselves are wanted. `axis`: of
/// the output's channels. `only_scales`: without steps.
std::optional<IntegerEnding> longest_ending(const NodeFacts &, size_t axis, bool only_scales,
                                            const std::function<bool(const IntegerEnding &)> &takes);

} // namespace leat::cpu
