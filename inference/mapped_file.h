#pragma once
#include "open_file.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace leat {

/// A file in memory, read-only and shared between processes: pages are read when they are touched. Whoever holds it
/// must not let the file be shortened meanwhile.
class MappedFile {
  public:
    /// Throws Error without the path.
    explicit MappedFile(const std::filesystem::path &);
    explicit MappedFile(const OpenFile &);
    /// A part of it; `offset`: a multiple of the size of pages.
    MappedFile(const OpenFile &, uint64_t offset, uint64_t bytes);
    ~MappedFile();
    MappedFile(const MappedFile &) = delete;
    MappedFile &operator=(const MappedFile &) = delete;
    std::span<const std::byte> bytes() const { return bytes_; }
    /// Reads all pages at once; false where the system knows no such call (Linux before 5.14). Throws Error without the
    /// path when the disk fails, which kills who touches the pages first.
    bool fetch() const;

  private:
    std::span<const std::byte> bytes_;
};

} // namespace leat
