#include "inference/ops/quantized.h"
#include "inference/ops/walk.h"

#include <algorithm>
#include <cmath>

namespace leat {
namespace {

// Reductions over any set of axes

/// The axes that a reduction takes away, as flags. `axes` as given by the input; absent means all unless the node says
/// that no axes mean no reduction.
std::vector<bool> reduced_axes(const Attributes &attributes, const std::vector<int64_t> &axes, size_t rank)
{
    if (axes.empty())
        return std::vector<bool>(rank, attributes.integer("noop_with_empty_axes", 0) == 0);
    std::vector<bool> reduced(rank, false);
    for (size_t axis : normal_axes(axes, rank))
        reduced[axis] = true;
    return reduced;
}

Shape without(const Shape &from, const std::vector<bool> &reduced, bool keep)
{
    Shape result;
    for (size_t i = 0; i < from.size(); i++)
        if (!reduced[i])
            result.push_back(from[i]);
        else if (keep)
            result.push_back(1);
    return result;
}

std::optional<Shape> reduced_shape(const ShapeContext &context, bool keep)
{
    const auto &from = context.shape(0);
    if (!from)
        return {};
    const auto axes = constant_integers(context, 1);
    if (axes || !context.has(1))
        return without(*from, reduced_axes(context.attributes(), axes.value_or(std::vector<int64_t>()), from->size()),
                       keep);
    if (keep)
        return Shape(from->size(), -1);
    return {};
}

template <TypeSet set> void reduce_rule(ShapeContext &context)
{
    if (set != TypeSet::any || context.type(0) != Type::boolean)
        want_type(context, 0, TypeSet::number);
    context.output(0, context.type(0), reduced_shape(context, context.attributes().integer("keepdims", 1) != 0));
}

struct Sum {
    template <class T> using State = Wide<T>;
    template <class S> static constexpr S start = S(0);
    template <class S, class A> static void take(S &sum, A x) { sum += static_cast<S>(x); }
    template <class T, class S> static auto finish(S sum, int64_t) { return sum; }
};
struct Mean : Sum {
    template <class T, class S> static auto finish(S sum, int64_t count)
    {
        if constexpr (std::is_signed_v<T> && std::is_integral_v<T>)
            return count ? static_cast<int64_t>(sum) / count : 0;
        else if constexpr (std::is_integral_v<T>)
            return count ? sum / static_cast<uint64_t>(count) : 0;
        else
            return sum / static_cast<double>(count);
    }
};
struct Prod : Sum {
    template <class S> static constexpr S start = S(1);
    template <class S, class A> static void take(S &product, A x) { product *= static_cast<S>(x); }
};
struct SumSquare : Sum {
    template <class S, class A> static void take(S &sum, A x) { sum += static_cast<S>(x) * static_cast<S>(x); }
};
struct L1 : Sum {
    template <class S, class A> static void take(S &sum, A x)
    {
        sum += x < A(0) ? S(0) - static_cast<S>(x) : static_cast<S>(x);
    }
};
struct InDouble {
    template <class T> using State = double;
    template <class S> static constexpr double start = 0;
    static void take(double &sum, auto x) { sum += static_cast<double>(x); }
};
struct L2 : InDouble {
    static void take(double &sum, auto x) { sum += static_cast<double>(x) * static_cast<double>(x); }
    template <class T> static double finish(double sum, int64_t) { return std::sqrt(sum); }
};
struct LogSum : InDouble {
    template <class T> static double finish(double sum, int64_t) { return std::log(sum); }
};
struct LogSumExp {
    /// sum · exp(largest) is the sum of exponentials so far.
    struct Scaled {
        double largest, sum;
    };
    template <class T> using State = Scaled;
    template <class S> static constexpr Scaled start{-std::numeric_limits<double>::infinity(), 0};
    static void take(Scaled &s, auto value)
    {
        const auto x = static_cast<double>(value);
        if (x == s.largest)
            s.sum += 1;
        else if (x < s.largest)
            s.sum += std::exp(x - s.largest);
        else
            s = {x, s.sum * std::exp(s.largest - x) + 1};
    }
    template <class T> static double finish(Scaled s, int64_t) { return s.largest + std::log(s.sum); }
};
struct Max {
    template <class T> using State = std::conditional_t<std::is_same_v<T, bool>, uint8_t, Arithmetic<T>>;
    template <class S>
    static constexpr S start = std::is_floating_point_v<S> ? -std::numeric_limits<S>::infinity()
                                                           : std::numeric_limits<S>::lowest();
    template <class S, class A> static void take(S &best, A x)
    {
        if (x > best || x != x)
            best = x;
    }
    template <class T, class S> static S finish(S best, int64_t) { return best; }
};
struct Min : Max {
    template <class S>
    static constexpr S start = std::is_floating_point_v<S> ? std::numeric_limits<S>::infinity()
                                                           : std::numeric_limits<S>::max();
    template <class S, class A> static void take(S &best, A x)
    {
        if (x < best || x != x)
            best = x;
    }
};

template <class R, class T> void reduce_elements(const Tensor &x, Tensor &result, const std::vector<bool> &reduced)
{
    using State = typename R::template State<T>;
    const Shape kept = without(x.shape(), reduced, true);
    std::vector<State> states(result.count(), R::template start<State>);
    walk<2>(x.shape(), {strides_of(x.shape()), broadcast_strides(kept, x.shape())}, [&](const Stretch<2> &s) {
        const T *in = x.data<T>() + s.offset[0];
        State *state = states.data() + s.offset[1];
        for (int64_t i = 0; i < s.count; i++, in += s.step[0], state += s.step[1])
            R::take(*state, static_cast<Arithmetic<T>>(*in));
    });
    int64_t count = 1;
    for (size_t i = 0; i < reduced.size(); i++)
        if (reduced[i])
            count *= x.dim(i);
    for (size_t i = 0; i < states.size(); i++)
        result.data<T>()[i] = narrowed<T>(R::template finish<T>(states[i], count));
}

template <class R, TypeSet set> void reduce(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    const Attributes &attributes = context.node.attributes;
    const auto reduced =
        reduced_axes(attributes, context.has(1) ? integers(context, 1) : std::vector<int64_t>(), x.rank());
    Tensor &result = context.output(0, x.type(), without(x.shape(), reduced, attributes.integer("keepdims", 1) != 0));
    if constexpr (set == TypeSet::any)
        if (x.type() == Type::boolean)
            return reduce_elements<R, bool>(x, result, reduced);
    visit_number(x.type(), [&]<class T>() { reduce_elements<R, T>(x, result, reduced); });
}

// Along one axis

/// A tensor seen as outer x size x inner; the axis lies in the middle.
struct Lines {
    int64_t outer = 1, size = 1, inner = 1;
    Lines(const Shape &shape, size_t axis)
        : outer(count_between(shape, 0, axis)), size(shape[axis]), inner(count_between(shape, axis + 1, shape.size()))
    {
    }
    /// Calls f(offset of the line's first element); the next ones are `inner` apart.
    template <class F> void each(F &&f) const
    {
        for (int64_t o = 0; o < outer; o++)
            for (int64_t i = 0; i < inner; i++)
                f(o * size * inner + i);
    }
};

void arg_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::number);
    const auto &from = context.shape(0);
    std::optional<Shape> result;
    if (from) {
        std::vector<bool> reduced(from->size(), false);
        reduced[axis_attribute(context.attributes(), "axis", 0, from->size())] = true;
        result = without(*from, reduced, context.attributes().integer("keepdims", 1) != 0);
    }
    context.output(0, Type::s64, result);
}

template <bool largest> void arg(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    const Attributes &attributes = context.node.attributes;
    const size_t axis = axis_attribute(attributes, "axis", 0, x.rank());
    const bool last = attributes.integer("select_last_index", 0) != 0;
    std::vector<bool> reduced(x.rank(), false);
    reduced[axis] = true;
    Tensor &result = context.output(0, Type::s64, without(x.shape(), reduced, attributes.integer("keepdims", 1) != 0));
    const Lines lines(x.shape(), axis);
    if (lines.size == 0 && result.count() != 0)
        throw Error("the axis has no elements to choose from");
    visit_number(x.type(), [&]<class T>() {
        int64_t *out = result.data<int64_t>();
        lines.each([&](int64_t first) {
            const T *in = x.data<T>() + first;
            int64_t best = 0;
            for (int64_t i = 1; i < lines.size; i++) {
                const auto a = static_cast<Arithmetic<T>>(in[i * lines.inner]);
                const auto b = static_cast<Arithmetic<T>>(in[best * lines.inner]);
                if ((largest ? a > b : a < b) || (last && a == b))
                    best = i;
            }
            *out++ = best;
        });
    });
}

void cumulate_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::number);
    context.output(0, context.type(0), context.shape(0));
}

void cumulate(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    const auto axis = integers(context, 1);
    if (axis.size() != 1 || x.rank() == 0)
        throw Error("want one axis and a tensor of rank 1 or more");
    const bool exclusive = context.node.attributes.integer("exclusive", 0) != 0;
    const bool reverse = context.node.attributes.integer("reverse", 0) != 0;
    const Lines lines(x.shape(), normal_axis(axis[0], x.rank()));
    Tensor &result = context.output(0, x.type(), x.shape());
    visit_number(x.type(), [&]<class T>() {
        lines.each([&](int64_t first) {
            Wide<T> sum = 0;
            for (int64_t i = 0; i < lines.size; i++) {
                const int64_t at = first + (reverse ? lines.size - 1 - i : i) * lines.inner;
                const Wide<T> before = sum;
                sum += widened(x.data<T>()[at]);
                result.data<T>()[at] = narrowed<T>(exclusive ? before : sum);
            }
        });
    });
}

void softmax_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    if (context.shape(0))
        axis_attribute(context.attributes(), "axis", -1, context.shape(0)->size());
    context.output(0, context.type(0), context.shape(0));
}

/// Calls f(line in double) for each line of `x` along the attribute `axis` and stores what it made of it.
template <class F> void change_lines(RunContext &context, const Tensor &x, F f)
{
    const Lines lines(x.shape(), axis_attribute(context.node.attributes, "axis", -1, x.rank()));
    Tensor &result = context.output(0, x.type(), x.shape());
    if (x.count() == 0)
        return;
    std::vector<double> line(static_cast<size_t>(lines.size));
    visit_float(x.type(), [&]<class T>() {
        lines.each([&](int64_t first) {
            for (size_t i = 0; i < line.size(); i++)
                line[i] = static_cast<Arithmetic<T>>(x.data<T>()[first + static_cast<int64_t>(i) * lines.inner]);
            f(line);
            for (size_t i = 0; i < line.size(); i++)
                result.data<T>()[first + static_cast<int64_t>(i) * lines.inner] = narrowed<T>(line[i]);
        });
    });
}

/// Subtracts the largest element, so that exp() cannot overflow, and gives the sum of the exponentials.
double shift_and_sum(std::vector<double> &line)
{
    const double largest = *std::max_element(line.begin(), line.end());
    double sum = 0;
    for (double &value : line)
        sum += std::exp(value -= largest);
    return sum;
}

void soften(std::vector<double> &line)
{
    const double sum = shift_and_sum(line);
    for (double &value : line)
        value = std::exp(value) / sum;
}

void softmax(RunContext &context)
{
    change_lines(context, context.inputs[0], soften);
}

// SoftmaxInteger: Softmax of 8-bit integers that stand for (integer - zero point) * scale

void softmax_integer_rule(ShapeContext &context)
{
    const Type type = context.type(0);
    if (!is_8_bit(type))
        throw Error("the data has the type " + std::string(to_string(type)) + ", want u8 or s8");
    if (context.type(1) != Type::f32)
        throw Error("the scale has the type " + std::string(to_string(context.type(1))) + ", want f32");
    if (context.shape(0))
        axis_attribute(context.attributes(), "axis", -1, context.shape(0)->size());
    context.output(0, Type::f32, context.shape(0));
}

void softmax_integer(RunContext &context)
{
    const Tensor zero = context.inputs.size() > 2 ? context.inputs[2] : Tensor();
    if (zero && zero.count() != 1)
        throw Error("the zero point has " + std::to_string(zero.count()) + " elements, want 1");
    Tensor x = without_zero_point(context.inputs[0], zero, 0).converted(Type::f32);
    const float scale = only_scale(context, 1);
    for (float &number : x.values<float>())
        number *= scale;
    change_lines(context, x, soften);
}

void log_softmax(RunContext &context)
{
    change_lines(context, context.inputs[0], [](std::vector<double> &line) {
        const double log_sum = std::log(shift_and_sum(line));
        for (double &value : line)
            value -= log_sum;
    });
}

void hardmax(RunContext &context)
{
    change_lines(context, context.inputs[0], [](std::vector<double> &line) {
        const auto best = std::max_element(line.begin(), line.end());
        const auto at = static_cast<size_t>(best - line.begin());
        std::fill(line.begin(), line.end(), 0.0);
        line[at] = 1;
    });
}

template <class R, TypeSet set = TypeSet::number> constexpr Op reduce_row(std::string_view name)
{
    return {name, 1, 2, 1, reduce_rule<set>, reduce<R, set>};
}

constexpr Op rows[] = {
    {"ArgMax", 1, 1, 1, arg_rule, arg<true>},
    {"ArgMin", 1, 1, 1, arg_rule, arg<false>},
    {"CumSum", 2, 2, 1, cumulate_rule, cumulate},
    {"Hardmax", 1, 1, 1, softmax_rule, hardmax},
    {"LogSoftmax", 1, 1, 1, softmax_rule, log_softmax},
    reduce_row<L1>("ReduceL1"),
    reduce_row<L2>("ReduceL2"),
    reduce_row<LogSum>("ReduceLogSum"),
    reduce_row<LogSumExp>("ReduceLogSumExp"),
    reduce_row<Max, TypeSet::any>("ReduceMax"),
    reduce_row<Mean>("ReduceMean"),
    reduce_row<Min, TypeSet::any>("ReduceMin"),
    reduce_row<Prod>("ReduceProd"),
    reduce_row<Sum>("ReduceSum"),
    reduce_row<SumSquare>("ReduceSumSquare"),
    {"Softmax", 1, 1, 1, softmax_rule, softmax},
    {"SoftmaxInteger", 2, 3, 1, softmax_integer_rule, softmax_integer},
};

} // namespace

std::span<const Op> reduction_ops()
{
    return rows;
}

} // namespace leat
