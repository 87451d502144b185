#include "inference/decode/decoder.h"
#include "support/sanitized.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

using namespace leat;

namespace {

constexpr unsigned seeds = sanitized ? 10 : 50;

/// Boxes in clusters, so that many overlap; scores from few values, so that some are equal.
std::vector<Object> random_objects(unsigned seed, int count)
{
    std::mt19937 random(seed);
    const auto below = [&](int limit) { return int(random() % unsigned(limit)); };
    std::vector<Object> objects;
    for (int i = 0; i < count; i++) {
        const float x = float(20 * below(8) + below(6)), y = float(20 * below(8) + below(6));
        objects.push_back(
            {x, y, x + float(5 + below(30)), y + float(5 + below(30)), float(below(50)) / 50, below(3), {}});
    }
    return objects;
}

bool same(const std::vector<Object> &a, const std::vector<Object> &b)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Object &p, const Object &q) {
        return p.x1 == q.x1 && p.y1 == q.y1 && p.x2 == q.x2 && p.y2 == q.y2 && p.score == q.score &&
               p.label_id == q.label_id;
    });
}

constexpr float thresholds[] = {0, 0.3f, 0.5f, 0.9f};

TEST(Suppression, IsIdempotent)
{
    for (unsigned seed = 0; seed < seeds; seed++)
        for (float threshold : thresholds) {
            auto once = random_objects(seed, 120);
            suppress(once, threshold);
            auto twice = once;
            suppress(twice, threshold);
            EXPECT_TRUE(same(once, twice)) << "seed " << seed << " threshold " << threshold;
        }
}

TEST(Suppression, DoesNotDependOnTheOrder)
{
    for (unsigned seed = 0; seed < seeds; seed++) {
        auto objects = random_objects(seed, 120), shuffled = objects;
        std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(seed + 1));
        suppress(objects, 0.5f);
        suppress(shuffled, 0.5f);
        EXPECT_TRUE(same(objects, shuffled)) << "seed " << seed;
    }
}

TEST(Suppression, KeepsNoTwoOfOneClassOverTheThresholdAndDropsNoOtherOnes)
{
    for (unsigned seed = 0; seed < seeds; seed++)
        for (float threshold : thresholds) {
            const auto all = random_objects(seed, 120);
            auto kept = all;
            suppress(kept, threshold);
            const auto hidden_by = [&](const Object &better, const Object &object) {
                return better.label_id == object.label_id && better.score >= object.score &&
                       intersection_over_union(better, object) > threshold;
            };
            for (size_t i = 0; i < kept.size(); i++)
                for (size_t j = i + 1; j < kept.size(); j++) {
                    EXPECT_GE(kept[i].score, kept[j].score);
                    EXPECT_FALSE(kept[i].label_id == kept[j].label_id &&
                                 intersection_over_union(kept[i], kept[j]) > threshold);
                }
            for (const Object &object : all) {
                const bool is_kept =
                    std::any_of(kept.begin(), kept.end(), [&](const Object &k) { return same({k}, {object}); });
                const bool is_hidden =
                    std::any_of(kept.begin(), kept.end(), [&](const Object &k) { return hidden_by(k, object); });
                EXPECT_TRUE(is_kept || is_hidden);
            }
        }
}

TEST(Suppression, MayGoAcrossClasses)
{
    std::vector<Object> objects = {{0, 0, 10, 10, 0.5f, 0, {}}, {0, 0, 10, 11, 0.9f, 1, {}}};
    auto within = objects;
    suppress(within, 0.5f);
    EXPECT_EQ(within.size(), 2u);
    suppress(objects, 0.5f, true);
    ASSERT_EQ(objects.size(), 1u);
    EXPECT_EQ(objects[0].label_id, 1);
}

TEST(IntersectionOverUnion, OfKnownBoxes)
{
    const Object a{0, 0, 10, 10, 1, 0, {}};
    EXPECT_FLOAT_EQ(intersection_over_union(a, a), 1);
    EXPECT_FLOAT_EQ(intersection_over_union(a, {5, 0, 15, 10, 1, 0, {}}), 50.f / 150);
    EXPECT_FLOAT_EQ(intersection_over_union(a, {10, 0, 20, 10, 1, 0, {}}), 0);
    EXPECT_FLOAT_EQ(intersection_over_union({3, 3, 3, 3, 1, 0, {}}, {3, 3, 3, 3, 1, 0, {}}), 0);
    EXPECT_FLOAT_EQ(intersection_over_union({5, 5, 1, 1, 1, 0, {}}, a), 0) << "corners the wrong way round";
}

} // namespace
