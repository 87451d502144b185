#include "inference/read.h"

#include <leat/error.h>

#include <cstddef>
#include <cstdint>

/// Any bytes give a graph that stands up to its own checks, or an Error; anything else is a fault.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try {
        leat::read_onnx(std::as_bytes(std::span(data, size)), {}).verify();
    } catch (const leat::Error &) {
    }
    return 0;
}
