#include "inference/plan.h"

#include <gtest/gtest.h>
#include <random>

namespace leat {
namespace {

bool alive_together(const Lifetime &a, const Lifetime &b)
{
    return a.first <= b.last && b.first <= a.last;
}

void expect_no_overlap(const std::vector<Lifetime> &pieces, const Arena &arena)
{
    for (size_t i = 0; i < pieces.size(); i++) {
        EXPECT_EQ(arena.offsets[i] % 64, 0u);
        EXPECT_LE(arena.offsets[i] + pieces[i].bytes, arena.bytes);
        for (size_t j = 0; j < i; j++)
            if (pieces[i].bytes && pieces[j].bytes && alive_together(pieces[i], pieces[j])) {
                EXPECT_TRUE(arena.offsets[i] + pieces[i].bytes <= arena.offsets[j] ||
                            arena.offsets[j] + pieces[j].bytes <= arena.offsets[i])
                    << i << " and " << j;
            }
    }
}

TEST(Arena, PiecesAliveAtOnceDoNotOverlap)
{
    std::mt19937 random(1);
    for (int round = 0; round < 50; round++) {
        std::vector<Lifetime> pieces;
        for (int i = 0; i < 40; i++) {
            const int first = static_cast<int>(random() % 60), last = first + static_cast<int>(random() % 8);
            pieces.push_back({random() % 5000, first, last});
        }
        expect_no_overlap(pieces, pack(pieces));
    }
}

TEST(Arena, AChainNeedsTwoPieces)
{
    std::vector<Lifetime> pieces;
    for (int i = 0; i < 20; i++)
        pieces.push_back({640, i, i + 1});
    EXPECT_EQ(pack(pieces).bytes, 1280u);
}

TEST(Arena, NothingNeedsNothing)
{
    EXPECT_EQ(pack({}).bytes, 0u);
}

} // namespace
} // namespace leat
