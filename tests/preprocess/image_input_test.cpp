#include "preprocess/image_input.h"

#include "inference/ops.h"

#include <gtest/gtest.h>

namespace leat {
namespace {

Graph model(Type type, std::optional<Shape> shape)
{
    Graph graph;
    Value input{"other", Type::f32, Shape{1}, {}};
    graph.inputs.push_back(graph.add_value(input));
    graph.inputs.push_back(graph.add_value({"picture", type, std::move(shape), {}}));
    Node node;
    node.op = &op("Relu");
    node.name = "relu";
    node.inputs = {graph.inputs[1]};
    node.outputs = {graph.add_value({"result", Type::undefined, {}, {}})};
    graph.outputs = node.outputs;
    graph.nodes.push_back(std::move(node));
    return graph;
}

ImageSpec unusual_spec()
{
    ImageSpec spec;
    spec.width = 64;
    spec.height = 48;
    spec.order = ColourOrder::bgr;
    spec.mul = {0.1f, 0.2f, 0.3f};
    spec.add = {-1, -2, -3};
    spec.pad = 114;
    spec.resize = ResizeMode::letterbox_corner;
    spec.filter = Filter::area;
    spec.layout = Layout::nhwc;
    spec.type = Type::f32;
    return spec;
}

TEST(ImageInput, TakesThePlaceOfTheInput)
{
    const ImageSpec spec = unusual_spec();
    const Graph graph = with_image_input(model(Type::f32, Shape{-1, -1, -1, 3}), "picture", spec);
    graph.verify();
    ASSERT_EQ(graph.inputs.size(), 2u);
    EXPECT_EQ(graph.values[graph.inputs[1]].name, "picture");
    EXPECT_EQ(graph.values[graph.inputs[1]].type, Type::u8);
    ASSERT_EQ(graph.nodes.size(), 2u);
    EXPECT_EQ(graph.nodes[0].op->name, "ImageToTensor");
    EXPECT_EQ(image_spec_of(graph.nodes[0]), spec);
    EXPECT_EQ(graph.values[graph.outputs[0]].shape, (Shape{1, 48, 64, 3}));
    EXPECT_EQ(graph.values[graph.nodes[0].outputs[0]].name, "picture/tensor");
}

TEST(ImageInput, UnknownRankIsFixed)
{
    const Graph graph = with_image_input(model(Type::f32, std::nullopt), "picture", unusual_spec());
    EXPECT_EQ(graph.values[graph.outputs[0]].shape, (Shape{1, 48, 64, 3}));
}

std::string refusal(Graph graph, const std::string &input, const ImageSpec &spec)
{
    try {
        with_image_input(std::move(graph), input, spec);
    } catch (const Error &error) {
        return error.what();
    }
    return "accepted";
}

TEST(ImageInput, RefusesWhatDoesNotFit)
{
    const ImageSpec spec = unusual_spec();
    EXPECT_EQ(refusal(model(Type::f32, std::nullopt), "image", spec),
              "the model has no input \"image\"; its inputs are \"other\", \"picture\"");
    EXPECT_EQ(refusal(model(Type::f32, Shape{1, 3, 48, 64}), "picture", spec),
              "input \"picture\" cannot take a picture of 1x48x64x3 (NHWC): its shape is 1x3x48x64");
    EXPECT_EQ(refusal(model(Type::f32, Shape{4, 48, 64, 3}), "picture", spec),
              "input \"picture\" cannot take a picture of 1x48x64x3 (NHWC): its shape is 4x48x64x3");
    EXPECT_EQ(refusal(model(Type::u8, Shape{1, 48, 64, 3}), "picture", spec),
              "input \"picture\" cannot take a picture of 1x48x64x3 (NHWC): its type is u8, not f32");
}

TEST(ImageInput, FilterIsBilinearUnlessSaid)
{
    Node node;
    node.attributes.set("width", int64_t(4));
    node.attributes.set("height", int64_t(3));
    EXPECT_EQ(image_spec_of(node).filter, Filter::bilinear);
}

TEST(ImageInput, RefusesBrokenAttributes)
{
    Graph graph = with_image_input(model(Type::f32, std::nullopt), "picture", unusual_spec());
    Node node = graph.nodes[0];
    node.attributes.set("width", int64_t(0));
    EXPECT_THROW(image_spec_of(node), Error);
    node = graph.nodes[0];
    node.attributes.set("order", int64_t(7));
    EXPECT_THROW(image_spec_of(node), Error);
    node = graph.nodes[0];
    node.attributes.set("filter", int64_t(2));
    EXPECT_THROW(image_spec_of(node), Error);
    node = graph.nodes[0];
    node.attributes.set("mul", std::vector<float>{1});
    EXPECT_THROW(image_spec_of(node), Error);
}

} // namespace
} // namespace leat
