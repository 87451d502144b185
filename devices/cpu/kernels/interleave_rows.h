#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace leat::cpu {

inline constexpr size_t most_interleaved = 4;

/// Rows of two to four operands and of the result: their first bytes, and how many lie from one row to the next.
struct InterleavedRows {
    size_t operands = 0;
    std::array<const std::byte *, most_interleaved> from{};
    std::array<int64_t, most_interleaved> from_step{};
    std::byte *to = nullptr;
    int64_t to_step = 0;
    int64_t rows = 0, length = 0; ///< `length`: elements of a row of one operand
};

/// Each row of the result holds one element of each operand, then the next of each. `element`: bytes, 1, 2 or 4.
void interleave_rows(const InterleavedRows &, size_t element);

/// Rows of the result and of what it is taken from: bytes from one to the next, and elements of a row of the result.
struct TakenRows {
    int64_t rows, length, from_step, to_step;
};

/// Each row of the result holds every second element of a row, from the first on. `element`: bytes, 1, 2 or 4.
void take_every_second(std::byte *to, const std::byte *from, const TakenRows &, size_t element);

/// Rows and columns of what is read, and elements from one row to the next, of that and of the result.
struct TransposedRows {
    int64_t rows, columns, from_step, to_step;
};

/// to[column][row] = from[row][column]. `element`: bytes, 1, 2 or 4.
void transpose_rows(std::byte *to, const std::byte *from, const TransposedRows &, size_t element);

} // namespace leat::cpu
