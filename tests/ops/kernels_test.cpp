#include "devices/core.h"
#include "inference/graph.h"
#include "inference/passes.h"

#include <leat/request.h>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <regex>

// Each line of kernels/*.txt is one case: values, nodes and the kernels that the CPU must choose for the nodes, e.g.
//   x:f32[1x8x9x9] w:f32[16x8x3x3]? | %y = Conv(%x, %w) {pads=[1, 1, 1, 1]} post(Relu) | oneDNN
// `?` makes a constant of random elements, `={1, 2}` one of those; the others are inputs with random elements. Several
// nodes are separated by `; `. The outputs of the last node are those of the graph. Every case runs on REF and on the
// CPU, there with and without passes and with one and with two threads. `…` after a kernel: two threads share its work.
// The cases of bf16.txt compute in bf16 on the CPU.

using namespace leat;
namespace fs = std::filesystem;

namespace {

struct Case {
    std::string name, line;
};

std::ostream &operator<<(std::ostream &stream, const Case &made)
{
    return stream << made.line;
}

std::vector<Case> all_cases()
{
    const char *root = std::getenv("LEAT_SOURCE_ROOT");
    std::vector<Case> cases;
    for (const auto &entry : fs::directory_iterator(fs::path(root ? root : ".") / "tests" / "ops" / "kernels")) {
        std::ifstream text(entry.path());
        int number = 0;
        for (std::string line; std::getline(text, line);)
            if (number++; !line.empty() && line[0] != '#')
                cases.push_back({entry.path().stem().string() + "_" + std::to_string(number), line});
    }
    std::sort(cases.begin(), cases.end(), [](const Case &a, const Case &b) { return a.name < b.name; });
    return cases;
}

std::vector<std::string> split(const std::string &text, const std::string &separator)
{
    std::vector<std::string> pieces;
    size_t begin = 0;
    for (size_t end; (end = text.find(separator, begin)) != std::string::npos; begin = end + separator.size())
        pieces.push_back(text.substr(begin, end - begin));
    pieces.push_back(text.substr(begin));
    return pieces;
}

bool is_float(Type type)
{
    return type == Type::f32 || type == Type::f16 || type == Type::bf16;
}

Tensor random_tensor(Type type, const Shape &shape, std::mt19937 &random)
{
    Tensor tensor(Type::f32, shape);
    std::uniform_real_distribution<float> number(-2, 2);
    for (float &each : tensor.values<float>())
        each = is_float(type) ? number(random) : std::floor(60 + 30 * number(random));
    return tensor.converted(type);
}

/// Turns names into the numbers that graph text has.
class Numbers {
  public:
    std::string of(const std::string &name)
    {
        const auto [entry, fresh] = numbers_.try_emplace(name, numbers_.size());
        return "%" + std::to_string(entry->second);
    }
    std::string replaced(const std::string &text)
    {
        static const std::regex value("%([a-z]\\w*)");
        std::string result;
        auto rest = text.cbegin();
        for (std::sregex_iterator match(text.begin(), text.end(), value), end; match != end; ++match) {
            result.append(rest, match->prefix().second).append(of((*match)[1]));
            rest = match->suffix().first;
        }
        return result.append(rest, text.cend());
    }

  private:
    std::map<std::string, size_t> numbers_;
};

std::string node_text(const std::string &statement, Numbers &numbers, std::string &made)
{
    const size_t equals = statement.find(" = ");
    std::string outputs;
    made.clear();
    for (const std::string &name : split(statement.substr(0, equals), ", ")) {
        const std::string id = name == "-" ? name : numbers.of(name.substr(1));
        outputs += (outputs.empty() ? "" : ", ") + (name == "-" ? name : id + ":f32[*] \"" + name + "\"");
        if (name != "-")
            made += "output " + id + "\n";
    }
    return outputs + " = " + numbers.replaced(statement.substr(equals + 3)) + " \"\"\n";
}

struct Parsed {
    Graph graph;
    std::vector<std::string> kernels;
};

Parsed parse_case(const std::string &line)
{
    const auto fields = split(line, " | ");
    if (fields.size() != 3)
        throw Error("want values | nodes | kernels");
    Numbers numbers;
    std::string text, outputs;
    std::vector<std::string> random;
    static const std::regex declaration("(\\w+):(\\w+\\[[\\dx]*\\])(\\?|=\\{[^}]*\\})?");
    for (std::sregex_iterator match(fields[0].begin(), fields[0].end(), declaration), end; match != end; ++match) {
        const std::string id = numbers.of((*match)[1]), type = (*match)[2], rest = (*match)[3];
        if (rest.starts_with("="))
            text += "const " + id + ":" + type + " \"\" = " + rest.substr(1) + "\n";
        else
            text += "input " + id + ":" + type + " \"" + (rest == "?" ? "constant" : "") + "\"\n";
    }
    for (const std::string &statement : split(fields[1], "; "))
        text += node_text(statement, numbers, outputs);
    Parsed parsed{parse("graph \"g\"\n" + text + outputs), split(fields[2], ", ")};
    std::mt19937 generator(1);
    auto &inputs = parsed.graph.inputs;
    for (ValueId id : inputs)
        if (Value &value = parsed.graph.values[id]; value.name == "constant")
            value.constant = random_tensor(value.type, *value.shape, generator);
    std::erase_if(inputs, [&](ValueId id) { return parsed.graph.is_constant(id); });
    return parsed;
}

struct Outcome {
    std::vector<Tensor> outputs;
    std::vector<NodeReport> nodes;
    std::string precision;
};

Outcome run(const Graph &graph, const std::string &device, const Options &options)
{
    const auto model = compile_shared(std::make_shared<const Graph>(graph), device, options, std::nullopt);
    std::mt19937 generator(2);
    std::vector<Tensor> inputs;
    for (const Port &port : model->inputs())
        inputs.push_back(random_tensor(port.type, port.shape, generator));
    Outcome outcome;
    // Twice: what a lane keeps from the first time must serve the second.
    for (int turn = 0; turn < 2; turn++) {
        Job job;
        job.inputs = inputs;
        std::mutex mutex;
        std::condition_variable changed;
        bool done = false;
        job.done = [&](Job &) {
            std::lock_guard lock(mutex);
            done = true;
            changed.notify_one();
        };
        model->submit(job);
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return done; });
        if (job.error)
            std::rethrow_exception(job.error);
        outcome.outputs = job.outputs;
    }
    outcome.nodes = model->nodes();
    for (const Setting &setting : model->settings())
        if (setting.name == "inference_precision")
            outcome.precision = setting.value;
    return outcome;
}

/// `rounding`: of each number, as a part of the largest.
void expect_near(const Tensor &got, const Tensor &want, double rounding)
{
    ASSERT_EQ(to_string(got.type()), to_string(want.type()));
    ASSERT_EQ(to_string(got.shape()), to_string(want.shape()));
    const Tensor a = got.converted(Type::f64), b = want.converted(Type::f64);
    double size = 1e-3;
    // A number that lies between two integers, or two bf16, may be rounded either way.
    const double ulp = want.type() == Type::bf16 ? 0x1p-7 : 0;
    const double step = want.type() == Type::u8 || want.type() == Type::s8 ? 1 : 0;
    for (double each : b.values<double>())
        size = std::max(size, std::isfinite(each) ? std::abs(each) : 0);
    for (size_t i = 0; i < b.count(); i++) {
        const double x = a.data<double>()[i], y = b.data<double>()[i];
        const bool same = x == y || (std::isnan(x) && std::isnan(y)) ||
                          std::abs(x - y) <= step + std::max(rounding * size, ulp * std::abs(y));
        ASSERT_TRUE(same) << "element " << i << " is " << x << ", want " << y;
    }
}

Options options_of(int threads, bool with_passes)
{
    Options options;
    options.num_threads = threads;
    if (!with_passes)
        for (const Pass &pass : passes())
            options.disabled_passes.emplace_back(pass.name);
    return options;
}

/// Processors without dot products compute with floats instead of integers, and those with tiles have others for bf16
/// and integers: the kernels are not those of the case.
bool is_another_processor(const std::vector<NodeReport> &nodes)
{
    return std::any_of(nodes.begin(), nodes.end(), [](const NodeReport &node) {
        return node.reason.find("no dot products") != std::string::npos ||
               node.reason.find(" in tiles") != std::string::npos;
    });
}

class KernelCase : public testing::TestWithParam<Case> {};

TEST_P(KernelCase, OfTheCpuGivesWhatTheReferenceGives)
{
    SCOPED_TRACE(GetParam().line);
    const Parsed parsed = parse_case(GetParam().line);
    const Outcome want = run(parsed.graph, "REF", {});
    const bool in_bf16 = GetParam().name.starts_with("bf16");
    for (bool with_passes : {false, true})
        for (int threads : {1, 2}) {
            SCOPED_TRACE(std::string(with_passes ? "with" : "without") + " passes, threads " + std::to_string(threads));
            Options options = options_of(threads, with_passes);
            options.inference_precision = in_bf16 ? InferencePrecision::bf16 : InferencePrecision::f32;
            const Outcome got = run(parsed.graph, "CPU", options);
            for (size_t i = 0; i < want.outputs.size(); i++)
                expect_near(got.outputs[i], want.outputs[i], in_bf16 ? 2e-2 : 2e-5);
            if (with_passes || is_another_processor(got.nodes) || (in_bf16 && got.precision != "bf16"))
                continue;
            ASSERT_EQ(got.nodes.size(), parsed.kernels.size());
            for (size_t n = 0; n < got.nodes.size(); n++) {
                const std::string &kernel = got.nodes[n].kernel, wanted = parsed.kernels[n];
                const bool shared = wanted.ends_with("…");
                const std::string begin = wanted.substr(0, shared ? wanted.rfind(" …") : wanted.size());
                EXPECT_TRUE(kernel.starts_with(begin))
                    << got.nodes[n].op << " runs on " << kernel << ": " << got.nodes[n].reason;
                EXPECT_EQ(kernel.find(" in 2 parts") != std::string::npos, shared && threads == 2) << kernel;
            }
        }
}

INSTANTIATE_TEST_SUITE_P(Cpu, KernelCase, testing::ValuesIn(all_cases()),
                         [](const auto &made) { return made.param.name; });

} // namespace
