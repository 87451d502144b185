#pragma once
#include "inference/graph.h"
#include "inference/ops/interpolation.h"

// How Resize takes each element of its output from those of its input, axis by axis.

namespace leat {

/// One axis of the output.
struct AxisTable {
    std::vector<Taps> taps;    ///< for each element of the output; they lie inside of the input
    std::vector<bool> outside; ///< tf_crop_and_resize: the element gets the extrapolation value
    /// Whether an axis of `size` elements stays as it is.
    bool keeps(int64_t size) const;
};

struct Resampling {
    std::vector<AxisTable> axes;
    bool nearest = false; ///< every element is a copy of one
    float extrapolation = 0;
};

/// For a node Resize with these attributes and an input of shape `x`. `region`, `scales` and `sizes` are its other
/// inputs, null where absent. Throws Error that names the input or attribute at fault.
Resampling resampling_of(const Attributes &, const Shape &x, const Tensor *region, const Tensor *scales,
                         const Tensor *sizes);

} // namespace leat
