#include "vector_functions.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "devices/cpu/kernels/vector_functions.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After highway.h, which it needs.
#include <hwy/contrib/math/math-inl.h>

#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace leat::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

V of(float value)
{
    return hn::Set(D(), value);
}

V sigmoid(V x)
{
    return hn::Div(of(1), hn::Add(of(1), hn::Exp(D(), hn::Neg(x))));
}

/// Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26: absolute error below 1.5e-7.
V erf(V x)
{
    const V size = hn::Abs(x);
    const V t = hn::Div(of(1), hn::MulAdd(of(0.3275911f), size, of(1)));
    V sum = hn::MulAdd(of(1.061405429f), t, of(-1.453152027f));
    sum = hn::MulAdd(sum, t, of(1.421413741f));
    sum = hn::MulAdd(sum, t, of(-0.284496736f));
    sum = hn::MulAdd(sum, t, of(0.254829592f));
    const V tail = hn::Mul(hn::Mul(sum, t), hn::Exp(D(), hn::Neg(hn::Mul(size, size))));
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
struct Exp {
    V operator()(V y, V, Parameters) const { return hn::Exp(D(), y); }
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
struct GeluTanh {
    V operator()(V y, V, Parameters) const
    {
        const V cube = hn::Mul(hn::Mul(y, y), y);
        const V inner = hn::Mul(of(0.79788456f), hn::MulAdd(of(0.044715f), cube, y));
        return hn::Mul(hn::Mul(of(0.5f), y), hn::Add(of(1), hn::Tanh(D(), inner)));
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
struct Log {
    V operator()(V y, V, Parameters) const { return hn::Log(D(), y); }
};
/// x tanh(log(1 + e^x)) = x n / (n + 2) with n = e^x (e^x + 2); above 20 that is x.
struct Mish {
    V operator()(V y, V, Parameters) const
    {
        const V e = hn::Exp(D(), hn::Min(y, of(20)));
        const V n = hn::Mul(e, hn::Add(e, of(2)));
        return hn::Mul(y, hn::Div(n, hn::Add(n, of(2))));
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
    V operator()(V y, V, Parameters) const { return sigmoid(y); }
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
    V operator()(V y, V, Parameters p) const { return hn::Mul(y, sigmoid(hn::Mul(p.a, y))); }
};
struct Tanh {
    V operator()(V y, V, Parameters) const { return hn::Tanh(D(), y); }
};
struct Square {
    V operator()(V y, V, Parameters) const { return hn::Mul(y, y); }
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

template <class F>
void apply(float *to, const float *from, const float *operand, bool one_operand, int64_t count, float a, float b)
{
    const D d;
    const F f;
    const Parameters p{of(a), of(b)};
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    const V one = of(one_operand ? *operand : 0.f);
    const bool each = operand && !one_operand;
    int64_t i = 0;
    if (each)
        for (; i + lanes <= count; i += lanes)
            hn::StoreU(f(hn::LoadU(d, from + i), hn::LoadU(d, operand + i), p), d, to + i);
    else
        for (; i + lanes <= count; i += lanes)
            hn::StoreU(f(hn::LoadU(d, from + i), one, p), d, to + i);
    if (i == count)
        return;
    HWY_ALIGN float y[HWY_MAX_BYTES / sizeof(float)] = {}, x[HWY_MAX_BYTES / sizeof(float)] = {};
    const size_t rest = static_cast<size_t>(count - i) * sizeof(float);
    std::memcpy(y, from + i, rest);
    if (each)
        std::memcpy(x, operand + i, rest);
    hn::Store(f(hn::Load(d, y), each ? hn::Load(d, x) : one, p), d, y);
    std::memcpy(to + i, y, rest);
}

// In the order of enum Function.
const Apply table[] = {
    apply<Copy>,       apply<Abs>,       apply<Ceil>,  apply<Clip>,  apply<Elu>,         apply<Erf>,
    apply<Exp>,        apply<Floor>,     apply<Gelu>,  apply<GeluTanh>, apply<HardSigmoid>, apply<HardSwish>,
    apply<LeakyRelu>,  apply<Log>,       apply<Mish>,  apply<Neg>,   apply<Reciprocal>,  apply<Relu>,
    apply<Round>,      apply<Sigmoid>,   apply<Softplus>, apply<Sqrt>, apply<Swish>,     apply<Tanh>,
    apply<Square>,     apply<Add>,       apply<Sub>,   apply<SubReversed>, apply<Mul>,   apply<Div>,
    apply<DivReversed>, apply<Max>,      apply<Min>,   apply<PRelu>,
};

Apply find(Function function)
{
    return table[static_cast<size_t>(function)];
}

} // namespace
} // namespace leat::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace leat::cpu {

HWY_EXPORT(find);

Apply vector_function(Function function)
{
    return HWY_DYNAMIC_DISPATCH(find)(function);
}

} // namespace leat::cpu
#endif
