#pragma once
#include "graph.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace leat {

/// Reads an ONNX model. External data is looked for only in `folder` and below. Throws Error: node and reason. Any byte
/// string gives a graph or an Error in bounded time and memory.
Graph read_onnx(std::span<const std::byte> bytes, const std::filesystem::path &folder);

/// Bytes that live as long as their owner.
struct SharedBytes {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
};

/// Reads an OpenVINO IR, version 10 or 11. `weights` gives the contents of the .bin file; it is called once, when a
/// constant needs them, and constants use that memory where they can. Throws Error: layer and reason. Any byte strings
/// give a graph or an Error in bounded time and memory.
Graph read_openvino(std::span<const std::byte> bytes, const std::function<SharedBytes()> &weights);

/// Chooses the reader by the first bytes of the file. Throws Error that names the file.
Graph read_model_file(const std::filesystem::path &);

} // namespace leat
