#include "graph.h"
#include "ops.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <sstream>

namespace leat {
namespace {

/* Grammar, one line each:
 *   graph "NAME"
 *   metadata "KEY" = "TEXT"
 *   input %ID:TYPE "NAME"
 *   const %ID:TYPE "NAME" = {1, 2, 3}        (or #HASH when it has too many elements to print)
 *   %ID:TYPE "NAME", … = Op(%ID, -, …) {key=value, …} post(Relu{…}, Add{…} %ID) "NODE NAME"
 *   output %ID
 * TYPE is f32[1x3x?x4], f32[] for rank 0, f32[*] for unknown rank.
 */

std::string quoted(const std::string &text)
{
    std::string out = "\"";
    for (char c : text) {
        if (c == '\n') {
            out += "\\n";
            continue;
        }
        if (c == '"' || c == '\\')
            out += '\\';
        out += c;
    }
    return out + '"';
}

std::string number_text(double value)
{
    char buffer[40];
    std::snprintf(buffer, sizeof buffer, "%.9g", value);
    return buffer;
}

std::string type_text(Type type, const std::optional<Shape> &shape)
{
    std::string text(to_string(type));
    if (!shape)
        return text + "[*]";
    return text + "[" + (shape->empty() ? "" : to_string(*shape)) + "]";
}

uint64_t hash_of(const Tensor &tensor)
{
    uint64_t hash = 1469598103934665603ull; // FNV-1a
    for (size_t i = 0; i < tensor.bytes(); i++)
        hash = (hash ^ static_cast<uint64_t>(tensor.raw()[i])) * 1099511628211ull;
    return hash;
}

std::string elements_text(const Tensor &tensor, size_t max_elements)
{
    if (tensor.count() > max_elements) {
        char buffer[24];
        std::snprintf(buffer, sizeof buffer, "#%016llx", static_cast<unsigned long long>(hash_of(tensor)));
        return buffer;
    }
    std::string text = "{";
    visit_type(tensor.type(), [&]<class T>() {
        for (size_t i = 0; i < tensor.count(); i++) {
            text += i ? ", " : "";
            if constexpr (std::is_integral_v<T>)
                text += std::to_string(tensor.data<T>()[i]);
            else if constexpr (std::is_same_v<T, double>) {
                char buffer[40];
                std::snprintf(buffer, sizeof buffer, "%.17g", tensor.data<T>()[i]);
                text += buffer;
            } else
                text += number_text(static_cast<double>(static_cast<float>(tensor.data<T>()[i])));
        }
    });
    return text + "}";
}

struct AttributePrinter {
    size_t max_elements;
    std::string operator()(int64_t v) const { return std::to_string(v); }
    // A float always shows a point or an exponent, so that it reads back as one.
    std::string operator()(float v) const
    {
        std::string text = number_text(static_cast<double>(v));
        return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
    }
    std::string operator()(const std::string &v) const { return quoted(v); }
    std::string operator()(const std::vector<int64_t> &v) const { return list(v); }
    std::string operator()(const std::vector<float> &v) const { return "f" + list(v); }
    std::string operator()(const Tensor &v) const
    {
        return "tensor " + type_text(v.type(), v.shape()) + elements_text(v, max_elements);
    }
    std::string operator()(const std::shared_ptr<const Graph> &v) const
    {
        return "graph " + quoted(print(*v, max_elements));
    }
    template <class T> std::string list(const std::vector<T> &v) const
    {
        std::string text = "[";
        for (size_t i = 0; i < v.size(); i++)
            text += (i ? ", " : "") + (*this)(v[i]);
        return text + "]";
    }
};

std::string attributes_text(const Attributes &attributes, size_t max_elements)
{
    if (attributes.all().empty())
        return "";
    std::string text;
    for (const auto &[key, value] : attributes.all())
        text += (text.empty() ? "" : ", ") + key + "=" + std::visit(AttributePrinter{max_elements}, value);
    return " {" + text + "}";
}

std::string id_text(ValueId id)
{
    return id == no_value ? "-" : "%" + std::to_string(id);
}

std::string declaration(const Graph &graph, ValueId id)
{
    if (id == no_value)
        return "-";
    const Value &value = graph.values[id];
    const std::string type = value.limits.empty()
                                 ? type_text(value.type, value.shape)
                                 : std::string(to_string(value.type)) + "[" + to_string(value.limits) + "]";
    return id_text(id) + ":" + type + " " + quoted(value.name);
}

std::string node_text(const Graph &graph, const Node &node, size_t max_elements)
{
    std::string text;
    for (size_t i = 0; i < node.outputs.size(); i++)
        text += (i ? ", " : "") + declaration(graph, node.outputs[i]);
    text += " = " + std::string(node.op->name) + "(";
    for (size_t i = 0; i < node.inputs.size(); i++)
        text += (i ? ", " : "") + id_text(node.inputs[i]);
    text += ")" + attributes_text(node.attributes, max_elements);
    for (size_t i = 0; i < node.post_ops.size(); i++) {
        const PostOp &post = node.post_ops[i];
        text += (i ? ", " : " post(") + std::string(post.op->name) + attributes_text(post.attributes, max_elements);
        if (post.kind == PostOp::Kind::binary)
            text += " " + id_text(post.input);
    }
    return text + (node.post_ops.empty() ? " " : ") ") + quoted(node.name);
}

/// Recursive descent over one line.
class LineParser {
  public:
    LineParser(const std::string &line, Graph &graph) : line_(line), graph_(graph) {}

    void statement()
    {
        if (word("graph")) {
            graph_.name = text();
        } else if (word("metadata")) {
            std::string key = text();
            want('=');
            graph_.metadata[key] = text();
        } else if (word("input")) {
            graph_.inputs.push_back(declare());
        } else if (word("output")) {
            graph_.outputs.push_back(id());
        } else if (word("const")) {
            const ValueId made = declare();
            want('=');
            Value &value = graph_.values[made];
            value.constant = elements(value.type, *value.shape);
        } else {
            node();
        }
        space();
        if (at_ < line_.size())
            fail("unexpected \"" + line_.substr(at_, 12) + "\"");
    }

  private:
    [[noreturn]] void fail(const std::string &why) const
    {
        throw Error("column " + std::to_string(at_ + 1) + ": " + why);
    }

    void space()
    {
        while (at_ < line_.size() && line_[at_] == ' ')
            at_++;
    }

    bool accept(char c)
    {
        space();
        if (at_ >= line_.size() || line_[at_] != c)
            return false;
        at_++;
        return true;
    }

    void want(char c)
    {
        if (!accept(c))
            fail(std::string("want '") + c + "'");
    }

    bool word(std::string_view expected)
    {
        space();
        const size_t end = at_ + expected.size();
        if (line_.compare(at_, expected.size(), expected) != 0 ||
            (end < line_.size() && std::isalnum(static_cast<unsigned char>(line_[end]))))
            return false;
        at_ = end;
        return true;
    }

    std::string name()
    {
        space();
        const size_t start = at_;
        while (at_ < line_.size() && (std::isalnum(static_cast<unsigned char>(line_[at_])) || line_[at_] == '_'))
            at_++;
        if (start == at_)
            fail("want a name");
        return line_.substr(start, at_ - start);
    }

    std::string text()
    {
        want('"');
        std::string out;
        while (at_ < line_.size() && line_[at_] != '"') {
            if (line_[at_] == '\\' && at_ + 1 < line_.size()) {
                at_++;
                out += line_[at_] == 'n' ? '\n' : line_[at_];
            } else {
                out += line_[at_];
            }
            at_++;
        }
        want('"');
        return out;
    }

    int64_t integer()
    {
        space();
        int64_t value = 0;
        const auto result = std::from_chars(line_.data() + at_, line_.data() + line_.size(), value);
        if (result.ec != std::errc())
            fail("want an integer");
        at_ = static_cast<size_t>(result.ptr - line_.data());
        return value;
    }

    double number()
    {
        space();
        const size_t end = std::min(line_.find_first_of(",]}) ", at_), line_.size());
        const std::string token = line_.substr(at_, end - at_);
        char *stop = nullptr;
        const double value = std::strtod(token.c_str(), &stop);
        if (token.empty() || *stop)
            fail("want a number");
        at_ = end;
        return value;
    }

    ValueId id()
    {
        if (accept('-'))
            return no_value;
        want('%');
        const int64_t value = integer();
        if (value < 0 || value > 1 << 24)
            fail("value number out of range");
        if (graph_.values.size() <= static_cast<size_t>(value))
            graph_.values.resize(static_cast<size_t>(value) + 1);
        return static_cast<ValueId>(value);
    }

    /// A size, `?`, or a range `64..640` whose end may be left out.
    Dimension dimension()
    {
        if (accept('?'))
            return {};
        const int64_t least = integer();
        if (line_.compare(at_, 2, "..") != 0)
            return least;
        at_ += 2;
        const bool has_end = at_ < line_.size() && std::isdigit(static_cast<unsigned char>(line_[at_]));
        return {least, has_end ? integer() : Dimension::any_size};
    }

    struct ParsedType {
        Type type;
        std::optional<Shape> shape;
        Dimensions limits; ///< when a range is among the sizes
    };

    ParsedType type()
    {
        const std::string type_name = name();
        const auto parsed = type_from(type_name);
        if (!parsed)
            fail("no type \"" + type_name + "\"");
        want('[');
        if (accept('*')) {
            want(']');
            return {*parsed, std::nullopt, {}};
        }
        Shape shape;
        Dimensions limits;
        bool limited = false;
        if (!accept(']')) {
            do {
                limits.push_back(dimension());
                shape.push_back(limits.back().is_fixed() ? limits.back().least : -1);
                limited = limited || (shape.back() < 0 && limits.back() != Dimension());
            } while (accept('x'));
            want(']');
        }
        return {*parsed, shape, limited ? limits : Dimensions()};
    }

    ValueId declare()
    {
        const ValueId made = id();
        if (made == no_value)
            return made;
        want(':');
        auto [value_type, shape, limits] = type();
        Value &value = graph_.values[made];
        value.limits = std::move(limits);
        value.type = value_type;
        value.shape = std::move(shape);
        value.name = text();
        return made;
    }

    Tensor elements(Type value_type, const Shape &shape)
    {
        if (accept('#'))
            fail("a constant of which only the hash was printed cannot be read");
        Tensor tensor(value_type, shape);
        want('{');
        visit_type(value_type, [&]<class T>() {
            for (size_t i = 0; i < tensor.count(); i++) {
                if (i)
                    want(',');
                if constexpr (std::is_integral_v<T>)
                    tensor.data<T>()[i] = static_cast<T>(integer());
                else if constexpr (std::is_same_v<T, double>)
                    tensor.data<T>()[i] = number();
                else
                    tensor.data<T>()[i] = static_cast<T>(static_cast<float>(number()));
            }
        });
        want('}');
        return tensor;
    }

    template <class T, class Read> std::vector<T> list(Read read)
    {
        std::vector<T> values;
        want('[');
        if (accept(']'))
            return values;
        do
            values.push_back(static_cast<T>(read()));
        while (accept(','));
        want(']');
        return values;
    }

    Attribute attribute()
    {
        space();
        if (at_ < line_.size() && line_[at_] == '"')
            return text();
        if (at_ < line_.size() && line_[at_] == '[')
            return list<int64_t>([&] { return integer(); });
        if (line_.compare(at_, 2, "f[") == 0) {
            at_++;
            return list<float>([&] { return number(); });
        }
        if (word("tensor")) {
            auto [value_type, shape, limits] = type();
            return elements(value_type, *shape);
        }
        if (word("graph"))
            return std::make_shared<const Graph>(parse(text()));
        const size_t end = std::min(line_.find_first_of(",}", at_), line_.size());
        if (line_.substr(at_, end - at_).find_first_of(".en") == std::string::npos)
            return integer();
        return static_cast<float>(number());
    }

    Attributes attributes()
    {
        Attributes result;
        if (!accept('{'))
            return result;
        do {
            const std::string key = name();
            want('=');
            result.set(key, attribute());
        } while (accept(','));
        want('}');
        return result;
    }

    const Op *op_row()
    {
        const std::string op_name = name();
        const Op *row = find_op(op_name);
        if (!row)
            fail("no op \"" + op_name + "\"");
        return row;
    }

    void node()
    {
        Node made;
        do
            made.outputs.push_back(declare());
        while (accept(','));
        want('=');
        made.op = op_row();
        want('(');
        if (!accept(')')) {
            do
                made.inputs.push_back(id());
            while (accept(','));
            want(')');
        }
        made.attributes = attributes();
        if (word("post")) {
            want('(');
            do {
                PostOp post;
                post.op = op_row();
                post.attributes = attributes();
                space();
                if (at_ < line_.size() && line_[at_] == '%') {
                    post.kind = PostOp::Kind::binary;
                    post.input = id();
                }
                made.post_ops.push_back(std::move(post));
            } while (accept(','));
            want(')');
        }
        made.name = text();
        graph_.nodes.push_back(std::move(made));
    }

    const std::string &line_;
    Graph &graph_;
    size_t at_ = 0;
};

} // namespace

std::string print(const Graph &graph, size_t max_elements)
{
    std::string text = "graph " + quoted(graph.name) + "\n";
    for (const auto &[key, value] : graph.metadata)
        text += "metadata " + quoted(key) + " = " + quoted(value) + "\n";
    for (ValueId id : graph.inputs)
        text += "input " + declaration(graph, id) + "\n";
    for (size_t v = 0; v < graph.values.size(); v++)
        if (graph.values[v].constant)
            text += "const " + declaration(graph, static_cast<ValueId>(v)) + " = " +
                    elements_text(graph.values[v].constant, max_elements) + "\n";
    for (const Node &node : graph.nodes)
        text += node_text(graph, node, max_elements) + "\n";
    for (ValueId id : graph.outputs)
        text += "output " + id_text(id) + "\n";
    return text;
}

Graph parse(const std::string &text)
{
    Graph graph;
    std::istringstream lines(text);
    std::string line;
    for (int number = 1; std::getline(lines, line); number++)
        if (line.find_first_not_of(' ') != std::string::npos)
            in_context("line " + std::to_string(number), [&] { LineParser(line, graph).statement(); });
    graph.verify();
    return graph;
}

} // namespace leat
