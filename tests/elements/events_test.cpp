#include "element_test.h"

#include <mutex>

namespace leat {
namespace {

/// What has passed a pad, in order: "buffer 3", "tag", "custom-downstream", "allocation" …
class PassageLog {
  public:
    explicit PassageLog(GstElement *element)
    {
        pad_ = gst_element_get_static_pad(element, "src");
        gst_pad_add_probe(pad_,
                          GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM |
                                          GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM | GST_PAD_PROBE_TYPE_PUSH),
                          note, this, nullptr);
    }
    ~PassageLog() { gst_object_unref(pad_); }

    std::vector<std::string> lines()
    {
        std::lock_guard lock(mutex_);
        return lines_;
    }

  private:
    static GstPadProbeReturn note(GstPad *, GstPadProbeInfo *info, gpointer self)
    {
        auto &log = *static_cast<PassageLog *>(self);
        std::string line;
        if (info->type & GST_PAD_PROBE_TYPE_BUFFER)
            line = "buffer " + std::to_string(GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(info)) / (40 * GST_MSECOND));
        else if (info->type & GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM)
            line = GST_EVENT_TYPE_NAME(GST_PAD_PROBE_INFO_EVENT(info));
        else
            line = GST_QUERY_TYPE_NAME(GST_PAD_PROBE_INFO_QUERY(info));
        std::lock_guard lock(log.mutex_);
        if (log.lines_.empty() || log.lines_.back() != line)
            log.lines_.push_back(line);
        return GST_PAD_PROBE_OK;
    }

    GstPad *pad_;
    std::mutex mutex_;
    std::vector<std::string> lines_;
};

/// Drops what came out before, however slow this machine is.
void forget_frames(ElementHarness &harness)
{
    while (const BufferPtr frame{gst_harness_try_pull(harness.harness())})
        continue;
}

TEST(Events, KeepTheirPlace)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=20,depth=8"));
    PassageLog log(detect.element());
    detect.push(make_frame(0, 100));
    detect.push(make_frame(1, 100));
    gst_harness_push_event(detect.harness(), gst_event_new_tag(gst_tag_list_new(GST_TAG_TITLE, "second", nullptr)));
    detect.push(make_frame(2, 100));
    gst_harness_push_event(detect.harness(),
                           gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM, gst_structure_new_empty("mark")));
    gst_harness_push_event(detect.harness(), gst_event_new_gap(120 * GST_MSECOND, 40 * GST_MSECOND));
    detect.push(make_frame(4, 100));
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    segment.start = 200 * GST_MSECOND;
    gst_harness_push_event(detect.harness(), gst_event_new_segment(&segment));
    detect.push(make_frame(5, 100));
    for (int k = 0; k < 5; k++)
        ASSERT_TRUE(detect.pull());
    const std::vector<std::string> expected{"stream-start", "caps",     "segment",  "buffer 0",
                                            "buffer 1",     "tag",      "buffer 2", "custom-downstream",
                                            "gap",          "buffer 4", "segment",  "buffer 5"};
    auto lines = log.lines();
    // The harness sends what starts the stream before the log is there.
    lines.insert(lines.begin(), expected.begin(), expected.begin() + 3);
    lines.erase(lines.begin() + 3, std::find(lines.begin() + 3, lines.end(), "buffer 0"));
    EXPECT_EQ(lines, expected);
}

TEST(Events, SerializedQueriesKeepTheirPlace)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=20,depth=8"));
    PassageLog log(detect.element());
    detect.push(make_frame(0, 100));
    detect.push(make_frame(1, 100));
    GstQuery *query = gst_query_new_drain();
    gst_pad_peer_query(detect.harness()->srcpad, query);
    gst_query_unref(query);
    const auto lines = log.lines();
    const auto last = std::find(lines.begin(), lines.end(), "drain");
    ASSERT_NE(last, lines.end());
    EXPECT_NE(std::find(lines.begin(), last, "buffer 1"), last) << "the query has overtaken a buffer";
}

TEST(Events, AllocationAsksForTheBuffersInside)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "depth=1", {{"nireq", "5"}}));
    gst_harness_add_propose_allocation_meta(detect.harness(), GST_VIDEO_META_API_TYPE, nullptr);
    GstCaps *caps = gst_caps_from_string(frame_caps);
    GstQuery *query = gst_query_new_allocation(caps, TRUE);
    ASSERT_TRUE(gst_pad_peer_query(detect.harness()->srcpad, query));
    EXPECT_TRUE(gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr));
    guint min = 0;
    if (gst_query_get_n_allocation_pools(query))
        gst_query_parse_nth_allocation_pool(query, 0, nullptr, nullptr, &min, nullptr);
    EXPECT_GE(min, 5u);
    gst_query_unref(query);
    gst_caps_unref(caps);
}

TEST(Events, FlushDropsWhatIsInFlight)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=100,depth=8"));
    for (int round = 0; round < 3; round++) {
        for (guint k = 0; k < 4; k++)
            ASSERT_EQ(detect.push(make_frame(k, 10)), GST_FLOW_OK);
        ASSERT_TRUE(gst_harness_push_event(detect.harness(), gst_event_new_flush_start()));
        EXPECT_EQ(detect.push(make_frame(9, 10)), GST_FLOW_FLUSHING);
        ASSERT_TRUE(gst_harness_push_event(detect.harness(), gst_event_new_flush_stop(TRUE)));
        forget_frames(detect);
        GstSegment segment;
        gst_segment_init(&segment, GST_FORMAT_TIME);
        ASSERT_TRUE(gst_harness_push_event(detect.harness(), gst_event_new_segment(&segment)));
        ASSERT_EQ(detect.push(make_frame(7, 77)), GST_FLOW_OK);
        const BufferPtr buffer = detect.pull();
        ASSERT_TRUE(buffer);
        EXPECT_EQ(brightness_of(buffer.get()), 77) << "a frame from before the flush";
        EXPECT_EQ(gst_harness_buffers_in_queue(detect.harness()), 0u);
    }
    EXPECT_EQ(detect.error(), "");
}

TEST(Events, CapsThatAFlushDropsStillCount)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=100,depth=8"));
    detect.push(make_frame(0, 10));
    gst_harness_set_src_caps_str(detect.harness(),
                                 "video/x-raw,format=RGB,width=254,height=16,framerate=25/1,colorimetry=sRGB");
    gst_harness_push_event(detect.harness(), gst_event_new_flush_start());
    gst_harness_push_event(detect.harness(), gst_event_new_flush_stop(TRUE));
    forget_frames(detect);
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_harness_push_event(detect.harness(), gst_event_new_segment(&segment));
    detect.push(make_frame(1, 255, 254, 16));
    ASSERT_TRUE(detect.pull());
    GstCaps *caps = gst_pad_get_current_caps(detect.harness()->sinkpad);
    int width = 0;
    gst_structure_get_int(gst_caps_get_structure(caps, 0), "width", &width);
    gst_caps_unref(caps);
    EXPECT_EQ(width, 254);
}

TEST(Events, CapsChangeInMidStream)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=20,depth=8"));
    PassageLog log(detect.element());
    detect.push(make_frame(0, 100));
    detect.push(make_frame(1, 100));
    gst_harness_set_src_caps_str(detect.harness(),
                                 "video/x-raw,format=RGB,width=255,height=32,framerate=25/1,colorimetry=sRGB");
    detect.push(make_frame(2, 100, 255, 32));
    for (const auto &[width, height] : {std::pair{200u, 8u}, {200u, 8u}, {100u, 16u}}) {
        const BufferPtr buffer = detect.pull();
        ASSERT_TRUE(buffer);
        const auto regions = regions_of(buffer.get());
        ASSERT_EQ(regions.size(), 2u);
        EXPECT_EQ(regions[0]->w, width);
        EXPECT_EQ(regions[0]->h, height);
    }
    const auto lines = log.lines();
    EXPECT_LT(std::find(lines.begin(), lines.end(), "buffer 1"), std::find(lines.begin() + 3, lines.end(), "caps"));
    EXPECT_EQ(detect.error(), "");
}

TEST(Latency, IsAddedToUpstreams)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=30,depth=3"));
    gst_harness_set_live(detect.harness(), TRUE);
    gst_harness_set_upstream_latency(detect.harness(), 10 * GST_MSECOND);
    // Nothing measured yet: as if three frames of 40 ms were inside.
    EXPECT_EQ(gst_harness_query_latency(detect.harness()), 130 * GST_MSECOND);
    for (guint k = 0; k < 40; k++) {
        detect.push(make_frame(k, 100));
        detect.pull();
    }
    const GstClockTime measured = gst_harness_query_latency(detect.harness());
    EXPECT_GE(measured, 40 * GST_MSECOND);
}

/// Whether the element says within that many frames that its latency is another.
bool tells_of_new_latency(ElementHarness &detect, guint frames)
{
    GstBus *bus = gst_element_get_bus(detect.element());
    GstMessage *message = nullptr;
    for (guint k = 0; k < frames && !message; k++) {
        detect.push(make_frame(k, 100));
        detect.pull();
        message = gst_bus_pop_filtered(bus, GST_MESSAGE_LATENCY);
    }
    gst_object_unref(bus);
    if (message)
        gst_message_unref(message);
    return message;
}

TEST(Latency, IsToldToThePipelineWhenItChanges)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=2,depth=20"));
    gst_harness_set_live(detect.harness(), TRUE);
    // Answered before anything is measured: twenty frames of 40 ms.
    EXPECT_EQ(gst_harness_query_latency(detect.harness()), 800 * GST_MSECOND);
    EXPECT_TRUE(tells_of_new_latency(detect, 64));
}

TEST(Latency, OfWhatIsNotLiveIsNobodysConcern)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=1,depth=20"));
    gst_harness_set_live(detect.harness(), FALSE);
    gst_harness_query_latency(detect.harness());
    EXPECT_FALSE(tells_of_new_latency(detect, 64));
}

} // namespace
} // namespace leat
