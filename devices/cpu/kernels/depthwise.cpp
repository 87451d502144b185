#include "convolution.h"
#include "depthwise_sums.h"
#include "devices/cpu/team.h"
#include "integer_stages.h"
#include "post_ops.h"
#include "window.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace leat::cpu {
namespace {

/// Sizes, and where the pixels of the input lie.
struct Shapes {
    Layout in; ///< channels side by side
    int64_t channels;
    WindowAxis y, x;

    DepthwiseWindow window() const { return {y.kernel, x.kernel, y.stride, x.stride, y.dilation, x.dilation}; }
    int64_t element() const { return static_cast<int64_t>(size_of(in.type)); }
    /// What rows of windows read.
    int64_t columns() const { return (x.output - 1) * x.stride + x.reach(); }
    int64_t rows(int64_t windows) const { return (windows - 1) * y.stride + y.reach(); }
    int64_t blocks() const { return (channels + depthwise_block - 1) / depthwise_block; }
};

/// Where the pixels lie that one row of windows after the other reads; those of the padding are one and the same.
class Places {
  public:
    /// `memory`: size() of them. `most`: rows of windows that are read at once.
    Places(const Shapes &shapes, int64_t most, const std::byte **memory, const std::byte *padding)
        : s_(shapes), slots_(shapes.rows(most)), memory_(memory), padding_(padding)
    {
    }

    static int64_t size(const Shapes &s, int64_t most) { return s.rows(most) * s.columns(); }

    void begin(const std::byte *picture)
    {
        picture_ = picture;
        next_ = -s_.y.pad_begin;
    }

    /// Sets `rows` to what `count` rows of windows from `first` on read. `first` never goes back.
    void find(int64_t first, int64_t count, const std::byte *const **rows)
    {
        const int64_t begin = s_.y.at(first, 0), end = begin + s_.rows(count);
        for (next_ = std::max(next_, begin); next_ < end; next_++)
            fill(next_);
        for (int64_t y = begin; y < end; y++)
            rows[y - begin] = row(y);
    }

  private:
    const Shapes &s_;
    const int64_t slots_;
    const std::byte **memory_;
    const std::byte *padding_, *picture_ = nullptr;
    int64_t next_ = 0; ///< the first row that has not been filled

    const std::byte **row(int64_t y) const { return memory_ + (y + s_.y.pad_begin) % slots_ * s_.columns(); }

    void fill(int64_t y)
    {
        const std::byte **to = row(y), **end = to + s_.columns();
        if (y < 0 || y >= s_.y.input)
            return std::fill(to, end, padding_);
        const int64_t inside = std::clamp<int64_t>(s_.columns() - s_.x.pad_begin, 0, s_.x.input);
        const int64_t step = s_.in.strides[3] * s_.element();
        const std::byte *pixel = picture_ + y * s_.in.strides[2] * s_.element();
        to = std::fill_n(to, std::min(s_.x.pad_begin, s_.columns()), padding_);
        for (int64_t x = 0; x < inside; x++, pixel += step)
            *to++ = pixel;
        std::fill(to, end, padding_);
    }
};

/// What becomes of the numbers of a window: their sum with weights, or the largest.
struct Joining {
    bool largest;
    Constant weights{};
    std::vector<float> bias{};
    std::optional<std::array<float, 2>> bounds{};
    std::vector<UnaryStage> stages{};
    Type made = Type::f32;
    std::optional<IntegerScaling> integers{};
};

/// Each channel for itself: a depthwise convolution, or the largest numbers.
class Depthwise final : public Kernel {
  public:
    Depthwise(const Shapes &shapes, Joining joining, int threads)
        : s_(shapes), largest_(joining.largest), weights_(std::move(joining.weights)), bias_(std::move(joining.bias)),
          bounds_(joining.bounds), stages_(std::move(joining.stages)), made_(joining.made),
          integers_(std::move(joining.integers)), tile_(integers_ ? depthwise_tile_size_s8(s_.window(), s_.x.output)
                                                                  : depthwise_tile_size(s_.window(), s_.x.output)),
          join_(function_for(tile_.rows)), join_row_(function_for(1)), at_once_(blocks_at_once()),
          strip_(windows_at_once()), threads_(threads)
    {
    }

    /// Bytes: a pixel of padding, what sums of integers start from, and of each thread the places of pixels and sums
    /// that become something else.
    size_t scratch() const { return static_cast<size_t>(padding() + starts() + threads_ * (places() + room())); }

    void prepare() override
    {
        if (!largest_)
            weights_.tensor();
        if (integers_)
            integers_->weight_sums.tensor();
    }

    void run(const Launch &launch) const override
    {
        fill_padding(launch);
        const IntegerSums sums = integers_ ? integers_->begin(launch.scratch + padding(), launch) : IntegerSums();
        const int64_t rows = s_.in.dims[0] * s_.y.output;
        parallel_parts(threads_, [&](int64_t part) {
            run_part(launch, sums, launch.scratch + padding() + starts() + part * (places() + room()),
                     rows * part / threads_, rows * (part + 1) / threads_);
        });
    }

  private:
    const Shapes s_;
    const bool largest_;
    const Constant weights_;
    const std::vector<float> bias_;
    const std::optional<std::array<float, 2>> bounds_;
    const std::vector<UnaryStage> stages_;
    const Type made_;
    const std::optional<IntegerScaling> integers_;
    const DepthwiseTileSize tile_;
    const DepthwiseFunction join_, join_row_; ///< for tiles, and for one row of them
    const int64_t at_once_;                   ///< blocks
    const int64_t strip_;                     ///< windows of a row on which the stages run at once
    const int threads_;

    static constexpr int64_t sum_bytes = 4;

    /// Sums in f32 become bf16 later, too.
    bool is_direct() const { return stages_.empty() && (made_ == Type::f32 || s_.in.type != Type::f32); }
    Type summed() const { return is_direct() ? made_ : Type::f32; }
    int64_t padding() const { return in_lines(s_.channels * s_.element()); }
    int64_t starts() const { return integers_ ? integers_->start_bytes() : 0; }
    DepthwiseFunction function_for(int rows) const
    {
        const DepthwiseTileSize size{rows, tile_.columns};
        return largest_    ? depthwise_largest(s_.window(), s_.in.type, size)
               : integers_ ? depthwise_sums_s8(s_.window(), summed(), size, !integers_->weight_zeros.empty())
                           : depthwise_sums(s_.window(), s_.in.type, summed(), size);
    }
    int64_t place_count() const { return Places::size(s_, tile_.rows); }
    int64_t places() const
    {
        return in_lines((place_count() + s_.rows(tile_.rows)) * static_cast<int64_t>(sizeof(std::byte *)));
    }
    int64_t room() const
    {
        return is_direct() ? 0 : in_lines(tile_.rows * strip_ * at_once_ * depthwise_block * sum_bytes);
    }

    /// Few, where the rows that they read stay in the first cache then; else all, which come from the second cache
    /// faster if nothing is left out.
    int64_t blocks_at_once() const
    {
        constexpr int64_t bytes = 256, cache = 32 * 1024;
        const bool stay = s_.rows(tile_.rows) * s_.columns() * bytes <= cache;
        return stay ? std::min(s_.blocks(), bytes / (depthwise_block * s_.element())) : s_.blocks();
    }

    /// Whole tiles whose sums stay in the first cache.
    int64_t windows_at_once() const
    {
        constexpr int64_t cache = 16 * 1024;
        const int64_t tile = tile_.rows * tile_.columns * at_once_ * depthwise_block * sum_bytes;
        return std::min(s_.x.output, std::max<int64_t>(1, cache / tile) * tile_.columns);
    }

    /// Zeros, or what is less than all numbers.
    void fill_padding(const Launch &launch) const
    {
        constexpr float lowest = -std::numeric_limits<float>::infinity();
        std::byte *to = launch.scratch;
        if (!largest_)
            std::memset(to, integers_ ? integers_->source_zero_point(launch) : 0,
                        static_cast<size_t>(s_.channels * s_.element()));
        else if (s_.in.type == Type::f32)
            std::fill_n(reinterpret_cast<float *>(to), s_.channels, lowest);
        else
            std::fill_n(reinterpret_cast<BFloat16 *>(to), s_.channels, BFloat16(lowest));
    }

    void run_part(const Launch &launch, const IntegerSums &sums, std::byte *scratch, int64_t first, int64_t last) const
    {
        const Tensor weights = largest_ ? Tensor() : weights_.tensor();
        auto **memory = reinterpret_cast<const std::byte **>(scratch);
        auto **rows = reinterpret_cast<const std::byte *const **>(memory + place_count());
        Places all(s_, tile_.rows, memory, launch.scratch);
        DepthwiseTile tile{.window = s_.window(),
                           .rows = rows,
                           .channels = s_.channels,
                           .weights = largest_ ? nullptr : weights.raw(),
                           .bias = bias_.data(),
                           .bounded = bounds_.has_value(),
                           .lowest = bounds_ ? (*bounds_)[0] : 0,
                           .highest = bounds_ ? (*bounds_)[1] : 0,
                           .integers = &sums};
        for (tile.first = 0; tile.first < s_.blocks(); tile.first = tile.last) {
            tile.last = std::min(s_.blocks(), tile.first + at_once_);
            for (int64_t row = first, count = 0; row < last; row += count) {
                const int64_t y = row % s_.y.output;
                if (row == first || y == 0)
                    all.begin(launch.in[0] + row / s_.y.output * s_.in.strides[0] * s_.element());
                count = std::min<int64_t>({tile_.rows, last - row, s_.y.output - y});
                all.find(y, count, rows);
                run_rows(tile, launch.out[0] + row * s_.x.output * s_.channels * bytes_made(), count,
                         scratch + places());
            }
        }
    }

    int64_t bytes_made() const { return static_cast<int64_t>(size_of(made_)); }

    /// `to`: their first pixel.
    void run_rows(DepthwiseTile &tile, std::byte *to, int64_t rows, std::byte *room) const
    {
        const DepthwiseFunction join = rows == tile_.rows ? join_ : join_row_;
        const int64_t begin = depthwise_channel(tile.first, s_.channels), row = s_.x.output * s_.channels;
        const int64_t count = std::min(tile.last * depthwise_block, s_.channels) - begin;
        to += begin * bytes_made();
        if (is_direct()) {
            tile.row_step = row;
            tile.step = s_.channels;
            return run_tiles(tile, join, to, 0, s_.x.output);
        }
        tile.row_step = strip_ * count;
        tile.step = count;
        auto *made = reinterpret_cast<float *>(room);
        each_part(0, s_.x.output, strip_, [&](int64_t x) {
            run_tiles(tile, join, room, x, x + strip_);
            for (const UnaryStage &stage : stages_)
                stage.apply(made, made, nullptr, false, rows * tile.row_step, stage.a, stage.b);
            for (int64_t r = 0; r < rows; r++)
                take(to + (r * row + x * s_.channels) * bytes_made(), made + r * tile.row_step, count);
        });
    }

    /// The windows [first, last) of the rows. `to`: the first one's result.
    void run_tiles(DepthwiseTile &tile, DepthwiseFunction join, std::byte *to, int64_t first, int64_t last) const
    {
        const int64_t step = tile.step * static_cast<int64_t>(size_of(summed()));
        each_part(first, last, tile_.columns, [&](int64_t x) {
            tile.column = x * s_.x.stride;
            tile.to = to + (x - first) * step;
            join(tile);
        });
    }

    /// Calls body(x) for parts of `size`, the last of which goes back over another.
    template <class Body> static void each_part(int64_t first, int64_t last, int64_t size, const Body &body)
    {
        for (int64_t x = first; x < last; x += size)
            body(std::min(x, last - size));
    }

    /// What has been made of a row of a strip.
    void take(std::byte *to, const float *from, int64_t count) const
    {
        // Whole pixels lie one after the other in both.
        const int64_t pixels = count == s_.channels ? 1 : strip_, each = count * strip_ / pixels;
        for (int64_t p = 0; p < pixels; p++, to += s_.channels * bytes_made(), from += each)
            if (made_ == Type::f32)
                std::memcpy(to, from, static_cast<size_t>(each) * sizeof(float));
            else if (integers_)
                vector_quantise(reinterpret_cast<uint8_t *>(to), from, each,
                                {1, integers_->zero_point, made_ == Type::s8});
            else
                vector_narrow(to, from, each);
    }
};

/// [blocks, taps, 16]
template <class T> void write_blocks(T *to, const T *from, int64_t channels, int64_t taps)
{
    for (int64_t block = 0; block * depthwise_block < channels; block++)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t c = 0; c < depthwise_block; c++)
                *to++ = from[(depthwise_channel(block, channels) + c) * taps + t];
}

/// [blocks, columns, fours of rows, 16, 4], with zeros for rows beyond the last.
void write_fours(int8_t *to, const int8_t *from, int64_t channels, int64_t height, int64_t width)
{
    for (int64_t block = 0; block * depthwise_block < channels; block++)
        for (int64_t x = 0; x < width; x++)
            for (int64_t four = 0; four < depthwise_fours(height); four++)
                for (int64_t c = 0; c < depthwise_block; c++)
                    for (int64_t y = 4 * four; y < 4 * four + 4; y++)
                        *to++ = y < height ? from[((depthwise_channel(block, channels) + c) * height + y) * width + x]
                                           : int8_t();
}

/// As depthwise_sums() reads them.
Constant weights_in_blocks(Weights &all, const Tensor &weights)
{
    const Type type = weights.type();
    const int64_t channels = weights.dim(0), height = weights.dim(2), width = weights.dim(3);
    const int64_t blocks = (channels + depthwise_block - 1) / depthwise_block;
    const Shape shape = type == Type::s8 ? Shape{blocks, width, depthwise_fours(height), depthwise_block, 4}
                                         : Shape{blocks, height * width, depthwise_block};
    return all.later(weights, "in blocks of 16 channels", type, shape, [=, memory = all.memory()] {
        Tensor made = memory->allocate(type, shape);
        if (type == Type::f32)
            write_blocks(made.data<float>(), weights.data<float>(), channels, height * width);
        else if (type == Type::s8)
            write_fours(made.data<int8_t>(), weights.data<int8_t>(), channels, height, width);
        else
            write_blocks(made.data<BFloat16>(), weights.data<BFloat16>(), channels, height * width);
        return made;
    });
}

/// "" when kernels for each channel can do the slice.
std::string fault_of(const Slice &slice)
{
    if (slice.in.dims[1] < depthwise_block)
        return "it has fewer than " + std::to_string(depthwise_block) + " channels";
    constexpr int64_t farthest = 64; // the places of all pixels in between are looked up
    for (const WindowAxis &axis : slice.axes)
        if (axis.reach() > farthest || axis.stride > farthest)
            return "its windows reach farther than " + std::to_string(farthest) + " pixels";
    return "";
}

/// Gives the choice its kernel.
Choice with_kernel(Choice choice, const Slice &slice, Joining joining, int threads)
{
    auto kernel = std::make_unique<Depthwise>(Shapes{slice.in, slice.in.dims[1], slice.axes[0], slice.axes[1]},
                                              std::move(joining), threads);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

Choice choose(const Slice &slice, Joining joining, int threads)
{
    Choice choice;
    choice.in = {{0, slice.in}};
    choice.out = {onednn::typed(slice.out, joining.made)};
    choice.detail = detail_of(slice.in.type, threads);
    return with_kernel(std::move(choice), slice, std::move(joining), threads);
}

bool is_depthwise(const NodeFacts &facts)
{
    const Shape &weights = facts.dims(1);
    return weights.size() == 4 && facts.dims(0).size() == 4 && facts.attributes().integer("group", 1) == weights[0] &&
           facts.dims(0)[1] == weights[0];
}

Attempt attempt_products(const NodeFacts &facts, const Slice &slice, int threads)
{
    if (!is_depthwise(facts))
        return "it is no depthwise convolution of pictures";
    if (auto fault = fault_of(slice); !fault.empty())
        return fault;
    UnaryStages stages = unary_stages(facts.node, 0, facts.type(0), true);
    const size_t post_ops = stages.count;
    if (post_ops != facts.node.post_ops.size())
        return "it does not take all of the post-ops";
    Joining products{false};
    products.made = stages.made;
    products.bounds = take_bounds(stages);
    products.stages = std::move(stages.stages);
    products.bias.resize(static_cast<size_t>(facts.dims(1)[0]));
    if (facts.has(2))
        std::ranges::copy(facts.constant(2)->values<float>(), products.bias.begin());
    products.weights = weights_in_blocks(facts.weights, *facts.constant(1));
    Choice choice = choose(slice, std::move(products), threads);
    choice.post_ops = post_ops;
    return choice;
}

/// With some channels of wider pixels where they lie, too.
Slice as_it_lies(Slice whole, const Layout &in)
{
    if (in.rank() == 4 && in.strides[1] == 1)
        whole.in = in;
    return whole;
}

} // namespace

Attempt attempt_depthwise(const NodeFacts &facts)
{
    if (auto fault = onednn::convolution_fault(facts); !fault.empty())
        return fault;
    return attempt_products(facts, as_it_lies(whole_convolution(facts), facts.in[0].layout), facts.threads);
}

Attempt attempt_depthwise(const NodeFacts &facts, const Slice &slice)
{
    return attempt_products(facts, slice, 1);
}

Attempt attempt_integer_depthwise(const NodeFacts &facts)
{
    if (auto fault = depthwise_fault_s8(); !fault.empty())
        return fault;
    if (!is_depthwise(facts))
        return "it is no depthwise convolution of pictures";
    const auto axes = windows_of(facts.attributes(), facts.dims(0), onednn::spatial(facts.dims(1)));
    const Slice slice = as_it_lies({Layout::channels_last(facts.type(0), facts.dims(0)),
                                    Layout::channels_last(facts.out[0].type, facts.out[0].dims), axes},
                                   facts.in[0].layout);
    if (auto fault = fault_of(slice); !fault.empty())
        return fault;
    auto product = integer_product(facts, true);
    if (auto *fault = std::get_if<std::string>(&product))
        return *fault;
    const auto &known = std::get<IntegerProduct>(product);
    const int64_t channels = facts.dims(1)[0], taps = facts.dims(1)[2] * facts.dims(1)[3];
    auto stages = integer_stages(facts, known, taps);
    if (!stages || stages->added)
        return "others do more of its post-ops";
    Joining products{false};
    products.made = stages->ending.out;
    products.bounds = stages->bounds;
    products.stages = stages->stages;
    products.bias = stages->ending.bias;
    products.weights = weights_in_blocks(facts.weights, known.weights);
    products.integers = integer_scaling(facts, known, *stages, {channels, 1, taps, taps, taps, 1}, false);
    return with_kernel(integer_choice(facts, known, *stages, slice, facts.threads), slice, std::move(products),
                       facts.threads);
}

Attempt attempt_largest(const NodeFacts &facts)
{
    if (!is_float(facts.type(0)) || facts.dims(0).size() != 4)
        return "it reads no pictures of floats";
    if (facts.out.size() > 1 && facts.out[1].type != Type::undefined)
        return "it also gives the places of the largest";
    const Attributes &attributes = facts.attributes();
    const Slice whole{Layout::channels_last(facts.type(0), facts.dims(0)),
                      Layout::channels_last(facts.type(0), facts.out[0].dims),
                      windows_of(attributes, facts.dims(0), attributes.integers("kernel_shape"),
                                 attributes.integer("ceil_mode", 0) != 0)};
    const Slice slice = as_it_lies(whole, facts.in[0].layout);
    if (auto fault = fault_of(slice); !fault.empty())
        return fault;
    Joining largest{true};
    largest.made = facts.type(0);
    return choose(slice, std::move(largest), facts.threads);
}

} // namespace leat::cpu
