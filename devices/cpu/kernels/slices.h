#pragma once
#include "devices/cpu/kernel.h"
#include "inference/ops/window.h"

#include <functional>

namespace leat::cpu {

/// Part of a node's work that reads and writes memory of its own: some pictures of a batch, some rows (axis 2) of one
/// picture, channels last, or some rows of a matrix.
struct Slice {
    Layout in, out;
    std::vector<WindowAxis> axes;          ///< of windows; empty for matrices
    int64_t in_offset = 0, out_offset = 0; ///< elements
};

/// Cuts windows over pictures that lie channels last into as many slices as there are threads, or fewer; one when
/// cutting is not worth it.
std::vector<Slice> cut_pictures(const Slice &whole, int threads);
/// The rows [first, last) of the output for one picture, channels last, and what they are made of.
Slice rows_of(const Slice &whole, int64_t picture, int64_t first, int64_t last);
/// Cuts the rows of two matrices.
std::vector<Slice> cut_matrix(const Slice &whole, int threads);

/// What `solve` gives for the whole, or one choice whose kernel runs those for the slices side by side. Input 0 and the
/// output are what is cut. All slices must take the same post-ops; else the whole is solved alone.
Choice solve_slices(const NodeFacts &, const Slice &whole, std::span<const Slice>,
                    const std::function<Choice(const Slice &)> &solve);

} // namespace leat::cpu
