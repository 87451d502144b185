#include "inference/options.h"

#include <gtest/gtest.h>

namespace leat {
namespace {

struct Case {
    Options options;
    int cores, streams, threads, depth;
};

Options asked(PerformanceHint hint, int requests = 0, int streams = 0, int threads = 0)
{
    Options options;
    options.performance_hint = hint;
    options.num_requests = requests;
    options.num_streams = streams;
    options.num_threads = threads;
    return options;
}

TEST(Options, HintsAndWishesBecomeNumbers)
{
    using enum PerformanceHint;
    const Case cases[] = {
        {asked(latency), 2, 1, 2, 2},
        {asked(latency), 16, 1, 16, 2},
        {asked(latency, 5), 4, 1, 4, 5},
        {asked(latency, 0, 2), 4, 2, 2, 3},
        {asked(latency, 0, 0, 3), 8, 1, 3, 2},
        {asked(throughput), 1, 1, 1, 2},
        {asked(throughput), 8, 8, 1, 16},
        {asked(throughput, 3), 8, 3, 2, 3},
        {asked(throughput, 12), 8, 8, 1, 12},
        {asked(throughput, 0, 2), 8, 2, 4, 4},
        {asked(throughput, 0, 0, 4), 8, 4, 1, 8},
        {asked(throughput, 0, 3, 8), 8, 3, 2, 6},
        {asked(throughput, 0, 99, 99), 4, 4, 1, 8},
    };
    for (const Case &each : cases) {
        const Resources got = resolve(each.options, each.cores);
        const auto where = "case " + std::to_string(&each - cases);
        EXPECT_EQ(got.streams, each.streams) << where;
        EXPECT_EQ(got.threads, each.threads) << where;
        EXPECT_EQ(got.depth, each.depth) << where;
        EXPECT_LE(got.streams * got.threads, each.cores) << where;
    }
}

TEST(Options, AWishThatCannotBeFulfilledSaysSo)
{
    const Resources got = resolve(asked(PerformanceHint::throughput, 0, 0, 64), 4);
    for (const Setting &setting : got.settings) {
        EXPECT_FALSE(setting.reason.empty()) << setting.name;
        if (setting.name == "num_threads") {
            EXPECT_EQ(setting.value, "4");
            EXPECT_EQ(setting.reason, "num_threads asks for 64, more than the cores that this process may use");
        }
    }
}

} // namespace
} // namespace leat
