#include "hardware.h"

namespace leat {

std::vector<AcceleratorInterface> accelerator_interfaces()
{
    return {opencl_platforms(), va_displays()};
}

} // namespace leat
