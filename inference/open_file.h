#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

namespace leat {

/// A regular file, open for reading. Any thread may read it.
class OpenFile {
  public:
    /// Nothing when it is no regular file, or must not be read.
    static std::optional<OpenFile> open(const std::filesystem::path &);
    /// The same, but throws Error without the path that says why.
    static OpenFile open_regular(const std::filesystem::path &);
    OpenFile(OpenFile &&);
    OpenFile &operator=(OpenFile &&) = delete;
    ~OpenFile();

    uint64_t bytes() const { return bytes_; }
    struct State {
        using Clock = std::chrono::system_clock;
        std::string text; ///< device, inode, size and times: another when the file is another or has been written to
        Clock::time_point changed; ///< by the clock of the file system, which may tick slowly
        /// Whether whatever is written from now on will show in the text.
        bool is_settled(Clock::time_point now = Clock::now()) const;
    };
    /// As it is now. Throws Error without the path.
    State state() const;
    /// Of the system; it stays open as long as this lives.
    int descriptor() const { return descriptor_; }
    /// Fills `into` with what stands from `offset` on. Throws Error without the path when there is less, or on a fault
    /// of the disk.
    void read(uint64_t offset, std::span<std::byte> into) const;

  private:
    OpenFile(int descriptor, uint64_t bytes) : descriptor_(descriptor), bytes_(bytes) {}

    int descriptor_;
    uint64_t bytes_;
};

} // namespace leat
