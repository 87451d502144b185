#include "inference/ops.h"
#include "inference/read.h"
#include "message_of.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <span>

namespace leat {
namespace {

using namespace std::string_literals;

Graph read_ir(const std::string &xml, const Tensor &weights)
{
    return read_openvino(std::as_bytes(std::span(xml)), [&] {
        return SharedBytes{{weights.raw(), weights.bytes()}, std::make_shared<const Tensor>(weights)};
    });
}

/// With weights of 16 zero bytes.
Graph read_ir(const std::string &xml)
{
    return read_ir(xml, Tensor::of<float>({4}, {0, 0, 0, 0}));
}

std::string message_of_xml(const std::string &xml)
{
    return message_of([&] { read_ir(xml); });
}

/// Layers and edges, "from-layer from-port to-layer to-port" each.
std::string content(const std::string &layers, const std::vector<std::array<int, 4>> &edges)
{
    std::string text = "<layers>" + layers + "</layers><edges>";
    for (const auto &[from, from_port, to, to_port] : edges)
        text += "<edge from-layer=\"" + std::to_string(from) + "\" from-port=\"" + std::to_string(from_port) +
                "\" to-layer=\"" + std::to_string(to) + "\" to-port=\"" + std::to_string(to_port) + "\"/>";
    return text + "</edges>";
}

std::string net(const std::string &layers, const std::vector<std::array<int, 4>> &edges, const std::string &more = "")
{
    return "<net name=\"n\" version=\"11\">" + content(layers, edges) + more + "</net>";
}

/// One layer. `data` are attributes of its <data>; inputs have the first ports, outputs the next; all are f32[1x4].
std::string layer(int id, const std::string &type, const std::string &data, int inputs, int outputs,
                  const std::string &inside = "")
{
    const auto ports = [](int first, int count) {
        std::string text;
        for (int i = first; i < first + count; i++)
            text += "<port id=\"" + std::to_string(i) + "\" precision=\"FP32\"><dim>1</dim><dim>4</dim></port>";
        return text;
    };
    return "<layer id=\"" + std::to_string(id) + "\" name=\"l" + std::to_string(id) + "\" type=\"" + type +
           "\" version=\"opset1\"><data " + data + "/>" + inside + "<input>" + ports(0, inputs) + "</input><output>" +
           ports(inputs, outputs) + "</output></layer>";
}

const std::string parameter = layer(0, "Parameter", "shape=\"1,4\" element_type=\"f32\"", 0, 1),
                  relu = layer(1, "ReLU", "", 1, 1), result = layer(2, "Result", "", 1, 0);
const std::vector<std::array<int, 4>> line = {{0, 0, 1, 0}, {1, 1, 2, 0}};

/// A network of one constant.
std::string with_constant(const std::string &data)
{
    return net(layer(0, "Const", data, 0, 1) + layer(1, "Result", "", 1, 0), {{0, 0, 1, 0}});
}

TEST(BadOpenvino, TheGoodOneIsRead)
{
    const Graph graph = read_ir(net(parameter + relu + result, line));
    ASSERT_EQ(graph.nodes.size(), 1u);
    EXPECT_EQ(graph.nodes[0].op->name, "Relu");
    EXPECT_EQ(graph.values[graph.inputs[0]].shape, (Shape{1, 4}));
}

TEST(BadOpenvino, Networks)
{
    const struct {
        const char *what;
        std::string xml, message;
    } cases[] = {
        {"unknown layer", net(parameter + layer(1, "Foo", "", 1, 1) + result, line),
         "layer \"l1\" (Foo): the type Foo (opset1) is not supported; convert the model again without it, as standard "
         "operations of opset1 to opset15, or export it to ONNX"},
        {"a type of a later operator set", net(parameter + layer(1, "HSwish", "", 1, 1) + result, line),
         "layer \"l1\" (HSwish): the type HSwish (opset1) is not supported; convert the model again with a newer "
         "version of OpenVINO"},
        {"unknown operator set",
         net(parameter +
                 "<layer id=\"1\" name=\"l1\" type=\"ReLU\" version=\"mine\"><input><port id=\"0\"/></input><output>"
                 "<port id=\"1\"/></output></layer>" +
                 result,
             line),
         "layer \"l1\" (ReLU): its operator set is \"mine\", want opset1, opset2 …"},
        {"circle", net(parameter + relu + result, {{1, 1, 1, 0}, {1, 1, 2, 0}}),
         "layer \"l1\" depends on its own output"},
        {"circle of two", net(layer(0, "ReLU", "", 1, 1) + relu + result, {{1, 1, 0, 0}, {0, 1, 1, 0}, {1, 1, 2, 0}}),
         "layer \"l0\" depends on its own output"},
        {"edge from nowhere", net(parameter + relu + result, {{7, 0, 1, 0}, {1, 1, 2, 0}}),
         "an edge leads from layer 7 to layer 1, one of which does not exist"},
        {"edge from a port that is not there", net(parameter + relu + result, {{0, 5, 1, 0}, {1, 1, 2, 0}}),
         "layer \"l1\" (ReLU): its port 0 reads port 5 of layer 0, which does not exist"},
        {"no edge", net(parameter + relu + result, {{1, 1, 2, 0}}), "layer \"l1\" (ReLU): no edge leads to its port 0"},
        {"two edges to a port", net(parameter + relu + result, {{0, 0, 1, 0}, {0, 0, 1, 0}, {1, 1, 2, 0}}),
         "two edges lead to port 0 of layer 1"},
        {"two layers of one number", net(parameter + relu + relu + result, line), "two layers have the id 1"},
        {"an edge without its end", "<net version=\"11\"><edges><edge from-layer=\"0\"/></edges></net>",
         "<edge> lacks the attribute to-layer"},
        {"a number that is none", "<net version=\"11\"><layers><layer id=\"0x\"/></layers></net>",
         "<layer> has the attribute id=\"0x\", want an integer"},
        {"no result", net(parameter, {}), "the model has no Result"},
        {"old version", "<net version=\"7\"/>",
         "this is an OpenVINO IR of version 7; versions 10 and 11 can be read: convert the model again"},
        {"no inputs", net(parameter + layer(1, "Add", "", 1, 1) + result, line),
         "node \"l1\" (Add) has 1 inputs, want 2"},
        {"an attribute of a wrong kind",
         net(parameter + layer(1, "Clamp", "min=\"low\" max=\"1\"", 1, 1) + result, line),
         "layer \"l1\" (Clamp): its attribute min is \"low\", want a number"},
        {"negative size", net(layer(0, "Parameter", "shape=\"1,-4\" element_type=\"f32\"", 0, 1) + relu + result, line),
         "layer \"l0\" (Parameter): the shape \"1,-4\" has a negative size"},
        {"element type that nobody knows",
         net(layer(0, "Parameter", "shape=\"1,4\" element_type=\"nf4\"", 0, 1) + relu + result, line),
         "layer \"l0\" (Parameter): the element type \"nf4\" is not supported"},
        {"truncated", net(parameter + relu + result, line).substr(0, 300),
         "this is no well-formed XML: Start-end tags mismatch at byte 299; copy the file again"},
    };
    for (const auto &[what, xml, message] : cases)
        EXPECT_EQ(message_of_xml(xml), message) << what;
}

/// Of 16 bytes that are not all there.
std::string too_few(int64_t offset, int have)
{
    return "its elements are 16 bytes from byte " + std::to_string(offset) + " of the weights, which have " +
           std::to_string(have) + "; copy the .xml and .bin files again, they belong together";
}

TEST(BadOpenvino, Constants)
{
    const auto data = [](const char *type, const char *shape, const char *offset, const char *size) {
        return "element_type=\""s + type + "\" shape=\"" + shape + "\" offset=\"" + offset + "\" size=\"" + size + "\"";
    };
    EXPECT_EQ(message_of_xml(with_constant(data("f32", "4", "0", "16"))), "no error");
    const auto of = [](int64_t offset) { return too_few(offset, 16); };
    const struct {
        std::string data, message;
    } cases[] = {
        {data("f32", "4", "4", "16"), of(4)},
        {data("f32", "4", "9223372036854775807", "16"), of(9223372036854775807)},
        {data("f32", "4", "-1", "16"), "it says 16 bytes from byte -1 for f32[4]"},
        {data("f32", "4", "0", "-16"), "it says -16 bytes from byte 0 for f32[4]"},
        {data("f32", "5", "0", "16"), "it says 16 bytes from byte 0 for f32[5]"},
        {data("f32", "4611686018427387904", "0", "0"), "it says 0 bytes from byte 0 for f32[4611686018427387904]"},
        {data("f32", "4611686018427387904,4", "0", "0"),
         "the shape 4611686018427387904x4 has more elements than 63 bits count"},
        {data("f32", "?", "0", "16"), "the shape ? of a constant leaves sizes open"},
        {data("u4", "4", "0", "2"), "the element type \"u4\" is not supported"},
        {"element_type=\"f32\" shape=\"4\"", "<data> lacks the attribute offset"},
    };
    for (const auto &[attributes, message] : cases)
        EXPECT_EQ(message_of_xml(with_constant(attributes)), "layer \"l0\" (Const): " + message);
}

/// Neither entities nor files that a document names are read.
TEST(BadOpenvino, Entities)
{
    std::string bomb = "<!ENTITY e0 \"ha\">";
    for (int i = 1; i < 12; i++) {
        bomb += "<!ENTITY e" + std::to_string(i) + " \"";
        for (int j = 0; j < 10; j++)
            bomb += "&e" + std::to_string(i - 1) + ";";
        bomb += "\">";
    }
    const std::string good = net(parameter + relu + result, line);
    std::string named = good;
    named.replace(named.find("\"l1\""), 4, "\"&e11;\"");
    const Graph graph = read_ir("<!DOCTYPE net [" + bomb + "]>" + named);
    EXPECT_EQ(graph.nodes.at(0).name, "&e11;");
    named = good;
    named.replace(named.find("\"l1\""), 4, "\"&out;\"");
    EXPECT_EQ(read_ir("<!DOCTYPE net [<!ENTITY out SYSTEM \"file:///etc/passwd\">]>" + named).nodes.at(0).name,
              "&out;");
}

TEST(BadOpenvino, Nesting)
{
    std::string deep = "<net version=\"11\"><rt_info>";
    for (int i = 0; i < 200000; i++)
        deep += "<a>";
    EXPECT_EQ(message_of_xml(deep).substr(0, 28), "this is no well-formed XML: ");
    for (int i = 0; i < 200000; i++)
        deep += "</a>";
    EXPECT_EQ(message_of_xml(deep + "</rt_info></net>"), "the model has no Result");

    std::string layers = parameter + relu + result;
    for (int i = 0; i < 40; i++)
        layers = parameter +
                 layer(1, "TensorIterator", "", 1, 1,
                       "<port_map><input axis=\"0\" external_port_id=\"0\" internal_layer_id=\"0\"/><output axis=\"0\" "
                       "external_port_id=\"1\" internal_layer_id=\"2\"/></port_map><body>" +
                           content(layers, line) + "</body>") +
                 result;
    EXPECT_TRUE(message_of_xml(net(layers, line)).ends_with("bodies lie in each other more than 32 deep"));
}

/// A body of one ReLU from its layer 0 to its layer 2.
std::string body(const std::string &name)
{
    return "<" + name + ">" + content(parameter + relu + result, line) + "</" + name + ">";
}

TEST(BadOpenvino, Bodies)
{
    const struct {
        const char *what;
        std::string port_map, message;
    } cases[] = {
        {"good",
         "<input axis=\"0\" external_port_id=\"0\" internal_layer_id=\"0\"/><output axis=\"0\" "
         "external_port_id=\"1\" internal_layer_id=\"2\"/>",
         "no error"},
        {"nothing bound", "<output external_port_id=\"1\" internal_layer_id=\"2\"/>",
         "none of its inputs says how often it runs"},
        {"a port that is not there", "<input axis=\"0\" external_port_id=\"7\" internal_layer_id=\"0\"/>",
         "its port map names the port 7, which it does not have"},
        {"a result that is not there",
         "<input axis=\"0\" external_port_id=\"0\" internal_layer_id=\"0\"/><output external_port_id=\"1\" "
         "internal_layer_id=\"9\"/>",
         "its port map names the result 9, which its body does not have"},
        {"a parameter that is not bound", "<input axis=\"0\" external_port_id=\"0\" internal_layer_id=\"5\"/>",
         "body: layer \"l0\" (Parameter): nothing outside is bound to it"},
        {"parts of two", "<input axis=\"0\" part_size=\"2\" external_port_id=\"0\" internal_layer_id=\"0\"/>",
         "its port map cuts parts of 2 with a stride of 1; only parts of 1 are supported"},
        {"an axis that is not there",
         "<input axis=\"0\" external_port_id=\"0\" internal_layer_id=\"0\"/><output axis=\"9\" "
         "external_port_id=\"1\" internal_layer_id=\"2\"/>",
         "its port map names the axis 9 of an output of rank 2"},
    };
    for (const auto &[what, port_map, message] : cases) {
        const std::string inside = "<port_map>" + port_map + "</port_map>" + body("body");
        const std::string got =
            message_of_xml(net(parameter + layer(1, "TensorIterator", "", 1, 1, inside) + result, line));
        EXPECT_EQ(got, message == "no error" ? message : "layer \"l1\" (TensorIterator): " + message) << what;
    }
    const std::string branches = "<then_port_map><input external_port_id=\"1\" internal_layer_id=\"0\"/><output "
                                 "external_port_id=\"2\" internal_layer_id=\"2\"/></then_port_map>" +
                                 body("then_body") + "<else_port_map/><else_body/>";
    EXPECT_EQ(message_of_xml(net(parameter + layer(1, "If", "", 2, 1, branches) + result,
                                 {{0, 0, 1, 0}, {0, 0, 1, 1}, {1, 2, 2, 0}})),
              "layer \"l1\" (If): else_body: it does not give every output");
}

/// Names are copied to what a layer becomes, and metadata has those of all elements around it.
TEST(BadOpenvino, Names)
{
    const auto named = [](const std::string &attribute) {
        std::string text = relu;
        return net(parameter + text.replace(text.find("name=\"l1\""), 9, attribute) + result, line);
    };
    EXPECT_EQ(message_of_xml(named("name=\"" + std::string(1024, 'n') + '"')), "no error");
    EXPECT_EQ(message_of_xml(named("name=\"" + std::string(1025, 'n') + '"')),
              "the name of layer 1 has more than 1024 bytes");
    EXPECT_EQ(message_of_xml(net(parameter + layer(1, std::string(2000, 't'), "", 1, 1) + result, line)).substr(0, 20),
              "layer \"l1\" (tttttttt");

    const std::string folder(100, 'd'), level = folder + '.';
    std::string metadata = "<a value=\"1\"/>";
    for (int i = 0; i < 8; i++)
        metadata = "<" + folder + "><a value=\"1\"/>" + metadata + "</" + folder + ">";
    const Graph graph = read_ir(net(parameter + relu + result, line, "<rt_info>" + metadata + "</rt_info>"));
    EXPECT_EQ(graph.metadata.count(level + level + "a"), 1u);
    EXPECT_EQ(graph.metadata.count(level + level + level + level + "a"), 0u);
}

TEST(BadOpenvino, Ports)
{
    EXPECT_EQ(message_of_xml(net(parameter + layer(1, "Split", "", 1, 16384) + result, line)),
              "layer \"l1\": it has more than 16384 ports");
    // The second output, which nobody reads, is not made.
    const std::string pool =
        "kernel=\"1,1\" strides=\"1,1\" pads_begin=\"0,0\" pads_end=\"0,0\" rounding_type=\"floor\" "
        "auto_pad=\"explicit\"";
    std::string two = layer(1, "MaxPool", pool, 1, 2);
    two.replace(two.find("opset1"), 6, "opset8");
    EXPECT_EQ(read_ir(net(parameter + two + result, line)).nodes.size(), 1u);
    const Graph read = read_ir(net(parameter + two + result, {{0, 0, 1, 0}, {1, 2, 2, 0}}));
    ASSERT_EQ(read.nodes.size(), 2u);
    EXPECT_EQ(read.nodes[1].op->name, "Cast");
}

/// Those of version 10 that are stored as f16 are converted: once for each range, and not without end.
TEST(BadOpenvino, OverlappingConstants)
{
    const auto model = [](const std::vector<std::pair<int, int>> &ranges) {
        std::string layers;
        std::vector<std::array<int, 4>> edges;
        for (int i = 0; i < static_cast<int>(ranges.size()); i++) {
            const auto [offset, count] = ranges[static_cast<size_t>(i)];
            layers += layer(2 * i, "Const",
                            "element_type=\"f16\" shape=\"" + std::to_string(count) + "\" offset=\"" +
                                std::to_string(offset) + "\" size=\"" + std::to_string(2 * count) + '"',
                            0, 1) +
                      layer(2 * i + 1, "Result", "", 1, 0);
            edges.push_back({2 * i, 0, 2 * i + 1, 0});
        }
        return "<net name=\"n\" version=\"10\">" + content(layers, edges) + "</net>";
    };
    const Graph shared = read_ir(model(std::vector(9, std::pair(0, 8))));
    for (ValueId id : shared.outputs)
        EXPECT_EQ(shared.values[id].constant.raw(), shared.values[shared.outputs[0]].constant.raw());
    EXPECT_EQ(
        message_of_xml(model({{0, 8}, {0, 7}, {2, 7}})),
        "layer \"l4\" (Const): its elements overlap those of others, so that copies of all would take more than 4 "
        "times the size of the weights; convert the model again");
}

TEST(BadOpenvino, Files)
{
    const TemporaryFolder folder;
    const std::string xml = with_constant("element_type=\"f32\" shape=\"4\" offset=\"0\" size=\"16\"");
    const auto message = [&] { return message_of([&] { read_model_file(folder / "m.xml"); }); };
    const auto prefix = "while reading \"" + (folder / "m.xml").string() + "\": ";
    folder.write("m.xml", xml);
    EXPECT_EQ(message(), prefix + "layer \"l0\" (Const): the weights \"m.bin\", which belong beside it: the file "
                                  "does not exist");
    folder.write("m.bin", "0123456789abcde");
    EXPECT_EQ(message(), prefix + "layer \"l0\" (Const): " + too_few(0, 15));
    folder.write("m.bin", "");
    EXPECT_EQ(message(), prefix + "layer \"l0\" (Const): " + too_few(0, 0));
    folder.write("m.bin", "0123456789abcdef");
    EXPECT_EQ(message(), "no error");
    folder.write("m.xml", "\xef\xbb\xbf\n" + xml);
    EXPECT_EQ(message(), "no error");
    std::filesystem::remove(folder / "m.bin");
    std::filesystem::create_directory(folder / "m.bin");
    EXPECT_EQ(message(), prefix + "layer \"l0\" (Const): the weights \"m.bin\", which belong beside it: this is "
                                  "not a regular file; check the path");
}

/// Constants share the file: it is mapped, not copied, and stays when the reader has gone.
TEST(BadOpenvino, WeightsAreShared)
{
    const std::string xml = with_constant("element_type=\"f32\" shape=\"4\" offset=\"0\" size=\"16\"");
    const Tensor weights = Tensor::of<float>({4}, {0, 0, 0, 0});
    const Graph graph = read_ir(xml, weights);
    EXPECT_EQ(graph.values.at(graph.outputs.at(0)).constant.raw(), weights.raw());
}

/// Every shorter copy of a model is an Error, never anything else.
TEST(BadOpenvino, EveryTruncation)
{
    const std::string good = net(parameter + relu + result, line, "<rt_info><a value=\"b\"/></rt_info>");
    EXPECT_EQ(message_of_xml(good), "no error");
    for (size_t length = 0; length < good.size(); length++)
        EXPECT_NE(message_of_xml(good.substr(0, length)), "no error") << length;
}

} // namespace
} // namespace leat
