#include "inference/read.h"

#include <leat/error.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

/// The .xml file, a zero byte and the .bin file give a graph that stands up to its own checks, or an Error, as do its
/// shapes; anything else is a fault.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto zero = static_cast<size_t>(std::find(bytes.begin(), bytes.end(), std::byte(0)) - bytes.begin());
    const auto weights = bytes.subspan(std::min(zero + 1, size));
    try {
        leat::Graph graph = leat::read_openvino(bytes.first(zero), [&] { return leat::SharedBytes{weights, nullptr}; });
        leat::infer_shapes(graph);
        graph.verify();
    } catch (const leat::Error &) {
    }
    return 0;
}
