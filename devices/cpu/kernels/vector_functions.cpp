#include "vector_functions.h"

#include "inference/ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "devices/cpu/kernels/vector_functions.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After highway.h, which it needs.
#include "inference/bfloat16-inl.h"
#include <hwy/contrib/math/math-inl.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace leat::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using leat::HWY_NAMESPACE::load_bfloat16;
using leat::HWY_NAMESPACE::store_bfloat16;
using D = hn::CappedTag<float, most_lanes>;
using V = hn::Vec<D>;

V of(float value)
{
    return hn::Set(D(), value);
}

/// e^x; what lies outside of [-85, 87] is taken as the end: 2^n 2^r with a polynomial (Remez) for 2^r, r in
/// [-1/2, 1/2]. Relative error below 2e-7 in [-1, 1], and |x| times as much outside.
V exp_within(V x)
{
    const D d;
    const hn::RebindToSigned<D> integers;
    const V within = hn::Max(of(-85), hn::Min(of(87), x)); // in this order NaN stays NaN on x86
    // The sum's last bits are the nearest integer.
    const V shifted = hn::MulAdd(within, of(1.44269504f), of(12582912));
    const V n = hn::Sub(shifted, of(12582912));
    const V r = hn::MulSub(within, of(1.44269504f), n);
    V sum = hn::MulAdd(of(1.3276476e-3f), r, of(9.6755410e-3f));
    sum = hn::MulAdd(sum, r, of(5.5507131e-2f));
    sum = hn::MulAdd(sum, r, of(2.4022120e-1f));
    sum = hn::MulAdd(sum, r, of(6.9314694e-1f));
    sum = hn::MulAdd(sum, r, of(1.0000001f));
    const auto exponent = hn::ShiftLeft<23>(hn::BitCast(integers, shifted));
    return hn::BitCast(d, hn::Add(hn::BitCast(integers, sum), exponent));
}

/// y / x for x in [1e-37, 1e38]: the processor's estimate of 1 / x (14 bits with AVX-512, 12 below, 8 elsewhere) and
/// Newton's steps, each of which doubles the bits.
V quotient_within(V y, V x)
{
    V r = hn::ApproximateReciprocal(x);
#if HWY_TARGET > HWY_AVX3
    r = hn::Mul(r, hn::NegMulAdd(x, r, of(2)));
#endif
    return hn::Mul(hn::Mul(y, r), hn::NegMulAdd(x, r, of(2)));
}

/// y / (1 + e^-x)
V times_sigmoid(V y, V x)
{
    return quotient_within(y, hn::Add(of(1), exp_within(hn::Neg(x))));
}

/// Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26: absolute error below 1.5e-7.
V erf(V x)
{
    const V size = hn::Abs(x);
    const V t = quotient_within(of(1), hn::MulAdd(of(0.3275911f), hn::Min(of(10), size), of(1)));
    V sum = hn::MulAdd(of(1.061405429f), t, of(-1.453152027f));
    sum = hn::MulAdd(sum, t, of(1.421413741f));
    sum = hn::MulAdd(sum, t, of(-0.284496736f));
    sum = hn::MulAdd(sum, t, of(0.254829592f));
    const V tail = hn::Mul(hn::Mul(sum, t), exp_within(hn::Neg(hn::Mul(size, size))));
    return hn::CopySign(hn::Sub(of(1), tail), x);
}

struct Parameters {
    V a, b;
};

struct Copy {
    V operator()(V y, V, Parameters) const { return y; }
};
struct Abs {
    V operator()(V y, V, Parameters) const { return hn::Abs(y); }
};
struct Ceil {
    V operator()(V y, V, Parameters) const { return hn::Ceil(y); }
};
struct Clip {
    V operator()(V y, V, Parameters p) const { return hn::Min(hn::Max(y, p.a), p.b); }
};
struct Elu {
    V operator()(V y, V, Parameters p) const
    {
        const V below = hn::Mul(p.a, hn::Expm1(D(), hn::Min(y, of(0))));
        return hn::IfThenElse(hn::Lt(y, of(0)), below, y);
    }
};
struct Erf {
    V operator()(V y, V, Parameters) const { return erf(y); }
};
/// Highway's is infinite from 88.8 on, but no longer far above.
struct Exp {
    V operator()(V y, V, Parameters) const { return hn::IfThenElse(hn::IsNaN(y), y, hn::Exp(D(), hn::Min(y, of(89)))); }
};
struct Floor {
    V operator()(V y, V, Parameters) const { return hn::Floor(y); }
};
struct Gelu {
    V operator()(V y, V, Parameters) const
    {
        return hn::Mul(hn::Mul(of(0.5f), y), hn::Add(of(1), erf(hn::Mul(y, of(0.70710678f)))));
    }
};
/// 1/2 y (1 + tanh(x)) = y sigmoid(2 x) with x = sqrt(2 / pi) (y + 0.044715 y^3).
struct GeluTanh {
    V operator()(V y, V, Parameters) const
    {
        const V cube = hn::Mul(hn::Mul(y, y), y);
        return times_sigmoid(y, hn::Mul(of(1.59576912f), hn::MulAdd(of(0.044715f), cube, y)));
    }
};
struct HardSigmoid {
    V operator()(V y, V, Parameters p) const { return hn::Min(hn::Max(hn::MulAdd(p.a, y, p.b), of(0)), of(1)); }
};
struct HardSwish {
    V operator()(V y, V, Parameters) const
    {
        return hn::Mul(y, hn::Min(hn::Max(hn::MulAdd(y, of(1.f / 6.f), of(0.5f)), of(0)), of(1)));
    }
};
struct LeakyRelu {
    V operator()(V y, V, Parameters p) const { return hn::IfThenElse(hn::Lt(y, of(0)), hn::Mul(y, p.a), y); }
};
/// Highway's is for numbers above 0.
struct Log {
    V operator()(V y, V, Parameters) const
    {
        constexpr float infinity = std::numeric_limits<float>::infinity();
        const V above = hn::IfThenElse(hn::Eq(y, of(infinity)), y, hn::Log(D(), y));
        const V others = hn::IfThenElse(hn::Eq(y, of(0)), of(-infinity), hn::NaN(D()));
        return hn::IfThenElse(hn::Gt(y, of(0)), above, others);
    }
};
/// x tanh(log(1 + e^x)) = x (n / (n + 2)) with n = e^x (e^x + 2); above 20 that is x.
struct Mish {
    V operator()(V y, V, Parameters) const
    {
        const V e = exp_within(hn::Min(of(20), y));
        const V n = hn::Mul(e, hn::Add(e, of(2)));
        return hn::Mul(y, quotient_within(n, hn::Add(n, of(2))));
    }
};
struct Neg {
    V operator()(V y, V, Parameters) const { return hn::Neg(y); }
};
struct Reciprocal {
    V operator()(V y, V, Parameters) const { return hn::Div(of(1), y); }
};
struct Relu {
    V operator()(V y, V, Parameters) const { return hn::Max(y, of(0)); }
};
struct Round {
    V operator()(V y, V, Parameters) const { return hn::Round(y); }
};
struct Sigmoid {
    V operator()(V y, V, Parameters) const { return times_sigmoid(of(1), y); }
};
struct Softplus {
    V operator()(V y, V, Parameters) const
    {
        return hn::Add(hn::Max(y, of(0)), hn::Log1p(D(), hn::Exp(D(), hn::Neg(hn::Abs(y)))));
    }
};
struct Sqrt {
    V operator()(V y, V, Parameters) const { return hn::Sqrt(y); }
};
struct Swish {
    V operator()(V y, V, Parameters p) const { return times_sigmoid(y, hn::Mul(p.a, y)); }
};
struct Tanh {
    V operator()(V y, V, Parameters) const { return hn::Tanh(D(), y); }
};
struct Square {
    V operator()(V y, V, Parameters) const { return hn::Mul(y, y); }
};
struct Affine {
    V operator()(V y, V, Parameters p) const { return hn::MulAdd(p.a, y, p.b); }
};
struct Add {
    V operator()(V y, V x, Parameters) const { return hn::Add(y, x); }
};
struct Sub {
    V operator()(V y, V x, Parameters) const { return hn::Sub(y, x); }
};
struct SubReversed {
    V operator()(V y, V x, Parameters) const { return hn::Sub(x, y); }
};
struct Mul {
    V operator()(V y, V x, Parameters) const { return hn::Mul(y, x); }
};
struct Div {
    V operator()(V y, V x, Parameters) const { return hn::Div(y, x); }
};
struct DivReversed {
    V operator()(V y, V x, Parameters) const { return hn::Div(x, y); }
};
struct Max {
    V operator()(V y, V x, Parameters) const { return hn::Max(y, x); }
};
struct Min {
    V operator()(V y, V x, Parameters) const { return hn::Min(y, x); }
};
struct PRelu {
    V operator()(V y, V x, Parameters) const { return hn::IfThenElse(hn::Lt(y, of(0)), hn::Mul(y, x), y); }
};

struct AddScaled {
    V operator()(V y, V x, Parameters p) const { return hn::MulAdd(p.a, x, y); }
};

template <class F>
void apply(float *to, const float *from, const float *operand, bool one_operand, int64_t count, float a, float b)
{
    const D d;
    const F f;
    const Parameters p{of(a), of(b)};
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    const V one = of(one_operand ? *operand : 0.f);
    const bool each = operand && !one_operand;
    if (count < lanes) {
        HWY_ALIGN float y[HWY_MAX_BYTES / sizeof(float)] = {}, x[HWY_MAX_BYTES / sizeof(float)] = {};
        const size_t bytes = static_cast<size_t>(count) * sizeof(float);
        std::memcpy(y, from, bytes);
        if (each)
            std::memcpy(x, operand, bytes);
        hn::Store(f(hn::Load(d, y), each ? hn::Load(d, x) : one, p), d, y);
        std::memcpy(to, y, bytes);
        return;
    }
    // The last vector goes back over the one before; what it reads is read before `to`, which may lie there, changes.
    const int64_t end = count - lanes;
    const V last = hn::LoadU(d, from + end), last_operand = each ? hn::LoadU(d, operand + end) : one;
    int64_t i = 0;
    if (each)
        for (; i + lanes <= count; i += lanes)
            hn::StoreU(f(hn::LoadU(d, from + i), hn::LoadU(d, operand + i), p), d, to + i);
    else
        for (; i + lanes <= count; i += lanes)
            hn::StoreU(f(hn::LoadU(d, from + i), one, p), d, to + i);
    if (i < count)
        hn::StoreU(f(last, last_operand, p), d, to + end);
}

// In the order of enum Function.
const Apply table[] = {
    apply<Copy>,      apply<Abs>,         apply<Ceil>,     apply<Clip>,     apply<Elu>,         apply<Erf>,
    apply<Exp>,       apply<Floor>,       apply<Gelu>,     apply<GeluTanh>, apply<HardSigmoid>, apply<HardSwish>,
    apply<LeakyRelu>, apply<Log>,         apply<Mish>,     apply<Neg>,      apply<Reciprocal>,  apply<Relu>,
    apply<Round>,     apply<Sigmoid>,     apply<Softplus>, apply<Sqrt>,     apply<Swish>,       apply<Tanh>,
    apply<Square>,    apply<Affine>,      apply<Add>,      apply<Sub>,      apply<SubReversed>, apply<Mul>,
    apply<Div>,       apply<DivReversed>, apply<Max>,      apply<Min>,      apply<PRelu>,       apply<AddScaled>,
};

void repeat(float *to, const float *from, int64_t count, int64_t times)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    for (int64_t row = 0; row < count; row++, to += times) {
        const V value = of(from[row]);
        int64_t i = 0;
        for (; i + lanes <= times; i += lanes)
            hn::StoreU(value, d, to + i);
        for (; i < times; i++)
            to[i] = from[row];
    }
}

/// One number out of many: `join` of two vectors, `end` of the lanes of one.
template <class Join, class End> float fold(const float *values, int64_t count, float start, Join join, End end)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    V sum = of(start), other = of(start);
    int64_t i = 0;
    for (; i + 2 * lanes <= count; i += 2 * lanes) {
        sum = join(sum, hn::LoadU(d, values + i));
        other = join(other, hn::LoadU(d, values + i + lanes));
    }
    sum = join(sum, other);
    for (; i + lanes <= count; i += lanes)
        sum = join(sum, hn::LoadU(d, values + i));
    if (i == count)
        return hn::GetLane(end(sum));
    HWY_ALIGN float rest[HWY_MAX_BYTES / sizeof(float)];
    hn::Store(of(start), d, rest);
    std::memcpy(rest, values + i, static_cast<size_t>(count - i) * sizeof(float));
    return hn::GetLane(end(join(sum, hn::Load(d, rest))));
}

float sum_of(const float *values, int64_t count)
{
    return fold(
        values, count, 0.f, [](V a, V b) { return hn::Add(a, b); }, [](V v) { return hn::SumOfLanes(D(), v); });
}

float max_of(const float *values, int64_t count)
{
    return fold(
        values, count, values[0], [](V a, V b) { return hn::Max(a, b); }, [](V v) { return hn::MaxOfLanes(D(), v); });
}

float min_of(const float *values, int64_t count)
{
    return fold(
        values, count, values[0], [](V a, V b) { return hn::Min(a, b); }, [](V v) { return hn::MinOfLanes(D(), v); });
}

using Block = hn::CappedTag<float, least_pixel_channels>;

HWY_INLINE hn::Vec<Block> block_of(const float *from)
{
    return hn::LoadU(Block(), from);
}

HWY_INLINE hn::Vec<Block> block_of(const uint16_t *from)
{
    return load_bfloat16(Block(), from);
}

/// 8-bit integers.
template <class T> HWY_INLINE hn::Vec<Block> block_of(const T *from)
{
    const auto integers = hn::LoadU(hn::Rebind<T, Block>(), from);
    return hn::ConvertTo(Block(), hn::PromoteTo(hn::RebindToSigned<Block>(), integers));
}

/// Some neighbouring vectors of channels, of several pixels side by side. `to`: the first vector's.
template <class T, int vectors, class Join>
HWY_INLINE void join_vectors(float *to, const std::byte *first, int64_t step, int64_t count, int64_t channel, bool more,
                             const Join &join)
{
    constexpr auto lanes = static_cast<int64_t>(hn::MaxLanes(Block()));
    constexpr int together = 8 / vectors;
    const auto number = [&](int64_t i, int v) HWY_ATTR {
        return block_of(reinterpret_cast<const T *>(first + i * step) + channel + v * lanes);
    };
    hn::Vec<Block> joined[together][vectors];
    int64_t i = 0;
    if (count >= together) {
#pragma GCC unroll 8
        for (int p = 0; p < together; p++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                joined[p][v] = number(p, v);
        for (i = together; i + together <= count; i += together)
#pragma GCC unroll 8
            for (int p = 0; p < together; p++)
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++)
                    joined[p][v] = join(joined[p][v], number(i + p, v));
#pragma GCC unroll 4
        for (int half = together / 2; half > 0; half /= 2)
#pragma GCC unroll 4
            for (int p = 0; p < half; p++)
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++)
                    joined[p][v] = join(joined[p][v], joined[p + half][v]);
    } else {
        i = 1;
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            joined[0][v] = number(0, v);
    }
    for (; i < count; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            joined[0][v] = join(joined[0][v], number(i, v));
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        hn::StoreU(more ? join(block_of(to + v * lanes), joined[0][v]) : joined[0][v], Block(), to + v * lanes);
}

template <class T, class Join>
void join_all(float *to, const std::byte *first, int64_t step, int64_t count, int64_t channels, bool more,
              const Join &join)
{
    constexpr auto lanes = static_cast<int64_t>(hn::MaxLanes(Block()));
    int64_t c = 0;
    for (; c + 4 * lanes <= channels; c += 4 * lanes)
        join_vectors<T, 4>(to + c, first, step, count, c, more, join);
    for (; c + 2 * lanes <= channels; c += 2 * lanes)
        join_vectors<T, 2>(to + c, first, step, count, c, more, join);
    for (; c + lanes <= channels; c += lanes)
        join_vectors<T, 1>(to + c, first, step, count, c, more, join);
    if (c == channels)
        return;
    // The last vector goes back over channels of another, which stay as they are.
    float made[hn::MaxLanes(Block())];
    const int64_t begin = channels - lanes;
    std::memcpy(made, to + begin, sizeof made);
    join_vectors<T, 1>(made, first, step, count, begin, more, join);
    std::memcpy(to + c, made + (c - begin), static_cast<size_t>(channels - c) * sizeof(float));
}

void join(float *to, const std::byte *first, int64_t step, int64_t count, Type type, int64_t channels, bool largest,
          bool more)
{
    const auto add = [](auto a, auto b) HWY_ATTR { return hn::Add(a, b); };
    const auto max = [](auto a, auto b) HWY_ATTR { return hn::Max(a, b); };
    const auto of_type = [&]<class T>(T) {
        largest ? join_all<T>(to, first, step, count, channels, more, max)
                : join_all<T>(to, first, step, count, channels, more, add);
    };
    switch (type) {
    case Type::f32: return of_type(float());
    case Type::u8: return of_type(uint8_t());
    case Type::s8: return of_type(int8_t());
    default: return of_type(uint16_t());
    }
}

void normalise(float *to, const float *from, int64_t count, bool centred, float epsilon)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    const float mean = centred ? sum_of(from, count) / static_cast<float>(count) : 0.f;
    V squares = of(0), others = of(0);
    float rest = 0;
    int64_t i = 0;
    for (; i + 2 * lanes <= count; i += 2 * lanes) {
        const V a = hn::Sub(hn::LoadU(d, from + i), of(mean)), b = hn::Sub(hn::LoadU(d, from + i + lanes), of(mean));
        squares = hn::MulAdd(a, a, squares);
        others = hn::MulAdd(b, b, others);
    }
    for (; i < count; i++)
        rest += (from[i] - mean) * (from[i] - mean);
    const float sum = rest + hn::GetLane(hn::SumOfLanes(d, hn::Add(squares, others)));
    const float factor = 1 / std::sqrt(sum / static_cast<float>(count) + epsilon);
    for (i = 0; i + lanes <= count; i += lanes)
        hn::StoreU(hn::Mul(hn::Sub(hn::LoadU(d, from + i), of(mean)), of(factor)), d, to + i);
    for (; i < count; i++)
        to[i] = (from[i] - mean) * factor;
}

void mix(float *to, const float *row, const int32_t *first, const float *weights, int64_t taps, int64_t count,
         int64_t channels)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    for (int64_t x = 0; x < count; x++, to += channels, weights += taps) {
        const float *from = row + first[x] * channels;
        int64_t c = 0;
        for (; c + lanes <= channels; c += lanes) {
            V sum = hn::Mul(of(weights[0]), hn::LoadU(d, from + c));
            for (int64_t k = 1; k < taps; k++)
                sum = hn::MulAdd(of(weights[k]), hn::LoadU(d, from + k * channels + c), sum);
            hn::StoreU(sum, d, to + c);
        }
        for (; c < channels; c++) {
            float sum = weights[0] * from[c];
            for (int64_t k = 1; k < taps; k++)
                sum += weights[k] * from[k * channels + c];
            to[c] = sum;
        }
    }
}

/// Integers of 8 bits in memory; registers hold signed ones with 128 added.
class Integers {
  public:
    using U = hn::Rebind<uint8_t, D>;
    using S = hn::RebindToSigned<D>;
    explicit Integers(Quantisation q)
        : flipped_(hn::Set(U(), q.is_signed ? 0x80 : 0)), scale_(of(q.scale)),
          zero_(q.zero_point + (q.is_signed ? 128 : 0))
    {
    }

  protected:
    hn::Vec<U> flipped_;
    V scale_;
    int32_t zero_;
};

/// Numbers from those of a grid.
class Dequantiser : Integers {
  public:
    explicit Dequantiser(Quantisation q) : Integers(q) {}
    V operator()(const uint8_t *from) const
    {
        const auto integers = hn::PromoteTo(S(), hn::Xor(hn::LoadU(U(), from), flipped_));
        return hn::Mul(hn::ConvertTo(D(), hn::Sub(integers, hn::Set(S(), zero_))), scale_);
    }
};

/// Numbers to those of a grid, rounded half to even and saturated: x / scale exactly, by the reciprocal and what it
/// misses where the processor multiplies and adds at once (P. Markstein, "Computation of elementary functions on the
/// IBM RISC System/6000 processor", 1990). NaN becomes the lowest.
class Quantiser : Integers {
  public:
    explicit Quantiser(Quantisation q)
        : Integers(q), inverse_(of(1 / q.scale)),
          divides_(HWY_TARGET > HWY_AVX2 || !(q.scale > 1e-30f && q.scale < 1e30f))
    {
        const auto zero = static_cast<float>(zero_);
        lowest_ = hn::Mul(of(-zero), divides_ ? of(1) : scale_);
        highest_ = hn::Mul(of(255 - zero), divides_ ? of(1) : scale_);
    }

    void operator()(uint8_t *to, V x) const { hn::StoreU(integers(x), U(), to); }

    hn::Vec<U> integers(V x) const
    {
        const V quotient = divides_ ? within(hn::Div(x, scale_)) : divided(within(x));
        // The sum's last bits are the nearest integer.
        constexpr float large = 12582912;
        const auto bits = hn::BitCast(S(), hn::Add(quotient, of(large)));
        const auto made = hn::Add(bits, hn::Set(S(), zero_ - std::bit_cast<int32_t>(large)));
        return hn::Xor(hn::U8FromU32(hn::BitCast(hn::RebindToUnsigned<S>(), made)), flipped_);
    }

#if HWY_TARGET <= HWY_AVX3
    /// Whether the integers of four vectors can be made together.
    bool makes_four() const
    {
        return !divides_;
    }

    /// Four vectors side by side: packed together, as what is too low is cut off then.
    template <class Number> void four(uint8_t *to, const Number &number) const
    {
        const __m512i zero = _mm512_set1_epi16(static_cast<int16_t>(zero_));
        const auto pair = [&](int i) HWY_ATTR {
            return _mm512_adds_epi16(_mm512_packs_epi32(nearest(number(i)), nearest(number(i + 1))), zero);
        };
        // The numbers of 16 bytes of four vectors, packed side by side, in their order.
        const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
        const __m512i bytes = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(pair(0), pair(2)));
        _mm512_storeu_si512(to, _mm512_xor_si512(bytes, _mm512_broadcast_i32x4(flipped_.raw)));
    }
#endif

  private:
    V inverse_, lowest_, highest_;
    bool divides_;

    V within(V x) const
    {
        return hn::Min(hn::Max(x, lowest_), highest_);
    }
    V divided(V x) const
    {
        const V about = hn::Mul(x, inverse_);
        return hn::MulAdd(hn::NegMulAdd(about, scale_, x), inverse_, about);
    }
#if HWY_TARGET <= HWY_AVX3
    /// NaN, and what is below all integers, becomes the lowest.
    __m512i nearest(V x) const
    {
        return _mm512_cvtps_epi32(divided(V{_mm512_min_ps(highest_.raw, x.raw)}).raw);
    }
#endif
};

/// number(i) for i and the following lanes to integers, `count` of them: no fewer than a vector holds. The last vector
/// goes back over the one before; what it is made of is read first, as `to` may lie there.
template <class Number>
HWY_INLINE void quantise_all(uint8_t *to, int64_t count, const Quantiser &quantiser, const Number &number)
{
    const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
    const V last = number(count - lanes);
    int64_t i = 0;
#if HWY_TARGET <= HWY_AVX3
    if (quantiser.makes_four())
        for (; i + 4 * lanes <= count; i += 4 * lanes)
            quantiser.four(to + i, [&](int k) HWY_ATTR { return number(i + k * lanes); });
#endif
    for (; i + lanes <= count; i += lanes)
        quantiser(to + i, number(i));
    if (i < count)
        quantiser(to + count - lanes, last);
}

void quantise(uint8_t *to, const float *from, int64_t count, Quantisation q)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    if (count < lanes) {
        HWY_ALIGN float few[HWY_MAX_BYTES / sizeof(float)] = {};
        uint8_t made[HWY_MAX_BYTES / sizeof(float)];
        const auto numbers = static_cast<size_t>(count);
        std::memcpy(few, from, numbers * sizeof(float));
        quantise(made, few, lanes, q);
        std::memcpy(to, made, numbers);
        return;
    }
    quantise_all(to, count, Quantiser(q), [&](int64_t i) HWY_ATTR { return hn::LoadU(d, from + i); });
}

void dequantise(float *to, const uint8_t *from, int64_t count, Quantisation q)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    const Dequantiser dequantiser(q);
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes)
        hn::StoreU(dequantiser(from + i), d, to + i);
    for (; i < count; i++)
        to[i] = static_cast<float>((q.is_signed ? static_cast<int8_t>(from[i]) : from[i]) - q.zero_point) * q.scale;
}

void add_integers(uint8_t *to, IntegerNumbers a, IntegerNumbers b, int64_t count, float lowest, float highest,
                  Quantisation q)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    if (count < lanes) {
        uint8_t few[3][HWY_MAX_BYTES / sizeof(float)] = {};
        const auto bytes = static_cast<size_t>(count);
        std::memcpy(few[0], a.from, bytes);
        std::memcpy(few[1], b.from, bytes);
        add_integers(few[2], {few[0], a.grid}, {few[1], b.grid}, lanes, lowest, highest, q);
        std::memcpy(to, few[2], bytes);
        return;
    }
    const Dequantiser first(a.grid), second(b.grid);
    const V low = of(lowest), high = of(highest);
    quantise_all(to, count, Quantiser(q), [&](int64_t i) HWY_ATTR {
        return hn::Min(hn::Max(hn::Add(first(a.from + i), second(b.from + i)), low), high);
    });
}

/// Calls f(number), where number(i) is the vector of the row's numbers from i on.
template <class F> HWY_INLINE void with_numbers(const std::byte *row, Type type, Quantisation grid, const F &f)
{
    if (type == Type::f32) {
        const auto *from = reinterpret_cast<const float *>(row);
        f([=](int64_t i) HWY_ATTR { return hn::LoadU(D(), from + i); });
    } else if (type == Type::bf16) {
        const auto *from = reinterpret_cast<const uint16_t *>(row);
        f([=](int64_t i) HWY_ATTR { return load_bfloat16(D(), from + i); });
    } else {
        const auto *from = reinterpret_cast<const uint8_t *>(row);
        f([from, dequantiser = Dequantiser(grid)](int64_t i) HWY_ATTR { return dequantiser(from + i); });
    }
}

/// e^(number - highest) of the row to `room`; gives their sum. The last vector goes back over the one before.
template <class Number> HWY_INLINE float powers_of(float *room, int64_t length, const Number &number)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    const int64_t end = length - lanes;
    V highest = number(end), other = highest;
    int64_t i = 0;
    for (; i + lanes < end; i += 2 * lanes) {
        highest = hn::Max(highest, number(i));
        other = hn::Max(other, number(i + lanes));
    }
    if (i < end)
        other = hn::Max(other, number(i));
    highest = hn::MaxOfLanes(d, hn::Max(highest, other));
    V sum = of(0);
    for (i = 0; i <= end; i += lanes) {
        const V power = exp_within(hn::Sub(number(i), highest));
        sum = hn::Add(sum, power);
        hn::StoreU(power, d, room + i);
    }
    if (i < length) {
        const V power = exp_within(hn::Sub(number(end), highest));
        sum = hn::Add(sum, hn::IfThenZeroElse(hn::FirstN(d, static_cast<size_t>(i - end)), power));
        hn::StoreU(power, d, room + end);
    }
    return hn::GetLane(hn::SumOfLanes(d, sum));
}

/// Of rows as long as a vector, four at a time, as each waits for its own largest number and its own sum. Gives how
/// many rows it has done.
HWY_INLINE int64_t softmax_of_vectors(float *to, const float *from, int64_t rows, int64_t step)
{
    constexpr int64_t together = 4;
    const D d;
    int64_t row = 0;
    for (; row + together <= rows; row += together) {
        V x[together];
        for (int64_t i = 0; i < together; i++)
            x[i] = hn::LoadU(d, from + (row + i) * step);
        for (V &each : x)
            each = exp_within(hn::Sub(each, hn::MaxOfLanes(d, each)));
        for (V &each : x)
            each = hn::Mul(each, hn::Div(of(1), hn::SumOfLanes(d, each)));
        for (int64_t i = 0; i < together; i++)
            hn::StoreU(x[i], d, to + (row + i) * step);
    }
    return row;
}

void softmax(const SoftmaxRows &work, std::byte *to, const std::byte *from, int64_t rows, float *room)
{
    const D d;
    int64_t row = 0;
    if (work.in == Type::f32 && work.out == Type::f32 && work.length == static_cast<int64_t>(hn::Lanes(d)))
        row = softmax_of_vectors(reinterpret_cast<float *>(to), reinterpret_cast<const float *>(from), rows, work.step);
    const auto in_bytes = static_cast<int64_t>(size_of(work.in)), out_bytes = static_cast<int64_t>(size_of(work.out));
    for (; row < rows; row++) {
        float sum = 0;
        with_numbers(from + row * work.step * in_bytes, work.in, work.in_grid,
                     [&](const auto &number) HWY_ATTR { sum = powers_of(room, work.length, number); });
        const float factor = 1 / sum;
        std::byte *out = to + row * work.step * out_bytes;
        if (is_8_bit(work.out)) {
            quantise_all(reinterpret_cast<uint8_t *>(out), work.length, Quantiser(work.out_grid),
                         [room, factors = of(factor)](int64_t i)
                             HWY_ATTR { return hn::Mul(hn::LoadU(D(), room + i), factors); });
            continue;
        }
        float *made = work.out == Type::f32 ? reinterpret_cast<float *>(out) : room;
        apply<Mul>(made, room, &factor, true, work.length, 0, 0);
        if (work.out == Type::bf16)
            vector_narrow(out, room, work.length);
    }
}

void widen(float *to, const uint16_t *from, int64_t count)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes)
        hn::StoreU(load_bfloat16(d, from + i), d, to + i);
    if (i == count)
        return;
    uint16_t rest[HWY_MAX_BYTES / sizeof(float)] = {};
    HWY_ALIGN float made[HWY_MAX_BYTES / sizeof(float)];
    const auto left = static_cast<size_t>(count - i) % std::size(rest); // the remainder only tells the compiler
    std::memcpy(rest, from + i, left * sizeof(uint16_t));
    hn::Store(load_bfloat16(d, rest), d, made);
    std::memcpy(to + i, made, left * sizeof(float));
}

void narrow(uint16_t *to, const float *from, int64_t count)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes)
        store_bfloat16(hn::LoadU(d, from + i), d, to + i);
    if (i == count)
        return;
    HWY_ALIGN float rest[HWY_MAX_BYTES / sizeof(float)] = {};
    uint16_t made[HWY_MAX_BYTES / sizeof(float)];
    const auto left = static_cast<size_t>(count - i) % std::size(rest);
    std::memcpy(rest, from + i, left * sizeof(float));
    store_bfloat16(hn::Load(d, rest), d, made);
    std::memcpy(to + i, made, left * sizeof(uint16_t));
}

Apply find(Function function)
{
    return table[static_cast<size_t>(function)];
}

} // namespace
} // namespace leat::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace leat::cpu {
namespace {

#ifdef __x86_64__
/// By the instruction for it, which takes numbers below 2^-126 as 0. Highway's targets do not have it.
__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) void narrow_natively(uint16_t *to, const float *from,
                                                                                     int64_t count)
{
    constexpr int64_t lanes = 16;
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        const auto made = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(from + i)));
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + i), made);
    }
    const auto rest = static_cast<__mmask16>((1u << (count - i)) - 1);
    const auto made = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(rest, from + i)));
    _mm256_mask_storeu_epi16(to + i, rest, made);
}
#else
void narrow_natively(uint16_t *, const float *, int64_t) {}
#endif

} // namespace

HWY_EXPORT(find);
HWY_EXPORT(repeat);
HWY_EXPORT(sum_of);
HWY_EXPORT(max_of);
HWY_EXPORT(min_of);
HWY_EXPORT(softmax);
HWY_EXPORT(normalise);
HWY_EXPORT(join);
HWY_EXPORT(mix);
HWY_EXPORT(quantise);
HWY_EXPORT(dequantise);
HWY_EXPORT(add_integers);
HWY_EXPORT(widen);
HWY_EXPORT(narrow);

Apply vector_function(Function function)
{
    return HWY_DYNAMIC_DISPATCH(find)(function);
}

void vector_repeat(float *to, const float *from, int64_t count, int64_t times)
{
    HWY_DYNAMIC_DISPATCH(repeat)(to, from, count, times);
}

float vector_sum(const float *values, int64_t count)
{
    return HWY_DYNAMIC_DISPATCH(sum_of)(values, count);
}

float vector_max(const float *values, int64_t count)
{
    return HWY_DYNAMIC_DISPATCH(max_of)(values, count);
}

float vector_min(const float *values, int64_t count)
{
    return HWY_DYNAMIC_DISPATCH(min_of)(values, count);
}

void vector_quantise(uint8_t *to, const float *from, int64_t count, Quantisation q)
{
    HWY_DYNAMIC_DISPATCH(quantise)(to, from, count, q);
}

void vector_add_integers(uint8_t *to, IntegerNumbers a, IntegerNumbers b, int64_t count, float lowest, float highest,
                         Quantisation q)
{
    HWY_DYNAMIC_DISPATCH(add_integers)(to, a, b, count, lowest, highest, q);
}

void vector_dequantise(float *to, const uint8_t *from, int64_t count, Quantisation q)
{
    HWY_DYNAMIC_DISPATCH(dequantise)(to, from, count, q);
}

void vector_widen(float *to, const std::byte *from, int64_t count)
{
    HWY_DYNAMIC_DISPATCH(widen)(to, reinterpret_cast<const uint16_t *>(from), count);
}

bool narrows_natively()
{
#ifdef __x86_64__
    static const bool does = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl") &&
                             __builtin_cpu_supports("avx512bw");
    return does;
#else
    return false;
#endif
}

void vector_narrow(std::byte *to, const float *from, int64_t count)
{
    auto *narrow_to = reinterpret_cast<uint16_t *>(to);
    if (narrows_natively())
        narrow_natively(narrow_to, from, count);
    else
        HWY_DYNAMIC_DISPATCH(narrow)(narrow_to, from, count);
}

void vector_softmax(const SoftmaxRows &work, std::byte *to, const std::byte *from, int64_t rows, float *room)
{
    HWY_DYNAMIC_DISPATCH(softmax)(work, to, from, rows, room);
}

void vector_normalise(float *to, const float *from, int64_t count, bool centred, float epsilon)
{
    HWY_DYNAMIC_DISPATCH(normalise)(to, from, count, centred, epsilon);
}

void join_pixels(float *to, const std::byte *first, int64_t step, int64_t count, Type type, int64_t channels,
                 bool largest, bool more)
{
    HWY_DYNAMIC_DISPATCH(join)(to, first, step, count, type, channels, largest, more);
}

void mix_pixels(float *to, const float *row, const int32_t *first, const float *weights, int64_t taps, int64_t count,
                int64_t channels)
{
    HWY_DYNAMIC_DISPATCH(mix)(to, row, first, weights, taps, count, channels);
}

} // namespace leat::cpu
#endif
