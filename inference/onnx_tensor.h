#pragma once
#include "graph.h"
#include "onnx_parts.h"
#include "slab.h"

#include <onnx/onnx_pb.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace leat {

/// The Type of an ONNX element type. Throws Error that names those that Leat lacks.
Type type_from_onnx(int onnx_type);

/// Reads the tensors of one model. Each is read once; asking again gives the same memory.
class OnnxTensors {
  public:
    /// Fills memory with the bytes of the model's file from an offset on.
    using ReadFile = std::function<void(uint64_t offset, std::span<std::byte>)>;

    /// `parts` of the model's file: see OnnxParts. External data is looked for in `folder` and below; nowhere when it
    /// is empty.
    OnnxTensors(std::vector<FilePart> parts, ReadFile read_file, std::filesystem::path folder)
        : parts_(std::move(parts)), read_file_(std::move(read_file)), folder_(std::move(folder))
    {
        for (const FilePart &part : parts_)
            part_bytes_ += part.bytes;
        memory_->expect(part_bytes_);
    }

    /// Throws Error without the name of the tensor. `stored` must live as long as this.
    Tensor read(const onnx::TensorProto &stored);
    /// Those that external data was read from.
    std::vector<std::filesystem::path> files() const;

  private:
    Tensor read_external(const onnx::TensorProto &stored, Type, const Shape &);
    Tensor read_part(const FilePart &, Type, const Shape &);
    std::filesystem::path locate(const std::string &location) const;

    std::vector<FilePart> parts_;
    uint64_t part_bytes_ = 0, part_bytes_read_ = 0; ///< of all parts; each belongs to one tensor
    ReadFile read_file_;
    std::filesystem::path folder_;
    std::shared_ptr<Slab> memory_ = Slab::make();
    std::unordered_map<const onnx::TensorProto *, Tensor> known_;
    std::map<std::filesystem::path, uint64_t> bytes_read_; ///< of each external file
};

} // namespace leat
