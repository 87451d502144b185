#pragma once
#include "vector_functions.h"

#include "devices/cpu/kernel.h"

#include <array>
#include <optional>
#include <vector>

namespace leat::cpu {

/// A function of one number with its parameters.
struct UnaryStage {
    Apply apply;
    float a, b;
};

/// The post-op as one; nothing when it is none of one number.
std::optional<UnaryStage> unary_stage(const PostOp &);

struct UnaryStages {
    std::vector<UnaryStage> stages;
    size_t count; ///< of post-ops, Casts among them
    Type made;    ///< what the result is after them
};

/// The node's post-ops from `first` on, up to one that is not a function of one number; `type`: what it is before them.
/// `casts`: whether they may end in another float type.
UnaryStages unary_stages(const Node &, size_t first, Type type, bool casts);

/// The grid of 8-bit integers to which the post-op brings f32; nothing when it is no such QuantizeLinear.
std::optional<Quantisation> quantisation(const PostOp &);

/// The range into which the stage brings numbers, when it does no more.
std::optional<std::array<float, 2>> bounds_of(const UnaryStage &);
/// Takes the first stage away when it only brings numbers into a range, and gives the range.
std::optional<std::array<float, 2>> take_bounds(UnaryStages &);

/// The numbers of a constant operand, one for each channel of the output, which lie on `axis`; nothing when it has
/// another shape.
std::optional<std::vector<float>> numbers_by_channel(const Operand &, const Shape &out, size_t axis);

} // namespace leat::cpu
