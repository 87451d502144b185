#include "pipeline.h"
#include "support/shared_data.h"

#include <random>

// What gst-validate's scenarios of the same names do, on our own clip, with jobs in flight and one or four elements
// that share a model. (gst-validate itself is not packaged everywhere.)

namespace leat {
namespace {

constexpr gint64 second = GST_SECOND;

std::string leatdetect_on_fake(const std::string &model, int number)
{
    return "leatdetect name=detect" + std::to_string(number) + " model=" + model +
           " device=\"FAKE(latency_ms=5,jitter_ms=10,depth=4)\" ! ";
}

/// Clips that play in real time.
std::string clips(const std::string &model, int sharers)
{
    std::string text;
    for (int i = 0; i < sharers; i++)
        text += "filesrc location=" + (source_root() / "pipelines/street/street.mp4").string() + " ! decodebin ! " +
                leatdetect_on_fake(model, i) + "fakesink name=sink" + std::to_string(i) + " sync=true ";
    return text;
}

class Scenario : public testing::TestWithParam<int> {
  protected:
    const TemporaryFolder folder_;
    const std::string model_ = write_detector(folder_);
    Pipeline pipeline_{clips(model_, GetParam())};

    void go_to(GstState state)
    {
        ASSERT_NE(pipeline_.set(state), GST_STATE_CHANGE_FAILURE);
        ASSERT_EQ(pipeline_.wait(), GST_STATE_CHANGE_SUCCESS);
        ASSERT_FALSE(pipeline_.has_error());
    }

    void seek(gint64 position)
    {
        ASSERT_TRUE(gst_element_seek_simple(pipeline_.get(), GST_FORMAT_TIME,
                                            GstSeekFlags(GST_SEEK_FLAG_FLUSH | GST_SEEK_FLAG_ACCURATE), position));
        ASSERT_EQ(pipeline_.wait(), GST_STATE_CHANGE_SUCCESS);
        ASSERT_FALSE(pipeline_.has_error());
    }

    gint64 position()
    {
        gint64 now = -1;
        gst_element_query_position(pipeline_.get(), GST_FORMAT_TIME, &now);
        return now;
    }

    void wait_for_position(gint64 wanted)
    {
        for (int i = 0; i < 6000 && position() < wanted; i++)
            g_usleep(10000);
        ASSERT_GE(position(), wanted) << "it does not play";
    }

    /// Each sink shows the frame of that position.
    void expect_frame_at(gint64 wanted)
    {
        for (int i = 0; i < GetParam(); i++) {
            GstSample *sample = nullptr;
            g_object_get(pipeline_.find("sink" + std::to_string(i)), "last-sample", &sample, nullptr);
            ASSERT_TRUE(sample);
            const GstBuffer *buffer = gst_sample_get_buffer(sample);
            const auto shown = static_cast<gint64>(
                gst_segment_to_stream_time(gst_sample_get_segment(sample), GST_FORMAT_TIME, GST_BUFFER_PTS(buffer)));
            EXPECT_LE(shown, wanted);
            EXPECT_GT(shown + static_cast<gint64>(GST_BUFFER_DURATION(buffer)), wanted);
            gst_sample_unref(sample);
        }
    }
};

TEST_P(Scenario, PauseResume)
{
    for (int i = 0; i < 4; i++) {
        go_to(GST_STATE_PLAYING);
        wait_for_position(position() + second / 10);
        go_to(GST_STATE_PAUSED);
        const gint64 paused = position();
        g_usleep(20000);
        EXPECT_EQ(position(), paused);
    }
}

TEST_P(Scenario, SeekForward)
{
    go_to(GST_STATE_PLAYING);
    for (gint64 at = 0; at < 9 * second; at += second) {
        seek(at);
        wait_for_position(at + second / 50);
    }
}

TEST_P(Scenario, SeekBackward)
{
    go_to(GST_STATE_PLAYING);
    for (gint64 at = 9 * second; at >= 0; at -= second) {
        seek(at);
        wait_for_position(at + second / 50);
        EXPECT_LT(position(), at + 60 * second);
    }
}

TEST_P(Scenario, ScrubForwardSeeking)
{
    go_to(GST_STATE_PAUSED);
    for (gint64 at = second / 7; at < 4 * second; at += second / 3) {
        seek(at);
        expect_frame_at(at);
    }
}

/// Without decodebin, which gst_parse_launch() links once only.
TEST_P(Scenario, ChangeStateIntensive)
{
    std::string text;
    for (int i = 0; i < GetParam(); i++)
        text += "videotestsrc ! video/x-raw,format=NV12,width=64,height=64,framerate=200/1 ! " +
                leatdetect_on_fake(model_, i) + "fakesink sync=true ";
    Pipeline intensive(text);
    constexpr GstState states[] = {GST_STATE_NULL, GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_PLAYING};
    std::mt19937 dice(5);
    for (int i = 0; i < 100; i++) {
        ASSERT_NE(intensive.set(states[dice() % 4]), GST_STATE_CHANGE_FAILURE) << i;
        if (dice() % 2) {
            ASSERT_EQ(intensive.wait(), GST_STATE_CHANGE_SUCCESS) << i;
        }
        ASSERT_FALSE(intensive.has_error()) << i;
    }
}

TEST_P(Scenario, AdaptiveVideoSize)
{
    std::string text;
    for (int i = 0; i < GetParam(); i++)
        text += "videotestsrc num-buffers=300 ! capsfilter caps-change-mode=delayed name=caps" + std::to_string(i) +
                " caps=video/x-raw,format=I420,width=64,height=64 ! " + leatdetect_on_fake(model_, i) +
                "fakesink sync=false ";
    Pipeline adaptive(text);
    ASSERT_NE(adaptive.set(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
    for (int size = 66; size < 200; size += 2) {
        const std::string caps =
            "video/x-raw,format=I420,width=" + std::to_string(size) + ",height=" + std::to_string(2 * (size / 3));
        for (int i = 0; i < GetParam(); i++)
            gst_util_set_object_arg(G_OBJECT(adaptive.find("caps" + std::to_string(i))), "caps", caps.c_str());
        g_usleep(1000);
    }
    ASSERT_TRUE(adaptive.wait_for_eos());
    for (int i = 0; i < GetParam(); i++)
        EXPECT_EQ(adaptive.stat("detect" + std::to_string(i), "frames-out"), 300u);
}

INSTANTIATE_TEST_SUITE_P(Sharers, Scenario, testing::Values(1, 4));

constexpr GstState null = GST_STATE_NULL, ready = GST_STATE_READY, paused = GST_STATE_PAUSED,
                   playing = GST_STATE_PLAYING;

/// The three sequences of GStreamer core's check "states", which it takes every element of a plugin through.
const std::vector<GstState> core_sequences[] = {
    {ready, paused, playing, paused, ready, null, paused, ready, playing, paused, null},              // up and down
    {ready, paused, playing, null, paused, playing, null, ready, paused, null, ready, null},          // up
    {playing, paused, ready, null, playing, ready, playing, null, paused, null, paused, ready, null}, // down
};

TEST(Scenarios, EveryElementPassesTheSequencesOfCoresStatesCheck)
{
    GList *features = gst_registry_get_feature_list_by_plugin(gst_registry_get(), "leat");
    int elements = 0;
    for (GList *item = features; item; item = item->next) {
        if (!GST_IS_ELEMENT_FACTORY(item->data))
            continue;
        elements++;
        for (const auto &sequence : core_sequences) {
            GstElement *element = gst_element_factory_create(GST_ELEMENT_FACTORY(item->data), nullptr);
            ASSERT_TRUE(element);
            for (const GstState state : sequence) {
                gst_element_set_state(element, state);
                GstState reached;
                gst_element_get_state(element, &reached, nullptr, GST_CLOCK_TIME_NONE);
                EXPECT_LE(reached, state) << GST_OBJECT_NAME(element);
            }
            EXPECT_EQ(GST_OBJECT_REFCOUNT_VALUE(element), 1) << GST_OBJECT_NAME(element);
            gst_object_unref(element);
        }
    }
    gst_plugin_feature_list_free(features);
    EXPECT_EQ(elements, 8);
}

} // namespace
} // namespace leat
