#include "convolution.h"
#include "devices/cpu/team.h"
#include "elementwise.h"
#include "post_ops.h"
#include "window.h"
#include "window_sums.h"

#include <algorithm>

namespace leat::cpu {
namespace {

/// A product of pixels and weights.
struct Product {
    Type type; ///< of what it reads: f32 or bf16
    int64_t pixels, ins, outs;
    int64_t step; ///< of the input, from one pixel to the next: elements; 0 for one pixel, which is read as many

    int64_t element() const { return static_cast<int64_t>(size_of(type)); }
    /// What window_sums() counts: pairs of bf16.
    int64_t numbers() const { return ins * element() / window_number; }
    /// Pixels that fit into so much of a cache, with what is made of them.
    int64_t pixels_of(int64_t bytes) const
    {
        constexpr int64_t whole_tiles = 24; // of all sizes
        return std::max(2 * whole_tiles, bytes / ((ins + outs) * element()) / whole_tiles * whole_tiles);
    }
};

/// Pixels, or rows of a matrix, times weights.
class Pointwise final : public Kernel {
  public:
    Pointwise(const Product &product, Constant weights, std::vector<float> bias, bool added, UnaryStages stages,
              int threads)
        : p_(product), weights_(std::move(weights)), bias_(std::move(bias)), no_bias_(bias_.size(), 0.f), added_(added),
          bounds_(take_bounds(stages)), stages_(std::move(stages.stages)), made_{stages.made},
          at_once_(p_.pixels_of(narrows() ? 32 * 1024 : 192 * 1024)), threads_(threads)
    {
    }

    /// Bytes: where the numbers of a pixel lie, and for each thread what it makes as f32, when it becomes bf16 later.
    size_t scratch() const { return static_cast<size_t>(table() + threads_ * room()); }

    void prepare() override { weights_.tensor(); }

    void run(const Launch &launch) const override
    {
        auto *taps = reinterpret_cast<const std::byte **>(launch.scratch);
        for (int64_t i = 0; i < p_.numbers(); i++)
            taps[i] = launch.in[0] + i * window_number;
        parallel_for(threads_, threads_, [&](int64_t first, int64_t last) {
            for (int64_t part = first; part < last; part++)
                run_part(launch, part);
        });
    }

  private:
    const Product p_;
    const Constant weights_;
    const std::vector<float> bias_, no_bias_;
    const bool added_; ///< to what the result holds
    const std::optional<std::array<float, 2>> bounds_;
    const std::vector<UnaryStage> stages_;
    const Floats made_;
    const int64_t at_once_; ///< pixels
    const int threads_;

    int64_t table() const { return (p_.numbers() * static_cast<int64_t>(sizeof(std::byte *)) + 63) / 64 * 64; }
    bool narrows() const { return made_.type != Type::f32 && !stages_.empty(); }
    int64_t room() const { return narrows() ? (at_once_ * p_.outs * window_number + 63) / 64 * 64 : 0; }

    void run_part(const Launch &launch, int64_t part) const
    {
        const Tensor weights = weights_.tensor();
        WindowSums w{.taps = reinterpret_cast<const std::byte *const *>(launch.scratch),
                     .count = p_.numbers(),
                     .step = p_.step * p_.element(),
                     .weights = weights.raw(),
                     .outs = p_.outs,
                     .made = narrows() ? Type::f32 : made_.type};
        w.stride = p_.outs * static_cast<int64_t>(size_of(w.made));
        std::byte *room = launch.scratch + table() + part * this->room();
        const int64_t end = p_.pixels * (part + 1) / threads_;
        for (w.first = p_.pixels * part / threads_; w.first < end; w.first = w.last) {
            w.last = std::min(end, w.first + at_once_);
            std::byte *out = launch.out[0] + w.first * p_.outs * made_.element();
            std::byte *sums = narrows() ? room : out;
            const int64_t count = (w.last - w.first) * p_.outs;
            if (narrows() && added_)
                vector_widen(reinterpret_cast<float *>(room), out, count);
            sum(sums - w.first * w.stride, w);
            for (const UnaryStage &stage : stages_)
                stage.apply(reinterpret_cast<float *>(sums), reinterpret_cast<float *>(sums), nullptr, false, count,
                            stage.a, stage.b);
            if (narrows())
                vector_narrow(out, reinterpret_cast<float *>(sums), count);
        }
    }

    /// f32 in steps of so many channels that the weights of a tile stay in the second cache; the sums of bf16 are not
    /// rounded in between.
    void sum(std::byte *to, WindowSums w) const
    {
        constexpr int64_t most = 1024;
        const int64_t steps = p_.type == Type::f32 ? (p_.ins + most - 1) / most : 1;
        for (int64_t i = 0; i < steps; i++) {
            w.first_tap = w.count * i / steps;
            w.last_tap = w.count * (i + 1) / steps;
            w.bias = (i == 0 ? bias_ : no_bias_).data();
            w.added = i > 0 || added_;
            w.bounds = i + 1 == steps ? bounds_ : std::nullopt;
            (p_.type == Type::f32 ? window_sums : window_sums_bf16)(to, w);
        }
    }
};

/// The distance between pixels that lie one after the other, whatever else lies between; nothing when they do not.
std::optional<int64_t> step_of(const Layout &in)
{
    if (in.strides[1] != 1 && in.dims[1] != 1)
        return std::nullopt;
    std::optional<int64_t> step;
    int64_t next = 0;
    for (size_t axis = in.rank(); axis-- > 0;) {
        if (axis == 1 || in.dims[axis] == 1)
            continue;
        if (!step)
            step = in.strides[axis];
        else if (in.strides[axis] != next)
            return std::nullopt;
        next = in.strides[axis] * in.dims[axis];
    }
    return step;
}

/// What becomes of the sums.
struct Ending {
    const Tensor *bias;
    std::optional<size_t> added{}; ///< operand: a tensor of the result's sizes, over which it can be made
    UnaryStages stages{};
    size_t post_ops = 0;
};

/// The post-ops after the first `done`, which `ending` has.
void add_post_ops(Ending &ending, const NodeFacts &facts, size_t done)
{
    const size_t operand = facts.node.inputs.size() + done;
    if (done < facts.node.post_ops.size() && facts.node.post_ops[done].op->name == "Add") {
        const Operand &added = facts.in[operand];
        if (added.layout.dims == facts.out[0].dims && added.layout.type == facts.out[0].type && !added.constant) {
            ending.added = operand;
            done++;
        }
    }
    ending.stages = unary_stages(facts.node, done, facts.type(0), true);
    ending.post_ops = done + ending.stages.count;
}

std::string type_fault(const NodeFacts &facts, int64_t ins)
{
    if (facts.type(0) != Type::bf16)
        return "";
    if (!has_window_sums_bf16())
        return "this processor does not multiply pairs of bf16";
    if (onednn::has_tiles())
        return "oneDNN multiplies bf16 in tiles";
    return ins % 2 != 0 ? "its channels are no pairs" : "";
}

/// `out` and, in facts.out, what is added have the same places.
Attempt attempt(const NodeFacts &facts, const Layout &in, const Product &product, const WindowWeights &weights,
                Ending ending, const Layout &out, int threads)
{
    if ((product.pixels < window_pixels && product.step != 0) || product.outs <= window_channels)
        return "it has fewer than " + std::to_string(window_pixels) + " pixels, or channels";
    const Type made = ending.stages.made;
    if (ending.post_ops != facts.node.post_ops.size() || (ending.added && made != facts.out[0].type))
        return "it does not take all of the post-ops";
    Choice choice;
    choice.post_ops = ending.post_ops;
    choice.in = {{0, in}};
    choice.out = {onednn::typed(out, made)};
    if (ending.added) {
        choice.in_place = 1;
        choice.in.push_back({*ending.added, choice.out[0]});
    }
    choice.detail = threads > 1 ? "in " + std::to_string(threads) + " parts" : "";
    auto kernel = std::make_unique<Pointwise>(product, weights_in_groups(facts.weights, *facts.constant(1), weights),
                                              bias_in_blocks(ending.bias, product.outs), ending.added.has_value(),
                                              std::move(ending.stages), threads);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

std::string convolution_fault(const NodeFacts &facts)
{
    if (auto fault = onednn::convolution_fault(facts); !fault.empty())
        return fault;
    if (facts.attributes().integer("group", 1) != 1 ||
        !onednn::are_pixels(windows_of(facts.attributes(), facts.dims(0), onednn::spatial(facts.dims(1)))))
        return "it is no convolution of pixels";
    return type_fault(facts, facts.dims(0)[1]);
}

/// A 1x1 convolution. `step`: from one pixel of `in` to the next.
Attempt attempt_pixels(const NodeFacts &facts, const Layout &in, int64_t step, const Layout &out, int threads)
{
    Ending ending{facts.constant(2)};
    add_post_ops(ending, facts, 0);
    const int64_t pixels = in.count() / in.dims[1];
    return attempt(facts, in, {in.type, pixels, in.dims[1], facts.dims(1)[0], pixels == 1 ? 0 : step},
                   window_weights(facts.dims(1)), std::move(ending), out, pixels == 1 ? 1 : threads);
}

/// Whether the first post-op adds a constant to each column.
bool adds_constant(const NodeFacts &facts, int64_t columns)
{
    if (facts.node.post_ops.empty() || facts.node.post_ops[0].op->name != "Add")
        return false;
    const Tensor *constant = facts.in[facts.node.inputs.size()].constant;
    return constant && constant->type() == Type::f32 && static_cast<int64_t>(constant->count()) == columns &&
           constant->rank() > 0 && constant->shape().back() == columns;
}

} // namespace

Attempt attempt_pointwise(const NodeFacts &facts)
{
    if (auto fault = convolution_fault(facts); !fault.empty())
        return fault;
    const Layout &in = facts.in[0].layout, last = Layout::channels_last(in.type, in.dims);
    const Layout out = Layout::channels_last(facts.out[0].type, facts.out[0].dims);
    const auto step = step_of(in);
    return attempt_pixels(facts, step ? in : last, step.value_or(in.dims[1]), out, facts.threads);
}

Attempt attempt_pointwise(const NodeFacts &facts, const Slice &slice)
{
    if (auto fault = convolution_fault(facts); !fault.empty())
        return fault;
    return attempt_pixels(facts, slice.in, slice.in.dims[1], slice.out, 1);
}

Attempt attempt_rows(const NodeFacts &facts)
{
    const bool gemm = facts.node.op->name == "Gemm", transposed = gemm && facts.attributes().integer("transB", 0) != 0;
    if (!is_float(facts.type(0)) || facts.type(1) != facts.type(0) || !facts.constant(1) || facts.dims(1).size() != 2)
        return "its weights are no constant matrix of floats";
    if (gemm && (facts.attributes().integer("transA", 0) != 0 || facts.attributes().number("alpha", 1) != 1.f ||
                 facts.attributes().number("beta", 1) != 1.f))
        return "its operands are transposed or scaled";
    const int64_t ins = facts.dims(1)[transposed ? 1 : 0], outs = facts.dims(1)[transposed ? 0 : 1];
    if (auto fault = type_fault(facts, ins); !fault.empty())
        return fault;
    const Tensor *bias = facts.constant(2);
    if (facts.has(2) && (!bias || bias->type() != Type::f32 || static_cast<int64_t>(bias->count()) != outs ||
                         bias->shape().back() != outs))
        return "what it adds is not one constant a column";
    Ending ending{bias};
    const bool adds = !bias && adds_constant(facts, outs);
    if (adds)
        ending.bias = facts.in[facts.node.inputs.size()].constant;
    add_post_ops(ending, facts, adds ? 1 : 0);
    const Layout in = Layout::dense(facts.type(0), facts.dims(0));
    if (in.count() == 0)
        return "it has no rows";
    const WindowWeights weights{outs, ins, 1, transposed ? ins : 1, transposed ? 1 : outs, 1};
    return attempt(facts, in, {in.type, in.count() / ins, ins, outs, ins}, weights, std::move(ending), facts.out[0],
                   facts.threads);
}

} // namespace leat::cpu
