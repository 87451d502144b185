#include "devices/core.h"
#include "devices/cpu/denormals.h"
#include "devices/devices.h"
#include "inference/graph.h"
#include "support/resident_memory.h"
#include "support/sanitized.h"

#include <leat/request.h>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <future>
#include <numeric>

namespace leat {
namespace {

std::shared_ptr<const Graph> graph_of(const std::string &text)
{
    return std::make_shared<const Graph>(parse(text));
}

/// In f32 unless the options ask for another precision.
std::shared_ptr<CompiledModel> compile(const std::string &text, const std::string &device, Options options = {},
                                       const std::optional<ImageInput> &image = std::nullopt)
{
    options.execution_mode = ExecutionMode::accuracy;
    return compile_shared(graph_of(text), device, options, image);
}

void run(CompiledModel &model, Job &job)
{
    std::promise<void> done;
    job.done = [&](Job &) { done.set_value(); };
    model.submit(job);
    done.get_future().wait();
    if (job.error)
        std::rethrow_exception(job.error);
}

Tensor counted(const Shape &shape)
{
    Tensor tensor(Type::f32, shape);
    for (size_t i = 0; i < tensor.count(); i++)
        tensor.data<float>()[i] = static_cast<float>(i % 17) / 4 - 2;
    return tensor;
}

void expect_near(const Tensor &got, const Tensor &want)
{
    ASSERT_EQ(to_string(got.shape()), to_string(want.shape()));
    const Tensor a = got.converted(Type::f32), b = want.converted(Type::f32);
    for (size_t i = 0; i < b.count(); i++)
        ASSERT_NEAR(a.data<float>()[i], b.data<float>()[i], 1e-4) << "element " << i;
}

constexpr const char *any_size = R"(graph "any"
input %0:f32[1x2x?x?] "x"
const %1:f32[3x2x1x1] "w" = {1, 2, 3, -1, -2, -3}
%2:f32[*] "c" = Conv(%0, %1) "conv"
%3:f32[*] "y" = Relu(%2) "relu"
output %3
)";

TEST(Cpu, MakesAPlanForEverySizeOfTheInputs)
{
    const auto cpu = compile(any_size, "CPU"), ref = compile(any_size, "REF");
    EXPECT_EQ(cpu->nodes().front().kernel, "not chosen yet");
    for (int64_t size : {4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 4}) {
        Job a, b;
        a.inputs = b.inputs = {counted({1, 2, size, size + 1})};
        run(*cpu, a);
        run(*ref, b);
        expect_near(a.outputs[0], b.outputs[0]);
    }
    EXPECT_TRUE(cpu->nodes().front().kernel.starts_with("pointwise"));
}

TEST(Cpu, WhatMultipliesTakesDenormalNumbersForZeroAndNothingElse)
{
#ifndef __x86_64__
    GTEST_SKIP() << "denormal numbers are not zero on this processor";
#endif
    constexpr float small = 1e-40f;
    Tensor x(Type::f32, {1, 2, 8, 8});
    std::fill_n(x.data<float>(), x.count(), 1000.f);
    x.data<float>()[0] = small;
    for (const char *device : {"CPU", "REF"}) {
        const auto model = compile(R"(graph "small"
input %0:f32[1x2x8x8] "x"
const %1:f32[3x2x1x1] "w" = {1e-40, 1e-40, 1, 1e-40, 1e-40, 1e-40}
%2:f32[1x3x8x8] "y" = Conv(%0, %1) "conv"
%3:f32[1x2x8x8] "z" = Add(%0, %0) "add"
output %2
output %3
)",
                                   device);
        Job job;
        job.inputs = {x};
        bool after = true;
        std::promise<void> done;
        job.done = [&](Job &) {
            after = cpu::denormals_are_zero();
            done.set_value();
        };
        model->submit(job);
        done.get_future().wait();
        ASSERT_FALSE(job.error);
        EXPECT_FALSE(after);
        const float *y = job.outputs[0].data<float>();
        const bool zero = std::string(device) == "CPU";
        for (size_t i = 1; i < 64; i++) {
            EXPECT_EQ(y[i] == 0, zero) << i;
            EXPECT_EQ(y[64 + i], 1000) << i;
            EXPECT_EQ(y[128 + i] == 0, zero) << i;
        }
        EXPECT_EQ(job.outputs[1].data<float>()[0], 2 * small) << device;
        EXPECT_EQ(job.outputs[1].data<float>()[1], 2000) << device;
    }
}

TEST(Cpu, ManyJobsOfManySizesAtOnceGiveTheSameAsOneByOne)
{
    Options options;
    options.performance_hint = PerformanceHint::throughput;
    const auto cpu = compile(any_size, "CPU", options);
    std::vector<Job> jobs(120);
    std::vector<Tensor> wanted;
    for (int64_t size = 3; size < 15; size++) {
        Job job;
        job.inputs = {counted({1, 2, size, size})};
        run(*cpu, job);
        wanted.push_back(job.outputs[0]);
    }
    std::atomic<int> left{static_cast<int>(jobs.size())};
    std::promise<void> all;
    for (size_t i = 0; i < jobs.size(); i++) {
        jobs[i].inputs = {counted(Shape{1, 2, static_cast<int64_t>(3 + i % 12), static_cast<int64_t>(3 + i % 12)})};
        jobs[i].stream = i % 5;
        jobs[i].done = [&](Job &) {
            if (--left == 0)
                all.set_value();
        };
        cpu->submit(jobs[i]);
    }
    all.get_future().wait();
    for (size_t i = 0; i < jobs.size(); i++) {
        ASSERT_FALSE(jobs[i].error);
        expect_near(jobs[i].outputs[0], wanted[i % 12]);
    }
}

TEST(Cpu, ModelsOnTwoCoresAndOnOneTakeTurns)
{
    constexpr const char *text = R"(graph "pools"
input %0:f32[1x32x96x96] "x"
%1:f32[*] "a" = MaxPool(%0) {kernel_shape=[3, 3], pads=[1, 1, 1, 1]} "a"
%2:f32[*] "y" = AveragePool(%1) {kernel_shape=[2, 2], strides=[2, 2]} "y"
output %2
)";
    Options narrow;
    narrow.num_threads = 1;
    narrow.num_streams = 2;
    Options wide;
    wide.num_threads = 2;
    wide.num_streams = 1;
    const auto one = compile(text, "CPU", narrow), two = compile(text, "CPU", wide), ref = compile(text, "REF");
    if (two->nodes()[0].kernel.find(" in 2 parts") == std::string::npos)
        GTEST_SKIP() << "this machine has one core";
    Job want;
    want.inputs = {counted({1, 32, 96, 96})};
    run(*ref, want);
    std::vector<Job> jobs(40);
    std::atomic<int> left{static_cast<int>(jobs.size())};
    std::promise<void> all;
    for (size_t i = 0; i < jobs.size(); i++) {
        jobs[i].inputs = want.inputs;
        jobs[i].done = [&](Job &) {
            if (--left == 0)
                all.set_value();
        };
        (i % 3 ? one : two)->submit(jobs[i]);
    }
    all.get_future().wait();
    for (const Job &job : jobs) {
        ASSERT_FALSE(job.error);
        expect_near(job.outputs[0], want.outputs[0]);
    }
}

TEST(Cpu, SizesThatOnlyTheRunKnows)
{
    constexpr const char *text = R"(graph "loose"
input %0:f32[2x5] "x"
%1:f32[*] "a" = Relu(%0) "relu"
%2:s64[*] "i" = NonZero(%1) "nonzero"
%3:s64[*] "t" = Transpose(%2) "transpose"
%4:f32[*] "n" = Neg(%0) "neg"
output %3
output %4
)";
    const auto cpu = compile(text, "CPU"), ref = compile(text, "REF");
    for (float offset : {0.f, 1.5f, -100.f}) {
        Job a, b;
        Tensor x = counted({2, 5});
        for (float &each : x.values<float>())
            each += offset;
        a.inputs = b.inputs = {x};
        run(*cpu, a);
        run(*ref, b);
        expect_near(a.outputs[0], b.outputs[0]);
        expect_near(a.outputs[1], b.outputs[1]);
    }
    EXPECT_EQ(cpu->nodes()[1].reason, "the shape of what it reads or makes is known only while it runs");
}

TEST(Cpu, WritesOutputsInPlaceWhenTheyFit)
{
    const auto cpu = compile("graph \"g\"\ninput %0:f32[4] \"x\"\n%1:f32[*] \"y\" = Neg(%0) \"\"\noutput %1\n", "CPU");
    const Tensor mine(Type::f32, {4}), other(Type::f32, {5});
    for (const Tensor &preset : {mine, other, Tensor()}) {
        Job job;
        job.inputs = {Tensor::of<float>({4}, {1, 2, 3, 4})};
        job.outputs = {preset};
        run(*cpu, job);
        EXPECT_EQ(job.outputs[0].raw() == mine.raw(), preset.raw() == mine.raw());
        expect_near(job.outputs[0], Tensor::of<float>({4}, {-1, -2, -3, -4}));
    }
}

TEST(Cpu, OutputsThatAreInputsConstantsOrEachOther)
{
    constexpr const char *text = R"(graph "g"
input %0:f32[2x3] "x"
const %1:f32[2] "c" = {5, 6}
const %2:s64[1] "s" = {6}
%3:f32[*] "r" = Reshape(%0, %2) "reshape"
%4:f32[*] "y" = Neg(%0) "neg"
%5:f32[*] "z" = Reshape(%4, %2) "again"
output %0
output %1
output %3
output %4
output %5
output %4
)";
    Job a, b;
    a.inputs = b.inputs = {counted({2, 3})};
    run(*compile(text, "CPU"), a);
    run(*compile(text, "REF"), b);
    ASSERT_EQ(a.outputs.size(), 6u);
    for (size_t i = 0; i < 6; i++) {
        expect_near(a.outputs[i], b.outputs[i]);
        EXPECT_NE(a.outputs[i].raw(), a.inputs[0].raw());
        for (size_t k = 0; k < i; k++)
            EXPECT_NE(a.outputs[i].raw(), a.outputs[k].raw());
    }
}

TEST(Cpu, PicturesGoStraightIntoTheConvolution)
{
    constexpr const char *text = R"(graph "picture"
input %0:f32[1x3x8x10] "x"
const %1:f32[2x3x1x1] "w" = {1, 2, 3, 0.5, -1, 0.25}
%2:f32[*] "y" = Conv(%0, %1) "conv"
output %2
)";
    std::vector<uint8_t> pixels(16 * 20 * 3);
    std::iota(pixels.begin(), pixels.end(), uint8_t(0));
    Image image;
    image.format = PixelFormat::rgb;
    image.width = 20;
    image.height = 16;
    image.planes[0] = {pixels.data(), 60};
    image.region = {0, 0, 20, 16};
    image.to_frame = {2, 0, 0.5f, 0, 2, 0.5f};
    ImageSpec spec;
    spec.width = 10;
    spec.height = 8;
    spec.mul = {1.f / 255, 1.f / 255, 1.f / 255};
    Job wanted;
    wanted.images = {image};
    run(*compile(text, "REF", {}, ImageInput{"x", spec}), wanted);
    const Tensor want = wanted.outputs[0];
    for (InferencePrecision precision : {InferencePrecision::f32, InferencePrecision::bf16}) {
        Options options;
        options.inference_precision = precision;
        const auto cpu = compile(text, "CPU", options, ImageInput{"x", spec});
        Job job;
        job.images = {image};
        run(*cpu, job);
        ASSERT_EQ(to_string(job.outputs[0].shape()), "1x2x8x10");
        for (size_t i = 0; i < want.count(); i++)
            EXPECT_NEAR(job.outputs[0].data<float>()[i], want.data<float>()[i], 0.03) << i;
        ASSERT_EQ(cpu->nodes().size(), 2u); // no Cast stands between them
        EXPECT_EQ(cpu->nodes()[0].kernel, "image channels last");
    }
}

TEST(Cpu, PicturesForModelsOfHalfPrecision)
{
    constexpr const char *text = R"(graph "picture"
input %0:f16[1x3x4x4] "x"
const %1:f16[1x3x1x1] "w" = {1, 2, 4}
%2:f16[*] "y" = Conv(%0, %1) "conv"
output %2
)";
    const std::vector<uint8_t> pixels(4 * 4 * 3, 10);
    Image image;
    image.width = image.height = 4;
    image.planes[0] = {pixels.data(), 12};
    image.region = {0, 0, 4, 4};
    ImageSpec spec;
    spec.width = spec.height = 4;
    spec.type = Type::f16;
    const auto cpu = compile(text, "CPU", {}, ImageInput{"x", spec});
    Job job;
    job.images = {image};
    run(*cpu, job);
    EXPECT_EQ(job.outputs[0].type(), Type::f16);
    expect_near(job.outputs[0], Tensor::of<float>({1, 1, 4, 4}, std::vector<float>(16, 70)));
}

TEST(Cpu, HalfPrecisionPortsKeepTheirType)
{
    constexpr const char *text = R"(graph "half"
input %0:f16[4] "x"
const %1:f16[4] "c" = {1, 2, 3, 4}
%2:f16[*] "y" = Mul(%0, %1) "mul"
output %2
)";
    const auto cpu = compile(text, "CPU");
    EXPECT_EQ(cpu->inputs()[0].type, Type::f16);
    EXPECT_EQ(cpu->inputs()[0].name, "x");
    EXPECT_EQ(cpu->outputs()[0].type, Type::f16);
    EXPECT_EQ(cpu->outputs()[0].name, "y");
    Job job;
    job.inputs = {Tensor::of<float>({4}, {1, 2, 3, 0.5f}).converted(Type::f16)};
    run(*cpu, job);
    EXPECT_EQ(job.outputs[0].type(), Type::f16);
    expect_near(job.outputs[0], Tensor::of<float>({4}, {1, 4, 9, 2}));
}

TEST(Cpu, ConvolutionsOfIntegersGiveTheSameIntegers)
{
    constexpr const char *text = R"(graph "integers"
input %0:u8[1x1x4x4] "x"
const %1:f32[] "xs" = {0.5}
const %2:u8[] "xz" = {3}
const %3:s8[2x1x2x2] "w" = {1, -2, 3, 4, -5, 6, 7, -8}
const %4:f32[2] "ws" = {0.25, 0.125}
const %5:s8[2] "wz" = {0, 0}
const %6:f32[] "ys" = {0.75}
const %7:u8[] "yz" = {100}
const %8:s32[2] "b" = {10, -20}
%9:u8[*] "y" = QLinearConv(%0, %1, %2, %3, %4, %5, %6, %7, %8) {pads=[1, 1, 0, 0]} "conv"
%10:s32[*] "z" = ConvInteger(%0, %3, %2) "integer"
output %9
output %10
)";
    Tensor x(Type::u8, {1, 1, 4, 4});
    for (size_t i = 0; i < x.count(); i++)
        x.data<uint8_t>()[i] = static_cast<uint8_t>(i * 13);
    Job a, b;
    a.inputs = b.inputs = {x};
    run(*compile(text, "CPU"), a);
    run(*compile(text, "REF"), b);
    for (size_t i = 0; i < 2; i++) {
        EXPECT_EQ(a.outputs[i].type(), b.outputs[i].type());
        expect_near(a.outputs[i], b.outputs[i]);
    }
}

/// Weights of u8 with a zero point, of which two channels reach beyond s8.
struct WideWeights {
    const char *name, *op, *data, *weights, *attributes;
    const char *kernel = "2 channels beyond s8 apart"; ///< that runs it
    friend void PrintTo(const WideWeights &row, std::ostream *to) { *to << row.name; }
};

class CpuWideWeights : public testing::TestWithParam<WideWeights> {};

TEST_P(CpuWideWeights, GiveTheSameIntegers)
{
    const auto &[name, op_name, data, weights, attributes, kernel] = GetParam();
    const std::string text = std::string("graph \"wide\"\ninput %0:") + data + " \"x\"\ninput %1:u8[" + weights +
                             R"(] "w"
const %2:f32[] "xs" = {0.5}
const %3:)" + std::string(data).substr(0, 2) +
                             R"([] "xz" = {7}
const %4:f32[] "ws" = {0.25}
const %5:u8[] "wz" = {150}
const %6:f32[] "ys" = {32}
const %7:u8[] "yz" = {100}
%8:u8[*] "y" = )" + op_name + "(%0, %2, %3, %1, %4, %5, %6, %7) " +
                             attributes + " \"product\"\noutput %8\n";
    Graph graph = parse(text);
    const Shape &shape = *graph.values[1].shape;
    const bool convolves = std::string_view(op_name) == "QLinearConv";
    Tensor w(Type::u8, shape);
    for (size_t i = 0; i < w.count(); i++)
        w.data<uint8_t>()[i] = static_cast<uint8_t>(60 + i * 37 % 190);
    const auto channels = static_cast<size_t>(shape[convolves ? 0 : 1]), inner = w.count() / channels;
    const auto place = [&](size_t channel) {
        return convolves ? channel * inner + inner / 2 : inner / 2 * channels + channel;
    };
    w.data<uint8_t>()[place(3)] = 0;
    w.data<uint8_t>()[place(8)] = 21;
    graph.values[1].constant = w;
    graph.inputs.resize(1);
    Tensor x(Type::u8, *graph.values[0].shape);
    for (size_t i = 0; i < x.count(); i++)
        x.data<uint8_t>()[i] = static_cast<uint8_t>(i * 89 % 251);
    Job a, b;
    a.inputs = b.inputs = {graph.values[0].type == Type::s8 ? Tensor::view(Type::s8, x.shape(), x.raw(), {}) : x};
    const auto share = [&] { return std::make_shared<const Graph>(graph); };
    for (const int threads : {1, 2}) {
        Options options;
        options.num_threads = threads;
        const auto cpu = compile_shared(share(), "CPU", options, {});
        run(*cpu, a);
        run(*compile_shared(share(), "REF", {}, {}), b);
        expect_near(a.outputs[0], b.outputs[0]);
        const auto nodes = cpu->nodes();
        EXPECT_TRUE(std::any_of(nodes.begin(), nodes.end(), [&](const NodeReport &node) {
            return node.kernel.find(kernel) != std::string::npos ||
                   node.reason.find("not on integers: the processor") != std::string::npos;
        }));
    }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, CpuWideWeights,
    testing::Values(WideWeights{"windows", "QLinearConv", "u8[2x5x9x11]", "16x5x3x3",
                                "{pads=[1, 1, 1, 1], strides=[2, 2]}"},
                    WideWeights{"dilated_windows", "QLinearConv", "s8[1x20x12x13]", "16x20x3x2", "{dilations=[2, 3]}"},
                    WideWeights{"points", "QLinearConv", "u8[1x70x7x6]", "24x70x1x1", "", "pointwise s8"},
                    WideWeights{"depthwise", "QLinearConv", "u8[1x16x9x9]", "16x1x3x3", "{group=16, pads=[0, 1, 1, 0]}",
                                "depthwise s8"},
                    WideWeights{"groups", "QLinearConv", "u8[1x32x6x7]", "16x8x3x3", "{group=4, pads=[1, 1, 1, 1]}"},
                    WideWeights{"one_axis", "QLinearConv", "u8[1x12x30]", "9x12x5", "{pads=[4, 4]}"},
                    WideWeights{"wider_than_the_picture", "QLinearConv", "u8[1x3x4x3]", "12x3x5x5",
                                "{pads=[2, 2, 2, 2]}", "few channels s8"},
                    WideWeights{"matrix", "QLinearMatMul", "u8[13x40]", "40x18", "", "rows s8"}),
    [](const auto &row) { return row.param.name; });

TEST(Cpu, StreamsShareTheWeights)
{
    if (sanitized)
        GTEST_SKIP() << "a sanitizer keeps freed memory";
    constexpr int64_t side = 4096;
    constexpr double weights_mib = 4. * side * side / (1 << 20);
    double grown[2];
    for (int streams : {1, 2}) {
        Graph graph = parse(R"(graph "product"
input %0:f32[1x4096] "x"
input %1:f32[4096x4096] "w"
%2:f32[*] "y" = MatMul(%0, %1) "product"
output %2
)");
        const double before = resident_mib();
        graph.values[1].constant = counted({side, side});
        graph.inputs.resize(1);
        Options options;
        options.performance_hint = PerformanceHint::throughput;
        options.inference_precision = InferencePrecision::f32;
        options.num_streams = streams;
        const auto model = compile_shared(std::make_shared<const Graph>(std::move(graph)), "CPU", options, {});
        if (model->depth() != 2 * streams)
            GTEST_SKIP() << "there is one core only";
        std::vector<Job> jobs(4);
        std::vector<std::promise<void>> done(jobs.size());
        for (size_t i = 0; i < jobs.size(); i++) {
            jobs[i].inputs = {counted({1, side})};
            jobs[i].done = [&, i](Job &) { done[i].set_value(); };
            model->submit(jobs[i]);
        }
        for (auto &each : done)
            each.get_future().wait();
        grown[streams - 1] = resident_mib() - before;
    }
    EXPECT_GT(grown[0], weights_mib / 2);
    EXPECT_LT(grown[1], grown[0] + weights_mib / 2);
}

TEST(Cpu, AFaultWhileItRunsIsTheErrorOfTheJob)
{
    constexpr const char *text = R"(graph "g"
input %0:f32[3x2] "x"
input %1:s64[2] "i"
%2:f32[*] "y" = Gather(%0, %1) "gather"
output %2
)";
    const auto cpu = compile(text, "CPU");
    Job job;
    job.inputs = {counted({3, 2}), Tensor::of<int64_t>({2}, {0, 7})};
    EXPECT_THROW(run(*cpu, job), Error);
    job.error = nullptr;
    job.inputs[1] = Tensor::of<int64_t>({2}, {0, -1});
    run(*cpu, job);
    expect_near(job.outputs[0].reshaped({2, 2}), Tensor::of<float>({2, 2}, {-2, -1.75f, -1, -0.75f}));
}

TEST(Cpu, ProfilingGivesMillisecondsForEveryNode)
{
    Options options;
    options.profiling = true;
    const auto cpu = compile(any_size, "CPU", options);
    Job job;
    job.inputs = {counted({1, 2, 64, 64})};
    run(*cpu, job);
    ASSERT_FALSE(cpu->nodes().empty());
    for (const NodeReport &node : cpu->nodes())
        EXPECT_GE(node.milliseconds, 0) << node.node;
    for (const Setting &setting : cpu->settings())
        EXPECT_FALSE(setting.reason.empty()) << setting.name;
}

} // namespace
} // namespace leat
