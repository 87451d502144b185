#include "post_ops.h"

#include <algorithm>

namespace leat::cpu::onednn {
namespace {

/// The constant as the primitive sees it; nothing unless it is one number, or one for each channel.
std::optional<Layout> by_channel(const Tensor &constant, const Shape &dims, Channels channels)
{
    if (constant.type() != Type::f32 || constant.rank() > dims.size())
        return std::nullopt;
    Shape seen(channels.rank, 1);
    const size_t missing = dims.size() - constant.rank();
    for (size_t axis = 0; axis < constant.rank(); axis++) {
        if (constant.dim(axis) == 1)
            continue;
        if (axis + missing != channels.axis || constant.dim(axis) != dims[channels.axis])
            return std::nullopt;
        seen[channels.primitive_axis] = constant.dim(axis);
    }
    return Layout::dense(Type::f32, seen);
}

std::optional<dnnl::algorithm> binary_algorithm(std::string_view op)
{
    using A = dnnl::algorithm;
    constexpr std::pair<std::string_view, A> table[] = {
        {"Add", A::binary_add}, {"Sub", A::binary_sub}, {"Mul", A::binary_mul},
        {"Div", A::binary_div}, {"Max", A::binary_max}, {"Min", A::binary_min},
    };
    for (const auto &[name, algorithm] : table)
        if (name == op)
            return algorithm;
    return std::nullopt;
}

bool append_binary(FusedPostOps &fused, const PostOp &post, const NodeFacts &facts, size_t index, Channels channels)
{
    const Operand &operand = facts.in[index];
    const Layout &out = facts.out[0];
    if (post.op->name == "Add" && operand.layout.dims == out.dims && operand.layout.type == out.type &&
        fused.made == out.type && !fused.sum && !operand.constant) {
        fused.ops.append_sum(1.f);
        fused.sum = index;
        return true;
    }
    const auto algorithm = binary_algorithm(post.op->name);
    if (!algorithm || !operand.constant)
        return false;
    const auto layout = by_channel(*operand.constant, out.dims, channels);
    if (!layout)
        return false;
    const Desc where = desc(*layout);
    fused.ops.append_binary(*algorithm, where);
    fused.arguments.push_back({DNNL_ARG_ATTR_MULTIPLE_POST_OP(fused.ops.len() - 1) | DNNL_ARG_SRC_1, where,
                               PrimitiveKernel::Argument::From::constant, 0, *operand.constant});
    return true;
}

} // namespace

FusedPostOps fuse_post_ops(const NodeFacts &facts, Channels channels, size_t limit)
{
    FusedPostOps fused;
    fused.made = facts.type(0);
    size_t operand = facts.node.inputs.size();
    for (const PostOp &post : facts.node.post_ops) {
        if (fused.count == limit)
            break;
        const bool casts = post.op->name == "Cast";
        const bool fits = casts                              ? is_float(type_after(post, fused.made))
                          : post.kind == PostOp::Kind::unary ? append_unary(fused.ops, post)
                                                             : append_binary(fused, post, facts, operand, channels);
        if (!fits)
            break;
        fused.made = type_after(post, fused.made);
        operand += post.kind == PostOp::Kind::binary;
        fused.count++;
    }
    return fused;
}

Fused make_fused(const NodeFacts &facts, Channels channels,
                 const std::function<Made(const dnnl::primitive_attr &, Type)> &make)
{
    size_t limit = facts.node.post_ops.size();
    while (true) {
        Fused fused{{}, fuse_post_ops(facts, channels, limit)};
        auto attr = attributes();
        attr.set_post_ops(fused.post_ops.ops);
        fused.made = make(attr, fused.post_ops.made);
        if (!is_slow(fused.made.implementation) || fused.post_ops.count == 0)
            return fused;
        limit = fused.post_ops.count - 1;
    }
}

Layout typed(Layout layout, Type type)
{
    layout.type = type;
    return layout;
}

Choice choose(const Made &made, std::vector<PrimitiveKernel::Argument> arguments, std::vector<Reads> in,
              const Layout &out, const Layout &seen, FusedPostOps fused)
{
    using From = PrimitiveKernel::Argument::From;
    arguments.push_back({DNNL_ARG_DST, desc(seen), From::out});
    arguments.insert(arguments.end(), fused.arguments.begin(), fused.arguments.end());
    Choice choice;
    choice.scratch = made.scratchpad.get_size();
    if (choice.scratch > 0)
        arguments.push_back({DNNL_ARG_SCRATCHPAD, made.scratchpad, From::scratch});
    choice.in = std::move(in);
    if (fused.sum) {
        choice.in_place = choice.in.size();
        choice.in.push_back({*fused.sum, out});
    }
    choice.out = {out};
    choice.post_ops = fused.count;
    choice.detail = made.implementation;
    choice.kernel = std::make_unique<PrimitiveKernel>(made.primitive, std::move(arguments));
    return choice;
}

} // namespace leat::cpu::onednn
