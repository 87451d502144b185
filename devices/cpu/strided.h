#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace leat::cpu {

/// Nested loops over the same index space for several operands: sizes, and for each operand its strides in elements.
struct Loops {
    std::vector<int64_t> sizes;                ///< outermost first
    std::vector<std::vector<int64_t>> strides; ///< by operand, then by loop

    size_t depth() const { return sizes.size(); }
    int64_t count() const;
    /// Drops loops of one turn, orders them so that operand `leader` walks its memory forwards, and merges neighbours
    /// where every operand allows it. At least one loop remains.
    void simplify(size_t leader);
    /// Offsets of the operands, in elements, at turn `index` of the first `loops` loops taken as one.
    void offsets(int64_t index, size_t loops, std::span<int64_t> offsets) const;
    /// Product of the sizes of the first `loops` loops.
    int64_t turns(size_t loops) const;
};

} // namespace leat::cpu
