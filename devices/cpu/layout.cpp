#include "layout.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace leat::cpu {
namespace {

/// Strides of a tensor without gaps whose axes lie in that order, outermost first.
std::vector<int64_t> packed_strides(const Shape &dims, const std::vector<size_t> &order)
{
    std::vector<int64_t> strides(dims.size(), 1);
    int64_t step = 1;
    for (auto axis = order.rbegin(); axis != order.rend(); ++axis) {
        strides[*axis] = step;
        step *= std::max<int64_t>(dims[*axis], 1);
    }
    return strides;
}

std::vector<size_t> row_major(size_t rank)
{
    std::vector<size_t> order(rank);
    std::iota(order.begin(), order.end(), size_t(0));
    return order;
}

} // namespace

Layout Layout::dense(Type type, Shape dims)
{
    auto strides = packed_strides(dims, row_major(dims.size()));
    return {type, std::move(dims), std::move(strides)};
}

Layout Layout::channels_last(Type type, Shape dims)
{
    auto order = row_major(dims.size());
    if (dims.size() >= 3)
        std::rotate(order.begin() + 1, order.begin() + 2, order.end());
    auto strides = packed_strides(dims, order);
    return {type, std::move(dims), std::move(strides)};
}

Layout Layout::like(const Layout &other, Type type, Shape dims)
{
    auto strides = packed_strides(dims, other.rank() == dims.size() ? other.order() : row_major(dims.size()));
    return {type, std::move(dims), std::move(strides)};
}

int64_t Layout::count() const
{
    return count_of(dims);
}

size_t Layout::bytes() const
{
    int64_t last = 0;
    for (size_t axis = 0; axis < dims.size(); axis++) {
        if (dims[axis] == 0)
            return 0;
        last += (dims[axis] - 1) * strides[axis];
    }
    return static_cast<size_t>(last + 1) * size_of(type);
}

bool Layout::is_packed() const
{
    return same_places(like(*this, type, dims));
}

bool Layout::same_places(const Layout &other) const
{
    if (type != other.type || dims != other.dims)
        return false;
    for (size_t axis = 0; axis < dims.size(); axis++)
        if (dims[axis] > 1 && strides[axis] != other.strides[axis])
            return false;
    return true;
}

std::vector<size_t> Layout::order() const
{
    // An axis of size 1, or repeated, has no place of its own: it stays after its left neighbour.
    std::vector<int64_t> places(rank());
    int64_t left = std::numeric_limits<int64_t>::max();
    for (size_t axis = 0; axis < rank(); axis++)
        places[axis] = left = dims[axis] > 1 && strides[axis] != 0 ? strides[axis] : left;
    auto order = row_major(rank());
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return places[a] > places[b]; });
    return order;
}

std::optional<Layout> reshaped(const Layout &from, const Shape &dims)
{
    if (from.count() == 0)
        return Layout::dense(from.type, dims);
    Layout to{from.type, dims, std::vector<int64_t>(dims.size(), 1)};
    size_t old_axis = 0, new_axis = 0;
    while (old_axis < from.rank() || new_axis < dims.size()) {
        // The next run of axes with equal products on both sides; in the old one they must lie side by side.
        size_t old_end = old_axis, new_end = new_axis;
        int64_t old_count = 1, new_count = 1;
        do {
            if (old_end < from.rank() && (old_count <= new_count || new_end == dims.size()))
                old_count *= from.dims[old_end++];
            else
                new_count *= dims[new_end++];
        } while (old_count != new_count);

        std::optional<int64_t> innermost;
        int64_t next = 0;
        for (size_t axis = old_end; axis-- > old_axis;) {
            if (from.dims[axis] == 1)
                continue;
            if (innermost && from.strides[axis] != next)
                return std::nullopt;
            if (!innermost)
                innermost = from.strides[axis];
            next = from.strides[axis] * from.dims[axis];
        }
        int64_t stride = innermost.value_or(1);
        for (size_t axis = new_end; axis-- > new_axis;) {
            to.strides[axis] = stride;
            stride *= dims[axis];
        }
        old_axis = old_end;
        new_axis = new_end;
    }
    return to;
}

} // namespace leat::cpu
