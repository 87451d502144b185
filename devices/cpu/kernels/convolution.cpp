#include "convolution.h"

#include "blocks.h"
#include "post_ops.h"
#include "window.h"

#include <algorithm>

namespace leat::cpu {
namespace {

using namespace onednn;
using Argument = PrimitiveKernel::Argument;
using MakePrimitive = Made (*)(const Desc &src, const Desc &weights, const Desc &bias, const Desc &dst, const Window &,
                               const dnnl::primitive_attr &);

/// The convolution of a slice. `weights`: as oneDNN numbers their axes, [groups,] out, in, spatial ….
Choice convolve(const NodeFacts &facts, const Slice &slice, const Layout &weights, MakePrimitive make)
{
    const Desc in = desc(slice.in), bias = facts.has(2) ? desc(Layout::dense(Type::f32, facts.dims(2))) : Desc();
    auto [made, post_ops] =
        make_fused(facts, {1, slice.out.rank(), 1}, [&](const dnnl::primitive_attr &attr, Type type) {
            return make(in, any(weights.type, weights.dims), bias, desc(typed(slice.out, type)), window_of(slice.axes),
                        attr);
        });
    const Layout out = typed(slice.out, post_ops.made);
    std::vector<Argument> arguments{{DNNL_ARG_SRC, in, Argument::From::in, 0},
                                    {DNNL_ARG_WEIGHTS, made.weights, Argument::From::constant, 0,
                                     packed(facts.weights, *facts.constant(1), desc(weights), made.weights)}};
    if (facts.has(2))
        arguments.push_back({DNNL_ARG_BIAS, bias, Argument::From::constant, 0, *facts.constant(2)});
    return choose(made, std::move(arguments), {{0, slice.in}}, out, out, std::move(post_ops));
}

Slice channels_last(const NodeFacts &facts, const std::vector<WindowAxis> &axes)
{
    return {Layout::channels_last(facts.type(0), facts.dims(0)),
            Layout::channels_last(facts.out[0].type, facts.out[0].dims), axes};
}

/// The convolution of a slice, in blocks where that is faster.
Choice convolve_slice(const NodeFacts &facts, const Slice &slice, const Layout &weights, MakePrimitive make, bool cut)
{
    if (cut && has_dear_post_op(facts.node)) {
        auto choice = solve_blocks(facts, slice, cut_pictures, [&](const NodeFacts &product, const Slice &block) {
            return convolve(product, block, weights, make);
        });
        if (choice && !is_slow(choice->detail))
            return std::move(*choice);
    }
    return convolve(facts, slice, weights, make);
}

/// Channels last where there is an optimised kernel for it, else dense. `cut`: whether it may be done in slices.
Attempt in_best_layout(const NodeFacts &facts, const Slice &whole, bool cut, const Layout &weights, MakePrimitive make)
{
    return or_refusal([&] {
        auto solve = [&](const Slice &slice) { return convolve_slice(facts, slice, weights, make, cut); };
        const std::vector<Slice> slices = cut ? cut_pictures(whole, facts.threads) : std::vector{whole};
        Choice choice = solve_slices(facts, whole, slices, solve);
        if (is_slow(choice.detail))
            if (Choice dense = solve({Layout::dense(facts.type(0), facts.dims(0)), facts.out[0], whole.axes});
                !is_slow(dense.detail))
                return dense;
        return choice;
    });
}

/// As oneDNN sees them.
Layout weights_of(const NodeFacts &facts)
{
    Layout weights = Layout::dense(facts.type(1), facts.dims(1));
    const int64_t groups = facts.attributes().integer("group", 1);
    if (groups == 1)
        return weights;
    Dims grouped{groups, weights.dims[0] / groups};
    grouped.insert(grouped.end(), weights.dims.begin() + 1, weights.dims.end());
    return Layout::dense(facts.type(1), grouped);
}

} // namespace

Slice whole_convolution(const NodeFacts &facts)
{
    return channels_last(facts, windows_of(facts.attributes(), facts.dims(0), spatial(facts.dims(1))));
}

Choice solve_convolution(const NodeFacts &facts, const Slice &slice)
{
    return convolve_slice(facts, slice, weights_of(facts), convolution, true);
}

Attempt attempt_convolution(const NodeFacts &facts)
{
    if (auto fault = convolution_fault(facts); !fault.empty())
        return fault;
    return in_best_layout(facts, whole_convolution(facts), true, weights_of(facts), convolution);
}

Attempt attempt_transposed_convolution(const NodeFacts &facts)
{
    if (auto fault = convolution_fault(facts); !fault.empty())
        return fault;
    const auto axes = transposed_windows_of(facts.attributes(), facts.dims(0), spatial(facts.dims(1)));
    // ONNX stores [in, out / groups, …].
    const Layout stored = Layout::dense(facts.type(1), facts.dims(1));
    const int64_t groups = facts.attributes().integer("group", 1);
    Layout weights = stored;
    std::swap(weights.dims[0], weights.dims[1]);
    std::swap(weights.strides[0], weights.strides[1]);
    if (groups > 1) {
        weights.dims[1] /= groups;
        weights.dims.insert(weights.dims.begin(), groups);
        weights.strides.insert(weights.strides.begin(), weights.dims[2] * stored.strides[0]);
    }
    return in_best_layout(facts, channels_last(facts, axes), false, weights, deconvolution);
}

} // namespace leat::cpu
