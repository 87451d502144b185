#include "support/shared_data.h"
#include "support/temporary_folder.h"

#include "preprocess/geometry.h"
#include "preprocess/image_to_tensor.h"
#include "tools/npy.h"
#include "tools/picture.h"

#include <leat/error.h>

#include <gst/gst.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>

namespace leat {
namespace {

void make_picture(const std::filesystem::path &path, const std::string &pattern, const std::string &encoder, int width,
                  int height)
{
    gst_init(nullptr, nullptr);
    const std::string text =
        "videotestsrc num-buffers=1 pattern=" + pattern + " ! video/x-raw,format=RGB,width=" + std::to_string(width) +
        ",height=" + std::to_string(height) + " ! videoconvert ! " + encoder + " ! filesink location=" + path.string();
    GstElement *pipeline = gst_parse_launch(text.c_str(), nullptr);
    ASSERT_TRUE(pipeline);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    GstBus *bus = gst_element_get_bus(pipeline);
    GstMessage *message =
        gst_bus_timed_pop_filtered(bus, 10 * GST_SECOND, GstMessageType(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
    EXPECT_TRUE(message && GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS) << text;
    if (message)
        gst_message_unref(message);
    gst_object_unref(bus);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
}

TEST(Picture, PngKeepsEveryPixel)
{
    TemporaryFolder folder;
    make_picture(folder / "red.png", "red", "pngenc", 13, 7);
    const Image image = read_picture(folder / "red.png");
    EXPECT_EQ(image.format, PixelFormat::rgb);
    ASSERT_EQ(image.width, 13);
    ASSERT_EQ(image.height, 7);
    for (int y = 0; y < image.height; y++)
        for (int x = 0; x < image.width; x++) {
            const uint8_t *pixel = image.planes[0].data + y * image.planes[0].stride + 3 * x;
            EXPECT_EQ((std::array{pixel[0], pixel[1], pixel[2]}), (std::array<uint8_t, 3>{255, 0, 0}));
        }
}

TEST(FrameReader, GivesTheFramesOfAVideoAndThenNothing)
{
    FrameReader reader(source_root() / "pipelines/street/street.mp4");
    std::vector<std::vector<uint8_t>> rows;
    while (const auto frame = reader.next())
        rows.emplace_back(frame->planes[0].data, frame->planes[0].data + frame->width);
    EXPECT_GT(rows.size(), 32u);
    EXPECT_FALSE(reader.next());
    FrameReader again(source_root() / "pipelines/street/street.mp4");
    const Image first = *again.next();
    EXPECT_EQ(rows[0], std::vector<uint8_t>(first.planes[0].data, first.planes[0].data + first.width));
}

TEST(FrameReader, OfAFileWithoutFramesSaysSo)
{
    TemporaryFolder folder;
    FrameReader reader(folder.write("text.mp4", "this is no video"));
    EXPECT_THROW(reader.next(), Error);
    EXPECT_THROW(FrameReader(folder / "none.mp4"), Error);
}

TEST(Picture, JpegIsDecoded)
{
    TemporaryFolder folder;
    make_picture(folder / "blue.jpg", "blue", "jpegenc quality=100", 33, 18);
    const Image image = read_picture(folder / "blue.jpg");
    ASSERT_EQ(image.width, 33);
    ASSERT_EQ(image.height, 18);
    Tensor tensor(Type::u8, {1, 3, 1, 1});
    ImageSpec spec;
    spec.width = spec.height = 1;
    spec.type = Type::u8;
    Image whole = image;
    whole.to_frame = fit(spec, {0, 0, 33, 18});
    image_to_tensor_reference(whole, spec, tensor.raw());
    EXPECT_NEAR(tensor.data<uint8_t>()[0], 0, 3);
    EXPECT_NEAR(tensor.data<uint8_t>()[1], 0, 3);
    EXPECT_NEAR(tensor.data<uint8_t>()[2], 255, 3);
}

std::string refusal(const std::filesystem::path &path)
{
    try {
        read_picture(path);
    } catch (const Error &error) {
        return error.what();
    }
    return "accepted";
}

TEST(Picture, RefusesWhatIsNone)
{
    TemporaryFolder folder;
    const std::string text = folder.write("text.png", "no picture at all, only text\n");
    EXPECT_EQ(refusal(folder / "absent.png"),
              "picture \"" + (folder / "absent.png").string() + "\": there is no such file");
    EXPECT_EQ(refusal(text).rfind("picture \"" + text + "\": ", 0), 0u) << refusal(text);
    EXPECT_EQ(refusal(folder.write("empty.jpg", "")).rfind("picture \"", 0), 0u);
    EXPECT_EQ(refusal(folder.write("broken.jpg", "\xff\xd8\xff\xe0 broken")).rfind("picture \"", 0), 0u);
}

using Json = nlohmann::json;

ImageSpec spec_of(const Json &steps)
{
    static const std::map<std::string, ColourOrder> orders{
        {"RGB", ColourOrder::rgb}, {"BGR", ColourOrder::bgr}, {"GRAY", ColourOrder::gray}};
    static const std::map<std::string, ResizeMode> modes{{"stretch", ResizeMode::stretch},
                                                         {"letterbox_center", ResizeMode::letterbox},
                                                         {"letterbox_tl", ResizeMode::letterbox_corner}};
    ImageSpec spec;
    spec.width = steps.at("net_size_wh")[0];
    spec.height = steps.at("net_size_wh")[1];
    spec.order = orders.at(steps.at("color"));
    spec.resize = modes.at(steps.at("resize"));
    spec.layout = steps.at("layout") == "NHWC" ? Layout::nhwc : Layout::nchw;
    spec.type = Type::u8;
    if (steps.at("steps")[1].get<std::string>().find("INTER_AREA") != std::string::npos)
        spec.filter = Filter::area;
    for (const std::string step : steps.at("steps"))
        if (const size_t at = step.find("pad with "); at != std::string::npos)
            spec.pad = std::stof(step.substr(at + 9));
    return spec;
}

struct Difference {
    double mean = 0;
    int greatest = 0;
};

Difference difference(const Tensor &one, const Tensor &other)
{
    Difference result;
    for (size_t i = 0; i < one.count(); i++) {
        const int step = std::abs(one.data<uint8_t>()[i] - other.data<uint8_t>()[i]);
        result.mean += step;
        result.greatest = std::max(result.greatest, step);
    }
    result.mean /= static_cast<double>(one.count());
    return result;
}

/// OpenCV leaves grey from a colour PNG to libpng and its linear light.
bool made_otherwise(const Json &steps)
{
    return steps.at("image").get<std::string>().find("superres_input") != std::string::npos;
}

/// The stored 8-bit inputs were made by OpenCV. From PNG they differ by its fixed-point rounding alone; JPEG decoders
/// also differ in how they enlarge chroma, which shows at coloured edges.
TEST(Picture, MakesTheStoredInputs)
{
    SKIP_WITHOUT_SHARED_DATA();
    int compared = 0;
    for (const auto &entry : std::filesystem::directory_iterator(shared_data() / "data/models/onnx")) {
        if (!entry.is_directory() || !std::filesystem::exists(entry.path() / "meta.json"))
            continue;
        const Json meta = Json::parse(std::ifstream(entry.path() / "meta.json")), steps = meta.at("preprocess");
        std::filesystem::path stored;
        for (const auto &file : std::filesystem::directory_iterator(entry.path()))
            if (file.path().filename().string().rfind("input_u8_", 0) == 0)
                stored = file.path();
        if (stored.empty() || made_otherwise(steps))
            continue;
        SCOPED_TRACE(entry.path());
        const std::string picture = steps.at("image");
        Image image = read_picture(shared_data() / picture.substr(std::string("shared/").size()));
        image.region = {0, 0, static_cast<float>(image.width), static_cast<float>(image.height)};
        if (const Json &crop = steps.at("crop_xywh"); !crop.is_null())
            image.region = {crop[0], crop[1], crop[2], crop[3]};
        const ImageSpec spec = spec_of(steps);
        image.to_frame = fit(spec, image.region);
        const Tensor expected = read_npy(stored);
        Tensor got(Type::u8, expected.shape());
        image_to_tensor(image, spec, dense_layout(spec), got.raw(), 0, spec.height);
        const Difference found = difference(got, expected);
        const bool exact = picture.ends_with(".png");
        EXPECT_LE(found.greatest, exact ? 1 : 64);
        EXPECT_LE(found.mean, exact ? 0.1 : 0.8);
        compared++;
    }
    EXPECT_GE(compared, 20);
}

} // namespace
} // namespace leat
