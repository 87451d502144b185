#include "element_test.h"

namespace leat {
namespace {

/// A black frame of that format with one region at (40, 40), 60x40, through leatoverlay, as RGB rows.
struct Picture {
    std::vector<guint8> bytes;
    std::array<int, 3> at(int x, int y) const
    {
        const size_t i = size_t(y) * 480 + size_t(x) * 3;
        return {bytes[i], bytes[i + 1], bytes[i + 2]};
    }
    int brightest(int x, int y, int width, int height) const
    {
        int most = 0;
        for (int row = y; row < y + height; row++)
            for (int column = x; column < x + width; column++)
                for (const int channel : at(column, row))
                    most = std::max(most, channel);
        return most;
    }
};

GstPadProbeReturn add_region(GstPad *, GstPadProbeInfo *info, gpointer)
{
    GstBuffer *buffer = gst_buffer_make_writable(GST_PAD_PROBE_INFO_BUFFER(info));
    auto *region = gst_buffer_add_video_region_of_interest_meta(buffer, "cat", 40, 40, 60, 40);
    region->id = 1;
    gst_video_region_of_interest_meta_add_param(
        region, gst_structure_from_string("detection,confidence=(double)0.5,label=(string)cat", nullptr));
    gst_video_region_of_interest_meta_add_param(region,
                                                gst_structure_from_string("keypoints,data=(double)<0.5,0.5>", nullptr));
    // Partly and wholly outside of the frame.
    gst_buffer_add_video_region_of_interest_meta(buffer, "dog", 150, 110, 4000000000u, 100)->id = 2;
    gst_buffer_add_video_region_of_interest_meta(buffer, "far", 1000, 1000, 10, 10)->id = 3;
    GST_PAD_PROBE_INFO_DATA(info) = buffer;
    return GST_PAD_PROBE_OK;
}

Picture draw(const std::string &format, const std::string &settings)
{
    GError *error = nullptr;
    GstElement *pipeline = gst_parse_launch(
        ("videotestsrc pattern=black num-buffers=1 ! video/x-raw,width=160,height=120,format=" + format +
         " ! leatoverlay name=overlay " + settings +
         " ! videoconvert ! video/x-raw,format=RGB ! appsink name=sink sync=false")
            .c_str(),
        &error);
    if (error)
        throw std::runtime_error(error->message);
    GstElement *overlay = gst_bin_get_by_name(GST_BIN(pipeline), "overlay");
    GstPad *pad = gst_element_get_static_pad(overlay, "sink");
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, add_region, nullptr, nullptr);
    gst_object_unref(pad);
    gst_object_unref(overlay);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    GstElement *sink = gst_bin_get_by_name(GST_BIN(pipeline), "sink");
    GstSample *sample = nullptr;
    g_signal_emit_by_name(sink, "pull-sample", &sample);
    gst_object_unref(sink);
    Picture picture;
    if (sample) {
        GstMapInfo map;
        gst_buffer_map(gst_sample_get_buffer(sample), &map, GST_MAP_READ);
        picture.bytes.assign(map.data, map.data + map.size);
        gst_buffer_unmap(gst_sample_get_buffer(sample), &map);
        gst_sample_unref(sample);
    }
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
    return picture;
}

TEST(Overlay, DrawsInEveryFormat)
{
    for (const char *format : {"NV12", "I420", "RGB", "BGR", "RGBx", "BGRx", "RGBA", "BGRA", "GRAY8"}) {
        const Picture picture = draw(format, "thickness=4");
        ASSERT_EQ(picture.bytes.size(), 480u * 120) << format;
        for (const auto &[x, y] : {std::pair{60, 41}, {60, 77}, {41, 60}, {97, 60}})
            EXPECT_GT(picture.brightest(x, y, 2, 2), 60) << format << " at " << x << ", " << y;
        EXPECT_GT(picture.brightest(68, 58, 5, 5), 60) << format << ": no keypoint";
        EXPECT_LT(picture.brightest(50, 50, 10, 20), 30) << format << ": inside the box";
        EXPECT_LT(picture.brightest(105, 60, 20, 20), 30) << format << ": outside of the box";
        EXPECT_GT(picture.brightest(150, 110, 8, 8), 60) << format << ": a region that leaves the frame";
    }
}

TEST(Overlay, ColoursFollowTheLabelInEveryFormat)
{
    const auto reference = draw("BGRx", "thickness=4").at(60, 42);
    for (const char *format : {"NV12", "I420", "RGB", "BGR", "RGBx", "RGBA", "BGRA"}) {
        const auto colour = draw(format, "thickness=4").at(60, 42);
        for (size_t c = 0; c < 3; c++)
            EXPECT_NEAR(colour[c], reference[c], 32) << format; // blending into YUV is coarse
    }
}

TEST(Overlay, PartsCanBeTurnedOff)
{
    EXPECT_GT(draw("BGRx", "show-boxes=false").brightest(40, 25, 30, 14), 60) << "the label above the box";
    EXPECT_LT(draw("BGRx", "show-labels=false").brightest(40, 20, 60, 19), 30);
    EXPECT_LT(draw("BGRx", "show-boxes=false").brightest(40, 60, 5, 20), 30);
    EXPECT_LT(draw("BGRx", "show-keypoints=false").brightest(60, 50, 20, 20), 30);
}

TEST(Overlay, RefusesWrongValues)
{
    EXPECT_EQ(error_when_starting("leatoverlay", {{"thickness", "-3"}}),
              "property thickness=-3: want a number from 0 to 100");
}

} // namespace
} // namespace leat
