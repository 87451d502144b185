#pragma once
#include <leat/model.h>
#include <leat/options.h>

#include <vector>

namespace leat {

/// What a compiled model may use of the processor.
struct Resources {
    int streams = 1;               ///< jobs that run side by side
    int threads = 1;               ///< cores of each
    int depth = 1;                 ///< jobs worth keeping in flight
    std::vector<Setting> settings; ///< each number, with the reason why
};

/// From hint and wishes to numbers, on a machine of `cores` cores. A wish that the machine cannot fulfil is lowered,
/// and the reason says so.
Resources resolve(const Options &, int cores);

} // namespace leat
