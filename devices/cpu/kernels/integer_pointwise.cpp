#include "devices/cpu/team.h"
#include "elementwise.h"
#include "integer_products.h"
#include "pixels.h"

#include <algorithm>

namespace leat::cpu {
namespace {

/// The steps of an IntegerEnding: those that window_sums_s8() takes, then functions of one number.
struct Steps {
    float offset = 0; ///< that belongs to the bias
    std::optional<float> added{};
    std::optional<std::array<float, 2>> bounds{};
    std::vector<UnaryStage> stages{}; ///< nothing is added when there are some

    /// False when it fits neither here nor there.
    bool append(const IntegerEnding::Step &step)
    {
        using Kind = IntegerEnding::Step::Kind;
        if (step.kind == Kind::sum) {
            if (added || bounds || !stages.empty())
                return false;
            added = step.a;
            return true;
        }
        const bool shifts = step.kind == Kind::linear && step.a == 1;
        if (shifts && stages.empty() && !bounds) {
            offset += step.b;
            return true;
        }
        const auto stage = step.kind == Kind::linear
                               ? UnaryStage{vector_function(Function::affine), step.a, step.b}
                               : unary_stage(step.post);
        if (!stage)
            return false;
        if (!bounds && stages.empty() && (bounds = bounds_of(*stage)))
            return true;
        stages.push_back(*stage);
        return !added;
    }
};

std::optional<Steps> steps_of(const IntegerEnding &ending)
{
    Steps steps;
    for (const auto &step : ending.steps)
        if (!steps.append(step))
            return {};
    return steps;
}

/// Rows of 8-bit integers times weights.
class IntegerRows final : public Kernel {
  public:
    IntegerRows(const Product &product, Constant weights, Constant weight_sums, const IntegerEnding &ending,
                Steps steps, std::optional<int32_t> zero_point, int threads)
        : p_(product), weights_(std::move(weights)), weight_sums_(std::move(weight_sums)),
          scales_(in_blocks(ending.scales)), bias_(in_blocks(ending.bias)), steps_(std::move(steps)), made_(ending.out),
          made_zero_(ending.zero_point), zero_point_(zero_point), at_once_(p_.rows_at_once((narrows() ? 32 : 192) * 1024, element(), threads)),
          threads_(threads)
    {
        for (float &each : bias_)
            each += steps_.offset;
    }

    /// Bytes, for each thread: what sums start from, where the numbers of a row lie, rows that are gathered, and what it
    /// makes as f32, when it becomes integers later.
    size_t scratch() const { return static_cast<size_t>(threads_) * part_bytes(); }

    void prepare() override
    {
        weights_.tensor();
        weight_sums_.tensor();
    }

    void run(const Launch &launch) const override
    {
        parallel_for(threads_, threads_, [&](int64_t first, int64_t last) {
            for (int64_t part = first; part < last; part++)
                run_part(launch, part);
        });
    }

  private:
    const Product p_;
    const Constant weights_, weight_sums_;
    std::vector<float> scales_, bias_;
    const Steps steps_;
    const Type made_;
    const int32_t made_zero_;
    const std::optional<int32_t> zero_point_; ///< nothing: the second operand
    const int64_t at_once_;                   ///< rows
    const int threads_;

    bool narrows() const { return made_ != Type::f32 && !steps_.stages.empty(); }
    int64_t element() const { return static_cast<int64_t>(size_of(made_)); }
    size_t start_bytes() const { return in_lines(bias_.size() * sizeof(int32_t)); }
    size_t table_bytes() const { return in_lines(static_cast<size_t>(p_.numbers()) * sizeof(std::byte *)); }
    size_t room_bytes() const { return narrows() ? static_cast<size_t>(in_lines(at_once_ * p_.outs * window_number)) : 0; }
    size_t gathered_bytes() const { return static_cast<size_t>(p_.gathered_bytes(at_once_)); }
    size_t part_bytes() const { return start_bytes() + table_bytes() + gathered_bytes() + room_bytes(); }

    int32_t zero_point(const Launch &launch) const
    {
        if (zero_point_)
            return *zero_point_;
        const auto byte = std::to_integer<uint8_t>(*launch.in[1]);
        return p_.type == Type::s8 ? static_cast<int8_t>(byte) : byte;
    }

    void run_part(const Launch &launch, int64_t part) const
    {
        std::byte *scratch = launch.scratch + static_cast<size_t>(part) * part_bytes();
        auto *start = reinterpret_cast<int32_t *>(scratch);
        auto *taps = reinterpret_cast<const std::byte **>(scratch + start_bytes());
        std::byte *rows = scratch + start_bytes() + table_bytes(), *room = rows + gathered_bytes();
        const int32_t zero = zero_point(launch), shift = zero + (p_.type == Type::s8 ? 128 : 0);
        const Tensor weights = weights_.tensor(), weight_sums = weight_sums_.tensor();
        std::ranges::transform(weight_sums.values<int32_t>(), start, [&](int32_t sum) { return -shift * sum; });
        p_.find_taps(taps, p_.gathered ? rows : launch.in[0]);
        const IntegerSums integers{start, scales_.data(), steps_.added.value_or(1), made_zero_, p_.type == Type::s8};
        WindowSums w{.taps = taps,
                     .count = p_.numbers(),
                     .last_tap = p_.numbers(),
                     .step = p_.step,
                     .weights = weights.raw(),
                     .bias = bias_.data(),
                     .added = steps_.added.has_value(),
                     .bounds = steps_.bounds,
                     .outs = p_.outs,
                     .made = narrows() ? Type::f32 : made_,
                     .integers = &integers};
        w.stride = p_.outs * static_cast<int64_t>(size_of(w.made));
        const int64_t end = p_.rows * (part + 1) / threads_;
        for (int64_t first = p_.rows * part / threads_, last = first; first < end; first = last) {
            last = std::min(end, first + at_once_);
            std::byte *out = launch.out[0] + first * p_.outs * element();
            std::byte *sums = narrows() ? room : out;
            const int64_t count = (last - first) * p_.outs;
            if (p_.gathered)
                p_.gather(rows, launch.in[0], first, last, static_cast<std::byte>(zero));
            w.first = p_.gathered ? 0 : first;
            w.last = w.first + last - first;
            window_sums_s8(sums - w.first * w.stride, w);
            auto *numbers = reinterpret_cast<float *>(sums);
            for (const UnaryStage &stage : steps_.stages)
                stage.apply(numbers, numbers, nullptr, false, count, stage.a, stage.b);
            if (narrows())
                vector_quantise(reinterpret_cast<uint8_t *>(out), numbers, count, {1, made_zero_, made_ == Type::s8});
        }
    }
};

/// Rows whose integers are no fours are gathered, with room for what the last four lacks.
Product in_fours(Product product, int64_t rows)
{
    constexpr int64_t four = window_number;
    if (product.ins % four == 0)
        return product;
    if (!product.gathered) {
        Pixels pixels;
        pixels.x.output = pixels.x.input = rows;
        pixels.pixel = product.step;
        pixels.channels = product.ins;
        product.gathered = pixels;
    }
    product.ins = product.step = (product.ins + four - 1) / four * four;
    return product;
}

/// `slice`: of pixels or rows, for the channels that are made anew.
Attempt attempt(const NodeFacts &facts, const IntegerProduct &known, const Slice &slice, const Product &product,
                const WindowWeights &weights)
{
    std::optional<Steps> steps;
    const auto longest = [&](const std::function<bool(const IntegerEnding &)> &takes) {
        return longest_ending(facts, known.channel_axis, known.wide != nullptr, takes);
    };
    const auto possible = longest([](const IntegerEnding &) { return true; });
    const auto ending =
        longest([&](const IntegerEnding &made) { return (steps = steps_of(made)).has_value(); });
    if (!ending || ending->count < possible->count)
        return "others do more of its post-ops";
    if (known.wide && !known.zero_point)
        return "weights beyond s8, and a zero point that only the run knows";
    const int threads = product.rows < window_pixels ? 1 : facts.threads;
    Choice choice;
    choice.post_ops = ending->count;
    choice.in = {{0, slice.in}};
    choice.out = {slice.out};
    if (!known.zero_point)
        choice.in.push_back({2, Layout::dense(facts.type(2), facts.dims(2))});
    if (ending->sum) {
        choice.in_place = choice.in.size();
        choice.in.push_back({*ending->sum, slice.out});
    }
    choice.detail = detail_of(Type::s8, threads);
    auto kernel = std::make_unique<IntegerRows>(product, weights_in_groups(facts.weights, known.weights, weights),
                                                weight_sums(facts.weights, known.weights, weights), *ending,
                                                std::move(*steps), known.zero_point, threads);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return with_wide_channels(std::move(choice), known, *ending, slice);
}

} // namespace

Attempt attempt_integer_pointwise(const NodeFacts &facts)
{
    if (auto fault = window_sums_fault(facts.type(0)); !fault.empty())
        return fault;
    const Shape &weights = facts.dims(1);
    if (facts.dims(0).size() < 3 || facts.dims(0).size() > 5 || weights.size() != facts.dims(0).size() ||
        facts.attributes().integer("group", 1) != 1 || count_of(weights) != weights[0] * weights[1])
        return "it is no convolution of pixels";
    auto known = integer_product(facts);
    if (auto *fault = std::get_if<std::string>(&known))
        return *fault;
    const auto axes = windows_of(facts.attributes(), facts.dims(0), onednn::spatial(weights));
    const Slice slice{Layout::channels_last(facts.type(0), facts.dims(0)),
                      Layout::channels_last(facts.out[0].type, facts.out[0].dims), axes};
    const auto step = onednn::are_pixels(axes) ? step_of(slice.in) : std::nullopt;
    if (!step && axes.size() > 2)
        return "its pixels lie apart on three axes";
    const Product product = in_fours(product_of_pixels(slice.in, axes, weights[0], step), slice.in.count() / weights[1]);
    return attempt(facts, std::get<IntegerProduct>(known), slice, product, window_weights(weights));
}

Attempt attempt_integer_rows(const NodeFacts &facts)
{
    if (auto fault = window_sums_fault(facts.type(0)); !fault.empty())
        return fault;
    auto known = integer_product(facts);
    if (auto *fault = std::get_if<std::string>(&known))
        return *fault;
    const int64_t ins = facts.dims(1)[0], outs = facts.dims(1)[1];
    const int64_t rows = ins > 0 ? count_of(facts.dims(0)) / ins : 0;
    if (rows == 0)
        return "it has no rows";
    const Slice slice{Layout::dense(facts.type(0), {rows, ins}), Layout::dense(facts.out[0].type, {rows, outs}), {}};
    const Product product = in_fours(product_of_rows(facts.type(0), rows, ins, outs, ins), rows);
    Attempt made = attempt(facts, std::get<IntegerProduct>(known), slice, product, {outs, ins, 1, 1, outs, 1});
    if (auto *choice = std::get_if<Choice>(&made)) {
        choice->in[0].layout = Layout::dense(facts.type(0), facts.dims(0));
        choice->out[0] = facts.out[0];
        if (choice->in_place)
            choice->in[*choice->in_place].layout = facts.out[0];
    }
    return made;
}

} // namespace leat::cpu
