#include "blocks.h"
#include "post_ops.h"

#include <algorithm>

namespace leat::cpu {
namespace {

using namespace onednn;
using Argument = PrimitiveKernel::Argument;

/// A matrix product over the last two axes of `seen_a` and `seen_b`, which have the rank of `seen_out`.
struct Product {
    Layout seen_a, seen_b, seen_out;
    Layout stored_a, stored_b; ///< the same memory as the node sees it
    Tensor weights;            ///< where b is constant, memory that it is part of
    int64_t first_weight = 0;  ///< the first element of b in there
    Tensor bias;               ///< one number a column, or absent
};

/// "" or why its operands are not what a product reads.
std::string type_fault(const NodeFacts &facts)
{
    if (!is_float(facts.type(0)) || facts.type(1) != facts.type(0))
        return "its factors are not floats of one type";
    return facts.has(2) && facts.type(2) != Type::f32 ? "what it adds is not f32" : "";
}

/// The product, or some of its rows: `slice` is what of seen_a and seen_out to use.
Choice multiply(const NodeFacts &facts, const Product &p, const Slice &slice)
{
    const size_t rank = p.seen_out.rank();
    Shape bias_dims(rank, 1);
    bias_dims.back() = p.seen_out.dims.back();
    const Desc a = desc(slice.in), bias = p.bias ? desc(Layout::dense(Type::f32, bias_dims)) : Desc();
    const Channels columns{facts.out[0].rank() - 1, rank, rank - 1};
    auto [made, post_ops] = make_fused(facts, columns, [&](const dnnl::primitive_attr &attr, Type type) {
        return matmul(a, p.weights ? any(p.seen_b.type, p.seen_b.dims) : desc(p.seen_b), bias,
                      desc(typed(slice.out, type)), attr);
    });
    const Layout out = typed(slice.out, post_ops.made);
    std::vector<Argument> arguments{{DNNL_ARG_SRC, a, Argument::From::in, 0}};
    std::vector<Reads> in{{0, slice.in}};
    if (p.weights) {
        arguments.push_back({DNNL_ARG_WEIGHTS, made.weights, Argument::From::constant, 0,
                             packed(facts.weights, p.weights, desc(p.seen_b), made.weights, p.first_weight)});
    } else {
        arguments.push_back({DNNL_ARG_WEIGHTS, desc(p.seen_b), Argument::From::in, 1});
        in.push_back({1, p.stored_b});
    }
    if (p.bias)
        arguments.push_back({DNNL_ARG_BIAS, bias, Argument::From::constant, 0, p.bias});
    return choose(made, std::move(arguments), std::move(in), out, out, std::move(post_ops));
}

/// Whether the product is of one row that is worth cutting by columns: it takes as long as its weights to be read.
bool is_vector_times_matrix(const NodeFacts &facts, const Product &p)
{
    const auto &posts = facts.node.post_ops;
    return facts.threads > 1 && p.weights && p.seen_out.rank() == 2 && p.seen_out.dims[0] == 1 &&
           p.seen_out.dims[1] >= 64 * facts.threads &&
           std::all_of(posts.begin(), posts.end(), [](const PostOp &post) { return post.kind == PostOp::Kind::unary; });
}

Choice multiply_by_columns(const NodeFacts &facts, const Product &p)
{
    const Slice whole{p.seen_a, p.seen_out, {}};
    constexpr int64_t together = 64; // what kernels work on at once
    const int64_t columns = p.seen_out.dims[1], blocks = (columns + together - 1) / together;
    std::vector<Slice> slices;
    for (int64_t part = 0; part < facts.threads; part++) {
        Slice slice = whole;
        slice.out_offset = blocks * part / facts.threads * together;
        const int64_t end = std::min(blocks * (part + 1) / facts.threads * together, columns);
        slice.out = Layout::dense(p.seen_out.type, {1, end - slice.out_offset});
        slices.push_back(std::move(slice));
    }
    return solve_slices(facts, whole, slices, [&](const Slice &slice) {
        if (slice.out.dims[1] == columns)
            return multiply(facts, p, slice);
        Product part = p;
        const int64_t count = slice.out.dims[1];
        part.seen_b.dims[1] = count;
        part.seen_out = slice.out;
        part.first_weight = slice.out_offset * p.seen_b.strides[1];
        if (p.bias)
            part.bias = p.bias.reshaped({columns}).region({slice.out_offset}, {slice.out_offset + count});
        return multiply(facts, part, slice);
    });
}

Attempt multiply(const NodeFacts &facts, const Product &p)
{
    return or_refusal([&] {
        const Slice whole{p.seen_a, p.seen_out, {}};
        const bool flat = p.seen_out.rank() == 2;
        auto solve = [&](const Slice &slice) {
            if (flat && has_dear_post_op(facts.node)) {
                auto choice = solve_blocks(facts, slice, cut_matrix, [&](const NodeFacts &product, const Slice &block) {
                    return multiply(product, p, block);
                });
                if (choice && !is_slow(choice->detail))
                    return std::move(*choice);
            }
            return multiply(facts, p, slice);
        };
        Choice choice =
            is_vector_times_matrix(facts, p)
                ? multiply_by_columns(facts, p)
                : solve_slices(facts, whole, flat ? cut_matrix(whole, facts.threads) : std::vector{whole}, solve);
        choice.in[0].layout = p.stored_a;
        choice.out = {typed(facts.out[0], choice.out[0].type)};
        if (choice.in_place)
            choice.in[*choice.in_place].layout = choice.out[0];
        return choice;
    });
}

/// The same elements with axes of size 1 in front.
Layout widened(Layout layout, size_t rank)
{
    const size_t missing = rank - layout.rank();
    layout.dims.insert(layout.dims.begin(), missing, 1);
    layout.strides.insert(layout.strides.begin(), missing, layout.count());
    return layout;
}

/// Every product of matrices that has constant 2-D weights is one of two matrices: the batches are further rows.
Product flat(const NodeFacts &facts, const Layout &b)
{
    const Layout &a = facts.in[0].layout;
    const int64_t inner = b.dims[0], rows = a.count() / inner;
    return {Layout::dense(a.type, {rows, inner}),
            b,
            Layout::dense(a.type, {rows, b.dims[1]}),
            Layout::dense(a.type, a.dims),
            b,
            *facts.constant(1),
            0,
            {}};
}

/// How oneDNN can read the operand: as it lies when one of its last two axes is contiguous and the batches follow each
/// other, else dense.
Layout readable(const Layout &layout)
{
    Layout swapped = layout;
    std::swap(swapped.dims[layout.rank() - 1], swapped.dims[layout.rank() - 2]);
    std::swap(swapped.strides[layout.rank() - 1], swapped.strides[layout.rank() - 2]);
    return layout.is_dense() || swapped.is_dense() ? layout : Layout::dense(layout.type, layout.dims);
}

/// The constant with every element multiplied.
Tensor scaled(const NodeFacts &facts, const Tensor &constant, float factor)
{
    if (factor == 1.f)
        return constant;
    return facts.weights.get(constant, "times " + std::to_string(factor), [&] {
        Tensor result = constant.converted(Type::f32).clone();
        for (float &each : result.values<float>())
            each *= factor;
        return result.converted(constant.type());
    });
}

} // namespace

Attempt attempt_matmul(const NodeFacts &facts)
{
    if (auto fault = type_fault(facts); !fault.empty())
        return fault;
    const Layout &a = facts.in[0].layout, &b = facts.in[1].layout;
    if (a.rank() == 0 || b.rank() == 0 || facts.out[0].rank() == 0)
        return "an operand is no matrix";
    if (facts.constant(1) && b.rank() == 1)
        return multiply(facts, flat(facts, {b.type, {b.dims[0], 1}, {1, 1}}));
    if (facts.constant(1) && b.rank() == 2)
        return multiply(facts, flat(facts, b));
    if (a.rank() < 2 || b.rank() < 2)
        return "an operand is no matrix";
    const size_t rank = facts.out[0].rank();
    Product product{{}, {}, facts.out[0], readable(a), readable(b), {}, 0, {}};
    product.seen_a = widened(product.stored_a, rank);
    product.seen_b = widened(product.stored_b, rank);
    return multiply(facts, product);
}

Attempt attempt_gemm(const NodeFacts &facts)
{
    if (auto fault = type_fault(facts); !fault.empty())
        return fault;
    const Attributes &attributes = facts.attributes();
    const int64_t columns = facts.out[0].dims[1];
    const Tensor *bias = facts.constant(2);
    if (facts.has(2) && (!bias || static_cast<int64_t>(bias->count()) != columns || bias->shape().back() != columns))
        return "what it adds is not one constant a column";
    const auto alpha = attributes.number("alpha", 1), beta = attributes.number("beta", 1);
    if (!facts.constant(1))
        return "its weights are computed";
    if (attributes.integer("transA", 0) != 0)
        return "its first operand is transposed";
    Layout b = Layout::dense(facts.type(1), facts.dims(1));
    if (attributes.integer("transB", 0) != 0) {
        std::swap(b.dims[0], b.dims[1]);
        std::swap(b.strides[0], b.strides[1]);
    }
    Product product = flat(facts, b);
    product.weights = scaled(facts, *facts.constant(1), alpha);
    if (bias)
        product.bias = scaled(facts, *bias, beta);
    return multiply(facts, product);
}

} // namespace leat::cpu
