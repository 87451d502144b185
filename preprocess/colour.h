#pragma once
#include <leat/image.h>

namespace leat {

enum class ColourStandard : uint8_t { bt601, bt709, bt2020 };
enum class ColourRange : uint8_t { limited, full };

/// Matrix from stored samples to RGB 0..255 for that format. For RGB formats the samples are in R, G, B order and the
/// matrix is the identity (full) or expands 16..235 (limited); for gray8 sample 0 is luma.
ColourMatrix colour_matrix(PixelFormat, ColourStandard, ColourRange);

} // namespace leat
