#pragma once
#include "graph.h"

#include <filesystem>
#include <span>
#include <string>

namespace leat {

/// Reads an ONNX model. External data is looked for only in `folder` and below. Throws Error: node and reason. Any byte
/// string gives a graph or an Error in bounded time and memory.
Graph read_onnx(std::span<const std::byte> bytes, const std::filesystem::path &folder);

/// Reads an OpenVINO IR, version 10 or 11. `weights` is the .bin file beside it, which is mapped into memory, not copied,
/// when a constant needs it. Throws Error: layer and reason. Any byte string gives a graph or an Error in bounded time
/// and memory.
Graph read_openvino(std::span<const std::byte> bytes, const std::filesystem::path &weights);

/// Chooses the reader by the first bytes of the file. Throws Error that names the file.
Graph read_model_file(const std::filesystem::path &);

} // namespace leat
