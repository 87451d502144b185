#include "devices/core.h"
#include "inference/graph.h"
#include "support/resident_memory.h"
#include "support/sanitized.h"
#include "support/shared_data.h"

#include <leat/core.h>
#include <leat/request.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <random>
#include <vector>

// Models whose inputs have another size each time. LEAT_SIZES_INFERENCES=10000 runs the memory tests at full length.

namespace leat {
namespace {

constexpr int settled = 500; ///< inferences after which memory must not grow

int inferences(int otherwise)
{
    const char *text = std::getenv("LEAT_SIZES_INFERENCES");
    return text ? std::max(std::atoi(text), settled + 1) : otherwise;
}

/// Three convolutions, pooling and a softmax over any size of picture.
std::shared_ptr<const Graph> small_net_graph()
{
    auto weights = [](int64_t out, int64_t in, int64_t side) {
        Tensor tensor(Type::f32, {out, in, side, side});
        for (size_t i = 0; i < tensor.count(); i++)
            tensor.data<float>()[i] = static_cast<float>(i % 7) / 50 - 0.05f;
        return tensor;
    };
    Graph graph = parse(R"(graph "small"
input %0:f32[1x3x?x?] "x"
input %1:f32[16x3x3x3] "w1"
input %2:f32[32x16x3x3] "w2"
input %3:f32[8x32x1x1] "w3"
%4:f32[*] "c1" = Conv(%0, %1) {pads=[1, 1, 1, 1], strides=[2, 2]} post(Relu) "c1"
%5:f32[*] "p" = MaxPool(%4) {kernel_shape=[2, 2], strides=[2, 2]} "p"
%6:f32[*] "c2" = Conv(%5, %2) {pads=[1, 1, 1, 1]} post(Relu) "c2"
%7:f32[*] "c3" = Conv(%6, %3) "c3"
%8:f32[*] "t" = Transpose(%7) {perm=[0, 2, 3, 1]} "t"
%9:f32[*] "y" = Softmax(%8) {axis=-1} "y"
output %9
)");
    graph.values[1].constant = weights(16, 3, 3);
    graph.values[2].constant = weights(32, 16, 3);
    graph.values[3].constant = weights(8, 32, 1);
    graph.inputs.resize(1);
    return std::make_shared<const Graph>(std::move(graph));
}

/// Runs the model with pictures of random sizes from 64 to `largest`, in multiples of `step`, and wants memory that
/// does not grow once it has settled.
void expect_flat_memory(const std::shared_ptr<CompiledModel> &model, int count, int64_t largest, int64_t step)
{
    if (sanitized)
        GTEST_SKIP() << "a sanitizer keeps freed memory";
    std::mt19937 random(1);
    std::uniform_int_distribution<int64_t> side(64 / step, largest / step);
    InferRequest request(model);
    double before = 0, highest = 0;
    for (int i = 1; i <= count; i++) {
        const Shape shape{1, 3, side(random) * step, side(random) * step};
        Tensor picture(Type::f32, shape);
        std::fill_n(picture.data<float>(), picture.count(), static_cast<float>(i % 11));
        request.set_tensor(model->inputs()[0].name, picture);
        request.infer();
        if (i == settled)
            before = resident_mib();
        if (i > settled)
            highest = std::max(highest, resident_mib());
        if (i == settled || i == 2500 || i == count)
            testing::Test::RecordProperty("resident_mib_after_" + std::to_string(i), std::to_string(resident_mib()));
    }
    std::cout << "resident: " << before << " MiB after " << settled << " inferences, at most " << highest
              << " MiB later, " << resident_mib() << " MiB after " << count << "\n";
    EXPECT_LT(highest, before * 1.2 + 16);
}

TEST(Sizes, ThousandsOfThemLeaveMemoryFlat)
{
    const auto model = compile_shared(small_net_graph(), "CPU", {}, std::nullopt);
    expect_flat_memory(model, inferences(1500), 640, 1);
}

TEST(Sizes, ThatDoNotFitAreASentenceAndTheNextJobRuns)
{
    const auto model = compile_shared(small_net_graph(), "CPU", {}, std::nullopt);
    InferRequest request(model);
    for (const Shape &shape : {Shape{1, 3, 1, 1}, Shape{1, 4, 64, 64}, Shape{1, 3, 64}, Shape{2, 3, 64, 64}}) {
        EXPECT_THROW(
            {
                request.set_tensor("x", Tensor(Type::f32, shape));
                request.infer();
            },
            Error)
            << to_string(shape);
        Tensor picture(Type::f32, {1, 3, 64, 64});
        std::fill_n(picture.data<float>(), picture.count(), 1.f);
        request.set_tensor("x", picture);
        request.infer();
        EXPECT_EQ(request.tensor("y").shape(), (Shape{1, 16, 16, 8}));
    }
}

TEST(Sizes, OfARealModelLeaveMemoryFlat)
{
    SKIP_WITHOUT_SHARED_DATA();
    const auto file = shared_data() / "data" / "models" / "onnx" / "yunet_n_dynamic.onnx";
    const auto model = Core::compile_model(Core::read_model(file.string()));
    expect_flat_memory(model, inferences(settled + 100), 640, 32);
}

} // namespace
} // namespace leat
