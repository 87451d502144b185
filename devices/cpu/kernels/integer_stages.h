#pragma once
#include "elementwise.h"
#include "integer_products.h"
#include "window_sums.h"

namespace leat::cpu {

/// An IntegerEnding in terms of tiles of ours, which take all but the stages, and of functions of one number.
struct IntegerStages {
    IntegerEnding ending;                         ///< whose steps are what follows
    std::optional<float> added{};                 ///< times what the output holds
    std::optional<std::array<float, 2>> bounds{}; ///< also when the numbers could lie beyond integers of 32 bits
    std::vector<UnaryStage> stages{};             ///< nothing is added when there are some

    /// Whether the tiles make f32 that become integers later.
    bool narrows() const { return ending.out != Type::f32 && !stages.empty(); }
    /// What the tiles make.
    Type summed() const { return narrows() ? Type::f32 : ending.out; }
    /// Runs the stages over `numbers` and writes what they become, when that is something else.
    void finish(std::byte *to, float *numbers, int64_t count) const;
};

/// The node's post-ops as stages; nothing when others do more of them. `summed`: products in a sum.
std::optional<IntegerStages> integer_stages(const NodeFacts &, const IntegerProduct &, int64_t summed);

/// The choice of a kernel of ours for the product: what it reads and makes, without the kernel.
Choice integer_choice(const NodeFacts &, const IntegerProduct &, const IntegerStages &, const Slice &, int threads);

/// What a kernel keeps to make sums of integers with.
struct IntegerScaling {
    std::vector<float> scales;         ///< of the output channels, in whole blocks
    float added;                       ///< times what the output holds
    int32_t zero_point;                ///< of the output
    Constant weight_sums;              ///< see weight_sums()
    std::vector<int32_t> weight_zeros; ///< of the output channels, in whole blocks; empty: none
    int32_t summed;                    ///< integers of the input in a sum, with those that fill up its last number
    Type source;
    std::optional<int32_t> known_zero_point; ///< the source's; nothing: it is the second of what the kernel reads

    /// Bytes that begin() writes to.
    int64_t start_bytes() const { return in_lines(static_cast<int64_t>(scales.size() * sizeof(int32_t))); }
    int32_t source_zero_point(const Launch &) const;
    /// Writes what sums start from to `memory`, to which the result points.
    IntegerSums begin(std::byte *memory, const Launch &) const;
};
/// `filled`: whether sums are of whole numbers, which the last integers of each tap fill up.
IntegerScaling integer_scaling(const NodeFacts &, const IntegerProduct &, const IntegerStages &, const WindowWeights &,
                               bool filled = true);

} // namespace leat::cpu
