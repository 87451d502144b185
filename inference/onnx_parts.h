#pragma once
#include <google/protobuf/io/zero_copy_stream.h>
#include <onnx/onnx_pb.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace leat {

/// Some bytes of a model file.
struct FilePart {
    uint64_t offset = 0, bytes = 0;
};

/// An ONNX file in two: what describes the graph, and where the elements of its large tensors lie. protobuf reads the
/// one; the others go from the file to where they are used, copied once.
struct OnnxParts {
    std::string description;        ///< a serialised ModelProto
    std::vector<FilePart> elements; ///< elements_of() finds those of a tensor
};

/// Reads a serialised ModelProto of `bytes` bytes; what describes nothing is skipped. Nothing when it is damaged.
/// Follows protobuf's encoding (protobuf.dev/programming-guides/encoding).
std::optional<OnnxParts> split_onnx(google::protobuf::io::ZeroCopyInputStream &, uint64_t bytes);

/// Where the elements of a tensor of the description lie; nullptr when they are in it.
const FilePart *elements_of(const onnx::TensorProto &, const std::vector<FilePart> &elements);

} // namespace leat
