#include "inference/passes.h"
#include "rewriter.h"

#include <cmath>

namespace leat {
namespace {

bool close(std::optional<float> value, double wanted)
{
    return value && std::abs(*value - wanted) <= 1e-4 * std::abs(wanted);
}

/// The operand of a commutative node that is not `known`; no_value when `known` is neither.
ValueId other_operand(const Node &node, ValueId known)
{
    if (node.inputs[0] == known)
        return node.inputs[1];
    return node.inputs[1] == known ? node.inputs[0] : no_value;
}

/// The operand that is the constant `wanted`, as the index of the other one; nothing when none is.
std::optional<size_t> beside_constant(const Rewriter &graph, const Node &node, double wanted)
{
    for (size_t i : {size_t(1), size_t(0)})
        if (close(graph.scalar(node.inputs[i]), wanted))
            return 1 - i;
    return {};
}

void become(Rewriter &graph, int index, std::string_view name, ValueId input, const Attributes &attributes = {})
{
    graph.change(index, [&](Node &node) {
        node.op = &op(name);
        node.inputs = {input};
        node.attributes = attributes;
    });
}

bool plain(const Rewriter &graph, int index, std::string_view name)
{
    return graph.is(index, name) && graph.node(index).post_ops.empty();
}

/// x * sigmoid(x), x * hard_sigmoid(x), x * tanh(softplus(x))
bool gate(Rewriter &graph, int index)
{
    const Node &mul = graph.node(index);
    for (size_t side : {size_t(1), size_t(0)}) {
        const ValueId x = mul.inputs[1 - side];
        const int maker = graph.maker(mul.inputs[side]);
        if (maker < 0 || graph.only_reader(mul.inputs[side]) != index)
            continue;
        const Node &inner = graph.node(maker);
        if (plain(graph, maker, "Sigmoid") && inner.inputs[0] == x)
            return become(graph, index, "Swish", x), true;
        if (plain(graph, maker, "HardSigmoid") && inner.inputs[0] == x &&
            close(inner.attributes.number("alpha", 0.2f), 1.0 / 6) && close(inner.attributes.number("beta", 0.5f), 0.5))
            return become(graph, index, "HardSwish", x), true;
        if (plain(graph, maker, "Tanh")) {
            const int softplus = graph.maker(inner.inputs[0]);
            if (plain(graph, softplus, "Softplus") && graph.node(softplus).inputs[0] == x)
                return become(graph, index, "Mish", x), true;
        }
    }
    return false;
}

/// x where `id` is clip(x + 3, 0, 6).
ValueId under_shifted_clip(const Rewriter &graph, ValueId id)
{
    const int clip = graph.maker(id);
    if (!plain(graph, clip, "Clip") || graph.node(clip).inputs.size() < 3)
        return no_value;
    const Node &node = graph.node(clip);
    if (graph.scalar(node.inputs[1]) != 0.f || graph.scalar(node.inputs[2]) != 6.f)
        return no_value;
    const int add = graph.maker(node.inputs[0]);
    if (!plain(graph, add, "Add"))
        return no_value;
    const auto side = beside_constant(graph, graph.node(add), 3);
    return side ? graph.node(add).inputs[*side] : no_value;
}

/// x * clip(x + 3, 0, 6) / 6 in any grouping; `id` is the product or a factor of it.
bool hard_swish(Rewriter &graph, int index)
{
    const Node &node = graph.node(index);
    ValueId product = no_value;
    if (plain(graph, index, "Div") && close(graph.scalar(node.inputs[1]), 6))
        product = node.inputs[0];
    else if (plain(graph, index, "Mul"))
        if (const auto side = beside_constant(graph, node, 1.0 / 6))
            product = node.inputs[*side];
    if (product != no_value) {
        const int mul = graph.maker(product);
        if (plain(graph, mul, "Mul") && graph.only_reader(product) == index)
            for (size_t side : {size_t(0), size_t(1)}) {
                const ValueId x = under_shifted_clip(graph, graph.node(mul).inputs[side]);
                if (x != no_value && other_operand(graph.node(mul), graph.node(mul).inputs[side]) == x)
                    return become(graph, index, "HardSwish", x), true;
            }
        const ValueId x = under_shifted_clip(graph, product);
        if (x != no_value) {
            Attributes attributes;
            attributes.set("alpha", 1.f / 6);
            attributes.set("beta", 0.5f);
            return become(graph, index, "HardSigmoid", x, attributes), true;
        }
    }
    return false;
}

/// 0.5 * x * (1 + erf(x / sqrt(2))), in the groupings that exporters write.
bool gelu(Rewriter &graph, int index)
{
    if (!plain(graph, index, "Mul"))
        return false;
    // Strip the two outer factors in either order: collect the operands of up to two nested multiplications.
    std::vector<ValueId> factors;
    auto collect = [&](auto &&self, int mul, int depth) -> void {
        for (ValueId id : graph.node(mul).inputs) {
            const int inner = graph.maker(id);
            if (depth < 1 && plain(graph, inner, "Mul") && graph.only_reader(id) == mul)
                self(self, inner, depth + 1);
            else
                factors.push_back(id);
        }
    };
    collect(collect, index, 0);
    if (factors.size() != 3)
        return false;
    ValueId x = no_value, sum = no_value;
    bool half = false;
    for (ValueId id : factors)
        if (close(graph.scalar(id), 0.5))
            half = true;
        else if (plain(graph, graph.maker(id), "Add") && beside_constant(graph, graph.node(graph.maker(id)), 1))
            sum = id;
        else
            x = id;
    if (!half || x == no_value || sum == no_value)
        return false;
    const Node &add = graph.node(graph.maker(sum));
    const int erf = graph.maker(add.inputs[*beside_constant(graph, add, 1)]);
    if (!plain(graph, erf, "Erf"))
        return false;
    const int scaled = graph.maker(graph.node(erf).inputs[0]);
    const bool divided = plain(graph, scaled, "Div") && graph.node(scaled).inputs[0] == x &&
                         close(graph.scalar(graph.node(scaled).inputs[1]), std::sqrt(2.0));
    bool multiplied = false;
    if (plain(graph, scaled, "Mul"))
        if (const auto side = beside_constant(graph, graph.node(scaled), std::sqrt(0.5)))
            multiplied = graph.node(scaled).inputs[*side] == x;
    if (!divided && !multiplied)
        return false;
    become(graph, index, "Gelu", x);
    return true;
}

} // namespace

int recognise_activations(Graph &graph)
{
    Rewriter rewriter(graph);
    int changes = 0;
    for (int n = 0; n < rewriter.nodes(); n++)
        if (hard_swish(rewriter, n) || gelu(rewriter, n) || (plain(rewriter, n, "Mul") && gate(rewriter, n)))
            changes++;
    return changes;
}

} // namespace leat
