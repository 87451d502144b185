#include "post_ops.h"
#include "window.h"

#include <algorithm>

namespace leat::cpu {
namespace onednn {

Window window_of(const NodeFacts &facts, const Dims &kernel)
{
    const size_t axes = kernel.size();
    auto or_ones = [&](Dims given) { return given.empty() ? Dims(axes, 1) : given; };
    Window window{or_ones(facts.attributes().integers("strides")), or_ones(facts.attributes().integers("dilations")),
                  Dims(axes, 0), Dims(axes, 0)};
    const Dims pads = facts.attributes().integers("pads", Dims(2 * axes, 0));
    const std::string automatic = facts.attributes().text("auto_pad", "NOTSET");
    for (size_t i = 0; i < axes; i++) {
        const int64_t in = facts.dims(0)[i + 2], out = facts.out[0].dims[i + 2];
        const int64_t reach = (out - 1) * window.strides[i] + (kernel[i] - 1) * window.dilations[i] + 1;
        const int64_t total = reach - in;
        if (automatic.starts_with("SAME"))
            window.pads_begin[i] = std::max<int64_t>(0, automatic == "SAME_UPPER" ? total / 2 : (total + 1) / 2);
        else if (automatic == "NOTSET")
            window.pads_begin[i] = pads[i];
        window.pads_end[i] = total - window.pads_begin[i];
    }
    return window;
}

std::optional<std::string> bias_fault(const NodeFacts &facts, size_t input)
{
    if (!facts.has(input) || facts.constant(input))
        return std::nullopt;
    return "its bias is computed";
}

} // namespace onednn

namespace {

using namespace onednn;
using Argument = PrimitiveKernel::Argument;

/// Weights [O, I/g, …] as [g, O/g, I/g, …] where there are groups.
Dims grouped(const Shape &dims, int64_t groups)
{
    if (groups == 1)
        return dims;
    Dims result{groups, dims[0] / groups};
    result.insert(result.end(), dims.begin() + 1, dims.end());
    return result;
}

bool all_f32(const NodeFacts &facts)
{
    return std::all_of(facts.in.begin(), facts.in.end(),
                       [](const Operand &o) { return !o || o.layout.type == Type::f32; });
}

} // namespace

Attempt attempt_convolution(const NodeFacts &facts)
{
    if (!all_f32(facts))
        return "not all f32";
    if (!facts.constant(1))
        return "its weights are computed";
    if (auto fault = bias_fault(facts, 2))
        return *fault;
    if (facts.dims(0).size() < 3 || facts.dims(0).size() > 5)
        return "it has neither one, two nor three spatial axes";
    const Tensor &weights = *facts.constant(1);
    const Layout in = Layout::channels_last(Type::f32, facts.dims(0));
    const Layout out = Layout::channels_last(Type::f32, facts.out[0].dims);
    const Dims kernel(weights.shape().begin() + 2, weights.shape().end());
    const Dims dims = grouped(weights.shape(), facts.attributes().integer("group", 1));
    const Desc bias = facts.has(2) ? desc(Layout::dense(Type::f32, facts.dims(2))) : Desc();
    FusedPostOps fused = fuse_post_ops(facts, out);
    auto attr = attributes();
    attr.set_post_ops(fused.ops);
    try {
        const Made made =
            convolution(desc(in), any(Type::f32, dims), bias, desc(out), window_of(facts, kernel), attr);
        std::vector<Argument> arguments{{DNNL_ARG_SRC, desc(in), Argument::From::in, 0},
                                        {DNNL_ARG_WEIGHTS, made.weights, Argument::From::constant, 0,
                                         packed(facts.weights, weights, desc(Layout::dense(Type::f32, dims)),
                                                made.weights)}};
        if (facts.has(2))
            arguments.push_back({DNNL_ARG_BIAS, bias, Argument::From::constant, 0, *facts.constant(2)});
        return choose(made, std::move(arguments), {{0, in}}, out, std::move(fused));
    } catch (const dnnl::error &error) {
        return std::string("oneDNN refuses it: ") + error.what();
    }
}

} // namespace leat::cpu
