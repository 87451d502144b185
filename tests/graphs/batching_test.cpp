#include "devices/reference.h"
#include "inference/batching.h"
#include "inference/ports.h"

#include <cstring>
#include <gtest/gtest.h>
#include <random>

namespace leat {
namespace {

constexpr size_t jobs = 3;

struct Case {
    const char *name, *body; ///< what follows the graph's first line
};

Graph graph_of(const std::string &body)
{
    Graph graph = parse("graph \"g\"\n" + body);
    infer_shapes(graph);
    graph.tidy();
    return graph;
}

std::vector<Tensor> random_inputs(const Graph &graph, unsigned seed)
{
    std::mt19937 random(seed);
    std::vector<Tensor> tensors;
    for (const Port &port : input_ports(graph)) {
        Tensor tensor(Type::f32, port.shape);
        for (float &value : tensor.values<float>())
            value = static_cast<float>(random() % 2000) / 1000 - 1;
        tensors.push_back(tensor.converted(port.type));
    }
    return tensors;
}

void expect_equal(const Tensor &have, const Tensor &want)
{
    ASSERT_EQ(to_string(have.shape()), to_string(want.shape()));
    ASSERT_EQ(have.type(), want.type());
    EXPECT_EQ(std::memcmp(have.raw(), want.raw(), want.bytes()), 0);
}

class Batched : public testing::TestWithParam<Case> {};

/// Three jobs at once give, bit by bit, what each gives alone.
TEST_P(Batched, GivesWhatSingleJobsGive)
{
    const Graph graph = graph_of(GetParam().body);
    const Graph many = batched(graph, jobs);
    ASSERT_EQ(many.inputs.size(), jobs * graph.inputs.size());
    Job together;
    std::vector<Job> alone(jobs);
    for (size_t i = 0; i < jobs; i++) {
        alone[i].inputs = random_inputs(graph, static_cast<unsigned>(i));
        run_by_reference(graph, alone[i]);
    }
    for (size_t port = 0; port < graph.inputs.size(); port++)
        for (const Job &job : alone)
            together.inputs.push_back(job.inputs[port]);
    run_by_reference(many, together);
    ASSERT_EQ(together.outputs.size(), jobs * graph.outputs.size());
    for (size_t port = 0; port < graph.outputs.size(); port++)
        for (size_t i = 0; i < jobs; i++)
            expect_equal(together.outputs[port * jobs + i], alone[i].outputs[port]);
}

const Case cases[] = {
    {"Conv", R"(input %0:f32[1x2x5x5] "x"
const %1:f32[3x2x1x1] "w" = {1, 2, 3, 4, 5, 6}
%2:f32[*] "c" = Conv(%0, %1) "conv"
%3:f32[*] "y" = MaxPool(%2) {kernel_shape=[2, 2], strides=[2, 2]} "pool"
output %3
)"},
    {"Heads", R"(input %0:f32[1x6x2x2] "x"
const %1:s64[5] "shape" = {1, 2, 3, 2, 2}
%2:f32[*] "r" = Reshape(%0, %1) "reshape"
%3:f32[*] "t" = Transpose(%2) {perm=[0, 1, 3, 4, 2]} "transpose"
const %4:s64[3] "shape2" = {1, -1, 3}
%5:f32[*] "q" = Reshape(%3, %4) "reshape2"
%6:f32[*] "s" = Softmax(%5) "softmax"
output %6
output %0
)"},
    {"Elementwise", R"(input %0:f32[1x2x3] "x"
input %1:f32[1x1x3] "y"
const %2:f32[2x1] "k" = {1, 2}
const %3:f32[1x1x1x3] "l" = {1, 2, 3}
%4:f32[*] "a" = Add(%0, %1) "add"
%5:f32[*] "b" = Mul(%4, %2) "mul"
%6:f32[*] "c" = Sub(%3, %5) "sub"
output %6
)"},
    {"ClassToken", R"(input %0:f32[1x2x3] "x"
const %1:f32[1x1x3] "token" = {7, 8, 9}
%2:f32[*] "c" = Concat(%1, %0) {axis=1} "concat"
const %3:s64[] "first" = {0}
%4:f32[*] "y" = Gather(%2, %3) {axis=1} "gather"
output %4
)"},
    {"MatMul", R"(input %0:f32[1x2x3] "x"
const %1:f32[3x2] "w" = {1, 2, 3, 4, 5, 6}
%2:f32[*] "q" = MatMul(%0, %1) "matmul"
%3:f32[*] "k" = Transpose(%2) {perm=[0, 2, 1]} "transpose"
%4:f32[*] "s" = MatMul(%2, %3) "scores"
output %4
)"},
    {"Gemm", R"(input %0:f32[1x2x1x2] "x"
const %1:f32[3x4] "w" = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
const %2:f32[3] "b" = {1, 2, 3}
%3:f32[*] "f" = Flatten(%0) "flatten"
%4:f32[*] "y" = Gemm(%3, %1, %2) {transB=1} "gemm"
output %4
)"},
    {"Sequence", R"(input %0:f32[1x2x1x3] "x"
const %1:s64[1] "two" = {2}
%2:f32[*] "s" = Squeeze(%0, %1) "squeeze"
%3:f32[*] "t" = Transpose(%2) {perm=[2, 0, 1]} "transpose"
const %4:f32[1x4x2] "w" = {1, 2, 3, 4, 5, 6, 7, 8}
const %5:f32[1x4x1] "r" = {1, 2, 3, 4}
const %6:f32[1x1x1] "state" = {0.5}
%7:f32[*] "y", %8:f32[*] "h" = LSTM(%3, %4, %5, -, -, %6) {hidden_size=1} "lstm"
output %7
output %8
)"},
    {"Reductions", R"(input %0:f32[1x2x3] "x"
const %1:s64[1] "last" = {-1}
%2:f32[*] "m" = ReduceMean(%0, %1) {keepdims=0} "mean"
%3:s64[*] "a" = ArgMax(%0) {axis=2, keepdims=0} "arg"
const %4:s64[1] "two" = {2}
%5:f32[*] "v", %6:s64[*] "i" = TopK(%0, %4) "top"
output %2
output %3
output %6
)"},
    {"Resize", R"(input %0:f32[1x1x2x2] "x"
const %1:s64[4] "sizes" = {1, 1, 4, 4}
%2:f32[*] "y" = Resize(%0, -, -, %1) {mode="nearest"} "resize"
const %3:s64[2] "begin" = {0, 1}
const %4:s64[2] "end" = {1, 3}
const %5:s64[2] "axes" = {0, 2}
%6:f32[*] "z" = Slice(%2, %3, %4, %5) "slice"
const %7:s64[8] "pads" = {0, 0, 1, 1, 0, 0, 1, 1}
%8:f32[*] "p" = Pad(%6, %7) "pad"
output %8
)"},
    {"Views", R"(input %0:f32[1x4] "x"
const %1:s64[2] "ends" = {0, 3}
%2:f32[*] "u" = Unsqueeze(%0, %1) "unsqueeze"
%3:f32[*] "a", %4:f32[*] "b" = Split(%2) {axis=2} "split"
const %5:s64[4] "target" = {2, 1, 2, 3}
%6:f32[*] "e" = Expand(%3, %5) "expand"
output %6
output %4
)"},
    {"Merged", R"(input %0:f32[1x2x3] "x"
%1:f32[*] "f" = Flatten(%0) {axis=2} "flatten"
%2:f32[*] "s" = Softmax(%1) "softmax"
const %3:f32[3x2] "w" = {1, 2, 3, 4, 5, 6}
%4:f32[*] "m" = MatMul(%2, %3) "matmul"
const %5:f32[2x1] "k" = {7, 8}
%6:f32[*] "c" = Concat(%4, %5) {axis=1} "concat"
const %7:s64[3] "back" = {1, 2, 3}
%8:f32[*] "b" = Reshape(%6, %7) "reshape"
const %9:s64[] "only" = {0}
%10:f32[*] "y" = Gather(%8, %9) {axis=0} "first"
output %8
output %10
)"},
    {"Interleave", R"(input %0:f32[1x2x3] "x"
const %1:f32[1x2x3] "k" = {1, 2, 3, 4, 5, 6}
%2:f32[*] "y" = Interleave(%0, %1) {axis=1} "interleave"
output %2
)"},
    {"Quantised", R"(input %0:f32[1x2x2x2] "x"
const %1:f32[] "scale" = {0.01}
const %2:u8[] "zero" = {128}
%3:u8[*] "q" = QuantizeLinear(%0, %1, %2) "quantise"
%4:f32[*] "d" = DequantizeLinear(%3, %1, %2) "dequantise"
output %4
)"},
};

INSTANTIATE_TEST_SUITE_P(Cases, Batched, testing::ValuesIn(cases),
                         [](const auto &which) { return std::string(which.param.name); });

std::string refusal(const std::string &body)
{
    try {
        batched(graph_of(body), jobs);
    } catch (const Error &error) {
        return error.what();
    }
    return "none";
}

TEST(Batching, NamesTheNodeThatStandsAgainstIt)
{
    EXPECT_EQ(refusal("input %0:f32[] \"x\"\n%1:f32[*] \"y\" = Relu(%0) \"relu\"\noutput %1\n"),
              "input \"x\": it has no axis on which jobs could be joined");
    EXPECT_EQ(refusal("input %0:f32[1x?] \"x\"\n%1:f32[*] \"y\" = Relu(%0) \"relu\"\noutput %1\n"),
              "input \"x\": the sizes of \"x\" are known only while it runs");
    EXPECT_EQ(refusal("input %0:f32[1x4] \"x\"\n%1:f32[*] \"y\" = Softmax(%0) {axis=0} \"soft\"\noutput %1\n"),
              "node \"soft\" (Softmax): works across the batch axis");
    EXPECT_EQ(refusal("input %0:f32[1x2x4] \"x\"\n%1:f32[*] \"t\" = Transpose(%0) {perm=[1, 0, 2]} \"swap\"\nconst "
                      "%2:s64[1] \"s\" = {8}\n%3:f32[*] \"y\" = Reshape(%1, %2) \"flat\"\noutput %3\n"),
              "node \"flat\" (Reshape): merges the jobs of a batch into other axes: 2x1x4 becomes 8");
    EXPECT_EQ(refusal("input %0:f32[4] \"x\"\nconst %1:f32[4] \"k\" = {1, 2, 3, 4}\n%2:f32[*] \"y\" = Add(%0, %1) "
                      "\"add\"\noutput %2\n"),
              "node \"add\" (Add): its inputs have different sizes on the axis on which the jobs of a batch are");
    EXPECT_EQ(refusal("input %0:f32[1x2x4] \"boxes\"\ninput %1:f32[1x1x2] \"scores\"\n%2:s64[*] \"y\" = "
                      "NonMaxSuppression(%0, %1) \"nms\"\noutput %2\n"),
              "node \"nms\" (NonMaxSuppression): this op is not known to treat the jobs of a batch apart");
    EXPECT_EQ(refusal("input %0:f32[2x2] \"x\"\nconst %1:s64[] \"i\" = {0}\n%2:f32[*] \"y\" = Gather(%0, %1) \"pick\"\n"
                      "output %2\n"),
              "node \"pick\" (Gather): picks from the batch axis");
}

} // namespace
} // namespace leat
