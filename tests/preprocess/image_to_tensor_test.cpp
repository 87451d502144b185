#include "frames.h"
#include "support/sanitized.h"

#include <leat/error.h>

#include <cmath>
#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

namespace leat {
namespace {

Image frame_from(PixelFormat format, int width, int height, const std::vector<std::vector<uint8_t>> &planes)
{
    auto owner = std::make_shared<std::vector<std::vector<uint8_t>>>(planes);
    Image image;
    image.format = format;
    image.width = width;
    image.height = height;
    for (size_t i = 0; i < owner->size(); i++) {
        const int shift = layout_of(format).components[i].shift;
        const int rows = (height + (1 << shift) - 1) >> shift;
        image.planes[i] = {(*owner)[i].data(), static_cast<ptrdiff_t>((*owner)[i].size()) / rows};
    }
    image.colour =
        colour_matrix(format, ColourStandard::bt601,
                      layout_of(format).model == ColourModel::yuv ? ColourRange::limited : ColourRange::full);
    image.owner = owner;
    return image;
}

ImageSpec spec_of(int width, int height, ColourOrder order = ColourOrder::rgb, ResizeMode resize = ResizeMode::stretch)
{
    ImageSpec spec;
    spec.width = width;
    spec.height = height;
    spec.order = order;
    spec.resize = resize;
    return spec;
}

void expect_values(const Tensor &tensor, const std::vector<float> &values, float tolerance = 1e-3f)
{
    ASSERT_EQ(tensor.count(), values.size());
    for (size_t i = 0; i < values.size(); i++)
        EXPECT_NEAR(tensor.data<float>()[i], values[i], tolerance) << "element " << i;
}

using Function = Tensor (*)(const Image &, const ImageSpec &);

/// Arithmetic done by hand, for both twins.
class ByHand : public testing::TestWithParam<Function> {
  protected:
    Tensor run(Image image, const ImageSpec &spec)
    {
        image.to_frame = fit(spec, image.region.width > 0 ? image.region : frame_of(image));
        return GetParam()(image, spec);
    }
};
INSTANTIATE_TEST_SUITE_P(Twins, ByHand, testing::Values(by_reference, by_simd),
                         [](const auto &twin) { return twin.param == by_reference ? "reference" : "simd"; });

TEST_P(ByHand, CopiesAndOrdersPackedPixels)
{
    const Image rgb = frame_from(PixelFormat::rgb, 2, 1, {{10, 20, 30, 40, 50, 60}});
    expect_values(run(rgb, spec_of(2, 1)), {10, 40, 20, 50, 30, 60});
    expect_values(run(rgb, spec_of(2, 1, ColourOrder::bgr)), {30, 60, 20, 50, 10, 40});
    const Image bgrx = frame_from(PixelFormat::bgrx, 2, 1, {{30, 20, 10, 99, 60, 50, 40, 99}});
    expect_values(run(bgrx, spec_of(2, 1)), {10, 40, 20, 50, 30, 60});
    ImageSpec nhwc = spec_of(2, 1);
    nhwc.layout = Layout::nhwc;
    expect_values(run(rgb, nhwc), {10, 20, 30, 40, 50, 60});
}

TEST_P(ByHand, UpscalesBilinearWithRepeatedEdges)
{
    const Image gray = frame_from(PixelFormat::gray8, 2, 2, {{0, 100, 200, 40}});
    // Positions -0.25, 0.25, 0.75, 1.25 on each axis.
    expect_values(run(gray, spec_of(4, 4, ColourOrder::gray)),
                  {0, 25, 75, 100,           //
                   50, 58.75f, 76.25f, 85,   //
                   150, 126.25f, 78.75f, 55, //
                   200, 160, 80, 40},
                  0.02f);
}

TEST_P(ByHand, DownscalesBetweenTheTwoNearestSamples)
{
    const Image gray = frame_from(PixelFormat::gray8, 6, 1, {{0, 60, 0, 0, 90, 30}});
    // Positions 1 and 4: plain bilinear, no averaging over the six.
    expect_values(run(gray, spec_of(2, 1, ColourOrder::gray)), {60, 90});
    // Positions 0.25, 1.75, 3.25, 4.75.
    expect_values(run(gray, spec_of(4, 1, ColourOrder::gray)), {15, 15, 22.5f, 45}, 0.02f);
}

TEST_P(ByHand, AreaIsTheMeanOfWhatAPixelCovers)
{
    const Image gray = frame_from(PixelFormat::gray8, 5, 2, {{10, 20, 30, 40, 50, 110, 120, 130, 140, 150}});
    ImageSpec spec = spec_of(2, 1, ColourOrder::gray);
    spec.filter = Filter::area;
    // Columns 0 to 2.5 and 2.5 to 5 of both rows.
    expect_values(run(gray, spec), {(10 + 20 + 15) / 2.5f + 50, (15 + 40 + 50) / 2.5f + 50}, 0.02f);
    // Where nothing shrinks it is bilinear.
    spec.width = 10;
    spec.height = 2;
    const Tensor enlarged = run(gray, spec);
    expect_values(enlarged, {10,  12.5f,  17.5f,  22.5f,  27.5f,  32.5f,  37.5f,  42.5f,  47.5f,  50, //
                             110, 112.5f, 117.5f, 122.5f, 127.5f, 132.5f, 137.5f, 142.5f, 147.5f, 150},
                  0.02f);
}

TEST_P(ByHand, AreaIsTheMeanOfTheBlock)
{
    ImageSpec spec = spec_of(2, 1, ColourOrder::gray);
    spec.filter = Filter::area;
    const Image gray = frame_from(PixelFormat::gray8, 6, 2, {{0, 60, 0, 0, 90, 30, 12, 0, 0, 255, 255, 30}});
    expect_values(run(gray, spec), {12, 110}, 0.02f);
    spec.width = 4; // one and a half samples each, of both rows
    expect_values(
        run(gray, spec),
        {(6 + 30 / 2.0f) / 1.5f, (30 / 2.0f + 0) / 1.5f, (127.5f + 172.5f / 2) / 1.5f, (172.5f / 2 + 30) / 1.5f},
        0.02f);
    const Image bgr = frame_from(PixelFormat::bgr, 2, 1, {{1, 2, 3, 5, 8, 13}});
    ImageSpec one = spec_of(1, 1);
    one.filter = Filter::area;
    expect_values(run(bgr, one), {8, 5, 3}, 0.02f);
}

TEST_P(ByHand, AreaAppliesToTheAxisThatShrinks)
{
    ImageSpec spec = spec_of(1, 4, ColourOrder::gray);
    spec.filter = Filter::area;
    const Image gray = frame_from(PixelFormat::gray8, 3, 2, {{0, 30, 60, 100, 110, 240}});
    // Means 30 and 150, at the positions -0.25, 0.25, 0.75, 1.25.
    expect_values(run(gray, spec), {30, 60, 120, 150}, 0.02f);
}

TEST_P(ByHand, AreaOfChromaIsItsOwn)
{
    // Two tensor pixels of four luma samples and two chroma samples each.
    Image image = frame_from(PixelFormat::nv12, 8, 1,
                             {{10, 20, 30, 40, 50, 60, 70, 80}, {100, 128, 140, 128, 160, 128, 128, 128}});
    image.colour = colour_matrix(PixelFormat::nv12, ColourStandard::bt601, ColourRange::full);
    ImageSpec spec = spec_of(2, 1, ColourOrder::bgr);
    spec.filter = Filter::area;
    const Tensor tensor = run(image, spec);
    EXPECT_NEAR(tensor.data<float>()[0], 25 + 1.772f * (120 - 128), 0.03f);
    EXPECT_NEAR(tensor.data<float>()[1], 65 + 1.772f * (144 - 128), 0.03f);
    EXPECT_NEAR(tensor.data<float>()[4], 25, 0.03f);
    EXPECT_NEAR(tensor.data<float>()[5], 65, 0.03f);
}

TEST_P(ByHand, PadsAroundTheLetterbox)
{
    const Image gray = frame_from(PixelFormat::gray8, 4, 2, {{1, 2, 3, 4, 5, 6, 7, 8}});
    ImageSpec spec = spec_of(4, 5, ColourOrder::gray, ResizeMode::letterbox);
    spec.pad = 114;
    spec.mul = {2, 2, 2};
    spec.add = {-1, -1, -1};
    const float pad = 227;
    expect_values(run(gray, spec),
                  {pad, pad, pad, pad, 1, 3, 5, 7, 9, 11, 13, 15, pad, pad, pad, pad, pad, pad, pad, pad});
    spec.resize = ResizeMode::letterbox_corner;
    expect_values(run(gray, spec),
                  {1, 3, 5, 7, 9, 11, 13, 15, pad, pad, pad, pad, pad, pad, pad, pad, pad, pad, pad, pad});
}

TEST_P(ByHand, ConvertsLimitedRangeYuv)
{
    const Image nv12 = frame_from(PixelFormat::nv12, 2, 2, {{16, 235, 81, 145}, {128, 128}});
    expect_values(run(nv12, spec_of(2, 2)),
                  {0, 255, 75.685f, 150.205f, 0, 255, 75.685f, 150.205f, 0, 255, 75.685f, 150.205f}, 0.01f);
    const Image red = frame_from(PixelFormat::i420, 1, 1, {{81}, {90}, {240}});
    expect_values(run(red, spec_of(1, 1)), {254.44f, 0, 0}, 0.5f);
}

TEST_P(ByHand, InterpolatesChromaSitedInTheMiddle)
{
    // Full-range grey luma; U differs between the two chroma samples, so blue = 128 + 1.772 (U - 128).
    Image image = frame_from(PixelFormat::i420, 4, 1, {{128, 128, 128, 128}, {128, 168}, {128, 128}});
    image.colour = colour_matrix(PixelFormat::i420, ColourStandard::bt601, ColourRange::full);
    const Tensor tensor = run(image, spec_of(4, 1));
    const float share[] = {0, 0.25f, 0.75f, 1};
    for (size_t x = 0; x < 4; x++)
        EXPECT_NEAR(tensor.data<float>()[8 + x], 128 + 1.772f * 40 * share[x], 0.02f);
}

TEST_P(ByHand, MakesGreyByLuma)
{
    const Image rgb = frame_from(PixelFormat::rgb, 1, 1, {{100, 200, 50}});
    expect_values(run(rgb, spec_of(1, 1, ColourOrder::gray)), {0.299f * 100 + 0.587f * 200 + 0.114f * 50});
}

TEST_P(ByHand, RoundsBytesAndHalves)
{
    const Image gray = frame_from(PixelFormat::gray8, 2, 1, {{10, 13}});
    ImageSpec spec = spec_of(4, 1, ColourOrder::gray);
    spec.type = Type::u8;
    EXPECT_EQ(run(gray, spec).to_int64(), (std::vector<int64_t>{10, 11, 12, 13}));
    spec.type = Type::f16;
    spec.mul = {1 / 3.0f, 1, 1};
    const Tensor halves = run(gray, spec);
    EXPECT_NEAR(halves.data<Half>()[0], 10 / 3.0f, 2e-3);
    EXPECT_NEAR(halves.data<Half>()[3], 13 / 3.0f, 2e-3);
    spec.type = Type::bf16;
    const Tensor short_floats = run(gray, spec);
    EXPECT_NEAR(short_floats.data<BFloat16>()[0], 10 / 3.0f, 1e-2);
    EXPECT_NEAR(short_floats.data<BFloat16>()[3], 13 / 3.0f, 2e-2);
}

TEST_P(ByHand, RefusesFramesWithoutPixels)
{
    Image image = random_frame(PixelFormat::nv12, 4, 4);
    image.planes[1].data = nullptr;
    EXPECT_THROW(GetParam()(image, spec_of(2, 2)), Error);
    EXPECT_THROW(GetParam()(Image{}, spec_of(2, 2)), Error);
    ImageSpec integers = spec_of(2, 2);
    integers.type = Type::s32;
    EXPECT_THROW(GetParam()(random_frame(PixelFormat::rgb, 2, 2), integers), Error);
}

/// Greatest difference allowed between the twins, in units of a pixel: weights have 14 bits, which is 255 / 2^15 in
/// each of two components that can add up with factors up to 2.2; u8 may round the other way.
constexpr double twin_tolerance = 0.06;

double allowed(const ImageSpec &spec)
{
    switch (spec.type) {
    case Type::f16: return twin_tolerance * spec.mul[0] + 255 * spec.mul[0] / 1024;
    case Type::bf16: return twin_tolerance * spec.mul[0] + 255 * spec.mul[0] / 128;
    case Type::u8: return 1;
    default: return twin_tolerance * spec.mul[0];
    }
}

/// Runs `body` with each instruction set that this machine and the library share.
template <class Body> void on_each_target(Body &&body)
{
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
        SCOPED_TRACE(hwy::TargetName(target));
        hwy::SetSupportedTargetsForTest(target);
        hwy::GetChosenTarget().Update(hwy::SupportedTargets());
        body();
    }
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

/// On every instruction set.
void expect_twins(const Image &image, const ImageSpec &spec)
{
    const Tensor expected = by_reference(image, spec).converted(Type::f32);
    on_each_target([&] {
        const Tensor got = by_simd(image, spec).converted(Type::f32);
        double worst = 0;
        for (size_t i = 0; i < got.count(); i++)
            worst = std::max(worst, std::fabs(static_cast<double>(expected.data<float>()[i]) - got.data<float>()[i]));
        EXPECT_LE(worst, allowed(spec)) << "format " << int(image.format) << " " << image.width << "x" << image.height
                                        << " to " << spec.width << "x" << spec.height << " order " << int(spec.order)
                                        << " resize " << int(spec.resize) << " layout " << int(spec.layout) << " type "
                                        << to_string(spec.type);
    });
}

struct Sizes {
    int width, height, tensor_width, tensor_height;
};

/// Up and down, odd, tiny, wider than any vector, and a scale beyond the narrow window.
constexpr Sizes sizes[] = {{37, 23, 64, 24}, {64, 48, 19, 33},  {1, 1, 5, 3},
                           {3, 7, 40, 70},   {301, 11, 130, 5}, {613, 9, 17, 4}};

/// Every eleventh case leaves out no value of any parameter.
constexpr int cases_apart = sanitized ? 11 : 1;

TEST(Twins, EveryFormatModeOrderTypeAndLayout)
{
    int number = 0;
    for (PixelFormat format : all_formats)
        for (const Sizes &size : sizes)
            for (ResizeMode resize : {ResizeMode::stretch, ResizeMode::letterbox, ResizeMode::letterbox_corner})
                for (ColourOrder order : {ColourOrder::rgb, ColourOrder::bgr, ColourOrder::gray})
                    for (Layout layout : {Layout::nchw, Layout::nhwc})
                        for (Type type : {Type::f32, Type::f16, Type::bf16, Type::u8}) {
                            if (number++ % cases_apart)
                                continue;
                            ImageSpec spec = spec_of(size.tensor_width, size.tensor_height, order, resize);
                            spec.layout = layout;
                            spec.type = type;
                            spec.pad = 114;
                            if (type != Type::u8) {
                                spec.mul = {0.5f, 0.4f, 0.3f};
                                spec.add = {-3, 2, 1};
                            }
                            Image image = random_frame(format, size.width, size.height, size.width % 5);
                            image.to_frame = fit(spec, frame_of(image));
                            expect_twins(image, spec);
                        }
}

TEST(Twins, Area)
{
    for (PixelFormat format : all_formats)
        for (const Sizes &size : {Sizes{64, 48, 19, 33}, Sizes{301, 211, 70, 11}, Sizes{613, 9, 17, 4},
                                  Sizes{900, 3, 5, 2}, Sizes{20, 90, 40, 31}})
            for (bool mirrored : {false, true}) {
                ImageSpec spec =
                    spec_of(size.tensor_width, size.tensor_height, ColourOrder::rgb, ResizeMode::letterbox);
                spec.filter = Filter::area;
                Image image = random_frame(format, size.width, size.height, 5);
                image.region = {1.25f, 0.5f, static_cast<float>(size.width) - 3, static_cast<float>(size.height) - 1};
                image.to_frame = fit(spec, image.region);
                if (mirrored) {
                    image.to_frame.tx += image.to_frame.a * static_cast<float>(spec.width - 1);
                    image.to_frame.a = -image.to_frame.a;
                }
                expect_twins(image, spec);
            }
}

TEST(Twins, AreaOfRegions)
{
    constexpr Region regions[] = {{12, 18, 41, 37},       {3.3f, 5.7f, 60.2f, 31.9f}, {-20, -9, 90, 50},
                                  {78.9f, 59.9f, 30, 30}, {79, 0, 0.4f, 60},          {10, 10, 4, 50}};
    for (PixelFormat format : all_formats)
        for (const Region &region : regions)
            for (ResizeMode resize : {ResizeMode::stretch, ResizeMode::letterbox}) {
                ImageSpec spec = spec_of(13, 11, ColourOrder::rgb, resize);
                spec.filter = Filter::area;
                Image image = random_frame(format, 80, 60, 4);
                image.region = region;
                image.to_frame = fit(spec, region);
                expect_twins(image, spec);
            }
}

TEST(Twins, AreaIsBilinearWhereNothingShrinks)
{
    for (Function function : {by_reference, by_simd})
        for (PixelFormat format : all_formats)
            for (const Affine &matrix :
                 {Affine{0.7f, 0, 0.2f, 0, 0.4f, 0.1f}, Affine{1, 0, 0, 0, 1, 0}, Affine{2.5f, 0.4f, 3, -0.2f, 3, 1}}) {
                ImageSpec spec = spec_of(30, 20);
                Image image = random_frame(format, 45, 37, 1);
                image.to_frame = matrix;
                const Tensor bilinear = function(image, spec);
                spec.filter = Filter::area;
                const Tensor area = function(image, spec);
                for (size_t i = 0; i < area.count(); i++)
                    ASSERT_EQ(bilinear.data<float>()[i], area.data<float>()[i]) << "element " << i;
            }
}

TEST(Twins, EveryColorimetry)
{
    for (PixelFormat format : all_formats)
        for (ColourStandard standard : {ColourStandard::bt601, ColourStandard::bt709, ColourStandard::bt2020})
            for (ColourRange range : {ColourRange::limited, ColourRange::full}) {
                Image image = random_frame(format, 53, 31, 3);
                image.colour = colour_matrix(format, standard, range);
                const ImageSpec spec = spec_of(40, 44);
                image.to_frame = fit(spec, frame_of(image));
                expect_twins(image, spec);
            }
}

TEST(Twins, AnyMatrix)
{
    const Affine matrices[] = {
        {0.8f, 0.6f, -3, -0.6f, 0.8f, 11}, // rotation
        {0, 1, 0, 1, 0, 0},                // transposition
        {0, -1.3f, 40, 1.1f, 0, 2},        // quarter turn
        {-1.5f, 0, 58, 0, 1, 0},           // mirror
        {-4.9f, 0, 200, 0, -0.2f, 29},     // both mirrored, far beyond the frame
        {1, 0.5f, 0, 0, 1, 0},             // shear
        {0, 0, 7.3f, 0, 0, 9.8f},          // one point
    };
    for (PixelFormat format : all_formats)
        for (const Affine &matrix : matrices) {
            Image image = random_frame(format, 59, 33, 2);
            image.to_frame = matrix;
            expect_twins(image, spec_of(50, 41));
        }
}

TEST(Twins, TinyFramesUnderAnyMatrix)
{
    for (PixelFormat format : all_formats)
        for (const Sizes &size : {Sizes{1, 1, 6, 5}, Sizes{2, 1, 5, 6}, Sizes{1, 3, 20, 3}, Sizes{3, 2, 33, 9}}) {
            Image image = random_frame(format, size.width, size.height);
            const ImageSpec spec = spec_of(size.tensor_width, size.tensor_height, ColourOrder::bgr);
            image.to_frame = fit(spec, frame_of(image));
            image.to_frame.b = 0.1f;
            image.to_frame.c = -0.07f;
            expect_twins(image, spec);
        }
}

/// The same picture upside down in memory.
Image bottom_up(Image image)
{
    const PixelLayout &layout = layout_of(image.format);
    bool turned[3] = {};
    for (size_t i = 0; i < layout.count; i++) {
        const Component &component = layout.components[i];
        Image::Plane &plane = image.planes[component.plane];
        if (std::exchange(turned[component.plane], true))
            continue;
        const int rows = (image.height + (1 << component.shift) - 1) >> component.shift;
        plane.data += (rows - 1) * plane.stride;
        plane.stride = -plane.stride;
    }
    return image;
}

TEST(Twins, BottomUpFrames)
{
    for (PixelFormat format : all_formats)
        for (const Affine &matrix : {Affine{1.2f, 0, 0, 0, 0.7f, 0}, Affine{1.2f, 0.2f, 0, 0.1f, 0.7f, 0}}) {
            Image image = bottom_up(random_frame(format, 35, 27, 3));
            image.to_frame = matrix;
            expect_twins(image, spec_of(30, 30));
        }
}

TEST(Twins, PartsOfTheTensorMakeTheWhole)
{
    Image image = random_frame(PixelFormat::nv12, 101, 75, 11);
    const ImageSpec spec = spec_of(64, 64, ColourOrder::bgr, ResizeMode::letterbox);
    image.to_frame = fit(spec, frame_of(image));
    const Tensor whole = by_simd(image, spec);
    Tensor parts = empty_tensor(spec);
    for (int row = 0; row < spec.height; row += 13)
        image_to_tensor(image, spec, dense_layout(spec), parts.raw(), row, std::min(row + 13, spec.height));
    for (size_t i = 0; i < whole.count(); i++)
        ASSERT_EQ(whole.data<float>()[i], parts.data<float>()[i]) << "element " << i;
}

TEST(Twins, PaddedChannelsAreLeftAlone)
{
    Image image = random_frame(PixelFormat::bgr, 20, 20);
    ImageSpec spec = spec_of(9, 7);
    spec.layout = Layout::nhwc;
    image.to_frame = fit(spec, frame_of(image));
    const Tensor dense = by_simd(image, spec);
    std::vector<float> padded(9 * 7 * 4, -7);
    image_to_tensor(image, spec, {1, 9 * 4, 4}, reinterpret_cast<std::byte *>(padded.data()), 0, 7);
    for (size_t pixel = 0; pixel < 9 * 7; pixel++) {
        for (size_t c = 0; c < 3; c++)
            EXPECT_EQ(padded[4 * pixel + c], dense.data<float>()[3 * pixel + c]);
        EXPECT_EQ(padded[4 * pixel + 3], -7);
    }
}

/// The frame cut to a region, which starts at even pixels.
Image cropped(const Image &image, int x, int y, int width, int height)
{
    Image crop = image;
    crop.region = {};
    crop.width = width;
    crop.height = height;
    const PixelLayout &layout = layout_of(image.format);
    bool moved[3] = {};
    for (size_t i = 0; i < layout.count; i++) {
        const Component &component = layout.components[i];
        Image::Plane &plane = crop.planes[component.plane];
        if (!std::exchange(moved[component.plane], true))
            plane.data += (y >> component.shift) * plane.stride + (x >> component.shift) * component.step;
    }
    return crop;
}

TEST(Region, IsAsIfCropped)
{
    for (PixelFormat format : all_formats)
        for (ResizeMode resize : {ResizeMode::stretch, ResizeMode::letterbox, ResizeMode::letterbox_corner})
            for (auto [width, height] : {std::pair{30, 20}, std::pair{7, 25}}) {
                const ImageSpec spec = spec_of(48, 40, ColourOrder::rgb, resize);
                Image image = random_frame(format, 80, 60, 4);
                Image crop = cropped(image, 12, 18, width, height);
                crop.to_frame = fit(spec, frame_of(crop));
                image.region = {12, 18, static_cast<float>(width), static_cast<float>(height)};
                image.to_frame = fit(spec, image.region);
                for (Function function : {by_reference, by_simd}) {
                    const Tensor expected = function(crop, spec), got = function(image, spec);
                    for (size_t i = 0; i < got.count(); i++)
                        ASSERT_NEAR(expected.data<float>()[i], got.data<float>()[i], twin_tolerance)
                            << "format " << int(format) << " resize " << int(resize) << " element " << i;
                }
            }
}

TEST(Region, BeyondTheFrameIsPadding)
{
    Image image = random_frame(PixelFormat::gray8, 10, 10);
    ImageSpec spec = spec_of(20, 10, ColourOrder::gray);
    spec.pad = 300; // no pixel has this value
    image.region = {5, 0, 10, 10};
    image.to_frame = fit(spec, image.region);
    for (Function function : {by_reference, by_simd}) {
        const Tensor tensor = function(image, spec);
        for (int i = 0; i < 200; i++)
            EXPECT_EQ(tensor.data<float>()[i] == 300, i % 20 >= 10) << "element " << i;
    }
    image.region = {20, 20, 5, 5};
    image.to_frame = fit(spec, image.region);
    for (Function function : {by_reference, by_simd}) {
        const Tensor tensor = function(image, spec);
        for (float value : tensor.values<float>())
            ASSERT_EQ(value, 300);
    }
}

} // namespace
} // namespace leat
