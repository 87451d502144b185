#include "element_test.h"

#include "gst/latency_histogram.h"
#include "gst/live_policy.h"
#include "gst/ordered_queue.h"

#include <future>

namespace leat {
namespace {

using namespace std::chrono_literals;

struct Number {
    int value = 0;
    bool counts() const { return true; }
};
using NumberQueue = OrderedQueue<Number>;

NumberQueue::Handle enter_held(NumberQueue &queue, int value)
{
    const auto entry = queue.enter({value});
    queue.hold(*entry);
    queue.release(*entry);
    return entry;
}

TEST(OrderedQueue, AnEntryLeavesAtItsDeadlineThoughSomethingHoldsIt)
{
    NumberQueue queue;
    queue.set_closed(false);
    const auto entry = queue.enter({1});
    queue.hold(*entry);
    ASSERT_TRUE(queue.begin(*entry, 1));
    queue.release(*entry, NumberQueue::Clock::now());
    const auto taken = queue.take();
    EXPECT_EQ(taken, entry);
    EXPECT_TRUE(taken->late);
    // Its work still has the only place.
    const auto next = enter_held(queue, 2);
    EXPECT_FALSE(queue.begin(*next, 1));
    queue.release(*entry);
    EXPECT_TRUE(queue.begin(*next, 1));
    queue.release(*next);
    EXPECT_FALSE(queue.take()->late);
}

TEST(OrderedQueue, TheOneThatHasWaitedLongestMakesRoom)
{
    NumberQueue queue;
    queue.set_closed(false);
    std::vector<NumberQueue::Handle> lost;
    for (int i = 0; i < 5; i++) {
        const auto entry = queue.enter({i});
        if (const auto oldest = queue.wait(entry, 2))
            lost.push_back(oldest);
        queue.release(*entry);
    }
    ASSERT_EQ(lost.size(), 3u);
    EXPECT_EQ(lost[2]->item.value, 2);
    const auto first = queue.begin_waiting(1);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->item.value, 3);
    EXPECT_TRUE(first->follows_lost);
    EXPECT_FALSE(queue.begin_waiting(1)) << "one place, and it is taken";
    queue.release(*first);
    EXPECT_EQ(queue.take()->item.value, 3);
    EXPECT_EQ(queue.begin_waiting(1)->item.value, 4);
}

TEST(OrderedQueue, TheOneThatIsAboutToLeaveMakesRoom)
{
    NumberQueue queue;
    queue.set_closed(false);
    const auto enter = [&](int value, NumberQueue::Clock::duration latency) {
        const auto entry = queue.enter({value});
        const bool lost = queue.wait(entry, 1) != nullptr;
        queue.release(*entry, NumberQueue::Clock::now() + latency);
        return lost;
    };
    EXPECT_FALSE(enter(1, 1h));
    auto taken = std::async(std::launch::async, [&] { return queue.take(); });
    std::this_thread::sleep_for(20ms); // for take() to wait for that deadline; either way the test holds
    EXPECT_TRUE(enter(2, 0s));
    EXPECT_EQ(taken.get()->item.value, 2);
}

TEST(OrderedQueue, DrainingForgetsThoseThatWait)
{
    NumberQueue queue;
    const auto entry = queue.enter({7});
    queue.wait(entry, 2);
    queue.release(*entry);
    EXPECT_EQ(queue.drain().size(), 1u);
    queue.set_closed(false);
    EXPECT_FALSE(queue.begin_waiting(1));
}

TEST(Pace, OneFewerWhenLateAndOneMoreWhenThereIsTime)
{
    Pace pace;
    pace.begin(4);
    EXPECT_EQ(pace.places(), 4u);
    pace.ended(101ms, 100ms);
    pace.ended(100ms, 100ms);
    EXPECT_EQ(pace.places(), 2u);
    for (int i = 0; i < 32; i++)
        pace.ended(70ms, 100ms); // three would take 105 ms
    EXPECT_EQ(pace.places(), 2u);
    for (int i = 0; i < 32; i++)
        pace.ended(60ms, 100ms);
    EXPECT_EQ(pace.places(), 3u);
    EXPECT_FALSE(pace.is_hopeless());
    for (int i = 0; i < 32; i++)
        pace.ended(200ms, 100ms);
    EXPECT_EQ(pace.places(), 1u);
    EXPECT_TRUE(pace.is_hopeless());
    for (int i = 0; i < 1000; i++)
        pace.ended(1h, 0ms);
    EXPECT_EQ(pace.places(), 1u) << "without a bound nothing is late";
}

TEST(LatencyHistogram, PercentilesAreNoLessThanTheTruthAndLittleMore)
{
    LatencyHistogram histogram;
    EXPECT_EQ(histogram.percentile(99), 0ns);
    const auto now = LatencyHistogram::Clock::now();
    for (int i = 1; i <= 1000; i++)
        histogram.add(i * 100us, now);
    for (const int percent : {1, 50, 99, 100}) {
        const auto truth = percent * 1000us;
        EXPECT_GE(histogram.percentile(percent), truth) << percent;
        EXPECT_LE(histogram.percentile(percent), truth + truth / 16) << percent;
    }
    histogram.add(0ns, now);
    histogram.add(100h, now);
    EXPECT_GT(histogram.percentile(100), 5min) << "what is out of range counts as the longest";
}

TEST(LatencyHistogram, ForgetsWhatIsLongAgo)
{
    LatencyHistogram histogram;
    const auto begin = LatencyHistogram::Clock::now();
    for (int i = 0; i < 1000; i++)
        histogram.add(100ms, begin);
    for (int i = 0; i < 1000; i++)
        histogram.add(10ms, begin + 10min);
    EXPECT_LT(histogram.percentile(99.9), 11ms);
    histogram.clear();
    EXPECT_EQ(histogram.count(), 0u);
}

/// "detector: late" for a frame that was marked; "" for one that was inferred.
std::string mark_of(GstBuffer *buffer)
{
    std::string marks;
    const GstMetaInfo *info = gst_meta_get_info("LeatNotInferred");
    gpointer state = nullptr;
    while (GstMeta *meta = gst_buffer_iterate_meta(buffer, &state)) {
        if (meta->info != info)
            continue;
        const GstStructure *fields = gst_custom_meta_get_structure(reinterpret_cast<GstCustomMeta *>(meta));
        marks +=
            std::string(gst_structure_get_string(fields, "model")) + ": " + gst_structure_get_string(fields, "reason");
    }
    return marks;
}

TEST(SkipInference, FramesWithoutAPlacePassMarkedAndInOrder)
{
    const TemporaryFolder folder;
    ElementHarness detect(
        "leatdetect", on_fake(write_detector(folder), "latency_ms=400,depth=1", {{"late-policy", "skip-inference"}}));
    for (guint k = 0; k < 6; k++)
        ASSERT_EQ(detect.push(make_frame(k, static_cast<guint8>(50 + k))), GST_FLOW_OK);
    for (guint k = 0; k < 6; k++) {
        const BufferPtr buffer = detect.pull();
        ASSERT_TRUE(buffer);
        EXPECT_EQ(GST_BUFFER_PTS(buffer.get()), k * 40 * GST_MSECOND);
        EXPECT_EQ(brightness_of(buffer.get()), k ? -1 : 50);
        EXPECT_EQ(mark_of(buffer.get()), k ? "detector: late" : "");
        EXPECT_FALSE(GST_BUFFER_FLAG_IS_SET(buffer.get(), GST_BUFFER_FLAG_DISCONT));
    }
    EXPECT_EQ(detect.stat("frames-out"), "6");
    EXPECT_EQ(detect.stat("late-skipped"), "5");
    EXPECT_EQ(detect.stat("late-dropped"), "0");
    EXPECT_EQ(detect.stat("inferred"), "1");
}

TEST(SkipInference, NoFrameStaysLongerThanMaxLatency)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=2000,depth=2",
                                                {{"late-policy", "skip-inference"}, {"max-latency", "20"}}));
    ASSERT_EQ(detect.push(make_frame(0, 100)), GST_FLOW_OK);
    const BufferPtr first = detect.pull();
    ASSERT_TRUE(first);
    EXPECT_EQ(mark_of(first.get()), "detector: late");
    EXPECT_EQ(detect.stat("in-flight"), "1") << "it came only after its inference had ended";
    EXPECT_EQ(detect.stat("late-skipped"), "1");
}

TEST(SkipInference, UpstreamStillWaitsForDownstream)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect",
                          on_fake(write_detector(folder), "latency_ms=1,depth=2", {{"late-policy", "skip-inference"}}));
    GstPad *pad = gst_element_get_static_pad(detect.element(), "src");
    const gulong probe = gst_pad_add_probe(
        pad, GstPadProbeType(GST_PAD_PROBE_TYPE_BLOCK | GST_PAD_PROBE_TYPE_BUFFER),
        [](GstPad *, GstPadProbeInfo *, gpointer) { return GST_PAD_PROBE_OK; }, nullptr, nullptr);
    constexpr guint frames = 2000;
    auto pushed = std::async(std::launch::async, [&] {
        for (guint k = 0; k < frames; k++)
            if (detect.push(make_frame(k, 100)) != GST_FLOW_OK)
                return false;
        return true;
    });
    EXPECT_EQ(pushed.wait_for(300ms), std::future_status::timeout) << "frames pile up in front of a blocked pad";
    gst_pad_remove_probe(pad, probe);
    for (guint k = 0; k < frames; k++) {
        const BufferPtr buffer = detect.pull();
        ASSERT_TRUE(buffer);
        ASSERT_EQ(GST_BUFFER_PTS(buffer.get()), k * 40 * GST_MSECOND);
    }
    EXPECT_TRUE(pushed.get());
    gst_object_unref(pad);
}

TEST(DropOldest, TheNewestFrameIsTheNextToBeInferred)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect",
                          on_fake(write_detector(folder), "latency_ms=400,depth=1", {{"late-policy", "drop-oldest"}}));
    for (guint k = 0; k < 6; k++)
        ASSERT_EQ(detect.push(make_frame(k, static_cast<guint8>(50 + k))), GST_FLOW_OK);
    for (const guint k : {0u, 5u}) {
        const BufferPtr buffer = detect.pull();
        ASSERT_TRUE(buffer);
        EXPECT_EQ(GST_BUFFER_PTS(buffer.get()), k * 40 * GST_MSECOND);
        EXPECT_EQ(brightness_of(buffer.get()), static_cast<int>(50 + k));
        EXPECT_EQ(bool(GST_BUFFER_FLAG_IS_SET(buffer.get(), GST_BUFFER_FLAG_DISCONT)), k == 5);
    }
    EXPECT_EQ(detect.stat("late-dropped"), "4");
    EXPECT_EQ(detect.stat("frames-in"), "6");
    EXPECT_EQ(detect.stat("frames-out"), "2");
}

TEST(DropOldest, WhatIsNotInferredInTimeIsDropped)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=1500,depth=1",
                                                {{"late-policy", "drop-oldest"}, {"max-latency", "20"}}));
    ASSERT_EQ(detect.push(make_frame(0, 100)), GST_FLOW_OK);
    ASSERT_TRUE(gst_harness_push_event(detect.harness(), gst_event_new_eos()));
    GstQuery *drain = gst_query_new_drain();
    gst_pad_peer_query(detect.harness()->srcpad, drain);
    gst_query_unref(drain);
    EXPECT_EQ(detect.stat("late-dropped"), "1");
    EXPECT_EQ(detect.stat("frames-out"), "0");
}

TEST(DropOldest, EndOfStreamLetsThoseThatWaitPass)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect",
                          on_fake(write_detector(folder), "latency_ms=50,depth=3", {{"late-policy", "drop-oldest"}}));
    for (guint k = 0; k < 6; k++) // three at work, three that wait
        ASSERT_EQ(detect.push(make_frame(k, 100)), GST_FLOW_OK);
    ASSERT_TRUE(gst_harness_push_event(detect.harness(), gst_event_new_eos()));
    for (guint k = 0; k < 6; k++) {
        const BufferPtr buffer = detect.pull();
        ASSERT_TRUE(buffer);
        EXPECT_EQ(brightness_of(buffer.get()), 100);
    }
    EXPECT_EQ(detect.stat("late-dropped"), "0");
}

/// Downstream says that a frame of `milliseconds` came late by nothing: what lies before it is not worth the work.
void send_qos(ElementHarness &element, GstClockTime milliseconds)
{
    gst_harness_push_upstream_event(element.harness(),
                                    gst_event_new_qos(GST_QOS_TYPE_UNDERFLOW, 1.5, 0, milliseconds * GST_MSECOND));
}

TEST(Qos, FramesThatDownstreamFindsLateAreNotInferred)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect",
                          on_fake(write_detector(folder), "latency_ms=1,depth=2", {{"late-policy", "skip-inference"}}));
    ASSERT_EQ(detect.push(make_frame(0, 100)), GST_FLOW_OK);
    ASSERT_TRUE(detect.pull());
    send_qos(detect, 100);
    for (guint k = 1; k < 5; k++) { // at 40, 80, 120, 160 ms
        ASSERT_EQ(detect.push(make_frame(k, 100)), GST_FLOW_OK);
        EXPECT_EQ(mark_of(detect.pull().get()), k < 3 ? "detector: qos" : "") << k;
    }
    EXPECT_EQ(detect.stat("qos-late"), "2");
    EXPECT_EQ(detect.stat("late-skipped"), "2");
}

TEST(Qos, OrDropped)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect",
                          on_fake(write_detector(folder), "latency_ms=1,depth=2", {{"late-policy", "drop-oldest"}}));
    ASSERT_EQ(detect.push(make_frame(0, 100)), GST_FLOW_OK);
    ASSERT_TRUE(detect.pull());
    send_qos(detect, 100);
    for (guint k = 1; k < 4; k++)
        ASSERT_EQ(detect.push(make_frame(k, 100)), GST_FLOW_OK);
    const BufferPtr buffer = detect.pull();
    ASSERT_TRUE(buffer);
    EXPECT_EQ(GST_BUFFER_PTS(buffer.get()), 120 * GST_MSECOND);
    EXPECT_TRUE(GST_BUFFER_FLAG_IS_SET(buffer.get(), GST_BUFFER_FLAG_DISCONT));
    EXPECT_EQ(detect.stat("late-dropped"), "2");
}

TEST(Qos, LosesNothingWithoutALatePolicy)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=1,depth=2"));
    ASSERT_EQ(detect.push(make_frame(0, 100)), GST_FLOW_OK);
    ASSERT_TRUE(detect.pull());
    send_qos(detect, 100);
    ASSERT_EQ(detect.push(make_frame(1, 60)), GST_FLOW_OK);
    EXPECT_EQ(brightness_of(detect.pull().get()), 60);
}

TEST(LatePolicy, MaxLatencyWithoutItIsRefused)
{
    const TemporaryFolder folder;
    EXPECT_EQ(error_when_starting("leatdetect", on_fake(write_detector(folder), "depth=1", {{"max-latency", "100"}})),
              "property max-latency bounds nothing while late-policy is block; set late-policy=skip-inference or "
              "late-policy=drop-oldest, or max-latency=0");
}

} // namespace
} // namespace leat
