#include "mapped_file.h"

#include <leat/error.h>

#include <cerrno>

#include <sys/mman.h>

#ifndef MADV_POPULATE_READ // the C library's headers may be older than the kernel
#define MADV_POPULATE_READ 22
#endif

namespace leat {
namespace {

/// Throws Error when that is not possible.
std::span<const std::byte> map(int descriptor, uint64_t offset, uint64_t bytes)
{
    if (bytes == 0)
        return {};
    void *start = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, descriptor, static_cast<off_t>(offset));
    if (start == MAP_FAILED)
        throw Error("the file cannot be mapped into memory");
    return {static_cast<const std::byte *>(start), bytes};
}

} // namespace

MappedFile::MappedFile(const std::filesystem::path &path) : MappedFile(OpenFile::open_regular(path)) {}

MappedFile::MappedFile(const OpenFile &file) : MappedFile(file, 0, file.bytes()) {}

MappedFile::MappedFile(const OpenFile &file, uint64_t offset, uint64_t bytes)
    : bytes_(map(file.descriptor(), offset, bytes))
{
}

MappedFile::~MappedFile()
{
    if (!bytes_.empty())
        ::munmap(const_cast<std::byte *>(bytes_.data()), bytes_.size());
}

bool MappedFile::fetch() const
{
    if (bytes_.empty())
        return true;
    auto *start = const_cast<std::byte *>(bytes_.data());
    int failed = ::madvise(start, bytes_.size(), MADV_POPULATE_READ);
    while (failed && errno == EINTR)
        failed = ::madvise(start, bytes_.size(), MADV_POPULATE_READ);
    if (failed && errno == EFAULT)
        throw Error("the file cannot be read");
    return !failed;
}

} // namespace leat
