#include "onnx_text.h"

#include <leat/error.h>

#include <gtest/gtest.h>

namespace leat {
namespace {

using Ops = std::vector<std::string>;

const std::string x = onnx_input("x", {1, 4}), y = onnx_output("y");

std::string integers(const std::string &name, const std::string &dims, const std::string &values)
{
    return "initializer { name: \"" + name + "\" data_type: 7 " + dims + " int64_data: [" + values + "] } ";
}

/// Zeros of that shape under the name, which the file has no room for.
std::string zeros(const std::string &name, size_t rank, const std::string &sizes)
{
    return integers(name + "_shape", "dims: " + std::to_string(rank), sizes) +
           node("ConstantOfShape", {name + "_shape"}, name);
}

std::string kernel(int size)
{
    return attribute("kernel_shape", "type: INTS ints: [" + std::to_string(size) + ", " + std::to_string(size) + "]");
}

/// The ops that shape inference left to the device.
Ops ops_left(const std::string &graph_text)
{
    Graph graph = read_onnx_text(onnx_model(graph_text + y));
    infer_shapes(graph);
    return ops_of(graph);
}

TEST(Folding, LeavesWhatTakesLongToTheDevice)
{
    const std::string image = zeros("a", 4, "1, 64, 128, 128"), weights = zeros("b", 4, "64, 64, 7, 7"),
                      matrix = zeros("a", 2, "1024, 1024");
    const struct {
        std::string op, graph;
    } cases[] = {
        {"MatMul", matrix + node("MatMul", {"a", "a"}, "y")},
        {"Gemm", matrix + node("Gemm", {"a", "a"}, "y")},
        {"Einsum", matrix + node("Einsum", {"a", "a"}, "y", attribute("equation", "type: STRING s: \"ij,kl->ik\""))},
        {"Conv", image + weights + node("Conv", {"a", "b"}, "y")},
        {"ConvTranspose", image + weights + node("ConvTranspose", {"a", "b"}, "y")},
        {"MaxPool", image + node("MaxPool", {"a"}, "y", kernel(64))},
        {"AveragePool", image + node("AveragePool", {"a"}, "y", kernel(64))},
        {"LRN", image + node("LRN", {"a"}, "y", attribute("size", "type: INT i: 1001"))},
        {"LSTM", zeros("a", 3, "512, 1, 256") + zeros("w", 3, "1, 1024, 256") + zeros("r", 3, "1, 1024, 256") +
                     node("LSTM", {"a", "w", "r"}, "y", attribute("hidden_size", "type: INT i: 256"))},
        {"RoiAlign", zeros("a", 4, "1, 1, 1, 1") + zeros("r", 2, "1, 4") + integers("i", "dims: 1", "0") +
                         node("RoiAlign", {"a", "r", "i"}, "y")},
    };
    for (const auto &[op, graph] : cases)
        EXPECT_EQ(ops_left(graph), Ops{op});
}

TEST(Folding, ComputesWhatIsSoonDone)
{
    const std::string matrix = zeros("a", 2, "64, 64"), image = zeros("a", 4, "1, 8, 16, 16");
    for (const std::string &graph :
         {matrix + node("MatMul", {"a", "a"}, "y"), image + node("MaxPool", {"a"}, "y", kernel(3)),
          image + zeros("b", 4, "8, 8, 3, 3") + node("Conv", {"a", "b"}, "y"),
          zeros("a", 2, "4096, 1024") + node("Transpose", {"a"}, "y"),
          zeros("a", 4, "65537, 0, 2048, 2048") + node("MaxPool", {"a"}, "y", kernel(1024))})
        EXPECT_EQ(ops_left(graph), Ops{}) << graph;
}

/// The budget is the model's: what it does not allow is not folded later either, but what is small always is.
TEST(Folding, KeepsToTheBudgetOfAllNodes)
{
    Graph graph = read_onnx_text(onnx_model(zeros("a", 2, "32, 32") + node("MatMul", {"a", "a"}, "b") +
                                            node("MatMul", {"a", "a"}, "y") + onnx_output("b") + y +
                                            node("Size", {"a"}, "s") + onnx_output("s")));
    graph.fold_budget = FoldBudget{.bytes = 1 << 20, .steps = 1e5};
    for (int i = 0; i < 2; i++) {
        infer_shapes(graph);
        EXPECT_EQ(ops_of(graph), Ops{"MatMul"});
    }

    graph = read_onnx_text(
        onnx_model(zeros("a", 1, "8192") + onnx_input("x", {1}) + node("CastLike", {"a", "x"}, "y") + y));
    graph.fold_budget = FoldBudget{.bytes = 40000, .steps = 1e9};
    infer_shapes(graph);
    EXPECT_EQ(ops_of(graph), Ops{"CastLike"});
}

TEST(Folding, TakesTheBranchOfAConstantCondition)
{
    const std::string condition = "initializer { name: \"c\" data_type: 9 int32_data: 1 } ";
    const auto branch = [](const std::string &name, const std::string &nodes) {
        return attribute(name, "type: GRAPH g { " + nodes + " output { name: \"r\" } }");
    };
    const auto model = [&](const std::string &then) {
        return condition + x + zeros("a", 2, "1024, 1024") + floats("w", "dims: 2", "1, 2") +
               node("If", {"c"}, "y", branch("then_branch", then) + branch("else_branch", node("Relu", {"x"}, "r")));
    };
    EXPECT_EQ(ops_left(model(node("Add", {"w", "w"}, "r"))), Ops{});
    EXPECT_EQ(ops_left(model(node("MatMul", {"a", "a"}, "r"))), Ops{"If"});
}

/// Loops in loops, whose carried values change their shapes, so that bodies are looked at again and again.
TEST(Folding, OfGraphsInsideGraphsEnds)
{
    std::string nodes;
    for (int i = 0; i < 9000; i++)
        nodes += node("Relu", {i ? "r" + std::to_string(i) : "s0"}, "r" + std::to_string(i + 1));
    std::string result = "r9000";
    for (int level = 0; level < 6; level++) {
        const std::string suffix = std::to_string(level), carried = "s" + suffix, wider = "w" + suffix;
        const std::string body =
            "input { name: \"i" + suffix + "\" } input { name: \"g" + suffix + "\" } input { name: \"" + carried +
            "\" } " + nodes + node("Concat", {result, result}, wider, attribute("axis", "type: INT i: 0")) +
            node("Identity", {"g" + suffix}, "on" + suffix) + onnx_output("on" + suffix) + onnx_output(wider);
        result = level == 5 ? "y" : "l" + suffix;
        nodes =
            node("Loop", {"n", "", "first"}, result, attribute("body", "type: GRAPH g { name: \"g\" " + body + "}"));
    }
    std::string message = "no error";
    try {
        ops_left(floats("first", "dims: 1 dims: 4", "1, 2, 3, 4") +
                 "input { name: \"n\" type { tensor_type { elem_type: 7 shape { } } } } " + nodes);
    } catch (const Error &error) {
        message = error.what();
    }
    EXPECT_TRUE(message.ends_with("the types of 524288 nodes and values of graphs inside graphs were asked for; nest "
                                  "the graphs less deeply"))
        << message;
}

TEST(Folding, RefusesShapesOfManyAxes)
{
    std::string dims;
    for (int i = 0; i < 64; i++)
        dims += "dims: 1 ";
    try {
        ops_left(x + integers("i", dims, "0") + node("Gather", {"x", "i"}, "y"));
        FAIL() << "no error";
    } catch (const Error &error) {
        EXPECT_STREQ(error.what(), "node \"Gather_0\" (Gather): output 0 has 65 dimensions; at most 64 are supported");
    }
}

} // namespace
} // namespace leat
