#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace leat {

/// Element types. `undefined` marks an absent tensor.
enum class Type : uint8_t { undefined, f32, f16, bf16, f64, u8, s8, u16, s16, u32, s32, u64, s64, boolean };

/// Name as printed and parsed: "f32", "u8", "bool" …
std::string_view to_string(Type);
/// The type of that name; nothing when there is none.
std::optional<Type> type_from(std::string_view name);
/// Bytes of one element; 0 for `undefined`.
size_t size_of(Type);

/// IEEE 754 binary16, stored; arithmetic is done in float.
struct Half {
    uint16_t bits = 0;
    Half() = default;
    explicit Half(float);
    operator float() const;
};

/// The upper half of an f32, rounded to nearest even; arithmetic is done in float.
struct BFloat16 {
    uint16_t bits = 0;
    BFloat16() = default;
    explicit BFloat16(float value)
    {
        const auto u = std::bit_cast<uint32_t>(value);
        const bool number = value == value;
        bits = number ? static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16) : uint16_t(0x7fc0);
    }
    operator float() const { return std::bit_cast<float>(uint32_t(bits) << 16); }
};

template <class T> constexpr Type type_of = Type::undefined;
template <> inline constexpr Type type_of<float> = Type::f32;
template <> inline constexpr Type type_of<Half> = Type::f16;
template <> inline constexpr Type type_of<BFloat16> = Type::bf16;
template <> inline constexpr Type type_of<double> = Type::f64;
template <> inline constexpr Type type_of<uint8_t> = Type::u8;
template <> inline constexpr Type type_of<int8_t> = Type::s8;
template <> inline constexpr Type type_of<uint16_t> = Type::u16;
template <> inline constexpr Type type_of<int16_t> = Type::s16;
template <> inline constexpr Type type_of<uint32_t> = Type::u32;
template <> inline constexpr Type type_of<int32_t> = Type::s32;
template <> inline constexpr Type type_of<uint64_t> = Type::u64;
template <> inline constexpr Type type_of<int64_t> = Type::s64;
template <> inline constexpr Type type_of<bool> = Type::boolean;

/// Sizes, outermost first. -1 is a size that only the run knows.
using Shape = std::vector<int64_t>;

/// "1x3x224x224", "?x3" for unknown sizes, "scalar" for rank 0.
std::string to_string(const Shape &);
/// True when no size is -1.
bool is_static(const Shape &);
/// Product of the sizes; the shape must be static. Throws Error when it does not fit in 63 bits.
int64_t count_of(const Shape &);

/// A dense row-major array in host memory, 64-byte aligned when Leat allocated it.
///
/// Copying shares the memory, as with a shared pointer; `clone()` copies the elements. Not synchronised.
class Tensor {
  public:
    Tensor() = default;
    /// Allocates; the elements are not initialised. Throws Error when the shape is not static or too large.
    Tensor(Type, Shape);
    /// Uses memory of somebody else, which lives at least as long as `owner` (or as this, when there is no owner).
    static Tensor view(Type, Shape, void *data, std::shared_ptr<const void> owner = nullptr);
    /// Copies values: `Tensor::of<float>({2}, {1, 2})`.
    template <class T> static Tensor of(Shape shape, std::vector<T> values)
    {
        Tensor t(type_of<T>, std::move(shape));
        for (size_t i = 0; i < t.count() && i < values.size(); i++)
            t.data<T>()[i] = values[i];
        return t;
    }

    Type type() const { return type_; }
    const Shape &shape() const { return shape_; }
    int64_t dim(size_t axis) const { return shape_[axis]; }
    size_t rank() const { return shape_.size(); }
    /// Number of elements.
    size_t count() const { return count_; }
    size_t bytes() const { return count_ * size_of(type_); }
    /// False for a default-made tensor, which stands for "absent". A tensor of zero elements is present.
    explicit operator bool() const { return type_ != Type::undefined; }

    std::byte *raw() { return data_; }
    const std::byte *raw() const { return data_; }
    template <class T> T *data() { return reinterpret_cast<T *>(data_); }
    template <class T> const T *data() const { return reinterpret_cast<const T *>(data_); }
    template <class T> std::span<T> values() { return {data<T>(), count_}; }
    template <class T> std::span<const T> values() const { return {data<T>(), count_}; }

    /// The same memory under another shape of the same count.
    Tensor reshaped(Shape) const;
    Tensor clone() const;
    /// Whether the elements from `begin` to before `end` on each axis lie side by side. Throws Error when they lie
    /// outside.
    bool is_one_piece(const Shape &begin, const Shape &end) const;
    /// The elements from `begin` to before `end` on each axis, in the same memory. Throws Error when they lie outside,
    /// or not side by side: only the first axis that is longer than 1 may be cut. See copy_region() for others.
    Tensor region(const Shape &begin, const Shape &end) const;
    /// Elements converted one by one, as a C++ cast does, saturating for float to integer.
    Tensor converted(Type) const;
    /// Integers of any width, as int64 (for shapes, axes, indices).
    std::vector<int64_t> to_int64() const;

  private:
    Type type_ = Type::undefined;
    Shape shape_;
    size_t count_ = 0;
    std::byte *data_ = nullptr;
    std::shared_ptr<const void> owner_;
};

/// Calls `f.template operator()<T>()` with the C++ type of `type`. `undefined` throws Error.
template <class F> decltype(auto) visit_type(Type type, F &&f);

[[noreturn]] void throw_undefined_type();

/// Copies the elements from `begin` to before `end` on each axis to memory for as many, row-major. Throws Error when
/// they lie outside.
void copy_region(const Tensor &from, const Shape &begin, const Shape &end, std::byte *to);

template <class F> decltype(auto) visit_type(Type type, F &&f)
{
    switch (type) {
    case Type::f32: return f.template operator()<float>();
    case Type::f16: return f.template operator()<Half>();
    case Type::bf16: return f.template operator()<BFloat16>();
    case Type::f64: return f.template operator()<double>();
    case Type::u8: return f.template operator()<uint8_t>();
    case Type::s8: return f.template operator()<int8_t>();
    case Type::u16: return f.template operator()<uint16_t>();
    case Type::s16: return f.template operator()<int16_t>();
    case Type::u32: return f.template operator()<uint32_t>();
    case Type::s32: return f.template operator()<int32_t>();
    case Type::u64: return f.template operator()<uint64_t>();
    case Type::s64: return f.template operator()<int64_t>();
    case Type::boolean: return f.template operator()<bool>();
    case Type::undefined: break;
    }
    throw_undefined_type();
}

} // namespace leat
