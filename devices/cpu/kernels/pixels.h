#pragma once
#include "window.h"
#include "window_sums.h"

#include <optional>
#include <span>

// The rows of numbers, or the pixels, that products with a matrix of weights read.
namespace leat::cpu {

/// Pixels of pictures that do not lie one after the other; some may be padding.
struct Pixels {
    int64_t pictures = 1;
    WindowAxis y, x;                         ///< whose windows are single pixels
    int64_t picture = 0, row = 0, pixel = 0; ///< in the input, from one to the next: elements
    int64_t channels = 1;                    ///< side by side

    int64_t count() const { return pictures * y.output * x.output; }
    /// Copies the pixel `index`. `padding`: each byte of one outside of the picture.
    void copy(std::byte *to, const std::byte *in, int64_t index, int64_t element, std::byte padding = {}) const;
};

/// Those that 1x1 windows over `in`, whose channels lie side by side, read on one axis or two.
Pixels pixels_of(const Layout &in, std::span<const WindowAxis>);

/// The distance between pixels that lie one after the other, whatever else lies between; nothing when they do not.
std::optional<int64_t> step_of(const Layout &in);

/// A product of rows of numbers, or of pixels, and weights.
struct Product {
    Type type; ///< of what it reads: f32, bf16, u8 or s8
    int64_t rows, ins, outs;
    int64_t step;                     ///< from one row to the next: elements; 0 for one row, which is read as many
    std::optional<Pixels> gathered{}; ///< are copied first, to lie one after the other

    int64_t element() const { return static_cast<int64_t>(size_of(type)); }
    /// What window_sums() counts: pairs of bf16, fours of integers.
    int64_t numbers() const { return ins * element() / window_number; }
    /// As many rows as fit into `cache` bytes with what is made of them, elements of so many bytes, and as many as
    /// `threads` have to do each.
    int64_t rows_at_once(int64_t cache, int64_t made, int threads) const;
    /// Bytes of `at_once` rows that are gathered: as many as tiles read.
    int64_t gathered_bytes(int64_t at_once) const;
    /// Gathers the rows [first, last). `padding`: each byte of pixels outside of the picture, and of what rows have
    /// beyond the channels of a pixel.
    void gather(std::byte *to, const std::byte *in, int64_t first, int64_t last, std::byte padding = {}) const;
    /// Writes where each number of row 0 lies.
    void find_taps(const std::byte **taps, const std::byte *row) const;
};

/// Of rows that lie one after the other. A single one is read as many; few are gathered, with room for as many as tiles
/// read.
Product product_of_rows(Type, int64_t rows, int64_t ins, int64_t outs, int64_t step);

/// Of the pixels of a 1x1 convolution over `in`. `step`: from one to the next; absent when they do not lie one after
/// the other, on two axes at most.
Product product_of_pixels(const Layout &in, std::span<const WindowAxis>, int64_t outs, std::optional<int64_t> step);

} // namespace leat::cpu
