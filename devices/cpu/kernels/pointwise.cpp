#include "devices/cpu/team.h"
#include "elementwise.h"
#include "window.h"
#include "window_sums.h"

#include <algorithm>

namespace leat::cpu {
namespace {

/// A product of pixels and weights: 1x1 convolutions.
struct Product {
    int64_t pixels, ins, outs;
    int64_t step; ///< of the input, from one pixel to the next

    /// Pixels that stay in the second cache, with what is made of them.
    int64_t at_once() const
    {
        constexpr int64_t numbers = 48 * 1024, whole_tiles = 24; // of all sizes
        return std::max(2 * whole_tiles, numbers / (ins + outs) / whole_tiles * whole_tiles);
    }
};

/// 1x1 convolutions in f32.
class Pointwise final : public Kernel {
  public:
    Pointwise(const Product &product, Constant weights, std::vector<float> bias, bool added, UnaryStages stages,
              int threads)
        : p_(product), weights_(std::move(weights)), bias_(std::move(bias)), no_bias_(bias_.size(), 0.f), added_(added),
          bounds_(take_bounds(stages)), stages_(std::move(stages.stages)), threads_(threads)
    {
    }

    size_t scratch() const { return static_cast<size_t>(p_.ins) * sizeof(float *); }

    void prepare() override { weights_.tensor(); }

    void run(const Launch &launch) const override
    {
        const auto *in = reinterpret_cast<const float *>(launch.in[0]);
        auto *taps = reinterpret_cast<const float **>(launch.scratch);
        for (int64_t c = 0; c < p_.ins; c++)
            taps[c] = in + c;
        const Tensor weights = weights_.tensor();
        parallel_for(p_.pixels, threads_, [&](int64_t first, int64_t last) {
            for (int64_t at = first; at < last; at += p_.at_once())
                run_pixels(reinterpret_cast<float *>(launch.out[0]), taps, weights.data<float>(), at,
                           std::min(last, at + p_.at_once()));
        });
    }

  private:
    const Product p_;
    const Constant weights_;
    const std::vector<float> bias_, no_bias_;
    const bool added_; ///< to what the result holds
    const std::optional<std::array<float, 2>> bounds_;
    const std::vector<UnaryStage> stages_;
    const int threads_;

    /// In steps of so many channels that the weights of a tile stay in the second cache.
    void run_pixels(float *to, const float *const *taps, const float *weights, int64_t first, int64_t last) const
    {
        constexpr int64_t most = 1024;
        const int64_t steps = (p_.ins + most - 1) / most;
        for (int64_t i = 0; i < steps; i++) {
            const int64_t begin = p_.ins * i / steps, end = p_.ins * (i + 1) / steps;
            window_sums(to, {.taps = taps,
                             .count = p_.ins,
                             .first_tap = begin,
                             .last_tap = end,
                             .step = p_.step,
                             .weights = weights,
                             .bias = (i == 0 ? bias_ : no_bias_).data(),
                             .added = i > 0 || added_,
                             .bounds = i + 1 == steps ? bounds_ : std::nullopt,
                             .outs = p_.outs,
                             .stride = p_.outs,
                             .first = first,
                             .last = last});
        }
        float *made = to + first * p_.outs;
        for (const UnaryStage &stage : stages_)
            stage.apply(made, made, nullptr, false, (last - first) * p_.outs, stage.a, stage.b);
    }
};

bool is_pointwise(std::span<const WindowAxis> axes)
{
    return std::all_of(axes.begin(), axes.end(), [](const WindowAxis &axis) {
        return axis.kernel == 1 && axis.stride == 1 && axis.pad_begin == 0 && axis.output == axis.input;
    });
}

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

/// Whether the node's first post-op adds a tensor of the result's sizes, over which it can be made.
bool adds_tensor(const NodeFacts &facts)
{
    if (facts.node.post_ops.empty() || facts.node.post_ops[0].op->name != "Add")
        return false;
    const Operand &operand = facts.in[facts.node.inputs.size()];
    return operand.layout.dims == facts.out[0].dims && operand.layout.type == Type::f32 && !operand.constant;
}

} // namespace

Attempt attempt_pointwise(const NodeFacts &facts)
{
    if (auto fault = onednn::convolution_fault(facts); !fault.empty())
        return fault;
    if (facts.type(0) != Type::f32 || facts.attributes().integer("group", 1) != 1 ||
        !is_pointwise(windows_of(facts.attributes(), facts.dims(0), onednn::spatial(facts.dims(1)))))
        return "it is no f32 convolution of pixels";
    Layout in = facts.in[0].layout;
    std::optional<int64_t> step = step_of(in);
    if (!step) {
        in = Layout::channels_last(in.type, in.dims);
        step = in.dims[1];
    }
    const Product product{in.count() / in.dims[1], in.dims[1], facts.dims(1)[0], *step};
    if (product.pixels < window_pixels || product.outs <= window_channels)
        return "it has fewer than " + std::to_string(window_pixels) + " pixels, or channels";
    const bool added = adds_tensor(facts);
    UnaryStages stages = unary_stages(facts.node, added ? 1 : 0, Type::f32, false);
    Choice choice;
    choice.post_ops = stages.count + (added ? 1 : 0);
    if (choice.post_ops != facts.node.post_ops.size())
        return "it does not take all of the post-ops";
    const Layout out = Layout::channels_last(Type::f32, facts.out[0].dims);
    choice.in = {{0, in}};
    if (added) {
        choice.in_place = 1;
        choice.in.push_back({facts.node.inputs.size(), out});
    }
    choice.out = {out};
    choice.detail = facts.threads > 1 ? "in " + std::to_string(facts.threads) + " parts" : "";
    auto kernel = std::make_unique<Pointwise>(product, weights_in_groups(facts), bias_in_blocks(facts), added,
                                              std::move(stages), facts.threads);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

} // namespace leat::cpu
