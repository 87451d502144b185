#include "lookup_bytes.h"

// AVX-512 with VBMI, which Highway leaves out unless asked.
#define HWY_WANT_AVX3_DL 1
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "devices/cpu/kernels/lookup_bytes.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>

HWY_BEFORE_NAMESPACE();
namespace leat::cpu::HWY_NAMESPACE {
namespace {

#if HWY_TARGET <= HWY_AVX3_DL
namespace hn = hwy::HWY_NAMESPACE;

/// The whole table lies in four registers; one instruction looks in two of them.
void lookup(uint8_t *to, const uint8_t *from, ByteRows rows, const uint8_t *table)
{
    const hn::ScalableTag<uint8_t> d;
    static_assert(hn::MaxLanes(d) == 64);
    const hn::Half<decltype(d)> half;
    const hn::Half<decltype(half)> sixteen;
    using V = hn::Vec<decltype(d)>;
    const V t0 = hn::LoadU(d, table), t1 = hn::LoadU(d, table + 64);
    const V t2 = hn::LoadU(d, table + 128), t3 = hn::LoadU(d, table + 192);
    const auto look = [&](V x) HWY_ATTR {
        const V low{_mm512_permutex2var_epi8(t0.raw, x.raw, t1.raw)};
        const V high{_mm512_permutex2var_epi8(t2.raw, x.raw, t3.raw)};
        return hn::IfThenElse(hn::TestBit(x, hn::Set(d, 128)), high, low);
    };
    for (int64_t row = 0; row < rows.rows; row++, from += rows.from, to += rows.to) {
        int64_t i = 0;
        for (; i + 64 <= rows.length; i += 64)
            hn::StoreU(look(hn::LoadU(d, from + i)), d, to + i);
        // In shorter vectors: one with a mask that crosses lines of the cache takes longer.
        for (; i + 16 <= rows.length; i += 16)
            hn::StoreU(hn::LowerHalf(hn::LowerHalf(
                           look(hn::ZeroExtendVector(d, hn::ZeroExtendVector(half, hn::LoadU(sixteen, from + i)))))),
                       sixteen, to + i);
        if (i == rows.length)
            continue;
        const auto rest = hn::FirstN(d, static_cast<size_t>(rows.length - i));
        hn::BlendedStore(look(hn::MaskedLoad(rest, d, from + i)), rest, d, to + i);
    }
}
#else
void lookup(uint8_t *to, const uint8_t *from, ByteRows rows, const uint8_t *table)
{
    // A copy, which the results cannot overlap as far as the compiler knows.
    std::array<uint8_t, 256> entries;
    std::copy_n(table, entries.size(), entries.begin());
    for (int64_t row = 0; row < rows.rows; row++)
        for (int64_t i = 0; i < rows.length; i++)
            to[row * rows.to + i] = entries[from[row * rows.from + i]];
}
#endif

} // namespace
} // namespace leat::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace leat::cpu {

HWY_EXPORT(lookup);

void lookup_bytes(uint8_t *to, const uint8_t *from, ByteRows rows, const uint8_t *table)
{
    HWY_DYNAMIC_DISPATCH(lookup)(to, from, rows, table);
}

} // namespace leat::cpu
#endif
