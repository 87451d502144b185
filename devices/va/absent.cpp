#include "devices/hardware.h"

namespace leat {

AcceleratorInterface va_displays()
{
    return {"VA", "This build has VA off; build with -Dva=enabled and libva-dev to see its render nodes.", {}};
}

} // namespace leat
