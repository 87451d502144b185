#include "inference/ops.h"
#include "onnx_text.h"
#include "support/shared_data.h"
#include "support/temporary_folder.h"

#include <leat/error.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace leat {
namespace {

const std::string x = onnx_input("x", {2, 4}), y = onnx_output("y");

/// The output of a model that reads only constants: shape inference computes it.
Tensor folded(const std::string &graph_text, int opset)
{
    Graph graph = read_onnx_text(onnx_model(graph_text, opset));
    infer_shapes(graph);
    return graph.values[graph.outputs.at(0)].constant;
}

std::vector<float> folded_values(const std::string &graph_text, int opset)
{
    const Tensor tensor = folded(graph_text, opset);
    const auto values = tensor.values<float>();
    return {values.begin(), values.end()};
}

using Ops = std::vector<std::string>;
using Floats = std::vector<float>;

TEST(ReadOnnx, InputsConstantsNamesAndMetadata)
{
    const Graph graph = read_onnx_text(
        "ir_version: 8 producer_name: \"tool\" opset_import { version: 24 } opset_import { domain: \"d\" version: 3 } "
        "metadata_props { key: \"names\" value: \"{0: 'cat'}\" } graph { name: \"g\" " +
        onnx_input("x", {-1, 4}) + onnx_input("w", {4}) + floats("w", "dims: 4", "1, 2, 3, 4") + y +
        node("Add", {"x", "w"}, "a") + node("Relu", {"a"}, "y", "name: \"last\"") + "}");
    ASSERT_EQ(graph.inputs.size(), 1u);
    EXPECT_EQ(graph.values[graph.inputs[0]].name, "x");
    EXPECT_EQ(graph.values[graph.inputs[0]].shape, (Shape{-1, 4}));
    ASSERT_EQ(graph.nodes.size(), 2u);
    EXPECT_EQ(graph.nodes[0].name, "Add_0");
    EXPECT_EQ(graph.nodes[1].name, "last");
    EXPECT_TRUE(graph.is_constant(graph.nodes[0].inputs[1]));
    EXPECT_EQ(graph.metadata, (std::map<std::string, std::string>{{"names", "{0: 'cat'}"},
                                                                  {"onnx.ir_version", "8"},
                                                                  {"onnx.opset", "24, read as 22"},
                                                                  {"onnx.opset.d", "3"},
                                                                  {"onnx.producer_name", "tool"}}));
}

TEST(ReadOnnx, NodesOutOfOrderAreSorted)
{
    const Graph graph = read_onnx_text(
        onnx_model(x + y + node("Relu", {"b"}, "y") + node("Neg", {"a"}, "b") + node("Abs", {"x"}, "a")));
    EXPECT_EQ(ops_of(graph), (Ops{"Abs", "Neg", "Relu"}));
}

TEST(ReadOnnx, EveryElementTypeFromTypedFieldsAndRawBytes)
{
    const struct {
        std::string typed, raw;
        Type type;
    } cases[] = {
        {"data_type: 1 float_data: [1, 2]", "data_type: 1 raw_data: '\\000\\000\\200\\077\\000\\000\\000\\100'",
         Type::f32},
        {"data_type: 2 int32_data: [1, 2]", "data_type: 2 raw_data: '\\001\\002'", Type::u8},
        {"data_type: 3 int32_data: [1, 2]", "data_type: 3 raw_data: '\\001\\002'", Type::s8},
        {"data_type: 4 int32_data: [1, 2]", "data_type: 4 raw_data: '\\001\\000\\002\\000'", Type::u16},
        {"data_type: 5 int32_data: [1, 2]", "data_type: 5 raw_data: '\\001\\000\\002\\000'", Type::s16},
        {"data_type: 6 int32_data: [1, 2]", "data_type: 6 raw_data: '\\001\\000\\000\\000\\002\\000\\000\\000'",
         Type::s32},
        {"data_type: 12 uint64_data: [1, 2]", "data_type: 12 raw_data: '\\001\\000\\000\\000\\002\\000\\000\\000'",
         Type::u32},
        {"data_type: 10 int32_data: [15360, 16384]", "data_type: 10 raw_data: '\\000\\074\\000\\100'", Type::f16},
        {"data_type: 16 int32_data: [16256, 16384]", "data_type: 16 raw_data: '\\200\\077\\000\\100'", Type::bf16},
        {"data_type: 7 int64_data: [1, 2]",
         "data_type: 7 raw_data: '\\001\\000\\000\\000\\000\\000\\000\\000\\002\\000\\000\\000\\000\\000\\000\\000'",
         Type::s64},
        {"data_type: 13 uint64_data: [1, 2]",
         "data_type: 13 raw_data: '\\001\\000\\000\\000\\000\\000\\000\\000\\002\\000\\000\\000\\000\\000\\000\\000'",
         Type::u64},
        {"data_type: 11 double_data: [1, 2]",
         "data_type: 11 raw_data: '\\000\\000\\000\\000\\000\\000\\360\\077\\000\\000\\000\\000\\000\\000\\000\\100'",
         Type::f64},
    };
    for (const auto &[typed, raw, type] : cases)
        for (const std::string &stored : {typed, raw}) {
            const Graph graph = read_onnx_text(onnx_model("initializer { name: \"y\" dims: 2 " + stored + " } " + y));
            const Tensor &tensor = graph.values[graph.outputs[0]].constant;
            EXPECT_EQ(tensor.type(), type) << stored;
            EXPECT_EQ(tensor.to_int64(), (std::vector<int64_t>{1, 2})) << stored;
        }
    const Graph graph =
        read_onnx_text(onnx_model("initializer { name: \"y\" dims: 2 data_type: 9 raw_data: '\\000\\007' } " + y));
    EXPECT_EQ(std::to_integer<int>(graph.values[graph.outputs[0]].constant.raw()[1]), 1);
}

TEST(ReadOnnx, ExternalDataAtAnOffset)
{
    const TemporaryFolder folder;
    folder.write("weights.bin", "....ab");
    const Graph graph = read_onnx_text(
        onnx_model("initializer { name: \"y\" dims: 2 data_type: 2 data_location: EXTERNAL external_data { key: "
                   "\"location\" value: \"weights.bin\" } external_data { key: \"offset\" value: \"4\" } } " +
                   y),
        folder.path());
    EXPECT_EQ(graph.values[graph.outputs[0]].constant.to_int64(), (std::vector<int64_t>{'a', 'b'}));
}

TEST(ReadOnnx, ConstantsInEveryForm)
{
    EXPECT_EQ(
        folded_values(y + node("Constant", {}, "y", attribute("value_floats", "type: FLOATS floats: [1, 2]")), 13),
        (Floats{1, 2}));
    EXPECT_EQ(folded(y + node("Constant", {}, "y", attribute("value_ints", "type: INTS ints: [3, 4]")), 13).to_int64(),
              (std::vector<int64_t>{3, 4}));
    EXPECT_EQ(folded(y + node("Constant", {}, "y", attribute("value_int", "type: INT i: 5")), 13).shape(), Shape{});
}

TEST(ReadOnnx, BranchesTakeWhatTheyReadFromOutsideAsInputs)
{
    const auto branch = [](const std::string &name, const std::string &nodes) {
        return attribute(name, "type: GRAPH g { " + nodes + " output { name: \"r\" } }");
    };
    const std::string condition = "input { name: \"c\" type { tensor_type { elem_type: 9 shape { } } } } ";
    const Graph graph = read_onnx_text(onnx_model(condition + x + onnx_input("z", {4}) + floats("w", "dims: 1", "1") +
                                                  y + node("Relu", {"x"}, "a") +
                                                  node("If", {"c"}, "y",
                                                       branch("then_branch", node("Add", {"a", "w"}, "r")) +
                                                           branch("else_branch", node("Add", {"z", "a"}, "r")))));
    const Node &branching = graph.nodes.at(1);
    ASSERT_EQ(branching.inputs.size(), 3u);
    EXPECT_EQ(graph.values[branching.inputs[1]].name, "a");
    EXPECT_EQ(graph.values[branching.inputs[2]].name, "z");
    for (const char *name : {"then_branch", "else_branch"}) {
        const auto &body = *std::get<std::shared_ptr<const Graph>>(branching.attributes.all().at(name));
        ASSERT_EQ(body.inputs.size(), 2u) << name;
        EXPECT_EQ(body.values[body.inputs[0]].name, "a");
        EXPECT_EQ(body.values[body.inputs[1]].name, "z");
    }
    const auto &then = *std::get<std::shared_ptr<const Graph>>(branching.attributes.all().at("then_branch"));
    EXPECT_TRUE(then.is_constant(then.nodes.at(0).inputs[1])) << "constants are copied, not captured";
}

TEST(ReadOnnx, LoopCountsWhatItCarries)
{
    const std::string body = "input { name: \"i\" } input { name: \"go\" } input { name: \"sum\" } " +
                             node("Add", {"sum", "step"}, "more") + node("Identity", {"go"}, "going") +
                             "output { name: \"going\" } output { name: \"more\" } ";
    const Graph graph = read_onnx_text(
        onnx_model("input { name: \"n\" type { tensor_type { elem_type: 7 shape { } } } } " + onnx_input("s", {1}) +
                   onnx_input("step", {1}) + y +
                   node("Loop", {"n", "", "s"}, "y", attribute("body", "type: GRAPH g { " + body + "}"))));
    const Node &loop = graph.nodes.at(0);
    EXPECT_EQ(loop.attributes.integer("carried", -1), 1);
    ASSERT_EQ(loop.inputs.size(), 4u);
    EXPECT_EQ(loop.inputs[1], no_value);
    EXPECT_EQ(graph.values[loop.inputs[3]].name, "step");
}

void expect_near(const std::vector<float> &got, const Floats &want)
{
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); i++)
        EXPECT_NEAR(got[i], want[i], 1e-5) << "element " << i;
}

/// Two heads of queries share one of keys and values.
TEST(ReadOnnx, Attention)
{
    const std::string k = floats("k", "dims: 1 dims: 2 dims: 2", "1, 0, 0, 1"),
                      v = floats("v", "dims: 1 dims: 2 dims: 2", "1, 2, 3, 4"),
                      scale = attribute("scale", "type: FLOAT f: 0.5");
    const auto count = [](const char *name, int value) {
        return attribute(name, "type: INT i: " + std::to_string(value));
    };
    expect_near(
        folded_values(y + k + v + floats("q", "dims: 1 dims: 2 dims: 4", "1, 0, 0, 1, 0, 2, 1, 1") +
                          node("Attention", {"q", "k", "v"}, "y",
                               scale + count("q_num_heads", 2) + count("kv_num_heads", 1) + count("is_causal", 1)),
                      23),
        {1, 2, 1, 2, 2.462117f, 3.462117f, 2, 3});
    expect_near(folded_values(y + floats("q", "dims: 1 dims: 2 dims: 2 dims: 2", "1, 0, 0, 2, 0, 1, 1, 1") +
                                  floats("k", "dims: 1 dims: 1 dims: 2 dims: 2", "1, 0, 0, 1") +
                                  floats("v", "dims: 1 dims: 1 dims: 2 dims: 2", "1, 2, 3, 4") +
                                  floats("m", "dims: 2 dims: 2", "1, 1, 0, 1") + floats("o", "dims: 1", "1") +
                                  node("Equal", {"m", "o"}, "mask") +
                                  node("Attention", {"q", "k", "v", "mask"}, "y", scale),
                              23),
                {1.755081f, 2.755081f, 3, 4, 2.244919f, 3.244919f, 3, 4});
    EXPECT_THROW(folded(y + k + v + node("Attention", {"k", "k", "v"}, "y", scale), 23), Error);
}

/// Runs a model that reads only constants, node by node.
std::vector<Tensor> outputs_of(const std::string &graph_text)
{
    Graph graph = read_onnx_text(onnx_model(graph_text));
    infer_shapes(graph);
    std::vector<Tensor> values, outputs;
    for (const Value &value : graph.values)
        values.push_back(value.constant);
    for (const Node &each : graph.nodes)
        run_node(each, values);
    for (ValueId id : graph.outputs)
        outputs.push_back(values[id]);
    return outputs;
}

/// Sums of rows, all and after each row.
TEST(ReadOnnx, Scan)
{
    const std::string body = "input { name: \"s\" } input { name: \"e\" } " + node("Add", {"s", "e"}, "t") +
                             node("Mul", {"t", "w"}, "u") + "output { name: \"t\" } output { name: \"u\" } ";
    const auto sums = [&](const std::string &scanned, const std::string &attributes) {
        const auto outputs =
            outputs_of(floats("zero", "dims: 2", "0, 0") + scanned + floats("w", "dims: 1", "1") +
                       "node { op_type: \"Scan\" input: \"zero\" input: \"x\" output: \"y\" output: \"z\" " +
                       attributes + attribute("num_scan_inputs", "type: INT i: 1") +
                       attribute("body", "type: GRAPH g { " + body + "}") + " } " + y + onnx_output("z"));
        EXPECT_EQ(outputs.at(1).shape(), (Shape{3, 2}));
        Floats all(outputs.at(0).data<float>(), outputs[0].data<float>() + 2);
        all.insert(all.end(), outputs[1].data<float>(), outputs[1].data<float>() + 6);
        return all;
    };
    const auto list = [](const char *name) { return attribute(name, "type: INTS ints: [1]"); };
    const std::string rows = floats("x", "dims: 3 dims: 2", "1, 2, 3, 4, 5, 6");
    EXPECT_EQ(sums(rows, ""), (Floats{9, 12, 1, 2, 4, 6, 9, 12}));
    EXPECT_EQ(sums(rows, list("scan_input_directions")), (Floats{9, 12, 5, 6, 8, 10, 9, 12}));
    EXPECT_EQ(sums(rows, list("scan_output_directions")), (Floats{9, 12, 9, 12, 4, 6, 1, 2}));
    EXPECT_EQ(sums(floats("x", "dims: 2 dims: 3", "1, 3, 5, 2, 4, 6"), list("scan_input_axes")),
              (Floats{9, 12, 1, 2, 4, 6, 9, 12}));
    EXPECT_THROW(sums(rows, list("scan_output_axes")), Error);
}

TEST(ReadOnnx, NewerOperators)
{
    expect_near(folded_values(y + floats("x", "dims: 2", "1, -1") +
                                  node("Swish", {"x"}, "y", attribute("alpha", "type: FLOAT f: 2")),
                              24),
                {0.8807971f, -0.1192029f});
    expect_near(folded_values(y + floats("x", "dims: 1 dims: 2", "3, 4") + floats("s", "dims: 2", "1, 2") +
                                  node("RMSNormalization", {"x", "s"}, "y"),
                              23),
                {0.8485281f, 2.2627417f});
}

TEST(ReadOnnx, FunctionsAreInlined)
{
    onnx::ModelProto model;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
        "ir_version: 9 opset_import { version: 22 } opset_import { domain: \"f\" version: 1 } graph { " + x + y +
            node("F", {"x"}, "t", "domain: \"f\" name: \"one\" " + attribute("slope", "type: FLOAT f: 0.25")) +
            node("F", {"t"}, "y", "domain: \"f\" name: \"two\"") +
            "} functions { name: \"F\" domain: \"f\" input: \"a\" output: \"b\" attribute: \"slope\" "
            "opset_import { version: 22 } " +
            node("LeakyRelu", {"a"}, "hidden", attribute("alpha", "ref_attr_name: \"slope\" type: FLOAT")) +
            node("Neg", {"hidden"}, "b") + "}",
        &model));
    onnx::AttributeProto fallback;
    fallback.set_name("slope");
    fallback.set_type(onnx::AttributeProto::FLOAT);
    fallback.set_f(0.5f);
    model.mutable_functions(0)->mutable_unknown_fields()->AddLengthDelimited(11)->assign(fallback.SerializeAsString());
    const Graph graph = read_onnx_bytes(model.SerializeAsString());
    EXPECT_EQ(ops_of(graph), (Ops{"LeakyRelu", "Neg", "LeakyRelu", "Neg"}));
    EXPECT_EQ(graph.nodes[0].name, "one/LeakyRelu_0");
    EXPECT_EQ(graph.nodes[0].attributes.number("alpha", 0), 0.25f) << "given by the call";
    EXPECT_EQ(graph.nodes[2].attributes.number("alpha", 0), 0.5f) << "the function's default";
    EXPECT_EQ(graph.values[graph.outputs[0]].name, "y");
}

TEST(ReadOnnx, AFunctionThatPassesItsInputThrough)
{
    const Graph graph = read_onnx_text("ir_version: 8 opset_import { version: 22 } graph { " + x + y +
                                       node("F", {"x"}, "y", "domain: \"f\"") +
                                       "} functions { name: \"F\" domain: \"f\" input: \"a\" output: \"a\" }");
    EXPECT_EQ(ops_of(graph), Ops{"Identity"});
}

TEST(ReadOnnx, OldVersionsMeanTheSame)
{
    const std::string data = floats("x", "dims: 2 dims: 2", "-1, 2, 3, 4");
    const std::string cube = floats("x", "dims: 1 dims: 2 dims: 2", "1, 2, 3, 4");
    const auto ints = [](const std::string &name, const std::string &values) {
        return attribute(name, "type: INTS ints: [" + values + "]");
    };
    const auto number = [](const std::string &name, const std::string &value) {
        return attribute(name, "type: FLOAT f: " + value);
    };
    EXPECT_EQ(folded_values(y + data + node("Clip", {"x"}, "y", number("min", "0") + number("max", "3")), 6),
              (Floats{0, 2, 3, 3}));
    EXPECT_EQ(folded_values(y + data + node("ReduceSum", {"x"}, "y", ints("axes", "0")), 11), (Floats{2, 6}));
    EXPECT_EQ(folded_values(y + data + node("ReduceMax", {"x"}, "y", ints("axes", "1")), 13), (Floats{2, 4}));
    EXPECT_EQ(folded(y + data + node("Unsqueeze", {"x"}, "y", ints("axes", "0, 3")), 11).shape(), (Shape{1, 2, 2, 1}));
    EXPECT_EQ(folded(y + cube + node("Squeeze", {"x"}, "y", ints("axes", "0")), 11).shape(), (Shape{2, 2}));
    EXPECT_EQ(folded_values(y + data + node("Slice", {"x"}, "y", ints("starts", "1") + ints("ends", "2")), 9),
              (Floats{3, 4}));
    EXPECT_EQ(folded_values(y + data + node("Pad", {"x"}, "y", ints("pads", "0, 0, 1, 0") + number("value", "9")), 10),
              (Floats{-1, 2, 3, 4, 9, 9}));
    EXPECT_EQ(folded_values(y + data + node("Reshape", {"x"}, "y", ints("shape", "4")), 4), (Floats{-1, 2, 3, 4}));
    EXPECT_EQ(folded_values(y + data + node("Dropout", {"x"}, "y", number("ratio", "0.5")), 10), (Floats{-1, 2, 3, 4}));
    EXPECT_EQ(folded_values(y + cube + floats("w", "dims: 2", "10, 20") +
                                node("Add", {"x", "w"}, "y",
                                     attribute("broadcast", "type: INT i: 1") + attribute("axis", "type: INT i: 1")),
                            6),
              (Floats{11, 12, 23, 24}));
    const Tensor spectrum = folded(y + floats("x", "dims: 2 dims: 2 dims: 1", "1, 2, 3, 4") +
                                       node("DFT", {"x"}, "y", attribute("axis", "type: INT i: 0")),
                                   17);
    EXPECT_EQ(spectrum.shape(), (Shape{2, 2, 2}));
    EXPECT_FLOAT_EQ(spectrum.data<float>()[2], 2 + 4);
    EXPECT_FLOAT_EQ(spectrum.data<float>()[6], 2 - 4);
    const Tensor softmax =
        folded(y + floats("x", "dims: 1 dims: 2 dims: 2", "1, 1, 1, 1") + node("Softmax", {"x"}, "y"), 11);
    EXPECT_EQ(softmax.shape(), (Shape{1, 2, 2}));
    EXPECT_FLOAT_EQ(softmax.data<float>()[0], 0.25f) << "over all axes from 1 on";
}

TEST(ReadOnnx, AxesAsAnAttributeAlsoInNewVersions)
{
    const std::string data = y + floats("x", "dims: 2 dims: 2", "-1, 2, 3, 4");
    const std::string axes = attribute("axes", "type: INTS ints: [0]");
    EXPECT_EQ(folded_values(data + node("ReduceSum", {"x"}, "y", axes), 13), (Floats{2, 6}));
    EXPECT_EQ(folded_values(data + node("ReduceMax", {"x"}, "y", axes), 18), (Floats{3, 4}));
    EXPECT_EQ(folded(data + node("Unsqueeze", {"x"}, "y", axes), 13).shape(), (Shape{1, 2, 2}));
    EXPECT_THROW(folded(data + node("ReduceSum", {"x", "x"}, "y", axes), 13), Error) << "given twice";
}

TEST(ReadOnnx, BoundsOfOldClipsBecomeConstants)
{
    Graph graph = read_onnx_text(onnx_model(
        "input { name: \"x\" type { tensor_type { elem_type: 10 shape { dim { dim_value: 4 } } } } } " + y +
            node("Clip", {"x"}, "y", attribute("min", "type: FLOAT f: 0") + attribute("max", "type: FLOAT f: 6")),
        6));
    infer_shapes(graph);
    ASSERT_EQ(ops_of(graph), Ops{"Clip"});
    ASSERT_EQ(graph.nodes[0].inputs.size(), 3u);
    const Tensor &bound = graph.values[graph.nodes[0].inputs[2]].constant;
    EXPECT_EQ(bound.type(), Type::f16);
    EXPECT_EQ(bound.to_int64(), std::vector<int64_t>{6});
}

/// The branches of an If may give different ranks.
bool branches(const Graph &graph)
{
    return std::any_of(graph.nodes.begin(), graph.nodes.end(), [](const Node &each) { return each.op->name == "If"; });
}

TEST(ReadOnnx, RealModels)
{
    SKIP_WITHOUT_SHARED_DATA();
    int models = 0;
    for (const auto &entry : std::filesystem::directory_iterator(shared_data() / "data/models/onnx")) {
        if (entry.path().extension() != ".onnx")
            continue;
        models++;
        try {
            Graph graph = read_model_file(entry.path());
            infer_shapes(graph);
            graph.verify();
            for (ValueId id : graph.outputs) {
                EXPECT_NE(graph.values[id].type, Type::undefined) << entry.path() << " " << graph.values[id].name;
                EXPECT_TRUE(graph.values[id].shape || branches(graph)) << entry.path() << " " << graph.values[id].name;
            }
        } catch (const Error &error) {
            ADD_FAILURE() << error.what();
        }
    }
    EXPECT_GT(models, 0);
}

} // namespace
} // namespace leat
