#pragma once
#include <cstdint>
#include <vector>

// What the ops that read between the elements of an axis share.

namespace leat {

enum class Interpolation : uint8_t { nearest, linear, cubic };

/// Weights of neighbouring elements on one axis.
struct Taps {
    int64_t first = 0; ///< may lie outside of the axis
    std::vector<float> weights;
};

/// A triangle (linear) or a cubic (Keys, 1981, with his a) around `source`; 1 / `shrink` times as wide, not normalised,
/// when many elements become few.
Taps taps_around(float source, Interpolation, float shrink = 1, float a = -0.75f);

} // namespace leat
