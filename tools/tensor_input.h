#pragma once
#include <leat/model.h>

#include <string>
#include <utility>
#include <vector>

namespace leat {

/// Name and tensor of an argument NAME=FILE.npy, with the numbers converted to the input's type. Throws Error that
/// lists the inputs when there is none of that name, and when fractional numbers would go into an integer input.
std::pair<std::string, Tensor> read_tensor_input(const std::string &argument, const std::vector<Port> &inputs);

} // namespace leat
