#include "inference/ops/walk.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace leat {
namespace {

// Shape rules

template <TypeSet set> void unary_rule(ShapeContext &context)
{
    want_type(context, 0, set);
    context.output(0, context.type(0), context.shape(0));
}

template <TypeSet set> void test_rule(ShapeContext &context)
{
    want_type(context, 0, set);
    context.output(0, Type::boolean, context.shape(0));
}

std::optional<Shape> broadcast_inputs(const ShapeContext &context)
{
    Shape shape;
    for (size_t i = 0; i < context.inputs(); i++) {
        if (!context.has(i))
            continue;
        if (!context.shape(i))
            return {};
        shape = broadcast(shape, *context.shape(i));
    }
    return shape;
}

template <TypeSet set> void broadcast_rule(ShapeContext &context)
{
    for (size_t i = 0; i < context.inputs(); i++) {
        want_type(context, i, set);
        want_same_type(context, 0, i);
    }
    context.output(0, context.type(0), broadcast_inputs(context));
}

template <TypeSet set> void compare_rule(ShapeContext &context)
{
    want_type(context, 0, set);
    want_same_type(context, 0, 1);
    context.output(0, Type::boolean, broadcast_inputs(context));
}

void pow_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::number);
    want_type(context, 1, TypeSet::number);
    context.output(0, context.type(0), broadcast_inputs(context));
}

void prelu_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::number);
    want_same_type(context, 0, 1);
    if (context.shape(0) && context.shape(1) &&
        broadcast(*context.shape(0), *context.shape(1)).size() != context.shape(0)->size())
        throw Error("the slope " + to_string(*context.shape(1)) + " does not broadcast into " +
                    to_string(*context.shape(0)));
    context.output(0, context.type(0), context.shape(0));
}

void where_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::boolean);
    want_same_type(context, 1, 2);
    context.output(0, context.type(1), broadcast_inputs(context));
}

void clip_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::number);
    want_same_type(context, 0, 1);
    want_same_type(context, 0, 2);
    context.output(0, context.type(0), context.shape(0));
}

void dropout_rule(ShapeContext &context)
{
    context.output(0, context.type(0), context.shape(0));
    context.output(1, Type::boolean, context.shape(0));
}

Type cast_type(const Attributes &attributes)
{
    if (!attributes.has("to"))
        throw Error("the attribute to is missing");
    return type_attribute(attributes, "to", Type::undefined);
}

void cast_rule(ShapeContext &context)
{
    context.output(0, cast_type(context.attributes()), context.shape(0));
}

void cast_like_rule(ShapeContext &context)
{
    context.output(0, context.type(1), context.shape(0));
}

// Functions of one element. Those with parameters take them from the node's attributes.

template <class T> T sigmoid(T x)
{
    return T(1) / (T(1) + std::exp(-x));
}

template <class T> T softplus(T x)
{
    return std::log1p(std::exp(-std::abs(x))) + std::max(x, T(0));
}

struct Exp {
    auto operator()(auto x) const { return std::exp(x); }
};
struct Log {
    auto operator()(auto x) const { return std::log(x); }
};
struct Sqrt {
    auto operator()(auto x) const { return std::sqrt(x); }
};
struct Reciprocal {
    auto operator()(auto x) const { return decltype(x)(1) / x; }
};
struct Floor {
    auto operator()(auto x) const { return std::floor(x); }
};
struct Ceil {
    auto operator()(auto x) const { return std::ceil(x); }
};
struct Round {
    auto operator()(auto x) const { return std::nearbyint(x); } ///< halves to even, the default rounding mode
};
struct Erf {
    auto operator()(auto x) const { return std::erf(x); }
};
struct Sin {
    auto operator()(auto x) const { return std::sin(x); }
};
struct Cos {
    auto operator()(auto x) const { return std::cos(x); }
};
struct Tan {
    auto operator()(auto x) const { return std::tan(x); }
};
struct Asin {
    auto operator()(auto x) const { return std::asin(x); }
};
struct Acos {
    auto operator()(auto x) const { return std::acos(x); }
};
struct Atan {
    auto operator()(auto x) const { return std::atan(x); }
};
struct Sinh {
    auto operator()(auto x) const { return std::sinh(x); }
};
struct Cosh {
    auto operator()(auto x) const { return std::cosh(x); }
};
struct Tanh {
    auto operator()(auto x) const { return std::tanh(x); }
};
struct Asinh {
    auto operator()(auto x) const { return std::asinh(x); }
};
struct Acosh {
    auto operator()(auto x) const { return std::acosh(x); }
};
struct Atanh {
    auto operator()(auto x) const { return std::atanh(x); }
};
struct Sigmoid {
    auto operator()(auto x) const { return sigmoid(x); }
};
struct Softplus {
    auto operator()(auto x) const { return softplus(x); }
};
struct Softsign {
    auto operator()(auto x) const { return x / (1 + std::abs(x)); }
};
struct Mish {
    auto operator()(auto x) const { return x * std::tanh(softplus(x)); }
};
struct HardSwish {
    template <class T> T operator()(T x) const { return x * std::clamp(x / T(6) + T(0.5), T(0), T(1)); }
};
struct Swish {
    float alpha;
    explicit Swish(const Attributes &a) : alpha(a.number("alpha", 1)) {}
    template <class T> T operator()(T x) const { return x * sigmoid(T(alpha) * x); }
};
struct LeakyRelu {
    float alpha;
    explicit LeakyRelu(const Attributes &a) : alpha(a.number("alpha", 0.01f)) {}
    template <class T> T operator()(T x) const { return x < 0 ? T(alpha) * x : x; }
};
struct ThresholdedRelu {
    float alpha;
    explicit ThresholdedRelu(const Attributes &a) : alpha(a.number("alpha", 1)) {}
    template <class T> T operator()(T x) const { return x > T(alpha) ? x : T(0); }
};
struct Elu {
    float alpha;
    explicit Elu(const Attributes &a) : alpha(a.number("alpha", 1)) {}
    template <class T> T operator()(T x) const { return x < 0 ? T(alpha) * std::expm1(x) : x; }
};
struct Selu {
    float alpha, gamma;
    explicit Selu(const Attributes &a)
        : alpha(a.number("alpha", 1.67326319217681884765625f)), gamma(a.number("gamma", 1.05070102214813232421875f))
    {
    }
    template <class T> T operator()(T x) const { return T(gamma) * (x > 0 ? x : T(alpha) * std::expm1(x)); }
};
struct Celu {
    float alpha;
    explicit Celu(const Attributes &a) : alpha(a.number("alpha", 1)) {}
    template <class T> T operator()(T x) const { return x < 0 ? T(alpha) * std::expm1(x / T(alpha)) : x; }
};
struct HardSigmoid {
    float alpha, beta;
    explicit HardSigmoid(const Attributes &a) : alpha(a.number("alpha", 0.2f)), beta(a.number("beta", 0.5f)) {}
    template <class T> T operator()(T x) const { return std::clamp(T(alpha) * x + T(beta), T(0), T(1)); }
};
struct Shrink {
    float bias, lambda;
    explicit Shrink(const Attributes &a) : bias(a.number("bias", 0)), lambda(a.number("lambd", 0.5f)) {}
    template <class T> T operator()(T x) const
    {
        return x < T(-lambda) ? x + T(bias) : x > T(lambda) ? x - T(bias) : T(0);
    }
};
struct Gelu {
    bool tanh;
    explicit Gelu(const Attributes &a) : tanh(a.text("approximate", "none") == "tanh") {}
    template <class T> T operator()(T x) const
    {
        if (tanh)
            return x / 2 * (1 + std::tanh(T(0.79788456080286535588) * (x + T(0.044715) * x * x * x)));
        return x / 2 * (1 + std::erf(x * T(0.70710678118654752440)));
    }
};

/// Integers wrap around, as two's complement does.
template <class T> T wrapped(uint64_t value)
{
    return static_cast<T>(value);
}

struct Neg {
    template <class T> T operator()(T x) const
    {
        if constexpr (std::is_integral_v<T>)
            return wrapped<T>(0 - static_cast<uint64_t>(x));
        else
            return -x;
    }
};
struct Abs {
    template <class T> T operator()(T x) const
    {
        if constexpr (std::is_unsigned_v<T>)
            return x;
        else if constexpr (std::is_integral_v<T>)
            return x < 0 ? Neg()(x) : x;
        else
            return std::abs(x);
    }
};
struct Sign {
    template <class T> T operator()(T x) const { return x > T(0) ? T(1) : x < T(0) ? Neg()(T(1)) : x; }
};
struct Relu {
    template <class T> T operator()(T x) const { return x < T(0) ? T(0) : x; }
};
struct BitwiseNot {
    template <class T> T operator()(T x) const { return static_cast<T>(~x); }
};

struct Add {
    template <class T> T operator()(T a, T b) const
    {
        if constexpr (std::is_integral_v<T>)
            return wrapped<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
        else
            return a + b;
    }
};
struct Sub {
    template <class T> T operator()(T a, T b) const
    {
        if constexpr (std::is_integral_v<T>)
            return wrapped<T>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
        else
            return a - b;
    }
};
struct Mul {
    template <class T> T operator()(T a, T b) const
    {
        if constexpr (std::is_integral_v<T>)
            return wrapped<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
        else
            return a * b;
    }
};
struct Div {
    template <class T> T operator()(T a, T b) const
    {
        if constexpr (!std::is_integral_v<T>)
            return a / b;
        else if (b == 0)
            throw Error("an integer is divided by zero");
        else if (std::is_signed_v<T> && b == T(-1))
            return Neg()(a);
        else
            return static_cast<T>(a / b);
    }
};
struct Min {
    template <class T> T operator()(T a, T b) const { return b < a || b != b ? b : a; }
};
struct Max {
    template <class T> T operator()(T a, T b) const { return b > a || b != b ? b : a; }
};
struct PRelu {
    template <class T> T operator()(T x, T slope) const { return x < 0 ? Mul()(x, slope) : x; }
};
struct Mod {
    bool as_c;
    explicit Mod(const Attributes &a) : as_c(a.integer("fmod", 0) != 0) {}
    template <class T> T operator()(T a, T b) const
    {
        if constexpr (!std::is_integral_v<T>) {
            const T rest = std::fmod(a, b);
            return as_c || rest == 0 || (rest < 0) == (b < 0) ? rest : rest + b;
        } else {
            if (b == 0)
                throw Error("an integer is divided by zero");
            const T rest = std::is_signed_v<T> && b == T(-1) ? T(0) : static_cast<T>(a % b);
            return as_c || rest == 0 || (rest < 0) == (b < 0) ? rest : static_cast<T>(rest + b);
        }
    }
};
struct BitwiseAnd {
    template <class T> T operator()(T a, T b) const { return static_cast<T>(a & b); }
};
struct BitwiseOr {
    template <class T> T operator()(T a, T b) const { return static_cast<T>(a | b); }
};
struct BitwiseXor {
    template <class T> T operator()(T a, T b) const { return static_cast<T>(a ^ b); }
};
struct BitShift {
    bool left;
    explicit BitShift(const Attributes &a) : left(a.text("direction", "") == "LEFT") {}
    template <class T> T operator()(T a, T b) const
    {
        const auto value = static_cast<std::make_unsigned_t<T>>(a);
        const auto by = static_cast<uint64_t>(b);
        if (by >= 8 * sizeof(T))
            return 0;
        return static_cast<T>(left ? static_cast<uint64_t>(value) << by : static_cast<uint64_t>(value) >> by);
    }
};

struct Equal {
    template <class T> bool operator()(T a, T b) const { return a == b; }
};
struct Greater {
    template <class T> bool operator()(T a, T b) const { return a > b; }
};
struct Less {
    template <class T> bool operator()(T a, T b) const { return a < b; }
};
struct GreaterOrEqual {
    template <class T> bool operator()(T a, T b) const { return a >= b; }
};
struct LessOrEqual {
    template <class T> bool operator()(T a, T b) const { return a <= b; }
};
struct And {
    bool operator()(bool a, bool b) const { return a && b; }
};
struct Or {
    bool operator()(bool a, bool b) const { return a || b; }
};
struct Xor {
    bool operator()(bool a, bool b) const { return a != b; }
};
struct Not {
    bool operator()(bool a) const { return !a; }
};
struct IsNaN {
    bool operator()(auto x) const { return std::isnan(x); }
};
struct IsInf {
    bool negative, positive;
    explicit IsInf(const Attributes &a)
        : negative(a.integer("detect_negative", 1) != 0), positive(a.integer("detect_positive", 1) != 0)
    {
    }
    bool operator()(auto x) const { return std::isinf(x) && (x < 0 ? negative : positive); }
};

// Kernels

template <TypeSet set, class F> void visit_set(Type type, F &&f)
{
    if constexpr (set == TypeSet::any)
        visit_type(type, f);
    else if constexpr (set == TypeSet::number)
        visit_number(type, f);
    else if constexpr (set == TypeSet::floating)
        visit_float(type, f);
    else if constexpr (set == TypeSet::integer)
        visit_integer(type, f);
    else if (type == Type::boolean)
        f.template operator()<bool>();
    else
        throw Error("the element type " + std::string(to_string(type)) + " is not bool");
}

template <class F> F make(const Attributes &attributes)
{
    if constexpr (std::is_constructible_v<F, const Attributes &>)
        return F(attributes);
    else
        return F();
}

/// Bools stay bools; any other result takes the element type of the operands.
template <class F, class T, class... Operands>
using ResultOf = std::conditional_t<std::is_same_v<std::invoke_result_t<F, Operands...>, bool>, bool, T>;

template <class F, TypeSet set> void unary(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    const F f = make<F>(context.node.attributes);
    visit_set<set>(x.type(), [&]<class T>() {
        using R = ResultOf<F, T, Arithmetic<T>>;
        const T *in = x.data<T>();
        R *out = context.output(0, type_of<R>, x.shape()).template data<R>();
        for (size_t i = 0; i < x.count(); i++)
            out[i] = static_cast<R>(f(static_cast<Arithmetic<T>>(in[i])));
    });
}

template <class F, TypeSet set> void binary(RunContext &context)
{
    const Tensor &a = context.inputs[0], &b = context.inputs[1];
    if (a.type() != b.type())
        throw Error("the inputs have the element types " + std::string(to_string(a.type())) + " and " +
                    std::string(to_string(b.type())) + ", which must be the same");
    const F f = make<F>(context.node.attributes);
    const Shape shape = broadcast(a.shape(), b.shape());
    visit_set<set>(a.type(), [&]<class T>() {
        using R = ResultOf<F, T, Arithmetic<T>, Arithmetic<T>>;
        const T *x = a.data<T>(), *y = b.data<T>();
        R *z = context.output(0, type_of<R>, shape).template data<R>();
        walk<3>(shape, {broadcast_strides(a.shape(), shape), broadcast_strides(b.shape(), shape), strides_of(shape)},
                [&](const Stretch<3> &s) {
                    for (int64_t i = 0; i < s.count; i++)
                        z[s.offset[2] + i * s.step[2]] =
                            static_cast<R>(f(static_cast<Arithmetic<T>>(x[s.offset[0] + i * s.step[0]]),
                                             static_cast<Arithmetic<T>>(y[s.offset[1] + i * s.step[1]])));
                });
    });
}

/// `result = f(result, next input)`, from the first input on.
template <class F, TypeSet set> Tensor &accumulate(RunContext &context)
{
    const Tensor &first = context.inputs[0];
    Shape shape;
    for (const Tensor &input : context.inputs) {
        if (input.type() != first.type())
            throw Error("the inputs have different element types");
        shape = broadcast(shape, input.shape());
    }
    Tensor &result = context.output(0, first.type(), shape);
    const Shape dense = strides_of(shape);
    copy_elements(first, result, shape, {broadcast_strides(first.shape(), shape), dense});
    visit_set<set>(first.type(), [&]<class T>() {
        T *z = result.data<T>();
        for (const Tensor &input : context.inputs.subspan(1))
            walk<2>(shape, {broadcast_strides(input.shape(), shape), dense}, [&](const Stretch<2> &s) {
                const T *x = input.data<T>() + s.offset[0];
                T *to = z + s.offset[1];
                for (int64_t i = 0; i < s.count; i++, x += s.step[0], to += s.step[1])
                    *to = static_cast<T>(F()(static_cast<Arithmetic<T>>(*to), static_cast<Arithmetic<T>>(*x)));
            });
    });
    return result;
}

template <class F, TypeSet set> void variadic(RunContext &context)
{
    accumulate<F, set>(context);
}

void mean(RunContext &context)
{
    Tensor &result = accumulate<Add, TypeSet::floating>(context);
    visit_float(result.type(), [&]<class T>() {
        for (T &value : result.values<T>())
            value =
                static_cast<T>(static_cast<Arithmetic<T>>(value) / static_cast<Arithmetic<T>>(context.inputs.size()));
    });
}

/// Wraps around where the result does not fit, as repeated multiplication does; 1 / base^-n for negative exponents.
template <class T> T integer_power(T base, int64_t exponent)
{
    if (exponent < 0)
        return base == 1 || (base == T(-1) && exponent % 2 == 0) ? T(1) : base == T(-1) ? base : T(0);
    uint64_t result = 1, factor = static_cast<uint64_t>(base);
    for (; exponent; exponent >>= 1, factor *= factor)
        if (exponent & 1)
            result *= factor;
    return static_cast<T>(result);
}

template <class From, class To, class F> void power(const Tensor &base, const Tensor &exponent, Tensor &result, F f)
{
    const Shape &shape = result.shape();
    using E = std::conditional_t<std::is_integral_v<To>, int64_t, double>;
    const Tensor wide = exponent.converted(type_of<E>);
    walk<3>(shape, {broadcast_strides(base.shape(), shape), broadcast_strides(wide.shape(), shape), strides_of(shape)},
            [&](const Stretch<3> &s) {
                for (int64_t i = 0; i < s.count; i++)
                    result.data<To>()[s.offset[2] + i * s.step[2]] =
                        static_cast<To>(f(static_cast<Arithmetic<From>>(base.data<From>()[s.offset[0] + i * s.step[0]]),
                                          wide.data<E>()[s.offset[1] + i * s.step[1]]));
            });
}

double float_power(double base, double exponent)
{
    return exponent == 2 ? base * base : std::pow(base, exponent);
}

void pow(RunContext &context)
{
    const Tensor &base = context.inputs[0], &exponent = context.inputs[1];
    Tensor &result = context.output(0, base.type(), broadcast(base.shape(), exponent.shape()));
    if (contains(TypeSet::integer, base.type()) && contains(TypeSet::integer, exponent.type())) {
        visit_integer(base.type(), [&]<class T>() {
            power<T, T>(base, exponent, result, [](T x, int64_t e) { return integer_power(x, e); });
        });
        return;
    }
    Tensor wide(Type::f64, result.shape());
    power<double, double>(base.converted(Type::f64), exponent, wide, float_power);
    copy_to_output(context, 0, wide.converted(base.type()));
}

void where(RunContext &context)
{
    const Tensor &choice = context.inputs[0], &a = context.inputs[1], &b = context.inputs[2];
    if (a.type() != b.type() || choice.type() != Type::boolean)
        throw Error("want a bool input and two inputs of one element type");
    const Shape shape = broadcast(choice.shape(), broadcast(a.shape(), b.shape()));
    Tensor &result = context.output(0, a.type(), shape);
    visit_width(a.type(), [&]<class T>() {
        walk<4>(shape,
                {broadcast_strides(choice.shape(), shape), broadcast_strides(a.shape(), shape),
                 broadcast_strides(b.shape(), shape), strides_of(shape)},
                [&](const Stretch<4> &s) {
                    for (int64_t i = 0; i < s.count; i++)
                        result.data<T>()[s.offset[3] + i * s.step[3]] = choice.data<bool>()[s.offset[0] + i * s.step[0]]
                                                                            ? a.data<T>()[s.offset[1] + i * s.step[1]]
                                                                            : b.data<T>()[s.offset[2] + i * s.step[2]];
                });
    });
}

/// A bound is a scalar or has one element.
template <class T> const T *bound(const RunContext &context, size_t input)
{
    if (!context.has(input))
        return nullptr;
    const Tensor &tensor = context.inputs[input];
    if (tensor.count() != 1 || tensor.type() != type_of<T>)
        throw Error("bound " + std::to_string(input) + " is not one element of the input's type");
    return tensor.data<T>();
}

void clip(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    visit_number(x.type(), [&]<class T>() {
        using A = Arithmetic<T>;
        const T *low = bound<T>(context, 1), *high = bound<T>(context, 2);
        T *out = context.output(0, x.type(), x.shape()).template data<T>();
        for (size_t i = 0; i < x.count(); i++) {
            A value = static_cast<A>(x.data<T>()[i]);
            if (low && value < static_cast<A>(*low))
                value = static_cast<A>(*low);
            if (high && value > static_cast<A>(*high))
                value = static_cast<A>(*high);
            out[i] = static_cast<T>(value);
        }
    });
}

/// Integers are calculated in f64, as the parameters are fractions.
void shrink(RunContext &context)
{
    if (contains(TypeSet::floating, context.inputs[0].type()))
        return unary<Shrink, TypeSet::floating>(context);
    const Shrink f(context.node.attributes);
    Tensor wide = context.inputs[0].converted(Type::f64);
    for (double &value : wide.values<double>())
        value = f(value);
    copy_to_output(context, 0, wide.converted(context.inputs[0].type()));
}

void identity(RunContext &context)
{
    copy_to_output(context, 0, context.inputs[0]);
}

/// Of inference: passes everything. Training with a ratio above 0 is random and an Error.
void dropout(RunContext &context)
{
    const bool training = context.has(2) && context.inputs[2].count() == 1 && context.inputs[2].to_int64()[0] != 0;
    const float ratio = context.has(1) && context.inputs[1].count() == 1
                            ? context.inputs[1].converted(Type::f32).data<float>()[0]
                            : 0.5f;
    if (training && ratio != 0)
        throw Error("training_mode is set; want a model exported for inference");
    copy_to_output(context, 0, context.inputs[0]);
    if (context.wants(1)) {
        Tensor &mask = context.output(1, Type::boolean, context.inputs[0].shape());
        std::fill_n(mask.data<bool>(), mask.count(), true);
    }
}

void cast(RunContext &context)
{
    copy_to_output(context, 0, context.inputs[0].converted(cast_type(context.node.attributes)));
}

void cast_like(RunContext &context)
{
    copy_to_output(context, 0, context.inputs[0].converted(context.inputs[1].type()));
}

template <class F, TypeSet set> constexpr Op unary_row(std::string_view name)
{
    return {name, 1, 1, 1, unary_rule<set>, unary<F, set>};
}

template <class F, TypeSet set> constexpr Op test_row(std::string_view name)
{
    return {name, 1, 1, 1, test_rule<set>, unary<F, set>};
}

template <class F, TypeSet set> constexpr Op binary_row(std::string_view name)
{
    return {name, 2, 2, 1, broadcast_rule<set>, binary<F, set>};
}

template <class F, TypeSet set> constexpr Op compare_row(std::string_view name)
{
    return {name, 2, 2, 1, compare_rule<set>, binary<F, set>};
}

template <class F, TypeSet set> constexpr Op variadic_row(std::string_view name)
{
    return {name, 1, -1, 1, broadcast_rule<set>, variadic<F, set>};
}

constexpr auto floating = TypeSet::floating;
constexpr auto number = TypeSet::number;
constexpr auto integer = TypeSet::integer;
constexpr auto boolean = TypeSet::boolean;

constexpr Op rows[] = {
    unary_row<Abs, number>("Abs"),
    unary_row<Acos, floating>("Acos"),
    unary_row<Acosh, floating>("Acosh"),
    binary_row<Add, number>("Add"),
    compare_row<And, boolean>("And"),
    unary_row<Asin, floating>("Asin"),
    unary_row<Asinh, floating>("Asinh"),
    unary_row<Atan, floating>("Atan"),
    unary_row<Atanh, floating>("Atanh"),
    binary_row<BitShift, integer>("BitShift"),
    binary_row<BitwiseAnd, integer>("BitwiseAnd"),
    unary_row<BitwiseNot, integer>("BitwiseNot"),
    binary_row<BitwiseOr, integer>("BitwiseOr"),
    binary_row<BitwiseXor, integer>("BitwiseXor"),
    {"Cast", 1, 1, 1, cast_rule, cast},
    {"CastLike", 2, 2, 1, cast_like_rule, cast_like},
    unary_row<Ceil, floating>("Ceil"),
    unary_row<Celu, floating>("Celu"),
    {"Clip", 1, 3, 1, clip_rule, clip},
    unary_row<Cos, floating>("Cos"),
    unary_row<Cosh, floating>("Cosh"),
    binary_row<Div, number>("Div"),
    {"Dropout", 1, 3, 2, dropout_rule, dropout},
    unary_row<Elu, floating>("Elu"),
    compare_row<Equal, TypeSet::any>("Equal"),
    unary_row<Erf, floating>("Erf"),
    unary_row<Exp, floating>("Exp"),
    unary_row<Floor, floating>("Floor"),
    unary_row<Gelu, floating>("Gelu"),
    compare_row<Greater, number>("Greater"),
    compare_row<GreaterOrEqual, number>("GreaterOrEqual"),
    unary_row<HardSigmoid, floating>("HardSigmoid"),
    unary_row<HardSwish, floating>("HardSwish"),
    {"Identity", 1, 1, 1, unary_rule<TypeSet::any>, identity},
    test_row<IsInf, floating>("IsInf"),
    test_row<IsNaN, floating>("IsNaN"),
    unary_row<LeakyRelu, floating>("LeakyRelu"),
    compare_row<Less, number>("Less"),
    compare_row<LessOrEqual, number>("LessOrEqual"),
    unary_row<Log, floating>("Log"),
    variadic_row<Max, number>("Max"),
    {"Mean", 1, -1, 1, broadcast_rule<floating>, mean},
    variadic_row<Min, number>("Min"),
    unary_row<Mish, floating>("Mish"),
    binary_row<Mod, number>("Mod"),
    binary_row<Mul, number>("Mul"),
    unary_row<Neg, number>("Neg"),
    test_row<Not, boolean>("Not"),
    compare_row<Or, boolean>("Or"),
    {"PRelu", 2, 2, 1, prelu_rule, binary<PRelu, number>},
    {"Pow", 2, 2, 1, pow_rule, pow},
    unary_row<Reciprocal, floating>("Reciprocal"),
    unary_row<Relu, number>("Relu"),
    unary_row<Round, floating>("Round"),
    unary_row<Selu, floating>("Selu"),
    {"Shrink", 1, 1, 1, unary_rule<number>, shrink},
    unary_row<Sigmoid, floating>("Sigmoid"),
    unary_row<Sign, number>("Sign"),
    unary_row<Sin, floating>("Sin"),
    unary_row<Sinh, floating>("Sinh"),
    unary_row<Softplus, floating>("Softplus"),
    unary_row<Softsign, floating>("Softsign"),
    unary_row<Sqrt, floating>("Sqrt"),
    binary_row<Sub, number>("Sub"),
    variadic_row<Add, floating>("Sum"),
    unary_row<Swish, floating>("Swish"),
    unary_row<Tan, floating>("Tan"),
    unary_row<Tanh, floating>("Tanh"),
    unary_row<ThresholdedRelu, floating>("ThresholdedRelu"),
    {"Where", 3, 3, 1, where_rule, where},
    compare_row<Xor, boolean>("Xor"),
};

} // namespace

std::span<const Op> elementwise_ops()
{
    return rows;
}

} // namespace leat
