#include "devices/reference.h"
#include "inference/ops.h"
#include "inference/passes.h"
#include "tests/support/shared_data.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <sstream>

namespace leat {
namespace {

namespace fs = std::filesystem;

/// A file of tests/graphs/cases: "# why", "pass NAME" lines, the graph before, a line "----", the graph after.
/// LEAT_ACCEPT=1 writes the graph that came out into the file instead of comparing; read the difference before you keep
/// it.
struct Case {
    std::vector<std::string> passes;
    std::string before, after;
};

fs::path cases_folder()
{
    return source_root() / "tests/graphs/cases";
}

Case read_case(const fs::path &path)
{
    Case result;
    std::ifstream file(path);
    std::string line;
    bool after = false;
    while (std::getline(file, line))
        if (line.rfind("pass ", 0) == 0)
            result.passes.push_back(line.substr(5));
        else if (line == "----")
            after = true;
        else if (line.rfind('#', 0) != 0)
            (after ? result.after : result.before) += line + "\n";
    return result;
}

void accept(const fs::path &path, const std::string &after)
{
    std::stringstream kept;
    std::string line;
    for (std::ifstream file(path); std::getline(file, line) && line != "----";)
        kept << line << "\n";
    std::ofstream(path) << kept.str() << "----\n" << after;
}

std::vector<std::string> case_names()
{
    std::vector<std::string> names;
    for (const auto &entry : fs::directory_iterator(cases_folder()))
        names.push_back(entry.path().stem().string());
    std::sort(names.begin(), names.end());
    return names;
}

Graph after_passes(Graph graph, const std::vector<std::string> &names)
{
    infer_shapes(graph);
    graph.tidy();
    for (const std::string &name : names) {
        const auto all = passes();
        const auto pass = std::find_if(all.begin(), all.end(), [&](const Pass &p) { return p.name == name; });
        if (pass == all.end())
            throw Error("no pass " + name);
        pass->run(graph);
        graph.tidy();
        graph.verify();
        infer_shapes(graph);
    }
    return graph;
}

/// Two by two pixels.
Image picture()
{
    static constexpr uint8_t pixels[] = {0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 255};
    Image image;
    image.width = image.height = 2;
    image.planes[0] = {pixels, 6};
    image.region = {0, 0, 2, 2};
    return image;
}

std::vector<Tensor> run(const Graph &graph)
{
    std::mt19937 random(7);
    std::uniform_real_distribution<float> uniform(-2, 2);
    Job job;
    for (ValueId id : graph.inputs) {
        if (graph.values[id].type == Type::u8) {
            job.images.push_back(picture());
            continue;
        }
        Shape shape = *graph.values[id].shape;
        std::replace(shape.begin(), shape.end(), int64_t(-1), int64_t(2)); // open sizes
        Tensor input(Type::f32, shape);
        for (float &value : input.values<float>())
            value = uniform(random);
        job.inputs.push_back(input);
    }
    run_by_reference(graph, job);
    return job.outputs;
}

class Passes : public testing::TestWithParam<std::string> {};

TEST_P(Passes, RewriteAsWrittenAndKeepTheMeaning)
{
    const Case given = read_case(cases_folder() / (GetParam() + ".txt"));
    const Graph before = after_passes(parse(given.before), {});
    const Graph after = after_passes(parse(given.before), given.passes);
    if (std::getenv("LEAT_ACCEPT"))
        accept(cases_folder() / (GetParam() + ".txt"), print(after));
    else
        EXPECT_EQ(print(after), given.after);

    const auto want = run(before), have = run(after);
    ASSERT_EQ(want.size(), have.size());
    for (size_t i = 0; i < want.size(); i++) {
        ASSERT_EQ(want[i].shape(), have[i].shape());
        for (size_t k = 0; k < want[i].count(); k++)
            ASSERT_NEAR(want[i].data<float>()[k], have[i].data<float>()[k],
                        1e-5 * std::max(1.f, std::abs(want[i].data<float>()[k])))
                << "output " << i << ", element " << k;
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, Passes, testing::ValuesIn(case_names()), [](const auto &which) { return which.param; });

TEST(Passes, CanBeLeftOut)
{
    Graph graph = parse("graph \"g\"\ninput %0:f32[2] \"x\"\n%1:f32[2] \"a\" = Identity(%0) \"i\"\n%2:f32[2] \"y\" = "
                        "Abs(%1) \"abs\"\noutput %2\n");
    Options options;
    for (const Pass &pass : passes())
        options.disabled_passes.emplace_back(pass.name);
    Graph untouched = graph;
    optimise(untouched, options);
    EXPECT_EQ(untouched.nodes.size(), 2u);
    optimise(graph, {});
    EXPECT_EQ(graph.nodes.size(), 1u);
}

TEST(Passes, LeaveASliceAloneWhoseAxesAreMoreThanItsStarts)
{
    Graph graph = parse("graph \"g\"\ninput %0:f32[2x3x2x2] \"x\"\ninput %1:f32[2x3x2x2] \"y\"\n"
                        "input %2:s64[1] \"ends\"\nconst %3:s64[1] \"starts\" = {0}\n"
                        "const %4:s64[2] \"axes\" = {2, 3}\n%5:f32[*] \"i\" = Interleave(%0, %1) {axis=1} \"shuffle\"\n"
                        "%6:f32[*] \"s\" = Slice(%5, %3, %2, %4) \"cut\"\noutput %6\n");
    infer_shapes(graph);
    EXPECT_EQ(recognise_channel_shuffle(graph), 0);
}

} // namespace
} // namespace leat
