#include "devices/core.h"
#include "devices/cpu/precision.h"

#include <gtest/gtest.h>

namespace leat {
namespace {

TEST(Precision, FollowsTheWishTheModeAndTheProcessor)
{
    using Mode = ExecutionMode;
    using Wish = InferencePrecision;
    const struct {
        Wish wish;
        Mode mode;
        bool has_bf16;
        const char *value, *reason;
    } cases[] = {
        {Wish::automatic, Mode::accuracy, true, "f32", "execution_mode accuracy"},
        {Wish::automatic, Mode::performance, false, "f32", "this processor does not multiply bf16"},
        {Wish::automatic, Mode::performance, true, "bf16", "execution_mode performance"},
        {Wish::f32, Mode::performance, true, "f32", "set by inference_precision"},
        {Wish::bf16, Mode::performance, true, "bf16", "set by inference_precision"},
        {Wish::bf16, Mode::accuracy, true, "bf16", "set by inference_precision"},
        {Wish::bf16, Mode::performance, false, "f32", "asks for bf16, which this processor does not multiply"},
        {Wish::f16, Mode::performance, true, "f32", "asks for f16, in which this device does not compute"},
    };
    for (const auto &each : cases) {
        Options options;
        options.inference_precision = each.wish;
        options.execution_mode = each.mode;
        const Setting setting = cpu::choose_precision(options, each.has_bf16);
        EXPECT_EQ(setting.name, "inference_precision");
        EXPECT_EQ(setting.value, each.value) << setting.reason;
        EXPECT_NE(setting.reason.find(each.reason), std::string::npos) << setting.reason;
    }
}

TEST(Precision, IsSeenInTheReportsOfTheNodes)
{
    Graph graph = parse(R"(graph "conv"
input %0:f32[1x16x8x8] "x"
input %1:f32[16x16x1x1] "w"
%2:f32[*] "y" = Conv(%0, %1) "conv"
output %2
)");
    graph.values[1].constant = Tensor(Type::f32, {16, 16, 1, 1});
    std::fill_n(graph.values[1].constant.data<float>(), 256, 0.5f);
    graph.inputs.resize(1);
    const auto shared = std::make_shared<const Graph>(std::move(graph));
    for (InferencePrecision precision : {InferencePrecision::f32, InferencePrecision::bf16}) {
        Options options;
        options.inference_precision = precision;
        const auto model = compile_shared(shared, "CPU", options, {});
        bool is_short = false;
        for (const Setting &setting : model->settings())
            is_short = is_short || (setting.name == "inference_precision" && setting.value == "bf16");
        EXPECT_TRUE(!is_short || precision == InferencePrecision::bf16);
        std::string kernel = "none";
        for (const NodeReport &node : model->nodes())
            if (node.node == "conv")
                kernel = node.kernel;
        EXPECT_EQ(kernel.find("bf16") != std::string::npos, is_short) << kernel;
    }
}

} // namespace
} // namespace leat
