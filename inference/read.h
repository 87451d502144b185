#pragma once
#include "graph.h"

#include <filesystem>
#include <span>
#include <string>

namespace leat {

/// Reads an ONNX model. External data is looked for only in `folder` and below. Throws Error: node and reason. Any byte
/// string gives a graph or an Error in bounded time and memory.
Graph read_onnx(std::span<const std::byte> bytes, const std::filesystem::path &folder);

/// Chooses the reader by the first bytes of the file. Throws Error that names the file.
Graph read_model_file(const std::filesystem::path &);

} // namespace leat
