#include "inference/ops/walk.h"

#include <algorithm>
#include <cstring>

namespace leat {

namespace {

constexpr std::string_view type_set_names[] = {"any type", "a number type", "a floating-point type", "an integer type",
                                               "bool"};

int64_t product(int64_t a, int64_t b)
{
    return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

/// Merges neighbouring axes that every one of the tensors walks as one; then at least one axis is left.
template <size_t N> void merge_axes(Shape &shape, std::array<Shape, N> &strides)
{
    if (shape.empty()) {
        shape = {1};
        strides.fill({0});
    }
    for (size_t i = shape.size() - 1; i-- > 0;) {
        bool joins = true;
        for (const Shape &s : strides)
            joins = joins && (shape[i] == 1 || s[i] == product(s[i + 1], shape[i + 1]));
        if (!joins)
            continue;
        shape[i + 1] *= shape[i];
        shape.erase(shape.begin() + static_cast<ptrdiff_t>(i));
        for (Shape &s : strides)
            s.erase(s.begin() + static_cast<ptrdiff_t>(i));
    }
}

} // namespace

bool contains(TypeSet set, Type type)
{
    const bool floating = type >= Type::f32 && type <= Type::f64;
    const bool integer = type >= Type::u8 && type <= Type::s64;
    switch (set) {
    case TypeSet::any: return type != Type::undefined;
    case TypeSet::number: return floating || integer;
    case TypeSet::floating: return floating;
    case TypeSet::integer: return integer;
    case TypeSet::boolean: return type == Type::boolean;
    }
    return false;
}

void want_type(const ShapeContext &context, size_t input, TypeSet set)
{
    if (context.has(input) && !contains(set, context.type(input)))
        throw Error("input " + std::to_string(input) + " has the element type " +
                    std::string(to_string(context.type(input))) + ", want " +
                    std::string(type_set_names[static_cast<size_t>(set)]));
}

void want_same_type(const ShapeContext &context, size_t a, size_t b)
{
    if (context.has(a) && context.has(b) && context.type(a) != context.type(b))
        throw Error("inputs " + std::to_string(a) + " and " + std::to_string(b) + " have the element types " +
                    std::string(to_string(context.type(a))) + " and " + std::string(to_string(context.type(b))) +
                    ", which must be the same");
}

void want_addend_type(const ShapeContext &context, size_t a, size_t b)
{
    if (context.type(a) != Type::bf16 || context.type(b) != Type::f32)
        want_same_type(context, a, b);
}

Shape strides_of(const Shape &shape)
{
    Shape strides(shape.size());
    int64_t step = 1;
    for (size_t i = shape.size(); i-- > 0;) {
        strides[i] = step;
        step = product(step, shape[i]);
    }
    return strides;
}

Shape broadcast_strides(const Shape &shape, const Shape &to)
{
    const Shape dense = strides_of(shape);
    Shape strides(to.size(), 0);
    for (size_t i = 0; i < shape.size(); i++)
        if (shape[i] != 1)
            strides[to.size() - shape.size() + i] = dense[i];
    return strides;
}

int64_t count_between(const Shape &shape, size_t first, size_t last)
{
    int64_t count = 1;
    for (size_t i = first; i < last; i++)
        count = product(count, shape[i]);
    return count;
}

std::vector<size_t> normal_axes(const std::vector<int64_t> &axes, size_t rank)
{
    std::vector<size_t> result;
    for (int64_t axis : axes) {
        const size_t normal = normal_axis(axis, rank);
        if (rank == 0)
            continue;
        if (std::find(result.begin(), result.end(), normal) != result.end())
            throw Error("axis " + std::to_string(axis) + " is given twice");
        result.push_back(normal);
    }
    return result;
}

size_t axis_attribute(const Attributes &attributes, const std::string &name, int64_t otherwise, size_t rank)
{
    if (rank == 0)
        throw Error("a scalar has no axis; want a tensor of rank 1 or more");
    return normal_axis(attributes.integer(name, otherwise), rank);
}

template <size_t N>
void walk_stretches(Shape shape, std::array<Shape, N> strides, std::array<int64_t, N> offset, void *run,
                    void (*call)(void *, const Stretch<N> &))
{
    if (count_of(shape) == 0)
        return;
    merge_axes(shape, strides);
    const size_t last = shape.size() - 1;
    Stretch<N> stretch;
    stretch.count = shape[last];
    stretch.offset = offset;
    for (size_t n = 0; n < N; n++)
        stretch.step[n] = strides[n][last];
    Shape index(last, 0);
    size_t axis;
    do {
        call(run, stretch);
        for (axis = last; axis > 0; axis--) {
            const size_t a = axis - 1;
            for (size_t n = 0; n < N; n++)
                stretch.offset[n] += strides[n][a];
            if (++index[a] < shape[a])
                break;
            for (size_t n = 0; n < N; n++)
                stretch.offset[n] -= strides[n][a] * shape[a];
            index[a] = 0;
        }
    } while (axis > 0);
}

template void walk_stretches<1>(Shape, std::array<Shape, 1>, std::array<int64_t, 1>, void *,
                                void (*)(void *, const Stretch<1> &));
template void walk_stretches<2>(Shape, std::array<Shape, 2>, std::array<int64_t, 2>, void *,
                                void (*)(void *, const Stretch<2> &));
template void walk_stretches<3>(Shape, std::array<Shape, 3>, std::array<int64_t, 3>, void *,
                                void (*)(void *, const Stretch<3> &));
template void walk_stretches<4>(Shape, std::array<Shape, 4>, std::array<int64_t, 4>, void *,
                                void (*)(void *, const Stretch<4> &));

void copy_elements(const Tensor &from, Tensor &to, const Shape &shape, const std::array<Shape, 2> &strides,
                   std::array<int64_t, 2> offset)
{
    visit_width(from.type(), [&]<class T>() {
        const T *source = from.data<T>();
        T *target = to.data<T>();
        walk<2>(
            shape, strides,
            [&](const Stretch<2> &s) {
                const T *in = source + s.offset[0];
                T *out = target + s.offset[1];
                if (s.step[0] == 1 && s.step[1] == 1)
                    std::copy_n(in, s.count, out);
                else
                    for (int64_t i = 0; i < s.count; i++)
                        out[i * s.step[1]] = in[i * s.step[0]];
            },
            offset);
    });
}

void copy_to_output(RunContext &context, size_t index, const Tensor &from)
{
    Tensor &to = context.output(index, from.type(), from.shape());
    if (from.bytes() != 0 && to.raw() != from.raw())
        std::memcpy(to.raw(), from.raw(), from.bytes());
}

std::optional<std::vector<int64_t>> constant_integers(const ShapeContext &context, size_t input)
{
    want_type(context, input, TypeSet::integer);
    const Tensor *constant = context.constant(input);
    if (!constant)
        return {};
    return constant->to_int64();
}

std::vector<int64_t> integers(const RunContext &context, size_t input)
{
    const Tensor &tensor = context.inputs[input];
    if (!contains(TypeSet::integer, tensor.type()))
        throw Error("input " + std::to_string(input) + " has the element type " +
                    std::string(to_string(tensor.type())) + ", want an integer type");
    return tensor.to_int64();
}

std::optional<size_t> length_of(const ShapeContext &context, size_t input)
{
    const auto &shape = context.shape(input);
    if (!shape)
        return {};
    if (shape->size() > 1)
        throw Error("input " + std::to_string(input) + " has the shape " + to_string(*shape) + ", want rank 1");
    if (shape->empty())
        return 1;
    if ((*shape)[0] < 0)
        return {};
    constexpr int64_t highest_rank = 64;
    if ((*shape)[0] > highest_rank)
        throw Error("input " + std::to_string(input) + " has " + std::to_string((*shape)[0]) +
                    " elements, want no more than " + std::to_string(highest_rank));
    return static_cast<size_t>((*shape)[0]);
}

} // namespace leat
