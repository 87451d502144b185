#pragma once
#include <string>
#include <vector>

namespace leat {

/// A piece of hardware that Leat sees but runs no models on.
struct Accelerator {
    std::string name;
    std::string description;
    std::string why_not; ///< One sentence: why models do not run on it.
};

/// What one programming interface shows.
struct AcceleratorInterface {
    std::string name;   ///< "OpenCL" or "VA".
    std::string absent; ///< One sentence on why there are no accelerators; empty where there are.
    std::vector<Accelerator> accelerators;
};

/// Asks the drivers anew at each call, so it may load them and take a second. Never throws for hardware or drivers that
/// are missing or refuse: that is told in `absent` or in the accelerator's description. Any thread.
std::vector<AcceleratorInterface> accelerator_interfaces();

/// Every device of every OpenCL platform, of every type.
AcceleratorInterface opencl_platforms();
/// Every render node that libva opens.
AcceleratorInterface va_displays();

} // namespace leat
