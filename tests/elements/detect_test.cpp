#include "element_test.h"

namespace leat {
namespace {

double field(const GstStructure *structure, const char *name)
{
    double value = -1;
    gst_structure_get_double(structure, name, &value);
    return value;
}

TEST(Detect, AttachesRegions)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", {{"model", write_detector(folder)}, {"device", "REF"}});
    ASSERT_EQ(detect.push(make_frame(0, 120)), GST_FLOW_OK);
    const BufferPtr buffer = detect.pull();
    const auto regions = regions_of(buffer.get());
    ASSERT_EQ(regions.size(), 2u);
    const auto *first = regions[0], *second = regions[1];
    EXPECT_EQ(std::tuple(first->x, first->y, first->w, first->h), std::tuple(0u, 0u, 240u, 8u));
    EXPECT_EQ(std::tuple(second->x, second->y, second->w, second->h), std::tuple(255u, 8u, 128u, 8u));
    EXPECT_STREQ(g_quark_to_string(first->roi_type), "face");
    EXPECT_EQ(first->id, 1);
    EXPECT_EQ(second->id, 2);
    EXPECT_EQ(first->parent_id, 0);
    const GstStructure *detection = gst_video_region_of_interest_meta_get_param(regions[0], "detection");
    ASSERT_TRUE(detection);
    EXPECT_NEAR(field(detection, "x_min"), 0, 1e-6);
    EXPECT_NEAR(field(detection, "x_max"), 120.0 / 255, 1e-6);
    EXPECT_NEAR(field(detection, "y_min"), 0, 1e-6);
    EXPECT_NEAR(field(detection, "y_max"), 0.5, 1e-6);
    EXPECT_NEAR(field(detection, "confidence"), 0.9, 1e-6);
    int label_id = 0;
    EXPECT_TRUE(gst_structure_get_int(detection, "label_id", &label_id));
    EXPECT_EQ(label_id, 1);
    EXPECT_STREQ(gst_structure_get_string(detection, "label"), "face");
    EXPECT_STREQ(gst_structure_get_string(detection, "model_name"), "detector");
}

TEST(Detect, ThresholdMaxObjectsAndLabels)
{
    const TemporaryFolder folder;
    const std::string model = write_detector(folder);
    const std::string labels = folder.write("labels.txt", "nothing\nlamp\n").string();
    const struct {
        std::vector<PropertyValue> settings;
        size_t regions;
        const char *label;
    } cases[] = {
        {{{"threshold", "0.85"}}, 1, "face"},   {{{"threshold", "0.95"}}, 0, nullptr},
        {{{"max-objects", "1"}}, 1, "face"},    {{{"labels", "nothing, bulb"}}, 2, "bulb"},
        {{{"labels-file", labels}}, 2, "lamp"},
    };
    for (auto c : cases) {
        c.settings.insert(c.settings.end(), {{"model", model}, {"device", "REF"}});
        ElementHarness detect("leatdetect", c.settings);
        detect.push(make_frame(0, 120));
        const BufferPtr buffer = detect.pull();
        const auto regions = regions_of(buffer.get());
        EXPECT_EQ(regions.size(), c.regions) << c.settings[0].second;
        if (c.label && !regions.empty()) {
            EXPECT_STREQ(g_quark_to_string(regions[0]->roi_type), c.label);
        }
    }
}

TEST(Detect, PropertiesChangeWhilePlaying)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", {{"model", write_detector(folder)}, {"device", "REF"}});
    detect.push(make_frame(0, 120));
    EXPECT_EQ(regions_of(detect.pull().get()).size(), 2u);
    g_object_set(detect.element(), "threshold", 0.85, nullptr);
    detect.push(make_frame(1, 120));
    EXPECT_EQ(regions_of(detect.pull().get()).size(), 1u);
    // A refused value changes nothing.
    g_object_set(detect.element(), "threshold", 7.0, nullptr);
    detect.push(make_frame(2, 120));
    EXPECT_EQ(regions_of(detect.pull().get()).size(), 1u);
}

/// A region of a frame holds the same frame for the model, so brightness shows what it has seen.
TEST(Detect, LooksIntoRegions)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", {{"model", write_detector(folder)},
                                         {"device", "REF"},
                                         {"inference-region", "roi-list"},
                                         {"object-class", "window"}});
    GstBuffer *frame = make_frame(0, 50);
    // The right half is brighter.
    GstMapInfo map;
    ASSERT_TRUE(gst_buffer_map(frame, &map, GST_MAP_WRITE));
    const gsize stride = map.size / frame_height;
    for (gsize y = 0; y < gsize(frame_height); y++)
        memset(map.data + y * stride + 255 * 3, 200, 255 * 3);
    gst_buffer_unmap(frame, &map);
    auto *left = gst_buffer_add_video_region_of_interest_meta(frame, "window", 0, 0, 255, 16);
    left->id = 5;
    auto *right = gst_buffer_add_video_region_of_interest_meta(frame, "window", 255, 0, 255, 16);
    right->id = 9;
    gst_buffer_add_video_region_of_interest_meta(frame, "door", 0, 0, 255, 16)->id = 10;
    gst_buffer_add_video_region_of_interest_meta(frame, "window", 600, 0, 255, 16)->id = 11; // outside
    ASSERT_EQ(detect.push(frame), GST_FLOW_OK);
    const BufferPtr buffer = detect.pull();
    const auto regions = regions_of(buffer.get());
    ASSERT_EQ(regions.size(), 8u);
    EXPECT_EQ(std::tuple(regions[4]->x, regions[4]->w, regions[4]->parent_id, regions[4]->id),
              std::tuple(0u, 50u, 5, 12));
    EXPECT_EQ(std::tuple(regions[6]->x, regions[6]->w, regions[6]->parent_id, regions[6]->id),
              std::tuple(255u, 200u, 9, 14));
    EXPECT_EQ(detect.stat("jobs"), "2");
}

TEST(Detect, HonoursStridesAndOffsetsOfVideoMeta)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", {{"model", write_detector(folder)}, {"device", "REF"}});
    gsize offset[] = {64, 0, 0, 0};
    gint stride[] = {2048, 0, 0, 0};
    GstBuffer *frame = gst_buffer_new_allocate(nullptr, 64 + 2048 * frame_height, nullptr);
    gst_buffer_memset(frame, 0, 255, 64 + 2048 * frame_height);
    for (gsize y = 0; y < gsize(frame_height); y++)
        gst_buffer_memset(frame, 64 + 2048 * y, 40, frame_width * 3);
    gst_buffer_add_video_meta_full(frame, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_RGB, frame_width, frame_height, 1,
                                   offset, stride);
    ASSERT_EQ(detect.push(frame), GST_FLOW_OK);
    EXPECT_EQ(brightness_of(detect.pull().get()), 40);
}

TEST(Detect, DoesNotCopyPixels)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "depth=1"));
    const BufferPtr shared(make_frame(0, 90));
    ASSERT_EQ(detect.push(gst_buffer_ref(shared.get())), GST_FLOW_OK);
    const BufferPtr buffer = detect.pull();
    EXPECT_EQ(brightness_of(buffer.get()), 90);
    EXPECT_NE(buffer.get(), shared.get()) << "metadata was put on a buffer that somebody else reads";
    EXPECT_TRUE(regions_of(shared.get()).empty());
    EXPECT_EQ(gst_buffer_peek_memory(buffer.get(), 0), gst_buffer_peek_memory(shared.get(), 0));
}

/// The same grey in every format gives the same answer.
TEST(Detect, TakesEveryFormat)
{
    const TemporaryFolder folder;
    const std::string model = write_detector(folder);
    for (const char *format : {"NV12", "I420", "RGB", "BGR", "RGBx", "BGRx", "RGBA", "BGRA", "GRAY8"}) {
        const std::string caps = std::string("video/x-raw,format=") + format +
                                 ",width=510,height=16,framerate=25/1,colorimetry=1:4:0:0"; // full range, BT.601
        ElementHarness detect("leatdetect", {{"model", model}, {"device", "REF"}}, caps.c_str());
        GstVideoInfo info;
        GstCaps *parsed = gst_caps_from_string(caps.c_str());
        gst_video_info_from_caps(&info, parsed);
        gst_caps_unref(parsed);
        GstBuffer *frame = gst_buffer_new_allocate(nullptr, info.size, nullptr);
        gst_buffer_memset(frame, 0, 128, info.size); // also neutral chroma
        ASSERT_EQ(detect.push(frame), GST_FLOW_OK) << format;
        EXPECT_EQ(brightness_of(detect.pull().get()), 128) << format;
    }
}

} // namespace
} // namespace leat
