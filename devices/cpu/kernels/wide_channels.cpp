#include "wide_channels.h"

#include "wide_sums.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <span>
#include <utility>

namespace leat::cpu {
namespace {

/// Places of constant weights by output channel, tap and input channel.
struct Places {
    int64_t outputs, inputs, taps;
    bool convolves;
    Places(const Shape &shape, bool is_convolution)
        : outputs(shape[is_convolution ? 0 : 1]), inputs(shape[is_convolution ? 1 : 0]),
          taps(is_convolution ? count_of({shape.begin() + 2, shape.end()}) : 1), convolves(is_convolution)
    {
    }
    int64_t at(int64_t output, int64_t tap, int64_t input) const
    {
        return convolves ? (output * inputs + input) * taps + tap : input * outputs + output;
    }
    /// Calls function(output, place) for each element.
    template <class F> void each(F function) const
    {
        const int64_t rows = convolves ? 1 : inputs, length = convolves ? inputs * taps : 1;
        int64_t place = 0;
        for (int64_t row = 0; row < rows; row++)
            for (int64_t output = 0; output < outputs; output++)
                for (int64_t i = 0; i < length; i++)
                    function(output, place++);
    }
};

/// The zero point of each output channel.
std::vector<int32_t> zeros_of(const Tensor *zero_point, int64_t channels)
{
    std::vector<int32_t> zeros(static_cast<size_t>(channels), 0);
    if (!zero_point)
        return zeros;
    const Tensor numbers = zero_point->converted(Type::s32);
    for (size_t i = 0; i < zeros.size(); i++)
        zeros[i] = numbers.data<int32_t>()[numbers.count() > 1 ? i : 0];
    return zeros;
}

/// Makes the wide channels of elements of type T.
template <class T> class Exact final : public Kernel {
  public:
    Exact(std::unique_ptr<Kernel> product, const Slice &slice, std::shared_ptr<const WideChannels> wide,
          SumScales scales, std::optional<int32_t> zero)
        : product_(std::move(product)), wide_(std::move(wide)), how_(std::move(scales)), zero_(zero), in_(slice.in),
          out_(slice.out), axes_(three_axes(slice.axes)), pictures_(out_.dims[0]),
          outputs_of_group_(static_cast<int64_t>(how_.scales.size()) * wide_->inputs / in_.dims[1])
    {
        const size_t missing = axes_.size() - slice.axes.size();
        for (size_t axis = 0; axis < slice.axes.size(); axis++) {
            in_steps_[missing + axis] = in_.strides[2 + axis];
            out_steps_[missing + axis] = out_.strides[2 + axis];
        }
        if (slice.axes.empty()) { // the rows of a matrix are a line of pixels
            axes_[2].input = axes_[2].output = std::exchange(pictures_, 1);
            in_steps_[2] = in_.strides[0];
            out_steps_[2] = out_.strides[0];
        }
        inside_ = {0, axes_[2].output};
        for (int64_t tap = 0; tap < axes_[2].kernel; tap++) {
            const auto [first, last] = axes_[2].positions_inside(tap);
            inside_ = {std::max(inside_[0], first), std::min(inside_[1], last)};
        }
    }

    void prepare() override { product_->prepare(); }

    void run(const Launch &launch) const override
    {
        product_->run(launch);
        const auto *x = reinterpret_cast<const T *>(launch.in[0]);
        const int32_t zero = zero_ ? *zero_ : *reinterpret_cast<const int32_t *>(launch.in[1]);
        Row row{zero, {}, std::vector<int32_t>(static_cast<size_t>(axes_[2].output)), {}};
        row.numbers.resize(row.sums.size());
        for (int64_t picture = 0; picture < pictures_; picture++)
            for (int64_t plane = 0; plane < axes_[0].output; plane++)
                for (int64_t line = 0; line < axes_[1].output; line++)
                    for (size_t i = 0; i < wide_->channels.size(); i++) {
                        calculate(row, x + picture * in_.strides[0], {plane, line}, i);
                        store(row, launch.out[0],
                              picture * out_.strides[0] + plane * out_steps_[0] + line * out_steps_[1] +
                                  wide_->channels[i] * out_.strides[1]);
                    }
    }

  private:
    /// One wide channel of the pixels along the last axis.
    struct Row {
        int32_t zero; ///< point of the input
        std::vector<Run<T>> runs;
        std::vector<int32_t> sums;
        std::vector<float> numbers;
    };
    using Range = std::array<int64_t, 2>;

    std::unique_ptr<Kernel> product_;
    std::shared_ptr<const WideChannels> wide_;
    SumScales how_;
    std::optional<int32_t> zero_;
    Layout in_, out_;
    std::array<WindowAxis, 3> axes_;
    int64_t pictures_, outputs_of_group_;
    std::array<int64_t, 3> in_steps_{}, out_steps_{};
    Range inside_; // pixels whose windows meet no padding on the last axis

    void calculate(Row &row, const T *x, const std::array<int64_t, 2> &at, size_t index) const
    {
        const int64_t last = axes_[2].output;
        if (inside_[0] >= inside_[1])
            return calculate_apart(row, x, at, index, {0, last});
        calculate_apart(row, x, at, index, {0, inside_[0]});
        calculate(row, x, at, index, inside_);
        calculate_apart(row, x, at, index, {inside_[1], last});
    }

    void calculate_apart(Row &row, const T *x, const std::array<int64_t, 2> &at, size_t index, Range pixels) const
    {
        for (int64_t pixel = pixels[0]; pixel < pixels[1]; pixel++)
            calculate(row, x, at, index, {pixel, pixel + 1});
    }

    /// Pixels whose windows have the same taps.
    void calculate(Row &row, const T *x, const std::array<int64_t, 2> &at, size_t index, Range pixels) const
    {
        find_runs(row.runs, x, {at[0], at[1], pixels[0]}, index);
        int32_t less = 0;
        for (const Run<T> &run : row.runs)
            less += row.zero * std::accumulate(run.weights, run.weights + run.count, 0);
        const auto first = static_cast<size_t>(pixels[0]), count = static_cast<size_t>(pixels[1] - pixels[0]);
        const std::span sums(row.sums.data() + first, count);
        sum_runs(sums, row.runs, axes_[2].stride * in_steps_[2]);
        const auto channel = static_cast<size_t>(wide_->channels[index]);
        scale_sums({row.numbers.data() + first, count}, sums.data(), less, how_.scales[channel], how_.bias[channel]);
    }

    void find_runs(std::vector<Run<T>> &runs, const T *x, const std::array<int64_t, 3> &at, size_t index) const
    {
        runs.clear();
        const int64_t group = wide_->channels[index] / outputs_of_group_;
        x += group * wide_->inputs * in_.strides[1];
        const int16_t *weights = wide_->weights.data() + static_cast<int64_t>(index) * wide_->taps * wide_->inputs;
        const Range planes = axes_[0].taps_inside(at[0]), lines = axes_[1].taps_inside(at[1]),
                    columns = axes_[2].taps_inside(at[2]);
        const bool touch = in_steps_[2] * axes_[2].dilation == wide_->inputs;
        const int64_t together = touch ? columns[1] - columns[0] : 1;
        for (int64_t plane = planes[0]; plane < planes[1]; plane++)
            for (int64_t line = lines[0]; line < lines[1]; line++)
                for (int64_t column = columns[0]; column < columns[1]; column += together) {
                    const int64_t tap = (plane * axes_[1].kernel + line) * axes_[2].kernel + column;
                    runs.push_back({x + axes_[0].at(at[0], plane) * in_steps_[0] +
                                        axes_[1].at(at[1], line) * in_steps_[1] +
                                        axes_[2].at(at[2], column) * in_steps_[2],
                                    weights + tap * wide_->inputs, wide_->inputs * together});
                }
    }

    void store(Row &row, std::byte *to, int64_t place) const
    {
        if (out_.type == Type::f32)
            return scatter(row, reinterpret_cast<float *>(to) + place);
        if (out_.type == Type::u8) {
            round_sums(row.numbers, 0, 255);
            return scatter(row, reinterpret_cast<uint8_t *>(to) + place);
        }
        round_sums(row.numbers, -128, 127);
        scatter(row, reinterpret_cast<int8_t *>(to) + place);
    }

    template <class Number> void scatter(const Row &row, Number *to) const
    {
        for (float number : row.numbers) {
            *to = static_cast<Number>(number);
            to += out_steps_[2];
        }
    }
};

} // namespace

NarrowedWeights narrowed(const Tensor &integers, const Tensor *zero_point, bool convolves, Weights &weights)
{
    const Places places(integers.shape(), convolves);
    const std::vector<int32_t> zeros = zeros_of(zero_point, places.outputs);
    NarrowedWeights result{integers, {{}, {}, places.taps, places.inputs}};
    const bool shifted = std::any_of(zeros.begin(), zeros.end(), [](int32_t zero) { return zero != 0; });
    if (integers.type() == Type::s8 && !shifted)
        return result;
    const bool is_signed = integers.type() == Type::s8;
    const auto number = [&](int64_t output, int64_t place) {
        const auto byte = std::to_integer<uint8_t>(integers.raw()[place]);
        return (is_signed ? static_cast<int8_t>(byte) : byte) - zeros[static_cast<size_t>(output)];
    };
    std::string form = "saturated s8 of " + to_string(integers.shape()) + " less";
    for (int32_t zero : zeros)
        form += ' ' + std::to_string(zero);
    result.saturated = weights.get(integers, form, [&] {
        Tensor made(Type::s8, integers.shape());
        places.each([&](int64_t output, int64_t place) {
            made.data<int8_t>()[place] = static_cast<int8_t>(std::clamp(number(output, place), -128, 127));
        });
        return made;
    });
    std::vector<uint8_t> wide(zeros.size(), 0);
    places.each([&](int64_t output, int64_t place) {
        wide[static_cast<size_t>(output)] |= number(output, place) != result.saturated.data<int8_t>()[place];
    });
    for (int64_t output = 0; output < places.outputs; output++) {
        if (!wide[static_cast<size_t>(output)])
            continue;
        result.wide.channels.push_back(output);
        for (int64_t tap = 0; tap < places.taps; tap++)
            for (int64_t input = 0; input < places.inputs; input++)
                result.wide.weights.push_back(static_cast<int16_t>(number(output, places.at(output, tap, input))));
    }
    return result;
}

WeightsWithZeros as_s8(const Tensor &integers, const Tensor *zero_point, int64_t channels, Weights &weights)
{
    WeightsWithZeros made{integers, zeros_of(zero_point, channels)};
    if (integers.type() == Type::s8)
        return made;
    constexpr int32_t shift = 128;
    for (int32_t &zero : made.zeros)
        zero -= shift;
    made.weights = weights.get(integers, "less 128", [&] {
        Tensor shifted(Type::s8, integers.shape());
        std::ranges::transform(integers.values<uint8_t>(), shifted.data<int8_t>(),
                               [](uint8_t weight) { return static_cast<int8_t>(weight - shift); });
        return shifted;
    });
    return made;
}

std::unique_ptr<Kernel> with_wide_channels(std::unique_ptr<Kernel> product, const Slice &slice,
                                           std::shared_ptr<const WideChannels> wide, SumScales scales,
                                           std::optional<int32_t> source_zero_point)
{
    if (slice.in.type == Type::u8)
        return std::make_unique<Exact<uint8_t>>(std::move(product), slice, std::move(wide), std::move(scales),
                                                source_zero_point);
    return std::make_unique<Exact<int8_t>>(std::move(product), slice, std::move(wide), std::move(scales),
                                           source_zero_point);
}

} // namespace leat::cpu
