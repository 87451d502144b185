#include "preprocess/image_input.h"
#include "preprocess/sampling.h"

#include "inference/ops.h"

#include <algorithm>

namespace leat {
namespace {

size_t index_of(const Graph &graph, const std::string &input)
{
    std::string names;
    for (size_t i = 0; i < graph.inputs.size(); i++) {
        const std::string &name = graph.values[graph.inputs[i]].name;
        if (name == input)
            return i;
        names += (i ? ", \"" : "\"") + name + "\"";
    }
    throw Error("the model has no input \"" + input + "\"; its inputs are " + names);
}

Shape shape_of(const ImageSpec &spec)
{
    const int channels = channels_of(spec.order);
    if (spec.layout == Layout::nchw)
        return {1, channels, spec.height, spec.width};
    return {1, spec.height, spec.width, channels};
}

void check_fits(const Value &input, const ImageSpec &spec)
{
    const Shape wanted = shape_of(spec);
    const std::string picture = "input \"" + input.name + "\" cannot take a picture of " + to_string(wanted) + " (" +
                                (spec.layout == Layout::nchw ? "NCHW" : "NHWC") + "): ";
    if (input.type != spec.type)
        throw Error(picture + "its type is " + std::string(to_string(input.type)) + ", not " +
                    std::string(to_string(spec.type)));
    if (!input.shape)
        return;
    const Shape &shape = *input.shape;
    bool fits = shape.size() == wanted.size();
    for (size_t axis = 0; fits && axis < shape.size(); axis++)
        fits = shape[axis] == -1 || shape[axis] == wanted[axis];
    if (!fits)
        throw Error(picture + "its shape is " + to_string(shape));
}

std::vector<float> list_of(const std::array<float, 3> &numbers)
{
    return {numbers.begin(), numbers.end()};
}

Attributes attributes_of(const ImageSpec &spec)
{
    Attributes attributes;
    attributes.set("width", static_cast<int64_t>(spec.width));
    attributes.set("height", static_cast<int64_t>(spec.height));
    attributes.set("order", static_cast<int64_t>(spec.order));
    attributes.set("resize", static_cast<int64_t>(spec.resize));
    attributes.set("filter", static_cast<int64_t>(spec.filter));
    attributes.set("layout", static_cast<int64_t>(spec.layout));
    attributes.set("type", static_cast<int64_t>(spec.type));
    attributes.set("mul", list_of(spec.mul));
    attributes.set("add", list_of(spec.add));
    attributes.set("pad", spec.pad);
    return attributes;
}

template <class Enum> Enum enum_of(const Node &node, const char *name, Enum otherwise, Enum last)
{
    const int64_t number = node.attributes.integer(name, static_cast<int64_t>(otherwise));
    if (number < 0 || number > static_cast<int64_t>(last))
        throw Error("node \"" + node.name + "\": " + name + " is " + std::to_string(number) + ", want 0 to " +
                    std::to_string(static_cast<int64_t>(last)));
    return static_cast<Enum>(number);
}

std::array<float, 3> three_of(const Node &node, const char *name, float otherwise)
{
    const auto numbers = node.attributes.numbers(name, {otherwise, otherwise, otherwise});
    if (numbers.size() != 3)
        throw Error("node \"" + node.name + "\": " + name + " has " + std::to_string(numbers.size()) +
                    " numbers, want 3");
    return {numbers[0], numbers[1], numbers[2]};
}

int size_of_axis(const Node &node, const char *name)
{
    constexpr int64_t limit = 1 << 15;
    const int64_t size = node.attributes.integer(name, 0);
    if (size < 1 || size > limit)
        throw Error("node \"" + node.name + "\": " + name + " is " + std::to_string(size) + ", want 1 to " +
                    std::to_string(limit));
    return static_cast<int>(size);
}

} // namespace

Graph with_image_input(Graph graph, const std::string &input, const ImageSpec &spec)
{
    const size_t index = index_of(graph, input);
    const ValueId tensor = graph.inputs[index];
    check_output_type(spec.type);
    check_fits(graph.values[tensor], spec);
    graph.values[tensor].name = input + "/tensor";
    graph.values[tensor].shape = shape_of(spec);

    Value picture;
    picture.name = input;
    picture.type = Type::u8;
    graph.inputs[index] = graph.add_value(std::move(picture));

    Node node;
    node.op = &op("ImageToTensor");
    node.name = input + "/ImageToTensor";
    node.inputs = {graph.inputs[index]};
    node.outputs = {tensor};
    node.attributes = attributes_of(spec);
    graph.nodes.insert(graph.nodes.begin(), std::move(node));
    infer_shapes(graph);
    return graph;
}

ImageSpec image_spec_of(const Node &node)
{
    ImageSpec spec;
    spec.width = size_of_axis(node, "width");
    spec.height = size_of_axis(node, "height");
    spec.order = enum_of(node, "order", spec.order, ColourOrder::gray);
    spec.resize = enum_of(node, "resize", spec.resize, ResizeMode::letterbox_corner);
    spec.filter = enum_of(node, "filter", spec.filter, Filter::area);
    spec.layout = enum_of(node, "layout", spec.layout, Layout::nhwc);
    spec.type = enum_of(node, "type", spec.type, Type::boolean);
    check_output_type(spec.type);
    spec.mul = three_of(node, "mul", 1);
    spec.add = three_of(node, "add", 0);
    spec.pad = node.attributes.number("pad", 0);
    return spec;
}

} // namespace leat
