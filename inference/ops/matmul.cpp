#include "inference/ops.h"

namespace leat {

std::span<const Op> matmul_ops()
{
    return {};
}

} // namespace leat
