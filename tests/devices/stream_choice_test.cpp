#include "devices/stream_choice.h"

#include <gtest/gtest.h>

namespace leat {
namespace {

/// Ends the change that is wanted.
int change(StreamChoice &choice)
{
    EXPECT_TRUE(choice.wanted());
    choice.changed();
    EXPECT_FALSE(choice.wanted());
    return choice.now();
}

void be_late(StreamChoice &choice, double milliseconds)
{
    choice.late(milliseconds);
    choice.late(milliseconds);
}

/// Windows that keep the bound until a change is wanted; at most a thousand.
int windows_until_wanted(StreamChoice &choice, double p99_ms, int in_flight)
{
    int windows = 0;
    while (!choice.wanted() && windows < 1000) {
        choice.kept(p99_ms, in_flight);
        windows++;
    }
    return windows;
}

TEST(StreamChoice, HalvesWhileASingleJobIsLate)
{
    StreamChoice choice(10, 6);
    choice.late(30);
    EXPECT_FALSE(choice.wanted()) << "once may be the first job, or another process";
    choice.kept(9, 1);
    choice.late(30);
    EXPECT_FALSE(choice.wanted());
    choice.late(30);
    EXPECT_EQ(change(choice), 3);
    be_late(choice, 16);
    EXPECT_EQ(change(choice), 1);
    be_late(choice, 12);
    EXPECT_FALSE(choice.wanted());
    EXPECT_EQ(choice.setting()->value, "1");
    EXPECT_EQ(choice.setting()->reason,
              "latency_bound_ms 10.0 ms: with 3 streams a single inference took up to 16.0 ms");
}

TEST(StreamChoice, GoesBackWhenMoreStreamsWouldKeepTheBound)
{
    StreamChoice choice(10, 4);
    be_late(choice, 12);
    EXPECT_EQ(change(choice), 2);
    EXPECT_EQ(windows_until_wanted(choice, 8, 2), 1000) << "then it took one and a half times as long";
    EXPECT_EQ(windows_until_wanted(choice, 5.9, 1), 1000) << "one stream is idle: more would not help";
    EXPECT_EQ(windows_until_wanted(choice, 5.9, 2), 1);
    EXPECT_EQ(change(choice), 4);
    EXPECT_FALSE(choice.setting());
}

TEST(StreamChoice, JobsThatWaitForOthersSayNothingOfAJobAlone)
{
    StreamChoice choice(10, 2);
    be_late(choice, 16);
    EXPECT_EQ(change(choice), 1);
    choice.kept(4, 1);
    EXPECT_EQ(windows_until_wanted(choice, 9, 3), StreamChoice::first_patience - 1) << "alone it is 4 ms still";
}

TEST(StreamChoice, TriesLessOftenWhatFailsAgain)
{
    StreamChoice choice(10, 2);
    for (int patience = StreamChoice::first_patience; patience <= 4 * StreamChoice::first_patience; patience *= 2) {
        be_late(choice, 12);
        EXPECT_EQ(change(choice), 1);
        EXPECT_EQ(windows_until_wanted(choice, 4, 1), patience);
        EXPECT_EQ(change(choice), 2);
    }
}

TEST(StreamChoice, ClimbsStepByStep)
{
    StreamChoice choice(10, 4);
    be_late(choice, 40);
    change(choice);
    be_late(choice, 20);
    EXPECT_EQ(change(choice), 1);
    windows_until_wanted(choice, 1, 1);
    EXPECT_EQ(change(choice), 2);
    windows_until_wanted(choice, 2, 2);
    EXPECT_EQ(change(choice), 4);
}

TEST(StreamChoice, OneLeavesNone)
{
    StreamChoice choice(10, 1);
    be_late(choice, 40);
    EXPECT_FALSE(choice.wanted());
    EXPECT_FALSE(choice.setting());
}

TEST(StreamChoice, WhatCannotBeMadeIsNotWantedAgain)
{
    StreamChoice choice(10, 2);
    be_late(choice, 40);
    choice.refused("no memory");
    be_late(choice, 40);
    EXPECT_FALSE(choice.wanted());
    EXPECT_EQ(choice.setting()->reason, "latency_bound_ms 10.0 ms: with 2 streams a single inference took up to 40.0 "
                                        "ms; the model with another number could not be made: no memory");
}

} // namespace
} // namespace leat
