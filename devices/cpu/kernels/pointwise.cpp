#include "convolution.h"
#include "devices/cpu/team.h"
#include "elementwise.h"
#include "post_ops.h"
#include "window.h"
#include "window_sums.h"

#include <algorithm>
#include <cstring>

namespace leat::cpu {
namespace {

/// Pixels of pictures that lie at other distances than one step: elements.
struct Pixels {
    int64_t pictures, height, width;
    int64_t picture, row, pixel; ///< from one to the next

    int64_t count() const { return pictures * height * width; }
    int64_t offset(int64_t i) const
    {
        return i / (height * width) * picture + i / width % height * row + i % width * pixel;
    }
};

/// A product of pixels and weights.
struct Product {
    Type type; ///< of what it reads: f32 or bf16
    int64_t pixels, ins, outs;
    int64_t step; ///< of the input, from one pixel to the next: elements; 0 for one pixel, which is read as many
    std::optional<Pixels> gathered{}; ///< are copied first, to lie one after the other

    int64_t element() const { return static_cast<int64_t>(size_of(type)); }
    /// Bytes, as many as tiles read.
    int64_t gathered_bytes() const
    {
        return gathered ? (std::max(pixels, window_pixels) * ins * element() + 63) / 64 * 64 : 0;
    }
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

    /// Bytes: where the numbers of a pixel lie, the pixels that are gathered, and for each thread what it makes as f32,
    /// when it becomes bf16 later.
    size_t scratch() const { return static_cast<size_t>(table() + p_.gathered_bytes() + threads_ * room()); }

    void prepare() override { weights_.tensor(); }

    void run(const Launch &launch) const override
    {
        const std::byte *in = p_.gathered ? launch.scratch + table() : launch.in[0];
        if (p_.gathered)
            gather(launch.scratch + table(), launch.in[0]);
        auto *taps = reinterpret_cast<const std::byte **>(launch.scratch);
        for (int64_t i = 0; i < p_.numbers(); i++)
            taps[i] = in + i * window_number;
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

    void gather(std::byte *to, const std::byte *from) const
    {
        const int64_t bytes = p_.ins * p_.element();
        parallel_for(p_.pixels, threads_, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++)
                std::memcpy(to + i * bytes, from + p_.gathered->offset(i) * p_.element(), static_cast<size_t>(bytes));
        });
    }

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
        std::byte *room = launch.scratch + table() + p_.gathered_bytes() + part * this->room();
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
    if (product.pixels < window_pixels)
        threads = 1;
    constexpr int64_t fewest_outs = 4; // of vectors of 16
    if (product.outs < fewest_outs && product.pixels >= window_pixels)
        return "it makes fewer than " + std::to_string(fewest_outs) + " channels";
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
    const auto axes = windows_of(facts.attributes(), facts.dims(0), onednn::spatial(facts.dims(1)));
    const bool pixels = std::all_of(axes.begin(), axes.end(), [](const WindowAxis &axis) {
        return axis.kernel == 1 && axis.pad_begin == 0 && axis.at(axis.output - 1, 0) < axis.input;
    });
    if (facts.attributes().integer("group", 1) != 1 || !pixels)
        return "it is no convolution of pixels";
    return type_fault(facts, facts.dims(0)[1]);
}

/// The pixels of `in`, whose channels lie side by side, that the convolution reads.
Pixels pixels_of(const Layout &in, std::span<const WindowAxis> axes)
{
    Pixels pixels{in.dims[0], 1, axes.back().output, in.strides[0], 0, in.strides.back() * axes.back().stride};
    if (axes.size() == 2) {
        pixels.height = axes[0].output;
        pixels.row = in.strides[2] * axes[0].stride;
    }
    return pixels;
}

Pixels in_one_row(int64_t count, int64_t step)
{
    return {1, 1, count, 0, 0, step};
}

/// Single pixels are read as many; few ones are gathered, for tiles read as many as they have, and so are those that do
/// not lie one after the other.
Product product_of(Type type, int64_t ins, int64_t outs, const Pixels &pixels, std::optional<int64_t> step)
{
    Product product{type, pixels.count(), ins, outs, pixels.count() > 1 ? step.value_or(0) : 0};
    if (product.pixels > 1 && (!step || product.pixels < window_pixels)) {
        product.gathered = pixels;
        product.step = product.ins;
    }
    return product;
}

/// A 1x1 convolution. `step`: from one pixel of `in` to the next, when they are read one after the other.
Attempt attempt_pixels(const NodeFacts &facts, const Slice &slice, std::optional<int64_t> step, int threads)
{
    if (!step && slice.axes.size() > 2)
        return "its pixels lie apart in three axes";
    Ending ending{facts.constant(2)};
    add_post_ops(ending, facts, 0);
    const Pixels pixels =
        step ? in_one_row(slice.in.count() / slice.in.dims[1], *step) : pixels_of(slice.in, slice.axes);
    const Product product = product_of(slice.in.type, slice.in.dims[1], facts.dims(1)[0], pixels, step);
    return attempt(facts, slice.in, product, window_weights(facts.dims(1)), std::move(ending), slice.out, threads);
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
    Slice whole = whole_convolution(facts);
    const Layout &in = facts.in[0].layout;
    if (in.strides[1] == 1 || in.dims[1] == 1)
        whole.in = in; // some channels of wider pixels, too
    return attempt_pixels(facts, whole, onednn::are_pixels(whole.axes) ? step_of(whole.in) : std::nullopt,
                          facts.threads);
}

Attempt attempt_pointwise(const NodeFacts &facts, const Slice &slice)
{
    if (auto fault = convolution_fault(facts); !fault.empty())
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
    add_post_ops(ending, facts, adds ? 1 : 0);
    const Layout in = Layout::dense(facts.type(0), facts.dims(0));
    if (in.count() == 0)
        return "it has no rows";
    const WindowWeights weights{outs, ins, 1, transposed ? ins : 1, transposed ? 1 : outs, 1};
    return attempt(facts, in, product_of(in.type, ins, outs, in_one_row(in.count() / ins, ins), ins), weights,
                   std::move(ending), facts.out[0], facts.threads);
}

} // namespace leat::cpu
