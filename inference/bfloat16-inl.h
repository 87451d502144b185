// Conversion between f32 and bf16 in SIMD. Included once for each instruction set of the file that includes it, between
// HWY_BEFORE_NAMESPACE() and HWY_AFTER_NAMESPACE() of that file and outside of its namespaces.
#if defined(LEAT_BFLOAT16_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LEAT_BFLOAT16_INL_H
#undef LEAT_BFLOAT16_INL_H
#else
#define LEAT_BFLOAT16_INL_H
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace leat::HWY_NAMESPACE {

/// As many f32 as `d` has, from the bits of bf16.
template <class D> HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load_bfloat16(D d, const uint16_t *from)
{
    namespace hn = hwy::HWY_NAMESPACE;
    const hn::Rebind<uint16_t, D> narrow;
    const hn::Rebind<uint32_t, D> wide;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(wide, hn::LoadU(narrow, from))));
}

/// Rounds to nearest even, as BFloat16(float) does.
template <class D> HWY_INLINE void store_bfloat16(hwy::HWY_NAMESPACE::Vec<D> values, D d, uint16_t *to)
{
    namespace hn = hwy::HWY_NAMESPACE;
    const hn::Rebind<uint16_t, D> narrow;
    const hn::Rebind<uint32_t, D> wide;
    const hn::Rebind<int32_t, D> wide_signed;
    const auto bits = hn::BitCast(wide, values);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(wide, 1));
    const auto rounded = hn::BitCast(d, hn::Add(bits, hn::Add(odd, hn::Set(wide, 0x7fff))));
    const auto not_a_number = hn::BitCast(d, hn::Set(wide, 0x7fc00000));
    const auto kept = hn::IfThenElse(hn::Eq(values, values), rounded, not_a_number);
    const auto upper = hn::ShiftRight<16>(hn::BitCast(wide, kept));
    hn::StoreU(hn::DemoteTo(narrow, hn::BitCast(wide_signed, upper)), narrow, to);
}

#if HWY_ARCH_X86_64 && HWY_TARGET <= HWY_AVX3
/// The same, but numbers too small for a normal bf16 become 0: by an instruction that Highway's targets do not have,
/// where cpu::narrows_natively().
HWY_INLINE hwy::HWY_NAMESPACE::Vec256<uint16_t> round_natively(hwy::HWY_NAMESPACE::Vec512<float> values)
{
    __m256i rounded;
    asm("vcvtneps2bf16 %1, %0" : "=v"(rounded) : "v"(values.raw));
    return hwy::HWY_NAMESPACE::Vec256<uint16_t>{rounded};
}
#endif

} // namespace leat::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
