#pragma once
#include <cstddef>
#include <span>
#include <vector>

namespace leat {

/// A piece of memory that steps [first, last] of a plan need, both inclusive.
struct Lifetime {
    size_t bytes = 0;
    int first = 0, last = 0;
};

/// Where each piece lies in one arena, 64-byte aligned, so that no two pieces alive at once overlap.
struct Arena {
    std::vector<size_t> offsets;
    size_t bytes = 0;
};

/// Greedy by size, largest first, each at the lowest offset that is free over its lifetime (Pisarchyk & Lee, "Efficient
/// Memory Management for Deep Neural Net Inference", 2020).
Arena pack(std::span<const Lifetime>);

} // namespace leat
