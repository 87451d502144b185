#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace leat {

enum class PixelFormat : uint8_t { nv12, i420, rgb, bgr, rgbx, bgrx, rgba, bgra, gray8 };

/// Maps the centre of a tensor pixel (x, y) to frame pixels: (a x + b y + tx, c x + d y + ty).
///
/// Pixel centres lie at integers in both. Crop, scale, letterbox, flip and rotation are all such a matrix; its inverse
/// does not exist only for an empty region.
struct Affine {
    float a = 1, b = 0, tx = 0;
    float c = 0, d = 1, ty = 0;
};

/// A rectangle in frame pixels; x, y is the outer top-left corner, so a whole frame is {0, 0, width, height}.
struct Region {
    float x = 0, y = 0, width = 0, height = 0;
};

/// Maps a stored sample triple (Y, U, V or the R, G, B or grey as stored, 0..255) to RGB 0..255: three rows of
/// three factors and an offset. Follows from `GstVideoColorimetry` or its like; see colour_matrix().
struct ColourMatrix {
    std::array<std::array<float, 4>, 3> rows{{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}};
};

enum class ColourStandard : uint8_t { bt601, bt709, bt2020 };
enum class ColourRange : uint8_t { limited, full };

/// Matrix from stored samples to RGB 0..255 for that format. For RGB formats the samples are in R, G, B order and the
/// matrix is the identity (full) or expands 16..235 (limited); for gray8 sample 0 is luma.
ColourMatrix colour_matrix(PixelFormat, ColourStandard, ColourRange);

/// One frame as it lies in memory, and which part of it a model shall see. Not a copy: `owner` keeps it alive.
struct Image {
    struct Plane {
        const uint8_t *data = nullptr;
        ptrdiff_t stride = 0; ///< bytes from one row to the next
    };
    PixelFormat format = PixelFormat::rgb;
    int width = 0, height = 0; ///< of the frame, in pixels
    std::array<Plane, 3> planes{};
    ColourMatrix colour;
    /// What the model sees of the frame; the default is the whole frame. Nothing outside is read: samples at its edge
    /// are repeated, as if it had been cropped, and tensor pixels that fall outside are padding.
    Region region;
    Affine to_frame; ///< tensor pixel -> frame pixel; leat::fit() makes it for a region
    std::shared_ptr<const void> owner;
};

} // namespace leat
