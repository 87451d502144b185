#pragma once
#include <leat/tensor.h>

#include <optional>
#include <vector>

namespace leat::cpu {

/// How a tensor lies in memory: its sizes as the graph sees them, and for each axis the distance in elements from one
/// index to the next. Every layout on the CPU is of this kind; only packed weights are not.
struct Layout {
    Type type = Type::undefined;
    Shape dims;
    std::vector<int64_t> strides;

    /// Row-major, as leat::Tensor.
    static Layout dense(Type, Shape);
    /// Batch, then the spatial axes, then the channels (axis 1) side by side: what convolutions work in. Dense below
    /// rank 3.
    static Layout channels_last(Type, Shape);
    /// Without gaps, the axes from the outermost to the innermost in the order in which they lie in `other`.
    static Layout like(const Layout &other, Type, Shape);

    size_t rank() const { return dims.size(); }
    int64_t count() const;
    /// Bytes from the first element to the end of the last one.
    size_t bytes() const;
    bool is_dense() const { return same_places(dense(type, dims)); }
    bool is_channels_last() const { return same_places(channels_last(type, dims)); }
    /// Elements fill the memory without gaps or repetitions, in whatever order of axes.
    bool is_packed() const;
    /// Type, sizes and the place of every element are the same; strides of axes of size 1 say nothing.
    bool same_places(const Layout &) const;
    /// Axes from the outermost to the innermost, by stride.
    std::vector<size_t> order() const;
};

/// The layout under another shape, when that needs no copy: axes may be split, and merged where they lie side by side.
std::optional<Layout> reshaped(const Layout &, const Shape &);

} // namespace leat::cpu
