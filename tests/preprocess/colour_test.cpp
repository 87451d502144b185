#include <leat/image.h>

#include <gtest/gtest.h>

namespace leat {
namespace {

struct ColourCase {
    PixelFormat format;
    ColourStandard standard;
    ColourRange range;
    std::array<float, 3> samples, rgb;
    float tolerance;
};

/// 8-bit codes of pure colours, from the equations of ITU-R BT.601, BT.709 and BT.2020; codes are rounded, so a colour
/// is met to about one and a half steps.
const ColourCase cases[] = {
    {PixelFormat::nv12, ColourStandard::bt601, ColourRange::limited, {16, 128, 128}, {0, 0, 0}, 0.01f},
    {PixelFormat::nv12, ColourStandard::bt601, ColourRange::limited, {235, 128, 128}, {255, 255, 255}, 0.01f},
    {PixelFormat::nv12, ColourStandard::bt601, ColourRange::limited, {81, 90, 240}, {255, 0, 0}, 1.5f},
    {PixelFormat::nv12, ColourStandard::bt601, ColourRange::limited, {145, 54, 34}, {0, 255, 0}, 1.5f},
    {PixelFormat::nv12, ColourStandard::bt601, ColourRange::limited, {41, 240, 110}, {0, 0, 255}, 1.5f},
    {PixelFormat::i420, ColourStandard::bt601, ColourRange::full, {76, 85, 255}, {255, 0, 0}, 1.5f},
    {PixelFormat::i420, ColourStandard::bt709, ColourRange::limited, {63, 102, 240}, {255, 0, 0}, 1.5f},
    {PixelFormat::i420, ColourStandard::bt709, ColourRange::limited, {173, 42, 26}, {0, 255, 0}, 1.5f},
    {PixelFormat::i420, ColourStandard::bt709, ColourRange::full, {18, 255, 117}, {0, 0, 255}, 1.5f},
    {PixelFormat::nv12, ColourStandard::bt2020, ColourRange::limited, {74, 97, 240}, {255, 0, 0}, 1.5f},
    {PixelFormat::rgb, ColourStandard::bt709, ColourRange::full, {1, 2, 3}, {1, 2, 3}, 0},
    {PixelFormat::bgrx, ColourStandard::bt709, ColourRange::limited, {16, 235, 125.5f}, {0, 255, 127.5f}, 0.01f},
    {PixelFormat::gray8, ColourStandard::bt601, ColourRange::full, {7, 0, 0}, {7, 7, 7}, 0},
    {PixelFormat::gray8, ColourStandard::bt601, ColourRange::limited, {235, 0, 0}, {255, 255, 255}, 0.01f},
};

TEST(ColourMatrix, PureColours)
{
    for (const ColourCase &c : cases) {
        const ColourMatrix matrix = colour_matrix(c.format, c.standard, c.range);
        for (size_t i = 0; i < 3; i++) {
            const auto &row = matrix.rows[i];
            const float value = row[0] * c.samples[0] + row[1] * c.samples[1] + row[2] * c.samples[2] + row[3];
            EXPECT_NEAR(value, c.rgb[i], c.tolerance) << "channel " << i << " of case " << &c - cases;
        }
    }
}

} // namespace
} // namespace leat
