#include "post_ops.h"
#include "window.h"

#include <algorithm>

namespace leat::cpu {
namespace {

using namespace onednn;
using Argument = PrimitiveKernel::Argument;
using MakePrimitive = Made (*)(const Desc &src, const Desc &weights, const Desc &bias, const Desc &dst, const Window &,
                               const dnnl::primitive_attr &);

struct Layouts {
    Layout in, out;
};

/// The convolution in those layouts. `weights`: as oneDNN numbers their axes, [groups,] out, in, spatial ….
std::pair<Fused, Desc> make_in(const NodeFacts &facts, const Layouts &layouts, const Layout &weights,
                               std::span<const WindowAxis> axes, MakePrimitive make)
{
    const Desc bias = facts.has(2) ? desc(Layout::dense(Type::f32, facts.dims(2))) : Desc();
    Fused fused = make_fused(facts, {1, layouts.out.rank(), 1}, [&](const dnnl::primitive_attr &attr) {
        return make(desc(layouts.in), any(Type::f32, weights.dims), bias, desc(layouts.out), window_of(axes), attr);
    });
    return {std::move(fused), bias};
}

Layouts channels_last(const NodeFacts &facts)
{
    return {Layout::channels_last(Type::f32, facts.dims(0)), Layout::channels_last(Type::f32, facts.out[0].dims)};
}

/// Channels last where there is an optimised kernel for it, else dense.
Attempt with_weights(const NodeFacts &facts, const Layout &weights, std::span<const WindowAxis> axes,
                     MakePrimitive make)
{
    try {
        Layouts layouts = channels_last(facts);
        auto [fused, bias] = make_in(facts, layouts, weights, axes, make);
        if (is_slow(fused.made)) {
            const Layouts dense{Layout::dense(Type::f32, facts.dims(0)), facts.out[0]};
            auto [other, same] = make_in(facts, dense, weights, axes, make);
            if (!is_slow(other.made)) {
                fused = std::move(other);
                layouts = dense;
            }
        }
        std::vector<Argument> arguments{{DNNL_ARG_SRC, desc(layouts.in), Argument::From::in, 0},
                                        {DNNL_ARG_WEIGHTS, fused.made.weights, Argument::From::constant, 0,
                                         packed(facts.weights, *facts.constant(1), desc(weights), fused.made.weights)}};
        if (facts.has(2))
            arguments.push_back({DNNL_ARG_BIAS, bias, Argument::From::constant, 0, *facts.constant(2)});
        return choose(fused.made, std::move(arguments), {{0, layouts.in}}, layouts.out, layouts.out,
                      std::move(fused.post_ops));
    } catch (const dnnl::error &error) {
        return std::string("oneDNN refuses it: ") + error.what();
    }
}

} // namespace

Attempt attempt_convolution(const NodeFacts &facts)
{
    if (auto fault = convolution_fault(facts); !fault.empty())
        return fault;
    Layout weights = Layout::dense(Type::f32, facts.dims(1));
    const auto axes = windows_of(facts.attributes(), facts.dims(0), spatial(facts.dims(1)));
    const int64_t groups = facts.attributes().integer("group", 1);
    if (groups > 1) {
        Dims grouped{groups, weights.dims[0] / groups};
        grouped.insert(grouped.end(), weights.dims.begin() + 1, weights.dims.end());
        weights = Layout::dense(Type::f32, grouped);
    }
    return with_weights(facts, weights, axes, convolution);
}

namespace {

/// A 1x1 convolution into scratch memory, then its channels as pixels: a transposed convolution whose windows touch.
class Spread final : public Kernel {
  public:
    Spread(std::unique_ptr<Kernel> convolution, std::unique_ptr<Kernel> copy, size_t own_scratch)
        : convolution_(std::move(convolution)), copy_(std::move(copy)), own_(own_scratch)
    {
    }

    void run(const Launch &launch) const override
    {
        std::byte *made = launch.scratch;
        convolution_->run({launch.in, {&made, 1}, launch.scratch + own_, launch.kept, nullptr});
        const std::byte *from = made;
        std::shared_ptr<void> nothing;
        copy_->run({{&from, 1}, launch.out, nullptr, nothing, nullptr});
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
    make_copy(from, to, 1)->run({{&in, 1}, {&out, 1}, nullptr, nothing, nullptr});
    return result;
}

size_t leading_unary(const Node &node)
{
    const auto &posts = node.post_ops;
    return static_cast<size_t>(
        std::find_if(posts.begin(), posts.end(), [](const PostOp &post) { return post.kind != PostOp::Kind::unary; }) -
        posts.begin());
}

} // namespace

Attempt attempt_touching_windows(const NodeFacts &facts)
{
    if (auto fault = convolution_fault(facts); !fault.empty())
        return fault;
    const Shape &stored = facts.dims(1);
    const auto axes = transposed_windows_of(facts.attributes(), facts.dims(0), spatial(stored));
    if (axes.size() != 2 || facts.attributes().integer("group", 1) != 1 || !windows_touch(axes))
        return "its windows overlap, or it has groups";
    // Channels of the 1x1 convolution: row in the window, column in the window, channel.
    const int64_t ins = stored[0], outs = stored[1], rows = stored[2], columns = stored[3];
    const int64_t height = facts.dims(0)[2], width = facts.dims(0)[3], wide = rows * columns * outs;
    const Tensor weights = facts.weights.get(*facts.constant(1), "by pixel", [&] {
        return reordered(*facts.constant(1),
                         {Type::f32, {rows, columns, outs, ins}, {columns, 1, rows * columns, outs * rows * columns}});
    });
    const Tensor bias =
        facts.has(2) ? reordered(*facts.constant(2), {Type::f32, {rows * columns, outs}, {0, 1}}) : Tensor();
    const Layout in = Layout::channels_last(Type::f32, facts.dims(0));
    const Layout made_layout = Layout::channels_last(Type::f32, {in.dims[0], wide, height, width});
    const Layout out = Layout::channels_last(Type::f32, facts.out[0].dims);
    const Layout weights_layout = Layout::dense(Type::f32, {wide, ins, 1, 1});
    const Desc bias_desc = bias ? desc(Layout::dense(Type::f32, {wide})) : Desc();
    FusedPostOps fused = fuse_post_ops(facts, {1, 4, 1}, leading_unary(facts.node));
    auto attr = attributes();
    attr.set_post_ops(fused.ops);
    try {
        const Made made = convolution(desc(in), any(Type::f32, weights_layout.dims), bias_desc, desc(made_layout),
                                      {{1, 1}, {1, 1}, {0, 0}, {0, 0}}, attr);
        std::vector<Argument> arguments{{DNNL_ARG_SRC, desc(in), Argument::From::in, 0},
                                        {DNNL_ARG_WEIGHTS, made.weights, Argument::From::constant, 0,
                                         packed(facts.weights, weights, desc(weights_layout), made.weights)}};
        if (bias)
            arguments.push_back({DNNL_ARG_BIAS, bias_desc, Argument::From::constant, 0, bias});
        Choice choice = choose(made, std::move(arguments), {{0, in}}, made_layout, made_layout, std::move(fused));
        // Batch, row, row in window, column, column in window, channel.
        const Shape pixels{in.dims[0], height, rows, width, columns, outs};
        const Layout from{Type::f32, pixels, {height * width * wide, width * wide, columns * outs, wide, outs, 1}};
        const Layout to{Type::f32,
                        pixels,
                        {out.strides[0], rows * out.strides[2], out.strides[2], columns * out.strides[3],
                         out.strides[3], out.strides[1]}};
        const size_t own = (made_layout.bytes() + 63) / 64 * 64;
        choice.kernel = std::make_unique<Spread>(std::move(choice.kernel), make_copy(from, to, facts.threads), own);
        choice.scratch += own;
        choice.out = {out};
        choice.detail += " as 1x1";
        return choice;
    } catch (const dnnl::error &error) {
        return std::string("oneDNN refuses it: ") + error.what();
    }
}

Attempt attempt_transposed_convolution(const NodeFacts &facts)
{
    if (auto fault = convolution_fault(facts); !fault.empty())
        return fault;
    const auto axes = transposed_windows_of(facts.attributes(), facts.dims(0), spatial(facts.dims(1)));
    // ONNX stores [in, out / groups, …].
    const Layout stored = Layout::dense(Type::f32, facts.dims(1));
    const int64_t groups = facts.attributes().integer("group", 1);
    Layout weights = stored;
    std::swap(weights.dims[0], weights.dims[1]);
    std::swap(weights.strides[0], weights.strides[1]);
    if (groups > 1) {
        weights.dims[1] /= groups;
        weights.dims.insert(weights.dims.begin(), groups);
        weights.strides.insert(weights.strides.begin(), weights.dims[2] * stored.strides[0]);
    }
    return with_weights(facts, weights, axes, deconvolution);
}

} // namespace leat::cpu
