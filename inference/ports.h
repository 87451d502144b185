#pragma once
#include "graph.h"

#include <leat/model.h>

namespace leat {

/// The graph's inputs; one that feeds ImageToTensor is an image port with the shape of the tensor made from it.
std::vector<Port> input_ports(const Graph &);
std::vector<Port> output_ports(const Graph &);

/// Whether the value is one of the pictures that an ImageToTensor reads.
bool reads_picture(const Node &, ValueId);

/// Whether tensors of that shape may go through the port.
bool fits(const Port &, const Shape &);

/// Throws Error that names the port unless the job brings what the ports want: number, type, shape, image planes.
void check_inputs(std::span<const Port>, const Job &);

/// "float input \"images\" of 1x3x416x416"-like text for messages and listings: `images f32[1x3x416x416]`.
std::string to_string(const Port &);

} // namespace leat
