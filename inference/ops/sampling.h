#pragma once
#include "inference/graph.h"
#include "inference/ops/interpolation.h"

// How GridSample finds what a point of its grid reads.

namespace leat {

enum class Padding : uint8_t { zeros, border, reflection };

struct GridOptions {
    Interpolation mode;
    Padding padding;
    bool align_corners;
};

/// Attributes mode, padding_mode and align_corners. Throws Error that names the attribute.
GridOptions grid_options(const Attributes &);

/// Where a coordinate, in [-1, 1] over the axis, lies among its elements, after padding. Far outside and NaN: a number
/// from which every tap lies outside.
float grid_position(float coordinate, int64_t size, const GridOptions &);

/// One element of the axis for a tap; -1: the tap counts for 0.
int64_t element_of(int64_t tap, int64_t size, const GridOptions &);

} // namespace leat
