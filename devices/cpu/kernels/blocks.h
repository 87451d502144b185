#pragma once
#include "slices.h"

namespace leat::cpu {

/// Pieces of a slice, in order, each as large as its result is good for the caches: about that many.
using Cut = std::vector<Slice> (*)(const Slice &, int);

/// Whether the node has a post-op that `solve_blocks` runs faster than oneDNN does: those with an exponential.
bool has_dear_post_op(const Node &);

/// The product that `solve` gives for the node up to its first dear post-op, block by block; that post-op and the unary
/// ones after it run on each block while it is in the second cache. Nothing when the product cannot take the post-ops
/// before.
std::optional<Choice> solve_blocks(const NodeFacts &, const Slice &whole, Cut,
                                   const std::function<Choice(const NodeFacts &, const Slice &)> &solve);

} // namespace leat::cpu
