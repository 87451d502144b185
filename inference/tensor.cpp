#include <leat/error.h>
#include <leat/tensor.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include <sys/mman.h>

namespace leat {
namespace {

struct TypeRow {
    std::string_view name;
    size_t size;
};

constexpr TypeRow type_rows[] = {{"undefined", 0}, {"f32", 4}, {"f16", 2}, {"bf16", 2}, {"f64", 8},
                                 {"u8", 1},        {"s8", 1},  {"u16", 2}, {"s16", 2},  {"u32", 4},
                                 {"s32", 4},       {"u64", 8}, {"s64", 8}, {"bool", 1}};

constexpr size_t huge_page = size_t(2) << 20;

/// Asks for huge pages where whole ones fit: kernels walk weights and activations far apart, and each small page costs
/// a look into the page tables.
void use_huge_pages([[maybe_unused]] std::byte *data, [[maybe_unused]] size_t bytes)
{
#ifdef MADV_HUGEPAGE
    ::madvise(data, bytes / huge_page * huge_page, MADV_HUGEPAGE); // a wish, which may be refused
#endif
}

std::shared_ptr<std::byte> allocate(size_t bytes)
{
    const std::align_val_t alignment{bytes >= huge_page ? huge_page : 64};
    auto *data = static_cast<std::byte *>(::operator new(std::max<size_t>(bytes, 1), alignment, std::nothrow));
    if (!data)
        throw Error("no memory for a tensor of " + std::to_string(bytes) + " bytes");
    if (bytes >= huge_page)
        use_huge_pages(data, bytes);
    return {data, [alignment](std::byte *p) { ::operator delete(p, alignment); }};
}

template <class To, class From> To convert(From value)
{
    if constexpr (std::is_same_v<To, bool>) {
        return static_cast<float>(value) != 0.f;
    } else if constexpr (std::is_integral_v<To> && !std::is_integral_v<From>) {
        using Wide = std::conditional_t<std::is_same_v<From, double>, double, float>;
        const Wide v = static_cast<Wide>(value);
        if (std::isnan(v))
            return 0;
        if (v <= static_cast<Wide>(std::numeric_limits<To>::lowest()))
            return std::numeric_limits<To>::lowest();
        if (v >= static_cast<Wide>(std::numeric_limits<To>::max()))
            return std::numeric_limits<To>::max();
        return static_cast<To>(v);
    } else if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>) {
        return To(static_cast<float>(value));
    } else if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>) {
        return static_cast<To>(static_cast<float>(value));
    } else {
        return static_cast<To>(value);
    }
}

} // namespace

std::string_view to_string(Type type)
{
    return type_rows[static_cast<size_t>(type)].name;
}

std::optional<Type> type_from(std::string_view name)
{
    for (size_t i = 0; i < std::size(type_rows); i++)
        if (type_rows[i].name == name)
            return static_cast<Type>(i);
    return {};
}

size_t size_of(Type type)
{
    return type_rows[static_cast<size_t>(type)].size;
}

void throw_undefined_type()
{
    throw Error("a tensor is absent where one is needed");
}

Half::Half(float value)
{
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const uint32_t sign = (u >> 16) & 0x8000u;
    const uint32_t magnitude = u & 0x7fffffffu;
    uint32_t half;
    if (magnitude > 0x7f800000u) {
        half = 0x7e00u;
    } else if (magnitude >= 0x477ff000u) {
        half = 0x7c00u;
    } else if (magnitude < 0x38800000u) {
        // Subnormal: adding 0.5 lets the float unit align and round the mantissa.
        half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    } else {
        half = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    }
    bits = static_cast<uint16_t>(sign | half);
}

Half::operator float() const
{
    const uint32_t sign = (uint32_t(bits) & 0x8000u) << 16;
    const uint32_t exponent = (uint32_t(bits) >> 10) & 0x1fu;
    const uint32_t mantissa = uint32_t(bits) & 0x3ffu;
    if (exponent == 0x1f)
        return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
    if (exponent == 0) {
        const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

std::string to_string(const Shape &shape)
{
    if (shape.empty())
        return "scalar";
    std::string text;
    for (int64_t size : shape)
        text += (text.empty() ? "" : "x") + (size < 0 ? "?" : std::to_string(size));
    return text;
}

bool is_static(const Shape &shape)
{
    return std::all_of(shape.begin(), shape.end(), [](int64_t size) { return size >= 0; });
}

int64_t count_of(const Shape &shape)
{
    int64_t count = 1;
    bool overflow = false;
    for (int64_t size : shape) {
        if (size < 0)
            throw Error("the shape " + to_string(shape) + " has a size that is not known");
        overflow |= __builtin_mul_overflow(count, size, &count);
    }
    if (std::find(shape.begin(), shape.end(), 0) != shape.end())
        return 0;
    if (overflow)
        throw Error("the shape " + to_string(shape) + " has more elements than 63 bits count");
    return count;
}

Tensor::Tensor(Type type, Shape shape)
    : type_(type), shape_(std::move(shape)), count_(static_cast<size_t>(count_of(shape_)))
{
    constexpr size_t limit = size_t(1) << 40;
    if (count_ > limit / 8)
        throw Error("a tensor of shape " + to_string(shape_) + " is larger than 1 TiB");
    auto memory = allocate(bytes());
    data_ = memory.get();
    owner_ = std::move(memory);
}

Tensor Tensor::view(Type type, Shape shape, void *data, std::shared_ptr<const void> owner)
{
    Tensor t;
    t.type_ = type;
    t.count_ = static_cast<size_t>(count_of(shape));
    t.shape_ = std::move(shape);
    t.data_ = static_cast<std::byte *>(data);
    t.owner_ = std::move(owner);
    return t;
}

Tensor Tensor::reshaped(Shape shape) const
{
    if (static_cast<size_t>(count_of(shape)) != count_)
        throw Error("a tensor of shape " + to_string(shape_) + " cannot take the shape " + to_string(shape));
    Tensor t = *this;
    t.shape_ = std::move(shape);
    return t;
}

namespace {

/// Sizes of the region. Throws Error when it is not within the tensor.
Shape region_shape(const Tensor &tensor, const Shape &begin, const Shape &end)
{
    bool inside = begin.size() == tensor.rank() && end.size() == tensor.rank();
    Shape sizes;
    for (size_t axis = 0; inside && axis < begin.size(); axis++) {
        inside = begin[axis] >= 0 && begin[axis] <= end[axis] && end[axis] <= tensor.dim(axis);
        sizes.push_back(end[axis] - begin[axis]);
    }
    if (!inside)
        throw Error("the region from " + to_string(begin) + " to before " + to_string(end) +
                    " does not lie within a tensor of " + to_string(tensor.shape()));
    return sizes;
}

/// Axes after this one are whole: a run of elements from it on lies side by side.
size_t last_cut_axis(const Tensor &tensor, const Shape &sizes)
{
    size_t axis = sizes.size();
    while (axis > 0 && sizes[axis - 1] == tensor.dim(axis - 1))
        axis--;
    return axis == 0 ? 0 : axis - 1;
}

int64_t offset_of(const Tensor &tensor, const Shape &at)
{
    int64_t offset = 0;
    for (size_t axis = 0; axis < at.size(); axis++)
        offset = offset * tensor.dim(axis) + at[axis];
    return offset;
}

} // namespace

bool Tensor::is_one_piece(const Shape &begin, const Shape &end) const
{
    const Shape sizes = region_shape(*this, begin, end);
    const auto before_cut = sizes.begin() + static_cast<ptrdiff_t>(last_cut_axis(*this, sizes));
    return std::all_of(sizes.begin(), before_cut, [](int64_t size) { return size <= 1; });
}

Tensor Tensor::region(const Shape &begin, const Shape &end) const
{
    if (!is_one_piece(begin, end))
        throw Error("the region from " + to_string(begin) + " to before " + to_string(end) + " of a tensor of " +
                    to_string(shape_) + " does not lie in one piece; copy it");
    const auto offset = static_cast<size_t>(offset_of(*this, begin)) * size_of(type_);
    return view(type_, region_shape(*this, begin, end), data_ + offset, owner_);
}

void copy_region(const Tensor &from, const Shape &begin, const Shape &end, std::byte *to)
{
    const Shape sizes = region_shape(from, begin, end);
    if (count_of(sizes) == 0)
        return;
    const size_t cut = last_cut_axis(from, sizes), element = size_of(from.type());
    const Shape tail(sizes.begin() + static_cast<ptrdiff_t>(cut), sizes.end());
    const auto run = static_cast<size_t>(count_of(tail)) * element;
    Shape at = begin;
    const auto runs = static_cast<size_t>(count_of(sizes)) * element / run;
    for (size_t i = 0; i < runs; i++, to += run) {
        std::memcpy(to, from.raw() + static_cast<size_t>(offset_of(from, at)) * element, run);
        for (size_t axis = cut; axis-- > 0;) {
            if (++at[axis] < end[axis])
                break;
            at[axis] = begin[axis];
        }
    }
}

Tensor Tensor::clone() const
{
    if (!*this)
        return {};
    Tensor t(type_, shape_);
    std::memcpy(t.data_, data_, bytes());
    return t;
}

Tensor Tensor::converted(Type to) const
{
    if (to == type_)
        return *this;
    Tensor result(to, shape_);
    visit_type(type_, [&]<class From>() {
        visit_type(to, [&]<class To>() {
            std::transform(data<From>(), data<From>() + count_, result.data<To>(), convert<To, From>);
        });
    });
    return result;
}

std::vector<int64_t> Tensor::to_int64() const
{
    const Tensor wide = converted(Type::s64);
    return {wide.data<int64_t>(), wide.data<int64_t>() + count_};
}

} // namespace leat
