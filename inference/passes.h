#pragma once
#include "graph.h"

#include <leat/options.h>

#include <functional>
#include <span>
#include <string_view>

namespace leat {

/// A named rewrite of the graph that keeps its meaning. Returns how many places it changed.
struct Pass {
    std::string_view name;
    int (*run)(Graph &);
};

/// In the order in which they run. To add one: a file in passes/ with its function, its declaration here, a row in
/// passes.cpp, a before/after pair in tests/graphs.
std::span<const Pass> passes();

/// Runs every pass that is not in `options.disabled_passes`, each followed by verify() and infer_shapes(). A fault
/// found after a pass is an Error that names the pass. LEAT_DUMP_GRAPHS=DIR writes the graph after each pass that
/// changed it.
void optimise(Graph &, const Options &);

/// Removes attributes of windows that say what holds without them, so that equal nodes are spelled alike.
int drop_defaults(Graph &);
/// Replaces what depends on constants only by its value.
int fold_constants(Graph &);
/// Turns FakeQuantize of 255 or 256 levels, and integer constants that are shifted and scaled, into QuantizeLinear and
/// DequantizeLinear.
int recognise_quantization(Graph &);
/// Removes Identity, Dropout, casts to the same type, reshapes to the same shape, paddings by nothing, a + 0, a * 1 …
int remove_no_ops(Graph &);
/// Adds a Pad with zeros to the padding of the Conv after it.
int fold_pad(Graph &);
/// Folds BatchNormalization and arithmetic with constants per channel into the weights and bias of the convolution
/// before.
int fold_affine(Graph &);
/// Turns a BatchNormalization that no convolution could take into Mul with a fused Add.
int split_batch_norm(Graph &);
/// Merges neighbouring Transposes, also across unary elementwise nodes; those that move no element become Reshape.
int simplify_transposes(Graph &);
/// Puts arithmetic with constants per channel after ImageToTensor into its factors and offsets.
int fold_into_image(Graph &);
/// Finds Softmax in the exponential, sum and quotient that exporters write for it.
int recognise_softmax(Graph &);
/// Finds LayerNormalization over the last axis in the arithmetic that exporters write for it.
int recognise_layer_normalization(Graph &);
/// Finds Swish, HardSwish, HardSigmoid, Mish and Gelu in the arithmetic that exporters write for them.
int recognise_activations(Graph &);
/// Finds Interleave in the Reshape, Transpose and Reshape that shuffle channels, and in each part that is read of the
/// result.
int recognise_channel_shuffle(Graph &);
/// Fuses activations and residual sums into the node whose result they take.
int fuse_post_ops(Graph &);

} // namespace leat
