#include "winograd_tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "devices/cpu/kernels/winograd_tiles.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After highway.h, which it needs.
#include "inference/bfloat16-inl.h"

#include <algorithm>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace leat::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, winograd_channels>;
using V = hn::Vec<D>;

V times(float factor, V value)
{
    return hn::Mul(hn::Set(D(), factor), value);
}

V plus(V sum, float factor, V value)
{
    return hn::MulAdd(hn::Set(D(), factor), value, sum);
}

/// B^T on six values.
template <class Store> HWY_INLINE void transform_input(V a, V b, V c, V d, V e, V f, Store store)
{
    const V even = plus(e, -4, c), odd = plus(d, -4, b);
    const V even2 = hn::Sub(e, c), odd2 = times(2, hn::Sub(d, b));
    store(0, plus(plus(e, -5, c), 4, a));
    store(1, hn::Add(even, odd));
    store(2, hn::Sub(even, odd));
    store(3, hn::Add(even2, odd2));
    store(4, hn::Sub(even2, odd2));
    store(5, plus(plus(f, -5, d), 4, b));
}

/// A^T on six values.
template <class Store> HWY_INLINE void transform_output(V a, V b, V c, V d, V e, V f, Store store)
{
    const V sum = hn::Add(b, c), difference = hn::Sub(b, c);
    const V sum2 = hn::Add(d, e), difference2 = hn::Sub(d, e);
    store(0, hn::Add(hn::Add(a, sum), sum2));
    store(1, plus(difference, 2, difference2));
    store(2, plus(sum, 4, sum2));
    store(3, hn::Add(f, plus(difference, 8, difference2)));
}

HWY_INLINE V pixel_at(const float *from)
{
    return hn::LoadU(D(), from);
}

HWY_INLINE V pixel_at(const uint16_t *from)
{
    return leat::HWY_NAMESPACE::load_bfloat16(D(), from);
}

template <bool whole, class T>
void input_tile(float *HWY_RESTRICT to, int64_t to_stride, const T *HWY_RESTRICT from, int64_t row_stride,
                int64_t channels, TileRange rows, TileRange columns)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    HWY_ALIGN float between[winograd_points * winograd_channels];
    for (int64_t c = 0; c < channels; c += lanes) {
        for (int64_t x = 0; x < winograd_in; x++) {
            auto pixel = [&](int64_t y) {
                if (!whole && (y < rows.first || y >= rows.last || x < columns.first || x >= columns.last))
                    return hn::Zero(d);
                return pixel_at(from + y * row_stride + x * channels + c);
            };
            transform_input(pixel(0), pixel(1), pixel(2), pixel(3), pixel(4), pixel(5), [&](int64_t y, V value) {
                hn::Store(value, d, between + (y * winograd_in + x) * winograd_channels);
            });
        }
        for (int64_t y = 0; y < winograd_in; y++) {
            const float *row = between + y * winograd_in * winograd_channels;
            auto at = [&](int64_t x) { return hn::Load(d, row + x * winograd_channels); };
            transform_input(at(0), at(1), at(2), at(3), at(4), at(5), [&](int64_t x, V value) {
                hn::StoreU(value, d, to + (y * winograd_in + x) * to_stride + c);
            });
        }
    }
}

template <class T>
void input_of(float *to, int64_t to_stride, const std::byte *from, int64_t row_stride, int64_t channels, TileRange rows,
              TileRange columns)
{
    const bool whole = rows.first <= 0 && rows.last >= winograd_in && columns.first <= 0 && columns.last >= winograd_in;
    (whole ? input_tile<true, T> : input_tile<false, T>)(to, to_stride, reinterpret_cast<const T *>(from), row_stride,
                                                         channels, rows, columns);
}

void input(float *to, int64_t to_stride, const std::byte *from, Type type, int64_t row_stride, int64_t channels,
           TileRange rows, TileRange columns)
{
    (type == Type::f32 ? input_of<float> : input_of<uint16_t>)(to, to_stride, from, row_stride, channels, rows,
                                                               columns);
}

void output(float *HWY_RESTRICT to, int64_t row_stride, int64_t rows, int64_t columns, const float *HWY_RESTRICT from,
            int64_t from_stride, int64_t channels, const float *bias)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    HWY_ALIGN float between[winograd_out * winograd_in * winograd_channels];
    for (int64_t c = 0; c < channels; c += lanes) {
        for (int64_t x = 0; x < winograd_in; x++) {
            auto point = [&](int64_t y) { return hn::LoadU(d, from + (y * winograd_in + x) * from_stride + c); };
            transform_output(point(0), point(1), point(2), point(3), point(4), point(5), [&](int64_t y, V value) {
                hn::Store(value, d, between + (y * winograd_in + x) * winograd_channels);
            });
        }
        const int64_t count = std::min(lanes, channels - c);
        HWY_ALIGN float rest[winograd_channels] = {};
        if (bias && count < lanes)
            std::memcpy(rest, bias + c, static_cast<size_t>(count) * sizeof(float));
        const V offset = !bias ? hn::Zero(d) : count < lanes ? hn::Load(d, rest) : hn::LoadU(d, bias + c);
        for (int64_t y = 0; y < rows; y++) {
            const float *row = between + y * winograd_in * winograd_channels;
            auto at = [&](int64_t x) { return hn::Load(d, row + x * winograd_channels); };
            transform_output(at(0), at(1), at(2), at(3), at(4), at(5), [&](int64_t x, V value) {
                float *pixel = to + y * row_stride + x * channels + c;
                if (x >= columns)
                    return;
                if (count == lanes) {
                    hn::StoreU(hn::Add(value, offset), d, pixel);
                } else {
                    hn::Store(hn::Add(value, offset), d, rest);
                    std::memcpy(pixel, rest, static_cast<size_t>(count) * sizeof(float));
                }
            });
        }
    }
}

using Exact = hn::CappedTag<double, 8>;

/// G on three values.
template <class Store>
HWY_INLINE void transform_filter(hn::Vec<Exact> a, hn::Vec<Exact> b, hn::Vec<Exact> c, Store store)
{
    const Exact d;
    const auto outer = hn::Mul(hn::Set(d, 1 / 6.), hn::Add(a, c)), middle = hn::Mul(hn::Set(d, 1 / 6.), b);
    const auto outer2 = hn::MulAdd(hn::Set(d, 1 / 24.), a, hn::Mul(hn::Set(d, 1 / 6.), c));
    const auto middle2 = hn::Mul(hn::Set(d, 1 / 12.), b);
    store(0, hn::Mul(hn::Set(d, 1 / 4.), a));
    store(1, hn::Neg(hn::Add(outer, middle)));
    store(2, hn::Sub(middle, outer));
    store(3, hn::Add(outer2, middle2));
    store(4, hn::Sub(outer2, middle2));
    store(5, c);
}

void filters(float *HWY_RESTRICT to, int64_t to_stride, const float *HWY_RESTRICT from, int64_t filter_stride,
             int64_t count)
{
    const Exact d;
    const hn::Rebind<float, Exact> narrow;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    HWY_ALIGN double taps[9 * 8] = {}, between[winograd_in * 3 * 8];
    HWY_ALIGN float rest[8];
    for (int64_t first = 0; first < count; first += lanes) {
        const int64_t here = std::min(lanes, count - first);
        for (int64_t f = 0; f < here; f++)
            for (int64_t tap = 0; tap < 9; tap++)
                taps[tap * lanes + f] = from[(first + f) * filter_stride + tap];
        for (int64_t x = 0; x < 3; x++) {
            auto tap = [&](int64_t y) { return hn::Load(d, taps + (y * 3 + x) * lanes); };
            transform_filter(tap(0), tap(1), tap(2), [&](int64_t y, hn::Vec<Exact> value) {
                hn::Store(value, d, between + (y * 3 + x) * lanes);
            });
        }
        for (int64_t y = 0; y < winograd_in; y++) {
            auto at = [&](int64_t x) { return hn::Load(d, between + (y * 3 + x) * lanes); };
            transform_filter(at(0), at(1), at(2), [&](int64_t x, hn::Vec<Exact> value) {
                float *point = to + (y * winograd_in + x) * to_stride + first;
                const auto rounded = hn::DemoteTo(narrow, value);
                if (here == lanes)
                    return hn::StoreU(rounded, narrow, point);
                hn::Store(rounded, narrow, rest);
                std::memcpy(point, rest, static_cast<size_t>(here) * sizeof(float));
            });
        }
    }
}

} // namespace
} // namespace leat::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace leat::cpu {

HWY_EXPORT(input);
HWY_EXPORT(output);
HWY_EXPORT(filters);

void winograd_input(float *to, int64_t to_stride, const std::byte *from, Type type, int64_t row_stride,
                    int64_t channels, TileRange rows, TileRange columns)
{
    HWY_DYNAMIC_DISPATCH(input)(to, to_stride, from, type, row_stride, channels, rows, columns);
}

void winograd_output(float *to, int64_t row_stride, int64_t rows, int64_t columns, const float *from,
                     int64_t from_stride, int64_t channels, const float *bias)
{
    HWY_DYNAMIC_DISPATCH(output)(to, row_stride, rows, columns, from, from_stride, channels, bias);
}

void winograd_filters(float *to, int64_t to_stride, const float *from, int64_t filter_stride, int64_t count)
{
    HWY_DYNAMIC_DISPATCH(filters)(to, to_stride, from, filter_stride, count);
}

} // namespace leat::cpu
#endif
