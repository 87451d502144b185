#pragma once
#include "devices/cpu/kernel.h"
#include "devices/cpu/weights.h"
#include "inference/graph.h"

#include <leat/options.h>

#include <map>
#include <string>
#include <vector>

namespace leat::cpu {

/// What compute_in_integers() leaves for whoever makes the plan.
struct IntegerReport {
    std::map<std::string, std::string> refusals; ///< by name of node: why it computes with floats all the same
    std::vector<Choice> tried;                   ///< keep packed weights until the plan uses them
};

/// Lets what a quantised model writes as floats between DequantizeLinear and QuantizeLinear compute with its 8-bit
/// integers, for shapes that are known.
///
/// Convolutions and matrix products of dequantised data with dequantised constant weights become ConvInteger and
/// MatMulInteger with these post-ops: Cast to f32, Mul by scale of data times scale of weights, Add of the bias, those
/// that the node had, and QuantizeLinear where nobody else reads the result. A residual sum reads its operand as
/// integers. What only moves elements, or chooses among them, does it on the integers. Elementwise arithmetic becomes
/// one DequantizeLinear with post-ops, and where one 8-bit value decides an 8-bit result, a Lookup in a table. Data may
/// be u8 or s8 with one scale and zero point; weights u8 or s8 with one of each, or one for each output channel.
///
/// A node stays with floats when the kernels have no fast way for it, and always on processors without dot products of
/// 8-bit integers (VNNI), whose older instructions saturate in between. Dequantised constants that remain are folded.
/// Shapes are inferred again. Kernels are tried for so many threads as will run the plan. Throws Error as
/// infer_shapes().
///
/// With "compute_in_integers" among the disabled passes it only folds, and all is computed with floats.
IntegerReport compute_in_integers(Graph &, Weights &, const Options &, int threads);

} // namespace leat::cpu
