#pragma once
#include "inference/graph.h"
#include "inference/image_spec.h"

namespace leat {

/// Puts the op ImageToTensor in front of the named input (the spec becomes its attributes) and marks it as an image.
/// Throws Error when the input's shape cannot be that of the spec; fixes unknown sizes (batch to 1, height and width to
/// the spec's).
Graph with_image_input(Graph, const std::string &input, const ImageSpec &);

/// The spec stored in a node of op ImageToTensor.
ImageSpec image_spec_of(const Node &);

} // namespace leat
