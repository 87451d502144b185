#include "preprocess/image_to_tensor.h"
#include "preprocess/row_kernels.h"
#include "preprocess/row_memory.h"
#include "preprocess/sampling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <hwy/cache_control.h>
#include <list>
#include <memory>
#include <vector>

namespace leat {
namespace {

/// The samples [origin, end) of a row.
struct SampleRange {
    int origin, end;
};

/// The samples of an axis that may be read.
SampleRange range_of(const SampleAxis &axis)
{
    return {static_cast<int>(axis.low), static_cast<int>(std::ceil(axis.high)) + 1};
}

/// Everything that the tables for a row depend on: the tensor's pixels [first, last), each `scale` frame pixels wide.
struct Columns {
    float scale, offset;
    SampleAxis axis;
    Filter filter;
    int first, last;
    bool operator==(const Columns &) const = default;
};

/// Pair number `number` of a pixel's taps. Shares are rounded so that their sum stays exact; one without taps left has
/// no share in whatever sample comes there, so that pairs of neighbouring pixels stay in order.
SamplePair pair_of(const Taps &taps, int number, const SampleRange &range)
{
    const auto rounded_sum = [&](int count) {
        double sum = 0;
        for (int tap = 0; tap < std::min(count, taps.count); tap++)
            sum += taps.share(tap);
        return static_cast<int>(sum * ColumnTable::one + 0.5);
    };
    const int before = rounded_sum(2 * number), between = rounded_sum(2 * number + 1),
              after = rounded_sum(2 * number + 2);
    return {std::min(taps.first + 2 * number, range.end - 1) - range.origin, static_cast<int16_t>(between - before),
            static_cast<int16_t>(after - between)};
}

/// Their shares add up.
using ColumnTables = std::vector<ColumnTable>;

/// As many as the pixel with the most taps needs.
ColumnTables column_tables(const Columns &columns)
{
    std::vector<Taps> taps;
    taps.reserve(static_cast<size_t>(columns.last - columns.first));
    int most = 0;
    for (int x = columns.first; x < columns.last; x++) {
        taps.push_back(columns.axis.taps(static_cast<double>(columns.scale) * x + columns.offset,
                                         std::fabs(columns.scale), columns.filter));
        most = std::max(most, taps.back().count);
    }
    ColumnTables tables;
    std::vector<SamplePair> pairs(taps.size());
    for (int number = 0; 2 * number < most; number++) {
        for (size_t i = 0; i < taps.size(); i++)
            pairs[i] = pair_of(taps[i], number, range_of(columns.axis));
        tables.emplace_back(pairs);
    }
    return tables;
}

/// From those that this thread used last, where they are among them: a stream's frames need the same ones.
std::shared_ptr<const ColumnTables> tables_for(const Columns &columns)
{
    struct Used {
        Columns columns;
        std::shared_ptr<const ColumnTables> tables;
    };
    constexpr size_t most = 8;
    thread_local std::vector<Used> used; // the last one first
    auto found = std::find_if(used.begin(), used.end(), [&](const Used &one) { return one.columns == columns; });
    if (found == used.end()) {
        auto tables = std::make_shared<const ColumnTables>(column_tables(columns));
        if (used.size() == most)
            used.pop_back();
        found = used.insert(used.end(), {columns, std::move(tables)});
    }
    std::rotate(used.begin(), found, found + 1);
    return used.front().tables;
}

/// The two rows between which a tensor row lies, for one component.
struct RowPair {
    const float *upper, *lower;
    float weight; ///< of `lower`
};

/// Rows of one plane, resampled to the tensor's columns. Keeps the two that were made last.
class ResampledPlane {
  public:
    ResampledPlane(const Image &image, size_t plane, const Rectangle &picture, Filter filter, RowMemory &memory)
        : matrix_(image.to_frame), filter_(filter), plane_(image.planes[plane]), component_(component_of(image, plane)),
          rows_(vertical_axis(image, component_.shift)), width_(picture.right - picture.left)
    {
        const SampleAxis columns = horizontal_axis(image, component_.shift);
        samples_ = range_of(columns);
        tables_ = tables_for({matrix_.a, matrix_.tx, columns, filter, picture.left, picture.right});
        plane_rows_ = sample_count(image.height, component_.shift);
        samples_left_ = sample_count(image.width, component_.shift) - samples_.end;
        const auto slack = static_cast<size_t>(with_slack(width_));
        for (size_t i = 0; i < components(); i++) {
            const auto samples = static_cast<size_t>(with_slack(samples_.end - samples_.origin));
            split_[i] = memory.row<uint8_t>(samples);
            std::fill_n(split_[i], samples, uint8_t(0));
            for (auto &slot : slots_)
                slot.resampled[i] = memory.row<float>(slack);
            mean_[i] = memory.row<float>(slack);
        }
    }

    /// Makes the rows that the tensor's row needs.
    void move_to(int tensor_row)
    {
        prefetch(taps_of(tensor_row + rows_ahead));
        const Taps taps = taps_of(tensor_row);
        if (taps.count > 2) {
            average(taps);
            return;
        }
        const Slot &upper = resampled(taps.first);
        const Slot &lower = taps.count == 2 ? resampled(taps.first + 1) : upper;
        for (size_t i = 0; i < components(); i++)
            pairs_[i] = {upper.resampled[i], lower.resampled[i], static_cast<float>(1 - taps.head)};
    }

    /// Of the component whose byte offset in the plane's pixels that is. Valid until the next move_to().
    const RowPair &rows(size_t offset) const { return pairs_[offset]; }

  private:
    static constexpr size_t most_components = 3;
    /// A frame that another core has decoded comes from its caches, too far away for a processor to fetch it by itself
    /// in time.
    static constexpr int rows_ahead = 4;

    struct Slot {
        int row = -1;
        float *resampled[most_components] = {};
    };

    static const Component &component_of(const Image &image, size_t plane)
    {
        const PixelLayout &layout = layout_of(image.format);
        return *std::find_if(layout.components.begin(), layout.components.begin() + layout.count,
                             [&](const Component &component) { return component.plane == plane; });
    }

    Taps taps_of(int tensor_row) const
    {
        return rows_.taps(static_cast<double>(matrix_.d) * tensor_row + matrix_.ty, std::fabs(matrix_.d), filter_);
    }

    size_t components() const { return std::min<size_t>(component_.step, most_components); }

    /// Neighbouring rows have different slots.
    const Slot &resampled(int row)
    {
        Slot &slot = slots_[row % 2];
        if (slot.row != row) {
            fill(slot, row);
            slot.row = row;
        }
        return slot;
    }

    /// Where the samples of a row begin.
    const uint8_t *samples_of(int row) const
    {
        return plane_.data + row * plane_.stride + samples_.origin * component_.step;
    }

    void prefetch(const Taps &taps) const
    {
        constexpr int cache_line = 64;
        const int bytes = (samples_.end - samples_.origin) * component_.step;
        for (int tap = 0; tap < taps.count; tap++)
            for (int i = 0; i < bytes; i += cache_line)
                hwy::Prefetch(samples_of(taps.first + tap) + i);
    }

    /// True when the row's samples lie side by side, and memory of the plane behind them.
    bool serves_in_place(int row) const
    {
        const int rows_behind = plane_.stride < 0 ? row : plane_rows_ - 1 - row;
        return component_.step == 1 && rows_behind * std::abs(plane_.stride) + samples_left_ >= row_slack;
    }

    void fill(Slot &slot, int row)
    {
        const uint8_t *samples[] = {samples_of(row), nullptr, nullptr};
        if (!serves_in_place(row)) {
            split_row(samples_of(row), samples_.end - samples_.origin, component_.step, split_);
            std::copy_n(split_, components(), samples);
        }
        for (size_t i = 0; i < components(); i++)
            for (const ColumnTable &table : *tables_)
                resample_row(samples[i], table, &table != tables_->data(), slot.resampled[i]);
    }

    void average(const Taps &taps)
    {
        for (int tap = 0; tap < taps.count; tap++) {
            const Slot &slot = resampled(taps.first + tap);
            for (size_t i = 0; i < components(); i++)
                scale_row(slot.resampled[i], width_, static_cast<float>(taps.share(tap)), tap > 0, mean_[i]);
        }
        for (size_t i = 0; i < components(); i++)
            pairs_[i] = {mean_[i], mean_[i], 0};
    }

    Affine matrix_;
    Filter filter_;
    Image::Plane plane_;
    Component component_; ///< one of the plane's
    SampleAxis rows_;
    int width_;
    SampleRange samples_{};
    std::shared_ptr<const ColumnTables> tables_;
    int plane_rows_ = 0, samples_left_ = 0; ///< samples of a row behind the range
    uint8_t *split_[most_components] = {};
    Slot slots_[2];
    float *mean_[most_components] = {};
    RowPair pairs_[most_components];
};

/// Colour and normalisation, without the rows.
RowMix mix_for(const Image &image, const ImageSpec &spec)
{
    RowMix mix{};
    mix.components = layout_of(image.format).count;
    mix.grey = spec.order == ColourOrder::gray;
    for (size_t c = 0; c < 3; c++) {
        const size_t row = spec.order == ColourOrder::bgr ? 2 - c : c;
        std::copy_n(image.colour.rows[row].data(), 4, mix.matrix[c]);
        mix.grey_weights[c] = grey_weights[c];
        mix.mul[c] = spec.mul[c];
        mix.add[c] = spec.add[c];
    }
    return mix;
}

/// One row of the tensor in the making. Channels of f32 that lie side by side are written in place.
class TensorRows {
  public:
    TensorRows(const ImageSpec &spec, const TensorLayout &layout, std::byte *out, RowMemory &memory)
        : spec_(spec), layout_(layout), out_(out), channels_(channels_of(spec.order)),
          in_place_(spec.type == Type::f32 && layout.pixel_stride == 1)
    {
        const auto width = static_cast<size_t>(with_slack(spec.width));
        for (size_t c = 0; c < static_cast<size_t>(channels_); c++) {
            if (!in_place_)
                floats_[c] = memory.row<float>(width);
            if (spec.type != Type::f32)
                converted_[c] = memory.row<uint16_t>(width);
        }
    }

    /// `fill(float *const *channels)` makes the row.
    template <class Fill> void write(int row, Fill &&fill)
    {
        const size_t bytes = size_of(spec_.type);
        std::byte *out = out_ + row * layout_.row_stride * static_cast<ptrdiff_t>(bytes);
        float *floats[3] = {};
        for (int c = 0; c < channels_; c++)
            floats[c] = in_place_ ? reinterpret_cast<float *>(out) + c * layout_.channel_stride : floats_[c];
        fill(floats);
        if (in_place_)
            return;
        const std::byte *rows[3] = {};
        for (int c = 0; c < channels_; c++)
            rows[c] = converted(c);
        interleave_row(rows, channels_, spec_.width, bytes, layout_.channel_stride, layout_.pixel_stride, out);
    }

    /// Pixels [first, last) of the row become padding.
    void pad(float *const *channels, int first, int last) const
    {
        for (size_t c = 0; c < static_cast<size_t>(channels_); c++)
            std::fill(channels[c] + first, channels[c] + last, spec_.pad * spec_.mul[c] + spec_.add[c]);
    }

  private:
    const std::byte *converted(int channel)
    {
        const float *floats = floats_[channel];
        uint16_t *out = converted_[channel];
        switch (spec_.type) {
        case Type::f16: to_f16(floats, spec_.width, out); break;
        case Type::bf16: to_bf16(floats, spec_.width, out); break;
        case Type::u8: to_u8(floats, spec_.width, reinterpret_cast<uint8_t *>(out)); break;
        default: return reinterpret_cast<const std::byte *>(floats);
        }
        return reinterpret_cast<const std::byte *>(out);
    }

    const ImageSpec &spec_;
    const TensorLayout &layout_;
    std::byte *out_;
    int channels_;
    bool in_place_;
    float *floats_[3] = {};
    uint16_t *converted_[3] = {};
};

void axis_aligned(const Image &image, const ImageSpec &spec, TensorRows &tensor, RowMemory &memory, int first_row,
                  int last_row)
{
    const Rectangle picture = picture_of(image, spec);
    const PixelLayout &layout = layout_of(image.format);
    std::list<ResampledPlane> planes;
    std::array<ResampledPlane *, 3> shows{}; // each component
    if (picture.left < picture.right)
        for (size_t i = 0; i < layout.count; i++) {
            if (layout.components[i].plane == planes.size())
                planes.emplace_back(image, planes.size(), picture, spec.filter, memory);
            shows[i] = &planes.back();
        }
    RowMix mix = mix_for(image, spec);
    for (int y = first_row; y < last_row; y++)
        tensor.write(y, [&](float *const *channels) {
            if (planes.empty() || y < picture.top || y >= picture.bottom) {
                tensor.pad(channels, 0, spec.width);
                return;
            }
            for (ResampledPlane &plane : planes)
                plane.move_to(y);
            for (size_t i = 0; i < layout.count; i++) {
                const RowPair &rows = shows[i]->rows(layout.components[i].offset);
                mix.upper[i] = rows.upper;
                mix.lower[i] = rows.lower;
                mix.weight[i] = rows.weight;
            }
            float *shown[3] = {};
            for (int c = 0; c < channels_of(spec.order); c++)
                shown[c] = channels[c] + picture.left;
            mix_rows(mix, picture.right - picture.left, shown);
            tensor.pad(channels, 0, picture.left);
            tensor.pad(channels, picture.right, spec.width);
        });
}

/// One plane of the frame at any positions: a row of samples of each of its components.
class PointSampler {
  public:
    PointSampler(const Image &image, const Component &component, int width, RowMemory &memory)
    {
        const SampleAxis columns = horizontal_axis(image, component.shift),
                         rows = vertical_axis(image, component.shift);
        const int samples = sample_count(image.width, component.shift);
        const int last_row = sample_count(image.height, component.shift) - 1;
        const Image::Plane &plane = image.planes[component.plane];
        const auto stride = static_cast<int32_t>(plane.stride);
        plane_.step = component.step;
        plane_.stride = stride;
        plane_.first = stride < 0 ? -stride * last_row : 0;
        plane_.lowest = plane.data - plane_.first;
        const int32_t bytes = std::abs(stride) * last_row + samples * component.step;
        if (bytes < 4) {
            std::copy_n(plane_.lowest, bytes, tiny_);
            plane_.lowest = tiny_;
        }
        plane_.last = std::max(bytes - 4, 0);
        plane_.halved = component.shift > 0;
        plane_.left = static_cast<float>(columns.low);
        plane_.right = static_cast<float>(columns.high);
        plane_.top = static_cast<float>(rows.low);
        plane_.bottom = static_cast<float>(rows.high);
        for (auto &row : rows_)
            row = memory.row<float>(static_cast<size_t>(with_slack(width)));
    }
    PointSampler(const PointSampler &) = delete;
    PointSampler &operator=(const PointSampler &) = delete;

    void sample(const PointRow &row, int first, int last) { sample_row(plane_, row, first, last, rows_); }

    /// Samples of the component whose byte offset in the plane's pixels that is.
    const float *row(size_t offset) const { return rows_[offset]; }

  private:
    SampledPlane plane_{};
    uint8_t tiny_[4] = {};
    float *rows_[3] = {};
};

void any_matrix(const Image &image, const ImageSpec &spec, TensorRows &tensor, RowMemory &memory, int first_row,
                int last_row)
{
    const PixelLayout &layout = layout_of(image.format);
    const Affine &m = image.to_frame;
    const RegionTest shows_region(image);
    std::list<PointSampler> samplers;
    RowMix mix = mix_for(image, spec);
    std::array<const float *, 3> sampled{};
    for (size_t i = 0; i < layout.count; i++) {
        const Component &component = layout.components[i];
        if (component.plane == samplers.size())
            samplers.emplace_back(image, component, spec.width, memory);
        sampled[i] = samplers.back().row(component.offset);
    }
    for (int y = first_row; y < last_row; y++)
        tensor.write(y, [&](float *const *channels) {
            // A row meets the region in one piece: both are convex.
            int first = 0, last = spec.width;
            while (first < last && !shows_region(first, y))
                first++;
            while (last > first && !shows_region(last - 1, y))
                last--;
            const double row = y;
            for (PointSampler &sampler : samplers)
                sampler.sample({static_cast<float>(m.b * row + m.tx), static_cast<float>(m.d * row + m.ty), m.a, m.c},
                               first, last);
            float *shown[3] = {};
            for (int c = 0; c < channels_of(spec.order); c++)
                shown[c] = channels[c] + first;
            for (size_t i = 0; i < layout.count; i++)
                mix.upper[i] = mix.lower[i] = sampled[i] + first;
            mix_rows(mix, last - first, shown);
            tensor.pad(channels, 0, first);
            tensor.pad(channels, last, spec.width);
        });
}

} // namespace

TensorLayout dense_layout(const ImageSpec &spec)
{
    const ptrdiff_t channels = channels_of(spec.order), width = spec.width;
    if (spec.layout == Layout::nchw)
        return {width * spec.height, width, 1};
    return {1, width * channels, channels};
}

void image_to_tensor(const Image &image, const ImageSpec &spec, const TensorLayout &layout, std::byte *out,
                     int first_row, int last_row)
{
    check_output_type(spec.type);
    check_frame(image);
    RowMemory memory;
    TensorRows tensor(spec, layout, out, memory);
    (is_axis_aligned(image.to_frame) ? axis_aligned : any_matrix)(image, spec, tensor, memory, first_row, last_row);
}

} // namespace leat
