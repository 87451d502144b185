#include "devices/cpu/kernel.h"
#include "devices/cpu/team.h"
#include "inference/ops/walk.h"
#include "vector_functions.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace leat::cpu {
namespace {

template <class To, class From> To converted(From value)
{
    if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>)
        return converted<To>(static_cast<float>(value));
    else if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>)
        return To(static_cast<float>(value));
    else if constexpr (std::is_same_v<To, bool>)
        return value != From(0);
    else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>)
        return narrowed<To>(value);
    else
        return static_cast<To>(value);
}

template <class To, class From> void convert(const std::byte *in, std::byte *out, int64_t first, int64_t last)
{
    const auto *from = reinterpret_cast<const From *>(in);
    auto *to = reinterpret_cast<To *>(out);
    if constexpr (std::is_same_v<From, BFloat16> && std::is_same_v<To, float>)
        vector_widen(to + first, reinterpret_cast<const std::byte *>(from + first), last - first);
    else if constexpr (std::is_same_v<From, float> && std::is_same_v<To, BFloat16>)
        vector_narrow(reinterpret_cast<std::byte *>(to + first), from + first, last - first);
    else
        for (int64_t i = first; i < last; i++)
            to[i] = converted<To>(from[i]);
}

/// Elements [first, last) of the input, made into those of the output.
using Convert = std::function<void(const std::byte *in, std::byte *out, int64_t first, int64_t last)>;

/// Works element by element, in whatever order they lie.
class ElementByElement final : public Kernel {
  public:
    ElementByElement(Convert function, int64_t count, int threads)
        : convert_(std::move(function)), count_(count), threads_(count < 16384 ? 1 : threads)
    {
    }
    void run(const Launch &launch) const override
    {
        parallel_for(count_, threads_,
                     [&](int64_t first, int64_t last) { convert_(launch.in[0], launch.out[0], first, last); });
    }

  private:
    Convert convert_;
    int64_t count_;
    int threads_;
};

/// The node's output from its first input, in the order in which that lies.
Choice element_by_element(const NodeFacts &facts, Convert function)
{
    const Layout in = Layout::like(facts.in[0].layout, facts.type(0), facts.dims(0));
    Choice choice;
    choice.in = {{0, in}};
    choice.out = {Layout::like(in, facts.out[0].type, in.dims)};
    choice.kernel = std::make_unique<ElementByElement>(std::move(function), in.count(), facts.threads);
    return choice;
}

/// Quantises the whole tensor with numbers of its own, known only when all of it was seen.
class DynamicQuantise final : public Kernel {
  public:
    explicit DynamicQuantise(int64_t count) : count_(count) {}
    void run(const Launch &launch) const override
    {
        const auto *in = reinterpret_cast<const float *>(launch.in[0]);
        const float lowest = std::min(0.f, vector_min(in, count_)), highest = std::max(0.f, vector_max(in, count_));
        const float scale = highest > lowest ? (highest - lowest) / 255 : 1;
        uint8_t zero_point = 0;
        const float negative = -lowest;
        vector_quantise(&zero_point, &negative, 1, {scale, 0, false});
        vector_quantise(reinterpret_cast<uint8_t *>(launch.out[0]), in, count_, {scale, zero_point, false});
        *reinterpret_cast<float *>(launch.out[1]) = scale;
        *reinterpret_cast<uint8_t *>(launch.out[2]) = zero_point;
    }

  private:
    int64_t count_;
};

/// Scale and zero point for a whole tensor of 8-bit integers; nothing otherwise.
std::optional<Quantisation> quantisation_of(const NodeFacts &facts, Type integer)
{
    const Tensor *scale = facts.constant(1), *zero = facts.constant(2);
    if ((integer != Type::u8 && integer != Type::s8) || !scale || scale->count() != 1 ||
        (facts.has(2) && (!zero || zero->count() != 1)) || facts.attributes().integer("block_size", 0) != 0)
        return std::nullopt;
    return Quantisation{scale->converted(Type::f32).data<float>()[0],
                        zero ? zero->converted(Type::s32).data<int32_t>()[0] : 0, integer == Type::s8};
}

constexpr const char *not_plain = "it has not one constant scale and zero point for 8-bit integers and f32";

} // namespace

Attempt attempt_quantise(const NodeFacts &facts)
{
    const auto quantisation = quantisation_of(facts, facts.out[0].type);
    if (facts.type(0) != Type::f32 || !quantisation)
        return not_plain;
    return element_by_element(facts,
                              [q = *quantisation](const std::byte *in, std::byte *out, int64_t first, int64_t last) {
                                  vector_quantise(reinterpret_cast<uint8_t *>(out) + first,
                                                  reinterpret_cast<const float *>(in) + first, last - first, q);
                              });
}

Attempt attempt_dynamic_quantise(const NodeFacts &facts)
{
    if (facts.type(0) != Type::f32)
        return "not f32";
    if (facts.out.size() != 3)
        return "one of its outputs is absent";
    const Layout in = Layout::like(facts.in[0].layout, Type::f32, facts.dims(0));
    Choice choice;
    choice.in = {{0, in}};
    choice.out = {Layout::like(in, Type::u8, in.dims), Layout::dense(Type::f32, {}), Layout::dense(Type::u8, {})};
    choice.kernel = std::make_unique<DynamicQuantise>(in.count());
    return choice;
}

Attempt attempt_cast(const NodeFacts &facts)
{
    return element_by_element(facts, visit_type(facts.type(0), [&]<class From>() {
                                  return visit_type(facts.out[0].type,
                                                    []<class To>() -> Convert { return convert<To, From>; });
                              }));
}

} // namespace leat::cpu
