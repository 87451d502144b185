#pragma once
#include "graph.h"

#include <functional>
#include <span>
#include <string_view>

namespace leat {

/// What a shape rule sees: types, shapes and constants of the inputs. It calls output() for each output.
class ShapeContext {
  public:
    ShapeContext(Graph &graph, const Node &node) : graph_(graph), node_(node) {}
    const Attributes &attributes() const { return node_.attributes; }
    size_t inputs() const { return node_.inputs.size(); }
    size_t outputs() const { return node_.outputs.size(); }
    bool has(size_t input) const { return input < node_.inputs.size() && node_.inputs[input] != no_value; }
    Type type(size_t input) const { return has(input) ? graph_.values[node_.inputs[input]].type : Type::undefined; }
    const std::optional<Shape> &shape(size_t input) const;
    /// Nothing when the input is absent or not constant.
    const Tensor *constant(size_t input) const;
    /// Throws Error for more than max_rank axes.
    void output(size_t index, Type, std::optional<Shape>);
    /// An output whose elements the rule knows. A rule that calls this must do so for all outputs.
    void constant_output(size_t index, Tensor);

  private:
    Graph &graph_;
    const Node &node_;
};

/// What a reference kernel sees. Inputs are dense; an absent one is an empty Tensor.
class RunContext {
  public:
    RunContext(const Node &which, std::span<const Tensor> in, std::span<Tensor> out)
        : node(which), inputs(in), outputs_(out)
    {
    }
    const Node &node;
    std::span<const Tensor> inputs;
    bool has(size_t input) const { return input < inputs.size() && bool(inputs[input]); }
    size_t outputs() const { return outputs_.size(); }
    bool wants(size_t output) const { return output < outputs_.size() && node.outputs[output] != no_value; }
    Tensor &first_output() { return outputs_[0]; }
    /// Memory for that output: what the caller preset, when type and shape are the same, else freshly allocated.
    Tensor &output(size_t index, Type, Shape);

  private:
    std::span<Tensor> outputs_;
};

/// One row of the op table. The semantics are those of the ONNX operator of that name in its latest version up to
/// operator set 22; what ONNX lacks has the name and the semantics of OpenVINO's operation (GlobalAveragePoolInteger,
/// ImageToTensor, Interleave, Lookup and SoftmaxInteger are Leat's own). Readers translate older versions and other
/// formats to it.
///
/// Three kinds of attribute differ from ONNX's own encoding. A list of strings (`activations`) is one text, joined by
/// commas. One that names an element type (`to`, `dtype`, `output_dtype`) is
/// the text of to_string(Type): "f32". One that holds a graph takes what the body reads from outside of it as further
/// inputs: Loop's `body` has the inputs (iteration, condition, carried values …, captured values …), If's `then_branch`
/// and `else_branch` each have the captured values only, the same list in both; the node lists the captured values
/// after its own inputs. Loop has the integer `carried`, the number of its carried values, besides.
struct Op {
    std::string_view name;
    int min_inputs, max_inputs; ///< max -1: any number
    int max_outputs;
    void (*shape)(ShapeContext &);
    void (*reference)(
        RunContext &); ///< plain and obviously right; ignores Node::post_ops, run_reference() applies them
};

/// Nothing when there is no op of that name.
const Op *find_op(std::string_view name);
/// The op of that name; the name must exist.
const Op &op(std::string_view name);
/// The whole table, sorted by name.
std::span<const Op *const> all_ops();

/// The element type that the post-op makes of `before`.
Type type_after(const PostOp &, Type before);

/// A Cast as a post-op.
PostOp casting(Type to);

/// Whether numbers of the type are integers of 8 bits, as those of quantised models.
inline bool is_8_bit(Type type)
{
    return type == Type::u8 || type == Type::s8;
}

/// Runs the reference kernel and then the post-ops. `operands` are those of the binary post-ops, in order.
void run_reference(RunContext &, std::span<const Tensor> operands);

/// Runs a node on the values of its graph, all by reference, and stores its outputs among them. Throws Error that names
/// the node.
void run_node(const Node &, std::span<Tensor> values);

/// The shape that numpy-style broadcasting of both gives; -1 spreads. Throws Error when they do not fit.
Shape broadcast(const Shape &, const Shape &);
/// Axis in [-rank, rank) to [0, rank). Throws Error that names the axis.
size_t normal_axis(int64_t axis, size_t rank);
/// The element type that the attribute names. Throws Error when there is no such type.
Type type_attribute(const Attributes &, const std::string &name, Type otherwise);

// The families, one file each in ops/. To add an op: write its shape rule and reference kernel in the family's file,
// add the row to the family's table, add a case to tests/ops. A new family is one more line here and in ops.cpp.
std::span<const Op> elementwise_ops();
std::span<const Op> shape_ops();
std::span<const Op> convolution_ops();
std::span<const Op> pooling_ops();
std::span<const Op> normalization_ops();
std::span<const Op> matmul_ops();
std::span<const Op> reduction_ops();
std::span<const Op> resize_ops();
std::span<const Op> sampling_ops();
std::span<const Op> indexing_ops();
std::span<const Op> quantization_ops();
std::span<const Op> recurrent_ops();
std::span<const Op> control_ops();
std::span<const Op> image_ops();
std::span<const Op> prior_ops();
std::span<const Op> detection_output_ops();
std::span<const Op> proposal_ops();
std::span<const Op> suppression_ops();
std::span<const Op> region_ops();
std::span<const Op> sequence_ops();
std::span<const Op> spectrum_ops();

} // namespace leat
