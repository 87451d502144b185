#include "errors/message_of.h"
#include "errors/onnx_text.h"
#include "inference/onnx_parts.h"
#include "support/temporary_folder.h"

#include <leat/error.h>

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace leat {
namespace {

constexpr int many = 2000, few = 4;

/// A tensor of the numbers first, first + 1, …
onnx::TensorProto counting(const std::string &name, int count, float first)
{
    std::vector<float> numbers(static_cast<size_t>(count));
    std::iota(numbers.begin(), numbers.end(), first);
    onnx::TensorProto tensor;
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    tensor.add_dims(count);
    tensor.set_raw_data(numbers.data(), numbers.size() * sizeof(float));
    return tensor;
}

onnx::AttributeProto holding(const onnx::TensorProto &tensor)
{
    onnx::AttributeProto attribute;
    attribute.set_name("value");
    attribute.set_type(onnx::AttributeProto::TENSOR);
    *attribute.mutable_t() = tensor;
    return attribute;
}

/// A model with large tensors as initializer, in a node, in a branch of a node and in a function; and a small one.
std::string model_with_tensors()
{
    onnx::ModelProto model;
    model.ParseFromString(
        onnx_bytes("ir_version: 9 opset_import { version: 22 } opset_import { domain: \"f\" version: 1 } graph { " +
                   onnx_input("x", {1}) + "initializer { name: \"c\" data_type: 9 dims: 1 raw_data: '\\001' } " +
                   node("Constant", {}, "b") + node("F", {}, "d", "domain: \"f\"") +
                   node("If", {"c"}, "e",
                        attribute("then_branch", "type: GRAPH g { name: \"t\" " + node("Add", {"x", "w"}, "r") +
                                                     "output { name: \"r\" } }") +
                            attribute("else_branch", "type: GRAPH g { name: \"e\" " + node("Sub", {"x", "w"}, "r") +
                                                         "output { name: \"r\" } }")) +
                   node("Sum", {"x", "a", "b", "d", "e"}, "y") + onnx_output("y") +
                   "} functions { name: \"F\" domain: \"f\" output: \"o\" opset_import { version: 22 } " +
                   node("Constant", {}, "o") + "}"));
    onnx::GraphProto &graph = *model.mutable_graph();
    *graph.add_initializer() = counting("a", many, 1);
    *graph.mutable_node(0)->add_attribute() = holding(counting("", many, 2));
    *model.mutable_functions(0)->mutable_node(0)->add_attribute() = holding(counting("", many, 3));
    for (int branch : {0, 1})
        *graph.mutable_node(2)->mutable_attribute(branch)->mutable_g()->add_initializer() = counting("w", many, 4);
    return model.SerializeAsString();
}

/// The first elements of all large constants, those of subgraphs included, in order of size; checks the others.
std::vector<float> firsts(const Graph &graph)
{
    std::vector<float> found;
    for (const Value &value : graph.values)
        if (value.constant && value.constant.type() == Type::f32) {
            EXPECT_EQ(value.constant.shape(), Shape{many});
            const auto numbers = value.constant.values<float>();
            for (size_t i = 1; i < numbers.size(); i++)
                EXPECT_EQ(numbers[i], numbers[0] + static_cast<float>(i));
            found.push_back(numbers[0]);
        }
    for (const Node &node : graph.nodes)
        for (const auto &[name, attribute] : node.attributes.all())
            if (const auto *body = std::get_if<std::shared_ptr<const Graph>>(&attribute))
                for (float first : firsts(**body))
                    found.push_back(first);
    std::sort(found.begin(), found.end());
    return found;
}

std::optional<OnnxParts> split(const std::string &bytes)
{
    google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()));
    return split_onnx(stream, bytes.size());
}

TEST(OnnxParts, LargeTensorsAreLeftInTheFile)
{
    const std::string bytes = model_with_tensors();
    const auto parts = split(bytes);
    ASSERT_TRUE(parts);
    EXPECT_EQ(parts->elements.size(), 5u);
    EXPECT_LT(parts->description.size(), 2000u);
    for (const FilePart &part : parts->elements) {
        EXPECT_EQ(part.bytes, many * sizeof(float));
        EXPECT_LE(part.offset + part.bytes, bytes.size());
    }
}

TEST(OnnxParts, AreReadWhereverTheyStand)
{
    const std::string bytes = model_with_tensors();
    const TemporaryFolder folder;
    for (const Graph &graph : {read_onnx_bytes(bytes), read_model_file(folder.write("m.onnx", bytes))})
        EXPECT_EQ(firsts(graph), (std::vector<float>{1, 2, 3, 4, 4}));
}

/// As protobuf has it, wherever the elements lie.
TEST(OnnxParts, OfAFieldThatComesTwiceTheLastHolds)
{
    const auto raw = [](int count, float first) {
        onnx::TensorProto tensor;
        tensor.set_raw_data(counting("", count, first).raw_data());
        return tensor.SerializeAsString();
    };
    const auto constant = [](const std::string &tensor) {
        onnx::ModelProto model;
        model.ParseFromString(onnx_bytes(onnx_model(node("Constant", {}, "y") + onnx_output("y"))));
        onnx::AttributeProto attribute;
        attribute.set_name("value");
        attribute.set_type(onnx::AttributeProto::TENSOR);
        model.mutable_graph()->mutable_node(0)->mutable_attribute()->Add()->ParseFromString(
            attribute.SerializeAsString() + tensor);
        return model.SerializeAsString();
    };
    // One field after the other in a tensor, or in a tensor that comes twice itself.
    const auto field = [](const std::string &tensor) {
        std::string text = "\x2a"; // the field t of an attribute
        for (size_t left = tensor.size(); left > 0 || text.size() == 1; left >>= 7)
            text += static_cast<char>((left & 127) | (left > 127 ? 128 : 0));
        return text + tensor;
    };
    for (int first : {few, many})
        for (int last : {few, many}) {
            onnx::TensorProto shape;
            shape.set_data_type(onnx::TensorProto::FLOAT);
            shape.add_dims(last);
            const std::string facts = shape.SerializeAsString();
            for (const std::string &twice :
                 {field(facts + raw(first, 1) + raw(last, 7)), field(facts + raw(first, 1)) + field(raw(last, 7))}) {
                std::string model = constant(twice);
                const Graph graph = read_onnx_bytes(model);
                const Tensor &made = graph.values[graph.outputs[0]].constant;
                ASSERT_EQ(made.shape(), Shape{last}) << first;
                EXPECT_EQ(made.values<float>()[2], 9) << first << ' ' << last;
            }
        }
}

TEST(OnnxParts, WhatATensorSaysOfItselfIsNoPlace)
{
    onnx::ModelProto model;
    model.ParseFromString(onnx_bytes(onnx_model(node("Add", {"a", "b"}, "y") + onnx_output("y"))));
    for (const auto &[name, first] : {std::pair("a", 1), std::pair("b", 5)}) {
        *model.mutable_graph()->add_initializer() = counting(name, many, static_cast<float>(first));
        model.mutable_graph()->mutable_initializer(first / 5)->set_doc_string("elements in part 0");
    }
    EXPECT_EQ(firsts(read_onnx_bytes(model.SerializeAsString())), (std::vector<float>{1, 5}));
}

/// A file that says of small tensors what only the reader says must not make it hold one part many times.
TEST(OnnxParts, NoPartIsReadForManyTensors)
{
    onnx::ModelProto model;
    model.ParseFromString(onnx_bytes(onnx_model(node("Identity", {"w"}, "y") + onnx_output("y"))));
    *model.mutable_graph()->add_initializer() = counting("w", many, 1);
    EXPECT_EQ(message_of([&] { read_onnx_bytes(model.SerializeAsString()); }), "no error");
    onnx::TensorProto &forged = *model.mutable_graph()->add_initializer();
    forged.set_name("forged");
    forged.set_data_type(onnx::TensorProto::FLOAT);
    forged.add_dims(many);
    forged.set_raw_data("");
    forged.set_doc_string("elements in part 0");
    EXPECT_EQ(message_of([&] { read_onnx_bytes(model.SerializeAsString()); }),
              "initializer \"forged\": the model reads its elements over and over; it is damaged");
}

TEST(OnnxParts, EveryTruncationIsAnError)
{
    const std::string bytes = model_with_tensors();
    const TemporaryFolder folder;
    const std::string damaged = "this is not an ONNX model, or it is truncated or damaged; export it again";
    for (size_t length = 1; length < bytes.size(); length += length < 200 ? 1 : 997) {
        const std::string cut = bytes.substr(0, length);
        const std::string message = message_of([&] { read_onnx_bytes(cut); });
        EXPECT_NE(message, "no error") << length;
        const auto file = folder.write("m.onnx", cut);
        EXPECT_EQ(message_of([&] { read_model_file(file); }), "while reading \"" + file.string() + "\": " + message);
    }
    EXPECT_EQ(message_of([&] { read_onnx_bytes(bytes.substr(0, bytes.size() - 5000)); }), damaged);
}

TEST(OnnxParts, DamageIsFoundWhereProtobufFindsIt)
{
    const std::string bytes = model_with_tensors();
    int damaged = 0;
    for (size_t i = 0; i < bytes.size(); i += i < 400 ? 1 : 509) {
        std::string changed = bytes;
        changed[i] = static_cast<char>(changed[i] ^ 0x55);
        onnx::ModelProto whole, description;
        const bool is_good = whole.ParseFromString(changed);
        const auto parts = split(changed);
        EXPECT_EQ(parts && description.ParseFromString(parts->description), is_good) << i;
        damaged += !is_good;
    }
    EXPECT_GT(damaged, 20);
}

TEST(OnnxParts, DepthIsBounded)
{
    std::string graph = onnx_output("y");
    for (int i = 0; i < 120; i++)
        graph = "node { attribute { name: \"g\" type: GRAPH g { " + graph + " } } }";
    onnx::ModelProto model;
    google::protobuf::TextFormat::Parser parser;
    parser.SetRecursionLimit(1000);
    ASSERT_TRUE(parser.ParseFromString(onnx_model(graph), &model));
    const std::string damaged = "this is not an ONNX model, or it is truncated or damaged; export it again";
    EXPECT_EQ(message_of([&] { read_onnx_bytes(model.SerializeAsString()); }), damaged);
    onnx::GraphProto *deepest = model.mutable_graph();
    while (deepest->node_size() > 0)
        deepest = deepest->mutable_node(0)->mutable_attribute(0)->mutable_g();
    deepest->set_doc_string(std::string(5000, 'x')); // so that none of the messages is short
    EXPECT_FALSE(split(model.SerializeAsString()));
}

} // namespace
} // namespace leat
