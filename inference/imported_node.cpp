#include "imported_node.h"
#include "ops.h"

namespace leat {

ValueId ImportedNode::input(size_t index) const
{
    if (!has(index))
        throw Error("operator " + type + " lacks its input " + std::to_string(index));
    return inputs[index];
}

const Tensor *ImportedNode::constant(size_t index) const
{
    return has(index) && graph.is_constant(inputs[index]) ? &graph.values[inputs[index]].constant : nullptr;
}

std::optional<size_t> ImportedNode::rank(size_t index) const
{
    if (!has(index))
        return {};
    if (const auto &shape = graph.values[inputs[index]].shape)
        return shape->size();
    const auto declared = ranks_.find(inputs[index]);
    return declared == ranks_.end() ? std::optional<size_t>() : declared->second;
}

ValueId ImportedNode::add_constant(Tensor tensor)
{
    return graph.add_constant(name + "/constant_" + std::to_string(added_++), std::move(tensor));
}

ValueId ImportedNode::add_integers(const std::vector<int64_t> &values)
{
    return add_constant(Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
}

ValueId ImportedNode::add_integer(int64_t value)
{
    return add_constant(Tensor::of<int64_t>({}, {value}));
}

ValueId ImportedNode::add_number(float value)
{
    return add_constant(Tensor::of<float>({}, {value}));
}

ValueId ImportedNode::add(std::string_view op_name, std::vector<ValueId> node_inputs, Attributes node_attributes)
{
    Value value;
    value.name = name + "/" + std::string(op_name) + "_" + std::to_string(added_++);
    Node node{&op(op_name), value.name, std::move(node_inputs), {}, std::move(node_attributes), {}};
    node.outputs = {graph.add_value(std::move(value))};
    graph.nodes.push_back(std::move(node));
    return graph.nodes.back().outputs[0];
}

void ImportedNode::add(std::string_view op_name, std::vector<ValueId> node_inputs, std::vector<ValueId> node_outputs,
                       Attributes node_attributes)
{
    while (!node_inputs.empty() && node_inputs.back() == no_value)
        node_inputs.pop_back();
    graph.nodes.push_back(
        {&op(op_name), name, std::move(node_inputs), std::move(node_outputs), std::move(node_attributes), {}});
}

void ImportedNode::add_as(std::string_view op_name)
{
    add(op_name, inputs, outputs, attributes);
}

void ImportedNode::make_input(size_t index, const std::string &attribute)
{
    if (!attributes.has(attribute))
        return;
    set_input(index, add_integers(attributes.integers(attribute)));
    attributes.erase(attribute);
}

void ImportedNode::set_input(size_t index, ValueId id)
{
    if (inputs.size() <= index)
        inputs.resize(index + 1, no_value);
    inputs[index] = id;
}

void ImportedNode::set_constant_output(Tensor tensor)
{
    if (!wants(0))
        return;
    Value &value = graph.values[outputs[0]];
    value.type = tensor.type();
    value.shape = tensor.shape();
    value.constant = std::move(tensor);
}

} // namespace leat
