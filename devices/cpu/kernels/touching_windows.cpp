#include "post_ops.h"
#include "slices.h"
#include "window.h"

#include <algorithm>

namespace leat::cpu {
namespace {

using namespace onednn;
using Argument = PrimitiveKernel::Argument;

/// A 1x1 convolution into scratch memory, then its channels as pixels: a transposed convolution whose windows touch.
class Spread final : public Kernel {
  public:
    Spread(std::unique_ptr<Kernel> convolution, std::unique_ptr<Kernel> copy, size_t own_scratch)
        : convolution_(std::move(convolution)), copy_(std::move(copy)), own_(own_scratch)
    {
    }

    void prepare() override { convolution_->prepare(); }

    void run(const Launch &launch) const override
    {
        std::byte *made = launch.scratch;
        convolution_->run({launch.in, {&made, 1}, launch.scratch + own_, launch.kept, {}});
        const std::byte *from = made;
        std::shared_ptr<void> nothing;
        copy_->run({{&from, 1}, launch.out, nullptr, nothing, {}});
    }

  private:
    std::unique_ptr<Kernel> convolution_, copy_;
    size_t own_;
};

bool windows_touch(std::span<const WindowAxis> axes)
{
    return std::all_of(axes.begin(), axes.end(), [](const WindowAxis &axis) {
        return axis.kernel == axis.stride && axis.dilation == 1 && axis.pad_begin == 0 &&
               axis.input == axis.output * axis.stride;
    });
}

/// The constant with its elements in another order.
Tensor reordered(const Tensor &constant, const Layout &from)
{
    const Layout to = Layout::dense(from.type, from.dims);
    Tensor result(from.type, from.dims);
    const std::byte *in = constant.raw();
    std::byte *out = result.raw();
    std::shared_ptr<void> nothing;
    make_copy(from, to, 1)->run({{&in, 1}, {&out, 1}, nullptr, nothing, {}});
    return result;
}

size_t leading_unary(const Node &node)
{
    const auto &posts = node.post_ops;
    return static_cast<size_t>(
        std::find_if(posts.begin(), posts.end(), [](const PostOp &post) { return post.kind != PostOp::Kind::unary; }) -
        posts.begin());
}

/// The 1x1 convolution has a channel for each row and column of the window and each channel of the output, in that
/// order.
struct Spreading {
    int64_t batch, ins, height, width; ///< of the input
    int64_t outs, rows, columns;       ///< channels of the output; size of the window
    int64_t wide() const { return rows * columns * outs; }
    /// Windows of one pixel.
    std::vector<WindowAxis> pixels() const
    {
        std::vector<WindowAxis> axes(2);
        axes[0].input = axes[0].output = height;
        axes[1].input = axes[1].output = width;
        return axes;
    }
    /// What the 1x1 convolution makes.
    Layout made(Type type) const { return Layout::channels_last(type, {batch, wide(), height, width}); }
};

Spreading spreading_of(const NodeFacts &facts)
{
    const Shape &in = facts.dims(0), &weights = facts.dims(1);
    return {in[0], in[1], in[2], in[3], weights[1], weights[2], weights[3]};
}

Choice pointwise(const NodeFacts &facts, const Spreading &s, const Slice &slice)
{
    // ONNX stores [in, out, row, column].
    const Type type = facts.type(1);
    const Tensor weights = facts.weights.get(*facts.constant(1), "by pixel", [&] {
        return reordered(*facts.constant(1),
                         {type, {s.rows, s.columns, s.outs, s.ins}, {s.columns, 1, s.rows * s.columns, s.wide()}});
    });
    const Desc in = desc(slice.in);
    const Layout kernel = Layout::dense(type, {s.wide(), s.ins, 1, 1});
    const Desc bias = facts.has(2) ? desc(Layout::dense(Type::f32, {s.wide()})) : Desc();
    FusedPostOps fused = fuse_post_ops(facts, {1, 4, 1}, leading_unary(facts.node));
    auto attr = attributes();
    attr.set_post_ops(fused.ops);
    const Layout out = typed(slice.out, fused.made);
    const Made made = convolution(in, any(type, kernel.dims), bias, desc(out), window_of(slice.axes), attr);
    std::vector<Argument> arguments{{DNNL_ARG_SRC, in, Argument::From::in, 0},
                                    {DNNL_ARG_WEIGHTS, made.weights, Argument::From::constant, 0,
                                     packed(facts.weights, weights, desc(kernel), made.weights)}};
    if (facts.has(2)) {
        const Layout repeated{Type::f32, {s.rows * s.columns, s.outs}, {0, 1}};
        arguments.push_back(
            {DNNL_ARG_BIAS, bias, Argument::From::constant, 0, reordered(*facts.constant(2), repeated)});
    }
    return choose(made, std::move(arguments), {{0, slice.in}}, out, out, std::move(fused));
}

/// Copies the channels of the 1x1 convolution to their pixels. Axes: batch, row, row in the window, column, column in
/// the window, channel.
std::unique_ptr<Kernel> make_spread(const Spreading &s, const Layout &out, int threads)
{
    const Shape axes{s.batch, s.height, s.rows, s.width, s.columns, s.outs};
    const Layout made = s.made(out.type);
    const Layout from{
        out.type, axes, {made.strides[0], made.strides[2], s.columns * s.outs, made.strides[3], s.outs, 1}};
    const Layout to{out.type,
                    axes,
                    {out.strides[0], s.rows * out.strides[2], out.strides[2], s.columns * out.strides[3],
                     out.strides[3], out.strides[1]}};
    return make_copy(from, to, threads);
}

} // namespace

Attempt attempt_touching_windows(const NodeFacts &facts)
{
    if (auto fault = convolution_fault(facts); !fault.empty())
        return fault;
    const auto axes = transposed_windows_of(facts.attributes(), facts.dims(0), spatial(facts.dims(1)));
    if (axes.size() != 2 || facts.attributes().integer("group", 1) != 1 || !windows_touch(axes))
        return "its windows overlap, or it has groups";
    return or_refusal([&] {
        const Spreading spreading = spreading_of(facts);
        const Slice whole{Layout::channels_last(facts.type(0), facts.dims(0)), spreading.made(facts.out[0].type),
                          spreading.pixels()};
        Choice choice = solve_slices(facts, whole, cut_pictures(whole, facts.threads),
                                     [&](const Slice &slice) { return pointwise(facts, spreading, slice); });
        const Layout out = Layout::channels_last(choice.out[0].type, facts.out[0].dims);
        const size_t own = in_lines(spreading.made(out.type).bytes());
        choice.kernel =
            std::make_unique<Spread>(std::move(choice.kernel), make_spread(spreading, out, facts.threads), own);
        choice.scratch += own;
        choice.out = {out};
        choice.detail += " as 1x1";
        return choice;
    });
}

} // namespace leat::cpu
