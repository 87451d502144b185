#include "devices/cpu/weights.h"

#include <leat/error.h>

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace leat::cpu {
namespace {

const Tensor numbers = Tensor::of<float>({2}, {1, 2});

Tensor doubled()
{
    return Tensor::of<float>({2}, {2, 4});
}

TEST(Weights, AreMadeWhenSomebodyAsks)
{
    Weights weights;
    int made = 0;
    const Constant constant = weights.later(numbers, "doubled", Type::f32, numbers.shape(), [&] {
        made++;
        return doubled();
    });
    EXPECT_EQ(made, 0);
    EXPECT_TRUE(weights.entries().empty());
    EXPECT_EQ(constant.tensor().data<float>()[1], 4);
    EXPECT_EQ(weights.get(numbers, "doubled", [] { return Tensor(); }).raw(), constant.tensor().raw());
    EXPECT_EQ(made, 1);
    ASSERT_EQ(weights.entries().size(), 1u);
    EXPECT_EQ(weights.entries()[0].form, "doubled");
}

TEST(Weights, AreMadeOnceForAllThreads)
{
    Weights weights;
    std::atomic<int> made = 0;
    const auto make = [&] {
        made++;
        return doubled();
    };
    const Constant held = weights.later(numbers, "doubled", Type::f32, numbers.shape(), make);
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; i++)
            threads.emplace_back([&] {
                for (int round = 0; round < 100; round++)
                    EXPECT_EQ(weights.get(numbers, "doubled", make).data<float>()[0], 2);
            });
    }
    EXPECT_EQ(made, 1);
}

TEST(Weights, LiveAsLongAsSomebodyHoldsThem)
{
    Weights weights;
    Tensor held = weights.get(numbers, "doubled", doubled);
    EXPECT_EQ(weights.entries().size(), 1u);
    held = {};
    EXPECT_TRUE(weights.entries().empty());
}

TEST(Weights, ThatWereStoredWithAnotherShapeOrTypeAreRefused)
{
    Weights weights({{numbers, "doubled", doubled()}});
    EXPECT_THROW(weights.later(numbers, "doubled", Type::f32, {3}, doubled), Error);
    EXPECT_THROW(weights.later(numbers, "doubled", Type::s32, {2}, doubled), Error);
    EXPECT_EQ(weights.later(numbers, "doubled", Type::f32, {2}, doubled).tensor().data<float>()[1], 4);
}

TEST(Weights, ThatCouldNotBeMadeAreTriedAgain)
{
    Weights weights;
    bool fails = true;
    const Constant constant = weights.later(numbers, "doubled", Type::f32, numbers.shape(), [&] {
        if (fails)
            throw Error("no memory");
        return doubled();
    });
    EXPECT_THROW(constant.tensor(), Error);
    EXPECT_TRUE(weights.entries().empty());
    fails = false;
    EXPECT_EQ(constant.tensor().data<float>()[0], 2);
}

TEST(Weights, ThatAreStoredAreNotMadeAgain)
{
    Weights weights({{numbers, "doubled", doubled()}});
    const auto fail = []() -> Tensor { throw Error("it is there already"); };
    EXPECT_EQ(weights.get(numbers, "doubled", fail).data<float>()[1], 4);
    EXPECT_THROW(weights.get(numbers, "tripled", fail), Error);
}

} // namespace
} // namespace leat::cpu
