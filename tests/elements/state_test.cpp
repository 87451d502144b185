#include "pipeline.h"

namespace leat {
namespace {

std::string detect_on_fake(const TemporaryFolder &folder)
{
    return "videotestsrc ! video/x-raw,format=NV12,width=64,height=64,framerate=1000/1 ! leatdetect model=" +
           write_detector(folder) + " device=\"FAKE(latency_ms=4,jitter_ms=3,depth=4)\" name=detect ! ";
}

TEST(States, CycleAHundredTimes)
{
    const TemporaryFolder folder;
    Pipeline pipeline(detect_on_fake(folder) + "leatmetaconvert ! fakesink sync=false");
    constexpr GstState lower[] = {GST_STATE_NULL, GST_STATE_READY, GST_STATE_PAUSED};
    for (int cycle = 0; cycle < 100; cycle++) {
        ASSERT_NE(pipeline.set(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE) << cycle;
        // Sometimes stopped at once, sometimes with frames in flight.
        if (cycle % 2) {
            ASSERT_EQ(pipeline.wait(), GST_STATE_CHANGE_SUCCESS) << cycle;
        }
        ASSERT_NE(pipeline.set(lower[cycle % 3]), GST_STATE_CHANGE_FAILURE) << cycle;
        ASSERT_FALSE(pipeline.has_error()) << cycle;
    }
}

/// The codes of the progress messages that are on the bus, waiting for `last`.
std::vector<GstProgressType> progress_until(GstBus *bus, GstProgressType last)
{
    std::vector<GstProgressType> seen;
    while (GstMessage *message = gst_bus_timed_pop_filtered(bus, 60 * GST_SECOND, GST_MESSAGE_PROGRESS)) {
        GstProgressType type;
        gst_message_parse_progress(message, &type, nullptr, nullptr);
        gst_message_unref(message);
        seen.push_back(type);
        if (type == last)
            break;
    }
    return seen;
}

TEST(States, ModelsLoadInTheBackgroundFromReadyOn)
{
    const TemporaryFolder folder;
    Pipeline pipeline(detect_on_fake(folder) + "fakesink");
    GstBus *bus = gst_element_get_bus(pipeline.get());
    ASSERT_EQ(pipeline.set(GST_STATE_READY), GST_STATE_CHANGE_SUCCESS);
    const std::vector<GstProgressType> expected{GST_PROGRESS_TYPE_START, GST_PROGRESS_TYPE_COMPLETE};
    EXPECT_EQ(progress_until(bus, GST_PROGRESS_TYPE_COMPLETE), expected);
    ASSERT_NE(pipeline.set(GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
    ASSERT_EQ(pipeline.wait(), GST_STATE_CHANGE_SUCCESS);
    EXPECT_FALSE(gst_bus_pop_filtered(bus, GST_MESSAGE_PROGRESS)) << "it was loaded twice";
    gst_object_unref(bus);
}

TEST(States, WhatIsSetInReadyCounts)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", {{"model", write_detector(folder)}, {"device", "FAKE(depth=2)"}});
    EXPECT_EQ(detect.stat("depth"), "2");
    ASSERT_EQ(gst_element_set_state(detect.element(), GST_STATE_READY), GST_STATE_CHANGE_SUCCESS);
    g_object_set(detect.element(), "nireq", 5, nullptr);
    ASSERT_NE(gst_element_set_state(detect.element(), GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
    EXPECT_EQ(detect.stat("depth"), "5");
}

TEST(States, StoppedWhileItsModelLoads)
{
    const TemporaryFolder folder;
    Pipeline pipeline(detect_on_fake(folder) + "fakesink");
    for (int i = 0; i < 10; i++) {
        ASSERT_EQ(pipeline.set(GST_STATE_READY), GST_STATE_CHANGE_SUCCESS);
        ASSERT_EQ(pipeline.set(GST_STATE_NULL), GST_STATE_CHANGE_SUCCESS);
    }
    EXPECT_FALSE(pipeline.has_error());
}

TEST(States, SeeksWithJobsInFlight)
{
    const TemporaryFolder folder;
    Pipeline pipeline(detect_on_fake(folder) + "fakesink sync=false");
    ASSERT_NE(pipeline.set(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
    ASSERT_EQ(pipeline.wait(), GST_STATE_CHANGE_SUCCESS);
    for (int i = 0; i < 30; i++)
        ASSERT_TRUE(gst_element_seek_simple(pipeline.get(), GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH,
                                            static_cast<gint64>(i) * 100 * gint64(GST_MSECOND)))
            << i;
    ASSERT_EQ(pipeline.wait(), GST_STATE_CHANGE_SUCCESS);
    ASSERT_FALSE(pipeline.has_error());
}

TEST(States, EndOfStreamReachesTheSinkWithEveryFrame)
{
    const TemporaryFolder folder;
    Pipeline pipeline("videotestsrc num-buffers=57 ! video/x-raw,format=I420,width=64,height=64 ! leatdetect model=" +
                      write_detector(folder) +
                      " device=\"FAKE(latency_ms=2,jitter_ms=3,depth=4)\" name=detect ! fakesink sync=false");
    ASSERT_NE(pipeline.set(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
    ASSERT_TRUE(pipeline.wait_for_eos());
    EXPECT_EQ(pipeline.stat("detect", "frames-in"), 57u);
    EXPECT_EQ(pipeline.stat("detect", "frames-out"), 57u);
}

TEST(States, AChainOfElementsOnOneStream)
{
    const TemporaryFolder folder;
    const auto path = folder / "out.jsonl";
    Pipeline pipeline("videotestsrc num-buffers=12 pattern=white ! video/x-raw,format=BGRx,width=510,height=64 "
                      "! leatdetect device=REF model=" +
                      write_detector(folder) +
                      " ! leatclassify device=REF labels=dark,bright model=" + write_classifier(folder) +
                      " ! leatmetaconvert ! leatpublish file-format=json-lines file-path=" + path.string() +
                      " ! leatoverlay ! videoconvert ! fakesink sync=false");
    ASSERT_NE(pipeline.set(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
    ASSERT_TRUE(pipeline.wait_for_eos());
    std::ifstream file(path);
    std::string line;
    int lines = 0;
    while (std::getline(file, line)) {
        lines++;
        EXPECT_NE(line.find("\"classification_layer_name:prob\":{\"confidence\":"), std::string::npos) << line;
        EXPECT_NE(line.find("\"label\":\"bright\""), std::string::npos) << line;
    }
    EXPECT_EQ(lines, 12);
}

} // namespace
} // namespace leat
