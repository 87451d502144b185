#include "copy_block.h"
#include "devices/cpu/kernel.h"
#include "devices/cpu/team.h"
#include "inference/ops/resampling.h"
#include "vector_functions.h"

#include <algorithm>
#include <cstring>

namespace leat::cpu {
namespace {

/// An axis with the same number of taps everywhere, so that the loops know it beforehand.
struct EvenTable {
    int64_t taps = 1;
    std::vector<int32_t> first;
    std::vector<float> weights; ///< taps for each element
};

EvenTable even(const AxisTable &axis, int64_t size)
{
    EvenTable table;
    for (const Taps &taps : axis.taps)
        table.taps = std::max(table.taps, std::ssize(taps.weights));
    for (const Taps &taps : axis.taps) {
        const int64_t first = std::min(taps.first, size - table.taps);
        table.first.push_back(static_cast<int32_t>(first));
        const size_t begin = table.weights.size() + static_cast<size_t>(taps.first - first);
        table.weights.resize(table.weights.size() + static_cast<size_t>(table.taps), 0.f);
        std::copy(taps.weights.begin(), taps.weights.end(), table.weights.begin() + static_cast<ptrdiff_t>(begin));
    }
    return table;
}

/// Planes of rows of pixels: batches with the channels in the pixels, or with each channel in a plane of its own.
struct Planes {
    int64_t count, height, width, pixel;
};

class Resize final : public Kernel {
  public:
    Resize(Type type, Planes in, EvenTable rows, EvenTable columns, int threads)
        : floats_{type}, in_(in), rows_(std::move(rows)), columns_(std::move(columns)), threads_(threads)
    {
        for (size_t x = 0; x < columns_.first.size(); x++)
            same_width_ = same_width_ && columns_.taps == 1 && columns_.first[x] == static_cast<int32_t>(x);
        same_width_ = same_width_ && std::ssize(columns_.first) == in_.width;
    }

    void run(const Launch &launch) const override
    {
        const int64_t height = std::ssize(rows_.first);
        parallel_for(in_.count * height, threads_, [&](int64_t first, int64_t last) {
            const auto pixel = static_cast<size_t>(in_.pixel * floats_.element());
            const size_t in_row = static_cast<size_t>(in_.width) * pixel, out_row = columns_.first.size() * pixel;
            Rows rows(*this);
            for (int64_t turn = first; turn < last; turn++) {
                const auto y = static_cast<size_t>(turn % height);
                const std::byte *plane = launch.in[0] + static_cast<size_t>(turn / height * in_.height) * in_row;
                std::byte *to = launch.out[0] + static_cast<size_t>(turn) * out_row;
                if (turn > first && y > 0 && same_taps(y, y - 1))
                    std::memcpy(to, to - out_row, out_row);
                else if (picks())
                    pick_pixels(to, plane + static_cast<size_t>(rows_.first[y]) * in_row, pixel);
                else
                    make_row(to, plane, y, rows);
            }
        });
    }

  private:
    /// Rows of f32 in the making.
    struct Rows {
        explicit Rows(const Resize &r)
        {
            const auto width = static_cast<size_t>(r.in_.width * r.in_.pixel);
            if (r.picks())
                return;
            if (r.rows_.taps > 1)
                mixed.resize(width);
            if (r.floats_.type != Type::f32) {
                read.resize(width);
                made.resize(r.columns_.first.size() * static_cast<size_t>(r.in_.pixel));
            }
        }
        std::vector<float> read, mixed, made;
    };

    Floats floats_;
    Planes in_;
    EvenTable rows_, columns_;
    bool same_width_ = true;
    int threads_;

    /// Whether pixels stay as they are.
    bool picks() const { return rows_.taps == 1 && columns_.taps == 1; }

    bool same_taps(size_t a, size_t b) const
    {
        const auto taps = static_cast<size_t>(rows_.taps);
        return rows_.first[a] == rows_.first[b] &&
               std::equal(&rows_.weights[a * taps], &rows_.weights[a * taps] + taps, &rows_.weights[b * taps]);
    }

    const float *mix_rows(const std::byte *plane, size_t y, Rows &rows) const
    {
        const int64_t length = in_.width * in_.pixel;
        auto row = [&](int64_t k) {
            return floats_.read(plane + (rows_.first[y] + k) * length * floats_.element(), length, rows.read.data());
        };
        if (rows_.taps == 1)
            return row(0);
        const Apply scale = vector_function(Function::affine), add = vector_function(Function::add_scaled);
        const float *weights = &rows_.weights[y * static_cast<size_t>(rows_.taps)];
        scale(rows.mixed.data(), row(0), nullptr, false, length, weights[0], 0);
        for (int64_t k = 1; k < rows_.taps; k++)
            add(rows.mixed.data(), rows.mixed.data(), row(k), false, length, weights[k], 0);
        return rows.mixed.data();
    }

    void make_row(std::byte *to, const std::byte *plane, size_t y, Rows &rows) const
    {
        const float *row = mix_rows(plane, y, rows);
        const int64_t width = std::ssize(columns_.first), length = width * in_.pixel;
        float *made = floats_.made(to, rows.made.data());
        if (columns_.taps == 1)
            pick_pixels(reinterpret_cast<std::byte *>(made), reinterpret_cast<const std::byte *>(row),
                        static_cast<size_t>(in_.pixel) * sizeof(float));
        else
            mix_pixels(made, row, columns_.first.data(), columns_.weights.data(), columns_.taps, width, in_.pixel);
        floats_.write(to, made, length);
    }

    /// Takes pixels of so many bytes as they are.
    void pick_pixels(std::byte *to, const std::byte *row, size_t pixel) const
    {
        const size_t width = columns_.first.size();
        auto pick = [&]<class T>(T) {
            for (size_t x = 0; x < width; x++)
                reinterpret_cast<T *>(to)[x] = reinterpret_cast<const T *>(row)[columns_.first[x]];
        };
        if (same_width_)
            std::memcpy(to, row, width * pixel);
        else if (pixel == sizeof(uint32_t))
            pick(uint32_t());
        else if (pixel == sizeof(uint16_t))
            pick(uint16_t());
        else
            for (size_t x = 0; x < width; x++)
                copy_block(to + x * pixel, row + static_cast<size_t>(columns_.first[x]) * pixel, pixel);
    }
};

bool has_outside(const AxisTable &axis)
{
    return std::find(axis.outside.begin(), axis.outside.end(), true) != axis.outside.end();
}

} // namespace

Attempt attempt_resize(const NodeFacts &facts)
{
    const Shape &dims = facts.dims(0);
    if ((!is_float(facts.type(0)) && !is_8_bit(facts.type(0))) || dims.size() != 4)
        return "neither floats nor 8-bit integers with two spatial axes";
    for (size_t i = 1; i < facts.node.inputs.size(); i++)
        if (facts.has(i) && !facts.constant(i))
            return "its sizes are computed";
    const Resampling resampling =
        resampling_of(facts.attributes(), dims, facts.constant(1), facts.constant(2), facts.constant(3));
    if (!resampling.axes[0].keeps(dims[0]) || !resampling.axes[1].keeps(dims[1]))
        return "it resizes batch or channels";
    if (has_outside(resampling.axes[2]) || has_outside(resampling.axes[3]))
        return "parts of it lie outside of the input";
    EvenTable rows = even(resampling.axes[2], dims[2]), columns = even(resampling.axes[3], dims[3]);
    if (!is_float(facts.type(0)) && (rows.taps > 1 || columns.taps > 1))
        return "it mixes integers";
    // Few channels are quicker one after the other, unless they lie together already.
    const bool last = dims[1] >= 8 || facts.in[0].layout.is_channels_last();
    const Planes planes{last ? dims[0] : dims[0] * dims[1], dims[2], dims[3], last ? dims[1] : 1};
    Choice choice;
    const Type type = facts.type(0);
    choice.in = {{0, last ? Layout::channels_last(type, dims) : Layout::dense(type, dims)}};
    choice.out = {last ? Layout::channels_last(type, facts.out[0].dims) : Layout::dense(type, facts.out[0].dims)};
    choice.kernel = std::make_unique<Resize>(type, planes, std::move(rows), std::move(columns), facts.threads);
    choice.detail = last ? "channels last" : "planes";
    return choice;
}

} // namespace leat::cpu
