#pragma once
#include "graph.h"

#include <onnx/onnx_pb.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace leat {

/// The Type of an ONNX element type. Throws Error that names those that Leat lacks.
Type type_from_onnx(int onnx_type);

/// Reads the tensors of one model. Each is read once; asking again gives the same memory.
class OnnxTensors {
  public:
    /// External data is looked for in `folder` and below; nowhere when it is empty.
    explicit OnnxTensors(std::filesystem::path folder) : folder_(std::move(folder)) {}

    /// Moves the bytes of the tensor here, so that reading it copies nothing. `stored` must live as long as this.
    void take(onnx::TensorProto &stored);
    /// Throws Error without the name of the tensor. `stored` must live as long as this.
    Tensor read(const onnx::TensorProto &stored);
    /// Those that external data was read from.
    std::vector<std::filesystem::path> files() const;

  private:
    Tensor read_external(const onnx::TensorProto &stored, Type, const Shape &);
    std::filesystem::path locate(const std::string &location) const;

    std::filesystem::path folder_;
    std::unordered_map<const onnx::TensorProto *, Tensor> known_;
    std::unordered_map<const onnx::TensorProto *, std::shared_ptr<std::string>> taken_;
    std::map<std::filesystem::path, uint64_t> bytes_read_; ///< of each external file
};

} // namespace leat
