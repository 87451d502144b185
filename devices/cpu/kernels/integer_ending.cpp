#include "integer_ending.h"

#include "elementwise.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace leat::cpu {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Reads the post-ops of the normal form that compute_in_integers() makes.
class Reading {
  public:
    /// `only_scales`: post-ops beyond scale, bias and rounding do not fit.
    Reading(const NodeFacts &facts, size_t axis, bool only_scales)
        : facts_(facts), posts_(facts.node.post_ops), axis_(axis), only_scales_(only_scales)
    {
    }

    /// See longest_ending().
    std::optional<IntegerEnding> longest(const std::function<bool(const IntegerEnding &)> &takes)
    {
        if (posts_.empty() || posts_[0].op->name != "Cast" || type_after(posts_[0], Type::s32) != Type::f32)
            return {};
        for (size_t limit = posts_.size(); limit > 0; limit--)
            if (auto ending = first(limit); ending && takes(*ending))
                return ending;
        return {};
    }

    /// Exactly the first `limit` post-ops, the first of which is the Cast; nothing when they do not fit.
    std::optional<IntegerEnding> first(size_t limit)
    {
        ending_ = {};
        const auto channels = static_cast<size_t>(facts_.out[0].dims[axis_]);
        ending_.scales.assign(channels, 1);
        ending_.bias.assign(channels, 0);
        ending_.count = limit;
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
        settle(quantises && !scales_with ? 1 / scale_ : 1);
        if (only_scales_ && !ending_.steps.empty())
            return {};
        return ending_;
    }

  private:
    const NodeFacts &facts_;
    const std::vector<PostOp> &posts_;
    const size_t axis_;
    const bool only_scales_;
    IntegerEnding ending_;
    size_t operand_ = 0;
    float scale_ = 1, zero_point_ = 0, lowest_ = 0, highest_ = 0; // of the integers at the end
    float unit_ = 1;                                              // what the numbers are multiplied by already
    float shift_ = 0;                                             // what has still to be added to them

    void multiply(float factor)
    {
        for (auto *list : {&ending_.scales, &ending_.bias})
            for (float &each : *list)
                each *= factor;
    }

    void add(float number)
    {
        for (float &each : ending_.bias)
            each += number;
    }

    void set_grid(const PostOp &quantise)
    {
        ending_.out = type_after(quantise, Type::f32);
        scale_ = quantise.attributes.number("scale", 1);
        ending_.zero_point = static_cast<int32_t>(quantise.attributes.integer("zero_point", 0));
        zero_point_ = static_cast<float>(quantise.attributes.integer("zero_point", 0));
        lowest_ = ending_.out == Type::u8 ? 0 : -128;
        highest_ = ending_.out == Type::u8 ? 255 : 127;
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
                ending_.scales[i] *= (*numbers)[i];
            ending_.bias[i] = multiplies ? ending_.bias[i] * (*numbers)[i] : ending_.bias[i] + (*numbers)[i];
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
        return ending_.out != Type::f32 && cut && std::nearbyint(cut->first / scale_) + zero_point_ <= lowest_ &&
               std::nearbyint(cut->second / scale_) + zero_point_ >= highest_;
    }

    /// The same of a post-op between which and the integers there is only one Mul, by a factor for each channel.
    bool saturation_does_before_factor(size_t index, size_t end) const
    {
        const auto cut = bounds(posts_[index]);
        if (ending_.out == Type::f32 || !cut || index + 2 != end || posts_[index + 1].op->name != "Mul" ||
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
        settle(1);
        PostOp scaled = post;
        if (post.op->name == "Clip")
            for (const char *bound : {"min", "max"})
                if (post.attributes.has(bound))
                    scaled.attributes.set(bound, post.attributes.number(bound, 0) * unit_);
        ending_.steps.push_back({IntegerEnding::Step::Kind::unary, scaled});
        return true;
    }

    /// Makes `factor` times the numbers of what has been appended.
    void settle(float factor)
    {
        const float b = shift_ * factor;
        shift_ = 0;
        if (factor != 1 || b != 0)
            ending_.steps.push_back({IntegerEnding::Step::Kind::linear, {}, factor, b});
    }

    /// A residual sum: integers onto integers, or floats onto floats.
    bool append_residual(const PostOp &post, const Operand &operand, bool is_first)
    {
        const bool integers = post.attributes.has("scale");
        if (post.op->name != "Add" || ending_.sum || operand.constant || operand.layout.dims != facts_.out[0].dims ||
            operand.layout.type != ending_.out || integers != (ending_.out != Type::f32))
            return false;
        const float scale = post.attributes.number("scale", 1) * unit_;
        const float zero = scale * static_cast<float>(post.attributes.integer("zero_point", 0));
        if (is_first)
            add(-zero);
        else
            shift_ -= zero;
        ending_.steps.push_back({IntegerEnding::Step::Kind::sum, {}, scale});
        ending_.sum = operand_++;
        return true;
    }
};

} // namespace

IntegerEnding with_early_zero_point(IntegerEnding ending)
{
    const auto zero = static_cast<float>(std::exchange(ending.zero_point, 0));
    if (ending.steps.empty())
        for (float &each : ending.bias)
            each += zero;
    else if (ending.steps.back().kind == IntegerEnding::Step::Kind::linear)
        ending.steps.back().b += zero;
    else if (zero != 0)
        ending.steps.push_back({IntegerEnding::Step::Kind::linear, {}, 1, zero});
    return ending;
}

std::optional<IntegerEnding> longest_ending(const NodeFacts &facts, size_t axis, bool only_scales,
                                            const std::function<bool(const IntegerEnding &)> &takes)
{
    return Reading(facts, axis, only_scales).longest(takes);
}

} // namespace leat::cpu
