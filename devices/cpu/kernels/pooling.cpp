#include "post_ops.h"
#include "slices.h"
#include "window.h"

#include <algorithm>

namespace leat::cpu {
namespace {

using namespace onednn;
using Argument = PrimitiveKernel::Argument;

std::string pooling_fault(const NodeFacts &facts)
{
    const bool max = facts.node.op->name == "MaxPool" || facts.node.op->name == "GlobalMaxPool";
    const bool integers = facts.type(0) == Type::u8 || facts.type(0) == Type::s8;
    if (!is_float(facts.type(0)) && !(max && integers))
        return "no float, nor the largest of 8-bit integers";
    if (facts.out.size() > 1 && facts.out[1].type != Type::undefined)
        return "it also gives the places of the maxima";
    if (facts.dims(0).size() < 3 || facts.dims(0).size() > 5)
        return "it has neither one, two nor three spatial axes";
    return "";
}

Slice channels_last(const NodeFacts &facts, std::vector<WindowAxis> axes)
{
    const Type type = facts.type(0);
    return {Layout::channels_last(type, facts.dims(0)), Layout::channels_last(type, facts.out[0].dims),
            std::move(axes)};
}

Choice pool(Pooling kind, const Dims &kernel, const Slice &slice)
{
    const Made made = pooling(kind, desc(slice.in), desc(slice.out), kernel, window_of(slice.axes), attributes());
    return choose(made, {{DNNL_ARG_SRC, desc(slice.in), Argument::From::in, 0}}, {{0, slice.in}}, slice.out, slice.out,
                  {});
}

/// One window over each whole plane.
std::vector<WindowAxis> global_windows(const Shape &dims)
{
    std::vector<WindowAxis> axes;
    for (int64_t size : spatial(dims)) {
        WindowAxis axis;
        axis.input = axis.kernel = size;
        axes.push_back(axis);
    }
    return axes;
}

} // namespace

Attempt attempt_pool(const NodeFacts &facts)
{
    if (auto fault = pooling_fault(facts); !fault.empty())
        return fault;
    const Attributes &attributes = facts.attributes();
    const Dims kernel = attributes.integers("kernel_shape");
    const auto axes = windows_of(attributes, facts.dims(0), kernel, attributes.integer("ceil_mode", 0) != 0);
    const bool max = facts.node.op->name == "MaxPool";
    const bool beyond = std::any_of(axes.begin(), axes.end(), [&](const WindowAxis &axis) {
        return (axis.output - 1) * axis.stride + axis.reach() > axis.input + axis.pad_begin + axis.pad_end;
    });
    const bool with_padding = attributes.integer("count_include_pad", 0) != 0;
    if (!max && with_padding && beyond)
        return "a window ends beyond the padding, which does not count";
    const Pooling kind = max            ? Pooling::max
                         : with_padding ? Pooling::average_with_padding
                                        : Pooling::average_without_padding;
    return or_refusal([&] {
        const Slice whole = channels_last(facts, axes);
        return solve_slices(facts, whole, cut_pictures(whole, facts.threads),
                            [&](const Slice &slice) { return pool(kind, kernel, slice); });
    });
}

Attempt attempt_global_pool(const NodeFacts &facts)
{
    if (auto fault = pooling_fault(facts); !fault.empty())
        return fault;
    const bool max = facts.node.op->name == "GlobalMaxPool";
    return or_refusal([&] {
        return pool(max ? Pooling::max : Pooling::average_without_padding, spatial(facts.dims(0)),
                    channels_last(facts, global_windows(facts.dims(0))));
    });
}

Attempt attempt_lrn(const NodeFacts &facts)
{
    if (!is_float(facts.type(0)) || facts.dims(0).size() != 4)
        return "no float with two spatial axes";
    if (facts.attributes().integer("size", 1) % 2 == 0)
        return "its window has no middle";
    const Layout layout = Layout::channels_last(facts.type(0), facts.dims(0));
    const Attributes &a = facts.attributes();
    return or_refusal([&] {
        const Made made = lrn(desc(layout), desc(layout), a.integer("size", 1), a.number("alpha", 1e-4f),
                              a.number("beta", 0.75f), a.number("bias", 1), attributes());
        return choose(made, {{DNNL_ARG_SRC, desc(layout), Argument::From::in, 0}}, {{0, layout}}, layout, layout, {});
    });
}

} // namespace leat::cpu
