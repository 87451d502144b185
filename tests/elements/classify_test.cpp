#include "element_test.h"

namespace leat {
namespace {

const GstStructure *class_of(GstVideoRegionOfInterestMeta *region)
{
    return gst_video_region_of_interest_meta_get_param(region, "classification_layer_name:prob");
}

/// The left half dark, the right half bright, each a region, and one of another kind.
GstBuffer *two_regions()
{
    GstBuffer *frame = make_frame(0, 5);
    GstMapInfo map;
    gst_buffer_map(frame, &map, GST_MAP_WRITE);
    for (gsize y = 0; y < gsize(frame_height); y++)
        memset(map.data + y * (map.size / frame_height) + 255 * 3, 250, 255 * 3);
    gst_buffer_unmap(frame, &map);
    gst_buffer_add_video_region_of_interest_meta(frame, "wall", 0, 0, 255, 16)->id = 1;
    gst_buffer_add_video_region_of_interest_meta(frame, "window", 255, 0, 255, 16)->id = 2;
    gst_buffer_add_video_region_of_interest_meta(frame, "door", 255, 0, 100, 16)->id = 3;
    return frame;
}

TEST(Classify, NamesRegions)
{
    const TemporaryFolder folder;
    ElementHarness classify("leatclassify", {{"model", write_classifier(folder)},
                                             {"device", "REF"},
                                             {"labels", "dark,bright"},
                                             {"object-class", "wall, window"}});
    ASSERT_EQ(classify.push(two_regions()), GST_FLOW_OK);
    const BufferPtr buffer = classify.pull();
    const auto regions = regions_of(buffer.get());
    ASSERT_EQ(regions.size(), 3u);
    for (const auto &[index, label, id] : {std::tuple{0u, "dark", 0}, {1u, "bright", 1}}) {
        const GstStructure *found = class_of(regions[index]);
        ASSERT_TRUE(found) << label;
        EXPECT_STREQ(gst_structure_get_string(found, "label"), label);
        EXPECT_STREQ(gst_structure_get_string(found, "model_name"), "brightness");
        EXPECT_STREQ(gst_structure_get_string(found, "layer_name"), "prob");
        int label_id = -1;
        double confidence = 0;
        EXPECT_TRUE(gst_structure_get(found, "label_id", G_TYPE_INT, &label_id, "confidence", G_TYPE_DOUBLE,
                                      &confidence, nullptr));
        EXPECT_EQ(label_id, id);
        EXPECT_GT(confidence, 0.9);
    }
    EXPECT_FALSE(class_of(regions[2])) << "object-class does not name doors";
}

TEST(Classify, NamesTheWholeFrame)
{
    const TemporaryFolder folder;
    ElementHarness classify("leatclassify", {{"model", write_classifier(folder)},
                                             {"device", "REF"},
                                             {"labels", "dark,bright"},
                                             {"inference-region", "full-frame"}});
    ASSERT_EQ(classify.push(make_frame(0, 250)), GST_FLOW_OK);
    const BufferPtr buffer = classify.pull();
    const auto regions = regions_of(buffer.get());
    ASSERT_EQ(regions.size(), 1u);
    EXPECT_STREQ(g_quark_to_string(regions[0]->roi_type), "frame");
    EXPECT_EQ(std::tuple(regions[0]->w, regions[0]->h), std::tuple(510u, 16u));
    ASSERT_TRUE(class_of(regions[0]));
    EXPECT_STREQ(gst_structure_get_string(class_of(regions[0]), "label"), "bright");
}

TEST(Classify, AFrameWithoutRegionsPasses)
{
    const TemporaryFolder folder;
    ElementHarness classify("leatclassify", {{"model", write_classifier(folder)}, {"device", "REF"}});
    ASSERT_EQ(classify.push(make_frame(0, 250)), GST_FLOW_OK);
    EXPECT_TRUE(regions_of(classify.pull().get()).empty());
    EXPECT_EQ(classify.stat("jobs"), "0");
}

TEST(Classify, UncertainClassesAreLeftOut)
{
    const TemporaryFolder folder;
    ElementHarness classify("leatclassify", {{"model", write_classifier(folder)},
                                             {"device", "REF"},
                                             {"threshold", "0.9"},
                                             {"inference-region", "full-frame"}});
    ASSERT_EQ(classify.push(make_frame(0, 127)), GST_FLOW_OK);
    EXPECT_TRUE(regions_of(classify.pull().get()).empty());
}

} // namespace
} // namespace leat
