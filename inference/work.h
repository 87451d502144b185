#pragma once
#include "graph.h"

#include <optional>

namespace leat {

/// Floating-point or integer operations that the node's products take, a multiplication and an addition counting as
/// two, post-ops left out: of convolutions and matrix products. Nothing for other ops, and where a shape is not known.
std::optional<double> operations_of(const Graph &, const Node &);

/// About how many elements the node's reference kernel reads, computes with and writes, each product's term counting
/// two. At least the elements of its inputs and outputs, of those whose shapes are known. Infinity for ops whose work
/// the sizes do not bound: loops, branches, and what compares boxes or reads each pixel for many of them.
double steps_of(const Graph &, const Node &);

} // namespace leat
