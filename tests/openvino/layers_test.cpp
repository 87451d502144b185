#include "inference/ops.h"
#include "inference/read.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>

// Each line of layers.txt is one layer of an OpenVINO IR file:
//   opsetN Type(operand, …) {attribute="value" …} => result; …
// An operand or result is written as graphs print it, `f32[2]={1, 2}`; `const` in front makes an operand a Const layer,
// else it is a parameter that the test feeds. `=> Error: text` is a layer that must be refused with that text.

using namespace leat;
namespace fs = std::filesystem;

namespace {

struct Operand {
    Tensor tensor;
    bool constant = false;
};

struct Case {
    int number;
    std::string line, opset, type, data, error;
    std::vector<Operand> operands;
    std::vector<Tensor> wanted;
};

std::ostream &operator<<(std::ostream &stream, const Case &made)
{
    return stream << made.line;
}

std::string trimmed(const std::string &text)
{
    const size_t first = text.find_first_not_of(' '), last = text.find_last_not_of(' ');
    return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

/// The pieces between separators that stand outside of braces.
std::vector<std::string> split(const std::string &text, char separator)
{
    std::vector<std::string> pieces(1);
    int depth = 0;
    for (char c : text) {
        depth += c == '{' ? 1 : c == '}' ? -1 : 0;
        if (c == separator && depth == 0)
            pieces.emplace_back();
        else
            pieces.back() += c;
    }
    for (std::string &piece : pieces)
        piece = trimmed(piece);
    return pieces;
}

Tensor tensor_of(const std::string &text)
{
    const size_t equals = text.find('=');
    if (equals == std::string::npos)
        throw Error("\"" + text + "\" is not a tensor");
    const Graph graph = parse("const %0:" + text.substr(0, equals) + " \"\" = " + text.substr(equals + 1) + "\n");
    return graph.values.at(0).constant;
}

Case parse_case(const std::string &line, int number)
{
    Case made{number, line, {}, {}, {}, {}, {}, {}};
    const size_t space = line.find(' '), open = line.find('('), close = line.find(") "), arrow = line.find(" => ");
    made.opset = line.substr(0, space);
    made.type = line.substr(space + 1, open - space - 1);
    if (const size_t brace = line.find('{', close); brace < arrow)
        made.data = line.substr(brace + 1, line.rfind('}', arrow) - brace - 1);
    for (const std::string &text : split(line.substr(open + 1, close - open - 1), ',')) {
        constexpr std::string_view constant = "const ";
        const bool is_constant = text.starts_with(constant);
        made.operands.push_back({tensor_of(is_constant ? text.substr(constant.size()) : text), is_constant});
    }
    const std::string results = line.substr(arrow + 4);
    if (results.starts_with("Error: "))
        made.error = results.substr(7);
    else
        for (const std::string &text : split(results, ';'))
            made.wanted.push_back(tensor_of(text));
    return made;
}

std::vector<Case> all_cases()
{
    const char *root = std::getenv("LEAT_SOURCE_ROOT");
    std::ifstream text(fs::path(root ? root : ".") / "tests" / "openvino" / "layers.txt");
    std::vector<Case> cases;
    int number = 0;
    for (std::string line; std::getline(text, line);)
        if (number++; !line.empty() && line[0] != '#')
            cases.push_back(parse_case(line, number));
    return cases;
}

/// As IR files name it.
std::string element_type(Type type)
{
    const std::string name(to_string(type));
    return name == "bool" ? "boolean" : name[0] == 's' ? "i" + name.substr(1) : name;
}

std::string sizes(const Shape &shape, const char *before, const char *after)
{
    std::string text;
    for (int64_t size : shape)
        text += before + std::to_string(size) + after;
    return text;
}

std::string port(int id, const Tensor &tensor)
{
    return "<port id=\"" + std::to_string(id) + "\" precision=\"" + element_type(tensor.type()) + "\">" +
           sizes(tensor.shape(), "<dim>", "</dim>") + "</port>";
}

std::string edge(size_t from, size_t from_port, size_t to, size_t to_port)
{
    std::ostringstream text;
    text << "<edge from-layer=\"" << from << "\" from-port=\"" << from_port << "\" to-layer=\"" << to << "\" to-port=\""
         << to_port << "\"/>";
    return text.str();
}

std::string operand_layer(const Operand &operand, size_t id, size_t offset)
{
    std::string shape = sizes(operand.tensor.shape(), "", ",");
    if (!shape.empty())
        shape.pop_back();
    std::ostringstream text;
    text << "<layer id=\"" << id << "\" name=\"in" << id << "\" type=\"" << (operand.constant ? "Const" : "Parameter")
         << "\" version=\"opset1\"><data element_type=\"" << element_type(operand.tensor.type()) << "\" shape=\""
         << shape << "\"";
    if (operand.constant)
        text << " offset=\"" << offset << "\" size=\"" << operand.tensor.bytes() << "\"";
    text << "/><output>" << port(0, operand.tensor) << "</output></layer>";
    return text.str();
}

/// The layer between its operands and results.
std::string as_xml(const Case &made, std::string &weights)
{
    const size_t count = made.operands.size(), results = std::max<size_t>(made.wanted.size(), 1);
    std::ostringstream layers, edges, layer;
    layer << "<layer id=\"" << count << "\" name=\"layer\" type=\"" << made.type << "\" version=\"" << made.opset
          << "\"><data " << made.data << "/><input>";
    for (size_t i = 0; i < count; i++) {
        const Tensor &tensor = made.operands[i].tensor;
        layers << operand_layer(made.operands[i], i, weights.size());
        if (made.operands[i].constant)
            weights.append(reinterpret_cast<const char *>(tensor.raw()), tensor.bytes());
        layer << port(int(i), tensor);
        edges << edge(i, 0, count, i);
    }
    layer << "</input><output>";
    for (size_t i = 0; i < results; i++) {
        layer << port(int(count + i), made.wanted.empty() ? Tensor(Type::f32, {}) : made.wanted[i]);
        edges << edge(count, count + i, count + 1 + i, 0);
        layers << "<layer id=\"" << count + 1 + i << "\" name=\"out" << i
               << "\" type=\"Result\" version=\"opset1\"><input><port id=\"0\"/></input></layer>";
    }
    return "<?xml version=\"1.0\"?><net name=\"one\" version=\"11\"><layers>" + layers.str() + layer.str() +
           "</output></layer></layers><edges>" + edges.str() + "</edges></net>";
}

std::vector<Tensor> run(const Case &made)
{
    const TemporaryFolder folder;
    std::string weights;
    const std::string xml = as_xml(made, weights);
    folder.write("one.bin", weights);
    Graph graph = read_model_file(folder.write("one.xml", xml));
    std::vector<Tensor> fed;
    for (const Operand &operand : made.operands)
        if (!operand.constant)
            fed.push_back(operand.tensor);
    infer_shapes(graph);
    std::vector<Tensor> values;
    for (const Value &value : graph.values)
        values.push_back(value.constant);
    for (size_t i = 0; i < graph.inputs.size(); i++)
        values[graph.inputs[i]] = fed.at(i);
    for (const Node &node : graph.nodes)
        run_node(node, values);
    std::vector<Tensor> outputs;
    for (ValueId id : graph.outputs)
        outputs.push_back(values[id]);
    return outputs;
}

void expect_equal(const Tensor &got, const Tensor &want)
{
    ASSERT_EQ(to_string(got.type()), to_string(want.type()));
    ASSERT_EQ(to_string(got.shape()), to_string(want.shape()));
    const Tensor a = got.converted(Type::f64), b = want.converted(Type::f64);
    for (size_t i = 0; i < b.count(); i++)
        ASSERT_NEAR(a.data<double>()[i], b.data<double>()[i], 1e-5 * (1 + std::abs(b.data<double>()[i])))
            << "element " << i;
}

class Layer : public testing::TestWithParam<Case> {};

TEST_P(Layer, GivesWhatTheLineSays)
{
    const Case &made = GetParam();
    SCOPED_TRACE(made.line);
    try {
        const std::vector<Tensor> outputs = run(made);
        ASSERT_EQ(made.error, "") << "the layer was not refused";
        ASSERT_EQ(outputs.size(), made.wanted.size());
        for (size_t i = 0; i < outputs.size(); i++)
            expect_equal(outputs[i], made.wanted[i]);
    } catch (const Error &error) {
        ASSERT_NE(made.error, "") << error.what();
        EXPECT_NE(std::string(error.what()).find(made.error), std::string::npos) << error.what();
    }
}

INSTANTIATE_TEST_SUITE_P(Openvino, Layer, testing::ValuesIn(all_cases()),
                         [](const auto &made) { return "line_" + std::to_string(made.param.number); });

} // namespace
