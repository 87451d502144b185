#include "pipeline.h"
#include "support/sanitized.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

// Many streams, one compiled model: what one stream does is nothing to the others.

namespace leat {
namespace {

/// Compiled once for all that name it.
std::string shared_device()
{
    return "FAKE(latency_ms=2,jitter_ms=2,depth=4,outputs=reference)";
}

std::vector<PropertyValue> shared_settings(const std::string &model)
{
    return {{"model", model}, {"device", shared_device()}, {"nireq", "2"}};
}

/// Four sharers, to one of which something happens while the others are in the middle of their streams.
void expect_others_unharmed(const std::function<void(ElementHarness &)> &mishap)
{
    const TemporaryFolder folder;
    const std::string model = write_detector(folder);
    ElementHarness first("leatdetect", shared_settings(model));
    std::vector<std::unique_ptr<ElementHarness>> others;
    for (int i = 0; i < 3; i++)
        others.push_back(std::make_unique<ElementHarness>("leatdetect", shared_settings(model)));
    ASSERT_EQ(first.stat("model-users"), "4");
    for (guint k = 0; k < 3; k++)
        ASSERT_EQ(first.push(make_frame(k, 10)), GST_FLOW_OK);
    std::vector<std::thread> pushers;
    for (const auto &other : others)
        pushers.emplace_back([&] { expect_all_frames(*other, 60); });
    mishap(first);
    for (std::thread &pusher : pushers)
        pusher.join();
    for (const auto &other : others)
        EXPECT_EQ(other->error(), "");
}

TEST(Sharing, OneIsStoppedAndStartedAgain)
{
    expect_others_unharmed([](ElementHarness &one) {
        for (int i = 0; i < 10; i++) {
            gst_element_set_state(one.element(), GST_STATE_NULL);
            gst_element_set_state(one.element(), GST_STATE_PLAYING);
        }
    });
}

TEST(Sharing, OneFails)
{
    expect_others_unharmed([](ElementHarness &one) {
        one.push(gst_buffer_new_allocate(nullptr, 100, nullptr));
        EXPECT_NE(one.error(10), "");
    });
}

TEST(Sharing, OneEnds)
{
    expect_others_unharmed([](ElementHarness &one) { gst_harness_push_event(one.harness(), gst_event_new_eos()); });
}

TEST(Sharing, OneChangesItsCaps)
{
    expect_others_unharmed([](ElementHarness &one) {
        for (int width = 64; width <= 640; width += 64) {
            const std::string caps =
                "video/x-raw,format=RGB,width=" + std::to_string(width) + ",height=32,framerate=25/1,colorimetry=sRGB";
            gst_harness_set_src_caps_str(one.harness(), caps.c_str());
            ASSERT_EQ(one.push(make_frame(3, 10, width, 32)), GST_FLOW_OK);
        }
    });
}

TEST(Sharing, OneIsFlushed)
{
    expect_others_unharmed([](ElementHarness &one) {
        for (int i = 0; i < 10; i++) {
            gst_harness_push_event(one.harness(), gst_event_new_flush_start());
            gst_harness_push_event(one.harness(), gst_event_new_flush_stop(TRUE));
            GstSegment segment;
            gst_segment_init(&segment, GST_FORMAT_TIME);
            gst_harness_push_event(one.harness(), gst_event_new_segment(&segment));
            one.push(make_frame(0, 10));
        }
    });
}

TEST(Sharing, OneHasAConsumerThatTakesNothing)
{
    const TemporaryFolder folder;
    const std::string model = write_detector(folder);
    ElementHarness stuck("leatdetect", shared_settings(model));
    GstPad *pad = gst_element_get_static_pad(stuck.element(), "src");
    const gulong probe = gst_pad_add_probe(
        pad, GstPadProbeType(GST_PAD_PROBE_TYPE_BLOCK | GST_PAD_PROBE_TYPE_BUFFER),
        [](GstPad *, GstPadProbeInfo *, gpointer) { return GST_PAD_PROBE_OK; }, nullptr, nullptr);
    std::thread pusher([&] { expect_all_frames(stuck, 20); });
    std::vector<std::thread> others;
    for (int i = 0; i < 7; i++)
        others.emplace_back([&] {
            ElementHarness stream("leatdetect", shared_settings(model));
            expect_all_frames(stream, 60);
        });
    for (std::thread &other : others)
        other.join();
    EXPECT_EQ(stuck.stat("frames-out"), "1") << "the one that waits at the pad";
    gst_pad_remove_probe(pad, probe);
    pusher.join();
    gst_object_unref(pad);
}

size_t threads_now()
{
    size_t count = 0;
    for ([[maybe_unused]] const auto &task : std::filesystem::directory_iterator("/proc/self/task"))
        count++;
    return count;
}

double resident_megabytes()
{
    std::ifstream file("/proc/self/statm");
    double all = 0, resident = 0;
    file >> all >> resident;
    return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

std::string small_streams(const std::string &model, int streams, int frames)
{
    std::string text;
    for (int i = 0; i < streams; i++)
        text += "videotestsrc num-buffers=" + std::to_string(frames) +
                " ! video/x-raw,format=NV12,width=320,height=240 ! leatdetect name=d" + std::to_string(i) +
                " model=" + model + " ! fakesink sync=false ";
    return text;
}

TEST(Sharing, AStreamMoreCostsLessThanThreeMegabytesAndItsBuffers)
{
    if (sanitized)
        GTEST_SKIP() << "a sanitizer keeps memory for itself";
    constexpr int streams = 32, frames = 30;
    const TemporaryFolder folder;
    const std::string model = write_detector(folder);
    const auto played = [&](int count) {
        Pipeline pipeline(small_streams(model, count, frames));
        EXPECT_NE(pipeline.set(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
        EXPECT_TRUE(pipeline.wait_for_eos());
        return resident_megabytes();
    };
    const double one = played(1), all = played(streams);
    // As many as may be inside the element, and one each at the source and the sink.
    Pipeline pipeline(small_streams(model, 1, frames));
    ASSERT_NE(pipeline.set(GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
    ASSERT_EQ(pipeline.wait(), GST_STATE_CHANGE_SUCCESS);
    guint depth = 0;
    GstStructure *stats = nullptr;
    g_object_get(pipeline.find("d0"), "stats", &stats, nullptr);
    gst_structure_get_uint(stats, "depth", &depth);
    gst_structure_free(stats);
    const double buffers = (depth + 2) * 320 * 240 * 1.5 / 1e6;
    RecordProperty("kilobytes_a_stream", static_cast<int>(1000 * (all - one) / (streams - 1)));
    std::printf("%.2f MB a stream, of which buffers may be %.2f MB\n", (all - one) / (streams - 1), buffers);
    EXPECT_LT((all - one) / (streams - 1), 3 + buffers);
}

/// Streams of 320x240 that share one model of the CPU.
TEST(Sharing, SixtyFourStreamsLoseNoFrame)
{
    constexpr int streams = 64, frames = 30;
    const TemporaryFolder folder;
    const std::string model = write_detector(folder);
    Pipeline pipeline(small_streams(model, streams, frames));
    const size_t before = threads_now();
    ASSERT_NE(pipeline.set(GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
    ASSERT_EQ(pipeline.wait(), GST_STATE_CHANGE_SUCCESS);
    const size_t lanes = static_cast<size_t>(sysconf(_SC_NPROCESSORS_ONLN)) + 2;
    EXPECT_LE(threads_now(), before + 2 * streams + lanes) << "more than two threads for each stream";
    ASSERT_NE(pipeline.set(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
    ASSERT_TRUE(pipeline.wait_for_eos());
    for (int i = 0; i < streams; i++) {
        const std::string name = "d" + std::to_string(i);
        EXPECT_EQ(pipeline.stat(name, "frames-in"), guint64(frames)) << name;
        EXPECT_EQ(pipeline.stat(name, "frames-out"), guint64(frames)) << name;
        EXPECT_EQ(pipeline.stat(name, "inferred"), guint64(frames)) << name;
    }
}

} // namespace
} // namespace leat
