#include "elementwise.h"
#include "post_ops.h"
#include "slices.h"
#include "window.h"
#include "window_sums.h"
#include "winograd_tiles.h"

#include <algorithm>

namespace leat::cpu {
namespace {

/// Pictures in tiles, which are numbered over all pictures, row by row.
class Tiling {
  public:
    Type type; ///< f32 or bf16; tiles and products are f32
    int64_t batch, ins, outs;
    WindowAxis y, x;
    int64_t picture, row, pixel; ///< of the result, from one to the next: elements

    int64_t rows() const { return (y.output + winograd_out - 1) / winograd_out; }
    int64_t columns() const { return (x.output + winograd_out - 1) / winograd_out; }
    int64_t tiles() const { return batch * rows() * columns(); }
    /// The channels of the result as the product makes them, in whole vectors.
    int64_t wide_outs() const { return (outs + winograd_channels - 1) / winograd_channels * winograd_channels; }
    int64_t weight_bytes() const { return winograd_points * ins * wide_outs() * 4; }
    int64_t bytes(int64_t block) const { return winograd_points * block * (ins + wide_outs()) * 4; }
    int64_t wide_blocks() const { return wide_outs() / window_channels; }
    /// Tiles of one block. Each block reads all weights, and a large one writes and reads its tiles in the third cache;
    /// the products want some rows, best a multiple of six.
    int64_t block() const
    {
        constexpr int64_t rows_wanted = 16;
        const int64_t most = std::max<int64_t>(1, tiles() / rows_wanted);
        int64_t best = 1;
        for (int64_t blocks = 2; blocks <= most; blocks++)
            if (memory_nanoseconds(blocks) < memory_nanoseconds(best))
                best = blocks;
        constexpr int64_t together = 6;
        const int64_t block = (tiles() + best - 1) / best;
        return block < together ? block : (block + together - 1) / together * together;
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
    const auto &out = slice.out.strides;
    return {slice.in.type, slice.in.dims[0], slice.in.dims[1], slice.out.dims[1],
            slice.axes[0], slice.axes[1],    out[0],           out[2],
            out[3]};
}

/// 3x3 convolutions as products of transformed tiles, block by block.
class Winograd final : public Kernel {
  public:
    Winograd(const Tiling &tiling, Constant weights, Tensor bias, UnaryStages stages)
        : t_(tiling), block_(tiling.block()), weights_(std::move(weights)), bias_(std::move(bias)),
          stages_(std::move(stages.stages)), made_{stages.made}, nothing_(static_cast<size_t>(tiling.wide_outs()), 0.f)
    {
    }

    /// Bytes: the transformed tiles of a block, before and after the products, where the numbers of one lie, and a tile
    /// of the result as f32, when it moves.
    size_t scratch() const { return source_bytes() + result_bytes() + table_bytes() + tile_bytes(); }

    void prepare() override { weights_.tensor(); }

    void run(const Launch &launch) const override
    {
        std::byte *result = launch.scratch + source_bytes();
        const Tensor weights = weights_.tensor();
        for (int64_t first = 0; first < t_.tiles(); first += block_) {
            const int64_t count = std::min(block_, t_.tiles() - first);
            for (int64_t i = 0; i < count; i++)
                read(launch.in[0], first + i, reinterpret_cast<float *>(launch.scratch) + i * t_.ins);
            multiply(launch.scratch, weights, result, count);
            for (int64_t i = 0; i < count; i++)
                write(launch.out[0], first + i, reinterpret_cast<const float *>(result) + i * t_.wide_outs(),
                      reinterpret_cast<float *>(result + result_bytes() + table_bytes()));
        }
    }

  private:
    const Tiling t_;
    const int64_t block_;
    const Constant weights_;
    const Tensor bias_;
    const std::vector<UnaryStage> stages_;
    const Floats made_;
    const std::vector<float> nothing_; ///< is added to the products

    static size_t bytes(int64_t numbers) { return static_cast<size_t>(winograd_points * numbers) * sizeof(float); }

    size_t source_bytes() const { return bytes(block_ * t_.ins); }
    size_t result_bytes() const { return bytes(block_ * t_.wide_outs()); }
    size_t table_bytes() const { return in_lines(static_cast<size_t>(t_.ins) * sizeof(std::byte *)); }
    /// Whether tiles of the result are made elsewhere, as f32 side by side.
    bool moves() const { return made_.type != Type::f32 || t_.pixel != t_.outs; }
    size_t tile_bytes() const
    {
        constexpr int64_t pixels = winograd_out * winograd_out;
        return moves() ? static_cast<size_t>(pixels * t_.outs) * sizeof(float) : 0;
    }

    /// One product of matrices for each point of so many tiles.
    void multiply(const std::byte *source, const Tensor &weights, std::byte *result, int64_t tiles) const
    {
        auto *taps = reinterpret_cast<const std::byte **>(result + result_bytes());
        for (int64_t i = 0; i < t_.ins; i++)
            taps[i] = source + i * window_number;
        WindowSums w{.taps = taps,
                     .count = t_.ins,
                     .last_tap = t_.ins,
                     .side_by_side = true,
                     .step = t_.ins * window_number,
                     .bias = nothing_.data(),
                     .outs = t_.wide_outs(),
                     .stride = t_.wide_outs() * window_number};
        const int64_t point = t_.ins * t_.wide_outs() * window_number;
        for (int64_t p = 0; p < winograd_points; p++) {
            w.weights = weights.raw() + p * point;
            w.next = p + 1 < winograd_points ? w.weights + point : nullptr;
            w.first = p * block_;
            w.last = w.first + tiles;
            window_sums(result, w);
        }
    }

    struct Position {
        int64_t picture, y, x; ///< the first pixel of the tile of the result
    };
    Position position(int64_t tile) const
    {
        const int64_t column = tile % t_.columns(), row = tile / t_.columns() % t_.rows();
        return {tile / t_.columns() / t_.rows(), row * winograd_out, column * winograd_out};
    }

    void read(const std::byte *in, int64_t tile, float *to) const
    {
        const Position at = position(tile);
        const int64_t y = t_.y.at(at.y, 0), x = t_.x.at(at.x, 0);
        const int64_t offset = ((at.picture * t_.y.input + y) * t_.x.input + x) * t_.ins;
        winograd_input(to, block_ * t_.ins, in + offset * static_cast<int64_t>(size_of(t_.type)), t_.type,
                       t_.x.input * t_.ins, t_.ins, {-y, t_.y.input - y}, {-x, t_.x.input - x});
    }

    /// `room`: for a tile of the result.
    void write(std::byte *out, int64_t tile, const float *from, float *room) const
    {
        const Position at = position(tile);
        const int64_t rows = std::min(winograd_out, t_.y.output - at.y);
        const int64_t columns = std::min(winograd_out, t_.x.output - at.x);
        std::byte *to = out + (at.picture * t_.picture + at.y * t_.row + at.x * t_.pixel) * made_.element();
        float *made = moves() ? room : reinterpret_cast<float *>(to);
        const int64_t made_row = moves() ? columns * t_.outs : t_.row;
        winograd_output(made, made_row, rows, columns, from, block_ * t_.wide_outs(), t_.outs,
                        bias_ ? bias_.data<float>() : nullptr);
        for (int64_t y = 0; y < rows; y++) {
            float *row = made + y * made_row;
            for (const UnaryStage &stage : stages_)
                stage.apply(row, row, nullptr, false, columns * t_.outs, stage.a, stage.b);
            if (moves())
                made_.write_rows(to + y * t_.row * made_.element(), t_.pixel, row, columns, t_.outs);
        }
    }
};

/// Of each point the filters' weights as window_sums() reads them, with zeros for channels beyond the last.
Constant transformed(Weights &all, const Tensor &filters, const Tiling &t)
{
    const Shape shape{winograd_points, t.wide_blocks(), t.ins, window_channels};
    return all.later(filters, "winograd in groups of 64", Type::f32, shape, [=, memory = all.memory()] {
        const Tensor wide_filters = filters.type() == Type::f32 ? filters : filters.converted(Type::f32);
        Tensor points = memory->allocate(Type::f32, shape);
        if (t.outs < t.wide_outs())
            std::ranges::fill(points.values<float>(), 0.f);
        const WindowGroups groups(t.outs);
        for (int64_t group = 0; group < groups.groups; group++) {
            const int64_t first = groups.first(group) * window_channels;
            const int64_t wide = groups.first(group + 1) * window_channels - first;
            for (int64_t i = 0; i < t.ins; i++)
                winograd_filters(points.data<float>() + first * t.ins + i * wide, t.ins * t.wide_outs(),
                                 wide_filters.data<float>() + (first * t.ins + i) * 9, t.ins * 9,
                                 std::min(wide, t.outs - first));
        }
        return points;
    });
}

Choice convolve(const NodeFacts &facts, const Slice &slice)
{
    const Tiling t = tiling_of(slice);
    UnaryStages stages = unary_stages(facts.node, 0, t.type, t.type != Type::f32);
    Choice choice;
    choice.in = {{0, slice.in}};
    choice.out = {onednn::typed(slice.out, stages.made)};
    choice.post_ops = stages.count;
    choice.detail = detail_of(t.type, 1) + (t.type == Type::f32 ? "" : " ") + "on tiles of F(4x4, 3x3)";
    auto kernel = std::make_unique<Winograd>(t, transformed(facts.weights, *facts.constant(1), t),
                                             facts.has(2) ? *facts.constant(2) : Tensor(), std::move(stages));
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

/// Whether the transforms and the larger weights cost clearly less than the multiplications saved. In nanoseconds, with
/// 100 multiply-and-add operations in each as a core of AVX-512 does them, and twice as many of bf16; only the ratios
/// count.
bool pays(const Tiling &t)
{
    const double filters = static_cast<double>(t.ins * t.wide_outs()), tiles = static_cast<double>(t.tiles());
    const double direct = 9 * static_cast<double>(t.ins * t.outs) *
                          static_cast<double>(t.batch * t.y.output * t.x.output) / (t.type == Type::f32 ? 50 : 100);
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
    if (auto fault = onednn::convolution_fault(facts); !fault.empty())
        return fault;
    const auto axes = windows_of(facts.attributes(), facts.dims(0), onednn::spatial(facts.dims(1)));
    if (auto fault = window_sums_fault(facts.type(0)); !fault.empty())
        return fault;
    if (axes.size() != 2 || !std::all_of(axes.begin(), axes.end(), is_3_by_3) ||
        facts.attributes().integer("group", 1) != 1)
        return "it is no convolution of 3x3 in steps of one without groups";
    const Slice whole{Layout::channels_last(facts.type(0), facts.dims(0)),
                      facts.part.value_or(Layout::channels_last(facts.type(0), facts.out[0].dims)), axes};
    const Tiling tiling = tiling_of(whole);
    if (tiling.ins % winograd_channels != 0)
        return "its input's channels are no multiple of " + std::to_string(winograd_channels);
    constexpr int64_t most_for_bf16 = 16; // MiB: the weights take eight times their room
    if (tiling.type != Type::f32 && tiling.weight_bytes() > most_for_bf16 << 20)
        return "its weights would take more than " + std::to_string(most_for_bf16) + " MiB";
    if (!pays(tiling))
        return "the transforms would take longer than they save";
    return solve_slices(facts, whole, cut_pictures(whole, facts.threads),
                        [&](const Slice &slice) { return convolve(facts, slice); });
}

} // namespace leat::cpu
