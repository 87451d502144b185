#include "inference/graph.h"
#include "inference/ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

// Each line of cases/*.txt is one case:
//   Op(operand, …) {attributes} => result; …
// An operand or result is a type as graphs print it, `f32[1x?]`, constant when `={1, 2}` follows, or `-` for an absent
// one. A result without elements is what the shape rule must say. When every operand is constant, the reference kernel
// runs too, and whatever the rule says with less knowledge of the operands must agree with what the kernel made.
// `=> Error: text` is a case that must be refused with a sentence in which the text stands.

using namespace leat;
namespace fs = std::filesystem;

namespace {

struct Case {
    std::string name; ///< file_line
    std::string line;
};

std::ostream &operator<<(std::ostream &stream, const Case &made)
{
    return stream << made.line;
}

std::vector<Case> all_cases()
{
    const char *root = std::getenv("LEAT_SOURCE_ROOT");
    std::vector<fs::path> files;
    for (const auto &entry : fs::directory_iterator(fs::path(root ? root : ".") / "tests" / "ops" / "cases"))
        files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::vector<Case> cases;
    for (const fs::path &file : files) {
        std::ifstream text(file);
        int number = 0;
        for (std::string line; std::getline(text, line);)
            if (number++; !line.empty() && line[0] != '#')
                cases.push_back({file.stem().string() + "_" + std::to_string(number), line});
    }
    return cases;
}

/// The pieces between separators that stand outside of braces and brackets.
std::vector<std::string> split(const std::string &text, char separator)
{
    std::vector<std::string> pieces;
    std::string piece;
    int depth = 0;
    for (char c : text) {
        depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
        if (c == separator && depth == 0) {
            pieces.push_back(piece);
            piece.clear();
        } else if (c != ' ' || depth > 0) {
            piece += c;
        }
    }
    if (!piece.empty())
        pieces.push_back(piece);
    return pieces;
}

struct ParsedCase {
    Graph graph;
    std::vector<Value> wanted;
    std::string error;
};

/// Declares the values of the pieces from number `first` on, as graph text; `ids` gets what a node writes for them.
std::string declare(const std::vector<std::string> &pieces, size_t first, std::string &ids)
{
    std::string text;
    for (const std::string &piece : pieces) {
        const std::string id = "%" + std::to_string(first++);
        ids += (ids.empty() ? "" : ", ") + (piece == "-" ? piece : id);
        const size_t equals = piece.find('=');
        if (equals != std::string::npos)
            text += "const " + id + ":" + piece.substr(0, equals) + " \"\" = " + piece.substr(equals + 1) + "\n";
        else if (piece != "-")
            text += "input " + id + ":" + piece + " \"\"\n";
    }
    return text;
}

ParsedCase parse_case(const std::string &line)
{
    const size_t open = line.find('('), close = line.find(')', open), arrow = line.rfind(" => ");
    if (open == std::string::npos || close == std::string::npos || arrow == std::string::npos)
        throw Error("want Op(operands) {attributes} => results");
    const std::string results = line.substr(arrow + 4);
    ParsedCase parsed;
    const bool refused = results.rfind("Error: ", 0) == 0;
    if (refused)
        parsed.error = results.substr(7);
    const auto operands = split(line.substr(open + 1, close - open - 1), ',');
    const auto wanted = refused ? std::vector<std::string>{"f32[*]"} : split(results, ';');
    std::string ids, made, ignored;
    const std::string text = declare(operands, 0, ids);
    for (size_t i = 0; i < wanted.size(); i++)
        made += (i ? ", %" : "%") + std::to_string(operands.size() + i) + ":f32[*] \"\"";
    parsed.graph = parse(text + made + " = " + line.substr(0, open) + "(" + ids + ")" +
                         line.substr(close + 1, arrow - close - 1) + " \"\"\n");
    if (!refused)
        parsed.wanted = parse(declare(wanted, 0, ignored)).values;
    return parsed;
}

std::string type_text(const Value &value)
{
    return std::string(to_string(value.type)) + "[" + (value.shape ? to_string(*value.shape) : "*") + "]";
}

void run_rule(Graph &graph)
{
    ShapeContext context(graph, graph.nodes[0]);
    graph.nodes[0].op->shape(context);
}

std::vector<Tensor> run_kernel(const Graph &graph)
{
    std::vector<Tensor> values;
    for (const Value &value : graph.values)
        values.push_back(value.constant);
    run_node(graph.nodes[0], values);
    std::vector<Tensor> outputs;
    for (ValueId id : graph.nodes[0].outputs)
        outputs.push_back(values[id]);
    return outputs;
}

bool agrees(const Value &said, const Tensor &made)
{
    if (said.type != made.type() || (said.shape && said.shape->size() != made.rank()))
        return false;
    for (size_t i = 0; said.shape && i < made.rank(); i++)
        if ((*said.shape)[i] != -1 && (*said.shape)[i] != made.dim(i))
            return false;
    return true;
}

void expect_equal(const Tensor &got, const Tensor &want)
{
    ASSERT_EQ(to_string(got.type()), to_string(want.type()));
    ASSERT_EQ(to_string(got.shape()), to_string(want.shape()));
    const Tensor a = got.converted(Type::f64), b = want.converted(Type::f64);
    for (size_t i = 0; i < b.count(); i++) {
        const double x = a.data<double>()[i], y = b.data<double>()[i];
        const bool same = x == y || (std::isnan(x) && std::isnan(y)) || std::abs(x - y) <= 1e-5 * (1 + std::abs(y));
        ASSERT_TRUE(same) << "element " << i << " is " << x << ", want " << y;
    }
}

using Forget = void (*)(Value &);
constexpr Forget ways_to_forget[] = {
    [](Value &) {},
    [](Value &v) { v.constant = Tensor(); },
    [](Value &v) {
        v.constant = Tensor();
        v.shape = Shape(v.shape->size(), -1);
    },
    [](Value &v) {
        v.constant = Tensor();
        v.shape.reset();
    },
};

/// With any subset of the operands known any less, the rule may say less but nothing else.
void expect_agreement(const Graph &graph, const std::vector<Tensor> &made)
{
    const auto &inputs = graph.nodes[0].inputs;
    for (Forget forget : ways_to_forget)
        for (size_t only = 0; only <= inputs.size(); only++) {
            Graph less = graph;
            for (size_t i = 0; i < inputs.size(); i++)
                if (inputs[i] != no_value && (only == inputs.size() || only == i))
                    forget(less.values[inputs[i]]);
            run_rule(less);
            for (size_t i = 0; i < made.size(); i++) {
                const Value &said = less.values[graph.nodes[0].outputs[i]];
                EXPECT_TRUE(agrees(said, made[i]))
                    << "the rule says " << type_text(said) << ", the kernel made " << to_string(made[i].shape());
            }
        }
}

class OpCase : public testing::TestWithParam<Case> {};

TEST_P(OpCase, GivesWhatTheLineSays)
{
    SCOPED_TRACE(GetParam().line);
    ParsedCase parsed = parse_case(GetParam().line);
    const bool constant = std::all_of(parsed.graph.nodes[0].inputs.begin(), parsed.graph.nodes[0].inputs.end(),
                                      [&](ValueId id) { return id == no_value || parsed.graph.is_constant(id); });
    try {
        run_rule(parsed.graph);
        std::vector<Tensor> made;
        if (constant) {
            made = run_kernel(parsed.graph);
            expect_agreement(parsed.graph, made);
        }
        ASSERT_EQ(parsed.error, "") << "the case was not refused";
        for (size_t i = 0; i < parsed.wanted.size(); i++) {
            if (parsed.wanted[i].constant) {
                ASSERT_TRUE(constant) << "elements are wanted of operands that are not constant";
                expect_equal(made[i], parsed.wanted[i].constant);
            } else {
                EXPECT_EQ(type_text(parsed.graph.values[parsed.graph.nodes[0].outputs[i]]),
                          type_text(parsed.wanted[i]));
            }
        }
    } catch (const Error &error) {
        ASSERT_NE(parsed.error, "") << error.what();
        EXPECT_NE(std::string(error.what()).find(parsed.error), std::string::npos) << error.what();
    }
}

INSTANTIATE_TEST_SUITE_P(Ops, OpCase, testing::ValuesIn(all_cases()), [](const auto &made) { return made.param.name; });

} // namespace
