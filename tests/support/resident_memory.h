#pragma once
#include <unistd.h>

#include <fstream>

namespace leat {

/// What this process has in memory.
inline double resident_mib()
{
    std::ifstream facts("/proc/self/statm");
    double total = 0, resident = 0;
    facts >> total >> resident;
    return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

} // namespace leat
