#include "devices/cpu/team.h"
#include "elementwise.h"
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
    Type type; ///< f32 or bf16
    int64_t batch, ins, outs;
    WindowAxis y, x;
    int64_t picture, row, plane; ///< in the input, from one to the next: elements
    bool planes;

    int64_t element() const { return static_cast<int64_t>(size_of(type)); }
    /// Whether rows are copied to pixels of pairs, with zeros for what the last pair lacks.
    bool in_pairs() const { return type != Type::f32; }
    int64_t wide_ins() const { return in_pairs() ? (ins + 1) / 2 * 2 : ins; }
    /// What window_sums() counts.
    int64_t numbers() const { return y.kernel * x.kernel * wide_ins() * element() / window_number; }
    /// Columns that windows read, those of pixels beyond the last too.
    int64_t columns() const { return (std::max(x.output, window_pixels) - 1) * x.stride + x.reach(); }
    int64_t row_bytes() const { return columns() * wide_ins() * element(); }
    /// From one column of a row, and from one number of a pixel, to the next: bytes.
    int64_t column_bytes() const { return planes && !in_pairs() ? window_number : wide_ins() * element(); }
    int64_t number_bytes() const { return planes && !in_pairs() ? columns() * window_number : window_number; }
};

/// Rows of the input as the windows of one row after the other need them, with zeros around.
class Rows {
  public:
    /// `memory`: size() bytes.
    Rows(const Shapes &shapes, std::byte *memory) : s_(shapes), memory_(memory)
    {
        std::memset(memory, 0, static_cast<size_t>(size(shapes)));
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
        return y < 0 || y >= s_.y.input ? zeros() : memory_ + y % s_.y.reach() * s_.row_bytes();
    }

  private:
    const Shapes &s_;
    std::byte *memory_;
    const std::byte *picture_ = nullptr;
    int64_t next_ = 0;

    const std::byte *zeros() const { return memory_ + s_.y.reach() * s_.row_bytes(); }

    void copy(int64_t y)
    {
        const int64_t count = std::clamp<int64_t>(s_.columns() - s_.x.pad_begin, 0, s_.x.input);
        std::byte *to = memory_ + y % s_.y.reach() * s_.row_bytes() + s_.x.pad_begin * s_.column_bytes();
        const std::byte *from = picture_ + y * s_.row * s_.element();
        if (s_.planes && s_.in_pairs())
            interleave(to, from, count);
        else if (s_.planes)
            for (int64_t c = 0; c < s_.ins; c++)
                copy_bytes(to + c * s_.number_bytes(), from + c * s_.plane * s_.element(), count * s_.element());
        else if (s_.wide_ins() == s_.ins)
            copy_bytes(to, from, count * s_.column_bytes());
        else if (s_.ins == 1)
            widen_pixels<1>(to, from, count);
        else
            widen_pixels<3>(to, from, count);
    }

    /// Pixels of an odd number of bf16 to pixels of one more.
    template <size_t channels> static void widen_pixels(std::byte *to, const std::byte *from, int64_t count)
    {
        constexpr size_t pixel = channels * sizeof(BFloat16), wide = pixel + sizeof(BFloat16);
        for (int64_t x = 0; x < count; x++, to += wide, from += pixel)
            std::memcpy(to, from, pixel);
    }

    static void copy_bytes(std::byte *to, const std::byte *from, int64_t bytes)
    {
        std::memcpy(to, from, static_cast<size_t>(bytes));
    }

    void interleave(std::byte *to, const std::byte *planes, int64_t count) const
    {
        InterleavedRows rows{.operands = static_cast<size_t>(s_.wide_ins()), .to = to, .rows = 1, .length = count};
        for (size_t c = 0; c < rows.operands; c++)
            rows.from[c] =
                c < static_cast<size_t>(s_.ins) ? planes + static_cast<int64_t>(c) * s_.plane * s_.element() : zeros();
        interleave_rows(rows, size_of(s_.type));
    }
};

/// Convolutions of pictures with few channels, such as the first of most models.
class FewChannels final : public Kernel {
  public:
    FewChannels(const Shapes &shapes, Constant weights, std::vector<float> bias, UnaryStages stages, int threads)
        : s_(shapes), weights_(std::move(weights)), bias_(std::move(bias)), bounds_(take_bounds(stages)),
          stages_(std::move(stages.stages)), made_{stages.made}, threads_(threads)
    {
    }

    /// Bytes: of each thread the rows that it reads, and one that it makes as f32, when it becomes bf16 later.
    size_t scratch() const { return static_cast<size_t>(threads_ * (rows() + room())); }

    void prepare() override { weights_.tensor(); }

    void run(const Launch &launch) const override
    {
        const int64_t rows = s_.batch * s_.y.output;
        parallel_for(threads_, threads_, [&](int64_t first, int64_t last) {
            for (int64_t part = first; part < last; part++)
                run_rows(launch, launch.scratch + part * (this->rows() + room()), rows * part / threads_,
                         rows * (part + 1) / threads_);
        });
    }

  private:
    const Shapes s_;
    const Constant weights_;
    const std::vector<float> bias_;
    const std::optional<std::array<float, 2>> bounds_;
    const std::vector<UnaryStage> stages_;
    const Floats made_;
    const int threads_;

    int64_t rows() const { return in_lines(Rows::size(s_)); }
    bool narrows() const { return made_.type != Type::f32 && !stages_.empty(); }
    int64_t room() const { return narrows() ? in_lines(s_.x.output * s_.outs * window_number) : 0; }

    void run_rows(const Launch &launch, std::byte *memory, int64_t first, int64_t last) const
    {
        const Tensor weights = weights_.tensor();
        std::vector<const std::byte *> taps(static_cast<size_t>(s_.numbers()));
        WindowSums windows{.taps = taps.data(),
                           .count = s_.numbers(),
                           .last_tap = s_.numbers(),
                           .step = s_.x.stride * s_.column_bytes(),
                           .weights = weights.raw(),
                           .bias = bias_.data(),
                           .bounds = bounds_,
                           .outs = s_.outs,
                           .made = narrows() ? Type::f32 : made_.type,
                           .last = s_.x.output};
        windows.stride = s_.outs * static_cast<int64_t>(size_of(windows.made));
        const int64_t numbers = s_.x.output * s_.outs;
        Rows rows(s_, memory);
        for (int64_t i = first; i < last; i++) {
            const int64_t position = i % s_.y.output;
            if (i == first || position == 0)
                rows.begin(launch.in[0] + i / s_.y.output * s_.picture * s_.element());
            rows.advance(position);
            find_taps(taps, rows, position);
            std::byte *out = launch.out[0] + i * numbers * made_.element();
            std::byte *made = narrows() ? memory + this->rows() : out;
            (s_.in_pairs() ? window_sums_bf16 : window_sums)(made, windows);
            auto *sums = reinterpret_cast<float *>(made);
            for (const UnaryStage &stage : stages_)
                stage.apply(sums, sums, nullptr, false, numbers, stage.a, stage.b);
            if (narrows())
                vector_narrow(out, sums, numbers);
        }
    }

    void find_taps(std::vector<const std::byte *> &taps, const Rows &rows, int64_t position) const
    {
        const int64_t numbers = s_.wide_ins() * s_.element() / window_number;
        auto tap = taps.begin();
        for (int64_t y = 0; y < s_.y.kernel; y++) {
            const std::byte *row = rows.row(s_.y.at(position, y));
            for (int64_t x = 0; x < s_.x.kernel; x++)
                for (int64_t n = 0; n < numbers; n++)
                    *tap++ = row + x * s_.x.dilation * s_.column_bytes() + n * s_.number_bytes();
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

} // namespace

Attempt attempt_few_channels(const NodeFacts &facts)
{
    constexpr int64_t most_channels = 4, fewest_outs = 8, most_taps = 256; // their weights stay in the first cache
    if (auto fault = onednn::convolution_fault(facts); !fault.empty())
        return fault;
    if (facts.dims(0).size() != 4 || facts.attributes().integer("group", 1) != 1)
        return "it is no convolution of pictures without groups";
    if (auto fault = window_sums_fault(facts.type(0)); !fault.empty())
        return fault;
    const Shape &weights = facts.dims(1);
    if (weights[1] > most_channels || weights[0] < fewest_outs || count_of(weights) / weights[0] > most_taps)
        return "it reads more than " + std::to_string(most_channels) + " channels or " + std::to_string(most_taps) +
               " numbers at once, or makes fewer than " + std::to_string(fewest_outs) + " channels";
    const auto axes = windows_of(facts.attributes(), facts.dims(0), onednn::spatial(weights));
    constexpr int64_t farthest = 64; // rows that are read and dropped cost memory
    if (axes[0].reach() > farthest || axes[1].reach() > farthest || axes[1].stride > farthest)
        return "its windows reach farther than " + std::to_string(farthest) + " pixels";
    const Layout in = readable(facts.in[0].layout), out = Layout::channels_last(in.type, facts.out[0].dims);
    const Shapes shapes{in.type, in.dims[0],    in.dims[1],    weights[0],    axes[0],
                        axes[1], in.strides[0], in.strides[2], in.strides[1], in.strides[3] == 1};
    UnaryStages stages = unary_stages(facts.node, 0, in.type, in.type != Type::f32);
    if (in.type != Type::f32 && stages.count != facts.node.post_ops.size())
        return "it does not take all of the post-ops";
    Choice choice;
    choice.in = {{0, in}};
    choice.out = {onednn::typed(out, stages.made)};
    choice.post_ops = stages.count;
    choice.detail = detail_of(in.type, facts.threads);
    auto kernel = std::make_unique<FewChannels>(
        shapes, weights_in_groups(facts.weights, *facts.constant(1), window_weights(weights)),
        bias_in_blocks(facts.constant(2), weights[0]), std::move(stages), facts.threads);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

} // namespace leat::cpu
