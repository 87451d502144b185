#include "devices/cpu/kernel.h"

#include <algorithm>
#include <array>

namespace leat::cpu {
namespace {

template <class... Names> constexpr auto names(Names... each)
{
    return std::array<std::string_view, sizeof...(each)>{each...};
}

constexpr auto image_ops = names("ImageToTensor");
constexpr auto reshape_ops = names("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity");
constexpr auto transpose_ops = names("Transpose");
constexpr auto slice_ops = names("Slice");
constexpr auto split_ops = names("Split");
constexpr auto interleave_ops = names("Interleave");
constexpr auto concat_ops = names("Concat", "Interleave");
constexpr auto convolution_ops = names("Conv");
constexpr auto transposed_convolution_ops = names("ConvTranspose");
constexpr auto pool_ops = names("MaxPool", "AveragePool");
constexpr auto max_pool_ops = names("MaxPool");
constexpr auto global_pool_ops = names("GlobalAveragePool", "GlobalAveragePoolInteger", "GlobalMaxPool");
constexpr auto lrn_ops = names("LRN");
constexpr auto matmul_ops = names("MatMul");
constexpr auto gemm_ops = names("Gemm");
constexpr auto integer_convolution_ops = names("ConvInteger");
constexpr auto integer_matmul_ops = names("MatMulInteger");
constexpr auto integer_product_ops = names("ConvInteger", "MatMulInteger");
constexpr auto resize_ops = names("Resize");
constexpr auto softmax_ops = names("Softmax", "LogSoftmax");
constexpr auto integer_softmax_ops = names("Softmax", "SoftmaxInteger");
constexpr auto reduce_ops =
    names("ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare");
constexpr auto gather_ops = names("Gather");
constexpr auto pad_ops = names("Pad");
constexpr auto expand_ops = names("Expand");
constexpr auto tile_ops = names("Tile");
constexpr auto depth_to_space_ops = names("DepthToSpace");
constexpr auto space_to_depth_ops = names("SpaceToDepth");
constexpr auto cast_ops = names("Cast", "CastLike");
constexpr auto quantise_ops = names("QuantizeLinear");
constexpr auto dequantise_ops = names("DequantizeLinear");
constexpr auto dynamic_quantise_ops = names("DynamicQuantizeLinear");
constexpr auto lookup_ops = names("Lookup");
constexpr auto layer_normalization_ops = names("LayerNormalization", "RMSNormalization");
constexpr auto group_normalization_ops = names("GroupNormalization", "InstanceNormalization");
constexpr auto arg_ops = names("ArgMax", "ArgMin");
constexpr auto lstm_ops = names("LSTM");
constexpr auto grid_sample_ops = names("GridSample");
constexpr auto top_k_ops = names("TopK");
constexpr auto unary_ops =
    names("Abs", "Ceil", "Clip", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log",
          "Mish", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Softplus", "Sqrt", "Swish", "Tanh");
constexpr auto binary_ops = names("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "PRelu");
constexpr auto power_ops = names("Pow");

const KernelRow table[] = {
    {"image", image_ops, attempt_image},
    {"view", reshape_ops, attempt_reshape_view},
    {"view", transpose_ops, attempt_transpose_view},
    {"view", slice_ops, attempt_slice_view},
    {"view", split_ops, attempt_split_view},
    {"view", gather_ops, attempt_gather_view},
    {"view", expand_ops, attempt_expand_view},
    {"copy", reshape_ops, attempt_reshape},
    {"interleave", interleave_ops, attempt_interleave},
    {"copy", concat_ops, attempt_concat},
    {"copy", tile_ops, attempt_tile},
    {"copy", depth_to_space_ops, attempt_depth_to_space},
    {"copy", space_to_depth_ops, attempt_space_to_depth},
    {"pad", pad_ops, attempt_pad},
    {"gather", gather_ops, attempt_gather},
    {"resize", resize_ops, attempt_resize},
    {"softmax", integer_softmax_ops, attempt_integer_softmax},
    {"softmax", softmax_ops, attempt_softmax},
    {"reduce", reduce_ops, attempt_reduce},
    {"cast", cast_ops, attempt_cast},
    {"quantise", quantise_ops, attempt_quantise},
    {"dequantise", dequantise_ops, attempt_dequantise},
    {"lookup", lookup_ops, attempt_lookup},
    {"quantise", dynamic_quantise_ops, attempt_dynamic_quantise},
    {"Winograd", convolution_ops, attempt_winograd},
    {"few channels", convolution_ops, attempt_few_channels},
    {"depthwise", convolution_ops, attempt_depthwise},
    {"pointwise", convolution_ops, attempt_pointwise},
    {"oneDNN", convolution_ops, attempt_convolution},
    {"oneDNN", transposed_convolution_ops, attempt_touching_windows},
    {"oneDNN", transposed_convolution_ops, attempt_transposed_convolution},
    {"largest", max_pool_ops, attempt_largest},
    {"oneDNN", pool_ops, attempt_pool},
    {"pooling", global_pool_ops, attempt_global_pooling},
    {"oneDNN", global_pool_ops, attempt_global_pool},
    {"oneDNN", lrn_ops, attempt_lrn},
    {"rows", matmul_ops, attempt_rows},
    {"oneDNN", matmul_ops, attempt_matmul},
    {"vector product", gemm_ops, attempt_vector_product},
    {"rows", gemm_ops, attempt_rows},
    {"oneDNN", gemm_ops, attempt_gemm},
    {"few channels", integer_convolution_ops, attempt_integer_few_channels},
    {"depthwise", integer_convolution_ops, attempt_integer_depthwise},
    {"pointwise", integer_convolution_ops, attempt_integer_pointwise},
    {"rows", integer_matmul_ops, attempt_integer_rows},
    {"oneDNN", integer_product_ops, attempt_integer_product},
    {"normalise", layer_normalization_ops, attempt_layer_normalization},
    {"normalise", group_normalization_ops, attempt_group_normalization},
    {"arg", arg_ops, attempt_arg},
    {"lstm", lstm_ops, attempt_lstm},
    {"sample", grid_sample_ops, attempt_grid_sample},
    {"top k", top_k_ops, attempt_top_k},
    {"elementwise", unary_ops, attempt_unary},
    {"elementwise", binary_ops, attempt_binary},
    {"elementwise", power_ops, attempt_power},
    {"reference", {}, attempt_reference},
};

} // namespace

std::span<const KernelRow> kernels()
{
    return table;
}

Attempt first_fit(const NodeFacts &facts)
{
    Attempt attempt = "there is no kernel for its op";
    for (const KernelRow &row : table)
        if (std::ranges::find(row.ops, facts.node.op->name) != row.ops.end())
            if (attempt = row.attempt(facts); std::holds_alternative<Choice>(attempt))
                break;
    return attempt;
}

} // namespace leat::cpu
