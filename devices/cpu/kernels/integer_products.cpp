#include "integer_products.h"

#include "post_ops.h"
#include "window.h"

#include <algorithm>

namespace leat::cpu {
namespace {

using namespace onednn;
using Argument = PrimitiveKernel::Argument;

/// The steps as oneDNN's post-ops; nothing when it has none for one of them.
std::optional<dnnl::post_ops> post_ops_of(const IntegerEnding &ending)
{
    using Kind = IntegerEnding::Step::Kind;
    dnnl::post_ops ops;
    for (const auto &step : ending.steps) {
        if (step.kind == Kind::sum)
            append_sum(ops, step.a, ending.out);
        else if (!(step.kind == Kind::linear ? append_linear(ops, step.a, step.b) : append_unary(ops, step.post)))
            return {};
    }
    return ops;
}

/// Hands the primitive its source's zero point, the second of what it reads, as s32.
class WithZeroPoint final : public Kernel {
  public:
    WithZeroPoint(std::unique_ptr<Kernel> product, bool is_signed) : product_(std::move(product)), signed_(is_signed) {}
    void prepare() override { product_->prepare(); }
    void run(const Launch &launch) const override
    {
        const auto byte = std::to_integer<uint8_t>(*launch.in[1]);
        const int32_t zero = signed_ ? static_cast<int8_t>(byte) : byte;
        std::vector<const std::byte *> in(launch.in.begin(), launch.in.end());
        in[1] = reinterpret_cast<const std::byte *>(&zero);
        product_->run({in, launch.out, launch.scratch, launch.kept, {}});
    }

  private:
    std::unique_ptr<Kernel> product_;
    bool signed_;
};

/// What is the same for every slice of a product.
struct Work {
    const NodeFacts &facts;
    const IntegerProduct &product;
    const IntegerEnding &ending;
    dnnl::post_ops ops; ///< its steps
    Layout weights;     ///< as the primitive numbers their axes
    Requantisation how;
    std::function<Made(const Desc &in, const Desc &weights, const Desc &bias, const Desc &out, const Slice &,
                       const dnnl::primitive_attr &)>
        make;
    Shape bias_dims;
};

/// The kernel, which was given saturated weights, and what calculates the wide channels anew, when there are some.
Choice with_wide_channels(Choice choice, const IntegerProduct &product, const IntegerEnding &ending, const Slice &slice)
{
    if (!product.wide)
        return choice;
    choice.kernel = with_wide_channels(std::move(choice.kernel), slice, product.wide, {ending.scales, ending.bias},
                                       product.zero_point);
    choice.detail += ", " + std::to_string(product.wide->channels.size()) + " channels beyond s8 apart";
    return choice;
}

Choice multiply(const Work &work, const Slice &slice)
{
    const IntegerAttributes attributes = integer_attributes(work.how, work.ops);
    const Desc in = desc(slice.in);
    const Desc bias = attributes.bias ? desc(Layout::dense(Type::f32, work.bias_dims)) : Desc();
    const Made made = work.make(in, any(Type::s8, work.weights.dims), bias, desc(slice.out), slice, attributes.attr);
    std::vector<Argument> arguments{
        {DNNL_ARG_SRC, in, Argument::From::in, 0},
        {DNNL_ARG_WEIGHTS, made.weights, Argument::From::constant, 0,
         packed(work.facts.weights, work.product.weights, desc(work.weights), made.weights)}};
    if (attributes.bias)
        arguments.push_back({DNNL_ARG_BIAS, bias, Argument::From::constant, 0, attributes.bias});
    arguments.insert(arguments.end(), attributes.arguments.begin(), attributes.arguments.end());
    std::vector<Reads> reads{{0, slice.in}};
    if (!work.how.source_zero_point) {
        arguments.push_back(
            {DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_SRC, desc(Layout::dense(Type::s32, {1})), Argument::From::in, 1});
        reads.push_back({2, Layout::dense(slice.in.type, work.facts.dims(2))});
    }
    FusedPostOps fused;
    fused.count = work.ending.count;
    fused.sum = work.ending.sum;
    return with_wide_channels(
        choose(made, std::move(arguments), std::move(reads), slice.out, slice.out, std::move(fused)), work.product,
        work.ending, slice);
}

Attempt finished(const Work &work, Choice choice)
{
    if (is_slow(choice.detail))
        return "oneDNN has no optimised kernel for it on integers";
    if (!work.how.source_zero_point)
        choice.kernel = std::make_unique<WithZeroPoint>(std::move(choice.kernel), work.facts.type(0) == Type::s8);
    return choice;
}

/// Scales of one number where they are all the same.
Requantisation requantisation(const IntegerEnding &ending, std::optional<int32_t> zero_point)
{
    Requantisation how{ending.scales, ending.bias, zero_point};
    if (std::all_of(how.scales.begin(), how.scales.end(), [&](float scale) { return scale == how.scales[0]; }))
        how.scales.resize(1);
    if (std::all_of(how.bias.begin(), how.bias.end(), [](float number) { return number == 0; }))
        how.bias.clear();
    return how;
}

Attempt integer_convolution(const NodeFacts &facts, const IntegerProduct &product, const IntegerEnding &ending)
{
    if (facts.dims(0).size() < 3 || facts.dims(0).size() > 5)
        return "it has neither one, two nor three spatial axes";
    const auto axes = windows_of(facts.attributes(), facts.dims(0), spatial(facts.dims(1)));
    Work work{facts,
              product,
              ending,
              *post_ops_of(ending),
              Layout::dense(Type::s8, facts.dims(1)),
              requantisation(ending, product.zero_point),
              [](const Desc &in, const Desc &weights, const Desc &bias, const Desc &out, const Slice &slice,
                 const dnnl::primitive_attr &attr) {
                  return convolution(in, weights, bias, out, window_of(slice.axes), attr);
              },
              {facts.out[0].dims[1]}};
    if (const int64_t groups = facts.attributes().integer("group", 1); groups > 1) {
        Shape grouped = facts.dims(1);
        grouped[0] /= groups;
        grouped.insert(grouped.begin(), groups);
        work.weights = Layout::dense(Type::s8, grouped);
        work.how.weights_mask = 3;
    }
    const Slice whole{Layout::channels_last(facts.type(0), facts.dims(0)),
                      Layout::channels_last(ending.out, facts.out[0].dims), axes};
    return finished(work, solve_slices(facts, whole, cut_pictures(whole, facts.threads),
                                       [&](const Slice &slice) { return multiply(work, slice); }));
}

/// The batches of the first operand are further rows.
Attempt integer_matrix_product(const NodeFacts &facts, const IntegerProduct &product, const IntegerEnding &ending)
{
    if (facts.dims(0).empty())
        return "its data is no matrix";
    const int64_t inner = facts.dims(1)[0], columns = facts.dims(1)[1];
    const int64_t rows = count_of(facts.dims(0)) / std::max<int64_t>(inner, 1);
    Work work{facts,
              product,
              ending,
              *post_ops_of(ending),
              Layout::dense(Type::s8, facts.dims(1)),
              requantisation(ending, product.zero_point),
              [](const Desc &in, const Desc &weights, const Desc &bias, const Desc &out, const Slice &,
                 const dnnl::primitive_attr &attr) { return matmul(in, weights, bias, out, attr); },
              {1, columns}};
    work.how.weights_mask = 2;
    const Slice whole{Layout::dense(facts.type(0), {rows, inner}), Layout::dense(ending.out, {rows, columns}), {}};
    Choice choice = solve_slices(facts, whole, cut_matrix(whole, facts.threads),
                                 [&](const Slice &slice) { return multiply(work, slice); });
    choice.in[0].layout = Layout::dense(facts.type(0), facts.dims(0));
    choice.out = {Layout::dense(ending.out, facts.out[0].dims)};
    if (choice.in_place)
        choice.in[*choice.in_place].layout = choice.out[0];
    return finished(work, std::move(choice));
}

/// The source's zero point; nothing when only the run knows it.
std::optional<int32_t> source_zero_point(const NodeFacts &facts)
{
    if (!facts.has(2))
        return 0;
    if (const Tensor *zero = facts.constant(2))
        return zero->converted(Type::s32).data<int32_t>()[0];
    return {};
}

std::string fault_of(const NodeFacts &facts)
{
    if (!onednn::has_integer_dot_products())
        return "the processor has no dot products of 8-bit integers";
    if (!facts.constant(1) || !is_8_bit(facts.type(1)) || (facts.has(3) && !facts.constant(3)))
        return "its weights are no constant integers of 8 bits";
    if (facts.has(2) && facts.in[2].layout.count() != 1)
        return "it has several zero points";
    return "";
}

} // namespace

std::variant<IntegerProduct, std::string> integer_product(const NodeFacts &facts, bool takes_zeros)
{
    if (auto fault = fault_of(facts); !fault.empty())
        return fault;
    const bool convolves = facts.node.op->name == "ConvInteger";
    if (facts.out[0].rank() < (convolves ? 3u : 1u))
        return "it has no axis of channels";
    if (facts.dims(1).size() < 2 || (!convolves && facts.dims(1).size() > 2))
        return "its weights have neither filters nor the form of a matrix";
    const size_t channel_axis = convolves ? 1 : facts.out[0].rank() - 1;
    const int64_t channels = facts.out[0].dims[channel_axis];
    if (facts.has(3) && facts.in[3].layout.count() != 1 && facts.in[3].layout.count() != channels)
        return "the zero points of its weights are neither one nor one for each output channel";
    auto [saturated, wide] = narrowed(*facts.constant(1), facts.constant(3), convolves, facts.weights);
    IntegerProduct product{convolves, channel_axis, std::move(saturated), {}, {}, source_zero_point(facts)};
    if (wide.channels.empty())
        return product;
    if (takes_zeros) {
        WeightsWithZeros with_zeros = as_s8(*facts.constant(1), facts.constant(3), channels, facts.weights);
        product.weights = std::move(with_zeros.weights);
        product.weight_zeros = std::move(with_zeros.zeros);
        return product;
    }
    if (static_cast<int64_t>(wide.channels.size()) > channels / 4)
        return "a quarter of its output channels have weights that do not fit in s8 without their zero point";
    product.wide = std::make_shared<const WideChannels>(std::move(wide));
    return product;
}

Attempt attempt_integer_product(const NodeFacts &facts)
{
    auto product = integer_product(facts, false);
    if (auto *fault = std::get_if<std::string>(&product))
        return *fault;
    const auto &known = std::get<IntegerProduct>(product);
    const auto ending = longest_ending(facts, known.channel_axis, known.wide != nullptr, [](const IntegerEnding &made) {
        return post_ops_of(with_early_zero_point(made)).has_value();
    });
    if (!ending)
        return "its sums are wanted as integers";
    const IntegerEnding early = with_early_zero_point(*ending);
    return or_refusal([&] {
        return known.convolves ? integer_convolution(facts, known, early) : integer_matrix_product(facts, known, early);
    });
}

} // namespace leat::cpu
