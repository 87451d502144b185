#include "element_test.h"

#include <atomic>

namespace leat {
namespace {

/// An element in front of a sink pad that answers every buffer after the first `good` with `then`.
class Downstream {
  public:
    Downstream(const std::vector<PropertyValue> &settings, int good, GstFlowReturn then) : good_(good), then_(then)
    {
        element_ = gst_element_factory_make("leatdetect", nullptr);
        for (const auto &[property, value] : settings)
            gst_util_set_object_arg(G_OBJECT(element_), property, value.c_str());
        gst_element_set_bus(element_, bus_);
        src_ = gst_pad_new("src", GST_PAD_SRC);
        sink_ = gst_pad_new("sink", GST_PAD_SINK);
        gst_pad_set_element_private(sink_, this);
        gst_pad_set_chain_function(sink_, chain);
        link();
        gst_pad_set_active(sink_, TRUE);
        gst_element_set_state(element_, GST_STATE_PLAYING);
        gst_pad_set_active(src_, TRUE);
        gst_pad_push_event(src_, gst_event_new_stream_start("test"));
        GstCaps *caps = gst_caps_from_string(frame_caps);
        gst_pad_push_event(src_, gst_event_new_caps(caps));
        gst_caps_unref(caps);
        segment();
    }

    ~Downstream()
    {
        gst_pad_set_active(src_, FALSE);
        gst_element_set_state(element_, GST_STATE_NULL);
        gst_pad_set_active(sink_, FALSE);
        gst_object_unref(src_);
        gst_object_unref(sink_);
        gst_object_unref(element_);
        gst_object_unref(bus_);
    }

    void link()
    {
        GstPad *to = gst_element_get_static_pad(element_, "sink"), *from = gst_element_get_static_pad(element_, "src");
        if (!gst_pad_is_linked(src_))
            gst_pad_link(src_, to);
        gst_pad_link(from, sink_);
        gst_object_unref(to);
        gst_object_unref(from);
    }

    void unlink()
    {
        GstPad *from = gst_element_get_static_pad(element_, "src");
        gst_pad_unlink(from, sink_);
        gst_object_unref(from);
    }

    void segment()
    {
        GstSegment segment;
        gst_segment_init(&segment, GST_FORMAT_TIME);
        gst_pad_push_event(src_, gst_event_new_segment(&segment));
    }

    /// The flow return that upstream sees, and after how many buffers; nothing else than OK within 50 gives OK.
    std::pair<GstFlowReturn, guint> push_until_not_ok()
    {
        for (guint k = 0; k < 50; k++)
            if (const GstFlowReturn flow = gst_pad_push(src_, make_frame(k, 100)); flow != GST_FLOW_OK)
                return {flow, k};
        return {GST_FLOW_OK, 50};
    }

    bool error_posted()
    {
        GstMessage *message = gst_bus_timed_pop_filtered(bus_, 5 * GST_SECOND, GST_MESSAGE_ERROR);
        if (message)
            gst_message_unref(message);
        return message;
    }

    GstPad *src() { return src_; }
    int received() const { return received_; }
    void answer(GstFlowReturn flow) { then_ = flow; }

  private:
    static GstFlowReturn chain(GstPad *pad, GstObject *, GstBuffer *buffer)
    {
        auto *self = static_cast<Downstream *>(gst_pad_get_element_private(pad));
        gst_buffer_unref(buffer);
        return ++self->received_ <= self->good_ ? GST_FLOW_OK : self->then_.load();
    }

    GstBus *bus_ = gst_bus_new();
    GstElement *element_;
    GstPad *src_, *sink_;
    const int good_;
    std::atomic<GstFlowReturn> then_;
    std::atomic<int> received_ = 0;
};

constexpr int depth = 4;

std::vector<PropertyValue> settings(const TemporaryFolder &folder)
{
    return on_fake(write_detector(folder), "latency_ms=2", {{"nireq", std::to_string(depth)}});
}

TEST(Flow, ReachesUpstreamWithinTheBuffersInFlight)
{
    const TemporaryFolder folder;
    for (const GstFlowReturn answer : {GST_FLOW_EOS, GST_FLOW_ERROR, GST_FLOW_FLUSHING, GST_FLOW_NOT_LINKED,
                                       GST_FLOW_NOT_NEGOTIATED, GST_FLOW_CUSTOM_ERROR}) {
        Downstream downstream(settings(folder), 5, answer);
        const auto [flow, buffers] = downstream.push_until_not_ok();
        EXPECT_EQ(flow, answer) << gst_flow_get_name(answer);
        EXPECT_LE(buffers, guint(5 + depth)) << gst_flow_get_name(answer);
        EXPECT_EQ(gst_pad_push(downstream.src(), make_frame(60, 100)), answer) << gst_flow_get_name(answer);
    }
}

TEST(Flow, ANewSegmentFollowsEos)
{
    const TemporaryFolder folder;
    Downstream downstream(settings(folder), 2, GST_FLOW_EOS);
    EXPECT_EQ(downstream.push_until_not_ok().first, GST_FLOW_EOS);
    downstream.answer(GST_FLOW_OK);
    const int before = downstream.received();
    downstream.segment();
    for (guint k = 0; k < 10; k++)
        ASSERT_EQ(gst_pad_push(downstream.src(), make_frame(k, 100)), GST_FLOW_OK);
    gst_pad_push_event(downstream.src(), gst_event_new_eos());
    GstQuery *drain = gst_query_new_drain(); // behind the buffers, so they have passed when it is back
    gst_pad_peer_query(downstream.src(), drain);
    gst_query_unref(drain);
    EXPECT_EQ(downstream.received(), before + 10);
}

TEST(Flow, UnlinkedAndLinkedAgain)
{
    const TemporaryFolder folder;
    Downstream downstream(settings(folder), 1000, GST_FLOW_OK);
    ASSERT_EQ(gst_pad_push(downstream.src(), make_frame(0, 100)), GST_FLOW_OK);
    downstream.unlink();
    EXPECT_EQ(downstream.push_until_not_ok().first, GST_FLOW_NOT_LINKED);
    downstream.link(); // sends RECONFIGURE
    const int before = downstream.received();
    for (guint k = 0; k < 10; k++)
        ASSERT_EQ(gst_pad_push(downstream.src(), make_frame(k, 100)), GST_FLOW_OK);
    GstQuery *drain = gst_query_new_drain();
    gst_pad_peer_query(downstream.src(), drain);
    gst_query_unref(drain);
    EXPECT_GE(downstream.received(), before + 10);
}

TEST(Flow, AFaultAfterTheLastBufferIsReported)
{
    const TemporaryFolder folder;
    Downstream downstream(on_fake(write_detector(folder), "latency_ms=100,depth=4"), 0, GST_FLOW_NOT_NEGOTIATED);
    ASSERT_EQ(gst_pad_push(downstream.src(), make_frame(0, 100)), GST_FLOW_OK);
    gst_pad_push_event(downstream.src(), gst_event_new_eos());
    EXPECT_TRUE(downstream.error_posted()) << "nobody learns that the stream has ended badly";
}

TEST(Flow, AFailingJobIsAnError)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=2,depth=4,fail_every=3"));
    GstFlowReturn flow = GST_FLOW_OK;
    for (guint k = 0; k < 20 && flow == GST_FLOW_OK; k++)
        flow = detect.push(make_frame(k, 100));
    EXPECT_EQ(flow, GST_FLOW_ERROR);
    EXPECT_EQ(detect.error(5), "device FAKE: job 3 fails as scripted");
    EXPECT_EQ(gst_harness_buffers_received(detect.harness()), 2u);
}

TEST(Flow, OutputsThatTheDecoderCannotReadAreAnError)
{
    const TemporaryFolder folder;
    for (const char *device : {"CPU", "FAKE(outputs=reference,latency_ms=2,depth=4)"}) {
        ElementHarness detect("leatdetect", {{"model", write_wrong_detector(folder)}, {"device", device}});
        GstFlowReturn flow = GST_FLOW_OK;
        for (guint k = 0; k < 200 && flow == GST_FLOW_OK; k++)
            flow = detect.push(make_frame(k, 250));
        EXPECT_EQ(flow, GST_FLOW_ERROR) << device;
        EXPECT_EQ(detect.error(5),
                  "output \"boxes\" has the shape 1x1x4, which the decoder cannot read: it wants 1x10x4")
            << device;
        EXPECT_EQ(gst_harness_buffers_received(detect.harness()), 0u) << "no frame passes without its results";
    }
}

TEST(Flow, ABufferTooSmallIsAnError)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "depth=1"));
    detect.push(gst_buffer_new_allocate(nullptr, 100, nullptr));
    EXPECT_EQ(detect.error(5),
              "a frame of 510x16 pixels cannot be read: its buffer has 100 bytes, want 24512, or is not "
              "in system memory");
}

} // namespace
} // namespace leat
