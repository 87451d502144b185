#pragma once
#include <cstddef>
#include <vector>

#include <hwy/aligned_allocator.h>

namespace leat {

/// Memory for the rows of one call, which its thread keeps for the next: large pieces of memory are dear where hundreds
/// of threads allocate. The contents are lost between calls. One at a time in a thread.
class RowMemory {
  public:
    /// `count` elements, aligned for vectors. Valid as long as this object.
    template <class T> T *row(size_t count)
    {
        if (next_ == kept_.size())
            kept_.emplace_back();
        Piece &piece = kept_[next_++];
        if (piece.bytes != count * sizeof(T))
            piece = {hwy::AllocateAligned<std::byte>(count * sizeof(T)), count * sizeof(T)};
        return reinterpret_cast<T *>(piece.memory.get());
    }

  private:
    struct Piece {
        hwy::AlignedFreeUniquePtr<std::byte[]> memory;
        size_t bytes = 0;
    };
    static thread_local inline std::vector<Piece> kept_; // in the order in which they are asked for
    size_t next_ = 0;
};

} // namespace leat
