#include "devices/cpu/kernel.h"
#include "devices/cpu/strided.h"
#include "devices/cpu/team.h"
#include "vector_functions.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace leat::cpu {
namespace {

struct ReduceRow {
    std::string_view op;
    Function before, join; ///< of each element; of two results
    float (*fold)(const float *, int64_t);
    bool mean = false;
    Function after = Function::copy;
};

const ReduceRow reduce_rows[] = {
    {"ReduceL1", Function::abs, Function::add, vector_sum},
    {"ReduceL2", Function::square, Function::add, vector_sum, false, Function::sqrt},
    {"ReduceMax", Function::copy, Function::max, vector_max},
    {"ReduceMean", Function::copy, Function::add, vector_sum, true},
    {"ReduceMin", Function::copy, Function::min, vector_min},
    {"ReduceSum", Function::copy, Function::add, vector_sum},
    {"ReduceSumSquare", Function::square, Function::add, vector_sum},
};

/// Reduces floats of any layout: along rows where many reduced elements lie in one piece, else whole rows onto each
/// other.
class Reduce final : public Kernel {
  public:
    /// `out`: with the axes that are reduced, of size 1 or with stride 0.
    Reduce(const ReduceRow &row, const Layout &in, const std::vector<bool> &reduced, const Layout &out, int threads)
        : row_(row), floats_{in.type}, threads_(threads), before_(vector_function(row.before)),
          join_(vector_function(row.join))
    {
        for (size_t axis = 0; axis < in.rank(); axis++) {
            Loops &loops = reduced[axis] ? inside_ : kept_;
            loops.sizes.push_back(in.dims[axis]);
            loops.strides.resize(reduced[axis] ? 1 : 2);
            loops.strides[0].push_back(in.strides[axis]);
            if (!reduced[axis])
                loops.strides[1].push_back(out.strides[axis]);
        }
        kept_.strides.resize(2);
        inside_.strides.resize(1);
        kept_.simplify(0);
        inside_.simplify(0);
        count_ = inside_.count();
        const bool side_by_side = kept_.strides[1].back() == 1 && kept_.sizes.back() > 1;
        const bool short_rows = inside_.depth() == 1 && count_ < 16 && kept_.sizes.back() >= 16;
        along_ = !side_by_side || (kept_.strides[0].back() != 1 && !short_rows);
    }

    void run(const Launch &launch) const override
    {
        const size_t outer = along_ ? kept_.depth() : kept_.depth() - 1;
        parallel_for(kept_.turns(outer), threads_, [&](int64_t first, int64_t last) {
            along_ ? run_along(launch, first, last) : run_across(launch, first, last);
        });
    }

  private:
    const ReduceRow &row_;
    Floats floats_;
    int threads_;
    Apply before_, join_;
    Loops kept_, inside_;
    int64_t count_ = 1;
    bool along_ = false;

    void run_along(const Launch &launch, int64_t first, int64_t last) const
    {
        constexpr int64_t together = 64;
        std::array<float, together> made;
        std::array<std::byte *, together> places;
        std::vector<float> row(static_cast<size_t>(inside_.sizes.back()));
        std::array<int64_t, 2> at{};
        for (int64_t count = 0; first < last; first += count) {
            count = std::min(together, last - first);
            for (int64_t i = 0; i < count; i++) {
                kept_.offsets(first + i, kept_.depth(), at);
                places[static_cast<size_t>(i)] = launch.out[0] + at[1] * floats_.element();
                made[static_cast<size_t>(i)] = reduce_along(launch.in[0] + at[0] * floats_.element(), row);
            }
            finish(made.data(), count);
            for (int64_t i = 0; i < count; i++) {
                const auto k = static_cast<size_t>(i);
                if (floats_.type == Type::f32)
                    std::memcpy(places[k], &made[k], sizeof(float));
                else
                    floats_.write(places[k], &made[k], 1);
            }
        }
    }

    void run_across(const Launch &launch, int64_t first, int64_t last) const
    {
        const int64_t length = kept_.sizes.back();
        std::vector<float> row(static_cast<size_t>(length)), made(static_cast<size_t>(length));
        std::array<int64_t, 2> at{};
        for (int64_t turn = first; turn < last; turn++) {
            kept_.offsets(turn, kept_.depth() - 1, at);
            std::byte *to = launch.out[0] + at[1] * floats_.element();
            float *out = floats_.made(to, made.data());
            reduce_across(launch.in[0] + at[0] * floats_.element(), out, row);
            floats_.write(to, out, length);
        }
    }

    /// The numbers at equal distances, as they go into the reduction.
    const float *numbers(const std::byte *from, int64_t length, int64_t stride, std::vector<float> &row) const
    {
        const float *values = row.data();
        if (stride == 1)
            values = floats_.read(from, length, row.data());
        else
            for (int64_t i = 0; i < length; i++)
                row[static_cast<size_t>(i)] = floats_.read_one(from + i * stride * floats_.element());
        if (row_.before == Function::copy)
            return values;
        before_(row.data(), values, nullptr, false, length, 0, 0);
        return row.data();
    }

    float reduce_along(const std::byte *in, std::vector<float> &row) const
    {
        const int64_t length = inside_.sizes.back(), stride = inside_.strides[0].back();
        float result = 0;
        std::array<int64_t, 1> at{};
        for (int64_t turn = 0; turn < inside_.turns(inside_.depth() - 1); turn++) {
            inside_.offsets(turn, inside_.depth() - 1, at);
            const float *from = numbers(in + at[0] * floats_.element(), length, stride, row);
            const float part = row_.fold(from, length);
            if (turn == 0)
                result = part;
            else
                join_(&result, &result, &part, true, 1, 0, 0);
        }
        return result;
    }

    void reduce_across(const std::byte *in, float *out, std::vector<float> &row) const
    {
        const int64_t length = kept_.sizes.back(), stride = kept_.strides[0].back();
        std::array<int64_t, 1> at{};
        for (int64_t turn = 0; turn < count_; turn++) {
            inside_.offsets(turn, inside_.depth(), at);
            const float *from = numbers(in + at[0] * floats_.element(), length, stride, row);
            if (turn == 0)
                std::copy_n(from, length, out);
            else
                join_(out, out, from, false, length, 0, 0);
        }
        finish(out, length);
    }

    void finish(float *values, int64_t count) const
    {
        if (row_.mean)
            vector_function(Function::affine)(values, values, nullptr, false, count, 1.f / static_cast<float>(count_),
                                              0);
        if (row_.after != Function::copy)
            vector_function(row_.after)(values, values, nullptr, false, count, 0, 0);
    }
};

/// Which axes the node reduces; nothing when they are computed.
std::optional<std::vector<bool>> reduced_axes(const NodeFacts &facts)
{
    const size_t rank = facts.dims(0).size();
    std::vector<int64_t> axes;
    if (facts.has(1)) {
        if (!facts.constant(1))
            return std::nullopt;
        axes = facts.constant(1)->to_int64();
    }
    const bool none = axes.empty() && facts.attributes().integer("noop_with_empty_axes", 0) != 0;
    std::vector<bool> reduced(rank, axes.empty() && !none);
    for (int64_t axis : axes)
        reduced[normal_axis(axis, rank)] = true;
    return reduced;
}

} // namespace

Attempt attempt_reduce(const NodeFacts &facts)
{
    if (!is_float(facts.type(0)))
        return "no float";
    const Layout &in = facts.in[0].layout;
    if (in.count() == 0)
        return "it reduces no elements";
    const auto reduced = reduced_axes(facts);
    if (!reduced)
        return "its axes are computed";
    const auto *row = std::find_if(std::begin(reduce_rows), std::end(reduce_rows),
                                   [&](const ReduceRow &r) { return r.op == facts.node.op->name; });
    // The output in the order of the input, first with all axes, then as the node wants them.
    Shape dims = in.dims;
    for (size_t axis = 0; axis < dims.size(); axis++)
        if ((*reduced)[axis])
            dims[axis] = 1;
    const Layout wide = Layout::like(in, in.type, dims);
    const auto out = reshaped(wide, facts.out[0].dims);
    if (!out)
        return "the axes that stay do not lie side by side";
    Choice choice;
    choice.in = {{0, in}};
    choice.out = {*out};
    choice.kernel = std::make_unique<Reduce>(*row, in, *reduced, wide, facts.threads);
    return choice;
}

} // namespace leat::cpu
