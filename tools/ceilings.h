#pragma once

namespace leat {

/// What one core reaches at best.
struct Ceilings {
    double operations; ///< additions and multiplications of f32 in a nanosecond
    double bytes;      ///< read from memory in a nanosecond
};

/// Measures both on the calling thread, some tens of milliseconds. What others do on the machine meanwhile counts.
Ceilings measure_ceilings();

} // namespace leat
