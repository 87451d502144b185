#include "work.h"
#include "ops.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

namespace leat {
namespace {

struct Product {
    std::string_view op;
    size_t operand;   ///< whose shape tells how many terms there are for each element counted
    bool transposed;  ///< counts the input's elements instead of the output's: each is spread, not gathered
    bool convolution; ///< as many terms as weights of one channel; else as the axis of the sum is long
};

constexpr Product products[] = {
    {"Conv", 1, false, true},           {"ConvInteger", 1, false, true}, {"ConvTranspose", 1, true, true},
    {"DeformConv", 1, false, true},     {"Gemm", 0, false, false},       {"MatMul", 0, false, false},
    {"MatMulInteger", 0, false, false}, {"QLinearConv", 3, false, true}, {"QLinearMatMul", 0, false, false},
};

const Shape *known_shape(const Graph &graph, ValueId id)
{
    if (id == no_value)
        return nullptr;
    const auto &shape = graph.values[id].shape;
    return shape && is_static(*shape) ? &*shape : nullptr;
}

double size_of(const Shape &shape)
{
    return std::accumulate(shape.begin(), shape.end(), 1.0, std::multiplies<>());
}

double terms_of(const Product &product, const Node &node, const Shape &operand)
{
    if (product.convolution)
        return operand.empty() || operand[0] == 0 ? 0 : size_of(operand) / static_cast<double>(operand[0]);
    const bool first_axis = product.op == "Gemm" && node.attributes.integer("transA", 0) != 0;
    return operand.empty() ? 0 : static_cast<double>(first_axis ? operand.front() : operand.back());
}

double elements_of(const Graph &graph, const std::vector<ValueId> &ids)
{
    double elements = 0;
    for (ValueId id : ids)
        if (const Shape *shape = known_shape(graph, id))
            elements += size_of(*shape);
    return elements;
}

double without_bound(const Graph &, const Node &)
{
    return std::numeric_limits<double>::infinity();
}

/// At most each element of one input with each of the others.
double all_tuples(const Graph &graph, const Node &node)
{
    double tuples = 1;
    for (ValueId id : node.inputs)
        tuples *= elements_of(graph, {id});
    return tuples;
}

/// Each weight once for each sequence and point in time.
double recurrence(const Graph &graph, const Node &node)
{
    const Shape *sequences = known_shape(graph, node.inputs[0]);
    if (!sequences || sequences->size() != 3)
        return 0;
    return size_of({(*sequences)[0], (*sequences)[1]}) * elements_of(graph, {node.inputs[1], node.inputs[2]});
}

double windows(const Graph &graph, const Node &node)
{
    return elements_of(graph, node.outputs) * size_of(node.attributes.integers("kernel_shape"));
}

double neighbours(const Graph &graph, const Node &node)
{
    return elements_of(graph, node.outputs) * static_cast<double>(node.attributes.integer("size", 1));
}

/// Cubic interpolation reads 4 elements along each axis that changes, and more where it shrinks with antialiasing.
double resampling(const Graph &graph, const Node &node)
{
    const Shape *from = known_shape(graph, node.inputs[0]), *to = known_shape(graph, node.outputs[0]);
    if (!from || !to || from->size() != to->size())
        return 0;
    double read = 1;
    for (size_t i = 0; i < from->size(); i++)
        if ((*from)[i] != (*to)[i] && (*to)[i] > 0)
            read *= 4 * std::max(1.0, static_cast<double>((*from)[i]) / static_cast<double>((*to)[i]));
    return read * size_of(*to);
}

/// Each point with each of the same transform, at most: that is so where their number is prime.
double spectra(const Graph &graph, const Node &node)
{
    const Shape *from = known_shape(graph, node.inputs[0]), *to = known_shape(graph, node.outputs[0]);
    double longest = 0;
    for (const Shape *shape : {from, to})
        for (int64_t size : shape ? *shape : Shape())
            longest = std::max(longest, 2 * static_cast<double>(size));
    return elements_of(graph, node.outputs) * longest;
}

/// What takes more than a few steps for each element in and out, products aside.
struct Steps {
    std::string_view op;
    double (*of)(const Graph &, const Node &);
};

constexpr Steps steps[] = {
    {"AveragePool", windows},
    {"DFT", spectra},
    {"DeformablePSROIPooling", without_bound},
    {"DetectionOutput", without_bound},
    {"Einsum", all_tuples},
    {"ExperimentalDetectronDetectionOutput", without_bound},
    {"ExperimentalDetectronGenerateProposalsSingleImage", without_bound},
    {"ExperimentalDetectronROIFeatureExtractor", without_bound},
    {"GRU", recurrence},
    {"GenerateProposals", without_bound},
    {"If", without_bound},
    {"LRN", neighbours},
    {"LSTM", recurrence},
    {"Loop", without_bound},
    {"LpPool", windows},
    {"MatrixNms", without_bound},
    {"MaxPool", windows},
    {"MulticlassNms", without_bound},
    {"NonMaxSuppression", without_bound},
    {"PSROIPooling", without_bound},
    {"Proposal", without_bound},
    {"RNN", recurrence},
    {"ROIPooling", without_bound},
    {"Resize", resampling},
    {"RoiAlign", without_bound},
    {"SoftNonMaxSuppression", without_bound},
};

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

double steps_of(const Graph &graph, const Node &node)
{
    const double each = elements_of(graph, node.outputs),
                 moved = elements_of(graph, node.inputs) + each * static_cast<double>(1 + node.post_ops.size());
    const auto row =
        std::find_if(std::begin(steps), std::end(steps), [&](const Steps &s) { return s.op == node.op->name; });
    return moved + (row != std::end(steps) ? row->of(graph, node) : operations_of(graph, node).value_or(0));
}

} // namespace leat
