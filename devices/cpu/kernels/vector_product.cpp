#include "devices/cpu/kernel.h"
#include "devices/cpu/team.h"
#include "elementwise.h"

#include <hwy/cache_control.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "devices/cpu/kernels/vector_product.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After highway.h, which it needs.
#include "inference/bfloat16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace leat::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using leat::HWY_NAMESPACE::load_bfloat16;
using D = hn::ScalableTag<float>;

HWY_INLINE hn::Vec<D> load(const float *from)
{
    return hn::LoadU(D(), from);
}

HWY_INLINE hn::Vec<D> load(const uint16_t *from)
{
    return load_bfloat16(D(), from);
}

float as_float(float number)
{
    return number;
}

float as_float(uint16_t bits)
{
    BFloat16 number;
    number.bits = bits;
    return number;
}

/// Sums of x[i] * row[i], row after row: one stream from memory is faster than several side by side.
template <class T> void multiply(float *to, const T *rows, int64_t count, int64_t inner, const float *x)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    constexpr int together = 4;                 // sums that do not wait for each other
    constexpr int64_t ahead = 2048 / sizeof(T); // what the processor does not fetch by itself across pages
    for (const T *row = rows; row < rows + count * inner; row += inner) {
        hn::Vec<D> sums[together];
        for (auto &sum : sums)
            sum = hn::Zero(d);
        int64_t i = 0;
        for (; i + together * lanes <= inner; i += together * lanes)
            for (int part = 0; part < together; part++) {
                const int64_t at = i + part * lanes;
                hwy::Prefetch(row + at + ahead);
                sums[part] = hn::MulAdd(hn::LoadU(d, x + at), load(row + at), sums[part]);
            }
        float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]))));
        for (; i < inner; i++)
            sum += as_float(row[i]) * x[i];
        *to++ = sum;
    }
}

void multiply_f32(float *to, const float *rows, int64_t count, int64_t inner, const float *x)
{
    multiply(to, rows, count, inner, x);
}

void multiply_bf16(float *to, const uint16_t *rows, int64_t count, int64_t inner, const float *x)
{
    multiply(to, rows, count, inner, x);
}

} // namespace
} // namespace leat::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace leat::cpu {
namespace {

HWY_EXPORT(multiply_f32);
HWY_EXPORT(multiply_bf16);

/// One row times a constant matrix whose columns lie one after the other, as classifiers have it: it takes as long as
/// the weights to come from memory, and needs no other copy of them.
class VectorProduct final : public Kernel {
  public:
    VectorProduct(Tensor weights, Tensor bias, UnaryStages stages, int64_t columns, int threads)
        : weights_(std::move(weights)), bias_(std::move(bias)), stages_(std::move(stages)), columns_(columns),
          inner_(static_cast<int64_t>(weights_.count()) / columns), threads_(threads)
    {
    }

    /// For the row and the result as f32.
    size_t scratch() const { return static_cast<size_t>(inner_ + columns_) * sizeof(float); }

    void run(const Launch &launch) const override
    {
        auto *room = reinterpret_cast<float *>(launch.scratch);
        const float *x = Floats{weights_.type()}.read(launch.in[0], inner_, room);
        const Floats made{stages_.made};
        parallel_for(columns_, threads_, [&](int64_t first, int64_t last) {
            std::byte *out = launch.out[0] + first * made.element();
            float *sums = made.made(out, room + inner_ + first);
            multiply(sums, first, last - first, x);
            if (bias_)
                for (int64_t i = first; i < last; i++)
                    sums[i - first] += bias_.data<float>()[i];
            for (const UnaryStage &stage : stages_.stages)
                stage.apply(sums, sums, nullptr, false, last - first, stage.a, stage.b);
            made.write(out, sums, last - first);
        });
    }

  private:
    const Tensor weights_, bias_;
    const UnaryStages stages_;
    const int64_t columns_, inner_;
    const int threads_;

    void multiply(float *to, int64_t first, int64_t count, const float *x) const
    {
        if (weights_.type() == Type::f32)
            HWY_DYNAMIC_DISPATCH(multiply_f32)(to, weights_.data<float>() + first * inner_, count, inner_, x);
        else
            HWY_DYNAMIC_DISPATCH(multiply_bf16)
        (to, reinterpret_cast<const uint16_t *>(weights_.raw()) + first * inner_, count, inner_, x);
    }
};

} // namespace

Attempt attempt_vector_product(const NodeFacts &facts)
{
    constexpr size_t worthwhile = 256 * 1024; // fewer bytes of weights stay in the second cache
    const Attributes &attributes = facts.attributes();
    const Tensor *weights = facts.constant(1), *bias = facts.constant(2);
    if (!is_float(facts.type(0)) || facts.type(1) != facts.type(0) || (facts.has(2) && facts.type(2) != Type::f32))
        return "its operands are not floats of one type";
    if (!weights || attributes.integer("transB", 0) == 0 || attributes.number("alpha", 1) != 1.f)
        return "its weights do not lie column by column";
    const int64_t columns = facts.dims(1)[0], inner = facts.dims(1)[1];
    if (facts.in[0].layout.count() != inner || facts.dims(0)[0] != 1)
        return "it has more than one row";
    if (weights->bytes() < worthwhile)
        return "its weights stay in the cache";
    if (facts.has(2) &&
        (!bias || static_cast<int64_t>(bias->count()) != columns || attributes.number("beta", 1) != 1.f))
        return "what it adds is not one constant a column";
    UnaryStages stages = unary_stages(facts.node, 0, facts.type(0), true);
    Choice choice;
    choice.in = {{0, Layout::dense(facts.type(0), facts.dims(0))}};
    choice.out = {Layout::dense(stages.made, facts.out[0].dims)};
    choice.post_ops = stages.count;
    choice.detail = detail_of(facts.type(0), facts.threads);
    auto kernel =
        std::make_unique<VectorProduct>(*weights, bias ? *bias : Tensor(), std::move(stages), columns, facts.threads);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

} // namespace leat::cpu
#endif
