#include "devices/cpu/kernel.h"
#include "vector_functions.h"

#include <algorithm>
#include <cstring>

namespace leat::cpu {
namespace {

struct Sizes {
    int64_t steps, batch, input, hidden, directions;
};

/// LSTM with the usual gates (input, output, forget, cell) and activations. Products with a vector are sums of scaled
/// rows of the transposed weights.
class Lstm final : public Kernel {
  public:
    enum Input { x, initial_h, initial_c };
    /// `weights` [directions, input + hidden, 4 hidden], `bias` [directions, 4 hidden]. `given`: which of enum Input
    /// the launch brings, in that order. `wanted`: which outputs are present.
    Lstm(Sizes sizes, bool first_backwards, Tensor weights, Tensor bias, std::vector<Input> given,
         std::vector<bool> wanted)
        : sizes_(sizes), first_backwards_(first_backwards), weights_(std::move(weights)), bias_(std::move(bias)),
          given_(std::move(given)), wanted_(std::move(wanted))
    {
    }

    void run(const Launch &launch) const override
    {
        const int64_t hidden = sizes_.hidden;
        std::vector<float> gates(static_cast<size_t>(4 * hidden)), h(static_cast<size_t>(hidden)), c(h);
        for (int64_t d = 0; d < sizes_.directions; d++)
            for (int64_t b = 0; b < sizes_.batch; b++) {
                const int64_t state = (d * sizes_.batch + b) * hidden;
                begin(h, given(launch, initial_h), state);
                begin(c, given(launch, initial_c), state);
                for (int64_t turn = 0; turn < sizes_.steps; turn++) {
                    const int64_t t = (d == 1 || first_backwards_) ? sizes_.steps - 1 - turn : turn;
                    step(d, given(launch, x) + (t * sizes_.batch + b) * sizes_.input, gates, h, c);
                    write(launch, 0, h, ((t * sizes_.directions + d) * sizes_.batch + b) * hidden);
                }
                write(launch, 1, h, state);
                write(launch, 2, c, state);
            }
    }

  private:
    Sizes sizes_;
    bool first_backwards_;
    Tensor weights_, bias_;
    std::vector<Input> given_;
    std::vector<bool> wanted_;
    Apply add_scaled_ = vector_function(Function::add_scaled), sigmoid_ = vector_function(Function::sigmoid),
          tanh_ = vector_function(Function::tanh), mul_ = vector_function(Function::mul),
          add_ = vector_function(Function::add);

    const float *given(const Launch &launch, Input input) const
    {
        const auto found = std::find(given_.begin(), given_.end(), input);
        return found == given_.end()
                   ? nullptr
                   : reinterpret_cast<const float *>(launch.in[static_cast<size_t>(found - given_.begin())]);
    }

    static void begin(std::vector<float> &state, const float *from, int64_t offset)
    {
        if (from)
            std::copy_n(from + offset, state.size(), state.begin());
        else
            std::fill(state.begin(), state.end(), 0.f);
    }

    void write(const Launch &launch, size_t output, const std::vector<float> &from, int64_t offset) const
    {
        if (wanted_[output])
            std::copy(from.begin(), from.end(), reinterpret_cast<float *>(launch.out[output]) + offset);
    }

    void add_product(float *gates, const float *rows, const float *factors, int64_t count) const
    {
        const int64_t width = 4 * sizes_.hidden;
        for (int64_t i = 0; i < count; i++)
            add_scaled_(gates, gates, rows + i * width, false, width, factors[i], 0);
    }

    void step(int64_t direction, const float *in, std::vector<float> &gates, std::vector<float> &h,
              std::vector<float> &c) const
    {
        const int64_t n = sizes_.hidden;
        const float *rows = weights_.data<float>() + direction * (sizes_.input + n) * 4 * n;
        float *g = gates.data(), *input = g, *output = g + n, *forget = g + 2 * n, *cell = g + 3 * n;
        std::copy_n(bias_.data<float>() + direction * 4 * n, 4 * n, g);
        add_product(g, rows, in, sizes_.input);
        add_product(g, rows + sizes_.input * 4 * n, h.data(), n);
        sigmoid_(g, g, nullptr, false, 3 * n, 0, 0);
        tanh_(cell, cell, nullptr, false, n, 0, 0);
        mul_(c.data(), c.data(), forget, false, n, 0, 0);
        mul_(cell, cell, input, false, n, 0, 0);
        add_(c.data(), c.data(), cell, false, n, 0, 0);
        tanh_(h.data(), c.data(), nullptr, false, n, 0, 0);
        mul_(h.data(), h.data(), output, false, n, 0, 0);
    }
};

/// W [directions, 4 hidden, input] and R [directions, 4 hidden, hidden], each direction transposed, one below the
/// other.
Tensor transposed(const Tensor &w, const Tensor &r, Sizes s)
{
    const int64_t gates = 4 * s.hidden, rows = s.input + s.hidden;
    Tensor result(Type::f32, {s.directions, rows, gates});
    float *to = result.data<float>();
    for (int64_t d = 0; d < s.directions; d++)
        for (int64_t row = 0; row < rows; row++)
            for (int64_t gate = 0; gate < gates; gate++)
                *to++ = row < s.input ? w.data<float>()[(d * gates + gate) * s.input + row]
                                      : r.data<float>()[(d * gates + gate) * s.hidden + row - s.input];
    return result;
}

/// B holds the biases of W and of R, which only ever occur as their sum.
Tensor summed(const Tensor *b, Sizes s)
{
    const int64_t gates = 4 * s.hidden;
    Tensor result(Type::f32, {s.directions, gates});
    for (int64_t d = 0; d < s.directions; d++)
        for (int64_t i = 0; i < gates; i++)
            result.data<float>()[d * gates + i] =
                b ? b->data<float>()[d * 2 * gates + i] + b->data<float>()[(d * 2 + 1) * gates + i] : 0.f;
    return result;
}

bool has_usual_activations(const Attributes &attributes)
{
    const std::string names = attributes.text("activations", "");
    return names.empty() || names == "Sigmoid,Tanh,Tanh" || names == "Sigmoid,Tanh,Tanh,Sigmoid,Tanh,Tanh";
}

std::string lstm_fault(const NodeFacts &facts)
{
    enum : size_t { w = 1, r = 2, b = 3, lengths = 4, peepholes = 7 };
    const Attributes &attributes = facts.attributes();
    if (facts.type(0) != Type::f32)
        return "not f32";
    if (!facts.constant(w) || !facts.constant(r) || (facts.has(b) && !facts.constant(b)))
        return "its weights are computed";
    if (facts.has(lengths) || facts.has(peepholes))
        return "it has lengths of sequences or peepholes";
    if (attributes.has("clip") || attributes.integer("input_forget", 0) != 0 || attributes.integer("layout", 0) != 0 ||
        !has_usual_activations(attributes))
        return "it has other gates or another layout than the usual ones";
    return "";
}

} // namespace

Attempt attempt_lstm(const NodeFacts &facts)
{
    if (auto fault = lstm_fault(facts); !fault.empty())
        return fault;
    const Tensor &w = *facts.constant(1), &r = *facts.constant(2);
    const Shape &in = facts.dims(0);
    const Sizes sizes{in[0], in[1], in[2], r.dim(2), r.dim(0)};
    Choice choice;
    std::vector<Lstm::Input> given{Lstm::x};
    choice.in = {{0, Layout::dense(Type::f32, in)}};
    for (const auto &[input, kind] : {std::pair{size_t(5), Lstm::initial_h}, std::pair{size_t(6), Lstm::initial_c}})
        if (facts.has(input)) {
            given.push_back(kind);
            choice.in.push_back({input, Layout::dense(Type::f32, facts.dims(input))});
        }
    choice.out = facts.out;
    std::vector<bool> wanted(3, false);
    for (size_t i = 0; i < facts.out.size(); i++)
        wanted[i] = facts.out[i].type != Type::undefined;
    choice.kernel = std::make_unique<Lstm>(sizes, facts.attributes().text("direction", "forward") == "reverse",
                                           transposed(w, r, sizes), summed(facts.constant(3), sizes), std::move(given),
                                           std::move(wanted));
    return choice;
}

} // namespace leat::cpu
