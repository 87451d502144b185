#include "devices/cpu/team.h"
#include "elementwise.h"
#include "window.h"
#include "window_sums.h"

#include <algorithm>

namespace leat::cpu {
namespace {

/// Sizes, and how the picture lies: planes of numbers side by side, or pixels of channels.
struct Shapes {
    int64_t batch, ins, outs;
    WindowAxis y, x;
    int64_t picture, row, plane; ///< in the input, from one to the next: elements
    bool planes;

    int64_t taps() const { return y.kernel * x.kernel * ins; }
    /// Columns that windows read, those of pixels beyond the last too.
    int64_t columns() const { return (std::max(x.output, window_pixels) - 1) * x.stride + x.reach(); }
    int64_t row_numbers() const { return columns() * ins; }
};

/// Rows of the input as the windows of one row after the other need them, with zeros around.
class Rows {
  public:
    /// `memory`: size() numbers.
    Rows(const Shapes &shapes, float *memory) : s_(shapes), memory_(memory) { std::fill_n(memory, size(shapes), 0.f); }

    static int64_t size(const Shapes &s) { return (s.y.reach() + 1) * s.row_numbers(); }

    void begin(const float *picture)
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
    const float *row(int64_t y) const
    {
        return memory_ + (y < 0 || y >= s_.y.input ? s_.y.reach() : y % s_.y.reach()) * s_.row_numbers();
    }

  private:
    const Shapes &s_;
    float *memory_;
    const float *picture_ = nullptr;
    int64_t next_ = 0;

    void copy(int64_t y)
    {
        const int64_t count = std::clamp<int64_t>(s_.columns() - s_.x.pad_begin, 0, s_.x.input);
        float *to = memory_ + y % s_.y.reach() * s_.row_numbers();
        const float *from = picture_ + y * s_.row;
        if (!s_.planes)
            std::copy_n(from, count * s_.ins, to + s_.x.pad_begin * s_.ins);
        else
            for (int64_t c = 0; c < s_.ins; c++)
                std::copy_n(from + c * s_.plane, count, to + c * s_.columns() + s_.x.pad_begin);
    }
};

/// Convolutions of pictures with few channels, such as the first of most models.
class FewChannels final : public Kernel {
  public:
    FewChannels(const Shapes &shapes, Constant weights, std::vector<float> bias, UnaryStages stages, int threads)
        : s_(shapes), weights_(std::move(weights)), bias_(std::move(bias)), bounds_(take_bounds(stages)),
          stages_(std::move(stages.stages)), threads_(threads)
    {
    }

    /// Bytes: of each thread the rows that it reads.
    size_t scratch() const { return static_cast<size_t>(threads_ * room()) * sizeof(float); }

    void prepare() override { weights_.tensor(); }

    void run(const Launch &launch) const override
    {
        const int64_t rows = s_.batch * s_.y.output;
        parallel_for(threads_, threads_, [&](int64_t first, int64_t last) {
            for (int64_t part = first; part < last; part++)
                run_rows(launch, reinterpret_cast<float *>(launch.scratch) + part * room(), rows * part / threads_,
                         rows * (part + 1) / threads_);
        });
    }

  private:
    const Shapes s_;
    const Constant weights_;
    const std::vector<float> bias_;
    const std::optional<std::array<float, 2>> bounds_;
    const std::vector<UnaryStage> stages_;
    const int threads_;

    int64_t room() const { return (Rows::size(s_) + 15) / 16 * 16; }

    void run_rows(const Launch &launch, float *memory, int64_t first, int64_t last) const
    {
        const auto *in = reinterpret_cast<const float *>(launch.in[0]);
        const Tensor weights = weights_.tensor();
        std::vector<const std::byte *> taps(static_cast<size_t>(s_.taps()));
        const WindowSums windows{.taps = taps.data(),
                                 .count = s_.taps(),
                                 .last_tap = s_.taps(),
                                 .step = (s_.planes ? s_.x.stride : s_.x.stride * s_.ins) * window_number,
                                 .weights = weights.raw(),
                                 .bias = bias_.data(),
                                 .bounds = bounds_,
                                 .outs = s_.outs,
                                 .stride = s_.outs * window_number,
                                 .last = s_.x.output};
        const int64_t numbers = s_.x.output * s_.outs;
        Rows rows(s_, memory);
        for (int64_t i = first; i < last; i++) {
            const int64_t position = i % s_.y.output;
            if (i == first || position == 0)
                rows.begin(in + i / s_.y.output * s_.picture);
            rows.advance(position);
            find_taps(taps, rows, position);
            std::byte *out = launch.out[0] + i * numbers * window_number;
            window_sums(out, windows);
            auto *sums = reinterpret_cast<float *>(out);
            for (const UnaryStage &stage : stages_)
                stage.apply(sums, sums, nullptr, false, numbers, stage.a, stage.b);
        }
    }

    void find_taps(std::vector<const std::byte *> &taps, const Rows &rows, int64_t position) const
    {
        auto tap = taps.begin();
        for (int64_t y = 0; y < s_.y.kernel; y++) {
            const float *row = rows.row(s_.y.at(position, y));
            for (int64_t x = 0; x < s_.x.kernel; x++)
                for (int64_t c = 0; c < s_.ins; c++) {
                    const int64_t column = x * s_.x.dilation;
                    *tap++ = reinterpret_cast<const std::byte *>(
                        row + (s_.planes ? c * s_.columns() + column : column * s_.ins + c));
                }
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
    if (facts.type(0) != Type::f32 || facts.dims(0).size() != 4 || facts.attributes().integer("group", 1) != 1)
        return "it is no f32 convolution of pictures without groups";
    const Shape &weights = facts.dims(1);
    if (weights[1] > most_channels || weights[0] < fewest_outs || count_of(weights) / weights[0] > most_taps)
        return "it reads more than " + std::to_string(most_channels) + " channels or " + std::to_string(most_taps) +
               " numbers at once, or makes fewer than " + std::to_string(fewest_outs) + " channels";
    const auto axes = windows_of(facts.attributes(), facts.dims(0), onednn::spatial(weights));
    constexpr int64_t farthest = 64; // rows that are read and dropped cost memory
    if (axes[0].reach() > farthest || axes[1].reach() > farthest || axes[1].stride > farthest)
        return "its windows reach farther than " + std::to_string(farthest) + " pixels";
    const Layout in = readable(facts.in[0].layout), out = Layout::channels_last(Type::f32, facts.out[0].dims);
    const Shapes shapes{in.dims[0],    in.dims[1],    weights[0],    axes[0],           axes[1],
                        in.strides[0], in.strides[2], in.strides[1], in.strides[3] == 1};
    UnaryStages stages = unary_stages(facts.node, 0, Type::f32, false);
    Choice choice;
    choice.in = {{0, in}};
    choice.out = {out};
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
