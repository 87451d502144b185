#include "devices/in_flight_limit.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>

namespace leat {
namespace {

/// A device in simulated time, on which as many jobs are kept in flight as the limit says.
class Simulation {
  public:
    Simulation(double bound_ms, int most, int slots) : limit(bound_ms, most), bound_ms_(bound_ms), free_(size_t(slots))
    {
    }

    InFlightLimit limit;

    /// Jobs of which the n-th takes service(n) milliseconds on one of the slots, in the order submitted.
    void run(int jobs, const std::function<double(int)> &service, int requests = 1 << 20)
    {
        for (int job = 0; job < jobs; job++) {
            while (static_cast<int>(running_.size()) >= std::min(limit.now(), requests))
                end_first();
            auto slot = std::min_element(free_.begin(), free_.end());
            *slot = std::max(*slot, now_) + service(job);
            running_.push_back({limit.submitted(), now_, *slot});
        }
        while (!running_.empty())
            end_first();
    }

    int ended = 0, late = 0;

  private:
    struct Running {
        InFlightLimit::Ticket ticket;
        double begun, ends;
    };
    const double bound_ms_;
    std::deque<Running> running_;
    std::vector<double> free_; // when each slot becomes so
    double now_ = 0;

    void end_first()
    {
        const auto first = std::min_element(running_.begin(), running_.end(),
                                            [](const Running &a, const Running &b) { return a.ends < b.ends; });
        now_ = first->ends;
        ended++;
        late += first->ends - first->begun > bound_ms_;
        limit.ended(first->ticket, first->ends - first->begun);
        running_.erase(first);
    }
};

std::function<double(int)> always(double ms)
{
    return [ms](int) { return ms; };
}

struct Case {
    const char *name;
    double bound_ms, service_ms;
    int most, slots;
    int want; ///< the largest number in flight whose latency, ceil(in flight / slots) services, is within the bound
};

class InFlightLimits : public testing::TestWithParam<Case> {};

TEST_P(InFlightLimits, FindsTheMostThatTheBoundAllows)
{
    const Case &given = GetParam();
    Simulation simulation(given.bound_ms, given.most, given.slots);
    simulation.run(8 * InFlightLimit::window * given.most / 4 + 3000, always(given.service_ms));
    EXPECT_EQ(simulation.limit.now(), given.want) << simulation.limit.setting().reason;
}

INSTANTIATE_TEST_SUITE_P(Simulated, InFlightLimits,
                         testing::Values(Case{"roomy", 100, 10, 4, 2, 4}, Case{"one_slot", 45, 10, 16, 1, 4},
                                         Case{"two_slots", 45, 10, 16, 2, 8}, Case{"tight", 10.5, 10, 16, 4, 4},
                                         Case{"many_slots", 25, 10, 64, 16, 32}, Case{"exactly_one", 15, 10, 8, 1, 1},
                                         Case{"too_slow_for_any", 5, 10, 8, 2, 1}),
                         [](const auto &each) { return std::string(each.param.name); });

TEST(InFlightLimit, LessThanOneInAHundredIsLateOnceItHasSettled)
{
    Simulation simulation(45, 16, 1);
    simulation.run(1000, always(10));
    simulation.ended = simulation.late = 0;
    simulation.run(100000, always(10));
    EXPECT_LT(simulation.late * 100, simulation.ended);
    EXPECT_GE(simulation.limit.now(), 4);
}

TEST(InFlightLimit, OneLateJobInAHundredIsWithinTheBound)
{
    Simulation simulation(45, 4, 1);
    simulation.run(5000, [](int job) { return job % InFlightLimit::window == 50 ? 20. : 5.; });
    EXPECT_EQ(simulation.limit.now(), 4);
    Simulation hiccups(45, 1, 1);
    hiccups.run(1000, [](int job) { return job % InFlightLimit::window == 50 ? 1000. : 5.; });
    EXPECT_EQ(hiccups.limit.setting().reason.find("even one"), std::string::npos) << hiccups.limit.setting().reason;
}

TEST(InFlightLimit, FollowsADeviceThatSlowsDownAndRecovers)
{
    Simulation simulation(45, 8, 1);
    simulation.run(2000, always(5));
    EXPECT_EQ(simulation.limit.now(), 8);
    simulation.run(3000, always(20));
    EXPECT_EQ(simulation.limit.now(), 2);
    simulation.run(20000, always(5));
    EXPECT_EQ(simulation.limit.now(), 8);
}

TEST(InFlightLimit, DoesNotGrowWhileTheApplicationKeepsLessInFlight)
{
    Simulation simulation(45, 8, 1);
    simulation.run(300, always(20));
    const int before = simulation.limit.now();
    ASSERT_LT(before, 8);
    simulation.run(5000, always(1), before - 1);
    EXPECT_EQ(simulation.limit.now(), before);
}

TEST(InFlightLimit, KeepsTheBoundFromTheFirstJobOnAndDoubles)
{
    Simulation simulation(45, 64, 1);
    EXPECT_EQ(simulation.limit.now(), 1);
    simulation.run(3 * InFlightLimit::first_window + 10, always(1));
    EXPECT_EQ(simulation.limit.now(), 8);
    Simulation slow(45, 64, 1);
    slow.run(150, always(10));
    EXPECT_LE(slow.late, 8) << "those under the first limit that failed, and no more";
    EXPECT_EQ(slow.limit.now(), 4);
}

TEST(InFlightLimit, AFirstJobThatIsLateDoesNotEndTheDoubling)
{
    Simulation simulation(45, 64, 1);
    simulation.run(3 * InFlightLimit::first_window + 10, [](int job) { return job == 0 ? 1000. : 1.; });
    EXPECT_EQ(simulation.limit.now(), 8);
}

TEST(InFlightLimit, FailedJobsSayNothing)
{
    InFlightLimit limit(10, 2);
    for (int i = 0; i < 1000; i++) {
        limit.submitted();
        limit.failed();
    }
    EXPECT_EQ(limit.now(), 1);
    EXPECT_EQ(limit.submitted().in_flight, 1);
}

TEST(InFlightLimit, NeverExceedsWhatTheDeviceTakes)
{
    Simulation simulation(1000, 8, 1);
    simulation.run(1000, always(1));
    EXPECT_EQ(simulation.limit.now(), 8);
    simulation.limit.allow(3);
    EXPECT_EQ(simulation.limit.now(), 3);
    simulation.limit.allow(8);
    EXPECT_EQ(simulation.limit.now(), 3) << "it grows as the latencies allow";
}

TEST(InFlightLimit, TheReasonSaysWhatWasMeasured)
{
    Simulation simulation(15, 8, 1);
    simulation.run(3000, always(10));
    const Setting setting = simulation.limit.setting();
    EXPECT_EQ(setting.name, "requests_in_flight");
    EXPECT_EQ(setting.value, "1");
    EXPECT_EQ(setting.reason, "latency_bound_ms 15.0 ms, and of the last 100 jobs 99 took at most 10.0 ms; with 2 at a "
                              "time the bound was exceeded");
    Simulation slow(5, 1, 1);
    slow.run(300, always(10));
    EXPECT_NE(slow.limit.setting().reason.find("even one job at a time takes longer"), std::string::npos);
}

} // namespace
} // namespace leat
