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

/// Cores of one hardware thread, of one kind, at one memory.
Topology plain(int cores)
{
    Topology topology;
    for (int cpu = 0; cpu < cores; cpu++)
        topology.cores.push_back({{cpu}, 0, false});
    return topology;
}

/// As Linux numbers them: the first hardware threads of all cores, node by node, then the second ones.
Topology with_siblings(int cores, int nodes)
{
    Topology topology;
    for (int core = 0; core < cores; core++)
        topology.cores.push_back({{core, cores + core}, core * nodes / cores, false});
    return topology;
}

/// Fast cores of two hardware threads, numbered side by side, then slow ones of one.
Topology hybrid(int fast, int slow)
{
    Topology topology;
    for (int core = 0; core < fast; core++)
        topology.cores.push_back({{2 * core, 2 * core + 1}, 0, false});
    for (int core = 0; core < slow; core++)
        topology.cores.push_back({{2 * fast + core}, 0, true});
    return topology;
}

std::string text_of(const std::vector<std::vector<int>> &lanes)
{
    std::string text;
    for (const auto &lane : lanes) {
        text += text.empty() ? "" : " ";
        for (size_t i = 0; i < lane.size(); i++)
            text += (i ? "+" : "") + std::to_string(lane[i]);
    }
    return text;
}

TEST(Options, TheTopologyOfTheMachineDecidesTheLanes)
{
    using enum PerformanceHint;
    auto kind = [](PerformanceHint hint, CoreType type) {
        Options options = asked(hint);
        options.core_type = type;
        return options;
    };
    auto threads = [](PerformanceHint hint, bool all) {
        Options options = asked(hint);
        options.hyper_threading = all;
        return options;
    };
    Topology quota = plain(8);
    quota.quota = 2;
    const struct {
        const char *machine;
        Options options;
        Topology topology;
        int streams, threads;
        bool pinned;
        const char *lanes;
    } cases[] = {
        {"4 cores, 8 threads", asked(latency), with_siblings(4, 1), 1, 4, true, "0+1+2+3"},
        {"4 cores, 8 threads", asked(throughput), with_siblings(4, 1), 4, 1, true, "0 1 2 3"},
        {"4 cores, 8 threads", threads(throughput, true), with_siblings(4, 1), 8, 1, true, "0 1 2 3 4 5 6 7"},
        {"4 cores, 8 threads", threads(latency, true), with_siblings(4, 1), 1, 8, true, "0+1+2+3+4+5+6+7"},
        {"2 sockets of 2", asked(latency), with_siblings(4, 2), 1, 2, true, "0+1"},
        {"2 sockets of 2", asked(latency, 0, 0, 4), with_siblings(4, 2), 1, 4, true, "0+1+2+3"},
        {"2 sockets of 2", asked(latency, 0, 2), with_siblings(4, 2), 2, 2, true, "0+1 2+3"},
        {"2 sockets of 2", asked(throughput), with_siblings(4, 2), 4, 1, true, "0 1 2 3"},
        {"2 sockets of 3", asked(throughput, 0, 3), with_siblings(6, 2), 3, 2, true, "0+1 3+4 2+5"},
        {"2 fast, 2 slow", asked(latency), hybrid(2, 2), 1, 2, true, "0+2"},
        {"2 fast, 8 slow", asked(latency, 0, 0, 4), hybrid(2, 8), 1, 4, false, "4+5+6+7 8+9+10+11"},
        {"2 fast, 4 slow", asked(latency), hybrid(2, 4), 1, 6, false, "0+2+4+5+6+7"},
        {"2 fast, 2 slow", asked(throughput), hybrid(2, 2), 4, 1, true, "0 2 4 5"},
        {"2 fast, 2 slow", kind(throughput, CoreType::efficient), hybrid(2, 2), 2, 1, true, "4 5"},
        {"2 fast, 2 slow", kind(throughput, CoreType::performance), hybrid(2, 2), 2, 1, true, "0 2"},
        {"4 cores of one kind", kind(throughput, CoreType::efficient), plain(4), 4, 1, true, "0 1 2 3"},
        {"8 cores, a quota of 2", asked(throughput), quota, 2, 1, true, "0 1 2 3 4 5 6 7"},
        {"8 cores, a quota of 2", asked(latency), quota, 1, 2, true, "0+1 2+3 4+5 6+7"},
    };
    for (const auto &each : cases) {
        const Resources got = resolve(each.options, each.topology);
        const std::string where = std::string(each.machine) + ", case " + std::to_string(&each - cases);
        EXPECT_EQ(got.streams, each.streams) << where;
        EXPECT_EQ(got.threads, each.threads) << where;
        EXPECT_EQ(got.pinned, each.pinned) << where;
        EXPECT_EQ(text_of(got.lanes), each.lanes) << where;
        for (const Setting &setting : got.settings)
            EXPECT_FALSE(setting.reason.empty()) << where << ": " << setting.name;
    }
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
        const Resources got = resolve(each.options, plain(each.cores));
        const auto where = "case " + std::to_string(&each - cases);
        EXPECT_EQ(got.streams, each.streams) << where;
        EXPECT_EQ(got.threads, each.threads) << where;
        EXPECT_EQ(got.depth, each.depth) << where;
        EXPECT_LE(got.streams * got.threads, each.cores) << where;
    }
}

TEST(Options, AWishThatCannotBeFulfilledSaysSo)
{
    const Resources got = resolve(asked(PerformanceHint::throughput, 0, 0, 64), plain(4));
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
