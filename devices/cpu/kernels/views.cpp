#include "devices/cpu/kernel.h"

#include <algorithm>
#include <numeric>

// Ops that only look at the same elements in another way.
namespace leat::cpu {
namespace {

Attempt view(Layout layout, int64_t offset = 0)
{
    Choice choice;
    choice.views = {{0, std::move(layout), offset}};
    return choice;
}

} // namespace

Attempt attempt_reshape_view(const NodeFacts &facts)
{
    if (facts.out.size() != 1)
        return "it has a second output";
    if (auto layout = reshaped(facts.in[0].layout, facts.out[0].dims))
        return view(*layout);
    return "the axes that it merges do not lie side by side";
}

Attempt attempt_transpose_view(const NodeFacts &facts)
{
    const Layout &in = facts.in[0].layout;
    auto permutation = facts.attributes().integers("perm");
    if (permutation.empty()) {
        permutation.resize(in.rank());
        std::iota(permutation.rbegin(), permutation.rend(), int64_t(0));
    }
    Layout out = facts.out[0];
    for (size_t axis = 0; axis < out.rank(); axis++)
        out.strides[axis] = in.strides[normal_axis(permutation[axis], in.rank())];
    return view(std::move(out));
}

Attempt attempt_slice_view(const NodeFacts &facts)
{
    const Layout &in = facts.in[0].layout;
    for (size_t i = 1; i < facts.node.inputs.size(); i++)
        if (facts.has(i) && !facts.constant(i))
            return "starts, ends, axes or steps are not constant";
    const auto starts = facts.constant(1)->to_int64();
    std::vector<int64_t> axes(starts.size()), steps(starts.size(), 1);
    std::iota(axes.begin(), axes.end(), int64_t(0));
    if (facts.has(3))
        axes = facts.constant(3)->to_int64();
    if (facts.has(4))
        steps = facts.constant(4)->to_int64();
    Layout out = facts.out[0];
    out.strides = in.strides;
    int64_t offset = 0;
    for (size_t i = 0; i < starts.size(); i++) {
        const size_t axis = normal_axis(axes[i], in.rank());
        const int64_t size = in.dims[axis];
        if (steps[i] < 0)
            return "a step is negative";
        const int64_t start = std::clamp<int64_t>(starts[i] < 0 ? starts[i] + size : starts[i], 0, size);
        offset += start * in.strides[axis];
        out.strides[axis] *= steps[i];
    }
    return view(std::move(out), offset);
}

Attempt attempt_split_view(const NodeFacts &facts)
{
    const Layout &in = facts.in[0].layout;
    const size_t axis = normal_axis(facts.attributes().integer("axis", 0), in.rank());
    Choice choice;
    int64_t at = 0;
    for (const Layout &part : facts.out) {
        if (part.type == Type::undefined)
            return "one of its outputs is absent";
        choice.views.push_back({0, {part.type, part.dims, in.strides}, at * in.strides[axis]});
        at += part.dims[axis];
    }
    return choice;
}

} // namespace leat::cpu
