#include "inference/read.h"

#include <leat/error.h>

#include <cstddef>
#include <cstdint>

/// As fuzz_read_onnx, and then types, shapes and constants are inferred, as they are when a model is loaded.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try {
        leat::Graph graph = leat::read_onnx(std::as_bytes(std::span(data, size)), {});
        leat::infer_shapes(graph);
        graph.verify();
    } catch (const leat::Error &) {
    }
    return 0;
}
