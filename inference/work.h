#pragma once
#include "graph.h"

#include <optional>

namespace leat {

/// Floating-point or integer operations that the node's products take, a multiplication and an addition counting as
/// two, post-ops left out: of convolutions and matrix products. Nothing for other ops, and where a shape is not known.
std::optional<double> operations_of(const Graph &, const Node &);

} // namespace leat
