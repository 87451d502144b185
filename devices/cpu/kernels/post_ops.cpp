#include "post_ops.h"

#include <algorithm>

namespace leat::cpu::onednn {
namespace {

/// The operand spread to the rank of the output; nothing unless it is one number, or one for each channel.
std::optional<Layout> by_channel(const Tensor &constant, const Layout &out)
{
    if (constant.type() != Type::f32 || constant.rank() > out.rank())
        return std::nullopt;
    Shape dims(out.rank() - constant.rank(), 1);
    dims.insert(dims.end(), constant.shape().begin(), constant.shape().end());
    for (size_t axis = 0; axis < dims.size(); axis++)
        if (dims[axis] != 1 && (axis != 1 || dims[axis] != out.dims[1]))
            return std::nullopt;
    return Layout::dense(Type::f32, dims);
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

bool append_binary(FusedPostOps &fused, const PostOp &post, const Operand &operand, size_t index, const Layout &out)
{
    if (post.op->name == "Add" && operand.layout.dims == out.dims && operand.layout.type == out.type && !fused.sum &&
        !operand.constant) {
        fused.ops.append_sum(1.f);
        fused.sum = index;
        return true;
    }
    const auto algorithm = binary_algorithm(post.op->name);
    if (!algorithm || !operand.constant)
        return false;
    const auto layout = by_channel(*operand.constant, out);
    if (!layout)
        return false;
    const Desc where = desc(*layout);
    fused.ops.append_binary(*algorithm, where);
    fused.arguments.push_back({DNNL_ARG_ATTR_MULTIPLE_POST_OP(fused.ops.len() - 1) | DNNL_ARG_SRC_1, where,
                               PrimitiveKernel::Argument::From::constant, 0, *operand.constant});
    return true;
}

} // namespace

FusedPostOps fuse_post_ops(const NodeFacts &facts, const Layout &out)
{
    FusedPostOps fused;
    size_t operand = facts.node.inputs.size();
    for (const PostOp &post : facts.node.post_ops) {
        const bool fits = post.kind == PostOp::Kind::unary
                              ? append_unary(fused.ops, post)
                              : append_binary(fused, post, facts.in[operand], operand, out);
        if (!fits)
            break;
        operand += post.kind == PostOp::Kind::binary;
        fused.count++;
    }
    return fused;
}

Choice choose(const Made &made, std::vector<PrimitiveKernel::Argument> arguments, std::vector<Reads> in,
              const Layout &out, FusedPostOps fused)
{
    using From = PrimitiveKernel::Argument::From;
    arguments.push_back({DNNL_ARG_DST, desc(out), From::out});
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
