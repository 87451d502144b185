#pragma once
#include "inference/graph.h"

namespace leat::cpu {

/// Rewrites a graph so that it computes in f32, the one type for which every kernel is fast: f16 and bf16 become f32
/// (inputs and outputs keep their type and are converted at the edge), and convolutions and matrix products of integers
/// become those of the numbers that the integers stand for, between DequantizeLinear and QuantizeLinear. Sums of
/// integers are exact up to 2^24. Returns one sentence for each kind of change, none when nothing was to do. Shapes are
/// inferred again. Throws Error as infer_shapes().
std::vector<std::string> compute_in_f32(Graph &);

} // namespace leat::cpu
