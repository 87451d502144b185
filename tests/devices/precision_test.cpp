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

} // namespace
} // namespace leat
