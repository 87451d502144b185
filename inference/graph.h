#pragma once
#include <leat/error.h>
#include <leat/model.h>
#include <leat/tensor.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace leat {

struct Op;
struct Graph;

using ValueId = uint32_t;
inline constexpr ValueId no_value = ~ValueId(0); ///< an optional input or output that is absent

using Attribute = std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>, Tensor,
                               std::shared_ptr<const Graph>>;

/// Attributes of a node under the names of ONNX, latest operator set. Missing ones have the default given at the call.
class Attributes {
  public:
    bool has(const std::string &name) const { return map_.count(name) != 0; }
    int64_t integer(const std::string &name, int64_t otherwise) const;
    float number(const std::string &name, float otherwise) const;
    std::string text(const std::string &name, const std::string &otherwise) const;
    std::vector<int64_t> integers(const std::string &name, std::vector<int64_t> otherwise = {}) const;
    std::vector<float> numbers(const std::string &name, std::vector<float> otherwise = {}) const;
    void set(const std::string &name, Attribute value) { map_[name] = std::move(value); }
    void erase(const std::string &name) { map_.erase(name); }
    const std::map<std::string, Attribute> &all() const { return map_; }

  private:
    std::map<std::string, Attribute> map_;
};

/// What flows between nodes. A constant carries its elements.
struct Value {
    std::string name;
    Type type = Type::undefined;
    std::optional<Shape> shape; ///< nothing: not even the rank is known
    Tensor constant;            ///< present for weights and folded values
    Dimensions limits{};        ///< of an input whose open axes have bounds, axis by axis; else empty
};

/// Applied to output 0 of a node, element by element, in order, by whoever runs the node.
struct PostOp {
    enum class Kind {
        unary, ///< y = op(y): `op` is a unary elementwise op of the table (Relu, Clip, Sigmoid …) with its attributes
        binary, ///< y = op(y, input): `op` is Add, Sub, Mul, Div, Max, Min, PRelu; broadcasts `input` into y's shape
    };
    Kind kind = Kind::unary;
    const Op *op = nullptr;
    /// Of `op`. Clip keeps its bounds here, as numbers "min" and "max", and QuantizeLinear its "scale" and integer
    /// "zero_point". A binary one with these two reads integers that stand for (input - zero_point) * scale.
    Attributes attributes;
    ValueId input = no_value; ///< binary: the other operand
};

struct Node {
    const Op *op = nullptr;
    std::string name;
    std::vector<ValueId> inputs, outputs; ///< no_value where absent
    Attributes attributes;
    std::vector<PostOp> post_ops;
};

/// How many axes a value may have.
inline constexpr int max_rank = 64;

/// What folding of constants may still do.
struct FoldBudget {
    int64_t bytes = 0; ///< that it adds
    double steps = 0;  ///< that it takes (see work.h)
};

/// A directed acyclic graph in single-assignment form: nodes in an order in which they can run.
///
/// A value type: copying shares the constants' memory. Passes edit it freely and call tidy().
struct Graph {
    std::string name;
    std::vector<Value> values;
    std::vector<Node> nodes;
    std::vector<ValueId> inputs, outputs;
    /// What the model file says of itself: metadata_props, rt_info, and as "onnx.producer_name" the program that wrote
    /// it.
    std::map<std::string, std::string> metadata;
    /// Of this graph and those inside of it, for all calls of infer_shapes(), of which the first sets it.
    std::optional<FoldBudget> fold_budget;

    ValueId add_value(Value value);
    ValueId add_constant(const std::string &name, Tensor);
    bool is_constant(ValueId id) const { return id != no_value && bool(values[id].constant); }
    /// Node that makes the value; -1 for inputs and constants. O(nodes): passes that ask often keep uses() and
    /// producers().
    std::vector<int> producers() const;              ///< for each value
    std::vector<std::vector<int>> consumers() const; ///< for each value, the nodes that read it, post-ops included
    /// Inputs, absent ones too, then the operands of post-ops.
    static std::vector<ValueId> operands(const Node &);
    /// Every value that the node reads: inputs and operands of post-ops, absent ones left out.
    static std::vector<ValueId> reads(const Node &);
    /// Lets every reader of `from`, and the outputs, read `to` instead.
    void replace_uses(ValueId from, ValueId to);
    /// Drops nodes and values that no output needs and restores the order. Throws Error on a circle.
    void tidy();
    /// Throws Error unless: every id exists, each value has one maker that comes before its readers, arity fits the op.
    void verify() const;
};

/// Text that parse() reads back to an equal graph; constants above `max_elements` elements print only type, shape and a
/// hash, and such text cannot be parsed. One line a node: `%y:f32[1x8x4x4] = Conv(%x, %w, -) {group=1} post(Relu,
/// Add(%r)) "name"`.
std::string print(const Graph &, size_t max_elements = 16);
/// Throws Error with the line number.
Graph parse(const std::string &text);

/// Gives an input other sizes than its file says. Call infer_shapes() next, on a graph on which it was not called
/// before: what was folded from the old sizes would stay. Throws Error that names the input.
void set_input_shape(Graph &, const std::string &input, const Dimensions &);

/// Fills in type and shape of every value from the inputs on, and folds what is constant (see ops.h), in bounded time
/// and memory: constants that take too long or grow too large are left to the device. Throws Error that names the node.
void infer_shapes(Graph &);

} // namespace leat
