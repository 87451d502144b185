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
    return or_refusal([&] {
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
    });
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
