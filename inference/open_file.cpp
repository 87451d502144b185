#include "open_file.h"

#include <leat/error.h>

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace leat {

std::optional<OpenFile> OpenFile::open(const std::filesystem::path &path)
{
    // Without O_NONBLOCK a pipe would wait for its writer.
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return std::nullopt;
    OpenFile file(descriptor, 0);
    struct stat facts = {};
    if (::fstat(descriptor, &facts) != 0 || !S_ISREG(facts.st_mode))
        return std::nullopt;
    file.bytes_ = static_cast<uint64_t>(facts.st_size);
    return file;
}

OpenFile OpenFile::open_regular(const std::filesystem::path &path)
{
    if (auto file = open(path))
        return std::move(*file);
    struct stat facts = {};
    const bool seen = ::stat(path.c_str(), &facts) == 0;
    if (!seen && errno == ENOENT)
        throw Error("the file does not exist");
    if (seen && !S_ISREG(facts.st_mode))
        throw Error("this is not a regular file; check the path");
    throw Error("the file cannot be opened; check its permissions");
}

OpenFile::OpenFile(OpenFile &&other) : descriptor_(std::exchange(other.descriptor_, -1)), bytes_(other.bytes_) {}

OpenFile::~OpenFile()
{
    if (descriptor_ >= 0)
        ::close(descriptor_);
}

bool OpenFile::State::is_settled(Clock::time_point now) const
{
    // The slowest clock of a file system ticks every other second, and a page that a program maps and writes to again
    // and again changes the times only once until it is on the disk, half a minute later.
    constexpr std::chrono::minutes wait(1);
    return changed + wait < now;
}

OpenFile::State OpenFile::state() const
{
    struct stat facts = {};
    if (::fstat(descriptor_, &facts) != 0)
        throw Error("the file cannot be read");
    const auto text_of = [](const timespec &time) {
        return std::to_string(time.tv_sec) + '.' + std::to_string(time.tv_nsec);
    };
    // The time of status change is the one that no program can set.
    const auto changed = std::chrono::seconds(facts.st_ctim.tv_sec) + std::chrono::nanoseconds(facts.st_ctim.tv_nsec);
    using Clock = State::Clock;
    return {std::to_string(facts.st_dev) + ' ' + std::to_string(facts.st_ino) + ' ' + std::to_string(facts.st_size) +
                ' ' + text_of(facts.st_mtim) + ' ' + text_of(facts.st_ctim),
            Clock::time_point(std::chrono::duration_cast<Clock::duration>(changed))};
}

void OpenFile::read(uint64_t offset, std::span<std::byte> into) const
{
    while (!into.empty()) {
        const ssize_t count = ::pread(descriptor_, into.data(), into.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            throw Error(count == 0 ? "the file has become shorter while it was read" : "the file cannot be read");
        offset += static_cast<uint64_t>(count);
        into = into.subspan(static_cast<size_t>(count));
    }
}

} // namespace leat
