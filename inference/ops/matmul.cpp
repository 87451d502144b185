#include "inference/ops/walk.h"

#include <algorithm>
#include <cctype>

namespace leat {
namespace {

/// A matrix inside a tensor; distances in elements.
template <class T> struct Matrix {
    const T *data;
    int64_t row, column;
    T at(int64_t r, int64_t c) const { return data[r * row + c * column]; }
};

/// Calls store(row, sums) with each row of A B, A being m x k and B k x n.
template <class T, class Store> void multiply(Matrix<T> a, Matrix<T> b, int64_t m, int64_t k, int64_t n, Store store)
{
    std::vector<Wide<T>> sums(static_cast<size_t>(n));
    for (int64_t i = 0; i < m; i++) {
        std::fill(sums.begin(), sums.end(), Wide<T>(0));
        for (int64_t p = 0; p < k; p++) {
            const Wide<T> factor = widened(a.at(i, p));
            const T *row = b.data + p * b.row;
            for (int64_t j = 0; j < n; j++)
                sums[static_cast<size_t>(j)] += factor * widened(row[j * b.column]);
        }
        store(i, sums);
    }
}

// MatMul

struct Product {
    Shape batch, batch_a, batch_b, shape;
    int64_t m = 1, k = 1, n = 1;
};

/// As numpy.matmul: a vector on the left is a row, one on the right a column, and the result lacks that axis.
Product product_of(const Shape &a, const Shape &b)
{
    if (a.empty() || b.empty())
        throw Error("a scalar cannot be multiplied as a matrix");
    Product p;
    p.m = a.size() > 1 ? a[a.size() - 2] : 1;
    p.k = a.back();
    p.n = b.size() > 1 ? b.back() : 1;
    const int64_t k = b.size() > 1 ? b[b.size() - 2] : b[0];
    if (p.k >= 0 && k >= 0 && p.k != k)
        throw Error("the shapes " + to_string(a) + " and " + to_string(b) + " do not multiply: " + std::to_string(p.k) +
                    " columns meet " + std::to_string(k) + " rows");
    p.batch_a.assign(a.begin(), a.end() - std::min<ptrdiff_t>(2, static_cast<ptrdiff_t>(a.size())));
    p.batch_b.assign(b.begin(), b.end() - std::min<ptrdiff_t>(2, static_cast<ptrdiff_t>(b.size())));
    p.batch = broadcast(p.batch_a, p.batch_b);
    p.shape = p.batch;
    if (a.size() > 1)
        p.shape.push_back(p.m);
    if (b.size() > 1)
        p.shape.push_back(p.n);
    return p;
}

std::optional<Shape> product_shape(const ShapeContext &context, size_t a, size_t b)
{
    if (!context.shape(a) || !context.shape(b))
        return {};
    return product_of(*context.shape(a), *context.shape(b)).shape;
}

void matmul_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::number);
    want_same_type(context, 0, 1);
    context.output(0, context.type(0), product_shape(context, 0, 1));
}

Shape times(Shape strides, int64_t by)
{
    for (int64_t &stride : strides)
        stride *= by;
    return strides;
}

template <class T> void multiply_batches(const Tensor &a, const Tensor &b, Tensor &y, const Product &p)
{
    walk<3>(p.batch,
            {times(broadcast_strides(p.batch_a, p.batch), p.m * p.k),
             times(broadcast_strides(p.batch_b, p.batch), p.k * p.n), times(strides_of(p.batch), p.m * p.n)},
            [&](const Stretch<3> &s) {
                for (int64_t i = 0; i < s.count; i++) {
                    T *out = y.data<T>() + s.offset[2] + i * s.step[2];
                    multiply<T>({a.data<T>() + s.offset[0] + i * s.step[0], p.k, 1},
                                {b.data<T>() + s.offset[1] + i * s.step[1], p.n, 1}, p.m, p.k, p.n,
                                [&](int64_t row, const std::vector<Wide<T>> &sums) {
                                    std::transform(sums.begin(), sums.end(), out + row * p.n, narrowed<T, Wide<T>>);
                                });
                }
            });
}

void matmul(RunContext &context)
{
    const Tensor &a = context.inputs[0], &b = context.inputs[1];
    if (a.type() != b.type())
        throw Error("the inputs have different element types");
    const Product p = product_of(a.shape(), b.shape());
    Tensor &y = context.output(0, a.type(), p.shape);
    visit_number(a.type(), [&]<class T>() { multiply_batches<T>(a, b, y, p); });
}

// MatMulInteger

void matmul_integer_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::integer);
    want_type(context, 1, TypeSet::integer);
    want_same_type(context, 0, 2);
    want_same_type(context, 1, 3);
    context.output(0, Type::s32, product_shape(context, 0, 1));
}

/// A vector with one element for each row as a column, so that it broadcasts; others as they are.
Tensor as_column(const Tensor &of_rows)
{
    return of_rows.rank() == 1 && of_rows.count() > 1 ? of_rows.reshaped({of_rows.dim(0), 1}) : of_rows;
}

/// The input minus its zero point, which broadcasts; `of_rows`: a vector of them holds one for each row.
Tensor centred(const RunContext &context, size_t input, size_t zero_point, bool of_rows)
{
    Tensor x = context.inputs[input].converted(Type::s32);
    if (!context.has(zero_point))
        return x;
    Tensor zero = context.inputs[zero_point].converted(Type::s32);
    if (of_rows)
        zero = as_column(zero);
    if (broadcast(x.shape(), zero.shape()) != x.shape())
        throw Error("the zero point " + to_string(zero.shape()) + " does not broadcast into " + to_string(x.shape()));
    Tensor result(Type::s32, x.shape());
    const Shape dense = strides_of(x.shape());
    walk<2>(x.shape(), {dense, broadcast_strides(zero.shape(), x.shape())}, [&](const Stretch<2> &s) {
        for (int64_t i = 0; i < s.count; i++) {
            const int64_t at = s.offset[0] + i * s.step[0];
            result.data<int32_t>()[at] = static_cast<int32_t>(int64_t(x.data<int32_t>()[at]) -
                                                              zero.data<int32_t>()[s.offset[1] + i * s.step[1]]);
        }
    });
    return result;
}

void matmul_integer(RunContext &context)
{
    const Product p = product_of(context.inputs[0].shape(), context.inputs[1].shape());
    multiply_batches<int32_t>(centred(context, 0, 2, true), centred(context, 1, 3, false),
                              context.output(0, Type::s32, p.shape), p);
}

// QLinearMatMul

void qlinear_matmul_rule(ShapeContext &context)
{
    for (size_t i : {0u, 3u, 7u})
        want_type(context, i, TypeSet::integer);
    for (size_t i : {1u, 4u, 6u})
        want_type(context, i, TypeSet::floating);
    context.output(0, context.type(7), product_shape(context, 0, 3));
}

Tensor calculated(std::string_view name, const Tensor &a, const Tensor &b = {})
{
    Node node;
    node.op = &op(name);
    node.outputs = {0};
    const std::array<Tensor, 2> inputs{a, b};
    Tensor result;
    RunContext context(node, std::span(inputs).first(b ? 2 : 1), {&result, 1});
    node.op->reference(context);
    return result;
}

void qlinear_matmul(RunContext &context)
{
    auto number = [&](size_t input) { return context.inputs[input].converted(Type::f32); };
    const Product p = product_of(context.inputs[0].shape(), context.inputs[3].shape());
    Tensor sums(Type::s32, p.shape);
    multiply_batches<int32_t>(centred(context, 0, 2, true), centred(context, 3, 5, false), sums, p);
    const Tensor factors = calculated("Div", calculated("Mul", as_column(number(1)), number(4)), as_column(number(6)));
    const Tensor rounded = calculated("Round", calculated("Mul", sums.converted(Type::f32), factors));
    const Tensor y = calculated("Add", rounded, as_column(number(7)));
    if (y.shape() != p.shape)
        throw Error("the scales and zero points do not broadcast into " + to_string(p.shape));
    copy_to_output(context, 0, y.converted(context.inputs[7].type()));
}

// Gemm

struct GemmSizes {
    int64_t m, k, n;
};

GemmSizes gemm_sizes(const Attributes &attributes, const Shape &a, const Shape &b)
{
    if (a.size() != 2 || b.size() != 2)
        throw Error("the shapes " + to_string(a) + " and " + to_string(b) + " are not those of matrices");
    const bool ta = attributes.integer("transA", 0) != 0, tb = attributes.integer("transB", 0) != 0;
    const int64_t k = a[ta ? 0 : 1], rows = b[tb ? 1 : 0];
    if (k >= 0 && rows >= 0 && k != rows)
        throw Error("the shapes " + to_string(a) + " and " + to_string(b) + " do not multiply: " + std::to_string(k) +
                    " columns meet " + std::to_string(rows) + " rows");
    return {a[ta ? 1 : 0], k, b[tb ? 0 : 1]};
}

void gemm_rule(ShapeContext &context)
{
    for (size_t i : {0u, 1u, 2u})
        want_type(context, i, TypeSet::number);
    want_same_type(context, 0, 1);
    want_addend_type(context, 0, 2);
    Shape result{-1, -1};
    if (context.shape(0) && context.shape(1)) {
        const GemmSizes sizes = gemm_sizes(context.attributes(), *context.shape(0), *context.shape(1));
        result = {sizes.m, sizes.n};
    }
    if (context.shape(2) && broadcast(result, *context.shape(2)).size() != 2)
        throw Error("C of shape " + to_string(*context.shape(2)) + " does not broadcast into " + to_string(result));
    context.output(0, context.type(0), result);
}

void gemm(RunContext &context)
{
    const Tensor &a = context.inputs[0], &b = context.inputs[1];
    const Attributes &attributes = context.node.attributes;
    const bool with_c = context.has(2);
    if (a.type() != b.type())
        throw Error("the inputs have different element types");
    const Tensor c = with_c ? context.inputs[2].converted(a.type()) : Tensor();
    const GemmSizes sizes = gemm_sizes(attributes, a.shape(), b.shape());
    const Shape shape{sizes.m, sizes.n};
    if (with_c && broadcast(shape, context.inputs[2].shape()) != shape)
        throw Error("C of shape " + to_string(context.inputs[2].shape()) + " does not broadcast into " +
                    to_string(shape));
    const Shape c_strides = with_c ? broadcast_strides(context.inputs[2].shape(), shape) : Shape{0, 0};
    const double alpha = attributes.number("alpha", 1), beta = attributes.number("beta", 1);
    const bool ta = attributes.integer("transA", 0) != 0, tb = attributes.integer("transB", 0) != 0;
    Tensor &y = context.output(0, a.type(), shape);
    visit_number(a.type(), [&]<class T>() {
        auto scaled = [](double by, Wide<T> value) {
            return by == 1 ? value : static_cast<Wide<T>>(by * static_cast<double>(value));
        };
        const Matrix<T> left{a.data<T>(), ta ? 1 : a.dim(1), ta ? a.dim(1) : 1};
        const Matrix<T> right{b.data<T>(), tb ? 1 : b.dim(1), tb ? b.dim(1) : 1};
        multiply<T>(left, right, sizes.m, sizes.k, sizes.n, [&](int64_t row, const std::vector<Wide<T>> &sums) {
            for (int64_t j = 0; j < sizes.n; j++) {
                Wide<T> value = scaled(alpha, sums[static_cast<size_t>(j)]);
                if (with_c)
                    value += scaled(beta, widened(c.data<T>()[row * c_strides[0] + j * c_strides[1]]));
                y.data<T>()[row * sizes.n + j] = narrowed<T>(value);
            }
        });
    });
}

// Einsum

/// A subscript: each axis has a letter; the axes of an ellipsis have the codes first_hidden, first_hidden + 1 … from
/// the last one backwards, so that they broadcast.
struct Equation {
    std::vector<std::string> inputs; ///< an ellipsis stands as '.'
    std::string output;
};

/// Letters once each, one ellipsis at most; spaces are left out.
std::string parse_term(const std::string &text)
{
    std::string term;
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] == ' ')
            continue;
        if (text.compare(i, 3, "...") == 0 && term.find('.') == std::string::npos) {
            term += '.';
            i += 2;
        } else if (std::isalpha(static_cast<unsigned char>(text[i]))) {
            term += text[i];
        } else {
            throw Error("the equation has \"" + text + "\", which is not made of letters and one ellipsis");
        }
    }
    return term;
}

Equation parse_equation(const std::string &text)
{
    Equation equation;
    const size_t arrow = text.find("->");
    const std::string left = text.substr(0, arrow);
    for (size_t begin = 0; begin <= left.size();) {
        const size_t end = std::min(left.find(',', begin), left.size());
        equation.inputs.push_back(parse_term(left.substr(begin, end - begin)));
        begin = end + 1;
    }
    if (arrow != std::string::npos) {
        equation.output = parse_term(text.substr(arrow + 2));
        return equation;
    }
    // Without an arrow: the ellipsis, then the letters that occur once, in alphabetical order.
    std::string all;
    for (const std::string &term : equation.inputs)
        all += term;
    if (all.find('.') != std::string::npos)
        equation.output = ".";
    std::sort(all.begin(), all.end());
    for (char letter : all)
        if (letter != '.' && std::count(all.begin(), all.end(), letter) == 1)
            equation.output += letter;
    return equation;
}

/// The equation against the shapes: every axis of every operand has an index into `sizes`.
struct Contraction {
    std::vector<std::vector<size_t>> inputs;
    std::vector<size_t> output;
    Shape sizes;
};

/// Labels of one term for a tensor of that rank: letters, and numbers above 255 for the axes of the ellipsis, counted
/// from its end.
std::vector<int> labels_of(const std::string &term, size_t hidden)
{
    std::vector<int> labels;
    for (char letter : term)
        if (letter == '.')
            for (size_t i = hidden; i-- > 0;)
                labels.push_back(256 + static_cast<int>(i));
        else
            labels.push_back(letter);
    return labels;
}

Contraction contraction_of(const std::string &text, const std::vector<Shape> &shapes)
{
    const Equation equation = parse_equation(text);
    if (equation.inputs.size() != shapes.size())
        throw Error("the equation \"" + text + "\" has " + std::to_string(equation.inputs.size()) + " operands for " +
                    std::to_string(shapes.size()) + " inputs");
    Contraction result;
    std::map<int, size_t> index;
    auto place = [&](int label, int64_t size) {
        const auto [found, is_new] = index.emplace(label, result.sizes.size());
        if (is_new)
            result.sizes.push_back(size);
        int64_t &known = result.sizes[found->second];
        if (known == 1 || known == -1)
            known = size == -1 && known != -1 ? -1 : std::max(size, known);
        else if (size != 1 && size != -1 && size != known)
            throw Error("the equation \"" + text + "\" gives one letter the sizes " + std::to_string(known) + " and " +
                        std::to_string(size));
        return found->second;
    };
    size_t widest = 0;
    for (size_t n = 0; n < shapes.size(); n++) {
        const std::string &term = equation.inputs[n];
        const bool open = term.find('.') != std::string::npos;
        const size_t letters = term.size() - (open ? 1 : 0), rank = shapes[n].size();
        if (rank < letters || (!open && rank > letters))
            throw Error("the equation \"" + text + "\" does not fit an input of shape " + to_string(shapes[n]));
        widest = std::max(widest, rank - letters);
        const auto labels = labels_of(term, rank - letters);
        std::vector<size_t> axes;
        for (size_t i = 0; i < rank; i++)
            axes.push_back(place(labels[i], shapes[n][i]));
        result.inputs.push_back(std::move(axes));
    }
    for (int label : labels_of(equation.output, widest)) {
        const auto found = index.find(label);
        if (found == index.end())
            throw Error("the equation \"" + text + "\" has a letter in the output that no input has");
        if (std::find(result.output.begin(), result.output.end(), found->second) != result.output.end())
            throw Error("the equation \"" + text + "\" has a letter twice in the output");
        result.output.push_back(found->second);
    }
    return result;
}

void einsum_rule(ShapeContext &context)
{
    std::vector<Shape> shapes;
    for (size_t i = 0; i < context.inputs(); i++) {
        want_type(context, i, TypeSet::number);
        want_same_type(context, 0, i);
        if (!context.shape(i))
            return context.output(0, context.type(0), {});
        shapes.push_back(*context.shape(i));
    }
    const Contraction c = contraction_of(context.attributes().text("equation", ""), shapes);
    Shape result;
    for (size_t axis : c.output)
        result.push_back(c.sizes[axis]);
    context.output(0, context.type(0), result);
}

/// Moves an index on through `sizes`, the last axis fastest, and each offset along with it; false after the last one.
bool advance(std::vector<int64_t> &index, const Shape &sizes, std::vector<int64_t> &offsets,
             const std::vector<Shape> &strides, size_t first, size_t last)
{
    for (size_t a = last; a-- > first;) {
        for (size_t n = 0; n < offsets.size(); n++)
            offsets[n] += strides[n][a];
        if (++index[a] < sizes[a])
            return true;
        for (size_t n = 0; n < offsets.size(); n++)
            offsets[n] -= strides[n][a] * sizes[a];
        index[a] = 0;
    }
    return false;
}

void einsum(RunContext &context)
{
    std::vector<Shape> shapes;
    for (const Tensor &input : context.inputs) {
        if (input.type() != context.inputs[0].type())
            throw Error("the inputs have different element types");
        shapes.push_back(input.shape());
    }
    const Contraction c = contraction_of(context.node.attributes.text("equation", ""), shapes);
    // Axes in the order: those of the output, then those that are summed.
    std::vector<size_t> order = c.output;
    for (size_t i = 0; i < c.sizes.size(); i++)
        if (std::find(c.output.begin(), c.output.end(), i) == c.output.end())
            order.push_back(i);
    Shape sizes;
    for (size_t axis : order)
        sizes.push_back(c.sizes[axis]);
    std::vector<Shape> strides;
    for (size_t n = 0; n < shapes.size(); n++) {
        Shape by_axis(order.size(), 0);
        const Shape dense = strides_of(shapes[n]);
        for (size_t i = 0; i < shapes[n].size(); i++)
            if (shapes[n][i] != 1)
                by_axis[static_cast<size_t>(std::find(order.begin(), order.end(), c.inputs[n][i]) - order.begin())] +=
                    dense[i];
        strides.push_back(std::move(by_axis));
    }
    const size_t kept = c.output.size();
    Tensor &result =
        context.output(0, context.inputs[0].type(), Shape(sizes.begin(), sizes.begin() + static_cast<ptrdiff_t>(kept)));
    const bool nothing = count_of(Shape(sizes.begin() + static_cast<ptrdiff_t>(kept), sizes.end())) == 0;
    std::vector<int64_t> index(sizes.size(), 0), offsets(shapes.size(), 0);
    visit_number(result.type(), [&]<class T>() {
        for (T &value : result.values<T>()) {
            Wide<T> sum = 0;
            if (!nothing)
                do {
                    Wide<T> product = 1;
                    for (size_t n = 0; n < offsets.size(); n++)
                        product *= widened(context.inputs[n].data<T>()[offsets[n]]);
                    sum += product;
                } while (advance(index, sizes, offsets, strides, kept, sizes.size()));
            value = narrowed<T>(sum);
            advance(index, sizes, offsets, strides, 0, kept);
        }
    });
}

constexpr Op rows[] = {
    {"Einsum", 1, -1, 1, einsum_rule, einsum},
    {"Gemm", 2, 3, 1, gemm_rule, gemm},
    {"MatMul", 2, 2, 1, matmul_rule, matmul},
    {"MatMulInteger", 2, 4, 1, matmul_integer_rule, matmul_integer},
    {"QLinearMatMul", 8, 8, 1, qlinear_matmul_rule, qlinear_matmul},
};

} // namespace

std::span<const Op> matmul_ops()
{
    return rows;
}

} // namespace leat
