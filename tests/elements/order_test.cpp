#include "element_test.h"

#include "gst/backlog.h"
#include "gst/ordered_queue.h"

#include <atomic>
#include <fstream>

#include <sched.h>
#include <unistd.h>

namespace leat {
namespace {

using namespace std::chrono_literals;

struct Counted {
    bool counts() const { return true; }
};

/// Whether a thread of this process sleeps.
bool sleeps(pid_t thread)
{
    std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
    std::string text;
    std::getline(file, text);
    return text.find(") S ") != std::string::npos;
}

/// Of `places` that were all taken, whoever enters goes on once so many are free.
int free_when_it_goes_on(const Room &room)
{
    const auto places = static_cast<int>(room.most);
    OrderedQueue<Counted> queue;
    queue.set_closed(false);
    for (int i = 0; i < places; i++)
        queue.release(*queue.enter({}));
    std::atomic<int> free = 0, seen = 0;
    std::atomic<pid_t> waiting = 0;
    std::thread upstream([&] {
        waiting = gettid();
        queue.wait_for(room);
        seen = free.load();
    });
    while (!waiting || !sleeps(waiting))
        std::this_thread::yield();
    while (!seen && free < places) {
        free++;
        queue.take();
        std::this_thread::sleep_for(5ms);
    }
    upstream.join();
    return seen;
}

TEST(OrderedQueue, WhoeverEntersIsWokenForSeveralAtATime)
{
    // Never sooner; how much later is up to the system.
    EXPECT_EQ(Room::prompt(0).most, 1u);
    EXPECT_GE(free_when_it_goes_on(Room::prompt(1)), 1);
    EXPECT_GE(free_when_it_goes_on(Room::prompt(2)), 1);
    EXPECT_GE(free_when_it_goes_on(Room::prompt(4)), 2);
    EXPECT_GE(free_when_it_goes_on(Room::prompt(8)), 4);
    EXPECT_GE(free_when_it_goes_on(Room::prompt(16)), 4);
    EXPECT_GE(free_when_it_goes_on({16, 4}), 12);
}

TEST(Backlog, IsAsManyAsLeaveInAWhile)
{
    Backlog backlog;
    auto now = Backlog::Clock::now();
    const auto leave = [&](Backlog::Clock::duration interval) {
        for (int i = 0; i < 300; i++)
            backlog.left(now += interval);
    };
    const auto places = [&](size_t depth) { return backlog.room(depth, 1).most; };
    EXPECT_EQ(places(4), 4u) << "nothing has left yet";
    leave(1999us);
    EXPECT_EQ(places(4), 8u);
    leave(100us);
    EXPECT_EQ(places(4), 16u) << "no more than this";
    EXPECT_EQ(places(20), 20u) << "but never fewer than the device wants";
    leave(33ms);
    EXPECT_EQ(places(4), 4u) << "a slow model";
}

TEST(Backlog, HasRoomForBurstsOfSmallFrames)
{
    const auto burst = [](size_t width, size_t height) { return Backlog::burst(width * height * 3 / 2); };
    EXPECT_EQ(burst(0, 0), 12u);
    EXPECT_EQ(burst(320, 240), 12u);
    EXPECT_EQ(burst(1280, 720), 3u);
    EXPECT_EQ(burst(3840, 2160), 1u);
    const Backlog backlog;
    EXPECT_EQ(backlog.room(4, burst(320, 240)).most, 16u);
    EXPECT_EQ(backlog.room(4, burst(320, 240)).few, 4u);
    EXPECT_EQ(backlog.room(4, burst(1280, 720)).few, 4u) << "a device has its work while the burst comes";
    EXPECT_EQ(backlog.room(4, burst(3840, 2160)).most, 4u);
}

TEST(Backlog, OnlyASourceThatIsNotLiveWorksInBursts)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "depth=4"));
    EXPECT_EQ(detect.stat("depth"), "4");
    gst_harness_set_live(detect.harness(), FALSE);
    gst_harness_set_src_caps_str(detect.harness(), frame_caps);
    EXPECT_EQ(detect.stat("depth"), "16");
    expect_all_frames(detect, 40);
}

void begin_stream(ElementHarness &detect, guint group)
{
    GstEvent *start = gst_event_new_stream_start("stream");
    gst_event_set_group_id(start, group);
    ASSERT_TRUE(gst_harness_push_event(detect.harness(), start));
    gst_harness_set_src_caps_str(detect.harness(), frame_caps);
}

/// By which policy of the system's scheduler the thread runs that pushes the second of two frames.
int policy_behind(ElementHarness &detect)
{
    std::atomic<int> policy = -1;
    const auto note = [](GstPad *, GstPadProbeInfo *, gpointer data) {
        *static_cast<std::atomic<int> *>(data) = sched_getscheduler(0);
        return GST_PAD_PROBE_OK;
    };
    GstPad *pad = gst_element_get_static_pad(detect.element(), "src");
    const gulong probe = gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, note, &policy, nullptr);
    expect_all_frames(detect, 2);
    gst_pad_remove_probe(pad, probe);
    gst_object_unref(pad);
    return policy;
}

TEST(Patience, ResultsOfSeveralStreamsDoNotInterrupt)
{
    const TemporaryFolder folder;
    const auto settings = on_fake(write_detector(folder), "depth=4");
    const guint group = gst_util_group_id_next(), other_group = gst_util_group_id_next();
    ElementHarness one("leatdetect", settings), another("leatdetect", settings);
    for (ElementHarness *each : {&one, &another}) {
        gst_harness_set_live(each->harness(), FALSE);
        begin_stream(*each, group);
    }
    EXPECT_EQ(policy_behind(one), SCHED_OTHER) << "both are of one stream";
    begin_stream(another, other_group);
    EXPECT_EQ(policy_behind(one), SCHED_BATCH);
    gst_harness_set_live(another.harness(), TRUE);
    begin_stream(another, other_group);
    EXPECT_EQ(policy_behind(another), SCHED_OTHER) << "live";
    EXPECT_EQ(policy_behind(one), SCHED_BATCH);
    gst_element_set_state(another.element(), GST_STATE_READY);
    policy_behind(one);
    EXPECT_EQ(policy_behind(one), SCHED_OTHER) << "the other has stopped";
}

/// Frames whose neighbours end in the wrong order.
void check_order(const char *nireq)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect",
                          on_fake(write_detector(folder), "latency_ms=1,jitter_ms=6,depth=8", {{"nireq", nireq}}));
    for (guint k = 0; k < 40; k++) {
        GstBuffer *buffer = make_frame(k, static_cast<guint8>(k + 10));
        GST_BUFFER_DTS(buffer) = GST_BUFFER_PTS(buffer) + 1;
        GST_BUFFER_OFFSET(buffer) = k;
        if (k % 3 == 0)
            GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_MARKER);
        if (k % 5 == 0)
            GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DISCONT);
        ASSERT_EQ(detect.push(buffer), GST_FLOW_OK);
    }
    for (guint k = 0; k < 40; k++) {
        const BufferPtr buffer = detect.pull();
        ASSERT_TRUE(buffer) << "frame " << k;
        EXPECT_EQ(GST_BUFFER_PTS(buffer.get()), k * 40 * GST_MSECOND);
        EXPECT_EQ(GST_BUFFER_DTS(buffer.get()), k * 40 * GST_MSECOND + 1);
        EXPECT_EQ(GST_BUFFER_DURATION(buffer.get()), 40 * GST_MSECOND);
        EXPECT_EQ(GST_BUFFER_OFFSET(buffer.get()), k);
        EXPECT_EQ(bool(GST_BUFFER_FLAG_IS_SET(buffer.get(), GST_BUFFER_FLAG_MARKER)), k % 3 == 0);
        EXPECT_EQ(bool(GST_BUFFER_FLAG_IS_SET(buffer.get(), GST_BUFFER_FLAG_DISCONT)), k % 5 == 0);
        EXPECT_EQ(brightness_of(buffer.get()), static_cast<int>(k) + 10) << "the boxes are those of another frame";
    }
    EXPECT_EQ(detect.stat("frames-in"), "40");
    EXPECT_EQ(detect.stat("frames-out"), "40");
}

TEST(Order, KeptWithOneRequest)
{
    check_order("1");
}
TEST(Order, KeptWithEightRequests)
{
    check_order("8");
}

TEST(Order, EndOfStreamDrains)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=30,depth=8"));
    for (guint k = 0; k < 5; k++)
        ASSERT_EQ(detect.push(make_frame(k, 100)), GST_FLOW_OK);
    ASSERT_TRUE(gst_harness_push_event(detect.harness(), gst_event_new_eos()));
    while (GstEvent *event = gst_harness_pull_event(detect.harness())) {
        const bool eos = GST_EVENT_TYPE(event) == GST_EVENT_EOS;
        gst_event_unref(event);
        if (eos)
            break;
    }
    EXPECT_EQ(gst_harness_buffers_received(detect.harness()), 5u);
}

/// As many frames as the device wants are at work at once; never more, and one with nireq=1.
TEST(Overlap, FillsTheDevice)
{
    const TemporaryFolder folder;
    const struct {
        const char *nireq, *most;
    } cases[] = {{"0", "2"}, {"1", "1"}, {"3", "3"}};
    for (const auto &c : cases) {
        ElementHarness detect("leatdetect",
                              on_fake(write_detector(folder), "latency_ms=250,depth=2", {{"nireq", c.nireq}}));
        for (guint k = 0; k < 3; k++)
            ASSERT_EQ(detect.push(make_frame(k, 100)), GST_FLOW_OK);
        for (guint k = 0; k < 3; k++)
            ASSERT_TRUE(detect.pull());
        EXPECT_EQ(detect.stat("most-in-flight"), c.most) << "nireq=" << c.nireq;
    }
}

TEST(Interval, FramesBetweenPassInOrder)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=5,depth=4",
                                                {{"inference-interval", "3"}, {"nireq", "4"}}));
    for (guint k = 0; k < 10; k++)
        ASSERT_EQ(detect.push(make_frame(k, static_cast<guint8>(50 + k))), GST_FLOW_OK);
    for (guint k = 0; k < 10; k++) {
        const BufferPtr buffer = detect.pull();
        ASSERT_TRUE(buffer);
        EXPECT_EQ(GST_BUFFER_PTS(buffer.get()), k * 40 * GST_MSECOND);
        EXPECT_EQ(brightness_of(buffer.get()), k % 3 ? -1 : static_cast<int>(50 + k));
    }
    EXPECT_EQ(detect.stat("inferred"), "4");
    EXPECT_EQ(detect.stat("skipped"), "6");
}

TEST(Sharing, TwoElementsHoldOneCompiledModel)
{
    const TemporaryFolder folder;
    const std::string model = write_detector(folder);
    ElementHarness first("leatdetect", on_fake(model, "depth=2"));
    EXPECT_EQ(first.stat("model-users"), "1");
    {
        ElementHarness second("leatdetect", on_fake(model, "depth=2", {{"threshold", "0.85"}}));
        EXPECT_EQ(first.stat("model-users"), "2");
        // The threshold stays each element's own.
        first.push(make_frame(0, 100));
        second.push(make_frame(0, 100));
        EXPECT_EQ(regions_of(first.pull().get()).size(), 2u);
        EXPECT_EQ(regions_of(second.pull().get()).size(), 1u);
    }
    EXPECT_EQ(first.stat("model-users"), "1");
}

} // namespace
} // namespace leat
