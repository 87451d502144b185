#include "inference/graph.h"
#include "inference/ops.h"

#include <gtest/gtest.h>

namespace leat {
namespace {

const char *small_graph = R"(graph "small"
metadata "names" = "{0: \"a\nb\"}"
input %0:f32[1x2x?x4] "x"
const %1:f32[2x2x1x1] "w" = {1, 0.5, -2, 1.00000001e-07}
const %2:f32[2] "b" = {0, 3}
%3:f32[1x2x?x4] "y" = Conv(%0, %1, %2) {group=1, pads=[0, 0, 0, 0]} post(LeakyRelu {alpha=0.100000001}, Add %0) "conv"
%4:f32[1x2x?x4] "z" = Clip(%3, -, -) "clip"
output %4
)";

std::string error_of(auto body)
{
    try {
        body();
    } catch (const Error &error) {
        return error.what();
    }
    return "no error";
}

TEST(GraphText, PrintsWhatItParsed)
{
    EXPECT_EQ(print(parse(small_graph)), small_graph);
}

TEST(GraphText, KeepsTheRangesOfSizes)
{
    const std::string text = R"(graph "ranges"
input %0:f32[1x64..640x?x32..] "x"
%1:f32[1x?x?x?] "y" = Relu(%0) "relu"
output %1
)";
    EXPECT_EQ(print(parse(text)), text);
}

TEST(GraphText, PrintsAHashForLargeConstantsWhichCannotBeRead)
{
    const std::string text = print(parse(small_graph), 3);
    EXPECT_NE(text.find("const %1:f32[2x2x1x1] \"w\" = #"), std::string::npos) << text;
    EXPECT_EQ(error_of([&] { parse(text); }),
              "line 4: column 30: a constant of which only the hash was printed cannot be read");
}

TEST(GraphText, KeepsEveryKindOfAttribute)
{
    const std::string text = R"(graph ""
input %0:f32[2] "x"
%1:f32[2] "y" = LeakyRelu(%0) {alpha=1.0, beta=f[1.0, 0.25], g=graph "graph \"inner\"\n", i=-3, l=[1, 2], s="a \"b\"", t=tensor s64[2]{5, 6}} "n"
output %1
)";
    EXPECT_EQ(print(parse(text)), text);
}

TEST(GraphText, NamesTheLineOfAFault)
{
    EXPECT_EQ(error_of([] { parse("graph \"g\"\n%0:f32[1] \"y\" = Nonsense() \"n\"\n"); }),
              "line 2: column 25: no op \"Nonsense\"");
    EXPECT_EQ(error_of([] { parse("input %0:f99[1] \"y\"\n"); }), "line 1: column 13: no type \"f99\"");
}

TEST(Graph, VerifyNamesTheFault)
{
    EXPECT_EQ(error_of([] { parse("input %0:f32[1] \"x\"\n%1:f32[1] \"y\" = Add(%0, %2) \"sum\"\noutput %1\n"); }),
              "node \"sum\" (Add) reads \"\", which nobody made before it");
    EXPECT_EQ(error_of([] { parse("input %0:f32[1] \"x\"\n%1:f32[1] \"y\" = Add(%0) \"sum\"\noutput %1\n"); }),
              "node \"sum\" (Add) has 1 inputs, want 2");
    EXPECT_EQ(error_of([] { parse("input %0:f32[1] \"x\"\n%0:f32[1] \"x\" = Relu(%0) \"r\"\noutput %0\n"); }),
              "node \"r\" (Relu) makes \"x\", which somebody else made already");
}

TEST(Graph, TidyOrdersAndDropsWhatNobodyNeeds)
{
    Graph graph =
        parse("input %0:f32[1] \"x\"\n%1:f32[1] \"a\" = Relu(%0) \"first\"\n%2:f32[1] \"b\" = Abs(%1) \"second\"\n"
              "%3:f32[1] \"c\" = Exp(%0) \"unused\"\noutput %2\n");
    std::swap(graph.nodes[0], graph.nodes[1]);
    graph.tidy();
    graph.verify();
    ASSERT_EQ(graph.nodes.size(), 2u);
    EXPECT_EQ(graph.nodes[0].name, "first");
    EXPECT_EQ(graph.values.size(), 3u);
}

TEST(Graph, TidyNamesANodeOfACircle)
{
    Graph graph = parse("input %0:f32[1] \"x\"\n%1:f32[1] \"a\" = Relu(%0) \"first\"\n%2:f32[1] \"b\" = Abs(%1) "
                        "\"second\"\noutput %2\n");
    graph.nodes[0].inputs[0] = 2;
    EXPECT_EQ(error_of([&] { graph.tidy(); }), "node \"first\" (Relu) depends on its own output");
}

TEST(Graph, ShapeInferenceFoldsShapeArithmetic)
{
    Graph graph = parse(R"(graph "g"
input %0:f32[2x3x4] "x"
const %1:s64[] "i" = {1}
const %5:s64[1] "minus" = {-1}
%2:s64[*] "shape" = Shape(%0) "shape"
%3:s64[*] "size" = Gather(%2, %1) "gather"
%4:s64[*] "sizes" = Unsqueeze(%3, %6) "unsqueeze"
const %6:s64[1] "axes" = {0}
%7:s64[*] "target" = Concat(%4, %5) {axis=0} "concat"
%8:f32[*] "y" = Reshape(%0, %7) "reshape"
output %8
)");
    infer_shapes(graph);
    graph.tidy();
    EXPECT_EQ(to_string(*graph.values[graph.outputs[0]].shape), "3x8");
    EXPECT_EQ(graph.nodes.size(), 1u);
}

} // namespace
} // namespace leat
