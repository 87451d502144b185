#include "ops.h"

#include <algorithm>
#include <array>

namespace leat {
namespace {

std::vector<const Op *> make_table()
{
    std::vector<const Op *> table;
    for (auto family :
         {elementwise_ops, shape_ops,    convolution_ops, pooling_ops,          normalization_ops, matmul_ops,
          reduction_ops,   resize_ops,   sampling_ops,    indexing_ops,         quantization_ops,  recurrent_ops,
          control_ops,     image_ops,    prior_ops,       detection_output_ops, proposal_ops,      suppression_ops,
          region_ops,      sequence_ops, spectrum_ops})
        for (const Op &row : family())
            table.push_back(&row);
    std::sort(table.begin(), table.end(), [](const Op *a, const Op *b) { return a->name < b->name; });
    return table;
}

Tensor zero_point_of(const PostOp &post, Type type)
{
    return Tensor::of<int64_t>({}, {post.attributes.integer("zero_point", 0)}).converted(type);
}

/// What the unary op reads after the value, as the attributes have it.
std::vector<Tensor> parameters_of(const PostOp &post, Type type)
{
    std::vector<Tensor> parameters;
    if (post.op->name == "Clip")
        for (const char *bound : {"min", "max"})
            parameters.push_back(post.attributes.has(bound)
                                     ? Tensor::of<float>({}, {post.attributes.number(bound, 0)}).converted(type)
                                     : Tensor());
    if (post.op->name == "QuantizeLinear") {
        parameters.push_back(Tensor::of<float>({}, {post.attributes.number("scale", 1)}));
        parameters.push_back(zero_point_of(post, type_attribute(post.attributes, "output_dtype", Type::u8)));
    }
    return parameters;
}

Tensor apply_unary(const PostOp &post, const Tensor &value)
{
    Node node;
    node.op = post.op;
    node.attributes = post.attributes;
    std::vector<Tensor> inputs = parameters_of(post, value.type());
    inputs.insert(inputs.begin(), value);
    node.inputs.assign(inputs.size(), 0);
    node.outputs = {0};
    Tensor result;
    RunContext context(node, inputs, {&result, 1});
    post.op->reference(context);
    return result;
}

/// The numbers that a quantised operand stands for.
Tensor dequantised(const PostOp &post, const Tensor &operand)
{
    Node node;
    node.op = &op("DequantizeLinear");
    node.inputs = {0, 0, 0};
    node.outputs = {0};
    const std::array<Tensor, 3> inputs{operand, Tensor::of<float>({}, {post.attributes.number("scale", 1)}),
                                       zero_point_of(post, operand.type())};
    Tensor result;
    RunContext context(node, inputs, {&result, 1});
    node.op->reference(context);
    return result;
}

Tensor apply_binary(const PostOp &post, const Tensor &value, const Tensor &operand)
{
    Node node;
    node.op = post.op;
    node.attributes = post.attributes;
    node.inputs = {0, 0};
    node.outputs = {0};
    const std::array<Tensor, 2> inputs{
        value, (post.attributes.has("scale") ? dequantised(post, operand) : operand).converted(value.type())};
    Tensor result;
    RunContext context(node, inputs, {&result, 1});
    post.op->reference(context);
    return result;
}

} // namespace

std::span<const Op *const> all_ops()
{
    static const std::vector<const Op *> table = make_table();
    return table;
}

const Op *find_op(std::string_view name)
{
    const auto table = all_ops();
    const auto row = std::lower_bound(table.begin(), table.end(), name,
                                      [](const Op *op, std::string_view n) { return op->name < n; });
    return row != table.end() && (*row)->name == name ? *row : nullptr;
}

const Op &op(std::string_view name)
{
    const Op *row = find_op(name);
    if (!row)
        throw Error("there is no op \"" + std::string(name) + "\"");
    return *row;
}

const std::optional<Shape> &ShapeContext::shape(size_t input) const
{
    static const std::optional<Shape> absent;
    return has(input) ? graph_.values[node_.inputs[input]].shape : absent;
}

const Tensor *ShapeContext::constant(size_t input) const
{
    return has(input) && graph_.is_constant(node_.inputs[input]) ? &graph_.values[node_.inputs[input]].constant
                                                                 : nullptr;
}

void ShapeContext::output(size_t index, Type type, std::optional<Shape> shape)
{
    if (index >= node_.outputs.size() || node_.outputs[index] == no_value)
        return;
    if (shape && shape->size() > max_rank)
        throw Error("output " + std::to_string(index) + " has " + std::to_string(shape->size()) +
                    " dimensions; at most " + std::to_string(max_rank) + " are supported");
    Value &value = graph_.values[node_.outputs[index]];
    value.type = type;
    value.shape = std::move(shape);
}

void ShapeContext::constant_output(size_t index, Tensor constant)
{
    output(index, constant.type(), constant.shape());
    if (index < node_.outputs.size() && node_.outputs[index] != no_value)
        graph_.values[node_.outputs[index]].constant = std::move(constant);
}

Tensor &RunContext::output(size_t index, Type type, Shape shape)
{
    static thread_local Tensor unwanted;
    if (index >= outputs_.size())
        return unwanted = Tensor(type, std::move(shape));
    Tensor &tensor = outputs_[index];
    if (!tensor || tensor.type() != type || tensor.shape() != shape)
        tensor = Tensor(type, std::move(shape));
    return tensor;
}

PostOp casting(Type to)
{
    PostOp post{PostOp::Kind::unary, &op("Cast"), {}, no_value};
    post.attributes.set("to", std::string(to_string(to)));
    return post;
}

Type type_after(const PostOp &post, Type before)
{
    if (post.op->name == "QuantizeLinear")
        return type_attribute(post.attributes, "output_dtype", Type::u8);
    return post.op->name == "Cast" ? type_attribute(post.attributes, "to", before) : before;
}

void run_reference(RunContext &context, std::span<const Tensor> operands)
{
    const Node &node = context.node;
    if (!node.op->reference)
        throw Error("the op " + std::string(node.op->name) + " has no reference kernel: its device must run it");
    node.op->reference(context);
    size_t next = 0;
    for (const PostOp &post : node.post_ops) {
        Tensor &value = context.first_output();
        Tensor result =
            post.kind == PostOp::Kind::unary ? apply_unary(post, value) : apply_binary(post, value, operands[next++]);
        if (result.type() == value.type() && result.shape() == value.shape())
            std::memcpy(value.raw(), result.raw(), result.bytes());
        else
            value = std::move(result);
    }
}

void run_node(const Node &node, std::span<Tensor> values)
{
    auto value = [&](ValueId id) { return id == no_value ? Tensor() : values[id]; };
    std::vector<Tensor> inputs, operands, outputs(node.outputs.size());
    for (ValueId id : node.inputs)
        inputs.push_back(value(id));
    for (const PostOp &post : node.post_ops)
        if (post.input != no_value)
            operands.push_back(value(post.input));
    RunContext context(node, inputs, outputs);
    in_context("node \"" + node.name + "\" (" + std::string(node.op->name) + ")",
               [&] { run_reference(context, operands); });
    for (size_t i = 0; i < outputs.size(); i++)
        if (node.outputs[i] != no_value)
            values[node.outputs[i]] = std::move(outputs[i]);
}

Shape broadcast(const Shape &a, const Shape &b)
{
    const size_t rank = std::max(a.size(), b.size());
    Shape result(rank);
    for (size_t i = 0; i < rank; i++) {
        const int64_t x = i < rank - a.size() ? 1 : a[i - (rank - a.size())];
        const int64_t y = i < rank - b.size() ? 1 : b[i - (rank - b.size())];
        if (x == y || y == 1)
            result[i] = x;
        else if (x == 1)
            result[i] = y;
        else if (x == -1 || y == -1)
            result[i] = std::max(x, y);
        else
            throw Error("the shapes " + to_string(a) + " and " + to_string(b) + " do not broadcast");
    }
    return result;
}

size_t normal_axis(int64_t axis, size_t rank)
{
    const auto r = static_cast<int64_t>(rank);
    if (axis < -r || axis >= r)
        throw Error("axis " + std::to_string(axis) + " is outside of a tensor of rank " + std::to_string(rank));
    return static_cast<size_t>(axis < 0 ? axis + r : axis);
}

Type type_attribute(const Attributes &attributes, const std::string &name, Type otherwise)
{
    if (!attributes.has(name))
        return otherwise;
    const std::string text = attributes.text(name, "");
    const auto type = type_from(text);
    if (!type)
        throw Error("attribute " + name + ": there is no element type \"" + text + "\"");
    return *type;
}

} // namespace leat
