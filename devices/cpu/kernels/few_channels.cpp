#include "devices/cpu/team.h"
#include "integer_stages.h"
#include "interleave_rows.h"
#include "post_ops.h"
#include "window.h"
#include "window_sums.h"

#include <algorithm>
#include <cstring>

namespace leat::cpu {
namespace {

/// Sizes, and how the picture lies: planes of numbers side by side, or pixels of channels.
struct Shapes {
    Type read; ///< f32, bf16, u8 or s8
    Type type; ///< of what is multiplied: the same, or f32 of bf16
    int64_t batch, ins, outs;
    WindowAxis y, x;
    int64_t picture, row, plane; ///< in the input, from one to the next: elements
    bool planes;

    int64_t element = static_cast<int64_t>(size_of(type)), element_read = static_cast<int64_t>(size_of(read));
    /// Channels that are one number. Rows of pairs and fours are copied to pixels of them, with padding for what the
    /// last one lacks.
    int64_t together = window_number / element;
    int64_t wide_ins = (ins + together - 1) / together * together;

    /// What window_sums() counts.
    int64_t numbers() const { return y.kernel * x.kernel * wide_ins * element / window_number; }
    /// Columns that windows read, those of pixels beyond the last too.
    int64_t columns() const { return (std::max(x.output, window_pixels) - 1) * x.stride + x.reach(); }
    int64_t row_bytes() const { return columns() * wide_ins * element; }
    /// From one column of a row, and from one number of a pixel, to the next: bytes.
    int64_t column_bytes() const { return planes && together == 1 ? window_number : wide_ins * element; }
    int64_t number_bytes() const { return planes && together == 1 ? columns() * window_number : window_number; }
};

/// Rows of the input as the windows of one row after the other need them, with padding around.
class Rows {
  public:
    /// `memory`: size() bytes. `padding`: each byte of it.
    Rows(const Shapes &shapes, std::byte *memory, std::byte padding) : s_(shapes), memory_(memory)
    {
        std::memset(memory, std::to_integer<int>(padding), static_cast<size_t>(size(shapes)));
    }

    static int64_t size(const Shapes &s) { return (s.y.reach() + 1) * s.row_bytes(); }

    void begin(const std::byte *picture)
    {
        picture_ = picture;
        next_ = 0;
    }

    /// Makes ready what the window row at `position` reads: its rows must not lie before those of the last.
    void advance(int64_t position)
    {
        const int64_t end = std::min(s_.y.at(position, s_.y.kernel - 1) + 1, s_.y.input);
        for (int64_t y = std::max(next_, s_.y.at(position, 0)); y < end; y++)
            copy(y);
        next_ = std::max(next_, end);
    }

    /// The first column of the padding on the left.
    const std::byte *row(int64_t y) const
    {
        return y < 0 || y >= s_.y.input ? padding() : memory_ + y % s_.y.reach() * s_.row_bytes();
    }

  private:
    const Shapes &s_;
    std::byte *memory_;
    const std::byte *picture_ = nullptr;
    int64_t next_ = 0;

    const std::byte *padding() const { return memory_ + s_.y.reach() * s_.row_bytes(); }

    void copy(int64_t y)
    {
        const int64_t count = std::clamp<int64_t>(s_.columns() - s_.x.pad_begin, 0, s_.x.input);
        std::byte *to = memory_ + y % s_.y.reach() * s_.row_bytes() + s_.x.pad_begin * s_.column_bytes();
        const std::byte *from = picture_ + y * s_.row * s_.element_read;
        if (s_.planes && s_.together > 1)
            interleave(to, from, count);
        else if (s_.planes)
            for (int64_t c = 0; c < s_.ins; c++)
                copy_numbers(to + c * s_.number_bytes(), from + c * s_.plane * s_.element_read, count);
        else if (s_.wide_ins == s_.ins)
            copy_numbers(to, from, count * s_.ins);
        else
            widen_pixels(to, from, count);
    }

    void widen_pixels(std::byte *to, const std::byte *from, int64_t count) const
    {
        switch (s_.ins * s_.element) {
        case 1: return widen_pixels<1, 4>(to, from, count);
        case 2: return widen_pixels<2, 4>(to, from, count);
        case 3: return widen_pixels<3, 4>(to, from, count);
        default: return widen_pixels<6, 8>(to, from, count); // three bf16
        }
    }

    template <size_t pixel, size_t wide> static void widen_pixels(std::byte *to, const std::byte *from, int64_t count)
    {
        for (int64_t x = 0; x < count; x++, to += wide, from += pixel)
            std::memcpy(to, from, pixel);
    }

    void copy_numbers(std::byte *to, const std::byte *from, int64_t count) const
    {
        if (s_.read == s_.type)
            std::memcpy(to, from, static_cast<size_t>(count * s_.element));
        else
            vector_widen(reinterpret_cast<float *>(to), from, count);
    }

    void interleave(std::byte *to, const std::byte *planes, int64_t count) const
    {
        InterleavedRows rows{.operands = static_cast<size_t>(s_.wide_ins), .to = to, .rows = 1, .length = count};
        for (size_t c = 0; c < rows.operands; c++)
            rows.from[c] =
                c < static_cast<size_t>(s_.ins) ? planes + static_cast<int64_t>(c) * s_.plane * s_.element : padding();
        interleave_rows(rows, size_of(s_.type));
    }
};

/// What becomes of the sums.
struct Ending {
    std::vector<float> bias; ///< in whole blocks
    std::optional<std::array<float, 2>> bounds{};
    std::vector<UnaryStage> stages{};
    Type made = Type::f32;
    std::optional<IntegerScaling> integers{}; ///< of sums of integers
};

/// Convolutions of pictures with few channels, such as the first of most models.
class FewChannels final : public Kernel {
  public:
    FewChannels(const Shapes &shapes, Constant weights, Ending ending, int threads)
        : s_(shapes), weights_(std::move(weights)), ending_(std::move(ending)), threads_(threads)
    {
    }

    /// Bytes: of each thread the rows that it reads, one that it makes as f32, when it becomes something shorter later,
    /// and what sums of integers start from.
    size_t scratch() const { return static_cast<size_t>(threads_ * part_bytes()); }

    void prepare() override
    {
        weights_.tensor();
        if (ending_.integers)
            ending_.integers->weight_sums.tensor();
    }

    void run(const Launch &launch) const override
    {
        const int64_t rows = s_.batch * s_.y.output;
        parallel_parts(threads_, [&](int64_t part) {
            run_rows(launch, launch.scratch + part * part_bytes(), rows * part / threads_,
                     rows * (part + 1) / threads_);
        });
    }

  private:
    const Shapes s_;
    const Constant weights_;
    const Ending ending_;
    const int threads_;

    int64_t rows_bytes() const { return in_lines(Rows::size(s_)); }
    /// Whether the sums of a row are f32 that become something shorter when it is whole.
    bool narrows() const
    {
        return ending_.made != Type::f32 &&
               (!ending_.stages.empty() || (s_.type == Type::f32 && !window_sums_make_bf16()));
    }
    int64_t room() const { return narrows() ? in_lines(s_.x.output * s_.outs * window_number) : 0; }
    int64_t start_bytes() const { return ending_.integers ? ending_.integers->start_bytes() : 0; }
    int64_t part_bytes() const { return rows_bytes() + room() + start_bytes(); }
    int64_t element_made() const { return static_cast<int64_t>(size_of(ending_.made)); }

    void run_rows(const Launch &launch, std::byte *memory, int64_t first, int64_t last) const
    {
        const Tensor weights = weights_.tensor();
        std::vector<const std::byte *> taps(static_cast<size_t>(s_.numbers()));
        const auto &integers = ending_.integers;
        const IntegerSums sums = integers ? integers->begin(memory + rows_bytes() + room(), launch) : IntegerSums();
        WindowSums windows{.taps = taps.data(),
                           .count = s_.numbers(),
                           .last_tap = s_.numbers(),
                           .step = s_.x.stride * s_.column_bytes(),
                           .weights = weights.raw(),
                           .bias = ending_.bias.data(),
                           .bounds = ending_.bounds,
                           .outs = s_.outs,
                           .made = narrows() ? Type::f32 : ending_.made,
                           .last = s_.x.output,
                           .integers = &sums};
        windows.stride = s_.outs * static_cast<int64_t>(size_of(windows.made));
        const int64_t numbers = s_.x.output * s_.outs;
        Rows rows(s_, memory, static_cast<std::byte>(integers ? integers->source_zero_point(launch) : 0));
        for (int64_t i = first; i < last; i++) {
            const int64_t position = i % s_.y.output;
            if (i == first || position == 0)
                rows.begin(launch.in[0] + i / s_.y.output * s_.picture * s_.element_read);
            rows.advance(position);
            find_taps(taps, rows, position);
            std::byte *out = launch.out[0] + i * numbers * element_made();
            std::byte *made = narrows() ? memory + rows_bytes() : out;
            sum(made, windows);
            finish(out, reinterpret_cast<float *>(made), numbers);
        }
    }

    void sum(std::byte *to, const WindowSums &windows) const
    {
        if (s_.type == Type::f32)
            window_sums(to, windows);
        else if (s_.type == Type::bf16)
            window_sums_bf16(to, windows);
        else
            window_sums_s8(to, windows);
    }

    void finish(std::byte *to, float *numbers, int64_t count) const
    {
        for (const UnaryStage &stage : ending_.stages)
            stage.apply(numbers, numbers, nullptr, false, count, stage.a, stage.b);
        if (narrows() && ending_.integers)
            vector_quantise(reinterpret_cast<uint8_t *>(to), numbers, count,
                            {1, ending_.integers->zero_point, ending_.made == Type::s8});
        else if (narrows())
            vector_narrow(to, numbers, count);
    }

    void find_taps(std::vector<const std::byte *> &taps, const Rows &rows, int64_t position) const
    {
        const int64_t numbers = s_.wide_ins / s_.together, number = s_.number_bytes();
        const int64_t column = s_.x.dilation * s_.column_bytes();
        auto tap = taps.begin();
        for (int64_t y = 0; y < s_.y.kernel; y++) {
            const std::byte *row = rows.row(s_.y.at(position, y));
            for (int64_t x = 0; x < s_.x.kernel; x++)
                for (int64_t n = 0; n < numbers; n++)
                    *tap++ = row + x * column + n * number;
        }
    }
};

/// The picture as it lies, when its numbers or its pixels lie side by side; else planes.
Layout readable(const Layout &in)
{
    const bool planes = in.strides[3] == 1;
    const bool pixels = in.strides[1] == 1 && in.strides[3] == in.dims[1];
    return planes || pixels ? in : Layout::dense(in.type, in.dims);
}

/// Whether a convolution of bf16 with such weights is faster in f32 here than in the tiles of oneDNN, of which three
/// channels of a small window fill a small part.
bool outruns_tiles(const Shape &weights)
{
    constexpr int64_t most_terms = 36, most_outs = 32; // a tile of more channels is busy for long enough
    return onednn::has_tiles() && weights[0] <= most_outs && count_of(weights) <= most_terms * weights[0];
}

/// What is multiplied.
Type type_of(const NodeFacts &facts)
{
    const Type type = facts.type(0);
    return type == Type::bf16 && outruns_tiles(facts.dims(1)) ? Type::f32 : type;
}

/// Why it is no convolution of a picture with few channels; "" when it is.
std::string fault_of(const NodeFacts &facts)
{
    constexpr int64_t most_channels = 4, fewest_outs = 8, most_taps = 256; // their weights stay in the first cache
    const Shape &weights = facts.dims(1);
    if (facts.dims(0).size() != 4 || weights.size() != 4 || facts.attributes().integer("group", 1) != 1)
        return "it is no convolution of pictures without groups";
    const int64_t row = weights[1] * weights[3] * static_cast<int64_t>(size_of(facts.type(0)));
    if (auto fault = window_sums_fault(type_of(facts), row); !fault.empty())
        return fault;
    if (weights[1] > most_channels || weights[0] < fewest_outs || count_of(weights) / weights[0] > most_taps)
        return "it reads more than " + std::to_string(most_channels) + " channels or " + std::to_string(most_taps) +
               " numbers at once, or makes fewer than " + std::to_string(fewest_outs) + " channels";
    const auto axes = windows_of(facts.attributes(), facts.dims(0), onednn::spatial(weights));
    constexpr int64_t farthest = 64; // rows that are read and dropped cost memory
    if (axes[0].reach() > farthest || axes[1].reach() > farthest || axes[1].stride > farthest)
        return "its windows reach farther than " + std::to_string(farthest) + " pixels";
    return "";
}

Slice slice_of(const NodeFacts &facts, Type made)
{
    return {readable(facts.in[0].layout), Layout::channels_last(made, facts.out[0].dims),
            windows_of(facts.attributes(), facts.dims(0), onednn::spatial(facts.dims(1)))};
}

/// The weights in the type in which they are multiplied.
Tensor in_type(Weights &weights, const Tensor &constant, Type type)
{
    return type == Type::f32 && constant.type() == Type::bf16
               ? weights.get(constant, "f32", [&] { return constant.converted(Type::f32); })
               : constant;
}

/// Gives the choice its kernel. `weights`: as the graph has them.
Choice with_kernel(Choice choice, const NodeFacts &facts, const Slice &slice, const Tensor &weights, Ending ending)
{
    const Layout &in = slice.in;
    const Type type = type_of(facts);
    const Shapes shapes{in.type,       type,          in.dims[0],    in.dims[1],    weights.dim(0),    slice.axes[0],
                        slice.axes[1], in.strides[0], in.strides[2], in.strides[1], in.strides[3] == 1};
    auto kernel = std::make_unique<FewChannels>(
        shapes,
        weights_in_groups(facts.weights, in_type(facts.weights, weights, type), window_weights(weights.shape())),
        std::move(ending), facts.threads);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

} // namespace

Attempt attempt_few_channels(const NodeFacts &facts)
{
    if (auto fault = onednn::convolution_fault(facts); !fault.empty())
        return fault;
    if (auto fault = fault_of(facts); !fault.empty())
        return fault;
    const Type type = facts.type(0);
    UnaryStages stages = unary_stages(facts.node, 0, type, true);
    if ((type != Type::f32 || stages.made != Type::f32) && stages.count != facts.node.post_ops.size())
        return "it does not take all of the post-ops";
    Choice choice;
    const Slice slice = slice_of(facts, stages.made);
    choice.in = {{0, slice.in}};
    choice.out = {slice.out};
    choice.post_ops = stages.count;
    choice.detail = detail_of(type, facts.threads);
    Ending ending{bias_in_blocks(facts.constant(2), facts.dims(1)[0])};
    ending.made = stages.made;
    ending.bounds = take_bounds(stages);
    ending.stages = std::move(stages.stages);
    return with_kernel(std::move(choice), facts, slice, *facts.constant(1), std::move(ending));
}

Attempt attempt_integer_few_channels(const NodeFacts &facts)
{
    if (auto fault = fault_of(facts); !fault.empty())
        return fault;
    auto product = integer_product(facts, true);
    if (auto *fault = std::get_if<std::string>(&product))
        return *fault;
    const auto &known = std::get<IntegerProduct>(product);
    auto stages = integer_stages(facts, known, count_of(facts.dims(1)) / facts.dims(1)[0]);
    if (!stages || stages->added)
        return "others do more of its post-ops";
    const Slice slice = slice_of(facts, stages->ending.out);
    Ending ending{in_blocks(stages->ending.bias), stages->bounds, stages->stages, stages->ending.out,
                  integer_scaling(facts, known, *stages, window_weights(facts.dims(1)))};
    return with_kernel(integer_choice(facts, known, *stages, slice, facts.threads), facts, slice, known.weights,
                       std::move(ending));
}

} // namespace leat::cpu
