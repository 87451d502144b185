#include "inference/passes.h"
#include "post_op_forms.h"

#include <algorithm>
#include <array>

namespace leat {
namespace {

template <size_t N> bool is_any(const Rewriter &graph, int index, const std::array<const char *, N> &names)
{
    return std::any_of(names.begin(), names.end(), [&](const char *name) { return graph.is(index, name); });
}

bool takes_post_ops(const Rewriter &graph, int index)
{
    static constexpr std::array names{"Conv", "ConvTranspose", "MatMul", "Gemm", "Add", "Sub", "Mul", "Div"};
    return is_any(graph, index, names);
}

} // namespace

std::optional<PostOp> unary_post_op(const Rewriter &graph, int index)
{
    static constexpr std::array names{"Relu", "LeakyRelu", "Clip",        "Sigmoid", "Tanh",
                                      "Elu",  "HardSwish", "HardSigmoid", "Swish",   "Mish",
                                      "Gelu", "Softplus",  "Abs",         "Sqrt",    "Exp"};
    if (!is_any(graph, index, names))
        return {};
    const Node &node = graph.node(index);
    PostOp post{PostOp::Kind::unary, node.op, node.attributes, no_value};
    const std::array bounds{"min", "max"};
    for (size_t i = 1; i < node.inputs.size(); i++) {
        if (node.inputs[i] == no_value)
            continue;
        const auto bound = graph.scalar(node.inputs[i]);
        if (!bound)
            return {};
        post.attributes.set(bounds[i - 1], *bound);
    }
    return post;
}

namespace {

/// True when `operand` spreads over a value of that shape as one number, one number for each index of `axis`, or one
/// per element.
bool spreads_simply(const Shape &operand, const Shape &shape, size_t axis)
{
    if (operand == shape || std::all_of(operand.begin(), operand.end(), [](int64_t size) { return size == 1; }))
        return true;
    if (shape.size() < 2 || operand.size() > shape.size())
        return false;
    Shape channels(shape.size(), 1);
    channels[axis] = shape[axis];
    Shape padded(shape.size() - operand.size(), 1);
    padded.insert(padded.end(), operand.begin(), operand.end());
    return padded == channels;
}

bool is_float(Type type)
{
    return type == Type::f32 || type == Type::f16 || type == Type::bf16;
}

} // namespace

std::optional<PostOp> binary_post_op(const Rewriter &graph, int index, ValueId in)
{
    static constexpr std::array names{"Add", "Mul", "PRelu"};
    if (!is_any(graph, index, names))
        return {};
    const Node &node = graph.node(index);
    if (node.inputs[0] == node.inputs[1] || (node.op->name == "PRelu" && node.inputs[0] != in))
        return {};
    const ValueId operand = node.inputs[node.inputs[0] == in ? 1 : 0];
    const Value &value = graph.value(in), &other = graph.value(operand), &result = graph.value(node.outputs[0]);
    if (!value.shape || !other.shape || !is_static(*value.shape) || !is_static(*other.shape) ||
        result.shape != value.shape || other.type != value.type)
        return {};
    const size_t channels = graph.is(graph.maker(in), "MatMul") ? value.shape->size() - 1 : 1; // columns
    if (!spreads_simply(*other.shape, *value.shape, channels))
        return {};
    return PostOp{PostOp::Kind::binary, node.op, {}, operand};
}

int fuse_post_ops(Graph &graph)
{
    Rewriter rewriter(graph);
    int changes = 0;
    for (int n = 0; n < rewriter.nodes(); n++)
        while (takes_post_ops(rewriter, n)) {
            const ValueId out = rewriter.node(n).outputs[0];
            const int next = rewriter.only_reader(out);
            if (next < 0 || !is_float(rewriter.value(out).type))
                break;
            auto post = unary_post_op(rewriter, next);
            if (post && rewriter.node(next).inputs[0] != out)
                break;
            if (!post)
                post = binary_post_op(rewriter, next, out);
            // Of two candidates the later one takes the sum: its operand is there when it runs.
            if (!post || rewriter.maker(post->input) > n)
                break;
            const auto further = rewriter.node(next).post_ops;
            rewriter.take_over(n, next);
            rewriter.change(n, [&](Node &node) {
                node.post_ops.push_back(*post);
                node.post_ops.insert(node.post_ops.end(), further.begin(), further.end());
            });
            changes++;
        }
    return changes;
}

} // namespace leat
