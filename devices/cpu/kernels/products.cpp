#include "convolution.h"
#include "devices/cpu/team.h"
#include "elementwise.h"
#include "pixels.h"
#include "post_ops.h"
#include "window.h"
#include "window_sums.h"

#include <algorithm>

namespace leat::cpu {
namespace {

/// Rows times weights.
class Products final : public Kernel {
  public:
    /// `step`: from one row of the result to the next: elements.
    Products(const Product &product, int64_t step, Constant weights, std::vector<float> bias, bool added,
             std::vector<float> slopes, UnaryStages stages, int threads)
        : p_(product), step_(step), weights_(std::move(weights)), bias_(std::move(bias)), no_bias_(bias_.size(), 0.f),
          added_(added), slopes_(std::move(slopes)), bounds_(take_bounds(stages)),
          stages_(std::move(stages.stages)), made_{stages.made},
          by_channels_(threads > 1 && weights_outweigh_rows(threads)),
          at_once_(p_.rows_at_once((moves() ? 32 : 192) * 1024, p_.element(), by_channels_ ? 1 : threads)),
          threads_(threads)
    {
    }

    /// Bytes, for each thread: where the numbers of a row lie, rows that are gathered, and what it makes as f32, when
    /// it goes elsewhere later.
    size_t scratch() const { return static_cast<size_t>(threads_ * (table() + gathered() + room())); }

    void prepare() override { weights_.tensor(); }

    void run(const Launch &launch) const override
    {
        parallel_parts(threads_, [&](int64_t part) { run_part(launch, part); });
    }

  private:
    const Product p_;
    const int64_t step_;
    const Constant weights_;
    const std::vector<float> bias_, no_bias_;
    const bool added_;                ///< to what the result holds
    const std::vector<float> slopes_; ///< see WindowSums; empty: none
    const std::optional<std::array<float, 2>> bounds_;
    const std::vector<UnaryStage> stages_;
    const Floats made_;
    const bool by_channels_; ///< each thread makes some channels of all rows, else all of some rows
    const int64_t at_once_;  ///< rows
    const int threads_;

    int64_t table() const { return in_lines(p_.numbers() * static_cast<int64_t>(sizeof(std::byte *))); }
    /// Whether what becomes bf16, or lies apart, only then is made elsewhere first: sums in f32, and what functions run
    /// over.
    bool moves() const
    {
        const bool narrows = made_.type != Type::f32;
        return (narrows && p_.type == Type::f32) || ((narrows || step_ != p_.outs) && !stages_.empty());
    }
    /// Whether it is better to read all rows in each thread than all weights. Functions run over whole rows.
    bool weights_outweigh_rows(int threads) const
    {
        const int64_t groups = WindowGroups(p_.outs).groups;
        constexpr int64_t even_enough = 8; // groups for each thread
        return p_.outs > p_.rows && !p_.gathered && stages_.empty() && !moves() &&
               (groups % threads == 0 || groups >= even_enough * threads);
    }
    int64_t room() const { return moves() ? in_lines(at_once_ * p_.outs * window_number) : 0; }
    int64_t gathered() const { return p_.gathered_bytes(at_once_); }

    void run_part(const Launch &launch, int64_t part) const
    {
        std::byte *scratch = launch.scratch + part * (table() + gathered() + room());
        std::byte *rows = scratch + table(), *room = rows + gathered();
        auto *taps = reinterpret_cast<const std::byte **>(scratch);
        p_.find_taps(taps, p_.gathered ? rows : launch.in[0]);
        const Tensor weights = weights_.tensor();
        WindowSums w{.taps = taps,
                     .count = p_.numbers(),
                     .side_by_side = true,
                     .step = p_.step * p_.element(),
                     .weights = weights.raw(),
                     .outs = p_.outs,
                     .made = moves() ? Type::f32 : made_.type};
        w.stride = (moves() ? p_.outs : step_) * static_cast<int64_t>(size_of(w.made));
        const int64_t groups = WindowGroups(p_.outs).groups;
        if (by_channels_) {
            w.first_group = groups * part / threads_;
            w.last_group = groups * (part + 1) / threads_;
        }
        const int64_t begin = by_channels_ ? 0 : p_.rows * part / threads_;
        const int64_t end = by_channels_ ? p_.rows : p_.rows * (part + 1) / threads_;
        for (int64_t first = begin, last = first; first < end; first = last) {
            last = std::min(end, first + at_once_);
            std::byte *out = launch.out[0] + first * step_ * made_.element();
            std::byte *sums = moves() ? room : out;
            const int64_t count = (last - first) * p_.outs;
            if (moves() && added_)
                vector_widen(reinterpret_cast<float *>(room), out, count);
            w.first = p_.gathered ? 0 : first;
            w.last = w.first + last - first;
            if (p_.gathered)
                p_.gather(rows, launch.in[0], first, last);
            sum(sums - w.first * w.stride, w);
            for (const UnaryStage &stage : stages_)
                stage.apply(reinterpret_cast<float *>(sums), reinterpret_cast<float *>(sums), nullptr, false, count,
                            stage.a, stage.b);
            if (moves())
                made_.write_rows(out, step_, reinterpret_cast<float *>(room), last - first, p_.outs);
        }
    }

    /// f32 in steps of so many numbers that the weights of a tile stay in the second cache; the sums of bf16 are not
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
            const bool is_last = i + 1 == steps;
            w.slopes = is_last && !slopes_.empty() ? slopes_.data() : nullptr;
            w.bounds = is_last ? bounds_ : std::nullopt;
            (p_.type == Type::f32 ? window_sums : window_sums_bf16)(to, w);
        }
    }
};

/// What becomes of the sums.
struct Ending {
    const Tensor *bias;
    std::optional<size_t> added{}; ///< operand: a tensor of the result's sizes, over which it can be made
    std::vector<float> slopes{};   ///< of a PRelu, one for each channel; empty: none
    UnaryStages stages{};
    size_t post_ops = 0;
};

/// The post-ops after the first `done`, which `ending` has. `axis`: of the output's channels.
void add_post_ops(Ending &ending, const NodeFacts &facts, size_t done, size_t axis)
{
    const auto &posts = facts.node.post_ops;
    size_t operand = facts.node.inputs.size() + done;
    const auto next_is = [&](const char *name) { return done < posts.size() && posts[done].op->name == name; };
    if (next_is("Add")) {
        const Operand &added = facts.in[operand];
        if (added.layout.dims == facts.out[0].dims && added.layout.type == facts.out[0].type && !added.constant) {
            ending.added = operand++;
            done++;
        }
    }
    if (next_is("PRelu"))
        if (auto slopes = numbers_by_channel(facts.in[operand], facts.out[0].dims, axis)) {
            ending.slopes = in_blocks(*slopes);
            done++;
        }
    ending.stages = unary_stages(facts.node, done, facts.type(0), true);
    ending.post_ops = done + ending.stages.count;
}

std::string type_fault(const NodeFacts &facts, int64_t ins)
{
    if (auto fault = window_sums_fault(facts.type(0)); !fault.empty())
        return fault;
    return facts.type(0) != Type::f32 && ins % 2 != 0 ? "its channels are no pairs" : "";
}

/// `out` and, in facts.out, what is added have the same places.
/// `step`: from one row of `out` to the next: elements.
Attempt attempt(const NodeFacts &facts, const Layout &in, const Product &product, const WindowWeights &weights,
                Ending ending, const Layout &out, int64_t step, int threads)
{
    if (product.rows < window_pixels)
        threads = 1;
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
    choice.detail = detail_of(in.type, threads);
    auto kernel =
        std::make_unique<Products>(product, step, weights_in_groups(facts.weights, *facts.constant(1), weights),
                                   bias_in_blocks(ending.bias, product.outs), ending.added.has_value(),
                                   std::move(ending.slopes), std::move(ending.stages), threads);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

/// A 1x1 convolution. `step`: from one pixel to the next; absent when they do not lie one after the other.
Attempt attempt_pixels(const NodeFacts &facts, const Slice &slice, std::optional<int64_t> step, int threads)
{
    Ending ending{facts.constant(2)};
    add_post_ops(ending, facts, 0, 1);
    if (!step && slice.axes.size() > 2)
        return "its pixels lie apart on three axes";
    const int64_t outs = facts.dims(1)[0];
    const Product product = product_of_pixels(slice.in, slice.axes, outs, step);
    // What is added to lies where the result will.
    const Layout &out = ending.added || !facts.part ? slice.out : *facts.part;
    return attempt(facts, slice.in, product, window_weights(facts.dims(1)), std::move(ending), out,
                   step_of(out).value_or(outs), threads);
}

std::string fault_of(const NodeFacts &facts)
{
    if (auto fault = onednn::convolution_fault(facts); !fault.empty())
        return fault;
    const Shape &weights = facts.dims(1);
    if (facts.attributes().integer("group", 1) != 1 || count_of(weights) != weights[0] * weights[1])
        return "it is no convolution of pixels";
    return type_fault(facts, facts.dims(0)[1]);
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
    if (auto fault = fault_of(facts); !fault.empty())
        return fault;
    Slice whole = whole_convolution(facts);
    const Layout &in = facts.in[0].layout;
    if (in.strides[1] == 1 || in.dims[1] == 1)
        whole.in = in; // some channels of wider pixels, too
    return attempt_pixels(facts, whole, onednn::are_pixels(whole.axes) ? step_of(whole.in) : std::nullopt,
                          facts.threads);
}

Attempt attempt_pointwise(const NodeFacts &facts, const Slice &slice)
{
    if (auto fault = fault_of(facts); !fault.empty())
        return fault;
    return attempt_pixels(facts, slice, slice.in.dims[1], 1);
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
    add_post_ops(ending, facts, adds ? 1 : 0, facts.out[0].rank() - 1);
    const Layout in = Layout::dense(facts.type(0), facts.dims(0));
    if (in.count() == 0)
        return "it has no rows";
    const WindowWeights weights{outs, ins, 1, transposed ? ins : 1, transposed ? 1 : outs, 1};
    return attempt(facts, in, product_of_rows(in.type, in.count() / ins, ins, outs, ins), weights, std::move(ending),
                   facts.out[0], outs, facts.threads);
}

} // namespace leat::cpu
