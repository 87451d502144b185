#include "inference/work.h"

#include <gtest/gtest.h>

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

} // namespace
} // namespace leat
