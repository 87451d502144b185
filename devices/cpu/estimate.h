#pragma once
#include "kernel.h"

namespace leat::cpu {

/// How many of the `threads` shall run the node: all, or one where it is done before others could have begun.
int threads_for(const NodeFacts &, int threads);

} // namespace leat::cpu
