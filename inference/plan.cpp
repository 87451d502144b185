#include "plan.h"

#include <algorithm>
#include <numeric>

namespace leat {
namespace {

constexpr size_t alignment = 64;

size_t aligned(size_t bytes)
{
    return (bytes + alignment - 1) / alignment * alignment;
}

bool alive_together(const Lifetime &a, const Lifetime &b)
{
    return a.first <= b.last && b.first <= a.last;
}

} // namespace

Arena pack(std::span<const Lifetime> pieces)
{
    Arena arena{std::vector<size_t>(pieces.size(), 0), 0};
    std::vector<size_t> by_size(pieces.size());
    std::iota(by_size.begin(), by_size.end(), size_t(0));
    std::stable_sort(by_size.begin(), by_size.end(),
                     [&](size_t a, size_t b) { return pieces[a].bytes > pieces[b].bytes; });

    std::vector<size_t> placed; // in ascending order of offset
    for (size_t piece : by_size) {
        const size_t bytes = aligned(pieces[piece].bytes);
        if (bytes == 0)
            continue;
        size_t offset = 0;
        for (size_t other : placed) {
            if (!alive_together(pieces[piece], pieces[other]))
                continue;
            if (offset + bytes <= arena.offsets[other])
                break;
            offset = std::max(offset, arena.offsets[other] + aligned(pieces[other].bytes));
        }
        arena.offsets[piece] = offset;
        arena.bytes = std::max(arena.bytes, offset + bytes);
        const auto place = std::upper_bound(placed.begin(), placed.end(), offset,
                                            [&](size_t at, size_t other) { return at < arena.offsets[other]; });
        placed.insert(place, piece);
    }
    return arena;
}

} // namespace leat
