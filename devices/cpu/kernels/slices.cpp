#include "slices.h"

#include "devices/cpu/team.h"

#include <algorithm>

namespace leat::cpu {
namespace {

class Slices final : public Kernel {
  public:
    struct Part {
        std::unique_ptr<Kernel> kernel;
        int64_t in_offset, out_offset; // bytes
    };
    Slices(std::vector<Part> parts, size_t scratch) : parts_(std::move(parts)), scratch_(scratch) {}

    void prepare() override
    {
        for (const Part &part : parts_)
            part.kernel->prepare();
    }

    void run(const Launch &launch) const override
    {
        if (!launch.kept)
            launch.kept = std::make_shared<Kept>(parts_.size());
        auto &kept = *static_cast<Kept *>(launch.kept.get());
        const auto count = std::ssize(parts_);
        parallel_for(count, static_cast<int>(count), [&](int64_t first, int64_t last) {
            with_one_thread([&] {
                for (int64_t i = first; i < last; i++)
                    run_part(launch, static_cast<size_t>(i), kept[static_cast<size_t>(i)]);
            });
        });
    }

  private:
    using Kept = std::vector<std::shared_ptr<void>>;
    std::vector<Part> parts_;
    size_t scratch_; // of each

    void run_part(const Launch &launch, size_t index, std::shared_ptr<void> &kept) const
    {
        const Part &part = parts_[index];
        std::vector<const std::byte *> in(launch.in.begin(), launch.in.end());
        in[0] += part.in_offset;
        std::byte *out = launch.out[0] + part.out_offset;
        part.kernel->run({in, {&out, 1}, launch.scratch + index * scratch_, kept, {}});
    }
};

/// Pictures [first, last).
Slice pictures_of(const Slice &whole, int64_t first, int64_t last)
{
    Slice slice = whole;
    slice.in.dims[0] = slice.out.dims[0] = last - first;
    slice.in_offset = first * whole.in.strides[0];
    slice.out_offset = first * whole.out.strides[0];
    return slice;
}

} // namespace

Slice rows_of(const Slice &whole, int64_t picture, int64_t first, int64_t last)
{
    Slice slice = whole;
    WindowAxis &axis = slice.axes[0];
    const int64_t begin = axis.at(first, 0), end = axis.at(last - 1, 0) + axis.reach();
    const int64_t in_first = std::max<int64_t>(begin, 0), in_last = std::min(end, axis.input);
    axis.pad_begin = in_first - begin;
    axis.input = in_last - in_first;
    axis.output = last - first;
    slice.in.dims[0] = slice.out.dims[0] = 1;
    slice.in.dims[2] = axis.input;
    slice.out.dims[2] = axis.output;
    slice.in = Layout::channels_last(whole.in.type, slice.in.dims);
    slice.out.strides[0] = slice.out.dims[2] * slice.out.strides[2];
    slice.in_offset = picture * whole.in.strides[0] + in_first * whole.in.strides[2];
    slice.out_offset = picture * whole.out.strides[0] + first * whole.out.strides[2];
    return slice;
}

std::vector<Slice> cut_pictures(const Slice &whole, int threads)
{
    std::vector<Slice> slices;
    const int64_t batches = whole.out.dims[0], rows = whole.out.dims[2];
    if (batches >= threads) {
        for (int64_t part = 0; part < threads; part++)
            slices.push_back(pictures_of(whole, batches * part / threads, batches * (part + 1) / threads));
        return slices;
    }
    const int64_t parts = std::min(rows, (threads + batches - 1) / batches);
    for (int64_t batch = 0; batch < batches; batch++)
        for (int64_t part = 0; part < parts; part++) {
            slices.push_back(rows_of(whole, batch, rows * part / parts, rows * (part + 1) / parts));
            if (slices.back().axes[0].input < 1)
                return {whole}; // nothing but padding
        }
    return slices;
}

std::vector<Slice> cut_matrix(const Slice &whole, int threads)
{
    const int64_t rows = whole.out.dims[0], parts = std::min<int64_t>(rows, threads);
    std::vector<Slice> slices;
    for (int64_t part = 0; part < parts; part++) {
        const int64_t first = rows * part / parts, last = rows * (part + 1) / parts;
        Slice slice = whole;
        slice.in.dims[0] = slice.out.dims[0] = last - first;
        slice.in_offset = first * whole.in.strides[0];
        slice.out_offset = first * whole.out.strides[0];
        slices.push_back(std::move(slice));
    }
    return slices;
}

Choice solve_slices(const NodeFacts &facts, const Slice &whole, std::span<const Slice> slices,
                    const std::function<Choice(const Slice &)> &solve)
{
    if (slices.size() < 2 || facts.threads < 2)
        return solve(whole);
    std::vector<Choice> choices;
    size_t scratch = 0;
    for (const Slice &slice : slices) {
        choices.push_back(solve(slice));
        if (choices.back().post_ops != choices.front().post_ops)
            return solve(whole);
        scratch = std::max(scratch, in_lines(choices.back().scratch));
    }
    const Layout made{choices.front().out[0].type, whole.out.dims, whole.out.strides};
    const auto in = static_cast<int64_t>(size_of(whole.in.type)), out = static_cast<int64_t>(size_of(made.type));
    std::vector<Slices::Part> parts;
    for (size_t i = 0; i < slices.size(); i++)
        parts.push_back({std::move(choices[i].kernel), slices[i].in_offset * in, slices[i].out_offset * out});
    Choice choice = std::move(choices.front());
    choice.in[0].layout = whole.in;
    choice.out = {made};
    if (choice.in_place)
        choice.in[*choice.in_place].layout = made;
    choice.kernel = std::make_unique<Slices>(std::move(parts), scratch);
    choice.scratch = scratch * slices.size();
    choice.detail += " in " + std::to_string(slices.size()) + " parts";
    return choice;
}

} // namespace leat::cpu
