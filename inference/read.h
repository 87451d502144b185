#pragma once
#include "graph.h"
#include "open_file.h"
#include "shared_bytes.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace leat {

/// Reads an ONNX model. External data is looked for only in `folder` and below. Throws Error: node and reason. Any byte
/// string gives a graph or an Error in bounded time and memory.
/// `data_files` gets the paths of the external data that was read.
Graph read_onnx(std::span<const std::byte> bytes, const std::filesystem::path &folder,
                std::vector<std::filesystem::path> *data_files = nullptr);
/// The same from a file, of which no more is in memory than the graph needs. Reads it from its beginning.
Graph read_onnx(const OpenFile &, const std::filesystem::path &folder,
                std::vector<std::filesystem::path> *data_files = nullptr);

/// Reads an OpenVINO IR, version 10 or 11. `weights` gives the contents of the .bin file; it is called once, when a
/// constant needs them, and constants use that memory where they can. Throws Error: layer and reason. Any byte strings
/// give a graph or an Error in bounded time and memory.
Graph read_openvino(std::span<const std::byte> bytes, const std::function<SharedBytes()> &weights);

/// Chooses the reader by the first bytes of the file: ONNX, OpenVINO IR or a stored model. `data_files` gets the paths
/// of the files besides it that were read. Throws Error that names the file.
Graph read_model_file(const std::filesystem::path &, std::vector<std::filesystem::path> *data_files = nullptr);

/// Whether the file begins as a stored model does (stored_model.h).
bool is_stored_model_file(const std::filesystem::path &);

} // namespace leat
