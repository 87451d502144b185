#include "preprocess/row_kernels.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "preprocess/row_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After highway.h, which it needs.
#include "inference/bfloat16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace leat {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// Tables are made for vectors of a known size, up to 16 floats.
#if HWY_HAVE_SCALABLE
using FloatsTag = hn::CappedTag<float, 4>;
#else
using FloatsTag = hn::ScalableTag<float>;
#endif
using IntegersTag = hn::Repartition<int32_t, FloatsTag>;
using UnsignedTag = hn::Repartition<uint32_t, FloatsTag>;
using Floats = hn::Vec<FloatsTag>;
constexpr int lanes = static_cast<int>(hn::MaxLanes(FloatsTag()));

#if HWY_TARGET == HWY_SCALAR

void ResampleRow(const uint8_t *samples, const ColumnTable &table, bool add, float *out)
{
    for (int x = 0; x < table.count; x++) {
        const int first = table.narrow ? table.starts[x / ColumnTable::group] + table.picks[4 * x] : table.starts[x];
        const int sum = samples[first] * table.weights[2 * x] + samples[first + 1] * table.weights[2 * x + 1];
        out[x] = (add ? out[x] : 0) + static_cast<float>(sum) * (1.0f / ColumnTable::one);
    }
}

#else

using BytesTag = hn::Repartition<uint8_t, FloatsTag>;
using PairsTag = hn::Repartition<int16_t, BytesTag>;

/// One 16-byte block for each group, from its own start.
template <class D> HWY_INLINE hn::Vec<D> load_windows(D d, const uint8_t *samples, const int32_t *starts)
{
    if constexpr (hn::MaxLanes(d) == 16) {
        return hn::LoadU(d, samples + starts[0]);
    } else {
        const hn::Half<D> half;
        return hn::Combine(d, load_windows(half, samples, starts + hn::MaxLanes(half) / 16),
                           load_windows(half, samples, starts));
    }
}

/// Sample pairs (x, x + 1) as 16-bit numbers.
template <class D16>
HWY_INLINE hn::Vec<D16> narrow_pairs(D16 pairs, const uint8_t *samples, const ColumnTable &table, int x)
{
    const BytesTag bytes;
    const auto windows = load_windows(bytes, samples, table.starts.get() + x / ColumnTable::group);
    return hn::BitCast(pairs, hn::TableLookupBytesOr0(windows, hn::LoadU(bytes, table.picks.get() + 4 * x)));
}

template <class D16>
HWY_INLINE hn::Vec<D16> wide_pairs(D16 pairs, const uint8_t *samples, const ColumnTable &table, int x)
{
    const IntegersTag d32;
    const auto four =
        hn::GatherOffset(d32, reinterpret_cast<const int32_t *>(samples), hn::LoadU(d32, table.starts.get() + x));
    const auto first = hn::And(four, hn::Set(d32, 0xff));
    const auto second = hn::ShiftLeft<8>(hn::And(four, hn::Set(d32, 0xff00)));
    return hn::BitCast(pairs, hn::Or(first, second));
}

template <bool narrow, bool add> void resample(const uint8_t *samples, const ColumnTable &table, float *out)
{
    const PairsTag d16;
    const IntegersTag d32;
    const FloatsTag df;
    const auto unit = hn::Set(df, 1.0f / ColumnTable::one);
    for (int x = 0; x < table.count; x += lanes) {
        const auto pairs = narrow ? narrow_pairs(d16, samples, table, x) : wide_pairs(d16, samples, table, x);
        auto odd = hn::Zero(d32);
        const auto even =
            hn::ReorderWidenMulAccumulate(d32, pairs, hn::LoadU(d16, table.weights.get() + 2 * x), hn::Zero(d32), odd);
        const auto sums = hn::ConvertTo(df, hn::RearrangeToOddPlusEven(even, odd));
        hn::StoreU(add ? hn::MulAdd(sums, unit, hn::LoadU(df, out + x)) : hn::Mul(sums, unit), df, out + x);
    }
}

void ResampleRow(const uint8_t *samples, const ColumnTable &table, bool add, float *out)
{
    if (add)
        table.narrow ? resample<true, true>(samples, table, out) : resample<false, true>(samples, table, out);
    else
        table.narrow ? resample<true, false>(samples, table, out) : resample<false, false>(samples, table, out);
}

#endif

void ScaleRow(const float *row, int count, float share, bool add, float *out)
{
    const FloatsTag d;
    const Floats factor = hn::Set(d, share);
    for (int x = 0; x < count; x += lanes) {
        const Floats scaled = hn::Mul(hn::LoadU(d, row + x), factor);
        hn::StoreU(add ? hn::Add(scaled, hn::LoadU(d, out + x)) : scaled, d, out + x);
    }
}

/// Splits whole vectors; returns how many pixels.
template <int step> int split_vectors(const uint8_t *row, int count, uint8_t *const *out)
{
    const hn::ScalableTag<uint8_t> d;
    const int width = static_cast<int>(hn::Lanes(d));
    int x = 0;
    for (; x + width <= count; x += width) {
        hn::Vec<decltype(d)> v0, v1, v2, v3;
        if constexpr (step == 2) {
            hn::LoadInterleaved2(d, row + step * x, v0, v1);
        } else if constexpr (step == 3) {
            hn::LoadInterleaved3(d, row + step * x, v0, v1, v2);
            hn::StoreU(v2, d, out[2] + x);
        } else {
            hn::LoadInterleaved4(d, row + step * x, v0, v1, v2, v3);
            hn::StoreU(v2, d, out[2] + x);
        }
        hn::StoreU(v0, d, out[0] + x);
        hn::StoreU(v1, d, out[1] + x);
    }
    return x;
}

template <int step> void split(const uint8_t *row, int count, uint8_t *const *out)
{
    constexpr int kept = std::min(step, 3);
    for (int x = split_vectors<step>(row, count, out); x < count; x++)
        for (int i = 0; i < kept; i++)
            out[i][x] = row[step * x + i];
}

void SplitRow(const uint8_t *row, int count, int step, uint8_t *const *out)
{
    switch (step) {
    case 1: std::memcpy(out[0], row, static_cast<size_t>(count)); return;
    case 2: split<2>(row, count, out); return;
    case 3: split<3>(row, count, out); return;
    default: split<4>(row, count, out);
    }
}

/// Four bytes from each offset on. Where the plane ends before, zeros in place of what lies beyond.
HWY_INLINE hn::Vec<UnsignedTag> four_bytes(const SampledPlane &plane, hn::Vec<IntegersTag> offsets)
{
    const IntegersTag di;
    const UnsignedTag du;
    const auto within = hn::Min(offsets, hn::Set(di, plane.last));
    const auto bytes = hn::GatherOffset(di, reinterpret_cast<const int32_t *>(plane.lowest), within);
    return hn::Shr(hn::BitCast(du, bytes), hn::BitCast(du, hn::ShiftLeft<3>(hn::Sub(offsets, within))));
}

template <int byte> HWY_INLINE Floats byte_of(hn::Vec<UnsignedTag> bytes)
{
    const auto number = hn::And(hn::ShiftRight<8 * byte>(bytes), hn::Set(UnsignedTag(), 0xffu));
    return hn::ConvertTo(FloatsTag(), hn::BitCast(IntegersTag(), number));
}

HWY_INLINE Floats lerp(Floats from, Floats to, Floats weight)
{
    return hn::MulAdd(hn::Sub(to, from), weight, from);
}

/// Where a position lies between two samples of an axis.
struct Between {
    hn::Vec<IntegersTag> sample; ///< the first of the two
    Floats weight;               ///< of the second
    hn::Vec<IntegersTag> second; ///< distance to it: `distance`, or 0 where its weight is
};

HWY_INLINE Between between(Floats position, bool halved, float low, float high, int32_t distance)
{
    const FloatsTag d;
    const IntegersTag di;
    if (halved)
        position = hn::MulAdd(position, hn::Set(d, 0.5f), hn::Set(d, -0.25f));
    position = hn::Min(hn::Max(position, hn::Set(d, low)), hn::Set(d, high));
    Between result;
    result.sample = hn::ConvertTo(di, position);
    result.weight = hn::Sub(position, hn::ConvertTo(d, result.sample));
    result.second = hn::IfThenElseZero(hn::RebindMask(di, hn::Gt(result.weight, hn::Zero(d))), hn::Set(di, distance));
    return result;
}

/// The two pixels of a row between which a position lies: byte `i` of the first and of the second.
template <int step> struct PixelPair {
    hn::Vec<UnsignedTag> one, other;

    HWY_INLINE PixelPair(const SampledPlane &plane, hn::Vec<IntegersTag> offsets, hn::Vec<IntegersTag> second)
        : one(four_bytes(plane, offsets)), other(one)
    {
        if constexpr (step > 2)
            other = four_bytes(plane, hn::Add(offsets, second));
    }

    template <int byte> HWY_INLINE Floats at(Floats weight) const
    {
        return lerp(byte_of<byte>(one), byte_of < step < 3 ? step + byte : byte > (other), weight);
    }
};

template <int step> void sample(const SampledPlane &plane, const PointRow &row, int first, int last, float *const *out)
{
    const FloatsTag d;
    const IntegersTag di;
    for (int x = first; x < last; x += lanes) {
        const Floats xs = hn::Iota(d, static_cast<float>(x));
        const Between column =
            between(hn::MulAdd(xs, hn::Set(d, row.a), hn::Set(d, row.u)), plane.halved, plane.left, plane.right, step);
        const Between line = between(hn::MulAdd(xs, hn::Set(d, row.c), hn::Set(d, row.v)), plane.halved, plane.top,
                                     plane.bottom, plane.stride);
        const auto upper = hn::Add(hn::Add(hn::Set(di, plane.first), hn::Mul(line.sample, hn::Set(di, plane.stride))),
                                   hn::Mul(column.sample, hn::Set(di, step)));
        const PixelPair<step> above(plane, upper, column.second),
            below(plane, hn::Add(upper, line.second), column.second);
        const auto store = [&](Floats top, Floats bottom, float *to) {
            hn::StoreU(lerp(top, bottom, line.weight), d, to + x);
        };
        store(above.template at<0>(column.weight), below.template at<0>(column.weight), out[0]);
        if constexpr (step > 1)
            store(above.template at<1>(column.weight), below.template at<1>(column.weight), out[1]);
        if constexpr (step > 2)
            store(above.template at<2>(column.weight), below.template at<2>(column.weight), out[2]);
    }
}

void SampleRow(const SampledPlane &plane, const PointRow &row, int first, int last, float *const *out)
{
    switch (plane.step) {
    case 1: sample<1>(plane, row, first, last, out); return;
    case 2: sample<2>(plane, row, first, last, out); return;
    case 3: sample<3>(plane, row, first, last, out); return;
    default: sample<4>(plane, row, first, last, out);
    }
}

HWY_INLINE Floats between_rows(const RowMix &mix, int component, int x)
{
    const FloatsTag d;
    const Floats upper = hn::LoadU(d, mix.upper[component] + x), lower = hn::LoadU(d, mix.lower[component] + x);
    return lerp(upper, lower, hn::Set(d, mix.weight[component]));
}

template <int components, bool grey> struct PixelMixer {
    explicit PixelMixer(const RowMix &row_mix) : mix(row_mix) {}
    const RowMix &mix;

    HWY_INLINE Floats colour(int row, Floats s0, Floats s1, Floats s2) const
    {
        const FloatsTag d;
        Floats sum = hn::MulAdd(hn::Set(d, mix.matrix[row][0]), s0, hn::Set(d, mix.matrix[row][3]));
        if constexpr (components == 3) {
            sum = hn::MulAdd(hn::Set(d, mix.matrix[row][1]), s1, sum);
            sum = hn::MulAdd(hn::Set(d, mix.matrix[row][2]), s2, sum);
        }
        return hn::Min(hn::Max(sum, hn::Zero(d)), hn::Set(d, 255.0f));
    }

    HWY_INLINE Floats normalised(int channel, Floats pixel) const
    {
        const FloatsTag d;
        return hn::MulAdd(pixel, hn::Set(d, mix.mul[channel]), hn::Set(d, mix.add[channel]));
    }

    /// Pixels [x, x + lanes) of the rows, to each of `out`.
    HWY_INLINE void operator()(int x, float *out0, float *out1, float *out2) const
    {
        const FloatsTag d;
        const Floats s0 = between_rows(mix, 0, x);
        Floats s1 = s0, s2 = s0;
        if constexpr (components == 3) {
            s1 = between_rows(mix, 1, x);
            s2 = between_rows(mix, 2, x);
        }
        const Floats c0 = colour(0, s0, s1, s2), c1 = colour(1, s0, s1, s2), c2 = colour(2, s0, s1, s2);
        if constexpr (grey) {
            Floats sum = hn::Mul(c0, hn::Set(d, mix.grey_weights[0]));
            sum = hn::MulAdd(c1, hn::Set(d, mix.grey_weights[1]), sum);
            sum = hn::MulAdd(c2, hn::Set(d, mix.grey_weights[2]), sum);
            hn::StoreU(normalised(0, sum), d, out0);
        } else {
            hn::StoreU(normalised(0, c0), d, out0);
            hn::StoreU(normalised(1, c1), d, out1);
            hn::StoreU(normalised(2, c2), d, out2);
        }
    }
};

template <int components, bool grey> void mix_all(const RowMix &row_mix, int count, float *const *out)
{
    constexpr int channels = grey ? 1 : 3;
    // A local copy keeps the factors in registers: the stores cannot reach it.
    const RowMix mix = row_mix;
    const PixelMixer<components, grey> mixer(mix);
    float *out0 = out[0], *out1 = out[channels / 2], *out2 = out[channels - 1];
    int x = 0;
    for (; x + lanes <= count; x += lanes)
        mixer(x, out0 + x, out1 + x, out2 + x);
    if (x >= count)
        return;
    HWY_ALIGN float rest[3][lanes];
    mixer(x, rest[0], rest[1], rest[2]);
    for (int c = 0; c < channels; c++)
        std::memcpy(out[c] + x, rest[c], sizeof(float) * static_cast<size_t>(count - x));
}

void MixRows(const RowMix &mix, int count, float *const *out)
{
    if (mix.components == 3)
        mix.grey ? mix_all<3, true>(mix, count, out) : mix_all<3, false>(mix, count, out);
    else
        mix.grey ? mix_all<1, true>(mix, count, out) : mix_all<1, false>(mix, count, out);
}

void ToF16(const float *values, int count, uint16_t *out)
{
    const FloatsTag df;
    const hn::Rebind<hwy::float16_t, FloatsTag> d16;
    for (int x = 0; x < count; x += lanes)
        hn::StoreU(hn::DemoteTo(d16, hn::LoadU(df, values + x)), d16, reinterpret_cast<hwy::float16_t *>(out + x));
}

void ToBF16(const float *values, int count, uint16_t *out)
{
    const FloatsTag df;
    for (int x = 0; x < count; x += lanes)
        store_bfloat16(hn::LoadU(df, values + x), df, out + x);
}

void ToU8(const float *values, int count, uint8_t *out)
{
    const FloatsTag df;
    const hn::Rebind<uint8_t, FloatsTag> d8;
    for (int x = 0; x < count; x += lanes)
        hn::StoreU(hn::DemoteTo(d8, hn::NearestInt(hn::LoadU(df, values + x))), d8, out + x);
}

template <class T> int interleave_three(const std::byte *const *rows, int count, T *out)
{
    const hn::ScalableTag<T> d;
    const auto load = [&](int channel, int x) { return hn::LoadU(d, reinterpret_cast<const T *>(rows[channel]) + x); };
    const int width = static_cast<int>(hn::Lanes(d));
    int x = 0;
    for (; x + width <= count; x += width)
        hn::StoreInterleaved3(load(0, x), load(1, x), load(2, x), d, out + 3 * x);
    return x;
}

template <class T>
void interleave(const std::byte *const *rows, int channels, int count, ptrdiff_t channel_stride, ptrdiff_t pixel_stride,
                T *out)
{
    const bool dense = channels == 3 && channel_stride == 1 && pixel_stride == 3;
    const int done = dense ? interleave_three(rows, count, out) : 0;
    for (int c = 0; c < channels; c++)
        for (int x = done; x < count; x++)
            out[c * channel_stride + x * pixel_stride] = reinterpret_cast<const T *>(rows[c])[x];
}

void InterleaveRow(const std::byte *const *rows, int channels, int count, size_t element_bytes,
                   ptrdiff_t channel_stride, ptrdiff_t pixel_stride, std::byte *out)
{
    switch (element_bytes) {
    case 1: interleave(rows, channels, count, channel_stride, pixel_stride, reinterpret_cast<uint8_t *>(out)); return;
    case 2: interleave(rows, channels, count, channel_stride, pixel_stride, reinterpret_cast<uint16_t *>(out)); return;
    default: interleave(rows, channels, count, channel_stride, pixel_stride, reinterpret_cast<float *>(out));
    }
}

} // namespace
} // namespace HWY_NAMESPACE
} // namespace leat
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace leat {

HWY_EXPORT(SplitRow);
HWY_EXPORT(ResampleRow);
HWY_EXPORT(ScaleRow);
HWY_EXPORT(SampleRow);
HWY_EXPORT(MixRows);
HWY_EXPORT(ToF16);
HWY_EXPORT(ToBF16);
HWY_EXPORT(ToU8);
HWY_EXPORT(InterleaveRow);

ColumnTable::ColumnTable(std::span<const SamplePair> pairs)
    : count(static_cast<int>(pairs.size())), narrow(true),
      starts(hwy::AllocateAligned<int32_t>(pairs.size() + row_slack)),
      picks(hwy::AllocateAligned<uint8_t>(4 * (pairs.size() + row_slack))),
      weights(hwy::AllocateAligned<int16_t>(2 * (pairs.size() + row_slack)))
{
    const auto pair = [&](int x) { return pairs[static_cast<size_t>(std::min(x, count - 1))]; };
    for (int x = 0; x < count + row_slack; x++) {
        weights[static_cast<size_t>(2 * x)] = pair(x).first;
        weights[static_cast<size_t>(2 * x + 1)] = pair(x).second;
    }
    constexpr int window = 16;
    for (int x = 0; x < count; x += group) {
        const auto [first, last] = std::minmax({pair(x).x, pair(x + group - 1).x});
        narrow = narrow && last + 1 - first < window;
    }
    if (!narrow) {
        for (int x = 0; x < count + row_slack; x++)
            starts[static_cast<size_t>(x)] = pair(x).x;
        return;
    }
    constexpr uint8_t nothing = 0x80;
    for (int x = 0; x < count + row_slack; x += group) {
        const int32_t start = std::min(pair(x).x, pair(x + group - 1).x);
        starts[static_cast<size_t>(x / group)] = start;
        for (int i = x; i < std::min(x + group, count + row_slack); i++) {
            const auto first = static_cast<uint8_t>(pair(i).x - start);
            const uint8_t four[] = {first, nothing, static_cast<uint8_t>(first + 1), nothing};
            std::copy_n(four, 4, &picks[static_cast<size_t>(4 * i)]);
        }
    }
}

void split_row(const uint8_t *row, int count, int step, uint8_t *const *out)
{
    HWY_DYNAMIC_DISPATCH(SplitRow)(row, count, step, out);
}

void resample_row(const uint8_t *samples, const ColumnTable &table, bool add, float *out)
{
    HWY_DYNAMIC_DISPATCH(ResampleRow)(samples, table, add, out);
}

void scale_row(const float *row, int count, float share, bool add, float *out)
{
    HWY_DYNAMIC_DISPATCH(ScaleRow)(row, count, share, add, out);
}

void sample_row(const SampledPlane &plane, const PointRow &row, int first, int last, float *const *out)
{
    HWY_DYNAMIC_DISPATCH(SampleRow)(plane, row, first, last, out);
}

void mix_rows(const RowMix &mix, int count, float *const *out)
{
    HWY_DYNAMIC_DISPATCH(MixRows)(mix, count, out);
}

void to_f16(const float *values, int count, uint16_t *out)
{
    HWY_DYNAMIC_DISPATCH(ToF16)(values, count, out);
}

void to_bf16(const float *values, int count, uint16_t *out)
{
    HWY_DYNAMIC_DISPATCH(ToBF16)(values, count, out);
}

void to_u8(const float *values, int count, uint8_t *out)
{
    HWY_DYNAMIC_DISPATCH(ToU8)(values, count, out);
}

void interleave_row(const std::byte *const *rows, int channels, int count, size_t element_bytes,
                    ptrdiff_t channel_stride, ptrdiff_t pixel_stride, std::byte *out)
{
    HWY_DYNAMIC_DISPATCH(InterleaveRow)(rows, channels, count, element_bytes, channel_stride, pixel_stride, out);
}

} // namespace leat
#endif
