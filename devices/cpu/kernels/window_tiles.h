#pragma once
#include "window_sums.h"

#include <algorithm>
#include <cstring>

// How the sums of windows are cut into tiles that stay in registers, whatever the instructions that make a tile.
namespace leat::cpu {

/// Blocks that are summed at once, from `first` on, and where their weights lie.
struct WindowBlocks {
    int64_t first;
    const std::byte *weights;
    int64_t step;           ///< from the weights for one tap to those for the next
    const std::byte *after; ///< the weights that are read next: the same ones, where there are no others
    int64_t after_step;
};

/// `Tile` says with static members what stays in registers:
///   whole_groups        whether the sums of four blocks and more than two pixels do
///   masks_memory        whether it reads and writes some channels of a block without touching the memory of the others
///   pixels(blocks)      the pixels of a tile of so many blocks
///   sevens              whether seven pixels of any blocks stay there, too
///   make<blocks, pixels, partial>(to, stride, sums, blocks, x, fetched)
///       makes the pixels from `x` on, the first one at `to`; `partial`: the last block has fewer channels than 16;
///       `fetched`: memory that is read next, in steps of `after_step` with each tap
template <class Tile> class WindowTiles {
  public:
    static void run(std::byte *to, const WindowSums &w)
    {
        const WindowGroups all(w.outs);
        const auto weights_of = [&](const std::byte *weights, int64_t group) {
            const int64_t first = all.first(group), size = all.first(group + 1) - first;
            return weights + (first * w.count + w.first_tap * size) * block_bytes;
        };
        const int64_t end = w.last_group.value_or(all.groups);
        for (int64_t group = w.first_group; group < end; group++) {
            const int64_t first = all.first(group), size = all.first(group + 1) - first;
            const bool is_last = group + 1 == end;
            const int64_t after = !is_last ? group + 1 : w.next ? w.first_group : group;
            const WindowBlocks b{first, weights_of(w.weights, group), size * block_bytes,
                                 weights_of(is_last && w.next ? w.next : w.weights, after),
                                 (all.first(after + 1) - all.first(after)) * block_bytes};
            if constexpr (!Tile::whole_groups)
                for (int64_t i = 0; i < size; i++)
                    all_pixels<1>(to, w, {first + i, b.weights + i * block_bytes, b.step, b.after, b.after_step});
            else if (size == 4)
                all_pixels<4>(to, w, b);
            else if (size == 3)
                all_pixels<3>(to, w, b);
            else if (size == 2)
                all_pixels<2>(to, w, b);
            else
                all_pixels<1>(to, w, b);
        }
    }

  private:
    static constexpr int64_t block_bytes = window_channels * window_number;

    template <int blocks> static void all_pixels(std::byte *to, const WindowSums &w, const WindowBlocks &b)
    {
        constexpr int pixels = Tile::pixels(blocks);
        const int64_t count = w.last - w.first;
        const bool partial = (b.first + blocks) * window_channels > w.outs;
        // Pictures of 7x7 are best taken by sevens.
        if constexpr (blocks > 1 && Tile::sevens)
            if (count % 7 == 0 && count % pixels != 0 && count < 100)
                return partial ? tiles<blocks, 7, true>(to, w, b) : tiles<blocks, 7, false>(to, w, b);
        partial ? tiles<blocks, pixels, true>(to, w, b) : tiles<blocks, pixels, false>(to, w, b);
    }

    template <int blocks, int pixels, bool partial>
    static void tiles(std::byte *to, const WindowSums &w, const WindowBlocks &b)
    {
        constexpr bool at_once = !partial || Tile::masks_memory;
        const int64_t begin = b.first * window_channels * static_cast<int64_t>(size_of(w.made));
        const std::byte *fetched = b.after;
        for (int64_t x = w.first; x < w.last; x += pixels) {
            if (at_once && x + pixels <= w.last)
                Tile::template make<blocks, pixels, at_once && partial>(to + x * w.stride + begin, w.stride, w, b, x,
                                                                        fetched);
            else if constexpr (at_once && blocks == 4) // whose few pixels cost most
                rest<blocks, pixels - 1, at_once && partial>(to + x * w.stride + begin, w, b, x, fetched);
            else // the last one goes back over pixels that another has made
                part<blocks, pixels>(to + begin, w, b, std::max<int64_t>(0, std::min(x, w.last - pixels)), x, fetched);
            if (fetched + block_bytes < b.after + b.after_step)
                fetched += block_bytes; // each tile fetches a part of what comes after it
        }
    }

    /// The pixels from `x` on, at most `pixels` of them, in a tile of just so many.
    template <int blocks, int pixels, bool partial>
    static void rest(std::byte *to, const WindowSums &w, const WindowBlocks &b, int64_t x, const std::byte *fetched)
    {
        if constexpr (pixels > 1)
            if (w.last - x < pixels)
                return rest<blocks, pixels - 1, partial>(to, w, b, x, fetched);
        Tile::template make<blocks, pixels, partial>(to, w.stride, w, b, x, fetched);
    }

    /// The pixels [first, w.last) of a tile that begins with the pixel `x`. `to`: the first channel of pixel 0.
    template <int blocks, int pixels>
    static void part(std::byte *to, const WindowSums &w, const WindowBlocks &b, int64_t x, int64_t first,
                     const std::byte *fetched)
    {
        constexpr int64_t channels = blocks * window_channels;
        alignas(64) std::byte whole[pixels * channels * window_number] = {};
        const auto element = static_cast<int64_t>(size_of(w.made));
        const int64_t stride = channels * element, last = std::min(w.last, x + pixels);
        const auto count = static_cast<size_t>(std::min(channels, w.outs - b.first * window_channels) * element);
        if (w.added)
            for (int64_t p = first; p < last; p++)
                std::memcpy(whole + (p - x) * stride, to + p * w.stride, count);
        Tile::template make<blocks, pixels, false>(whole, stride, w, b, x, fetched);
        for (int64_t p = first; p < last; p++)
            std::memcpy(to + p * w.stride, whole + (p - x) * stride, count);
    }
};

} // namespace leat::cpu
