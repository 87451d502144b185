#include "devices/cpu/denormals.h"
#include "devices/cpu/parts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace leat::cpu {
namespace {

/// Threads that help as long as they live.
class Helpers {
  public:
    Helpers(Parts &parts, int count)
    {
        for (int i = 0; i < count; i++)
            threads_.emplace_back([&parts](const std::stop_token &stop) {
                while (!stop.stop_requested())
                    parts.help();
            });
    }

  private:
    std::vector<std::jthread> threads_;
};

TEST(Parts, EachRunsOnceWhoeverTakesIt)
{
    Parts parts;
    const Helpers helpers(parts, 3);
    std::vector<int> times(100);
    for (int round = 0; round < 3000; round++) {
        const int64_t count = 1 + round % 100, cut = std::min<int64_t>(count, 1 + round % 7);
        const Parts::Body body = [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++)
                times[static_cast<size_t>(i)]++;
        };
        parts.begin(body, count, cut);
        parts.end();
        for (int64_t i = 0; i < count; i++)
            ASSERT_EQ(std::exchange(times[static_cast<size_t>(i)], 0), 1) << round;
    }
}

TEST(Parts, TheLeaderRunsThemAllWhenNobodyHelps)
{
    Parts parts;
    int64_t sum = 0;
    const Parts::Body body = [&](int64_t first, int64_t last) { sum += last - first; };
    parts.begin(body, 1000, 16);
    parts.end();
    EXPECT_EQ(sum, 1000);
    EXPECT_FALSE(parts.run_one());
}

TEST(Parts, WhatAPartThrowsIsThrownWhenAllHaveEnded)
{
    Parts parts;
    const Helpers helpers(parts, 2);
    for (int round = 0; round < 100; round++) {
        std::atomic<int> ended = 0;
        const Parts::Body body = [&](int64_t first, int64_t) {
            ended++;
            if (first == 2)
                throw std::runtime_error("the third");
        };
        parts.begin(body, 8, 8);
        EXPECT_THROW(parts.end(), std::runtime_error);
        EXPECT_EQ(ended, 8);
        ended = 0;
        const Parts::Body next = [&](int64_t, int64_t) { ended++; };
        parts.begin(next, 4, 4);
        EXPECT_NO_THROW(parts.end());
        EXPECT_EQ(ended, 4);
    }
}

TEST(Parts, DenormalNumbersAreInAllOfThemWhatTheyAreForTheLeader)
{
#ifndef __x86_64__
    GTEST_SKIP() << "denormal numbers are not zero on this processor";
#endif
    Parts parts;
    const Helpers helpers(parts, 3);
    const auto leader = std::this_thread::get_id();
    std::atomic<int> helped = 0;
    for (int round = 0; round < 100 || helped == 0; round++) {
        const bool zero = round % 2 == 0;
        std::atomic<int> other = 0;
        const Parts::Body body = [&](int64_t, int64_t) {
            volatile float small = 1e-40f;
            other += (small * 2 == 0) != zero;
            helped += std::this_thread::get_id() != leader;
            std::this_thread::yield();
        };
        {
            const DenormalsAsZero mode(zero);
            parts.begin(body, 16, 16);
            parts.end();
            EXPECT_EQ(denormals_are_zero(), zero);
        }
        EXPECT_FALSE(denormals_are_zero());
        ASSERT_EQ(other, 0) << round;
    }
}

} // namespace
} // namespace leat::cpu
