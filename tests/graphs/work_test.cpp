#include "inference/work.h"

#include <gtest/gtest.h>

#include <cmath>

namespace leat {
namespace {

/// Of the last node of the graph whose text form has these lines between its name and its output %9.
std::optional<double> operations(const std::string &lines)
{
    const Graph graph = parse("graph \"work\"\n" + lines + "output %9\n");
    return operations_of(graph, graph.nodes.back());
}

TEST(Work, OfConvolutionsCountsTheWeightsOfOneOutputChannel)
{
    EXPECT_EQ(operations("input %0:f32[1x4x5x5] \"x\"\ninput %1:f32[8x2x3x3] \"w\"\n"
                         "%9:f32[1x8x3x3] \"y\" = Conv(%0, %1) {group=2} \"c\"\n"),
              2.0 * (8 * 3 * 3) * (2 * 3 * 3));
}

TEST(Work, OfTransposedConvolutionsCountsTheInput)
{
    EXPECT_EQ(operations("input %0:f32[1x4x5x5] \"x\"\ninput %1:f32[4x8x2x2] \"w\"\n"
                         "%9:f32[1x8x6x6] \"y\" = ConvTranspose(%0, %1) \"c\"\n"),
              2.0 * (4 * 5 * 5) * (8 * 2 * 2));
}

TEST(Work, OfMatrixProductsCountsTheAxisSummedOver)
{
    EXPECT_EQ(operations("input %0:f32[2x3x4] \"a\"\ninput %1:f32[4x5] \"b\"\n"
                         "%9:f32[2x3x5] \"y\" = MatMul(%0, %1) \"m\"\n"),
              2.0 * (2 * 3 * 5) * 4);
    EXPECT_EQ(operations("input %0:f32[7x3] \"a\"\ninput %1:f32[7x5] \"b\"\n"
                         "%9:f32[3x5] \"y\" = Gemm(%0, %1) {transA=1} \"g\"\n"),
              2.0 * (3 * 5) * 7);
}

TEST(Work, IsNotKnownForOtherOpsNorForOpenSizes)
{
    EXPECT_FALSE(operations("input %0:f32[4] \"a\"\n%9:f32[4] \"y\" = Add(%0, %0) \"a\"\n"));
    EXPECT_FALSE(operations("input %0:f32[?x3] \"a\"\ninput %1:f32[3x5] \"b\"\n"
                            "%9:f32[?x5] \"y\" = MatMul(%0, %1) \"m\"\n"));
}

double steps(const std::string &lines)
{
    const Graph graph = parse("graph \"work\"\n" + lines + "output %9\n");
    return steps_of(graph, graph.nodes.back());
}

TEST(Steps, CountWhatIsReadAndWritten)
{
    EXPECT_EQ(steps("input %0:f32[2x3] \"a\"\n%9:f32[2x3] \"y\" = Add(%0, %0) post(Relu) \"a\"\n"), 6 + 6 + 2 * 6);
    EXPECT_EQ(steps("input %0:f32[?x3] \"a\"\n%9:f32[?x3] \"y\" = Relu(%0) \"a\"\n"), 0);
}

TEST(Steps, CountProductsAndWindows)
{
    EXPECT_EQ(steps("input %0:f32[3x4] \"a\"\ninput %1:f32[4x5] \"b\"\n%9:f32[3x5] \"y\" = MatMul(%0, %1) \"m\"\n"),
              12 + 20 + 15 + 2 * 15 * 4);
    EXPECT_EQ(steps("input %0:f32[1x1x5x5] \"x\"\n"
                    "%9:f32[1x1x3x3] \"y\" = MaxPool(%0) {kernel_shape=[3, 3]} \"p\"\n"),
              25 + 9 + 9 * 9);
    EXPECT_EQ(steps("input %0:f32[1x1x8x8] \"x\"\n%9:f32[1x1x4x16] \"y\" = Resize(%0) \"r\"\n"),
              64 + 64 + 64 * (4 * 2) * 4);
    EXPECT_EQ(steps("input %0:f32[2x3] \"x\"\n%9:f32[3] \"y\" = Einsum(%0) {equation=\"ij->j\"} \"e\"\n"), 6 + 3 + 6);
    EXPECT_EQ(steps("input %0:f32[7x1x3] \"x\"\ninput %1:f32[1x8x3] \"w\"\ninput %2:f32[1x8x2] \"r\"\n"
                    "%9:f32[7x1x1x2] \"y\" = LSTM(%0, %1, %2) {hidden_size=2} \"l\"\n"),
              21 + 24 + 16 + 14 + 7 * (24 + 16));
}

TEST(Steps, HaveNoBoundWhereTheSizesGiveNone)
{
    EXPECT_TRUE(std::isinf(steps("input %0:f32[1x4x4] \"b\"\ninput %1:f32[1x1x4] \"s\"\n"
                                 "%9:s64[?x3] \"y\" = NonMaxSuppression(%0, %1) \"n\"\n")));
}

} // namespace
} // namespace leat
