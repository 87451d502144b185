#pragma once
#include "inference/options.h"

#include <filesystem>

namespace leat::cpu {

/// The cores among the processors `allowed`, as Linux describes them below `sysfs` ("/sys"): hardware threads by
/// topology/thread_siblings_list, memory nodes by node*/cpulist, kinds of cores by cpu_atom/cpus (x86) or cpu_capacity
/// (Arm), a container's quota by fs/cgroup/cpu.max. What is not described there is taken as plain: one thread a core,
/// one node, one kind.
Topology read_topology(const std::filesystem::path &sysfs, const std::vector<int> &allowed);

/// The processors that the calling thread may run on.
std::vector<int> allowed_cpus();

} // namespace leat::cpu
