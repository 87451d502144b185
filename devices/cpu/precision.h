#pragma once
#include "inference/graph.h"

#include <leat/model.h>
#include <leat/options.h>

namespace leat::cpu {

/// The type in which layers of floats compute, as the setting "inference_precision" with its reason: bf16 or f32.
/// `has_bf16`: whether the processor multiplies bf16 (AVX512-BF16, AMX).
Setting choose_precision(const Options &, bool has_bf16);

/// Rewrites a graph so that what computes with floats does so in f32, the one type for which every kernel is fast: f16
/// and bf16 become f32 (inputs and outputs keep their type and are converted at the edge). Convolutions and matrix
/// products with scales of their own (QLinear…) become those of the numbers that the integers stand for, between
/// DequantizeLinear and QuantizeLinear, which compute_in_integers() reads. Returns one sentence for each change of
/// precision, none when nothing was to do. Shapes are inferred again. Throws Error as infer_shapes().
std::vector<std::string> compute_in_f32(Graph &);

} // namespace leat::cpu
