#pragma once
#include "inference/ops.h"

#include <leat/error.h>

#include <array>
#include <limits>
#include <type_traits>

// What the families of ops share: how elements of dense tensors are walked, and which C++ types stand for element
// types.

namespace leat {

/// The type in which values of T are calculated.
template <class T>
using Arithmetic = std::conditional_t<std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>, float, T>;

/// Sums of T are kept in double, or in 64 bits that wrap around.
template <class T> using Wide = std::conditional_t<std::is_integral_v<T>, uint64_t, double>;

template <class T> Wide<T> widened(T value)
{
    return static_cast<Wide<T>>(static_cast<Arithmetic<T>>(value));
}

/// A sum back as T: integers wrap around; what came from a fraction saturates.
template <class T, class S> T narrowed(S value)
{
    if constexpr (std::is_integral_v<T> && std::is_floating_point_v<S>) {
        if (!(value > static_cast<S>(std::numeric_limits<T>::lowest())))
            return std::numeric_limits<T>::lowest();
        if (value >= static_cast<S>(std::numeric_limits<T>::max()))
            return std::numeric_limits<T>::max();
        return static_cast<T>(value);
    } else {
        return static_cast<T>(static_cast<Arithmetic<T>>(value));
    }
}

enum class TypeSet : uint8_t { any, number, floating, integer, boolean }; ///< number: without bool
bool contains(TypeSet, Type);
/// Throws Error that names the input unless it is absent or its type is in the set.
void want_type(const ShapeContext &, size_t input, TypeSet);
/// Throws Error that names the inputs unless both have the same type or one is absent.
void want_same_type(const ShapeContext &, size_t a, size_t b);
/// The same for what is added to sums of input `a`: it may also be f32 where they are bf16.
void want_addend_type(const ShapeContext &, size_t a, size_t b);

/// As visit_type, for f32, f16, bf16 and f64 alone; others throw Error.
template <class F> decltype(auto) visit_float(Type type, F &&f)
{
    switch (type) {
    case Type::f32: return f.template operator()<float>();
    case Type::f16: return f.template operator()<Half>();
    case Type::bf16: return f.template operator()<BFloat16>();
    case Type::f64: return f.template operator()<double>();
    default: throw Error("the element type " + std::string(to_string(type)) + " is not a floating-point type");
    }
}

/// As visit_type, for the integer types without bool; others throw Error.
template <class F> decltype(auto) visit_integer(Type type, F &&f)
{
    switch (type) {
    case Type::u8: return f.template operator()<uint8_t>();
    case Type::s8: return f.template operator()<int8_t>();
    case Type::u16: return f.template operator()<uint16_t>();
    case Type::s16: return f.template operator()<int16_t>();
    case Type::u32: return f.template operator()<uint32_t>();
    case Type::s32: return f.template operator()<int32_t>();
    case Type::u64: return f.template operator()<uint64_t>();
    case Type::s64: return f.template operator()<int64_t>();
    default: throw Error("the element type " + std::string(to_string(type)) + " is not an integer type");
    }
}

/// As visit_type, for every type but bool; bool throws Error.
template <class F> decltype(auto) visit_number(Type type, F &&f)
{
    return contains(TypeSet::floating, type) ? visit_float(type, f) : visit_integer(type, f);
}

/// Calls `f` with the unsigned type that is as wide as an element of `type`: for ops that only move elements.
template <class F> decltype(auto) visit_width(Type type, F &&f)
{
    switch (size_of(type)) {
    case 1: return f.template operator()<uint8_t>();
    case 2: return f.template operator()<uint16_t>();
    case 4: return f.template operator()<uint32_t>();
    case 8: return f.template operator()<uint64_t>();
    default: throw_undefined_type();
    }
}

/// Elements from one index to the next on each axis of a dense tensor.
Shape strides_of(const Shape &);
/// The same for a tensor that is read as if it were broadcast to `to`: 0 on the axes that repeat.
Shape broadcast_strides(const Shape &, const Shape &to);
/// Product of the sizes of axes [first, last).
int64_t count_between(const Shape &, size_t first, size_t last);
/// Each axis in [-rank, rank) to [0, rank). Throws Error for axes out of range or given twice.
std::vector<size_t> normal_axes(const std::vector<int64_t> &, size_t rank);
/// The axis in [0, rank) that the attribute names. Throws Error for an axis out of range, and for a scalar.
size_t axis_attribute(const Attributes &, const std::string &name, int64_t otherwise, size_t rank);

/// A stretch of elements at equal distances in each of N tensors.
template <size_t N> struct Stretch {
    std::array<int64_t, N> offset{}; ///< of its first element, in elements
    std::array<int64_t, N> step{};
    int64_t count = 0;
};

/// What walk() does, with `call(run, stretch)` for each stretch. Instantiated for 1 to 4 tensors.
template <size_t N>
void walk_stretches(Shape, std::array<Shape, N> strides, std::array<int64_t, N> offset, void *run,
                    void (*call)(void *, const Stretch<N> &));

/// Calls `run(const Stretch<N> &)` until every index of `shape` was visited once, in row-major order. `strides` says
/// how each tensor moves along each axis; the first elements lie at `offset`.
template <size_t N, class Run>
void walk(Shape shape, std::array<Shape, N> strides, Run run, std::array<int64_t, N> offset = {})
{
    walk_stretches<N>(std::move(shape), std::move(strides), offset, &run,
                      [](void *f, const Stretch<N> &stretch) { (*static_cast<Run *>(f))(stretch); });
}

/// Copies elements: index i of `shape` goes from `from + offset[0] + i · strides[0]` to `to + offset[1] + i ·
/// strides[1]`, offsets and strides in elements. The caller answers for the bounds.
void copy_elements(const Tensor &from, Tensor &to, const Shape &shape, const std::array<Shape, 2> &strides,
                   std::array<int64_t, 2> offset = {});

/// Copies the tensor into that output.
void copy_to_output(RunContext &, size_t index, const Tensor &);

/// The elements of a constant integer input. Nothing when it is absent or not constant; throws Error when it holds no
/// integers.
std::optional<std::vector<int64_t>> constant_integers(const ShapeContext &, size_t input);
/// The elements of an integer input of the running node. Throws Error when it holds no integers.
std::vector<int64_t> integers(const RunContext &, size_t input);
/// Number of elements of an input of rank 1; nothing when that is not known.
std::optional<size_t> length_of(const ShapeContext &, size_t input);

} // namespace leat
