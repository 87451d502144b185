#pragma once
#include <cstdint>

namespace leat::cpu {

/// Rows of bytes that lie `from` and `to` bytes apart.
struct ByteRows {
    int64_t rows, length, from, to;
};

/// Each byte becomes the entry of the table of 256 that it numbers.
void lookup_bytes(uint8_t *to, const uint8_t *from, ByteRows, const uint8_t *table);

} // namespace leat::cpu
