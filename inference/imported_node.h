#pragma once
#include "graph.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace leat {

/// One node of a model file on its way into the graph: what the rows of a reader's operator table see and edit.
class ImportedNode {
  public:
    /// `ranks` are those that the file declares for values whose shape the graph does not know yet.
    ImportedNode(Graph &target, const std::unordered_map<ValueId, size_t> &ranks) : graph(target), ranks_(ranks) {}

    Graph &graph;
    std::string name, domain, type;
    int64_t opset = 0; ///< version of the operator's set that the model uses
    std::vector<ValueId> inputs, outputs;
    size_t captured = 0; ///< how many of the inputs, the last ones, are only read by the subgraphs
    Attributes attributes;

    bool has(size_t input) const { return input < inputs.size() && inputs[input] != no_value; }
    bool wants(size_t output) const { return output < outputs.size() && outputs[output] != no_value; }
    /// Throws Error when it is absent.
    ValueId input(size_t index) const;
    /// no_value when it is absent.
    ValueId optional_input(size_t index) const { return has(index) ? inputs[index] : no_value; }
    /// Nothing when the input is absent or not constant.
    const Tensor *constant(size_t input) const;
    /// Nothing when neither the graph nor the file says it.
    std::optional<size_t> rank(size_t input) const;

    /// Adds a constant that only this node reads.
    ValueId add_constant(Tensor);
    ValueId add_integers(const std::vector<int64_t> &values);
    ValueId add_integer(int64_t value); ///< of rank 0
    ValueId add_number(float value);    ///< of rank 0
    /// Adds a node with one new output, and returns that.
    ValueId add(std::string_view op, std::vector<ValueId> node_inputs, Attributes node_attributes = {});
    /// Adds a node that makes outputs of this one. Throws Error when the table of ops lacks it.
    void add(std::string_view op, std::vector<ValueId> node_inputs, std::vector<ValueId> node_outputs,
             Attributes node_attributes = {});
    /// Adds a node with the name of this one, its inputs, outputs and attributes.
    void add_as(std::string_view op);
    /// Moves a list of integers to an input, as newer versions want it. Does nothing when it is absent.
    void make_input(size_t index, const std::string &attribute);
    void set_input(size_t index, ValueId);
    /// Lets the constant be the output.
    void set_constant_output(Tensor);

  private:
    const std::unordered_map<ValueId, size_t> &ranks_;
    int added_ = 0;
};

/// Attributes of those names and values.
template <class... Pairs> Attributes with(Pairs &&...pairs)
{
    Attributes result;
    (result.set(pairs.first, pairs.second), ...);
    return result;
}
inline std::pair<const char *, Attribute> integer(const char *name, int64_t value)
{
    return {name, value};
}
inline std::pair<const char *, Attribute> text(const char *name, const char *value)
{
    return {name, std::string(value)};
}

} // namespace leat
