#include "inference/ops/interpolation.h"

#include <algorithm>
#include <cmath>

namespace leat {
namespace {

float cubic(float distance, float a)
{
    const float d = std::abs(distance);
    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

} // namespace

Taps taps_around(float source, Interpolation mode, float shrink, float a)
{
    const bool is_cubic = mode == Interpolation::cubic;
    const auto radius = static_cast<int64_t>(std::ceil((is_cubic ? 2.f : 1.f) / shrink));
    const auto centre = static_cast<int64_t>(std::floor(source));
    Taps taps;
    taps.first = centre - radius + 1;
    for (int64_t i = taps.first; i <= centre + radius; i++) {
        const float distance = (static_cast<float>(i) - source) * shrink;
        taps.weights.push_back(is_cubic ? cubic(distance, a) : std::max(0.f, 1 - std::abs(distance)));
    }
    return taps;
}

} // namespace leat
