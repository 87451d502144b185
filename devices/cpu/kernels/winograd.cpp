#include "elementwise.h"
#include "post_ops.h"
#include "slices.h"
#include "window.h"
#include "winograd_tiles.h"

#include <algorithm>

namespace leat::cpu {
namespace {

using namespace onednn;
using Argument = PrimitiveKernel::Argument;

/// Pictures in tiles, which are numbered over all pictures, row by row.
class Tiling {
  public:
    int64_t batch, ins, outs;
    WindowAxis y, x;

    int64_t rows() const { return (y.output + winograd_out - 1) / winograd_out; }
    int64_t columns() const { return (x.output + winograd_out - 1) / winograd_out; }
    int64_t tiles() const { return batch * rows() * columns(); }
    /// The channels of the result as the product makes them, in whole vectors.
    int64_t wide_outs() const { return (outs + winograd_channels - 1) / winograd_channels * winograd_channels; }
    int64_t weight_bytes() const { return winograd_points * ins * wide_outs() * 4; }
    int64_t bytes(int64_t block) const { return winograd_points * block * (ins + wide_outs()) * 4; }
    /// Tiles of one block: the products of all points of a block are one batched matrix product. Each block reads all
    /// weights, and a large one writes and reads its tiles in the third cache; the product wants some rows.
    int64_t block() const
    {
        constexpr int64_t rows_wanted = 16;
        const int64_t most = std::max<int64_t>(1, tiles() / rows_wanted);
        int64_t best = 1;
        for (int64_t blocks = 2; blocks <= most; blocks++)
            if (memory_nanoseconds(blocks) < memory_nanoseconds(best))
                best = blocks;
        return (tiles() + best - 1) / best;
    }

  private:
    /// To move weights and tiles, with bytes in each nanosecond as a core of a server reaches them; only the ratios
    /// count.
    double memory_nanoseconds(int64_t blocks) const
    {
        constexpr int64_t second_cache = 640 * 1024, third_cache = 16 << 20;
        auto speed = [](int64_t bytes) { return bytes <= second_cache ? 80. : bytes <= third_cache ? 25. : 12.; };
        const int64_t block = bytes((tiles() + blocks - 1) / blocks), weights = weight_bytes();
        return static_cast<double>(blocks * weights) / speed(weights) +
               static_cast<double>(2 * block * blocks) / speed(block);
    }
};

Tiling tiling_of(const Slice &slice)
{
    return {slice.in.dims[0], slice.in.dims[1], slice.out.dims[1], slice.axes[0], slice.axes[1]};
}

/// 3x3 convolutions as products of transformed tiles, block by block.
class Winograd final : public Kernel {
  public:
    Winograd(const Tiling &tiling, std::unique_ptr<Kernel> product, Tensor bias, std::vector<UnaryStage> stages)
        : t_(tiling), block_(tiling.block()), product_(std::move(product)), bias_(std::move(bias)),
          stages_(std::move(stages))
    {
    }

    /// Bytes for the transformed tiles of a block, before and after the product.
    static size_t source_bytes(const Tiling &t) { return bytes(t.block() * t.ins); }
    static size_t result_bytes(const Tiling &t) { return bytes(t.block() * t.wide_outs()); }

    void prepare() override { product_->prepare(); }

    void run(const Launch &launch) const override
    {
        const auto *in = reinterpret_cast<const float *>(launch.in[0]);
        auto *out = reinterpret_cast<float *>(launch.out[0]);
        const std::byte *source = launch.scratch;
        std::byte *result = launch.scratch + source_bytes(t_);
        for (int64_t first = 0; first < t_.tiles(); first += block_) {
            for (int64_t i = 0; i < block_; i++)
                read(in, std::min(first + i, t_.tiles() - 1), reinterpret_cast<float *>(launch.scratch) + i * t_.ins);
            product_->run({{&source, 1}, {&result, 1}, result + result_bytes(t_), launch.kept, {}});
            for (int64_t i = 0; i < std::min(block_, t_.tiles() - first); i++)
                write(out, first + i, reinterpret_cast<const float *>(result) + i * t_.wide_outs());
        }
    }

  private:
    const Tiling t_;
    const int64_t block_;
    std::unique_ptr<Kernel> product_;
    Tensor bias_;
    std::vector<UnaryStage> stages_;

    static size_t bytes(int64_t numbers) { return static_cast<size_t>(winograd_points * numbers) * sizeof(float); }

    struct Position {
        int64_t picture, y, x; ///< the first pixel of the tile of the result
    };
    Position position(int64_t tile) const
    {
        const int64_t column = tile % t_.columns(), row = tile / t_.columns() % t_.rows();
        return {tile / t_.columns() / t_.rows(), row * winograd_out, column * winograd_out};
    }

    void read(const float *in, int64_t tile, float *to) const
    {
        const Position at = position(tile);
        const int64_t y = t_.y.at(at.y, 0), x = t_.x.at(at.x, 0);
        const int64_t offset = ((at.picture * t_.y.input + y) * t_.x.input + x) * t_.ins;
        winograd_input(to, block_ * t_.ins, in + offset, t_.x.input * t_.ins, t_.ins, {-y, t_.y.input - y},
                       {-x, t_.x.input - x});
    }

    void write(float *out, int64_t tile, const float *from) const
    {
        const Position at = position(tile);
        const int64_t rows = std::min(winograd_out, t_.y.output - at.y);
        const int64_t columns = std::min(winograd_out, t_.x.output - at.x), stride = t_.x.output * t_.outs;
        float *to = out + ((at.picture * t_.y.output + at.y) * t_.x.output + at.x) * t_.outs;
        winograd_output(to, stride, rows, columns, from, block_ * t_.wide_outs(), t_.outs,
                        bias_ ? bias_.data<float>() : nullptr);
        for (int64_t y = 0; y < rows; y++)
            for (const UnaryStage &stage : stages_)
                stage.apply(to + y * stride, to + y * stride, nullptr, false, columns * t_.outs, stage.a, stage.b);
    }
};

/// The filters' points as a matrix of in by out channels for each point, with zeros for channels beyond the last, in
/// the format of `to`. Some input channels at a time: memory that is used again need not be cleared again by the
/// system.
void transform(const Tensor &filters, int64_t wide_outs, std::byte *target, const Desc &to)
{
    const int64_t outs = filters.dim(0), ins = filters.dim(1);
    constexpr int64_t together = 64;
    const int64_t block = ins % together == 0 ? together : ins;
    const Layout points = Layout::dense(Type::f32, {winograd_points, block, wide_outs});
    Tensor part(Type::f32, points.dims);
    std::ranges::fill(part.values<float>(), 0.f);
    for (int64_t first = 0; first < ins; first += block) {
        for (int64_t i = 0; i < block; i++)
            winograd_filters(part.data<float>() + i * wide_outs, block * wide_outs,
                             filters.data<float>() + (first + i) * 9, ins * 9, outs);
        reorder(part.raw(), desc(points), target,
                block == ins ? to : to.submemory_desc(points.dims, {0, first, 0}));
    }
}

Choice convolve(const NodeFacts &facts, const Slice &slice)
{
    const Tiling t = tiling_of(slice);
    const Layout weights = Layout::dense(Type::f32, {winograd_points, t.ins, t.wide_outs()});
    const Desc source = desc(Layout::dense(Type::f32, {winograd_points, t.block(), t.ins}));
    const Desc result = desc(Layout::dense(Type::f32, {winograd_points, t.block(), t.wide_outs()}));
    const Made made = matmul(source, any(Type::f32, weights.dims), Desc(), result, attributes());
    const Constant constant =
        in_form(facts.weights, *facts.constant(1), "winograd " + form_of(made.weights), made.weights,
                [filters = *facts.constant(1), outs = t.wide_outs(), to = made.weights](std::byte *target) {
                    transform(filters, outs, target, to);
                });
    std::vector<Argument> arguments{{DNNL_ARG_SRC, source, Argument::From::in},
                                    {DNNL_ARG_WEIGHTS, made.weights, Argument::From::constant, 0, constant},
                                    {DNNL_ARG_DST, result, Argument::From::out}};
    if (made.scratchpad.get_size() > 0)
        arguments.push_back({DNNL_ARG_SCRATCHPAD, made.scratchpad, Argument::From::scratch});
    UnaryStages stages = unary_stages(facts.node, 0, Type::f32, false);
    Choice choice;
    choice.in = {{0, slice.in}};
    choice.out = {slice.out};
    choice.post_ops = stages.count;
    choice.scratch = Winograd::source_bytes(t) + Winograd::result_bytes(t) + made.scratchpad.get_size();
    choice.detail = made.implementation + " on tiles of F(4x4, 3x3)";
    choice.kernel =
        std::make_unique<Winograd>(t, std::make_unique<PrimitiveKernel>(made.primitive, std::move(arguments)),
                                   facts.has(2) ? *facts.constant(2) : Tensor(), std::move(stages.stages));
    return choice;
}

/// Whether the transforms and the larger weights cost clearly less than the multiplications saved. In nanoseconds, with
/// 100 multiply-and-add operations in each as a core of AVX-512 does them; only the ratios count.
bool pays(const Tiling &t)
{
    const double filters = static_cast<double>(t.ins * t.wide_outs()), tiles = static_cast<double>(t.tiles());
    const double direct =
        9 * static_cast<double>(t.ins * t.outs) * static_cast<double>(t.batch * t.y.output * t.x.output) / 50;
    const double products = winograd_points * filters * tiles / 50;
    const double weights = winograd_points * filters * 4 / 20;
    const double transforms = tiles * static_cast<double>(t.ins + t.outs) * 5;
    return products + weights + transforms < 0.8 * direct;
}

bool is_3_by_3(const WindowAxis &axis)
{
    return axis.kernel == 3 && axis.stride == 1 && axis.dilation == 1;
}

} // namespace

Attempt attempt_winograd(const NodeFacts &facts)
{
    if (auto fault = convolution_fault(facts); !fault.empty())
        return fault;
    const auto axes = windows_of(facts.attributes(), facts.dims(0), spatial(facts.dims(1)));
    if (facts.type(0) != Type::f32 || axes.size() != 2 || !std::all_of(axes.begin(), axes.end(), is_3_by_3) ||
        facts.attributes().integer("group", 1) != 1)
        return "it is no f32 convolution of 3x3 in steps of one without groups";
    const Slice whole{Layout::channels_last(Type::f32, facts.dims(0)),
                      Layout::channels_last(Type::f32, facts.out[0].dims), axes};
    const Tiling tiling = tiling_of(whole);
    if (tiling.ins % winograd_channels != 0)
        return "its input's channels are no multiple of " + std::to_string(winograd_channels);
    if (!pays(tiling))
        return "the transforms would take longer than they save";
    return or_refusal([&]() -> Attempt {
        Choice choice = solve_slices(facts, whole, cut_pictures(whole, facts.threads),
                                     [&](const Slice &slice) { return convolve(facts, slice); });
        if (is_slow(choice.detail))
            return "oneDNN has no optimised product of matrices here";
        return choice;
    });
}

} // namespace leat::cpu
