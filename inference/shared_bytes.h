#pragma once
#include <cstddef>
#include <memory>
#include <span>

namespace leat {

/// Bytes that live as long as their owner.
struct SharedBytes {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
};

} // namespace leat
