#include "message_of.h"
#include "onnx_text.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

namespace leat {
namespace {

using namespace std::string_literals;

std::string message_of_text(const std::string &text)
{
    return message_of([&] { read_onnx_text(text); });
}

std::string message_of_graph(const std::string &graph, int opset = 22)
{
    return message_of_text(onnx_model(graph, opset));
}

const std::string x = onnx_input("x", {1, 4}), y = onnx_output("y"),
                  relu = "node { op_type: \"Relu\" input: \"x\" output: \"y\" } ";

/// An initializer that a graph of one Add reads.
std::string with_initializer(const std::string &tensor)
{
    return x + y + "node { op_type: \"Add\" input: \"x\" input: \"w\" output: \"y\" } initializer { name: \"w\" " +
           tensor + " }";
}

TEST(BadOnnx, Graphs)
{
    const struct {
        const char *what;
        std::string graph, message;
    } cases[] = {
        {"unknown operator", x + y + "node { op_type: \"Foo\" input: \"x\" output: \"y\" name: \"foo\" }",
         "node \"foo\": operator Foo (domain ai.onnx, opset 22) is not supported; export the model without it, as "
         "standard ONNX operators of opset 22 or below"},
        {"unknown domain", x + y + "node { op_type: \"Foo\" domain: \"my.own\" input: \"x\" output: \"y\" }",
         "node \"Foo_0\": operator Foo (domain my.own, opset 1) is not supported; export the model without it, as "
         "standard ONNX operators of opset 22 or below"},
        {"an op of Leat that is no operator of ONNX",
         x + y + "node { op_type: \"ImageToTensor\" input: \"x\" output: \"y\" }",
         "node \"ImageToTensor_0\": operator ImageToTensor (domain ai.onnx, opset 22) is not supported; export the "
         "model without it, as standard ONNX operators of opset 22 or below"},
        {"classical machine learning",
         x + y + "node { op_type: \"Scaler\" domain: \"ai.onnx.ml\" input: \"x\" output: \"y\" }",
         "node \"Scaler_0\": operator Scaler (domain ai.onnx.ml, opset 1) is not supported; models of classical "
         "machine learning cannot be read, export a neural network"},
        {"removed operator", x + y + "node { op_type: \"Upsample\" input: \"x\" input: \"x\" output: \"y\" }",
         "node \"Upsample_0\": operator Upsample (domain ai.onnx, opset 22) is not supported; it was removed after "
         "opset 9, export the model again"},
        {"random numbers", x + y + "node { op_type: \"RandomNormalLike\" input: \"x\" output: \"y\" }",
         "node \"RandomNormalLike_0\": operator RandomNormalLike makes random numbers, which inference does not want; "
         "export the model for inference"},
        {"absent input", x + y + "node { op_type: \"Relu\" input: \"z\" output: \"y\" }",
         "node \"Relu_0\": its input \"z\" is made by no node, initializer or input of the graph"},
        {"required input left out", x + y + "node { op_type: \"Add\" input: \"x\" input: \"\" output: \"y\" }",
         "node \"Add_0\" (Add) has 1 inputs, want 2"},
        {"absent output", x + onnx_output("z") + relu,
         "graph \"\": its output \"z\" is made by no node, initializer or input"},
        {"no outputs", x + relu,
         "the model has no outputs; mark the tensors that it shall give as outputs of the graph"},
        {"two makers", x + y + relu + relu, "node \"Relu_1\" makes \"y\", which node \"Relu_0\" makes already"},
        {"a node makes an input", x + y + relu + "node { op_type: \"Relu\" input: \"y\" output: \"x\" }",
         "node \"Relu_1\" makes \"x\", which is an input or initializer of the graph already"},
        {"circle",
         x + y +
             "node { op_type: \"Add\" input: \"x\" input: \"b\" output: \"a\" name: \"first\" } "
             "node { op_type: \"Relu\" input: \"a\" output: \"b\" } "
             "node { op_type: \"Relu\" input: \"b\" output: \"y\" }",
         "node \"first\" depends on its own output"},
        {"two inputs of one name", x + x + y + relu, "input \"x\": another one has the same name"},
        {"input of strings", "input { name: \"x\" type { tensor_type { elem_type: 8 } } } " + y + relu,
         "input \"x\": the element type string is not supported"},
        {"input of sequences", "input { name: \"x\" type { sequence_type { } } } " + y + relu,
         "input \"x\": it is not a tensor; only tensors are supported"},
        {"sparse weights", x + y + relu + "sparse_initializer { }",
         "sparse initializers are not supported; export the weights dense"},
        {"attribute of a wrong kind",
         x + y + "node { op_type: \"Relu\" input: \"x\" output: \"y\" attribute { name: \"a\" type: SPARSE_TENSOR } }",
         "node \"Relu_0\": attribute a: it is neither a number, a text, a tensor nor a graph"},
        {"an element type that nobody knows",
         x + y + "node { op_type: \"Cast\" input: \"x\" output: \"y\" attribute { name: \"to\" type: INT i: 99 } }",
         "node \"Cast_0\": attribute to: the element type 99 is unknown"},
        {"a reference outside of a function",
         x + y + "node { op_type: \"Relu\" input: \"x\" output: \"y\" attribute { name: \"a\" ref_attr_name: \"b\" } }",
         "node \"Relu_0\": attribute a refers to a function's attribute outside of a function"},
        {"If without its condition",
         x + y +
             "node { op_type: \"If\" input: \"x\" input: \"x\" output: \"y\" attribute { name: \"then_branch\" "
             "type: GRAPH g { " +
             onnx_output("x") + " } } }",
         "node \"If_0\": then_branch: it takes 1 inputs, but the node has 2"},
        {"more subgraphs than any operator has",
         x + y +
             "node { op_type: \"If\" input: \"x\" output: \"y\" attribute { name: \"a\" type: GRAPH } attribute { "
             "name: "
             "\"b\" type: GRAPH } attribute { name: \"c\" type: GRAPH } }",
         "node \"If_0\": it has 3 subgraphs; no operator has more than 2"},
        {"fault in a branch",
         x + y +
             "node { op_type: \"If\" input: \"x\" output: \"y\" attribute { name: \"then_branch\" type: GRAPH g { "
             "node { op_type: \"Relu\" input: \"q\" output: \"z\" } output { name: \"z\" } } } }",
         "node \"If_0\": then_branch: node \"If_0/then_branch/Relu_0\": its input \"q\" is made by no node, "
         "initializer "
         "or input of the graph"},
    };
    for (const auto &[what, graph, message] : cases)
        EXPECT_EQ(message_of_graph(graph), message) << what;
}

TEST(BadOnnx, OldOperatorSets)
{
    EXPECT_EQ(message_of_graph(x + y + "node { op_type: \"Concat\" input: \"x\" output: \"y\" }", 3),
              "node \"Concat_0\": operator Concat (domain ai.onnx, opset 3) is not supported; convert the model to "
              "opset 4 or above with onnx.version_converter");
    EXPECT_EQ(
        message_of_text("ir_version: 8 graph { " + x + y + relu + " }"),
        "node \"Relu_0\": the model does not say which version of the standard operators it uses; export it again");
}

TEST(BadOnnx, Initializers)
{
    const struct {
        std::string tensor, message;
    } cases[] = {
        {"data_type: 1 dims: 4 raw_data: \"123\"", "its data has 3 bytes, but the shape 4 needs 16"},
        {"data_type: 1 dims: 4 float_data: 1", "its data has 1 elements, but the shape 4 needs 4"},
        {"data_type: 1 dims: 4", "its data has 0 elements, but the shape 4 needs 4"},
        {"data_type: 1 dims: -4", "it has a negative dimension"},
        {"data_type: 0 dims: 4", "the element type 0 is unknown"},
        {"data_type: 8 dims: 1 string_data: \"a\"", "the element type string is not supported"},
        {"data_type: 22 dims: 1 int32_data: 1", "the element type int4 is not supported"},
        {"data_type: 1 dims: 4611686018427387904 raw_data: \"1\"", "its shape 4611686018427387904 is absurd"},
        {"data_type: 1 dims: 1 segment { begin: 0 end: 1 }",
         "it is stored in segments, which nobody writes; save the model again"},
    };
    for (const auto &[tensor, message] : cases)
        EXPECT_EQ(message_of_graph(with_initializer(tensor)), "initializer \"w\": " + message);
    EXPECT_EQ(message_of_graph(with_initializer("data_type: 1 float_data: 1") +
                               " initializer { name: \"w\" data_type: 1 float_data: 1 }"),
              "initializer \"w\": another one has the same name");
}

TEST(BadOnnx, ExternalData)
{
    const TemporaryFolder outside, folder;
    outside.write("secret", "0123456789abcdef");
    folder.write("weights", "0123456789abcdef");
    std::filesystem::create_symlink(outside / "secret", folder / "link");
    std::filesystem::create_directory(folder / "sub");
    const auto external = [&](const std::string &location, const std::string &more, const std::filesystem::path &from) {
        return message_of([&] {
            read_onnx_text(
                onnx_model(with_initializer("data_type: 1 dims: 4 data_location: EXTERNAL external_data { key: "
                                            "\"location\" value: \"" +
                                            location + "\" } " + more)),
                from);
        });
    };
    EXPECT_EQ(external("weights", "", folder.path()), "no error");
    const auto inside = "must be named by a path inside the model's folder"s;
    const struct {
        std::string location, more, message;
    } cases[] = {
        {"absent", "", "its external data \"absent\" does not exist; put that file beside the model"},
        {"../secret", "", "its external data \"../secret\" " + inside},
        {"/etc/passwd", "", "its external data \"/etc/passwd\" " + inside},
        {"", "", "its external data \"\" " + inside},
        {"link", "", "its external data \"link\" is a link out of the model's folder; put a copy there"},
        {"sub", "", "the external data \"sub\" is not a readable file"},
        {"weights", "external_data { key: \"offset\" value: \"1\" }",
         "its external data \"weights\" has 16 bytes, too few for 16 at offset 1"},
        {"weights", "external_data { key: \"offset\" value: \"18446744073709551615\" }",
         "its external data \"weights\" has 16 bytes, too few for 16 at offset 18446744073709551615"},
        {"weights", "external_data { key: \"offset\" value: \"-1\" }",
         "the offset of its external data is not a number"},
        {"weights", "external_data { key: \"length\" value: \"8\" }", "its data has 8 bytes, but the shape 4 needs 16"},
    };
    for (const auto &[location, more, message] : cases)
        EXPECT_EQ(external(location, more, folder.path()), "initializer \"w\": " + message);
    EXPECT_EQ(external("weights", "", {}),
              "initializer \"w\": its data is in another file, but the model was not read from a folder");
}

TEST(BadOnnx, Functions)
{
    const auto with_function = [](const std::string &body) {
        return "ir_version: 8 opset_import { version: 22 } opset_import { domain: \"f\" version: 1 } graph { " + x + y +
               "node { op_type: \"F\" domain: \"f\" input: \"x\" output: \"y\" name: \"call\" } } functions { name: "
               "\"F\" domain: \"f\" output: \"b\" " +
               body + " }";
    };
    EXPECT_EQ(message_of_text(with_function("input: \"a\"")),
              "node \"call\": function \"F\" does not make its output \"b\"");
    EXPECT_EQ(message_of_text(with_function("")),
              "node \"call\": function \"F\" has 0 inputs and 1 outputs, fewer than its caller wants");
    const std::string recursive =
        message_of_text(with_function("input: \"a\" node { op_type: \"F\" domain: \"f\" input: \"a\" output: \"b\" }"));
    EXPECT_TRUE(recursive.ends_with("function \"F\" calls itself, or functions lie in each other more than 32 deep"))
        << recursive;
}

/// Each function calls the one before it eight times: 8^12 nodes when inlined.
TEST(BadOnnx, FunctionsThatGrowWithoutBound)
{
    std::string text = "ir_version: 8 opset_import { version: 22 } graph { " + x + y +
                       "node { op_type: \"F12\" domain: \"f\" input: \"x\" output: \"y\" } } functions { name: \"F0\" "
                       "domain: \"f\" input: \"v0\" output: \"v1\" node { op_type: \"Relu\" input: \"v0\" output: "
                       "\"v1\" } } ";
    for (int i = 1; i <= 12; i++) {
        text += "functions { name: \"F" + std::to_string(i) + "\" domain: \"f\" input: \"v0\" output: \"v8\" ";
        for (int j = 0; j < 8; j++)
            text += "node { op_type: \"F" + std::to_string(i - 1) + "\" domain: \"f\" input: \"v" + std::to_string(j) +
                    "\" output: \"v" + std::to_string(j + 1) + "\" } ";
        text += "} ";
    }
    const std::string message = message_of_text(text);
    EXPECT_TRUE(
        message.ends_with("the model grows too much when its functions are inlined; inline them before exporting"))
        << message;
}

/// Forty tensors of 60 MiB from a file of 2 kB: what is not folded stays a node.
TEST(BadOnnx, ConstantsThatGrowWithoutBound)
{
    std::string graph = "initializer { name: \"n\" data_type: 7 dims: 1 int64_data: 15728640 } ";
    for (int i = 0; i < 40; i++)
        graph += "node { op_type: \"ConstantOfShape\" input: \"n\" output: \"y" + std::to_string(i) + "\" } " +
                 onnx_output("y" + std::to_string(i));
    Graph read = read_onnx_text(onnx_model(graph));
    infer_shapes(read);
    EXPECT_EQ(read.nodes.size(), 36u);
}

TEST(BadOnnx, Files)
{
    const TemporaryFolder folder;
    const std::string good = onnx_bytes(onnx_model(x + y + relu));
    folder.write("good.onnx", good);
    EXPECT_EQ(read_model_file(folder / "good.onnx").nodes.size(), 1u);
    const std::string damaged = "this is not an ONNX model, or it is truncated or damaged; export it again";
    const struct {
        std::string bytes, message;
    } cases[] = {
        {"", "the file is empty; copy or download it again"},
        {good.substr(0, good.size() / 2), damaged},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", damaged},
        {"\x08\x08"s, "this is not an ONNX model, or it is damaged: it has no graph"},
        {"<?xml version=\"1.0\"?><net/>", "<net> lacks the attribute version"},
        {"<svg/>", "this XML file is not an OpenVINO IR: it has no <net>"},
        {"PK\3\4....", "this is a zip archive (PyTorch and Keras save such files); export the model to ONNX"},
        {"....TFL3",
         "this is a TensorFlow Lite model, which this version cannot read; convert it to ONNX with tf2onnx"},
        {"version https://git-lfs.github.com/spec/v1\n",
         "this is a Git LFS pointer instead of the model; run git lfs pull"},
        {"person\nbicycle\ncar\n", "this is a text file, not a model; check the path"},
    };
    const auto message = [](const std::filesystem::path &path) { return message_of([&] { read_model_file(path); }); };
    const auto prefix = "while reading \"" + (folder / "m.onnx").string() + "\": ";
    for (const auto &[bytes, expected] : cases)
        EXPECT_EQ(message(folder.write("m.onnx", bytes)), prefix + expected);
    EXPECT_EQ(message(folder / "absent.onnx"),
              "while reading \"" + (folder / "absent.onnx").string() + "\": the file does not exist; check the path");
    EXPECT_EQ(message(folder.path()),
              "while reading \"" + folder.path().string() + "\": this is a folder; name the model file in it");
}

/// Every shorter copy of a model is an Error or a graph, never anything else.
TEST(BadOnnx, EveryTruncation)
{
    const std::string good = onnx_bytes(
        onnx_model(with_initializer("data_type: 1 dims: 4 float_data: [1, 2, 3, 4]") + "value_info { name: \"q\" }"));
    EXPECT_EQ(read_onnx_bytes(good).nodes.size(), 1u);
    int errors = 0;
    for (size_t length = 0; length < good.size(); length++)
        errors += message_of([&] { read_onnx_bytes(good.substr(0, length)); }) != "no error";
    EXPECT_GT(errors, static_cast<int>(good.size()) - 5);
}

} // namespace
} // namespace leat
