#pragma once
#include "graph.h"

namespace leat {

/// The graph that runs `count` jobs of the given one at once. In place of each input it has `count` inputs of the same
/// form, one a job, which it joins on axis 0; in place of each output, `count` outputs.
///
/// Each node is shown to treat the jobs apart, by following the axis that separates them from the inputs on; sizes that
/// the model's file fixes to one job (Reshape, Resize) are rewritten. Throws Error that names the node or port because
/// of which that cannot be done. The graph's shapes are inferred.
Graph batched(const Graph &, int64_t count);

} // namespace leat
