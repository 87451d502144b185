#include "inference/slab.h"
#include "support/resident_memory.h"
#include "support/sanitized.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <thread>

namespace leat {
namespace {

constexpr int64_t mebi = 1 << 20;

Tensor filled(Slab &slab, int64_t bytes, uint8_t value)
{
    Tensor tensor = slab.allocate(Type::u8, {bytes});
    std::ranges::fill(tensor.values<uint8_t>(), value);
    return tensor;
}

bool holds(const Tensor &tensor, uint8_t value)
{
    return std::ranges::all_of(tensor.values<uint8_t>(), [=](uint8_t each) { return each == value; });
}

TEST(Slab, TensorsOfAllSizesAreAligned)
{
    const auto slab = Slab::make();
    std::vector<Tensor> tensors;
    for (int64_t bytes : std::vector<int64_t>{0, 1, 1000, 100'001, 200'003, 3 * mebi, 5 * mebi, 40 * mebi})
        tensors.push_back(filled(*slab, bytes, static_cast<uint8_t>(bytes % 251)));
    for (const Tensor &tensor : tensors) {
        EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.raw()) % 64, 0u);
        EXPECT_TRUE(holds(tensor, static_cast<uint8_t>(tensor.bytes() % 251))) << tensor.bytes();
    }
    EXPECT_EQ(slab->allocate(Type::f32, {2, 3}).shape(), (Shape{2, 3}));
}

TEST(Slab, TensorsOutliveIt)
{
    auto slab = Slab::make();
    const Tensor first = filled(*slab, mebi, 1), second = filled(*slab, mebi, 2);
    slab.reset();
    EXPECT_TRUE(holds(first, 1));
    EXPECT_TRUE(holds(second, 2));
}

TEST(Slab, MemoryGoesBackWhileOthersStay)
{
    if (sanitized)
        GTEST_SKIP() << "a sanitizer keeps memory";
    const auto slab = Slab::make();
    slab->expect(32 * mebi);
    const double before = resident_mib();
    std::deque<Tensor> tensors;
    for (int i = 0; i < 32; i++)
        tensors.push_back(filled(*slab, mebi, static_cast<uint8_t>(i)));
    EXPECT_GT(resident_mib(), before + 31);
    tensors.erase(tensors.begin(), tensors.begin() + 24);
    EXPECT_LT(resident_mib(), before + 12);
    for (int i = 0; i < 8; i++)
        EXPECT_TRUE(holds(tensors[static_cast<size_t>(i)], static_cast<uint8_t>(24 + i)));
}

TEST(Slab, ManyThreadsUseIt)
{
    const auto slab = Slab::make();
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; t++)
        threads.emplace_back([&, t] {
            std::deque<Tensor> tensors;
            for (int round = 0; round < 60; round++) {
                const auto value = static_cast<uint8_t>(t * 60 + round);
                tensors.push_back(filled(*slab, 64 * 1024 + round * 4096, value));
                if (tensors.size() > 5)
                    tensors.pop_front();
                for (size_t i = 0; i < tensors.size(); i++)
                    ASSERT_TRUE(holds(tensors[i], static_cast<uint8_t>(value - (tensors.size() - 1 - i))));
            }
        });
}

} // namespace
} // namespace leat
