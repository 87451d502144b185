#include "devices/hardware.h"

namespace leat {

AcceleratorInterface opencl_platforms()
{
    return {"OpenCL",
            "This build has OpenCL off; build with -Dopencl=enabled and ocl-icd-opencl-dev to see its devices.",
            {}};
}

} // namespace leat
