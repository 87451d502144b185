#include "devices/cpu/kernel.h"

#include <array>

namespace leat::cpu {
namespace {

template <class... Names> constexpr auto names(Names... each)
{
    return std::array<std::string_view, sizeof...(each)>{each...};
}

constexpr auto image_ops = names("ImageToTensor");
constexpr auto reshape_ops = names("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout");
constexpr auto transpose_ops = names("Transpose");
constexpr auto slice_ops = names("Slice");
constexpr auto split_ops = names("Split");
constexpr auto concat_ops = names("Concat");
constexpr auto convolution_ops = names("Conv");
constexpr auto transposed_convolution_ops = names("ConvTranspose");
constexpr auto pool_ops = names("MaxPool", "AveragePool");
constexpr auto global_pool_ops = names("GlobalAveragePool", "GlobalMaxPool");
constexpr auto lrn_ops = names("LRN");
constexpr auto matmul_ops = names("MatMul");
constexpr auto gemm_ops = names("Gemm");
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
    {"copy", reshape_ops, attempt_reshape},
    {"copy", concat_ops, attempt_concat},
    {"oneDNN", convolution_ops, attempt_convolution},
    {"oneDNN", transposed_convolution_ops, attempt_transposed_convolution},
    {"oneDNN", pool_ops, attempt_pool},
    {"oneDNN", global_pool_ops, attempt_global_pool},
    {"oneDNN", lrn_ops, attempt_lrn},
    {"oneDNN", matmul_ops, attempt_matmul},
    {"oneDNN", gemm_ops, attempt_gemm},
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

} // namespace leat::cpu
