#include "devices/core.h"
#include "devices/hetero.h"
#include "tests/devices/manual_device.h"
#include "tests/support/shared_data.h"

#include <leat/core.h>
#include <leat/request.h>

#include <gtest/gtest.h>

#include <future>
#include <numeric>
#include <set>

namespace leat {
namespace {

/// Two branches, whose nodes take turns in the graph's order, and their sum: ((2 x + 1) clipped) + ((3 x) clipped).
Graph two_branches()
{
    return parse(R"(graph "branches"
input %0:f32[1x2] "x"
const %1:f32[1] "one" = {1}
const %2:f32[1] "three" = {3}
%3:f32[1x2] "a" = Add(%0, %0) "a1"
%4:f32[1x2] "a'" = Relu(%3) "a2"
%5:f32[1x2] "b" = Mul(%0, %2) "b1"
%6:f32[1x2] "b'" = Relu(%5) "b2"
%7:f32[1x2] "c" = Add(%4, %1) "a3"
%8:f32[1x2] "y" = Add(%7, %6) "sum"
output %8
)");
}

constexpr const char *relu_elsewhere = "HETERO:FAKE(outputs=reference,ops=Relu),CPU";

std::shared_ptr<CompiledModel> compiled(const Graph &graph, const std::string &device, const Options &options = {})
{
    return Core::compile_model(Model(std::make_shared<const Graph>(graph)), device, options);
}

std::vector<float> run(const std::shared_ptr<CompiledModel> &model, std::vector<float> numbers)
{
    InferRequest request(model);
    std::copy(numbers.begin(), numbers.end(), request.tensor(model->inputs()[0].name).data<float>());
    request.infer();
    const Tensor &out = request.tensor(model->outputs()[0].name);
    return {out.data<float>(), out.data<float>() + out.count()};
}

TEST(Hetero, SettingsListAffinitiesAndSubgraphs)
{
    const auto model = compiled(two_branches(), relu_elsewhere);
    EXPECT_EQ(setting_of(*model, "subgraphs"),
              "3: each node runs on the first of FAKE(outputs=reference,ops=Relu), CPU that can run it");
    EXPECT_EQ(setting_of(*model, "device_1"), "FAKE(outputs=reference,ops=Relu): 2 of 6 nodes");
    EXPECT_EQ(setting_of(*model, "device_2"),
              "CPU: 4 of 6 nodes; the devices before it refuse 3 Add, 1 Mul, for the reasons that the nodes tell");
    EXPECT_EQ(setting_of(*model, "subgraph_1"), "CPU: 2 nodes, \"a1\" to \"b1\"");
    EXPECT_EQ(setting_of(*model, "subgraph_2"), "FAKE(outputs=reference,ops=Relu): 2 nodes, \"a2\" to \"b2\"");
    EXPECT_EQ(setting_of(*model, "subgraph_3"), "CPU: 2 nodes, \"a3\" to \"sum\"");
    EXPECT_NE(setting_of(*model, "subgraph_3.num_streams"), "none") << "those of the devices are told too";
}

TEST(Hetero, NodesTellWhereTheyRunAndWhyNotBefore)
{
    const auto model = compiled(two_branches(), relu_elsewhere);
    std::map<std::string, NodeReport> nodes;
    for (const NodeReport &node : model->nodes())
        nodes[node.node] = node;
    EXPECT_EQ(nodes.at("a2").device, "FAKE");
    EXPECT_EQ(nodes.at("b1").device, "CPU");
    EXPECT_EQ(nodes.at("b1").reason.find("not on a device before (FAKE(outputs=reference,ops=Relu): the op Mul"), 0u);
}

TEST(Hetero, ResultsEqualThoseOfOneDevice)
{
    for (const char *device : {relu_elsewhere, "HETERO:FAKE(outputs=reference,ops=Add),REF", "HETERO:REF,CPU",
                               "HETERO:FAKE(outputs=reference,ops=Mul),FAKE(outputs=reference,ops=Relu),CPU"}) {
        SCOPED_TRACE(device);
        EXPECT_EQ(run(compiled(two_branches(), device), {-1, 2}), (std::vector<float>{1, 11}));
    }
}

TEST(Hetero, ModelThatOneDeviceCanRunIsOneSubgraph)
{
    EXPECT_EQ(setting_of(*compiled(two_branches(), "HETERO:REF,CPU"), "subgraphs"),
              "1: each node runs on the first of REF, CPU that can run it");
}

TEST(Hetero, OutputsThatAreInputsConstantsAndEachOtherHaveMemoryOfTheirOwn)
{
    Graph graph = two_branches();
    graph.outputs = {8, 8, 4, 0, 1};
    const auto model = compiled(graph, relu_elsewhere);
    Job job;
    job.inputs = {Tensor::of<float>({1, 2}, {-1, 2})};
    job.outputs = {Tensor(), Tensor(Type::f32, {1, 2})};
    const std::byte *mine = job.outputs[1].raw();
    std::promise<void> done;
    job.done = [&](Job &) { done.set_value(); };
    model->submit(job);
    done.get_future().wait();
    ASSERT_FALSE(job.error);
    std::vector<std::vector<float>> all;
    std::set<const std::byte *> places{job.inputs[0].raw()};
    for (const Tensor &output : job.outputs) {
        all.emplace_back(output.data<float>(), output.data<float>() + output.count());
        EXPECT_TRUE(places.insert(output.raw()).second) << "two outputs in one place, or one over the input";
    }
    EXPECT_EQ(all, (std::vector<std::vector<float>>{{1, 11}, {1, 11}, {0, 4}, {-1, 2}, {1}}));
    EXPECT_EQ(job.outputs[1].raw(), mine);
}

TEST(Hetero, PicturesGoToTheSubgraphThatReadsThem)
{
    const auto graph = std::make_shared<const Graph>(parse(R"(graph "g"
input %0:f32[1x3x4x6] "x"
%1:f32[*] "r" = Relu(%0) "relu"
%2:f32[*] "y" = Add(%1, %1) "add"
output %2
)"));
    ImageInput input{"x", {}};
    input.spec.width = 6;
    input.spec.height = 4;
    std::vector<uint8_t> pixels(4 * 6 * 3);
    std::iota(pixels.begin(), pixels.end(), uint8_t(3));
    Image image;
    image.width = 6;
    image.height = 4;
    image.region = {0, 0, 6, 4};
    image.planes[0] = {pixels.data(), 18};
    std::vector<Tensor> results;
    for (const char *device : {"CPU", relu_elsewhere}) {
        const auto model = compile_shared(graph, device, {}, input);
        CountedJobs jobs(1);
        jobs[0].inputs.clear();
        jobs[0].images = {image};
        jobs.submit_all(*model);
        jobs.await_all();
        ASSERT_EQ(jobs.error_of(0), "none");
        results.push_back(jobs[0].outputs.at(0));
    }
    EXPECT_EQ(std::memcmp(results[0].raw(), results[1].raw(), results[0].bytes()), 0);
}

/// 2 x on the first device and then on the second, of which the test ends the jobs.
struct Chain {
    std::shared_ptr<ManualDevice> first = std::make_shared<ManualDevice>("FIRST", 2),
                                  second = std::make_shared<ManualDevice>("SECOND", 3);
    std::unique_ptr<CompiledModel> model()
    {
        first->refuse("Relu");
        return make_hetero({{"FIRST", first}, {"SECOND", second}})
            ->compile(parse(R"(graph "chain"
input %0:f32[1x2] "x"
%1:f32[1x2] "a" = Add(%0, %0) "add"
%2:f32[1x2] "y" = Relu(%1) "relu"
output %2
)"),
                      {});
    }
};

TEST(Hetero, JobsOfAStreamEnterEverySubgraphInOrderAndOthersDoNotWait)
{
    Chain chain;
    const auto model = chain.model();
    CountedJobs jobs(3);
    jobs[2].stream = 7;
    jobs.submit_all(*model);
    ASSERT_EQ(chain.first->jobs(), 3u);
    chain.first->end(1);
    EXPECT_EQ(chain.second->jobs(), 0u) << "it would pass the one before it";
    chain.first->end(1);
    ASSERT_EQ(chain.second->jobs(), 1u) << "the one of another stream";
    chain.first->end(0);
    ASSERT_EQ(chain.second->jobs(), 3u);
    EXPECT_EQ(chain.second->first_number_of(0), 4);
    EXPECT_EQ(chain.second->first_number_of(1), 0);
    EXPECT_EQ(chain.second->first_number_of(2), 2);
    for (int i = 0; i < 3; i++)
        chain.second->end();
    EXPECT_TRUE(jobs.all_right());
}

TEST(Hetero, AFailureEndsTheJobAndLetsTheNextPass)
{
    Chain chain;
    const auto model = chain.model();
    CountedJobs jobs(3);
    jobs.submit_all(*model);
    chain.first->end(1);
    chain.first->fail("node \"add\" overflows");
    EXPECT_EQ(jobs.error_of(0), "node \"add\" overflows");
    ASSERT_EQ(chain.second->jobs(), 1u);
    chain.second->fail("node \"relu\" overflows");
    EXPECT_EQ(jobs.error_of(1), "node \"relu\" overflows");
    chain.first->end();
    chain.second->end();
    EXPECT_EQ(jobs.order(), (std::vector<size_t>{0, 1, 2}));
    EXPECT_EQ(jobs.error_of(2), "none");
}

TEST(Hetero, KeepsEveryDeviceBusy)
{
    Chain chain;
    EXPECT_EQ(chain.model()->depth(), 5);
}

TEST(Hetero, FlushReachesJobsThatAreStillInEarlierSubgraphs)
{
    const auto first = std::make_shared<ManualDevice>("FIRST", 4), second = std::make_shared<ManualDevice>("SECOND", 4);
    first->refuse("Relu");
    Options options;
    options.batch_size = 2;
    options.batch_timeout_ms = 3600000;
    const auto model = make_hetero({{"FIRST", first}, {"SECOND", second}})->compile(two_branches(), options);
    CountedJobs jobs(1);
    jobs.submit_all(*model);
    EXPECT_EQ(first->jobs(), 0u);
    model->flush();
    ASSERT_EQ(first->jobs(), 1u);
    first->end();
    ASSERT_EQ(second->jobs(), 1u) << "it waits for another to be joined with, and none comes";
    second->end();
    ASSERT_EQ(first->jobs(), 1u);
    first->end();
    EXPECT_EQ(jobs.ended(0), 1);
}

TEST(Hetero, NoneLostNoneTwice)
{
    const auto model = compiled(parse(R"(graph "chain"
input %0:f32[1x2] "x"
%1:f32[1x2] "a" = Relu(%0) "relu"
%2:f32[1x2] "b" = Add(%1, %1) "add"
%3:f32[1x2] "y" = Relu(%2) "end"
output %3
)"),
                                "HETERO:FAKE(outputs=reference,ops=Relu,depth=4,jitter_ms=1),CPU");
    CountedJobs jobs(400);
    for (size_t i = 0; i < jobs.size(); i++)
        jobs[i].stream = i % 5;
    jobs.submit_all(*model);
    jobs.await_all();
    EXPECT_TRUE(jobs.all_right());
}

TEST(Hetero, AJobOfTheWrongFormIsRefused)
{
    const auto model = compiled(two_branches(), relu_elsewhere);
    CountedJobs jobs(1);
    jobs[0].inputs = {Tensor(Type::f32, {1, 3})};
    jobs.submit_all(*model);
    jobs.await_all();
    EXPECT_NE(jobs.error_of(0).find("\"x\""), std::string::npos) << jobs.error_of(0);
}

TEST(Hetero, ErrorsNameTheNodeOrTheDevices)
{
    EXPECT_NE(error_of("HETERO:FAKE(ops=Relu),FAKE(ops=Mul)")
                  .find("node \"add\" (Add) runs on none of the devices: FAKE(ops=Relu): the op Add is not among"),
              std::string::npos);
    EXPECT_NE(error_of("HETERO").find("want devices by priority"), std::string::npos);
    EXPECT_NE(error_of("HETERO:CPU,CPU").find("named twice"), std::string::npos);
    EXPECT_NE(error_of("HETERO:GPU,CPU").find("there is no device \"GPU\""), std::string::npos);
    EXPECT_NE(error_of("FAKE(ops=Nonsense)").find("names the op \"Nonsense\", which does not exist"),
              std::string::npos);
    EXPECT_NE(error_of("FAKE(ops=Relu)").find("node \"add\" cannot run on FAKE"), std::string::npos);
    Chain chain;
    chain.second->fail_compile("no memory");
    try {
        chain.model();
        FAIL();
    } catch (const Error &error) {
        EXPECT_NE(std::string(error.what()).find("subgraph 2 of 2 on SECOND (\"relu\")"), std::string::npos)
            << error.what();
    }
}

} // namespace
} // namespace leat
