#pragma once
#include "devices/cpu/kernel.h"

#include <oneapi/dnnl/dnnl.hpp>

#include <functional>
#include <string>
#include <vector>

/// The differences between oneDNN 2.6 (Debian 12) and 3.x end in this pair of files.
namespace leat::cpu::onednn {

using Dims = dnnl::memory::dims;
using Desc = dnnl::memory::desc;

const dnnl::engine &engine();

/// While one of them lives, oneDNN remembers the primitives that are made: those that were tried are not generated
/// again when they are chosen.
class RememberedPrimitives {
  public:
    RememberedPrimitives();
    ~RememberedPrimitives();
    RememberedPrimitives(const RememberedPrimitives &) = delete;
    RememberedPrimitives &operator=(const RememberedPrimitives &) = delete;
};

/// Version and the instructions that it uses.
std::string description();

/// Nothing for types that oneDNN does not know.
std::optional<dnnl::memory::data_type> type_of(Type);
Desc desc(const Layout &);
/// Whatever format the primitive likes best.
Desc any(Type, const Dims &);

/// Appends an eltwise post-op that computes op(x) of the op table; false when oneDNN has none
/// that can stand beside the post-ops that are there.
bool append_unary(dnnl::post_ops &, const PostOp &);

struct Window {
    Dims strides, dilations, pads_begin, pads_end; ///< dilations: 1 = none, as in ONNX
};

/// A primitive and what its caller must bring.
struct Made {
    dnnl::primitive primitive;
    Desc weights, scratchpad;
    std::string implementation; ///< "brgconv:avx512_core"
};

// Each throws dnnl::error when there is no implementation. An empty Desc stands for no bias.
Made convolution(const Desc &src, const Desc &weights, const Desc &bias, const Desc &dst, const Window &,
                 const dnnl::primitive_attr &);
Made deconvolution(const Desc &src, const Desc &weights, const Desc &bias, const Desc &dst, const Window &,
                   const dnnl::primitive_attr &);
enum class Pooling { max, average_with_padding, average_without_padding };
Made pooling(Pooling, const Desc &src, const Desc &dst, const Dims &kernel, const Window &,
             const dnnl::primitive_attr &);
Made matmul(const Desc &src, const Desc &weights, const Desc &bias, const Desc &dst, const dnnl::primitive_attr &);
/// y = x / (k + alpha / size * sum of squares over `size` channels) ^ beta
Made lrn(const Desc &src, const Desc &dst, int64_t size, float alpha, float beta, float k,
         const dnnl::primitive_attr &);
/// True for oneDNN's loops without any optimisation.
bool is_slow(const std::string &implementation);

/// Attributes with the scratchpad in the caller's memory: the library's own is not safe when two lanes run one
/// primitive.
dnnl::primitive_attr attributes();

/// Whether the processor sums products of 8-bit integers without saturating in between (VNNI, AMX).
bool has_integer_dot_products();

/// Whether the processor multiplies bf16 in its vectors or tiles (AVX512-BF16, AMX).
bool has_bf16();

/// Whether oneDNN multiplies matrices in tiles (AMX).
bool has_tiles();
/// Whether a convolution in tiles begins with some 45 us of its own when its source has a zero point: oneDNN 2 leaves
/// it to an older kind of code.
bool begins_slowly_with_zero_points();

/// What a primitive on integers makes of the sums of its products: sum * scale + bias, before its post-ops.
struct Requantisation {
    std::vector<float> scales; ///< one, or one for each output channel
    std::vector<float> bias;   ///< one for each output channel, or none
    /// Taken from the source's integers first; nothing: the primitive reads it as s32 when it runs.
    std::optional<int32_t> source_zero_point = 0;
    int output_axis = 1;  ///< of the channels
    int weights_mask = 1; ///< bits of the weights' axes that number the channels
};

/// A text that names the form of memory.
std::string form_of(const Desc &);
/// The text that this process has for what another has stored under that text.
std::string form_here(const std::string &form);
/// Copies elements from one format to another.
void reorder(const std::byte *elements, const Desc &from, std::byte *target, const Desc &to);
/// What `write` writes of the constant, elements as `to` says, under that name of its form: see Weights::later(). Throws
/// Error when what was stored under the name has another size.
Constant in_form(Weights &, const Tensor &constant, const std::string &form, const Desc &to,
                 std::function<void(std::byte *)> write);
/// The constant's elements from the `first` on, which lie as `from` says, in the format of `to`: packed once, when they
/// are first asked for.
Constant packed(Weights &, const Tensor &constant, const Desc &from, const Desc &to, int64_t first = 0);

/// One primitive with its arguments.
class PrimitiveKernel final : public Kernel {
  public:
    struct Argument {
        int id;
        Desc desc;
        enum class From { in, out, constant, scratch } from;
        size_t index = 0; ///< of Launch::in or out
        Constant constant{};
    };
    PrimitiveKernel(dnnl::primitive primitive, std::vector<Argument> arguments)
        : primitive_(std::move(primitive)), arguments_(std::move(arguments))
    {
    }
    void prepare() override;
    void run(const Launch &) const override;

  private:
    dnnl::primitive primitive_;
    std::vector<Argument> arguments_;
};

/// Requantisation in the terms of the library's version.
struct IntegerAttributes {
    dnnl::primitive_attr attr;
    Tensor bias; ///< f32 that the primitive takes as its bias, or absent
    std::vector<PrimitiveKernel::Argument> arguments;
};
IntegerAttributes integer_attributes(const Requantisation &, const dnnl::post_ops &);

/// Appends a * x + b; false when it cannot stand beside the post-ops that are there.
bool append_linear(dnnl::post_ops &, float a, float b);
/// Appends the sum with `scale` times what the output holds, elements of that type.
void append_sum(dnnl::post_ops &, float scale, Type);

} // namespace leat::cpu::onednn
