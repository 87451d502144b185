#pragma once
#include <cstddef>
#include <map>
#include <string>

namespace leat {

/// What a process has, to be compared with what it had before.
struct Census {
    std::map<std::string, int> live;    ///< by type: GStreamer's objects, as its tracer `leaks` knows them
    std::map<std::string, int> threads; ///< by name
    size_t files = 0;
    size_t heap = 0;     ///< bytes that malloc() has given out
    size_t resident = 0; ///< bytes of memory

    /// The objects and threads of which there are more than before, with both counts; "" when there are none.
    std::string more_than(const Census &before) const;
};

/// The sum of the counts.
size_t total(const std::map<std::string, int> &counts);

/// Counts once no thread without work is left and the counts have stopped to fall; the tracer `leaks` must be active.
Census settled_census();
/// The same, but goes on as soon as nothing is more than it was `before`, and waits a while for that.
Census settled_census(const Census &before);

} // namespace leat
