#pragma once
#include "open_file.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace leat {

/// XXH3, 128 bits, of the XXH3 of each 64 KiB of bytes that come one after the other, so that threads, as many as it is
/// worth, can share them.
class Hash {
  public:
    Hash();
    ~Hash();
    Hash(const Hash &) = delete;
    Hash &operator=(const Hash &) = delete;
    void add(std::span<const std::byte>);
    /// What stands in the file from `begin` on, which may become shorter meanwhile: it is read, not mapped. Throws
    /// Error without the path.
    void add(const OpenFile &, uint64_t begin);

    /// The lower half.
    uint64_t checksum() const;
    /// 32 hexadecimal digits.
    std::string digits() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Hash::digits() of the bytes, and of a file. Throws Error without the path.
std::string hash_of(std::span<const std::byte>);
std::string hash_of_file(const std::filesystem::path &);

} // namespace leat
