#include "inference/ops/walk.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace leat {
namespace {

using Indices = std::vector<int64_t>;

Shape joined(const Shape &a, const Shape &b, const Shape &c)
{
    Shape result = a;
    result.insert(result.end(), b.begin(), b.end());
    result.insert(result.end(), c.begin(), c.end());
    return result;
}

Shape part(const Shape &shape, size_t first, size_t last)
{
    return {shape.begin() + static_cast<ptrdiff_t>(first), shape.begin() + static_cast<ptrdiff_t>(last)};
}

/// Index in [-size, size) to [0, size). Throws Error for others.
int64_t normal_index(int64_t index, int64_t size)
{
    if (index < -size || index >= size)
        throw Error("the index " + std::to_string(index) + " is outside of an axis of size " + std::to_string(size));
    return index < 0 ? index + size : index;
}

// Gather

Shape gathered(const Shape &data, const Shape &indices, size_t axis)
{
    return joined(part(data, 0, axis), indices, part(data, axis + 1, data.size()));
}

void gather_rule(ShapeContext &context)
{
    want_type(context, 1, TypeSet::integer);
    std::optional<Shape> result;
    if (context.shape(0) && context.shape(1)) {
        const Shape &data = *context.shape(0);
        result = gathered(data, *context.shape(1), axis_attribute(context.attributes(), "axis", 0, data.size()));
    }
    context.output(0, context.type(0), result);
}

void gather(RunContext &context)
{
    const Tensor &data = context.inputs[0];
    const size_t axis = axis_attribute(context.node.attributes, "axis", 0, data.rank());
    const Indices indices = integers(context, 1);
    Tensor &result = context.output(0, data.type(), gathered(data.shape(), context.inputs[1].shape(), axis));
    const int64_t outer = count_between(data.shape(), 0, axis), size = data.dim(axis);
    const size_t inner = static_cast<size_t>(count_between(data.shape(), axis + 1, data.rank())) * size_of(data.type());
    std::byte *out = result.raw();
    for (int64_t o = 0; o < outer; o++)
        for (int64_t index : indices) {
            const auto line = static_cast<size_t>(o * size + normal_index(index, size));
            std::copy_n(data.raw() + line * inner, inner, out);
            out += inner;
        }
}

// GatherElements, ScatterElements

/// One index for each element: those of the other axes are the element's own.
void check_element_indices(const Shape &data, const Shape &indices, size_t axis)
{
    bool fits = data.size() == indices.size();
    for (size_t i = 0; fits && i < data.size(); i++)
        fits = i == axis || data[i] < 0 || indices[i] <= data[i];
    if (!fits)
        throw Error("indices of shape " + to_string(indices) + " do not fit data of shape " + to_string(data));
}

/// Calls f(offset into the data, offset into the indices) for each index.
template <class F> void each_element_index(const Shape &data, const Tensor &indices, size_t axis, F &&f)
{
    check_element_indices(data, indices.shape(), axis);
    const Tensor wide = indices.converted(Type::s64);
    Shape strides = strides_of(data);
    const int64_t along = strides[axis], size = data[axis];
    strides[axis] = 0;
    walk<2>(indices.shape(), {strides, strides_of(indices.shape())}, [&](const Stretch<2> &s) {
        for (int64_t i = 0; i < s.count; i++) {
            const int64_t at = s.offset[1] + i * s.step[1];
            f(s.offset[0] + i * s.step[0] + normal_index(wide.data<int64_t>()[at], size) * along, at);
        }
    });
}

void gather_elements_rule(ShapeContext &context)
{
    want_type(context, 1, TypeSet::integer);
    if (context.shape(0) && context.shape(1))
        check_element_indices(*context.shape(0), *context.shape(1),
                              axis_attribute(context.attributes(), "axis", 0, context.shape(0)->size()));
    context.output(0, context.type(0), context.shape(1));
}

void gather_elements(RunContext &context)
{
    const Tensor &data = context.inputs[0];
    const size_t axis = axis_attribute(context.node.attributes, "axis", 0, data.rank());
    Tensor &result = context.output(0, data.type(), context.inputs[1].shape());
    visit_width(data.type(), [&]<class T>() {
        each_element_index(data.shape(), context.inputs[1], axis,
                           [&](int64_t from, int64_t to) { result.data<T>()[to] = data.data<T>()[from]; });
    });
}

/// Calls f(from, to, merge) where merge(old, update) is what the attribute `reduction` says.
template <class F> void with_reduction(const RunContext &context, F &&f)
{
    const std::string reduction = context.node.attributes.text("reduction", "none");
    const Type type = context.inputs[0].type();
    auto arithmetic = [&](auto merge) {
        visit_number(type, [&]<class T>() {
            f.template operator()<T>([&](T a, T b) {
                return narrowed<T>(merge(static_cast<Arithmetic<T>>(a), static_cast<Arithmetic<T>>(b)));
            });
        });
    };
    auto whole = []<class A>(A value) {
        if constexpr (std::is_integral_v<A>)
            return static_cast<uint64_t>(value);
        else
            return value;
    };
    if (reduction == "none")
        visit_width(type, [&]<class T>() { f.template operator()<T>([](T, T update) { return update; }); });
    else if (reduction == "add")
        arithmetic([&](auto a, auto b) { return whole(a) + whole(b); });
    else if (reduction == "mul")
        arithmetic([&](auto a, auto b) { return whole(a) * whole(b); });
    else if (reduction == "min")
        arithmetic([](auto a, auto b) { return std::min(a, b); });
    else if (reduction == "max")
        arithmetic([](auto a, auto b) { return std::max(a, b); });
    else
        throw Error("there is no reduction \"" + reduction + "\"; want none, add, mul, min or max");
}

void check_updates(const Tensor &data, const Tensor &updates, const Shape &wanted)
{
    if (updates.type() != data.type() || updates.shape() != wanted)
        throw Error("the updates are " + std::string(to_string(updates.type())) + " " + to_string(updates.shape()) +
                    ", want " + std::string(to_string(data.type())) + " " + to_string(wanted));
}

void scatter_rule(ShapeContext &context)
{
    want_type(context, 1, TypeSet::integer);
    want_same_type(context, 0, 2);
    context.output(0, context.type(0), context.shape(0));
}

void scatter_elements(RunContext &context)
{
    const Tensor &data = context.inputs[0], &indices = context.inputs[1], &updates = context.inputs[2];
    const size_t axis = axis_attribute(context.node.attributes, "axis", 0, data.rank());
    check_updates(data, updates, indices.shape());
    copy_to_output(context, 0, data);
    Tensor &result = context.output(0, data.type(), data.shape());
    with_reduction(context, [&]<class T>(auto merge) {
        each_element_index(data.shape(), indices, axis, [&](int64_t to, int64_t from) {
            T &element = result.data<T>()[to];
            element = merge(element, updates.data<T>()[from]);
        });
    });
}

// GatherND, ScatterND

/// Tuples of indices into the first axes of a tensor, after `batch` axes that both share.
struct Tuples {
    size_t batch = 0, length = 0;
    Shape slice; ///< shape of what one tuple selects
};

Tuples tuples_of(const Shape &data, const Shape &indices, int64_t batch)
{
    if (indices.empty() || data.empty())
        throw Error("want data and indices of rank 1 or more");
    const auto most = static_cast<int64_t>(std::min(data.size(), indices.size()));
    if (batch < 0 || batch >= most)
        throw Error("batch_dims is " + std::to_string(batch) + ", want 0 to " + std::to_string(most - 1));
    const int64_t length = indices.back();
    const auto first = static_cast<size_t>(batch);
    if (length < 0 || length > static_cast<int64_t>(data.size() - first))
        throw Error("indices of shape " + to_string(indices) + " do not fit data of shape " + to_string(data));
    for (size_t i = 0; i < first; i++)
        if (data[i] >= 0 && indices[i] >= 0 && data[i] != indices[i])
            throw Error("the batches of indices of shape " + to_string(indices) + " and data of shape " +
                        to_string(data) + " differ");
    const auto count = static_cast<size_t>(length);
    return {first, count, part(data, first + count, data.size())};
}

/// Calls f(offset into the data, number of the tuple) for each tuple.
template <class F> void each_tuple(const Shape &data, const Tensor &indices, const Tuples &tuples, F &&f)
{
    const Tensor wide = indices.converted(Type::s64);
    const Shape strides = strides_of(data);
    const int64_t count = count_between(indices.shape(), 0, indices.rank() - 1);
    const int64_t batches = count_between(indices.shape(), 0, tuples.batch);
    const int64_t block = count_between(data, tuples.batch, data.size());
    const int64_t *index = wide.data<int64_t>();
    for (int64_t n = 0; n < count; n++) {
        int64_t offset = n / (count / batches) * block;
        for (size_t i = 0; i < tuples.length; i++)
            offset += normal_index(*index++, data[tuples.batch + i]) * strides[tuples.batch + i];
        f(offset, n);
    }
}

void gather_nd_rule(ShapeContext &context)
{
    want_type(context, 1, TypeSet::integer);
    std::optional<Shape> result;
    if (context.shape(0) && context.shape(1) && !context.shape(1)->empty() && context.shape(1)->back() >= 0) {
        const Shape &indices = *context.shape(1);
        const Tuples tuples = tuples_of(*context.shape(0), indices, context.attributes().integer("batch_dims", 0));
        result = joined(part(indices, 0, indices.size() - 1), tuples.slice, {});
    }
    context.output(0, context.type(0), result);
}

void gather_nd(RunContext &context)
{
    const Tensor &data = context.inputs[0], &indices = context.inputs[1];
    const Tuples tuples = tuples_of(data.shape(), indices.shape(), context.node.attributes.integer("batch_dims", 0));
    Tensor &result =
        context.output(0, data.type(), joined(part(indices.shape(), 0, indices.rank() - 1), tuples.slice, {}));
    const int64_t size = count_of(tuples.slice);
    visit_width(data.type(), [&]<class T>() {
        each_tuple(data.shape(), indices, tuples, [&](int64_t from, int64_t n) {
            std::copy_n(data.data<T>() + from, size, result.data<T>() + n * size);
        });
    });
}

void scatter_nd(RunContext &context)
{
    const Tensor &data = context.inputs[0], &indices = context.inputs[1], &updates = context.inputs[2];
    const Tuples tuples = tuples_of(data.shape(), indices.shape(), 0);
    check_updates(data, updates, joined(part(indices.shape(), 0, indices.rank() - 1), tuples.slice, {}));
    copy_to_output(context, 0, data);
    Tensor &result = context.output(0, data.type(), data.shape());
    const int64_t size = count_of(tuples.slice);
    with_reduction(context, [&]<class T>(auto merge) {
        each_tuple(data.shape(), indices, tuples, [&](int64_t to, int64_t n) {
            T *out = result.data<T>() + to;
            std::transform(out, out + size, updates.data<T>() + n * size, out, merge);
        });
    });
}

// OneHot

size_t one_hot_axis(const Attributes &attributes, size_t rank)
{
    return normal_axis(attributes.integer("axis", -1), rank + 1);
}

int64_t one_hot_depth(const Tensor &depth)
{
    if (depth.count() != 1)
        throw Error("depth is not one number");
    const int64_t value = depth.to_int64()[0];
    if (value < 0)
        throw Error("depth is " + std::to_string(value) + ", want 0 or more");
    return value;
}

void one_hot_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::number);
    want_type(context, 1, TypeSet::number);
    std::optional<Shape> result = context.shape(0);
    if (result)
        result->insert(result->begin() + static_cast<ptrdiff_t>(one_hot_axis(context.attributes(), result->size())),
                       context.constant(1) ? one_hot_depth(*context.constant(1)) : -1);
    context.output(0, context.type(2), result);
}

void one_hot(RunContext &context)
{
    const Tensor &values = context.inputs[2];
    const int64_t depth = one_hot_depth(context.inputs[1]);
    if (values.count() != 2)
        throw Error("values are not the two numbers for off and on");
    Shape shape = context.inputs[0].shape();
    const size_t axis = one_hot_axis(context.node.attributes, shape.size());
    const int64_t inner = count_between(shape, axis, shape.size());
    shape.insert(shape.begin() + static_cast<ptrdiff_t>(axis), depth);
    Tensor &result = context.output(0, values.type(), shape);
    const Indices indices = context.inputs[0].to_int64();
    visit_width(values.type(), [&]<class T>() {
        T *out = result.data<T>();
        std::fill_n(out, result.count(), values.data<T>()[0]);
        for (size_t i = 0; i < indices.size(); i++) {
            const int64_t index = indices[i] < 0 ? indices[i] + depth : indices[i];
            const auto at = static_cast<int64_t>(i);
            if (index >= 0 && index < depth)
                out[(at / inner * depth + index) * inner + at % inner] = values.data<T>()[1];
        }
    });
}

// NonZero, Compress

void non_zero_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    context.output(0, Type::s64, Shape{from ? static_cast<int64_t>(std::max<size_t>(from->size(), 1)) : -1, -1});
}

/// A scalar counts as a vector of one element.
void non_zero(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    Indices found;
    visit_type(x.type(), [&]<class T>() {
        for (size_t i = 0; i < x.count(); i++)
            if (static_cast<Arithmetic<T>>(x.data<T>()[i]) != Arithmetic<T>(0))
                found.push_back(static_cast<int64_t>(i));
    });
    const Shape shape = x.rank() ? x.shape() : Shape{1};
    const Shape strides = strides_of(shape);
    Tensor &result =
        context.output(0, Type::s64, {static_cast<int64_t>(shape.size()), static_cast<int64_t>(found.size())});
    int64_t *out = result.data<int64_t>();
    for (size_t axis = 0; axis < shape.size(); axis++)
        for (int64_t index : found)
            *out++ = index / strides[axis] % shape[axis];
}

void compress_rule(ShapeContext &context)
{
    want_type(context, 1, TypeSet::boolean);
    std::optional<Shape> result = Shape{-1};
    if (context.attributes().has("axis")) {
        result = context.shape(0);
        if (result)
            (*result)[axis_attribute(context.attributes(), "axis", 0, result->size())] = -1;
    }
    context.output(0, context.type(0), result);
}

void compress(RunContext &context)
{
    Tensor data = context.inputs[0];
    const Tensor &condition = context.inputs[1];
    if (condition.type() != Type::boolean || condition.rank() != 1)
        throw Error("the condition is not a vector of bools");
    if (!context.node.attributes.has("axis"))
        data = data.reshaped({static_cast<int64_t>(data.count())});
    const size_t axis = axis_attribute(context.node.attributes, "axis", 0, data.rank());
    const int64_t size = data.dim(axis), outer = count_between(data.shape(), 0, axis);
    if (condition.dim(0) > size)
        throw Error("the condition has " + std::to_string(condition.dim(0)) + " elements for an axis of size " +
                    std::to_string(size));
    Indices kept;
    for (int64_t i = 0; i < condition.dim(0); i++)
        if (condition.data<bool>()[i])
            kept.push_back(i);
    Shape shape = data.shape();
    shape[axis] = static_cast<int64_t>(kept.size());
    Tensor &result = context.output(0, data.type(), shape);
    const auto inner = static_cast<size_t>(count_between(data.shape(), axis + 1, data.rank())) * size_of(data.type());
    std::byte *out = result.raw();
    for (int64_t o = 0; o < outer; o++)
        for (int64_t index : kept) {
            std::copy_n(data.raw() + static_cast<size_t>(o * size + index) * inner, inner, out);
            out += inner;
        }
}

// TopK

void top_k_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::number);
    const auto k = constant_integers(context, 1);
    std::optional<Shape> result = context.shape(0);
    if (result) {
        int64_t &size = (*result)[axis_attribute(context.attributes(), "axis", -1, result->size())];
        if (k && (k->size() != 1 || (*k)[0] < 0 || (size >= 0 && (*k)[0] > size)))
            throw Error("K is not one number from 0 to the size of the axis, " + std::to_string(size));
        size = k ? (*k)[0] : -1;
    }
    context.output(0, context.type(0), result);
    context.output(1, Type::s64, result);
}

/// A total order: NaN counts as the largest number, and of equal numbers the first comes first.
template <class T> bool comes_before(const T *line, int64_t step, bool largest, int64_t a, int64_t b)
{
    const auto x = static_cast<Arithmetic<T>>(line[a * step]), y = static_cast<Arithmetic<T>>(line[b * step]);
    const bool x_nan = x != x, y_nan = y != y;
    if (x_nan != y_nan)
        return x_nan == largest;
    if (x == y || x_nan)
        return a < b;
    return largest ? x > y : x < y;
}

void top_k(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    const Attributes &attributes = context.node.attributes;
    const size_t axis = axis_attribute(attributes, "axis", -1, x.rank());
    const bool largest = attributes.integer("largest", 1) != 0;
    const Indices k = integers(context, 1);
    const int64_t size = x.dim(axis);
    if (k.size() != 1 || k[0] < 0 || k[0] > size)
        throw Error("K is not one number from 0 to the size of the axis, " + std::to_string(size));
    Shape shape = x.shape();
    shape[axis] = k[0];
    Tensor &values = context.output(0, x.type(), shape);
    Tensor indices(Type::s64, shape);
    const int64_t outer = count_between(x.shape(), 0, axis), inner = count_between(x.shape(), axis + 1, x.rank());
    std::vector<int64_t> order(static_cast<size_t>(size));
    visit_number(x.type(), [&]<class T>() {
        for (int64_t o = 0; o < outer; o++)
            for (int64_t i = 0; i < inner; i++) {
                const T *line = x.data<T>() + o * size * inner + i;
                std::iota(order.begin(), order.end(), 0);
                std::partial_sort(order.begin(), order.begin() + k[0], order.end(),
                                  [&](int64_t a, int64_t b) { return comes_before<T>(line, inner, largest, a, b); });
                for (int64_t n = 0; n < k[0]; n++) {
                    const int64_t to = (o * k[0] + n) * inner + i, from = order[static_cast<size_t>(n)];
                    values.data<T>()[to] = line[from * inner];
                    indices.data<int64_t>()[to] = from;
                }
            }
    });
    if (context.wants(1))
        copy_to_output(context, 1, indices);
}

// ReverseSequence

void reverse_sequence_rule(ShapeContext &context)
{
    want_type(context, 1, TypeSet::integer);
    if (context.shape(0) && context.shape(0)->size() < 2)
        throw Error("the input has the shape " + to_string(*context.shape(0)) + ", want rank 2 or more");
    context.output(0, context.type(0), context.shape(0));
}

void reverse_sequence(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    const int64_t time_axis = context.node.attributes.integer("time_axis", 0);
    const int64_t batch_axis = context.node.attributes.integer("batch_axis", 1);
    if (x.rank() < 2 || std::min(time_axis, batch_axis) != 0 || std::max(time_axis, batch_axis) != 1)
        throw Error("want a tensor of rank 2 or more whose time_axis and batch_axis are 0 and 1");
    const Indices lengths = integers(context, 1);
    const auto time = static_cast<size_t>(time_axis), batch = static_cast<size_t>(batch_axis);
    if (static_cast<int64_t>(lengths.size()) != x.dim(batch))
        throw Error("there are " + std::to_string(lengths.size()) + " sequence lengths for a batch of " +
                    std::to_string(x.dim(batch)));
    Tensor &result = context.output(0, x.type(), x.shape());
    const Shape strides = strides_of(x.shape());
    const auto inner = static_cast<size_t>(count_between(x.shape(), 2, x.rank())) * size_of(x.type());
    for (int64_t b = 0; b < x.dim(batch); b++) {
        const int64_t length = lengths[static_cast<size_t>(b)];
        if (length < 0 || length > x.dim(time))
            throw Error("the sequence length " + std::to_string(length) + " is not from 0 to " +
                        std::to_string(x.dim(time)));
        for (int64_t t = 0; t < x.dim(time); t++) {
            auto place = [&](int64_t at) {
                return static_cast<size_t>(b * strides[batch] + at * strides[time]) * size_of(x.type());
            };
            std::copy_n(x.raw() + place(t < length ? length - 1 - t : t), inner, result.raw() + place(t));
        }
    }
}

constexpr Op rows[] = {
    {"Compress", 2, 2, 1, compress_rule, compress},
    {"Gather", 2, 2, 1, gather_rule, gather},
    {"GatherElements", 2, 2, 1, gather_elements_rule, gather_elements},
    {"GatherND", 2, 2, 1, gather_nd_rule, gather_nd},
    {"NonZero", 1, 1, 1, non_zero_rule, non_zero},
    {"OneHot", 3, 3, 1, one_hot_rule, one_hot},
    {"ReverseSequence", 2, 2, 1, reverse_sequence_rule, reverse_sequence},
    {"ScatterElements", 3, 3, 1, scatter_rule, scatter_elements},
    {"ScatterND", 3, 3, 1, scatter_rule, scatter_nd},
    {"TopK", 2, 2, 2, top_k_rule, top_k},
};

} // namespace

std::span<const Op> indexing_ops()
{
    return rows;
}

} // namespace leat
