#pragma once
#include "errors/onnx_text.h"
#include "support/temporary_folder.h"

namespace leat {

/// A float initializer.
inline std::string onnx_floats(const std::string &name, const std::vector<int> &sizes, const std::vector<float> &values)
{
    std::string text = "initializer { name: \"" + name + "\" data_type: 1 ";
    for (const int size : sizes)
        text += "dims: " + std::to_string(size) + " ";
    for (const float value : values)
        text += "float_data: " + std::to_string(value) + " ";
    return text + "} ";
}

inline std::string onnx_node(const std::string &op, const std::vector<std::string> &inputs, const std::string &output,
                             const std::string &attributes = "")
{
    std::string text = "node { op_type: \"" + op + "\" ";
    for (const std::string &input : inputs)
        text += "input: \"" + input + "\" ";
    return text + "output: \"" + output + "\" " + attributes + "} ";
}

/// [1]: the mean of the input, as the model sees it.
inline std::string onnx_mean(const std::string &input, const std::string &output)
{
    return onnx_node("ReduceMean", {input}, output,
                     "attribute { name: \"axes\" type: INTS ints: 1 ints: 2 ints: 3 } "
                     "attribute { name: \"keepdims\" type: INT i: 0 } ");
}

/// Writes a detector that tells the frame's brightness v (0..255) by its first box: a face from the left edge to v /
/// 255 of the width, in the upper half, with score 0.9. A second one is always at (0.5, 0.5) to (0.75, 1), with score
/// 0.8.
inline std::string write_detector(const TemporaryFolder &folder)
{
    // The family's custom is (v - 127) / 128, which the first box undoes.
    const std::string graph =
        "name: \"detector\" " + onnx_input("input", {1, 3, 8, 8}) + onnx_value("output", "scores", {1, 2, 2}) +
        onnx_value("output", "boxes", {1, 2, 4}) + onnx_mean("input", "mean") +
        onnx_floats("factor", {1, 2, 4}, {0, 0, 128.f / 255, 0, 0, 0, 0, 0}) +
        onnx_floats("offset", {1, 2, 4}, {0, 0, 127.f / 255, 0.5f, 0.5f, 0.5f, 0.75f, 1}) +
        onnx_floats("zeros", {1, 2, 2}, {0, 0, 0, 0}) + onnx_floats("sure", {1, 2, 2}, {0.1f, 0.9f, 0.2f, 0.8f}) +
        onnx_node("Mul", {"mean", "factor"}, "scaled") + onnx_node("Add", {"scaled", "offset"}, "boxes") +
        onnx_node("Mul", {"mean", "zeros"}, "nothing") + onnx_node("Add", {"nothing", "sure"}, "scores");
    return folder.write("detector.onnx", onnx_bytes(onnx_model(graph, 13))).string();
}

/// Writes a detector with one box of a bright frame, none of a dark one, and always two scores: what it says is wrong,
/// which nobody can know before it has run.
inline std::string write_wrong_detector(const TemporaryFolder &folder)
{
    const std::string graph =
        "name: \"detector\" " + onnx_input("input", {1, 3, 8, 8}) + onnx_value("output", "scores", {1, 2, 2}) +
        onnx_value("output", "boxes", {1, -1, 4}) + onnx_mean("input", "mean") +
        onnx_floats("all", {1, 2, 4}, {0, 0, 1, 1, 0, 0, 1, 1}) + onnx_floats("zeros", {1, 2, 2}, {0, 0, 0, 0}) +
        onnx_floats("sure", {1, 2, 2}, {0.1f, 0.9f, 0.2f, 0.8f}) + onnx_node("Relu", {"mean"}, "bright") +
        onnx_node("NonZero", {"bright"}, "places") +
        onnx_node("Squeeze", {"places"}, "rows", "attribute { name: \"axes\" type: INTS ints: 0 } ") +
        onnx_node("Gather", {"all", "rows"}, "boxes", "attribute { name: \"axis\" type: INT i: 1 } ") +
        onnx_node("Mul", {"mean", "zeros"}, "nothing") + onnx_node("Add", {"nothing", "sure"}, "scores");
    return folder.write("wrong.onnx", onnx_bytes(onnx_model(graph, 11))).string();
}

/// Writes a classifier: class 0 for dark pictures, class 1 for bright ones. Arithmetic before any convolution tells its
/// family that the picture goes in as it is.
inline std::string write_classifier(const TemporaryFolder &folder)
{
    const std::string graph =
        "name: \"brightness\" " + onnx_input("input", {1, 3, 8, 8}) + onnx_value("output", "prob", {1, 2}) +
        onnx_mean("input", "mean") + onnx_floats("factor", {1, 2}, {-0.1f, 0.1f}) +
        onnx_floats("offset", {1, 2}, {12.7f, -12.7f}) + onnx_node("Mul", {"mean", "factor"}, "scaled") +
        onnx_node("Add", {"scaled", "offset"}, "logits") +
        onnx_node("Softmax", {"logits"}, "prob", "attribute { name: \"axis\" type: INT i: 1 } ");
    return folder.write("brightness.onnx", onnx_bytes(onnx_model(graph, 13))).string();
}

} // namespace leat
