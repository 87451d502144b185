#include "gst/tracker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <set>

namespace leat {
namespace {

/// The largest sum of rewards over all ways to pair, by trying them; for small tables.
double best_sum(const std::vector<double> &rewards, size_t rows, size_t columns)
{
    std::vector<size_t> order(std::max(rows, columns));
    std::iota(order.begin(), order.end(), size_t(0));
    double best = 0;
    do {
        double sum = 0;
        for (size_t row = 0; row < rows; row++)
            if (order[row] < columns)
                sum += rewards[row * columns + order[row]];
        best = std::max(best, sum);
    } while (std::next_permutation(order.begin(), order.end()));
    return best;
}

TEST(BestPairs, NoPairingHasALargerSum)
{
    std::mt19937 random(7);
    for (int round = 0; round < 200; round++) {
        const size_t rows = random() % 6, columns = random() % 6;
        std::vector<double> rewards(rows * columns);
        for (double &reward : rewards)
            reward = random() % 3 ? static_cast<double>(random() % 100) : 0.;
        double sum = 0;
        std::set<size_t> used_rows, used_columns;
        for (const auto &[row, column] : best_pairs(rewards, rows, columns)) {
            EXPECT_TRUE(used_rows.insert(row).second && used_columns.insert(column).second);
            EXPECT_GT(rewards[row * columns + column], 0);
            sum += rewards[row * columns + column];
        }
        EXPECT_DOUBLE_EQ(sum, best_sum(rewards, rows, columns)) << rows << " x " << columns;
    }
}

Sighting at(float x, float y = 100, float confidence = 0.9f, const char *label = "car")
{
    return {{x, y, 60, 40}, confidence, 0, label, "street"};
}

/// A tracker and the frames that it has seen.
class Stream {
  public:
    std::vector<int> see(const std::vector<Sighting> &sightings, int frames = 1)
    {
        std::vector<int> ids;
        for (const Tracker::Identity &identity : tracker_.update(sightings, {}, frames, time_++, options_).identities)
            ids.push_back(identity.id);
        return ids;
    }
    std::vector<Tracker::Prediction> skip(const std::vector<std::string> &models = {"street"})
    {
        return tracker_.update({}, models, 1, time_++, options_).predictions;
    }

    TrackerOptions options_;
    Tracker tracker_;
    uint64_t time_ = 0;
};

using Ids = std::vector<int>;

TEST(Tracker, ObjectsThatMoveKeepTheirIds)
{
    Stream stream;
    for (int k = 0; k < 100; k++) {
        const float moved = static_cast<float>(8 * k);
        EXPECT_EQ(stream.see({at(moved), at(800 - moved, 300)}), (Ids{1, 2})) << "frame " << k;
    }
}

TEST(Tracker, TwoOfAKindThatCrossKeepTheirIds)
{
    // In the middle they cover each other, and the order of sightings changes all the time.
    Stream stream;
    for (int k = 0; k < 60; k++) {
        const float moved = static_cast<float>(6 * k);
        const auto forth = at(moved, 100), back = at(354 - moved, 112);
        const bool swapped = k % 2;
        const Ids ids = swapped ? stream.see({back, forth}) : stream.see({forth, back});
        EXPECT_EQ(ids, swapped ? (Ids{2, 1}) : (Ids{1, 2})) << "frame " << k;
    }
}

TEST(Tracker, AnObjectBehindAnotherIsThatObjectWhenItComesBack)
{
    Stream stream;
    for (int k = 0; k < 80; k++) {
        const float moved = static_cast<float>(5 * k);
        if (k >= 30 && k < 45)
            EXPECT_EQ(stream.see({}), Ids{});
        else
            EXPECT_EQ(stream.see({at(moved)}), Ids{1}) << "frame " << k;
    }
}

TEST(Tracker, ATrackEndsAfterMaxAge)
{
    for (const auto &[hidden, id] : {std::pair{10, 1}, {11, 2}}) {
        Stream stream;
        stream.options_.max_age = 10;
        stream.options_.min_hits = 1;
        EXPECT_EQ(stream.see({at(100)}), Ids{1});
        for (int k = 1; k < hidden; k++)
            stream.see({});
        EXPECT_EQ(stream.see({at(100)}), Ids{1}) << "the last frame in which it counts";
        for (int k = 0; k < hidden; k++)
            stream.see({});
        stream.see({at(100)});
        EXPECT_EQ(stream.see({at(100)}), Ids{id}) << hidden << " frames hidden";
    }
}

TEST(Tracker, UnsureSightingsContinueTracksButBeginNone)
{
    Stream stream;
    EXPECT_EQ(stream.see({at(100), at(500, 100, 0.3f)}), (Ids{1, 0}));
    for (int k = 1; k < 20; k++)
        EXPECT_EQ(stream.see({at(100, 100, 0.3f), at(500, 100, 0.3f)}), (Ids{1, 0}));
    EXPECT_EQ(stream.see({at(100, 100, 0.05f)}), Ids{0}) << "too unsure for anything";
}

TEST(Tracker, AnIdTakesTwoSightingsAfterTheFirstFrame)
{
    Stream stream;
    EXPECT_EQ(stream.see({}), Ids{});
    EXPECT_EQ(stream.see({at(100)}), Ids{1}) << "the first frame with anything";
    EXPECT_EQ(stream.see({at(100), at(500)}), (Ids{1, 0}));
    EXPECT_EQ(stream.see({at(100)}), Ids{1}) << "the second one was a mistake";
    EXPECT_EQ(stream.see({at(100), at(500)}), (Ids{1, 0}));
    EXPECT_EQ(stream.see({at(100), at(500)}), (Ids{1, 2}));
}

TEST(Tracker, ObjectsLeaveAndOthersEnter)
{
    Stream stream;
    stream.options_.max_age = 5;
    std::set<int> ids;
    for (int k = 0; k < 300; k++) {
        // One after the other drives through a frame of 300 pixels, 20 frames apart.
        std::vector<Sighting> sightings;
        for (int car = 0; car < 10; car++)
            if (const float x = static_cast<float>(10 * (k - 20 * car)); x >= 0 && x < 300)
                sightings.push_back(at(x));
        for (const int id : stream.see(sightings))
            ids.insert(id);
    }
    ids.erase(0);
    EXPECT_EQ(ids.size(), 10u);
    EXPECT_EQ(*ids.rbegin(), 10);
}

TEST(Tracker, LabelsAndModelsAreApart)
{
    Stream stream;
    Sighting other = at(100);
    other.model = "second";
    EXPECT_EQ(stream.see({at(100), at(100, 100, 0.9f, "truck"), other}), (Ids{1, 2, 3}));
    EXPECT_EQ(stream.see({other, at(100, 100, 0.9f, "truck"), at(100)}), (Ids{3, 2, 1}));
}

TEST(Tracker, FramesThatNobodyLookedAtHaveTheExpectedBoxes)
{
    Stream stream;
    for (int k = 0; k < 40; k++) {
        const float x = static_cast<float>(5 * k);
        if (k < 10 || k % 5 == 0) {
            EXPECT_EQ(stream.see({at(x)}), Ids{1});
            continue;
        }
        const auto predictions = stream.skip();
        ASSERT_EQ(predictions.size(), 1u) << "frame " << k;
        EXPECT_EQ(predictions[0].identity.id, 1);
        EXPECT_NEAR(predictions[0].sighting.box.x, x, 6);
        EXPECT_NEAR(predictions[0].sighting.box.width, 60, 1);
        EXPECT_EQ(predictions[0].sighting.label, "car");
    }
    EXPECT_TRUE(stream.skip({"another"}).empty()) << "its own model looked, and it was not there";
    EXPECT_TRUE(stream.skip().empty()) << "lost objects are not shown";
    EXPECT_EQ(stream.see({at(210)}), Ids{1});
}

TEST(Tracker, PredictionsEndAfterMaxAgeButTheNextLookFindsTheTrack)
{
    Stream stream;
    stream.options_.max_age = 3;
    stream.see({at(100)});
    for (int k = 0; k < 6; k++)
        EXPECT_EQ(stream.skip().size(), k < 3 ? 1u : 0u) << k;
    EXPECT_EQ(stream.see({at(100)}), Ids{1});
}

TEST(Tracker, LostFramesCount)
{
    Stream stream;
    for (int k = 0; k < 20; k++)
        stream.see({at(static_cast<float>(5 * k))});
    EXPECT_EQ(stream.see({at(5 * 39)}, 20), Ids{1}) << "where it is after 20 frames";
    EXPECT_EQ(stream.see({}, std::numeric_limits<int>::max()), Ids{});
    EXPECT_EQ(stream.see({at(5 * 39)}), Ids{0}) << "forgotten long since";
}

TEST(Tracker, AfterAResetIdsGoOn)
{
    Stream stream;
    EXPECT_EQ(stream.see({at(100), at(500)}), (Ids{1, 2}));
    stream.tracker_.reset();
    EXPECT_EQ(stream.see({at(100)}), Ids{3});
}

TEST(Tracker, TooManyAndImpossibleBoxesAreLeftOut)
{
    Stream stream;
    stream.options_.max_objects = 3;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    Sighting empty = at(700);
    empty.box.width = 0;
    const std::vector<Sighting> many{
        at(0, 100, 0.8f), at(100, 100, 0.6f), at(200, 100, 0.9f), at(300, 100, 0.7f), empty, at(400, 100, nan)};
    for (int k = 0; k < 3; k++)
        EXPECT_EQ(stream.see(many), (Ids{2, 0, 1, 3, 0, 0}));
    // The one that has been lost longest makes room.
    stream.see({many[0], many[2]});
    stream.see({many[0], many[2], many[1]});
    EXPECT_EQ(stream.see({many[0], many[2], many[1]}), (Ids{2, 1, 4}));
}

} // namespace
} // namespace leat
