#pragma once
#include "inference/graph.h"
#include "inference/ops.h"
#include "inference/read.h"

#include <google/protobuf/text_format.h>
#include <onnx/onnx_pb.h>

#include <span>
#include <stdexcept>
#include <string>
#include <vector>

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

inline std::string attribute(const std::string &name, const std::string &content)
{
    return "attribute { name: \"" + name + "\" " + content + " } ";
}

inline std::string node(const std::string &op, const std::vector<std::string> &inputs, const std::string &output,
                        const std::string &more = "")
{
    std::string text = "node { op_type: \"" + op + "\" ";
    for (const std::string &input : inputs)
        text += "input: \"" + input + "\" ";
    return text + "output: \"" + output + "\" " + more + " } ";
}

inline std::string floats(const std::string &name, const std::string &dims, const std::string &values)
{
    return "initializer { name: \"" + name + "\" data_type: 1 " + dims + " float_data: [" + values + "] } ";
}

inline std::vector<std::string> ops_of(const Graph &graph)
{
    std::vector<std::string> names;
    for (const Node &each : graph.nodes)
        names.emplace_back(each.op->name);
    return names;
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
