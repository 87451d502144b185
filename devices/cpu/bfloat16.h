#pragma once
#include "devices/cpu/kernel.h"
#include "devices/cpu/weights.h"
#include "inference/graph.h"

#include <map>
#include <string>
#include <vector>

namespace leat::cpu {

/// What compute_in_bf16() leaves for whoever makes the plan.
struct BFloat16Report {
    std::map<std::string, std::string> refusals; ///< by name of node: why it computes in f32 all the same
    std::vector<Choice> tried;                   ///< keep packed weights until the plan uses them
};

/// Lets what computes in f32 do so in bf16, for shapes that are known: convolutions and matrix products, and what lies
/// between one and the next. Sums are f32; values in memory are bf16, rounded to nearest even.
///
/// What follows the last product on the way to an output stays f32: coordinates, scores and their arithmetic need more
/// than 8 bits; such a product writes f32 itself (a Cast as its last post-op). So does what no product feeds, but for
/// moving elements, and what the kernels have no fast way for. Constant weights become bf16; biases and the constants
/// of post-ops, normalisations and resizing stay f32. ImageToTensor writes bf16 where nothing else reads it. A Cast
/// stands between f32 and bf16 where the maker cannot write what its readers want. Shapes are inferred again. Kernels
/// are tried for so many threads as will run the plan. Throws Error as infer_shapes().
BFloat16Report compute_in_bf16(Graph &, Weights &, int threads);

} // namespace leat::cpu
