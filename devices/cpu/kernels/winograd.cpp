#include "devices/cpu/team.h"
#include "elementwise.h"
#include "post_ops.h"
#include "window.h"
#include "window_sums.h"
#include "winograd_tiles.h"

#include <algorithm>

namespace leat::cpu {
namespace {

/// Pictures in tiles, which are numbered over all pictures, row by row.
class Tiling {
  public:
    Type type, filters_type; ///< f32 or bf16; tiles and products are f32
    int64_t batch, ins, outs;
    WindowAxis y, x;
    int64_t picture, row, pixel; ///< of the result, from one to the next: elements

    int64_t rows() const { return (y.output + winograd_out - 1) / winograd_out; }
    int64_t columns() const { return (x.output + winograd_out - 1) / winograd_out; }
    int64_t tiles() const { return batch * rows() * columns(); }
    WindowGroups groups() const { return WindowGroups(outs); }
    /// The channels of the largest group, in whole vectors.
    int64_t wide() const { return (groups().blocks + groups().groups - 1) / groups().groups * window_channels; }
    /// Channels of the picture whose filters are transformed at once, and stay in the second cache.
    int64_t chunk() const
    {
        constexpr int64_t room = 384 * 1024;
        const int64_t chunks = (winograd_pair_points * ins * wide() * 4 + room - 1) / room;
        return (ins / winograd_channels + chunks - 1) / chunks * winograd_channels;
    }
    int64_t chunks() const { return (ins + chunk() - 1) / chunk(); }
    /// Whether there is room to keep the transformed filters from one block of tiles to the next.
    bool keeps_filters() const
    {
        constexpr int64_t room = 768 * 1024;
        return winograd_points * filters() * 4 <= room;
    }
    int64_t filters() const { return ins * groups().blocks * window_channels; }

    /// Of so many tiles those of one block. For each one the filters are transformed again, and the tiles of a large
    /// one leave the second cache; the products want some rows, best a multiple of six.
    int64_t block(int64_t tiles) const
    {
        constexpr int64_t rows_wanted = 16;
        const int64_t most = std::max<int64_t>(1, tiles / rows_wanted);
        int64_t best = 1;
        for (int64_t blocks = 2; blocks <= most; blocks++)
            if (nanoseconds(tiles, blocks) < nanoseconds(tiles, best))
                best = blocks;
        constexpr int64_t together = 6;
        const int64_t block = (tiles + best - 1) / best;
        return block < together ? block : (block + together - 1) / together * together;
    }
    /// To read the filters and transform them, as a core of a server does; only the ratios count.
    double filter_nanoseconds() const { return 4.6 * static_cast<double>(filters()); }

    /// Whether each thread makes some channels of all tiles rather than all channels of some, and transforms no filter
    /// that another does.
    bool shares_channels(int threads) const
    {
        constexpr int64_t even_enough = 8; // groups for each thread
        const int64_t count = groups().groups;
        return threads > 1 && outs > tiles() && (count % threads == 0 || count >= even_enough * threads);
    }
    /// The tiles that each of so many threads works on, at most.
    int64_t tiles_for(int threads) const
    {
        return shares_channels(threads) ? tiles() : (tiles() + threads - 1) / threads;
    }

  private:
    /// What the number of blocks decides: how often filters are transformed, and where tiles are.
    double nanoseconds(int64_t tiles, int64_t blocks) const
    {
        constexpr int64_t second_cache = 1 << 20, third_cache = 8 << 20;
        const int64_t block = (tiles + blocks - 1) / blocks, bytes = winograd_points * block * (ins + wide()) * 4;
        const double for_a_byte = bytes <= second_cache ? 0 : bytes <= third_cache ? .008 : .04;
        const auto moved = static_cast<double>(2 * winograd_points * tiles * (ins + outs) * 4);
        return (keeps_filters() ? 1. : static_cast<double>(blocks)) * filter_nanoseconds() + moved * for_a_byte;
    }
};

/// 3x3 convolutions as products of transformed tiles, block by block. Of a block one group of the result's channels is
/// made after the other, from one chunk of the picture's channels after the other, whose filters are transformed when
/// they are needed: transformed ones take four times the room, and to read them takes longer than to make them.
class Winograd final : public Kernel {
  public:
    /// `filters`: as weights_in_groups() makes them.
    Winograd(const Tiling &tiling, Constant filters, Tensor bias, UnaryStages stages, int threads)
        : t_(tiling), threads_(threads), shares_channels_(tiling.shares_channels(threads)),
          block_(tiling.block(tiling.tiles_for(threads))), chunk_(tiling.chunk()),
          keeps_(tiling.keeps_filters() && block_ < tiling.tiles_for(threads)), filters_(std::move(filters)),
          bias_(std::move(bias)), bounds_(take_bounds(stages)), stages_(std::move(stages.stages)), made_{stages.made},
          nothing_(static_cast<size_t>(tiling.wide()), 0.f)
    {
    }

    size_t scratch() const
    {
        return static_cast<size_t>((shares_channels_ ? 1 : threads_) * source_bytes() + threads_ * own_bytes());
    }

    void prepare() override { filters_.tensor(); }

    void run(const Launch &launch) const override
    {
        const Tensor filters = filters_.tensor();
        const int64_t groups = t_.groups().groups;
        if (!shares_channels_)
            return parallel_parts(threads_, [&](int64_t part) {
                const int64_t begin = t_.tiles() * part / threads_, end = t_.tiles() * (part + 1) / threads_;
                for (int64_t first = begin; first < end; first += block_) {
                    const Block block{first, std::min(block_, end - first), first == begin};
                    const Room room = room_of(launch, part);
                    read(launch.in[0], block, 0, block.tiles, room);
                    make(launch.out[0], block, filters, 0, groups, room);
                }
            });
        for (int64_t first = 0; first < t_.tiles(); first += block_) {
            const Block block{first, std::min(block_, t_.tiles() - first), first == 0};
            parallel_parts(threads_, [&](int64_t part) {
                read(launch.in[0], block, block.tiles * part / threads_, block.tiles * (part + 1) / threads_,
                     room_of(launch, part));
            });
            parallel_parts(threads_, [&](int64_t part) {
                make(launch.out[0], block, filters, groups * part / threads_, groups * (part + 1) / threads_,
                     room_of(launch, part));
            });
        }
    }

  private:
    const Tiling t_;
    const int threads_;
    const bool shares_channels_;
    const int64_t block_, chunk_;
    const bool keeps_; ///< the transformed filters for the next block
    const Constant filters_;
    const Tensor bias_;
    const std::optional<std::array<float, 2>> bounds_; ///< into which the result is brought before its stages
    const std::vector<UnaryStage> stages_;
    const Floats made_;
    const std::vector<float> nothing_; ///< is added to the products

    static constexpr int pairs = static_cast<int>(std::size(winograd_pairs));

    /// Tiles from one point to the next: one more than a block has, and as many channels more of the filters, as
    /// numbers 4 KiB apart would share a place in the first cache.
    int64_t apart() const { return block_ + 1; }
    static int64_t filters_apart(int64_t ins, int64_t outs) { return (ins + 1) * outs; }

    /// Of the result's channels, whole blocks.
    struct Group {
        int64_t number, first, outs;
    };
    Group group_at(int64_t number) const
    {
        const WindowGroups groups = t_.groups();
        const int64_t first = groups.first(number) * window_channels;
        return {number, first, groups.first(number + 1) * window_channels - first};
    }

    /// What is summed at once: some channels of the picture for a group of the result's.
    struct Part {
        int64_t number, in, ins, outs;
        int pair;            ///< of rows of points
        int64_t offset, tap; ///< where its filters are, and from one tap of them to the next: bytes
    };
    Part part_at(const Group &group, int64_t in, int pair) const
    {
        const auto element = static_cast<int64_t>(size_of(t_.filters_type));
        return {.number = (group.number * t_.chunks() + in / chunk_) * pairs + pair,
                .in = in,
                .ins = std::min(chunk_, t_.ins - in),
                .outs = group.outs,
                .pair = pair,
                .offset = (group.first * winograd_taps * t_.ins + in * group.outs) * element,
                .tap = t_.ins * group.outs * element};
    }

    /// Whether tiles of the result are made elsewhere, as f32 side by side.
    bool moves() const { return made_.type != Type::f32; }

    /// Of a thread, but those that share channels share their tiles.
    struct Room {
        float *source;  ///< of each chunk the points of a block's tiles
        float *result;  ///< of the points of a block's tiles a group of channels
        float *filters; ///< the points of a part's, or of all parts'
        float *tile;    ///< of the result, a group of channels
        const std::byte **taps;
    };
    int64_t chunk_numbers() const { return winograd_points * apart() * chunk_; }
    int64_t source_bytes() const { return t_.chunks() * chunk_numbers() * window_number; }
    int64_t result_numbers() const { return winograd_points * apart() * t_.wide(); }
    int64_t part_numbers() const { return winograd_pair_points * filters_apart(chunk_, t_.wide()); }
    int64_t filter_numbers() const { return (keeps_ ? t_.groups().groups * t_.chunks() * pairs : 1) * part_numbers(); }
    int64_t tile_numbers() const { return moves() ? winograd_out * winograd_out * t_.wide() : 0; }
    int64_t own_bytes() const
    {
        return (result_numbers() + filter_numbers() + tile_numbers()) * window_number +
               in_lines(chunk_ * static_cast<int64_t>(sizeof(std::byte *)));
    }
    Room room_of(const Launch &launch, int64_t thread) const
    {
        std::byte *sources = launch.scratch + threads_ * own_bytes();
        auto *result = reinterpret_cast<float *>(launch.scratch + thread * own_bytes());
        float *filters = result + result_numbers(), *tile = filters + filter_numbers();
        return {reinterpret_cast<float *>(sources + (shares_channels_ ? 0 : thread * source_bytes())), result, filters,
                tile, reinterpret_cast<const std::byte **>(tile + tile_numbers())};
    }

    struct Block {
        int64_t first, tiles;
        bool is_first; ///< of the thread
    };

    /// Groups [first, last) of the result's channels of the block's tiles, which were read.
    void make(std::byte *out, const Block &block, const Tensor &filters, int64_t first, int64_t last,
              const Room &room) const
    {
        for (int64_t number = first; number < last; number++) {
            const Group group = group_at(number);
            for (int pair = 0; pair < pairs; pair++)
                for (int64_t in = 0; in < t_.ins; in += chunk_) {
                    const Part part = part_at(group, in, pair);
                    float *points = room.filters + (keeps_ ? part.number * part_numbers() : 0);
                    if (block.is_first || !keeps_)
                        winograd_filters(points, filters_apart(part.ins, part.outs), filters.raw() + part.offset,
                                         filters.type(), part.tap, part.ins, part.outs, pair);
                    multiply(room, part, points, block.tiles);
                }
            for (int64_t i = 0; i < block.tiles; i++)
                write(out, block.first + i, i, group, room);
        }
    }

    /// One product of matrices for each point of the part and so many tiles.
    void multiply(const Room &room, const Part &part, const float *points, int64_t tiles) const
    {
        const float *source = room.source + part.in / chunk_ * chunk_numbers();
        for (int64_t i = 0; i < part.ins; i++)
            room.taps[i] = reinterpret_cast<const std::byte *>(source + i);
        WindowSums w{.taps = room.taps,
                     .count = part.ins,
                     .last_tap = part.ins,
                     .side_by_side = true,
                     .step = chunk_ * window_number,
                     .bias = nothing_.data(),
                     .added = part.in > 0,
                     .outs = part.outs,
                     .stride = part.outs * window_number};
        for (int64_t p = 0; p < winograd_pair_points; p++) {
            const int row = winograd_pairs[part.pair][p / winograd_in];
            w.weights = reinterpret_cast<const std::byte *>(points + p * filters_apart(part.ins, part.outs));
            w.first = (row * winograd_in + p % winograd_in) * apart();
            w.last = w.first + tiles;
            window_sums(reinterpret_cast<std::byte *>(room.result), w);
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

    /// Tiles [first, last) of the block.
    void read(const std::byte *pictures, const Block &block, int64_t first, int64_t last, const Room &room) const
    {
        for (int64_t i = first; i < last; i++) {
            const Position at = position(block.first + i);
            const int64_t y = t_.y.at(at.y, 0), x = t_.x.at(at.x, 0);
            const int64_t offset = ((at.picture * t_.y.input + y) * t_.x.input + x) * t_.ins;
            winograd_input({room.source + i * chunk_, apart() * chunk_, chunk_, chunk_numbers()},
                           pictures + offset * static_cast<int64_t>(size_of(t_.type)), t_.type, t_.x.input * t_.ins,
                           t_.ins, {-y, t_.y.input - y}, {-x, t_.x.input - x});
        }
    }

    /// A group of channels of the tile, which is number `i` of the block.
    void write(std::byte *out, int64_t tile, int64_t i, const Group &group, const Room &room) const
    {
        const Position at = position(tile);
        const int64_t rows = std::min(winograd_out, t_.y.output - at.y);
        const int64_t columns = std::min(winograd_out, t_.x.output - at.x);
        const int64_t count = std::min(group.outs, t_.outs - group.first);
        std::byte *to =
            out + (at.picture * t_.picture + at.y * t_.row + at.x * t_.pixel + group.first) * made_.element();
        WinogradTile made{reinterpret_cast<float *>(to), t_.row, t_.pixel, rows, columns, count};
        if (moves())
            made = {room.tile, columns * count, count, rows, columns, count};
        winograd_output(made, room.result + i * group.outs, apart() * group.outs,
                        bias_ ? bias_.data<float>() + group.first : nullptr, bounds_);
        const bool side_by_side = made.pixel_stride == count;
        for (const UnaryStage &stage : stages_)
            for (int64_t y = 0; y < rows; y++)
                for (int64_t x = 0; x < (side_by_side ? 1 : columns); x++) {
                    float *pixels = made.to + y * made.row_stride + x * made.pixel_stride;
                    stage.apply(pixels, pixels, nullptr, false, side_by_side ? columns * count : count, stage.a,
                                stage.b);
                }
        if (moves())
            for (int64_t y = 0; y < rows; y++)
                made_.write_rows(to + y * t_.row * made_.element(), t_.pixel, made.to + y * made.row_stride, columns,
                                 count);
    }
};

/// Whether the transforms cost clearly less than the multiplications saved. In nanoseconds, with 100 multiply-and-add
/// operations in each as a core of AVX-512 does them, and twice as many of bf16; only the ratios count.
bool pays(const Tiling &t, int threads)
{
    const auto filters = static_cast<double>(t.filters()), tiles = static_cast<double>(t.tiles());
    const double direct = 9 * static_cast<double>(t.ins * t.outs) *
                          static_cast<double>(t.batch * t.y.output * t.x.output) / (t.type == Type::f32 ? 50 : 100);
    const double products = winograd_points * filters * tiles / 50;
    const double weights = t.filter_nanoseconds() * (t.shares_channels(threads) ? 1 : threads);
    const double transforms = tiles * static_cast<double>(t.ins + t.outs) * 5;
    return products + weights + transforms < 0.9 * direct;
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
    const Layout in = Layout::channels_last(facts.type(0), facts.dims(0));
    const Layout out = facts.part.value_or(Layout::channels_last(facts.type(0), facts.out[0].dims));
    const Tensor *filters = facts.constant(1);
    const Tiling tiling{in.type, facts.type(1), in.dims[0],     in.dims[1],     out.dims[1],
                        axes[0], axes[1],       out.strides[0], out.strides[2], out.strides[3]};
    if (tiling.ins % winograd_channels != 0)
        return "its input's channels are no multiple of " + std::to_string(winograd_channels);
    if (!pays(tiling, facts.threads))
        return "the transforms would take longer than they save";
    UnaryStages stages = unary_stages(facts.node, 0, in.type, in.type != Type::f32);
    Choice choice;
    choice.in = {{0, in}};
    choice.out = {onednn::typed(out, stages.made)};
    choice.post_ops = stages.count;
    choice.detail = detail_of(in.type, facts.threads);
    choice.detail += (choice.detail.empty() ? "" : " ") + std::string("on tiles of F(4x4, 3x3)");
    auto kernel =
        std::make_unique<Winograd>(tiling, weights_in_groups(facts.weights, *filters, window_weights(filters->shape())),
                                   facts.has(2) ? *facts.constant(2) : Tensor(), std::move(stages), facts.threads);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

} // namespace leat::cpu
