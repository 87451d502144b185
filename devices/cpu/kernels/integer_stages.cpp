#include "integer_stages.h"

#include <algorithm>
#include <cmath>

namespace leat::cpu {
namespace {

/// Takes the step; false when it fits neither into tiles nor behind them.
bool append(IntegerStages &made, const IntegerEnding::Step &step)
{
    using Kind = IntegerEnding::Step::Kind;
    if (step.kind == Kind::sum) {
        if (made.added || made.bounds || !made.stages.empty())
            return false;
        made.added = step.a;
        return true;
    }
    const bool shifts = step.kind == Kind::linear && step.a == 1;
    if (shifts && made.stages.empty() && !made.bounds) {
        for (float &each : made.ending.bias)
            each += step.b;
        return true;
    }
    const auto stage = step.kind == Kind::linear ? UnaryStage{vector_function(Function::affine), step.a, step.b}
                                                 : unary_stage(step.post);
    if (!stage)
        return false;
    if (!made.bounds && made.stages.empty() && (made.bounds = bounds_of(*stage)))
        return true;
    made.stages.push_back(*stage);
    return !made.added;
}

std::optional<IntegerStages> stages_of(const IntegerEnding &ending)
{
    IntegerStages made{ending};
    for (const auto &step : ending.steps)
        if (!append(made, step))
            return {};
    return made;
}

/// Whether sums of so many products may become numbers beyond 32 bits.
bool may_overflow(const IntegerStages &made, int64_t summed)
{
    const double most = 255. * 128 * static_cast<double>(summed), added = 255. * std::abs(made.added.value_or(0));
    for (size_t c = 0; c < made.ending.scales.size(); c++)
        if (!(std::abs(made.ending.scales[c]) * most + std::abs(made.ending.bias[c]) + added < 1e9))
            return true;
    return false;
}

} // namespace

void IntegerStages::finish(std::byte *to, float *numbers, int64_t count) const
{
    for (const UnaryStage &stage : stages)
        stage.apply(numbers, numbers, nullptr, false, count, stage.a, stage.b);
    if (narrows())
        vector_quantise(reinterpret_cast<uint8_t *>(to), numbers, count,
                        {1, ending.zero_point, ending.out == Type::s8});
}

std::optional<IntegerStages> integer_stages(const NodeFacts &facts, const IntegerProduct &product, int64_t summed)
{
    std::optional<IntegerStages> made;
    const auto longest = [&](const std::function<bool(const IntegerEnding &)> &takes) {
        return longest_ending(facts, product.channel_axis, product.wide != nullptr, takes);
    };
    const auto possible = longest([](const IntegerEnding &) { return true; });
    const auto taken = longest([&](const IntegerEnding &ending) { return (made = stages_of(ending)).has_value(); });
    if (!taken || taken->count < possible->count)
        return {};
    if (made->summed() != Type::f32 && may_overflow(*made, summed)) {
        constexpr float large = 1e6f;
        const auto bounds = made->bounds.value_or(std::array{-large, large});
        made->bounds = {{std::max(bounds[0], -large), std::min(bounds[1], large)}};
    }
    return made;
}

Choice integer_choice(const NodeFacts &facts, const IntegerProduct &product, const IntegerStages &stages,
                      const Slice &slice, int threads)
{
    Choice choice;
    choice.post_ops = stages.ending.count;
    choice.in = {{0, slice.in}};
    choice.out = {slice.out};
    if (!product.zero_point)
        choice.in.push_back({2, Layout::dense(facts.type(2), facts.dims(2))});
    if (stages.ending.sum) {
        choice.in_place = choice.in.size();
        choice.in.push_back({*stages.ending.sum, slice.out});
    }
    choice.detail = detail_of(Type::s8, threads);
    return choice;
}

int32_t IntegerScaling::source_zero_point(const Launch &launch) const
{
    if (known_zero_point)
        return *known_zero_point;
    const auto byte = std::to_integer<uint8_t>(*launch.in[1]);
    return source == Type::s8 ? static_cast<int8_t>(byte) : byte;
}

IntegerSums IntegerScaling::begin(std::byte *memory, const Launch &launch) const
{
    auto *start = reinterpret_cast<int32_t *>(memory);
    const bool is_signed = source == Type::s8;
    // Modulo 2^32, as the sums that they are added to.
    const auto shift = static_cast<uint32_t>(source_zero_point(launch) + (is_signed ? 128 : 0));
    const Tensor sums = weight_sums.tensor();
    for (size_t i = 0; i < sums.count(); i++) {
        const auto zero = weight_zeros.empty() ? 0 : static_cast<uint32_t>(weight_zeros[i]);
        const auto sum = static_cast<uint32_t>(sums.data<int32_t>()[i]);
        start[i] = static_cast<int32_t>(shift * (static_cast<uint32_t>(summed) * zero - sum));
    }
    return {start, weight_zeros.empty() ? nullptr : weight_zeros.data(), scales.data(), added, zero_point, is_signed};
}

IntegerScaling integer_scaling(const NodeFacts &facts, const IntegerProduct &product, const IntegerStages &stages,
                               const WindowWeights &weights, bool filled)
{
    constexpr int64_t four = window_number;
    const int64_t ins = filled ? (weights.ins + four - 1) / four * four : weights.ins;
    IntegerScaling made{in_blocks(stages.ending.scales),
                        stages.added.value_or(1),
                        stages.ending.zero_point,
                        weight_sums(facts.weights, product.weights, weights),
                        product.weight_zeros,
                        static_cast<int32_t>(weights.taps * ins),
                        facts.type(0),
                        product.zero_point};
    if (!made.weight_zeros.empty())
        made.weight_zeros.resize(made.scales.size(), 0);
    return made;
}

} // namespace leat::cpu
