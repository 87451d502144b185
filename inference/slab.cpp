#include "slab.h"

#include <algorithm>
#include <array>

#include <sys/mman.h>

namespace leat {
namespace {

constexpr size_t page = size_t(2) << 20, pages = 32;
/// Larger tensors have huge pages of their own. Smaller ones are cheap wherever they are; among them are those that
/// kernels read as they came, which would hold a page as long as the model lives.
constexpr size_t most = 2 * page, fewest = 64 << 10;
constexpr size_t alignment = 64;

// AddressSanitizer sees only what lies beside memory of its own.
#ifdef __SANITIZE_ADDRESS__
constexpr bool each_on_its_own = true;
#else
constexpr bool each_on_its_own = false;
#endif

constexpr size_t rounded_up(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

} // namespace

/// Pages side by side that are used from the first on.
struct Slab::Block {
    Block()
    {
        void *memory = ::mmap(nullptr, (pages + 1) * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return;
        mapped = static_cast<std::byte *>(memory);
        start = mapped + (rounded_up(reinterpret_cast<uintptr_t>(mapped), page) - reinterpret_cast<uintptr_t>(mapped));
    }
    ~Block()
    {
        if (mapped)
            ::munmap(mapped, (pages + 1) * page);
    }
    Block(const Block &) = delete;
    Block &operator=(const Block &) = delete;

    bool has_room_for(size_t bytes) const { return start && pages * page - used >= bytes; }

    std::byte *mapped = nullptr, *start = nullptr;
    size_t used = 0;
    std::array<int, pages> tensors = {}; ///< that lie in each page
};

std::shared_ptr<Slab> Slab::make()
{
    return std::shared_ptr<Slab>(new Slab);
}

Slab::Slab() = default;
Slab::~Slab() = default;

void Slab::expect(size_t bytes)
{
    std::lock_guard lock(mutex_);
    expected_ += bytes;
}

Tensor Slab::allocate(Type type, const Shape &shape)
{
    const auto count = static_cast<uint64_t>(count_of(shape));
    const bool fits = count <= most && count * size_of(type) <= most && count * size_of(type) >= fewest;
    Tensor tensor = fits && !each_on_its_own ? view(type, shape, count * size_of(type)) : Tensor();
    return tensor ? tensor : Tensor(type, shape);
}

/// Nothing when the system gives no memory.
Tensor Slab::view(Type type, const Shape &shape, size_t bytes)
{
    std::unique_lock lock(mutex_);
    if (blocks_.empty() || !blocks_.back()->has_room_for(bytes))
        blocks_.push_back(std::make_unique<Block>());
    Block &block = *blocks_.back();
    if (!block.has_room_for(bytes))
        return {};
    const size_t begin = block.used, end = rounded_up(begin + bytes, alignment);
    for (size_t entered = rounded_up(begin, page); entered < end; entered += page)
        if (expected_ == 0 || expected_ + begin >= entered + page)
            ::madvise(block.start + entered, page, MADV_HUGEPAGE); // a wish, which may be refused
    for (size_t i = begin / page; i <= (end - 1) / page; i++)
        block.tensors[i]++;
    block.used = end;
    expected_ -= std::min(expected_, end - begin);
    lock.unlock();
    std::shared_ptr<const void> held(block.start, [slab = shared_from_this(), &block, begin, end](const void *) {
        slab->let_go(block, begin, end);
    });
    return Tensor::view(type, shape, block.start + begin, std::move(held));
}

/// Of the page that is being filled nothing goes: it is about to be used again.
void Slab::let_go(Block &block, size_t begin, size_t end)
{
    std::lock_guard lock(mutex_);
    const bool is_filled = &block != blocks_.back().get();
    for (size_t i = begin / page; i <= (end - 1) / page; i++)
        if (--block.tensors[i] == 0 && (is_filled || (i + 1) * page <= block.used))
            ::madvise(block.start + i * page, page, MADV_DONTNEED);
}

} // namespace leat
