#include "mapped_file.h"

#include <leat/error.h>

#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace leat {

MappedFile::MappedFile(const std::filesystem::path &path)
{
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat facts = {};
    if (file < 0)
        throw Error(errno == ENOENT ? "the file does not exist"
                                    : std::string("the file cannot be opened: ") + std::strerror(errno));
    void *start = nullptr;
    if (::fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode))
        start = MAP_FAILED;
    else if (facts.st_size > 0)
        start = ::mmap(nullptr, static_cast<size_t>(facts.st_size), PROT_READ, MAP_PRIVATE, file, 0);
    ::close(file);
    if (start == MAP_FAILED)
        throw Error("the file cannot be mapped into memory; it must be a regular file");
    bytes_ = {static_cast<const std::byte *>(start), static_cast<size_t>(facts.st_size)};
}

MappedFile::MappedFile(const OpenFile &file)
{
    if (file.bytes() == 0)
        return;
    void *start = ::mmap(nullptr, file.bytes(), PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
    if (start == MAP_FAILED)
        throw Error("the file cannot be mapped into memory");
    bytes_ = {static_cast<const std::byte *>(start), file.bytes()};
}

MappedFile::~MappedFile()
{
    if (!bytes_.empty())
        ::munmap(const_cast<std::byte *>(bytes_.data()), bytes_.size());
}

} // namespace leat
