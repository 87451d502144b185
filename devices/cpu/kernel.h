#pragma once
#include "devices/cpu/layout.h"
#include "devices/cpu/weights.h"
#include "inference/graph.h"
#include "inference/ops.h"

#include <leat/image.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace leat::cpu {

/// What a kernel sees while it runs. Addresses are those of the first elements.
struct Launch {
    std::span<const std::byte *const> in; ///< the operands that its Choice reads, in that order
    std::span<std::byte *const> out;
    std::byte *scratch;            ///< Choice::scratch bytes, 64-byte aligned
    std::shared_ptr<void> &kept;   ///< nothing at first; whatever the kernel wants to find again on this lane
    std::span<const Image> images; ///< of an ImageToTensor
};

/// Bytes of scratch memory in whole lines of the cache, so that the next part begins with one.
template <class Integer> constexpr Integer in_lines(Integer bytes)
{
    return (bytes + 63) / 64 * 64;
}

/// Whether kernels on floats read and write the type; whatever it is, they calculate in f32.
inline bool is_float(Type type)
{
    return type == Type::f32 || type == Type::bf16;
}

/// Runs one step of a plan. Once prepared it is immutable and shared by the lanes, each on a thread of its own.
class Kernel {
  public:
    virtual ~Kernel() = default;
    /// What takes long and nobody's choice depends on, such as packing weights: once, before the first run, on whatever
    /// thread, beside other kernels. Throws Error or what a library throws.
    virtual void prepare() {}
    virtual void run(const Launch &) const = 0;
};

/// Something that a node reads. Absent inputs have the type `undefined`.
struct Operand {
    Layout layout;                    ///< where the elements lie at present
    const Tensor *constant = nullptr; ///< the elements, when they are known
    bool dies = false;                ///< nobody reads the memory afterwards, so that it may be written
    explicit operator bool() const { return layout.type != Type::undefined; }
};

/// What a row of the kernel table knows of a node whose every shape is known.
struct NodeFacts {
    const Graph &graph;
    const Node &node;
    std::vector<Operand> in; ///< Node::inputs, then the operands of the binary post-ops
    std::vector<Layout> out; ///< dense
    Weights &weights;
    int threads; ///< that will run the kernel
    /// Where output 0 would lie as part of the pixels of a wider tensor, which spares a copy. A kernel may make it so.
    std::optional<Layout> part{};
    bool is_result = false; ///< output 0 is one of the graph's that no node reads, and will lie dense in the end

    const Attributes &attributes() const { return node.attributes; }
    bool has(size_t input) const { return input < node.inputs.size() && bool(in[input]); }
    const Shape &dims(size_t input) const { return in[input].layout.dims; }
    Type type(size_t input) const { return in[input].layout.type; }
    const Tensor *constant(size_t input) const { return has(input) ? in[input].constant : nullptr; }
};

/// An operand of the node, in the layout in which the kernel reads it. The lowering copies it when it lies otherwise.
struct Reads {
    size_t operand; ///< index into NodeFacts::in
    Layout layout;
};

/// Part of an operand's memory under another layout: no work at all.
struct View {
    size_t operand;
    Layout layout;
    int64_t offset; ///< elements
};

/// How a node is run.
struct Choice {
    std::unique_ptr<Kernel> kernel; ///< absent for views
    std::vector<Reads> in;
    std::vector<Layout> out;        ///< one for each output, which have no gaps, or NodeFacts::part
    std::vector<View> views;        ///< instead of a kernel: one for each output
    size_t post_ops = 0;            ///< how many of the node's the kernel does; the lowering runs the others after it
    size_t scratch = 0;             ///< bytes
    std::optional<size_t> in_place; ///< index into `in`: output 0 starts as a copy of it, or is the same memory
    std::string detail;             ///< which variant was taken, for people
};

/// Choice::detail of a kernel that has no other variants: the type, unless it is f32, and the parts in which threads do
/// it.
inline std::string detail_of(Type type, int threads)
{
    const std::string detail = type == Type::f32 ? "" : std::string(to_string(type));
    return threads > 1 ? detail + (detail.empty() ? "" : " ") + "in " + std::to_string(threads) + " parts" : detail;
}

/// "" and a choice, or one sentence why the row does not fit the node.
using Attempt = std::variant<Choice, std::string>;

/// To add a kernel: a file in kernels/ with its Attempt function, its declaration below, a row in kernels.cpp before
/// the slower ones, a case in tests/ops. The first row that fits wins.
struct KernelRow {
    std::string_view name;
    std::span<const std::string_view> ops; ///< empty: any
    Attempt (*attempt)(const NodeFacts &);
};

std::span<const KernelRow> kernels();

/// What the first row that names the node's op and fits it makes; else why the last of those rows does not.
Attempt first_fit(const NodeFacts &);

/// The elementwise kernel for the node's post-ops from `first` on, in place on output 0 (operand `in[0]`, then the
/// operands of those post-ops).
Attempt attempt_post_ops(const NodeFacts &, const Layout &value, size_t first);

/// Copies `from` to `to`: same type and sizes, any strides.
std::unique_ptr<Kernel> make_copy(const Layout &from, const Layout &to, int threads);

// kernels/, one file each.
Attempt attempt_reference(const NodeFacts &);
Attempt attempt_image(const NodeFacts &);
Attempt attempt_integer_few_channels(const NodeFacts &);
Attempt attempt_integer_depthwise(const NodeFacts &);
Attempt attempt_integer_pointwise(const NodeFacts &);
Attempt attempt_integer_rows(const NodeFacts &);
Attempt attempt_integer_product(const NodeFacts &);
Attempt attempt_reshape_view(const NodeFacts &);
Attempt attempt_transpose_view(const NodeFacts &);
Attempt attempt_slice_view(const NodeFacts &);
Attempt attempt_split_view(const NodeFacts &);
Attempt attempt_reshape(const NodeFacts &);
Attempt attempt_concat(const NodeFacts &);
Attempt attempt_interleave(const NodeFacts &);
Attempt attempt_winograd(const NodeFacts &);
Attempt attempt_few_channels(const NodeFacts &);
Attempt attempt_depthwise(const NodeFacts &);
Attempt attempt_pointwise(const NodeFacts &);
Attempt attempt_rows(const NodeFacts &);
Attempt attempt_convolution(const NodeFacts &);
Attempt attempt_touching_windows(const NodeFacts &);
Attempt attempt_transposed_convolution(const NodeFacts &);
Attempt attempt_lstm(const NodeFacts &);
Attempt attempt_grid_sample(const NodeFacts &);
Attempt attempt_top_k(const NodeFacts &);
Attempt attempt_layer_normalization(const NodeFacts &);
Attempt attempt_group_normalization(const NodeFacts &);
Attempt attempt_arg(const NodeFacts &);
Attempt attempt_largest(const NodeFacts &);
Attempt attempt_global_pooling(const NodeFacts &);
Attempt attempt_pool(const NodeFacts &);
Attempt attempt_global_pool(const NodeFacts &);
Attempt attempt_lrn(const NodeFacts &);
Attempt attempt_matmul(const NodeFacts &);
Attempt attempt_vector_product(const NodeFacts &);
Attempt attempt_gemm(const NodeFacts &);
Attempt attempt_resize(const NodeFacts &);
Attempt attempt_softmax(const NodeFacts &);
Attempt attempt_integer_softmax(const NodeFacts &);
Attempt attempt_reduce(const NodeFacts &);
Attempt attempt_gather_view(const NodeFacts &);
Attempt attempt_gather(const NodeFacts &);
Attempt attempt_pad(const NodeFacts &);
Attempt attempt_expand_view(const NodeFacts &);
Attempt attempt_tile(const NodeFacts &);
Attempt attempt_depth_to_space(const NodeFacts &);
Attempt attempt_space_to_depth(const NodeFacts &);
Attempt attempt_cast(const NodeFacts &);
Attempt attempt_quantise(const NodeFacts &);
Attempt attempt_dequantise(const NodeFacts &);
Attempt attempt_dynamic_quantise(const NodeFacts &);
Attempt attempt_lookup(const NodeFacts &);
Attempt attempt_unary(const NodeFacts &);
Attempt attempt_binary(const NodeFacts &);
Attempt attempt_power(const NodeFacts &);

} // namespace leat::cpu
