#include "work.h"
#include "ops.h"

#include <algorithm>

namespace leat {
namespace {

struct Product {
    std::string_view op;
    size_t operand;   ///< whose shape tells how many terms there are for each element counted
    bool transposed;  ///< counts the input's elements instead of the output's: each is spread, not gathered
    bool convolution; ///< as many terms as weights of one channel; else as the axis of the sum is long
};

constexpr Product products[] = {
    {"Conv", 1, false, true},        {"ConvInteger", 1, false, true},    {"ConvTranspose", 1, true, true},
    {"Gemm", 0, false, false},       {"MatMul", 0, false, false},        {"MatMulInteger", 0, false, false},
    {"QLinearConv", 3, false, true}, {"QLinearMatMul", 0, false, false},
};

const Shape *known_shape(const Graph &graph, ValueId id)
{
    const auto &shape = graph.values[id].shape;
    return shape && is_static(*shape) ? &*shape : nullptr;
}

double size_of(const Shape &shape)
{
    return static_cast<double>(count_of(shape));
}

double terms_of(const Product &product, const Node &node, const Shape &operand)
{
    if (product.convolution)
        return operand.empty() || operand[0] == 0 ? 0 : size_of(operand) / static_cast<double>(operand[0]);
    const bool first_axis = product.op == "Gemm" && node.attributes.integer("transA", 0) != 0;
    return operand.empty() ? 0 : static_cast<double>(first_axis ? operand.front() : operand.back());
}

} // namespace

std::optional<double> operations_of(const Graph &graph, const Node &node)
{
    const auto product =
        std::find_if(std::begin(products), std::end(products), [&](const Product &p) { return p.op == node.op->name; });
    if (product == std::end(products) || node.inputs.size() <= product->operand || node.outputs.empty())
        return std::nullopt;
    const Shape *operand = known_shape(graph, node.inputs[product->operand]);
    const Shape *counted = known_shape(graph, product->transposed ? node.inputs[0] : node.outputs[0]);
    if (!operand || !counted)
        return std::nullopt;
    return 2 * size_of(*counted) * terms_of(*product, node, *operand);
}

} // namespace leat
