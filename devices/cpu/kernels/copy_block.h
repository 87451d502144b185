#pragma once
#include <cstddef>
#include <cstring>

namespace leat::cpu {

/// std::memcpy() for blocks of mostly 16 to 96 bytes, in moves of a known length, of which the last may copy some
/// bytes again. The memory of the two must not overlap.
inline void copy_block(std::byte *to, const std::byte *from, size_t bytes)
{
    const auto by = [&]<size_t step>() {
        size_t at = 0;
        for (; at + step <= bytes; at += step)
            std::memcpy(to + at, from + at, step);
        if (at < bytes)
            std::memcpy(to + bytes - step, from + bytes - step, step);
    };
    if (bytes >= 32 && bytes <= 96)
        by.template operator()<32>();
    else if (bytes >= 16 && bytes < 32)
        by.template operator()<16>();
    else
        std::memcpy(to, from, bytes);
}

} // namespace leat::cpu
