#pragma once
#include <leat/model.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace leat {

/// A device that may take part, as MULTI or AUTO names it, and how to compile for it. compile() is called at most once
/// at a time and from any thread; it may throw.
struct Candidate {
    std::string name;
    std::function<std::unique_ptr<CompiledModel>()> compile;
    /// What is held from before compile() until the device has no part in the model any more; may be absent.
    std::function<std::shared_ptr<void>()> claim{};
    std::string note{}; ///< why it stands where it does in the order, for people; may be empty
};

/// How a pool uses its candidates, which are in the order of priority.
enum class PoolPolicy {
    every, ///< each job goes to the first device that has room
    best,  ///< jobs go to the first device that is ready; the others are compiled when those before them cannot run
};

/// One compiled model made of several devices.
///
/// `every` (MULTI) compiles for all candidates and leaves out those that fail. `best` (AUTO) compiles for the first in
/// the background, and for the one at `helper` as well, which takes the jobs until the first is ready and is then
/// given up. Returns when a device is ready (`best`) or all have been tried (`every`). Throws Error when none can be
/// compiled, with the reasons of all.
///
/// Jobs wait in one queue until a device has room, and are handed out by priority, then deadline, then in the order in
/// which they came; those of one stream are handed out in the order submitted. A job that lies in a device's memory
/// goes to that device. A job that fails runs again on another device; when it succeeds there the first device is left
/// out with one warning, when it fails there too it was the job's fault.
std::unique_ptr<CompiledModel> make_pool(std::vector<Candidate>, PoolPolicy, int num_requests,
                                         size_t helper = ~size_t(0));

} // namespace leat
