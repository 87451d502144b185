#pragma once
#include <leat/tensor.h>

#include <filesystem>

namespace leat
{

/// Reads a NumPy array file (format versions 1 to 3, numpy.lib.format). Fortran order becomes C order, big endian
/// becomes the host's. Throws Error that names the file when it is missing, damaged, or of a type that Type lacks.
Tensor read_npy(const std::filesystem::path &);

/// Writes format version 1, C order. Throws Error that names the file when it cannot be written, or when the type is
/// bf16, which NumPy does not know.
void write_npy(const std::filesystem::path &, const Tensor &);

} // namespace leat
