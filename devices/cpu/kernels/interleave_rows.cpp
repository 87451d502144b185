#include "interleave_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "devices/cpu/kernels/interleave_rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace leat::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// One vector of each operand, from element `i` of the row on.
template <size_t operands, class D, class T = hn::TFromD<D>>
void interleave_vector(D d, const std::array<const T *, operands> &from, T *to, int64_t i)
{
    if constexpr (operands == 2)
        hn::StoreInterleaved2(hn::LoadU(d, from[0] + i), hn::LoadU(d, from[1] + i), d, to + 2 * i);
    else if constexpr (operands == 3)
        hn::StoreInterleaved3(hn::LoadU(d, from[0] + i), hn::LoadU(d, from[1] + i), hn::LoadU(d, from[2] + i), d,
                              to + 3 * i);
    else
        hn::StoreInterleaved4(hn::LoadU(d, from[0] + i), hn::LoadU(d, from[1] + i), hn::LoadU(d, from[2] + i),
                              hn::LoadU(d, from[3] + i), d, to + 4 * i);
}

/// In the longest vectors that are not longer than a row.
template <size_t operands, class D> void interleave_all(D d, const InterleavedRows &rows)
{
    using T = hn::TFromD<D>;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    if constexpr (hn::MaxLanes(d) * sizeof(T) > 16)
        if (rows.length < lanes)
            return interleave_all<operands>(hn::Half<D>(), rows);
    for (int64_t row = 0; row < rows.rows; row++) {
        std::array<const T *, operands> from;
        for (size_t k = 0; k < operands; k++)
            from[k] = reinterpret_cast<const T *>(rows.from[k] + row * rows.from_step[k]);
        T *to = reinterpret_cast<T *>(rows.to + row * rows.to_step);
        int64_t i = 0;
        for (; i + lanes <= rows.length; i += lanes)
            interleave_vector(d, from, to, i);
        if (i < rows.length && i > 0) // some of them again
            interleave_vector(d, from, to, rows.length - lanes);
        else
            for (; i < rows.length; i++)
                for (size_t k = 0; k < operands; k++)
                    to[static_cast<size_t>(i) * operands + k] = from[k][i];
    }
}

template <class T> void interleave_operands(const InterleavedRows &rows)
{
    const hn::ScalableTag<T> d;
    switch (rows.operands) {
    case 2: return interleave_all<2>(d, rows);
    case 3: return interleave_all<3>(d, rows);
    default: return interleave_all<4>(d, rows);
    }
}

void interleave(const InterleavedRows &rows, size_t element)
{
    switch (element) {
    case 1: return interleave_operands<uint8_t>(rows);
    case 2: return interleave_operands<uint16_t>(rows);
    default: return interleave_operands<uint32_t>(rows);
    }
}

/// In the longest vectors that are shorter than a row of the result; what lies after its last element is not read.
template <class D> void every_second(D d, std::byte *to, const std::byte *from, const TakenRows &rows)
{
    using T = hn::TFromD<D>;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    if constexpr (hn::MaxLanes(d) * sizeof(T) > 16)
        if (rows.length <= lanes)
            return every_second(hn::Half<D>(), to, from, rows);
    for (int64_t row = 0; row < rows.rows; row++, from += rows.from_step, to += rows.to_step) {
        const T *in = reinterpret_cast<const T *>(from);
        T *out = reinterpret_cast<T *>(to);
        hn::Vec<D> even, odd;
        int64_t i = 0;
        for (; i + lanes < rows.length; i += lanes) {
            hn::LoadInterleaved2(d, in + 2 * i, even, odd);
            hn::StoreU(even, d, out + i);
        }
        if (i > 0) { // some of them again
            hn::LoadInterleaved2(d, in + 2 * (rows.length - lanes) - 1, even, odd);
            hn::StoreU(odd, d, out + rows.length - lanes);
        } else {
            for (; i < rows.length; i++)
                out[i] = in[2 * i];
        }
    }
}

void take(std::byte *to, const std::byte *from, const TakenRows &rows, size_t element)
{
    switch (element) {
    case 1: return every_second(hn::ScalableTag<uint8_t>(), to, from, rows);
    case 2: return every_second(hn::ScalableTag<uint16_t>(), to, from, rows);
    default: return every_second(hn::ScalableTag<uint32_t>(), to, from, rows);
    }
}

#if HWY_TARGET != HWY_SCALAR
/// Puts vectors side by side that are half of all apart, number by number.
template <class D, size_t size> HWY_INLINE void interleave_halves(D d, hn::Vec<D> (&all)[size])
{
    hn::Vec<D> made[size];
#pragma GCC unroll 8
    for (size_t i = 0; i < size / 2; i++) {
        made[2 * i] = hn::InterleaveLower(d, all[i], all[i + size / 2]);
        made[2 * i + 1] = hn::InterleaveUpper(d, all[i], all[i + size / 2]);
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < size; i++)
        all[i] = made[i];
}
#endif

/// Squares of as many rows and columns as a vector of 16 bytes has numbers, as long as there are so many.
template <class T> void transpose_all(T *to, const T *from, const TransposedRows &all)
{
    int64_t r = 0;
#if HWY_TARGET != HWY_SCALAR
    constexpr size_t size = 16 / sizeof(T);
    constexpr auto step = static_cast<int64_t>(size);
    const hn::Full128<T> d;
    const int64_t whole_columns = all.columns / step * step;
    for (; r + step <= all.rows; r += step) {
        const T *row = from + r * all.from_step;
        for (int64_t c = 0; c < whole_columns; c += step) {
            hn::Vec<hn::Full128<T>> square[size];
#pragma GCC unroll 16
            for (size_t i = 0; i < size; i++)
                square[i] = hn::LoadU(d, row + static_cast<int64_t>(i) * all.from_step + c);
#pragma GCC unroll 4
            for (size_t round = 1; round < size; round *= 2)
                interleave_halves(d, square);
#pragma GCC unroll 16
            for (size_t i = 0; i < size; i++)
                hn::StoreU(square[i], d, to + (c + static_cast<int64_t>(i)) * all.to_step + r);
        }
        for (int64_t c = whole_columns; c < all.columns; c++)
            for (int64_t k = 0; k < step; k++)
                to[c * all.to_step + r + k] = row[k * all.from_step + c];
    }
#endif
    for (; r < all.rows; r++)
        for (int64_t c = 0; c < all.columns; c++)
            to[c * all.to_step + r] = from[r * all.from_step + c];
}

void transpose(std::byte *to, const std::byte *from, const TransposedRows &all, size_t element)
{
    const auto as = [&]<class T>(T) {
        transpose_all(reinterpret_cast<T *>(to), reinterpret_cast<const T *>(from), all);
    };
    switch (element) {
    case 1: return as(uint8_t());
    case 2: return as(uint16_t());
    default: return as(uint32_t());
    }
}

} // namespace
} // namespace leat::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace leat::cpu {

HWY_EXPORT(transpose);
HWY_EXPORT(interleave);
HWY_EXPORT(take);

void interleave_rows(const InterleavedRows &rows, size_t element)
{
    HWY_DYNAMIC_DISPATCH(interleave)(rows, element);
}

void take_every_second(std::byte *to, const std::byte *from, const TakenRows &rows, size_t element)
{
    HWY_DYNAMIC_DISPATCH(take)(to, from, rows, element);
}

void transpose_rows(std::byte *to, const std::byte *from, const TransposedRows &all, size_t element)
{
    HWY_DYNAMIC_DISPATCH(transpose)(to, from, all, element);
}

} // namespace leat::cpu
#endif
