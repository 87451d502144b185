#include "estimate.h"

#include <algorithm>

namespace leat::cpu {
namespace {

/// Roughly what the node takes on one thread, in nanoseconds: 100 GFLOP/s, 200 on bf16, 400 on integers, weights at 20
/// GB/s, other numbers at 10.
double estimated_nanoseconds(const NodeFacts &facts)
{
    const double speed = facts.type(0) == Type::f32 ? 100 : facts.type(0) == Type::bf16 ? 200 : 400;
    auto count = [&](size_t input) {
        return facts.has(input) ? static_cast<double>(facts.in[input].layout.count()) : 0;
    };
    const std::string_view op = facts.node.op->name;
    const double out = static_cast<double>(facts.out[0].count());
    const double weights = count(1) * static_cast<double>(facts.has(1) ? size_of(facts.type(1)) : 0) / 20;
    if ((op == "Conv" || op == "ConvInteger") && facts.has(1)) {
        const bool depthwise = facts.dims(1).size() > 1 && facts.dims(1)[1] == 1; // a fifth of the speed
        const double each = 2 * count(1) / static_cast<double>(std::max<int64_t>(facts.dims(1)[0], 1));
        return std::max((depthwise ? 5 : 1) * out * each / speed, weights);
    }
    if (op == "ConvTranspose" && facts.has(1))
        return 2 * count(0) * count(1) / static_cast<double>(std::max<int64_t>(facts.dims(1)[0], 1)) / speed;
    if ((op == "MatMul" || op == "Gemm" || op == "MatMulInteger") && !facts.dims(0).empty())
        return std::max(2 * out * static_cast<double>(facts.dims(0).back()) / speed, weights);
    double bytes = out * static_cast<double>(size_of(facts.out[0].type));
    for (const Operand &operand : facts.in)
        if (operand)
            bytes += static_cast<double>(operand.layout.count()) * static_cast<double>(size_of(operand.layout.type));
    return bytes / 10;
}

} // namespace

int threads_for(const NodeFacts &facts, int threads)
{
    constexpr double sharing_nanoseconds = 10e3; // to share work with a team costs some microseconds each time
    const bool known = !facts.out.empty() && facts.out[0].type != Type::undefined;
    return known && estimated_nanoseconds(facts) > sharing_nanoseconds ? threads : 1;
}

} // namespace leat::cpu
