#include "denormals.h"

#ifdef __x86_64__
#include <xmmintrin.h>
#endif

namespace leat::cpu {
namespace {

#ifdef __x86_64__
constexpr unsigned both = 0x8040; // flush to zero what is made, denormals are zero in what is read

void set(bool zero)
{
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(zero ? mode | both : mode & ~both);
}
#else
void set(bool) {}
#endif

} // namespace

bool denormals_are_zero()
{
#ifdef __x86_64__
    return (_mm_getcsr() & both) == both;
#else
    return false;
#endif
}

DenormalsAsZero::DenormalsAsZero(bool zero) : before_(denormals_are_zero())
{
    if (zero != before_)
        set(zero);
}

DenormalsAsZero::~DenormalsAsZero()
{
    if (denormals_are_zero() != before_)
        set(before_);
}

} // namespace leat::cpu
