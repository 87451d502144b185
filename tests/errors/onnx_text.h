#pragma once
#include "inference/graph.h"
#include "inference/read.h"

#include <google/protobuf/text_format.h>
#include <onnx/onnx_pb.h>

#include <span>
#include <stdexcept>
#include <string>

namespace leat {

/// The bytes of an ONNX file from protobuf text.
inline std::string onnx_bytes(const std::string &text)
{
    onnx::ModelProto model;
    if (!google::protobuf::TextFormat::ParseFromString(text, &model))
        throw std::invalid_argument("the test has a fault in its protobuf text:\n" + text);
    return model.SerializeAsString();
}

/// A model of one graph with the operator set 22, or another one.
inline std::string onnx_model(const std::string &graph, int opset = 22)
{
    return "ir_version: 8 opset_import { version: " + std::to_string(opset) + " } graph { " + graph + " }";
}

/// `input { … }` of a float tensor; "?" in the sizes is one that only the run knows.
inline std::string onnx_value(const std::string &kind, const std::string &name, const std::vector<int> &sizes)
{
    std::string dims;
    for (int size : sizes)
        dims += size < 0 ? "dim { dim_param: \"n\" } " : "dim { dim_value: " + std::to_string(size) + " } ";
    return kind + " { name: \"" + name + "\" type { tensor_type { elem_type: 1 shape { " + dims + " } } } } ";
}

inline std::string onnx_input(const std::string &name, const std::vector<int> &sizes)
{
    return onnx_value("input", name, sizes);
}

inline std::string onnx_output(const std::string &name)
{
    return "output { name: \"" + name + "\" } ";
}

inline Graph read_onnx_bytes(const std::string &bytes, const std::filesystem::path &folder = {})
{
    return read_onnx(std::as_bytes(std::span(bytes)), folder);
}

inline Graph read_onnx_text(const std::string &text, const std::filesystem::path &folder = {})
{
    return read_onnx_bytes(onnx_bytes(text), folder);
}

} // namespace leat
