#include "winograd_tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "devices/cpu/kernels/winograd_tiles.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After highway.h, which it needs.
#include <hwy/cache_control.h>
// After foreach_target.h, which includes it again.
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

/// Gets a line that will be written, as a store would wait for it.
HWY_INLINE void fetch(const float *line)
{
    hwy::Prefetch(line);
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
void input_tile(const WinogradPoints &points, const T *HWY_RESTRICT from, int64_t row_stride, int64_t channels,
                TileRange rows, TileRange columns)
{
    const D d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    HWY_ALIGN float between[winograd_points * winograd_channels];
    for (int64_t c = 0; c < channels; c += lanes) {
        float *HWY_RESTRICT to = points.to + c / points.chunk * points.chunk_stride + c % points.chunk;
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
                float *point = to + (y * winograd_in + x) * points.stride;
                fetch(point + winograd_channels);
                hn::StoreU(value, d, point);
            });
        }
    }
}

template <class T>
void input_of(const WinogradPoints &to, const std::byte *from, int64_t row_stride, int64_t channels, TileRange rows,
              TileRange columns)
{
    const bool whole = rows.first <= 0 && rows.last >= winograd_in && columns.first <= 0 && columns.last >= winograd_in;
    (whole ? input_tile<true, T> : input_tile<false, T>)(to, reinterpret_cast<const T *>(from), row_stride, channels,
                                                         rows, columns);
}

void input(const WinogradPoints &to, const std::byte *from, Type type, int64_t row_stride, int64_t channels,
           TileRange rows, TileRange columns)
{
    (type == Type::f32 ? input_of<float> : input_of<uint16_t>)(to, from, row_stride, channels, rows, columns);
}

void output(const WinogradTile &tile, const float *HWY_RESTRICT from, int64_t from_stride, const float *bias,
            const std::optional<std::array<float, 2>> &bounds)
{
    const D d;
    const int64_t channels = tile.channels;
    const V lowest = hn::Set(d, bounds ? (*bounds)[0] : 0), highest = hn::Set(d, bounds ? (*bounds)[1] : 0);
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
        for (int64_t y = 0; y < tile.rows; y++) {
            const float *row = between + y * winograd_in * winograd_channels;
            auto at = [&](int64_t x) { return hn::Load(d, row + x * winograd_channels); };
            transform_output(at(0), at(1), at(2), at(3), at(4), at(5), [&](int64_t x, V value) {
                if (x >= tile.columns)
                    return;
                float *pixel = tile.to + y * tile.row_stride + x * tile.pixel_stride + c;
                fetch(pixel + winograd_channels);
                V kept = hn::Add(value, offset);
                if (bounds)
                    kept = hn::Min(hn::Max(kept, lowest), highest);
                if (count == lanes) {
                    hn::StoreU(kept, d, pixel);
                } else {
                    hn::Store(kept, d, rest);
                    std::memcpy(pixel, rest, static_cast<size_t>(count) * sizeof(float));
                }
            });
        }
    }
}

/// Two rows of G, which share most, on three values.
template <int pair> HWY_INLINE std::array<V, 2> transform_filter(V a, V b, V c)
{
    if constexpr (pair == 0)
        return {times(1 / 4.f, a), c};
    if constexpr (pair == 1) {
        const V outer = times(-1 / 6.f, hn::Add(a, c));
        return {plus(outer, -1 / 6.f, b), plus(outer, 1 / 6.f, b)};
    }
    const V outer = plus(times(1 / 6.f, c), 1 / 24.f, a);
    return {plus(outer, 1 / 12.f, b), plus(outer, -1 / 12.f, b)};
}

/// A vector of filters; `tap`: gives their values there.
template <int pair, class Tap> HWY_INLINE void transform_filters(float *HWY_RESTRICT to, int64_t to_stride, Tap tap)
{
    const D d;
    std::array<V, 2> columns[3];
#pragma GCC unroll 3
    for (int x = 0; x < 3; x++)
        columns[x] = transform_filter<pair>(tap(x), tap(3 + x), tap(6 + x));
#pragma GCC unroll 2
    for (int row = 0; row < 2; row++) {
        const V a = columns[0][row], b = columns[1][row], c = columns[2][row];
        const auto ends = transform_filter<0>(a, b, c), ones = transform_filter<1>(a, b, c),
                   twos = transform_filter<2>(a, b, c);
        int x = 0;
        for (const V value : {ends[0], ones[0], ones[1], twos[0], twos[1], ends[1]}) {
            float *point = to + (row * winograd_in + x++) * to_stride;
            fetch(point + 2 * winograd_channels);
            hn::StoreU(value, d, point);
        }
    }
}

template <int pair>
void filters_of(float *to, int64_t to_stride, const std::byte *from, Type type, int64_t tap_stride, int64_t ins,
                int64_t outs)
{
    const D d;
    const hn::Rebind<uint32_t, D> bits;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    if (type == Type::f32) {
        for (int64_t i = 0; i < ins * outs; i += lanes)
            transform_filters<pair>(to + i, to_stride, [&](int tap) HWY_ATTR {
                return hn::LoadU(d, reinterpret_cast<const float *>(from + tap * tap_stride) + i);
            });
        return;
    }
    for (int64_t i = 0; i < ins; i += 2)
        for (int64_t o = 0; o < outs; o += lanes) {
            auto both = [&](int tap) HWY_ATTR {
                return hn::LoadU(bits, reinterpret_cast<const uint32_t *>(from + tap * tap_stride) + i / 2 * outs + o);
            };
            transform_filters<pair>(to + i * outs + o, to_stride,
                                    [&](int tap) HWY_ATTR { return hn::BitCast(d, hn::ShiftLeft<16>(both(tap))); });
            transform_filters<pair>(to + (i + 1) * outs + o, to_stride, [&](int tap) HWY_ATTR {
                return hn::BitCast(d, hn::And(both(tap), hn::Set(bits, 0xffff0000)));
            });
        }
}

void filters(float *to, int64_t to_stride, const std::byte *from, Type type, int64_t tap_stride, int64_t ins,
             int64_t outs, int pair)
{
    (pair == 0   ? filters_of<0>
     : pair == 1 ? filters_of<1>
                 : filters_of<2>)(to, to_stride, from, type, tap_stride, ins, outs);
}

} // namespace
} // namespace leat::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace leat::cpu {

HWY_EXPORT(input);
HWY_EXPORT(output);
HWY_EXPORT(filters);

void winograd_input(const WinogradPoints &to, const std::byte *from, Type type, int64_t row_stride, int64_t channels,
                    TileRange rows, TileRange columns)
{
    HWY_DYNAMIC_DISPATCH(input)(to, from, type, row_stride, channels, rows, columns);
}

void winograd_output(const WinogradTile &to, const float *from, int64_t from_stride, const float *bias,
                     const std::optional<std::array<float, 2>> &bounds)
{
    HWY_DYNAMIC_DISPATCH(output)(to, from, from_stride, bias, bounds);
}

void winograd_filters(float *to, int64_t to_stride, const std::byte *from, Type type, int64_t tap_stride, int64_t ins,
                      int64_t outs, int pair)
{
    HWY_DYNAMIC_DISPATCH(filters)(to, to_stride, from, type, tap_stride, ins, outs, pair);
}

} // namespace leat::cpu
#endif
