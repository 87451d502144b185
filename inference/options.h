#pragma once
#include <leat/model.h>
#include <leat/options.h>

#include <vector>

namespace leat {

/// A core that this process may use.
struct ProcessorCore {
    std::vector<int> cpus;  ///< numbers of its hardware threads, as the system counts them
    int node = 0;           ///< of memory (NUMA) that is nearest
    bool efficient = false; ///< one of the slower cores of a processor that has two kinds
};

/// What a device of processor cores has.
struct Topology {
    std::vector<ProcessorCore> cores;
    int quota = 0; ///< cores' worth of time that a container grants; 0: all
};

/// What a compiled model may use of the processor.
struct Resources {
    int streams = 1;                     ///< jobs that run side by side
    int threads = 1;                     ///< cores of each
    int depth = 1;                       ///< jobs worth keeping in flight
    bool pinned = true;                  ///< whether threads are bound to their processors
    std::vector<std::vector<int>> lanes; ///< sets of `threads` processors, any `streams` of which are used at a time
    std::vector<Setting> settings;       ///< each number, with the reason why
};

/// From hint and wishes to numbers. A wish that the machine cannot fulfil is lowered, and the reason says so.
///
/// Lanes lie within one memory node as far as that is possible. Latency uses the node with the most cores, and of a
/// processor with two kinds of cores the fast ones unless the others are twice as many. Throughput has one lane a core:
/// inference without waiting between cores.
Resources resolve(const Options &, const Topology &);

} // namespace leat
