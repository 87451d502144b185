#pragma once
#include "vector_functions.h"

#include "inference/graph.h"

#include <vector>

namespace leat::cpu {

/// A function of one number with its parameters.
struct UnaryStage {
    Apply apply;
    float a, b;
};

/// The node's post-ops up to the first that is not a function of one f32.
std::vector<UnaryStage> leading_unary_stages(const Node &);

} // namespace leat::cpu
