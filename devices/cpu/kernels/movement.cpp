#include "devices/cpu/kernel.h"
#include "devices/cpu/team.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

// Ops that bring the same elements to other places.
namespace leat::cpu {
namespace {

Choice copying(const Layout &from, const Layout &to, Reads in, const Layout &out, int threads)
{
    Choice choice;
    choice.kernel = make_copy(from, to, threads);
    choice.in = {std::move(in)};
    choice.out = {out};
    return choice;
}

/// Takes blocks of bytes by index, from a dense tensor.
class Gather final : public Kernel {
  public:
    Gather(int64_t outer, int64_t size, size_t block, int64_t count, bool wide, int threads)
        : outer_(outer), size_(size), count_(count), block_(block), wide_(wide), threads_(threads)
    {
    }

    void run(const Launch &launch) const override
    {
        std::vector<int64_t> indices(static_cast<size_t>(count_));
        for (int64_t i = 0; i < count_; i++)
            indices[static_cast<size_t>(i)] = index(launch.in[1], i);
        parallel_for(outer_, threads_, [&](int64_t first, int64_t last) {
            std::byte *to = launch.out[0] + static_cast<size_t>(first * count_) * block_;
            for (int64_t o = first; o < last; o++)
                for (int64_t at : indices) {
                    std::memcpy(to, launch.in[0] + static_cast<size_t>(o * size_ + at) * block_, block_);
                    to += block_;
                }
        });
    }

  private:
    int64_t outer_, size_, count_;
    size_t block_;
    bool wide_; // indices of 64 bits
    int threads_;

    int64_t index(const std::byte *indices, int64_t i) const
    {
        const int64_t given =
            wide_ ? reinterpret_cast<const int64_t *>(indices)[i] : reinterpret_cast<const int32_t *>(indices)[i];
        const int64_t at = given < 0 ? given + size_ : given;
        if (at < 0 || at >= size_)
            throw Error("the index " + std::to_string(given) + " is outside of an axis of " + std::to_string(size_) +
                        " elements");
        return at;
    }
};

/// Fills the output with one value and copies the input into its middle.
class Pad final : public Kernel {
  public:
    Pad(std::unique_ptr<Kernel> copy, int64_t offset_bytes, Tensor value, size_t count)
        : copy_(std::move(copy)), offset_(offset_bytes), value_(std::move(value)), count_(count)
    {
    }

    void run(const Launch &launch) const override
    {
        fill(launch.out[0]);
        std::byte *to = launch.out[0] + offset_;
        copy_->run({launch.in, {&to, 1}, launch.scratch, launch.kept, {}});
    }

  private:
    std::unique_ptr<Kernel> copy_;
    int64_t offset_;
    Tensor value_;
    size_t count_;

    void fill(std::byte *out) const
    {
        visit_type(value_.type(),
                   [&]<class T>() { std::fill_n(reinterpret_cast<T *>(out), count_, *value_.data<T>()); });
    }
};

/// A layout whose axis is split in two: `inner` elements in each of the outer ones.
void split_axis(Layout &layout, size_t axis, int64_t inner)
{
    const auto at = static_cast<ptrdiff_t>(axis);
    layout.dims.insert(layout.dims.begin() + at + 1, inner);
    layout.dims[axis] /= inner;
    layout.strides.insert(layout.strides.begin() + at, layout.strides[axis] * inner);
}

Layout permuted(const Layout &layout, std::initializer_list<size_t> order)
{
    Layout result{layout.type, {}, {}};
    for (size_t axis : order) {
        result.dims.push_back(layout.dims[axis]);
        result.strides.push_back(layout.strides[axis]);
    }
    return result;
}

} // namespace

Attempt attempt_gather_view(const NodeFacts &facts)
{
    const Tensor *constant = facts.constant(1);
    if (!constant || constant->count() != 1 || constant->rank() > 1)
        return "it takes more than one element, or a computed one";
    const Layout &in = facts.in[0].layout;
    const size_t axis = normal_axis(facts.attributes().integer("axis", 0), in.rank());
    const int64_t given = constant->to_int64()[0], at = given < 0 ? given + in.dims[axis] : given;
    if (at < 0 || at >= in.dims[axis])
        return "its index is outside of the axis";
    Layout out{in.type, in.dims, in.strides};
    out.dims[axis] = 1;
    if (constant->rank() == 0) {
        out.dims.erase(out.dims.begin() + static_cast<ptrdiff_t>(axis));
        out.strides.erase(out.strides.begin() + static_cast<ptrdiff_t>(axis));
    }
    Choice choice;
    choice.views = {{0, out, at * in.strides[axis]}};
    return choice;
}

Attempt attempt_gather(const NodeFacts &facts)
{
    const Type index = facts.type(1);
    if (index != Type::s64 && index != Type::s32)
        return "its indices are neither s32 nor s64";
    const Shape &dims = facts.dims(0);
    const size_t axis = normal_axis(facts.attributes().integer("axis", 0), dims.size());
    const auto at = static_cast<ptrdiff_t>(axis);
    const int64_t outer = count_of(Shape(dims.begin(), dims.begin() + at));
    const int64_t inner = count_of(Shape(dims.begin() + at + 1, dims.end()));
    Choice choice;
    choice.in = {{0, Layout::dense(facts.type(0), dims)}, {1, Layout::dense(index, facts.dims(1))}};
    choice.out = facts.out;
    choice.kernel = std::make_unique<Gather>(outer, dims[axis], static_cast<size_t>(inner) * size_of(facts.type(0)),
                                             count_of(facts.dims(1)), index == Type::s64, facts.threads);
    return choice;
}

Attempt attempt_pad(const NodeFacts &facts)
{
    if (facts.attributes().text("mode", "constant") != "constant")
        return "it does not pad with a constant";
    const Layout &in = facts.in[0].layout;
    for (size_t i = 1; i < facts.node.inputs.size(); i++)
        if (facts.has(i) && !facts.constant(i))
            return "its pads or its value are computed";
    std::vector<int64_t> axes(in.rank());
    std::iota(axes.begin(), axes.end(), int64_t(0));
    if (facts.has(3))
        axes = facts.constant(3)->to_int64();
    const std::vector<int64_t> pads = facts.constant(1)->to_int64();
    if (std::any_of(pads.begin(), pads.end(), [](int64_t pad) { return pad < 0; }))
        return "it also crops";
    Tensor value(in.type, {});
    std::memset(value.raw(), 0, value.bytes());
    if (facts.has(2) && facts.constant(2)->count() == 1)
        value = facts.constant(2)->converted(in.type);
    const Layout out = Layout::like(in, in.type, facts.out[0].dims);
    int64_t offset = 0;
    for (size_t i = 0; i < axes.size(); i++)
        offset += pads[i] * out.strides[normal_axis(axes[i], in.rank())];
    Choice choice;
    choice.in = {{0, in}};
    choice.out = {out};
    choice.kernel =
        std::make_unique<Pad>(make_copy(in, {in.type, in.dims, out.strides}, facts.threads),
                              offset * static_cast<int64_t>(size_of(in.type)), value, static_cast<size_t>(out.count()));
    return choice;
}

Attempt attempt_expand_view(const NodeFacts &facts)
{
    const Layout &in = facts.in[0].layout;
    Layout out = facts.out[0];
    const size_t missing = out.rank() - in.rank();
    for (size_t axis = 0; axis < out.rank(); axis++) {
        const bool same = axis >= missing && in.dims[axis - missing] == out.dims[axis];
        out.strides[axis] = same ? in.strides[axis - missing] : 0;
    }
    Choice choice;
    choice.views = {{0, out, 0}};
    return choice;
}

Attempt attempt_tile(const NodeFacts &facts)
{
    Layout from = facts.in[0].layout;
    const Layout out = Layout::like(from, from.type, facts.out[0].dims);
    Layout to = out;
    for (size_t axis = out.rank(); axis-- > 0;) {
        const int64_t size = from.dims[axis];
        split_axis(to, axis, size);
        from.dims.insert(from.dims.begin() + static_cast<ptrdiff_t>(axis), out.dims[axis] / size);
        from.strides.insert(from.strides.begin() + static_cast<ptrdiff_t>(axis), 0);
    }
    return copying(from, to, {0, facts.in[0].layout}, out, facts.threads);
}

Attempt attempt_depth_to_space(const NodeFacts &facts)
{
    const int64_t block = facts.attributes().integer("blocksize", 1);
    Layout from = facts.in[0].layout;
    const Layout out = Layout::like(from, from.type, facts.out[0].dims);
    Layout to = out;
    split_axis(to, 3, block);
    split_axis(to, 2, block); // batch, channel, row, row in block, column, column in block
    if (facts.attributes().text("mode", "DCR") == "DCR") {
        split_axis(from, 1, from.dims[1] / block);
        split_axis(from, 2, from.dims[2] / block);
        from = permuted(from, {0, 3, 4, 1, 5, 2});
    } else {
        split_axis(from, 1, block);
        split_axis(from, 1, block);
        from = permuted(from, {0, 1, 4, 2, 5, 3});
    }
    return copying(from, to, {0, facts.in[0].layout}, out, facts.threads);
}

Attempt attempt_space_to_depth(const NodeFacts &facts)
{
    const int64_t block = facts.attributes().integer("blocksize", 1);
    Layout from = facts.in[0].layout;
    const Layout out = Layout::like(from, from.type, facts.out[0].dims);
    Layout to = out;
    split_axis(from, 3, block);
    split_axis(from, 2, block); // batch, channel, row, row in block, column, column in block
    split_axis(to, 1, from.dims[1]);
    split_axis(to, 1, block); // batch, row in block, column in block, channel, row, column
    from = permuted(from, {0, 3, 5, 1, 2, 4});
    return copying(from, to, {0, facts.in[0].layout}, out, facts.threads);
}

} // namespace leat::cpu
