#include "post_ops.h"
#include "slices.h"
#include "wide_channels.h"
#include "window.h"

#include <algorithm>
#include <cmath>
#include <limits>

// Convolutions and matrix products of 8-bit integers whose sums become numbers: the normal form that
// compute_in_integers() makes.
namespace leat::cpu {
namespace {

using namespace onednn;
using Argument = PrimitiveKernel::Argument;

constexpr float infinity = std::numeric_limits<float>::infinity();

/// What the primitive does with its sums: a number for each, and post-ops, as far as they fit into it.
struct Finish {
    std::vector<float> scales, bias; ///< one for each output channel
    dnnl::post_ops ops;
    Type out = Type::f32;
    size_t count = 0;          ///< how many of the node's post-ops this is
    std::optional<size_t> sum; ///< operand that the output starts with
};

/// The numbers of a constant operand, one for each channel; nothing when it has another shape.
std::optional<std::vector<float>> numbers_by_channel(const Operand &operand, const Shape &out, size_t axis)
{
    if (!operand.constant || operand.layout.type != Type::f32 || operand.layout.rank() > out.size())
        return {};
    const size_t missing = out.size() - operand.layout.rank();
    for (size_t i = 0; i < operand.layout.rank(); i++)
        if (operand.layout.dims[i] != 1 && (i + missing != axis || operand.layout.dims[i] != out[axis]))
            return {};
    const Tensor &constant = *operand.constant;
    std::vector<float> numbers(constant.data<float>(), constant.data<float>() + constant.count());
    if (numbers.size() == 1)
        numbers.assign(static_cast<size_t>(out[axis]), numbers[0]);
    return numbers;
}

/// Reads the post-ops of the normal form.
class Finishing {
  public:
    /// `only_scales`: post-ops beyond scale, bias and rounding do not fit.
    Finishing(const NodeFacts &facts, size_t axis, bool only_scales)
        : facts_(facts), posts_(facts.node.post_ops), axis_(axis), only_scales_(only_scales)
    {
    }

    /// The longest run of post-ops that the primitive can take; nothing when the sums themselves are wanted.
    std::optional<Finish> longest()
    {
        if (posts_.empty() || posts_[0].op->name != "Cast" || type_after(posts_[0], Type::s32) != Type::f32)
            return {};
        for (size_t limit = posts_.size(); limit > 0; limit--)
            if (auto finish = first(limit))
                return finish;
        return {};
    }

    /// Exactly the first `limit` post-ops, the first of which is the Cast; nothing when they do not fit.
    std::optional<Finish> first(size_t limit)
    {
        finish_ = {};
        const auto channels = static_cast<size_t>(facts_.out[0].dims[axis_]);
        finish_.scales.assign(channels, 1);
        finish_.bias.assign(channels, 0);
        finish_.count = limit;
        operand_ = facts_.node.inputs.size();
        size_t next = 1, end = limit;
        const bool quantises = posts_[limit - 1].op->name == "QuantizeLinear";
        if (quantises)
            set_grid(posts_[--end]);
        while (next < end && (affine(posts_[next]) || saturation_does_before_factor(next, end)))
            next++;
        while (end > next && saturation_does(posts_[end - 1]))
            end--;
        unit_ = 1;
        shift_ = 0;
        const bool scales_with = std::all_of(posts_.begin() + static_cast<ptrdiff_t>(next),
                                             posts_.begin() + static_cast<ptrdiff_t>(end), commutes_with_factors);
        if (quantises && scales_with)
            multiply(unit_ = 1 / scale_);
        for (size_t i = next; i < end; i++)
            if (!append(posts_[i], i == next))
                return {};
        if (quantises && scales_with && end == next)
            add(zero_point_);
        else if (!settle(quantises && !scales_with ? 1 / scale_ : 1, quantises ? zero_point_ : 0))
            return {};
        if (only_scales_ && finish_.ops.len() > 0)
            return {};
        return finish_;
    }

  private:
    const NodeFacts &facts_;
    const std::vector<PostOp> &posts_;
    const size_t axis_;
    const bool only_scales_;
    Finish finish_;
    size_t operand_ = 0;
    float scale_ = 1, zero_point_ = 0, lowest_ = 0, highest_ = 0; // of the integers at the end
    float unit_ = 1;                                              // what the numbers are multiplied by already
    float shift_ = 0;                                             // what has still to be added to them

    void multiply(float factor)
    {
        for (auto *list : {&finish_.scales, &finish_.bias})
            for (float &each : *list)
                each *= factor;
    }

    void add(float number)
    {
        for (float &each : finish_.bias)
            each += number;
    }

    void set_grid(const PostOp &quantise)
    {
        finish_.out = type_after(quantise, Type::f32);
        scale_ = quantise.attributes.number("scale", 1);
        zero_point_ = static_cast<float>(quantise.attributes.integer("zero_point", 0));
        lowest_ = finish_.out == Type::u8 ? 0 : -128;
        highest_ = finish_.out == Type::u8 ? 255 : 127;
    }

    /// Takes Mul and Add of constants into scales and bias.
    bool affine(const PostOp &post)
    {
        const bool multiplies = post.op->name == "Mul";
        if (post.kind != PostOp::Kind::binary || (!multiplies && post.op->name != "Add") ||
            post.attributes.has("scale"))
            return false;
        const auto numbers = numbers_by_channel(facts_.in[operand_], facts_.out[0].dims, axis_);
        if (!numbers)
            return false;
        for (size_t i = 0; i < numbers->size(); i++) {
            if (multiplies)
                finish_.scales[i] *= (*numbers)[i];
            finish_.bias[i] = multiplies ? finish_.bias[i] * (*numbers)[i] : finish_.bias[i] + (*numbers)[i];
        }
        operand_++;
        return true;
    }

    static std::optional<std::pair<float, float>> bounds(const PostOp &post)
    {
        if (post.op->name == "Relu")
            return std::pair{0.f, infinity};
        if (post.op->name == "Clip")
            return std::pair{post.attributes.number("min", -infinity), post.attributes.number("max", infinity)};
        return {};
    }

    /// True when rounding to the integers at the end cuts off all that the post-op would.
    bool saturation_does(const PostOp &post) const
    {
        const auto cut = bounds(post);
        return finish_.out != Type::f32 && cut && std::nearbyint(cut->first / scale_) + zero_point_ <= lowest_ &&
               std::nearbyint(cut->second / scale_) + zero_point_ >= highest_;
    }

    /// The same of a post-op between which and the integers there is only one Mul, by a factor for each channel.
    bool saturation_does_before_factor(size_t index, size_t end) const
    {
        const auto cut = bounds(posts_[index]);
        if (finish_.out == Type::f32 || !cut || index + 2 != end || posts_[index + 1].op->name != "Mul" ||
            posts_[index + 1].attributes.has("scale"))
            return false;
        const auto factors = numbers_by_channel(facts_.in[operand_], facts_.out[0].dims, axis_);
        return factors && std::all_of(factors->begin(), factors->end(), [&](float factor) {
                   return factor > 0 && std::nearbyint(cut->first * factor / scale_) + zero_point_ <= lowest_ &&
                          std::nearbyint(cut->second * factor / scale_) + zero_point_ >= highest_;
               });
    }

    static bool commutes_with_factors(const PostOp &post)
    {
        return bounds(post) || post.op->name == "LeakyRelu" || (post.op->name == "Add" && post.attributes.has("scale"));
    }

    bool append(const PostOp &post, bool is_first)
    {
        if (post.kind == PostOp::Kind::binary)
            return append_residual(post, facts_.in[operand_], is_first);
        if (!settle(1, 0))
            return false;
        PostOp scaled = post;
        if (post.op->name == "Clip")
            for (const char *bound : {"min", "max"})
                if (post.attributes.has(bound))
                    scaled.attributes.set(bound, post.attributes.number(bound, 0) * unit_);
        return append_unary(finish_.ops, scaled);
    }

    /// Makes `factor` times the numbers, plus `offset`, of what has been appended; false when that is not possible.
    bool settle(float factor, float offset)
    {
        const float b = shift_ * factor + offset;
        shift_ = 0;
        return (factor == 1 && b == 0) || append_linear(finish_.ops, factor, b);
    }

    /// A residual sum: integers onto integers, or floats onto floats.
    bool append_residual(const PostOp &post, const Operand &operand, bool is_first)
    {
        const bool integers = post.attributes.has("scale");
        if (post.op->name != "Add" || finish_.sum || operand.constant || operand.layout.dims != facts_.out[0].dims ||
            operand.layout.type != finish_.out || integers != (finish_.out != Type::f32))
            return false;
        const float scale = post.attributes.number("scale", 1) * unit_;
        const float zero = scale * static_cast<float>(post.attributes.integer("zero_point", 0));
        if (is_first)
            add(-zero);
        else
            shift_ -= zero;
        append_sum(finish_.ops, scale, operand.layout.type);
        finish_.sum = operand_++;
        return true;
    }
};

/// The source's zero point; nothing when only the run knows it.
std::optional<int32_t> source_zero_point(const NodeFacts &facts)
{
    if (!facts.has(2))
        return 0;
    if (const Tensor *zero = facts.constant(2))
        return zero->converted(Type::s32).data<int32_t>()[0];
    return {};
}

/// Hands the primitive its source's zero point, the last of what it reads, as s32.
class WithZeroPoint final : public Kernel {
  public:
    WithZeroPoint(std::unique_ptr<Kernel> product, bool is_signed) : product_(std::move(product)), signed_(is_signed) {}
    void prepare() override { product_->prepare(); }
    void run(const Launch &launch) const override
    {
        const auto byte = std::to_integer<uint8_t>(*launch.in.back());
        const int32_t zero = signed_ ? static_cast<int8_t>(byte) : byte;
        std::vector<const std::byte *> in(launch.in.begin(), launch.in.end());
        in.back() = reinterpret_cast<const std::byte *>(&zero);
        product_->run({in, launch.out, launch.scratch, launch.kept, {}});
    }

  private:
    std::unique_ptr<Kernel> product_;
    bool signed_;
};

std::string fault_of(const NodeFacts &facts)
{
    if (!has_integer_dot_products())
        return "the processor has no dot products of 8-bit integers";
    if (!facts.constant(1) || !is_8_bit(facts.type(1)) || (facts.has(3) && !facts.constant(3)))
        return "its weights are no constant integers of 8 bits";
    if (facts.has(2) && facts.in[2].layout.count() != 1)
        return "it has several zero points";
    return "";
}

/// What is the same for every slice of a product.
struct Work {
    const NodeFacts &facts;
    const Finish &finish;
    const Tensor &saturated;
    std::shared_ptr<const WideChannels> wide; ///< absent when there are none
    Layout weights;                           ///< as the primitive numbers their axes
    Requantisation how;
    std::function<Made(const Desc &in, const Desc &weights, const Desc &bias, const Desc &out, const Slice &,
                       const dnnl::primitive_attr &)>
        make;
    Shape bias_dims;
};

Choice multiply(const Work &work, const Slice &slice)
{
    const IntegerAttributes attributes = integer_attributes(work.how, work.finish.ops);
    const Desc in = desc(slice.in);
    const Desc bias = attributes.bias ? desc(Layout::dense(Type::f32, work.bias_dims)) : Desc();
    const Made made = work.make(in, any(Type::s8, work.weights.dims), bias, desc(slice.out), slice, attributes.attr);
    std::vector<Argument> arguments{{DNNL_ARG_SRC, in, Argument::From::in, 0},
                                    {DNNL_ARG_WEIGHTS, made.weights, Argument::From::constant, 0,
                                     packed(work.facts.weights, work.saturated, desc(work.weights), made.weights)}};
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
    fused.count = work.finish.count;
    fused.sum = work.finish.sum;
    Choice choice = choose(made, std::move(arguments), std::move(reads), slice.out, slice.out, std::move(fused));
    if (work.wide) {
        choice.kernel = with_wide_channels(std::move(choice.kernel), slice, work.wide,
                                           {work.finish.scales, work.finish.bias}, work.how.source_zero_point);
        choice.detail += ", " + std::to_string(work.wide->channels.size()) + " channels beyond s8 apart";
    }
    return choice;
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
Requantisation requantisation(const Finish &finish, std::optional<int32_t> zero_point)
{
    Requantisation how{finish.scales, finish.bias, zero_point};
    if (std::all_of(how.scales.begin(), how.scales.end(), [&](float scale) { return scale == how.scales[0]; }))
        how.scales.resize(1);
    if (std::all_of(how.bias.begin(), how.bias.end(), [](float number) { return number == 0; }))
        how.bias.clear();
    return how;
}

/// The weights, and which channels of them the primitive cannot do.
struct Given {
    Tensor saturated;
    std::shared_ptr<const WideChannels> wide;
};

Attempt integer_convolution(const NodeFacts &facts, const Finish &finish, const Given &given)
{
    if (facts.dims(0).size() < 3 || facts.dims(0).size() > 5)
        return "it has neither one, two nor three spatial axes";
    const auto axes = windows_of(facts.attributes(), facts.dims(0), spatial(facts.dims(1)));
    Work work{facts,
              finish,
              given.saturated,
              given.wide,
              Layout::dense(Type::s8, facts.dims(1)),
              requantisation(finish, source_zero_point(facts)),
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
                      Layout::channels_last(finish.out, facts.out[0].dims), axes};
    return finished(work, solve_slices(facts, whole, cut_pictures(whole, facts.threads),
                                       [&](const Slice &slice) { return multiply(work, slice); }));
}

/// The batches of the first operand are further rows.
Attempt integer_matrix_product(const NodeFacts &facts, const Finish &finish, const Given &given)
{
    if (facts.dims(0).empty())
        return "its data is no matrix";
    const int64_t inner = facts.dims(1)[0], columns = facts.dims(1)[1];
    const int64_t rows = count_of(facts.dims(0)) / std::max<int64_t>(inner, 1);
    Work work{facts,
              finish,
              given.saturated,
              given.wide,
              Layout::dense(Type::s8, facts.dims(1)),
              requantisation(finish, source_zero_point(facts)),
              [](const Desc &in, const Desc &weights, const Desc &bias, const Desc &out, const Slice &,
                 const dnnl::primitive_attr &attr) { return matmul(in, weights, bias, out, attr); },
              {1, columns}};
    work.how.weights_mask = 2;
    const Slice whole{Layout::dense(facts.type(0), {rows, inner}), Layout::dense(finish.out, {rows, columns}), {}};
    Choice choice = solve_slices(facts, whole, cut_matrix(whole, facts.threads),
                                 [&](const Slice &slice) { return multiply(work, slice); });
    choice.in[0].layout = Layout::dense(facts.type(0), facts.dims(0));
    choice.out = {Layout::dense(finish.out, facts.out[0].dims)};
    if (choice.in_place)
        choice.in[*choice.in_place].layout = choice.out[0];
    return finished(work, std::move(choice));
}

} // namespace

Attempt attempt_integer_product(const NodeFacts &facts)
{
    if (auto fault = fault_of(facts); !fault.empty())
        return fault;
    const bool convolves = facts.node.op->name == "ConvInteger";
    if (facts.out[0].rank() < (convolves ? 3u : 1u))
        return "it has no axis of channels";
    if (facts.dims(1).size() < 2 || (!convolves && facts.dims(1).size() > 2))
        return "its weights have neither filters nor the form of a matrix";
    const size_t channel_axis = convolves ? 1 : facts.out[0].rank() - 1;
    if (facts.has(3) && facts.in[3].layout.count() != 1 &&
        facts.in[3].layout.count() != facts.out[0].dims[channel_axis])
        return "the zero points of its weights are neither one nor one for each output channel";
    auto [saturated, wide] = narrowed(*facts.constant(1), facts.constant(3), convolves, facts.weights);
    const auto channels = static_cast<size_t>(facts.out[0].dims[channel_axis]);
    if (wide.channels.size() > channels / 4)
        return "a quarter of its output channels have weights that do not fit in s8 without their zero point";
    Given given{std::move(saturated), {}};
    if (!wide.channels.empty())
        given.wide = std::make_shared<const WideChannels>(std::move(wide));
    auto finish = Finishing(facts, channel_axis, given.wide != nullptr).longest();
    if (!finish)
        return "its sums are wanted as integers";
    return or_refusal([&] {
        return convolves ? integer_convolution(facts, *finish, given) : integer_matrix_product(facts, *finish, given);
    });
}

} // namespace leat::cpu
