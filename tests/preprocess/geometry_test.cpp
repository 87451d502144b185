#include "preprocess/geometry.h"

#include <leat/error.h>

#include <gtest/gtest.h>

namespace leat {
namespace {

ImageSpec spec_of(int width, int height, ResizeMode resize)
{
    ImageSpec spec;
    spec.width = width;
    spec.height = height;
    spec.resize = resize;
    return spec;
}

Point tensor_point(const Affine &matrix, Point frame)
{
    return to_frame(inverse(matrix), frame);
}

void expect_near(Point point, float x, float y)
{
    EXPECT_NEAR(point.x, x, 1e-3);
    EXPECT_NEAR(point.y, y, 1e-3);
}

TEST(Fit, StretchMapsOuterEdgesToOuterEdges)
{
    const Affine matrix = fit(spec_of(320, 240, ResizeMode::stretch), {0, 0, 1920, 1080});
    expect_near(to_frame(matrix, {0, 0}), 0, 0);
    expect_near(to_frame(matrix, {320, 240}), 1920, 1080);
    EXPECT_FLOAT_EQ(matrix.a, 6);
    EXPECT_FLOAT_EQ(matrix.tx, 2.5f); // (0 + 0.5) * 6 - 0.5
}

struct Letterbox {
    int frame_width, frame_height, width, height;
    ResizeMode resize;
    float left, top, right, bottom; // of the picture in the tensor
};

/// Sizes and places that OpenCV-based references state for real pictures.
const Letterbox letterboxes[] = {
    {768, 576, 416, 416, ResizeMode::letterbox_corner, 0, 0, 416, 312},
    {640, 482, 320, 320, ResizeMode::letterbox_corner, 0, 0, 320, 241},
    {1200, 800, 640, 448, ResizeMode::letterbox_corner, 0, 0, 640, 426},
    {1200, 800, 128, 128, ResizeMode::letterbox, 0, 21, 128, 106},
    {640, 480, 192, 192, ResizeMode::letterbox, 0, 24, 192, 168},
    {480, 640, 192, 192, ResizeMode::letterbox, 24, 0, 168, 192},
    {1, 1000, 10, 10, ResizeMode::letterbox, 4, 0, 5, 10},
};

TEST(Fit, LetterboxFillsWholePixels)
{
    for (const Letterbox &c : letterboxes) {
        SCOPED_TRACE(testing::Message() << c.frame_width << "x" << c.frame_height << " to " << c.width << "x"
                                        << c.height);
        const auto width = static_cast<float>(c.frame_width), height = static_cast<float>(c.frame_height);
        const Affine matrix = fit(spec_of(c.width, c.height, c.resize), {0, 0, width, height});
        expect_near(tensor_point(matrix, {0, 0}), c.left, c.top);
        expect_near(tensor_point(matrix, {width, height}), c.right, c.bottom);
    }
}

TEST(Fit, WholePixelsSurviveInexactScales)
{
    for (int size = 1; size < 3000; size += 7) {
        const auto edge = static_cast<float>(size);
        const Affine matrix = fit(spec_of(640, 640, ResizeMode::letterbox_corner), {0, 0, edge, edge});
        expect_near(tensor_point(matrix, {edge, edge}), 640, 640);
    }
}

TEST(Fit, RegionFillsTheTensor)
{
    const Affine matrix = fit(spec_of(100, 50, ResizeMode::stretch), {30, 40, 200, 300});
    expect_near(to_frame(matrix, {0, 0}), 30, 40);
    expect_near(to_frame(matrix, {50, 25}), 130, 190);
    expect_near(to_frame(matrix, {100, 50}), 230, 340);
}

TEST(Fit, RefusesEmptyRegions)
{
    EXPECT_THROW(fit(spec_of(10, 10, ResizeMode::stretch), {0, 0, 0, 5}), Error);
    EXPECT_THROW(fit(spec_of(10, 10, ResizeMode::letterbox), {0, 0, 5, -1}), Error);
    EXPECT_THROW(fit(spec_of(0, 10, ResizeMode::stretch), {0, 0, 5, 5}), Error);
}

TEST(Inverse, UndoesAnyMatrix)
{
    const Affine matrix{0.5f, -2, 3, 1.5f, 0.25f, -7};
    expect_near(to_frame(inverse(matrix), to_frame(matrix, {11, 13})), 11, 13);
    EXPECT_THROW(inverse(Affine{1, 2, 0, 2, 4, 0}), Error);
}

} // namespace
} // namespace leat
