#include "inference/ops/attributes.h"
#include "inference/ops/walk.h"

#include <algorithm>
#include <cmath>

namespace leat {
namespace {

// Activations

struct Activation {
    double (*apply)(double x, double alpha, double beta);
    double alpha = 0, beta = 0;
    double operator()(double x) const { return apply(x, alpha, beta); }
};

double sigmoid(double x)
{
    return 1 / (1 + std::exp(-x));
}

struct ActivationRow {
    std::string_view name;
    int parameters; ///< how many of alpha, beta it has
    Activation activation;
};

/// With the default parameters of the operators of the same name.
constexpr ActivationRow activation_rows[] = {
    {"Affine", 2, {[](double x, double a, double b) { return a * x + b; }, 1, 0}},
    {"Elu", 1, {[](double x, double a, double) { return x < 0 ? a * std::expm1(x) : x; }, 1, 0}},
    {"HardSigmoid", 2, {[](double x, double a, double b) { return std::clamp(a * x + b, 0., 1.); }, 0.2, 0.5}},
    {"LeakyRelu", 1, {[](double x, double a, double) { return x < 0 ? a * x : x; }, 0.01, 0}},
    {"Relu", 0, {[](double x, double, double) { return std::max(x, 0.); }, 0, 0}},
    {"ScaledTanh", 2, {[](double x, double a, double b) { return a * std::tanh(b * x); }, 1, 1}},
    {"Sigmoid", 0, {[](double x, double, double) { return sigmoid(x); }, 0, 0}},
    {"Softplus",
     0,
     {[](double x, double, double) { return std::max(x, 0.) + std::log1p(std::exp(-std::abs(x))); }, 0, 0}},
    {"Softsign", 0, {[](double x, double, double) { return x / (1 + std::abs(x)); }, 0, 0}},
    {"Tanh", 0, {[](double x, double, double) { return std::tanh(x); }, 0, 0}},
    {"ThresholdedRelu", 1, {[](double x, double a, double) { return x > a ? x : 0; }, 1, 0}},
};

const ActivationRow &activation_row(const std::string &name)
{
    const auto *row = std::find_if(std::begin(activation_rows), std::end(activation_rows),
                                   [&](const ActivationRow &candidate) { return candidate.name == name; });
    if (row == std::end(activation_rows))
        throw Error("activations has \"" + name + "\", which is none that recurrent operators know");
    return *row;
}

std::vector<std::string> split_at_commas(const std::string &text)
{
    std::vector<std::string> parts{""};
    for (char c : text)
        if (c == ',')
            parts.emplace_back();
        else
            parts.back() += c;
    return parts;
}

/// `standard` for each direction, unless the attribute activations says otherwise; activation_alpha and
/// activation_beta hold numbers for those activations that have them, in order.
std::vector<Activation> activations_of(const Attributes &attributes, const std::string &standard, size_t directions)
{
    std::vector<std::string> names;
    for (size_t i = 0; i < directions; i++)
        for (const std::string &name : split_at_commas(standard))
            names.push_back(name);
    if (attributes.has("activations")) {
        const auto given = split_at_commas(attributes.text("activations", ""));
        if (given.size() != names.size())
            throw Error("activations has " + std::to_string(given.size()) + " names, want " +
                        std::to_string(names.size()));
        names = given;
    }
    const auto alpha = attributes.numbers("activation_alpha"), beta = attributes.numbers("activation_beta");
    size_t next_alpha = 0, next_beta = 0;
    std::vector<Activation> result;
    for (const std::string &name : names) {
        const ActivationRow &row = activation_row(name);
        result.push_back(row.activation);
        if (row.parameters > 0 && next_alpha < alpha.size())
            result.back().alpha = alpha[next_alpha++];
        if (row.parameters > 1 && next_beta < beta.size())
            result.back().beta = beta[next_beta++];
    }
    return result;
}

// What LSTM, GRU and RNN share

/// Inputs 0 to 5 are X, W, R, B, sequence_lens and initial_h for all of them.
enum Input : size_t { x_input, w_input, r_input, b_input, lengths_input, h_input, c_input, p_input };

/// One of the three networks.
struct Kind {
    int64_t gates;           ///< in the weights
    int64_t peepholes;       ///< numbers for each hidden element in input P
    const char *activations; ///< of one direction
    const char *flag;        ///< the attribute that Cell::flag holds; null: none
};

constexpr Kind lstm_kind{4, 3, "Sigmoid,Tanh,Tanh", "input_forget"},
    gru_kind{3, 0, "Sigmoid,Tanh", "linear_before_reset"}, rnn_kind{1, 0, "Tanh", nullptr};

/// Sizes of -1 are not known.
struct Sizes {
    int64_t steps = -1, batch = -1, input = -1, hidden = -1;
    size_t directions = 1;
    bool reversed = false; ///< the only direction runs backwards
    bool batch_first = false;
    Shape y() const
    {
        const auto d = static_cast<int64_t>(directions);
        return batch_first ? Shape{batch, steps, d, hidden} : Shape{steps, d, batch, hidden};
    }
    /// Of the states before the first and after the last step.
    Shape state() const
    {
        const auto d = static_cast<int64_t>(directions);
        return batch_first ? Shape{batch, d, hidden} : Shape{d, batch, hidden};
    }
};

Sizes sizes_of(const Attributes &attributes, const Shape &x, const Shape &r)
{
    Sizes s;
    enum class Direction : uint8_t { forward, reverse, bidirectional };
    const auto direction =
        enum_attribute<Direction>(attributes, "direction", "forward", {"forward", "reverse", "bidirectional"});
    s.directions = direction == Direction::bidirectional ? 2 : 1;
    s.reversed = direction == Direction::reverse;
    s.batch_first = attributes.integer("layout", 0) != 0;
    if (x.size() != 3)
        throw Error("the input has the shape " + to_string(x) + ", want rank 3");
    if (r.size() != 3)
        throw Error("the recurrence weights have the shape " + to_string(r) + ", want rank 3");
    s.steps = x[s.batch_first ? 1 : 0];
    s.batch = x[s.batch_first ? 0 : 1];
    s.input = x[2];
    s.hidden = r[2];
    if (attributes.has("hidden_size")) {
        const int64_t named = size_attribute(attributes, "hidden_size", 1, 1);
        if (s.hidden >= 0 && s.hidden != named)
            throw Error("hidden_size is " + std::to_string(named) + ", but the recurrence weights have the shape " +
                        to_string(r));
        s.hidden = named;
    }
    return s;
}

void check_shape(const char *what, const Shape &found, const Shape &wanted)
{
    bool fits = found.size() == wanted.size();
    for (size_t i = 0; fits && i < found.size(); i++)
        fits = found[i] < 0 || wanted[i] < 0 || found[i] == wanted[i];
    if (!fits)
        throw Error(std::string(what) + " has the shape " + to_string(found) + ", want " + to_string(wanted));
}

/// `times` the size, where that is known.
int64_t multiple(int64_t times, int64_t size)
{
    return size < 0 ? -1 : count_of({times, size});
}

/// `shape_of(input)` gives the shape, or nothing where it is absent or not known.
template <class ShapeOf> void check_inputs(const Sizes &s, const Kind &kind, ShapeOf shape_of)
{
    const auto d = static_cast<int64_t>(s.directions);
    const int64_t rows = multiple(kind.gates, s.hidden);
    const struct {
        Input input;
        const char *name;
        Shape wanted;
    } wanted[] = {{w_input, "W", {d, rows, s.input}},
                  {r_input, "R", {d, rows, s.hidden}},
                  {b_input, "B", {d, multiple(2 * kind.gates, s.hidden)}},
                  {lengths_input, "sequence_lens", {s.batch}},
                  {h_input, "initial_h", s.state()},
                  {c_input, "initial_c", s.state()},
                  {p_input, "P", {d, multiple(kind.peepholes, s.hidden)}}};
    for (const auto &[input, name, shape] : wanted)
        if (const std::optional<Shape> found = shape_of(input))
            check_shape(name, *found, shape);
}

void recurrent_rule(ShapeContext &context, const Kind &kind)
{
    want_type(context, x_input, TypeSet::floating);
    want_type(context, lengths_input, TypeSet::integer);
    for (Input input : {w_input, r_input, b_input, h_input, c_input, p_input})
        want_same_type(context, x_input, input);
    const Type type = context.type(x_input);
    const Sizes s = sizes_of(context.attributes(), context.shape(x_input).value_or(Shape{-1, -1, -1}),
                             context.shape(r_input).value_or(Shape{-1, -1, -1}));
    activations_of(context.attributes(), kind.activations, s.directions);
    check_inputs(s, kind, [&](size_t input) { return context.shape(input); });
    context.output(0, type, s.y());
    context.output(1, type, s.state());
    context.output(2, type, s.state());
}

/// y[i] += sum over k of matrix[i][k] x[k].
void add_product(const float *matrix, std::span<const double> x, std::span<double> y)
{
    for (double &sum : y)
        for (double value : x)
            sum += value * *matrix++;
}

/// What one direction of one network knows; null where an input is absent.
struct Cell {
    size_t input = 0, hidden = 0;
    const float *w = nullptr, *r = nullptr, *b = nullptr, *p = nullptr;
    std::span<const Activation> activations;
    double clip = 0;   ///< 0: none
    bool flag = false; ///< what Kind::flag names

    double clipped(double x) const { return clip > 0 ? std::clamp(x, -clip, clip) : x; }
    /// The bias of W (part 0) or R (part 1) for a row of the `rows` rows of weights.
    double bias(size_t part, size_t rows, size_t row) const { return b ? b[part * rows + row] : 0; }
    /// W x + Wb + R h + Rb for the gates [first, last) of `gates`.
    std::vector<double> sums(std::span<const double> x, std::span<const double> h, size_t gates, size_t first,
                             size_t last) const
    {
        std::vector<double> result((last - first) * hidden);
        for (size_t i = 0; i < result.size(); i++)
            result[i] = bias(0, gates * hidden, first * hidden + i) + bias(1, gates * hidden, first * hidden + i);
        add_product(w + first * hidden * input, x, result);
        add_product(r + first * hidden * hidden, h, result);
        return result;
    }
};

/// Takes h and c one step on.
using Step = void (*)(const Cell &, std::span<const double> x, std::span<double> h, std::span<double> c);

/// Hochreiter & Schmidhuber, 1997, with the peepholes of Gers & Schmidhuber, 2000. Gates in the order i, o, f, c.
void lstm_step(const Cell &cell, std::span<const double> x, std::span<double> h, std::span<double> c)
{
    const size_t n = cell.hidden;
    const std::vector<double> sums = cell.sums(x, h, 4, 0, 4);
    auto peep = [&](size_t gate, size_t i) { return cell.p ? static_cast<double>(cell.p[gate * n + i]) : 0.; };
    const Activation &f = cell.activations[0], &g = cell.activations[1], &out = cell.activations[2];
    for (size_t i = 0; i < n; i++) {
        const double input_gate = f(cell.clipped(sums[i] + peep(0, i) * c[i]));
        const double forget_gate = cell.flag ? 1 - input_gate : f(cell.clipped(sums[2 * n + i] + peep(2, i) * c[i]));
        c[i] = forget_gate * c[i] + input_gate * g(cell.clipped(sums[3 * n + i]));
        h[i] = f(cell.clipped(sums[n + i] + peep(1, i) * c[i])) * out(c[i]);
    }
}

/// Cho et al., 2014. Gates in the order z, r, h.
void gru_step(const Cell &cell, std::span<const double> x, std::span<double> h, std::span<double>)
{
    const size_t n = cell.hidden;
    const std::vector<double> sums = cell.sums(x, h, 3, 0, 2);
    const Activation &f = cell.activations[0], &g = cell.activations[1];
    std::vector<double> reset(n), candidate(n), recurrence(n);
    for (size_t i = 0; i < n; i++) {
        reset[i] = f(cell.clipped(sums[n + i]));
        candidate[i] = cell.bias(0, 3 * n, 2 * n + i);
        recurrence[i] = cell.bias(1, 3 * n, 2 * n + i);
    }
    add_product(cell.w + 2 * n * cell.input, x, candidate);
    std::vector<double> state(h.begin(), h.end());
    if (!cell.flag)
        for (size_t i = 0; i < n; i++)
            state[i] *= reset[i];
    add_product(cell.r + 2 * n * n, state, recurrence);
    for (size_t i = 0; i < n; i++) {
        const double update = f(cell.clipped(sums[i]));
        const double fresh = g(cell.clipped(candidate[i] + recurrence[i] * (cell.flag ? reset[i] : 1)));
        h[i] = (1 - update) * fresh + update * h[i];
    }
}

void rnn_step(const Cell &cell, std::span<const double> x, std::span<double> h, std::span<double>)
{
    const std::vector<double> sums = cell.sums(x, h, 1, 0, 1);
    for (size_t i = 0; i < cell.hidden; i++)
        h[i] = cell.activations[0](cell.clipped(sums[i]));
}

/// An input as f32; empty when it is absent.
Tensor floats(const RunContext &context, size_t input)
{
    return context.has(input) ? context.inputs[input].converted(Type::f32) : Tensor();
}

std::vector<int64_t> lengths_of(const RunContext &context, const Sizes &s)
{
    if (!context.has(lengths_input))
        return std::vector<int64_t>(static_cast<size_t>(s.batch), s.steps);
    const auto lengths = integers(context, lengths_input);
    for (int64_t length : lengths)
        if (length < 0 || length > s.steps)
            throw Error("sequence_lens has " + std::to_string(length) + ", want 0 to " + std::to_string(s.steps));
    return lengths;
}

/// Element [first][second] of a tensor whose first two axes may be swapped, in units of `size`.
size_t pick(bool swapped, int64_t first, int64_t second, int64_t firsts, int64_t seconds, int64_t size)
{
    return static_cast<size_t>((swapped ? second * firsts + first : first * seconds + second) * size);
}

void run_recurrent(RunContext &context, const Kind &kind, Step step)
{
    const Attributes &attributes = context.node.attributes;
    const Tensor x = floats(context, x_input), w = floats(context, w_input), r = floats(context, r_input);
    const Tensor b = floats(context, b_input), p = floats(context, p_input);
    const Tensor initial_h = floats(context, h_input), initial_c = floats(context, c_input);
    const Sizes s = sizes_of(attributes, x.shape(), r.shape());
    check_inputs(s, kind, [&](size_t input) {
        return context.has(input) ? std::optional(context.inputs[input].shape()) : std::nullopt;
    });
    const auto activations = activations_of(attributes, kind.activations, s.directions);
    const auto lengths = lengths_of(context, s);
    const auto hidden = static_cast<size_t>(s.hidden), input = static_cast<size_t>(s.input);
    const auto directions = static_cast<int64_t>(s.directions);
    Tensor y(Type::f32, s.y()), last_h(Type::f32, s.state()), last_c(Type::f32, s.state());
    std::fill_n(y.data<float>(), y.count(), 0.f);
    for (int64_t d = 0; d < directions; d++) {
        const auto rows = static_cast<size_t>(d * kind.gates) * hidden;
        Cell cell{input, hidden, w.data<float>() + rows * input, r.data<float>() + rows * hidden};
        cell.b = b ? b.data<float>() + 2 * rows : nullptr;
        cell.p = p ? p.data<float>() + static_cast<size_t>(d * kind.peepholes) * hidden : nullptr;
        cell.activations = std::span(activations).subspan(static_cast<size_t>(d) * activations.size() / s.directions);
        cell.clip = attributes.number("clip", 0);
        cell.flag = kind.flag && attributes.integer(kind.flag, 0) != 0;
        const bool backwards = s.reversed || d == 1;
        for (int64_t n = 0; n < s.batch; n++) {
            const size_t state = pick(s.batch_first, d, n, directions, s.batch, s.hidden);
            std::vector<double> h(hidden, 0.), c(hidden, 0.);
            if (initial_h)
                std::copy_n(initial_h.data<float>() + state, hidden, h.begin());
            if (initial_c)
                std::copy_n(initial_c.data<float>() + state, hidden, c.begin());
            const int64_t length = lengths[static_cast<size_t>(n)];
            for (int64_t i = 0; i < length; i++) {
                const int64_t t = backwards ? length - 1 - i : i;
                const float *values = x.data<float>() + pick(s.batch_first, t, n, s.steps, s.batch, s.input);
                step(cell, std::vector<double>(values, values + input), h, c);
                const int64_t place =
                    s.batch_first ? (n * s.steps + t) * directions + d : (t * directions + d) * s.batch + n;
                std::copy(h.begin(), h.end(), y.data<float>() + static_cast<size_t>(place) * hidden);
            }
            std::copy(h.begin(), h.end(), last_h.data<float>() + state);
            std::copy(c.begin(), c.end(), last_c.data<float>() + state);
        }
    }
    const Type type = context.inputs[x_input].type();
    const Tensor *results[] = {&y, &last_h, &last_c};
    for (size_t i = 0; i < std::size(results); i++)
        if (context.wants(i))
            copy_to_output(context, i, results[i]->converted(type));
}

void lstm_rule(ShapeContext &context)
{
    recurrent_rule(context, lstm_kind);
}

void lstm(RunContext &context)
{
    run_recurrent(context, lstm_kind, lstm_step);
}

void gru_rule(ShapeContext &context)
{
    recurrent_rule(context, gru_kind);
}

void gru(RunContext &context)
{
    run_recurrent(context, gru_kind, gru_step);
}

void rnn_rule(ShapeContext &context)
{
    recurrent_rule(context, rnn_kind);
}

void rnn(RunContext &context)
{
    run_recurrent(context, rnn_kind, rnn_step);
}

constexpr Op rows[] = {
    {"GRU", 3, 6, 2, gru_rule, gru},
    {"LSTM", 3, 8, 3, lstm_rule, lstm},
    {"RNN", 3, 6, 2, rnn_rule, rnn},
};

} // namespace

std::span<const Op> recurrent_ops()
{
    return rows;
}

} // namespace leat
