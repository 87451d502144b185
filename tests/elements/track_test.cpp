#include "pipeline.h"

#include <gst/app/gstappsink.h>

#include <map>
#include <set>

namespace leat {
namespace {

GstBuffer *frame_with(guint k, const std::vector<std::pair<guint, const char *>> &objects)
{
    GstBuffer *buffer = make_frame(k, 0);
    gint id = 0;
    for (const auto &[x, label] : objects)
        gst_buffer_add_video_region_of_interest_meta(buffer, label, x, 2, 20, 10)->id = ++id;
    return buffer;
}

gint object_id(GstVideoRegionOfInterestMeta *region, gboolean *predicted = nullptr)
{
    gint id = 0;
    if (const GstStructure *structure = gst_video_region_of_interest_meta_get_param(region, "object_id")) {
        gst_structure_get_int(structure, "id", &id);
        if (predicted)
            gst_structure_get_boolean(structure, "predicted", predicted);
    }
    return id;
}

std::vector<gint> ids_of(GstBuffer *buffer)
{
    std::vector<gint> ids;
    for (auto *region : regions_of(buffer))
        ids.push_back(object_id(region));
    return ids;
}

using Ids = std::vector<gint>;

class Track : public testing::Test {
  protected:
    Ids through(ElementHarness &track, const std::vector<std::pair<guint, const char *>> &objects)
    {
        EXPECT_EQ(track.push(frame_with(frames_++, objects)), GST_FLOW_OK);
        const BufferPtr buffer = track.pull();
        return buffer ? ids_of(buffer.get()) : Ids{-1};
    }
    guint frames_ = 0;
};

TEST_F(Track, RegionsOfAnybodyGetIdsPerLabel)
{
    ElementHarness track("leattrack", {});
    for (guint k = 0; k < 10; k++)
        EXPECT_EQ(through(track, {{10 + k, "cat"}, {10 + k, "dog"}, {200, "cat"}, {0, "frame"}}), (Ids{1, 2, 3, 0}));
}

TEST_F(Track, OnlyTheObjectClassesAskedFor)
{
    ElementHarness track("leattrack", {{"object-class", "dog, bird"}});
    EXPECT_EQ(through(track, {{10, "cat"}, {10, "dog"}, {50, "bird"}}), (Ids{0, 1, 2}));
}

TEST_F(Track, FlushCapsAndSegmentBeginAnew)
{
    ElementHarness track("leattrack", {});
    GstHarness *harness = track.harness();
    EXPECT_EQ(through(track, {{10, "cat"}}), Ids{1});
    EXPECT_EQ(through(track, {{10, "cat"}}), Ids{1});
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_harness_push_event(harness, gst_event_new_segment(&segment));
    EXPECT_EQ(through(track, {{10, "cat"}}), Ids{2});
    gst_harness_push_event(harness, gst_event_new_flush_start());
    gst_harness_push_event(harness, gst_event_new_flush_stop(TRUE));
    gst_harness_push_event(harness, gst_event_new_segment(&segment));
    EXPECT_EQ(through(track, {{10, "cat"}}), Ids{3});
    gst_harness_set_src_caps_str(harness, "video/x-raw,format=RGB,width=480,height=16,framerate=25/1");
    EXPECT_EQ(through(track, {{10, "cat"}}), Ids{4});
}

TEST_F(Track, BuffersOfOthersAreNotTouchedAndPixelsNotCopied)
{
    ElementHarness track("leattrack", {});
    const BufferPtr mine(frame_with(0, {{10, "cat"}}));
    EXPECT_EQ(track.push(gst_buffer_ref(mine.get())), GST_FLOW_OK);
    const BufferPtr out = track.pull();
    EXPECT_EQ(ids_of(mine.get()), Ids{0});
    EXPECT_EQ(ids_of(out.get()), Ids{1});
    EXPECT_EQ(gst_buffer_peek_memory(out.get(), 0), gst_buffer_peek_memory(mine.get(), 0));
}

TEST_F(Track, RefusesWrongValues)
{
    EXPECT_EQ(error_when_starting("leattrack", {{"iou-threshold", "1.5"}}),
              "property iou-threshold=1.5: want a number from 0 to 1");
}

/// What leattrack put on the frames of the clip that Leat ships.
struct Tracked {
    struct Object {
        gint id;
        gboolean predicted;
        std::string label;
        guint x, y, w, h;
    };
    std::vector<std::vector<Object>> frames;
    std::vector<std::string> texts;
};

Tracked track_street(const std::string &detect, const std::string &track)
{
    const std::string folder = std::string(g_getenv("LEAT_SOURCE_ROOT")) + "/pipelines/street/";
    Pipeline pipeline("filesrc location=" + folder + "street.mp4 ! decodebin ! leatdetect model=" + folder +
                      "street.onnx " + detect + " ! leattrack " + track +
                      " ! leatmetaconvert add-empty-results=true ! appsink name=sink sync=false");
    pipeline.set(GST_STATE_PLAYING);
    Tracked tracked;
    while (GstSample *sample = gst_app_sink_pull_sample(GST_APP_SINK(pipeline.find("sink")))) {
        GstBuffer *buffer = gst_sample_get_buffer(sample);
        auto &objects = tracked.frames.emplace_back();
        for (auto *region : regions_of(buffer)) {
            gboolean predicted = FALSE;
            const gint id = object_id(region, &predicted);
            objects.push_back(
                {id, predicted, g_quark_to_string(region->roi_type), region->x, region->y, region->w, region->h});
        }
        tracked.texts.push_back(json_of(buffer));
        gst_sample_unref(sample);
    }
    return tracked;
}

/// Frames in which each id is.
std::map<gint, std::vector<size_t>> lives(const Tracked &tracked)
{
    std::map<gint, std::vector<size_t>> lives;
    for (size_t k = 0; k < tracked.frames.size(); k++)
        for (const auto &object : tracked.frames[k])
            if (object.id)
                lives[object.id].push_back(k);
    return lives;
}

TEST(TrackStreet, IdsPersistAndKeepTheirLabel)
{
    const Tracked tracked = track_street("threshold=0.4", "");
    ASSERT_EQ(tracked.frames.size(), 250u);
    size_t all = 0, with_id = 0, long_lived = 0;
    std::map<gint, std::string> labels;
    for (const auto &objects : tracked.frames) {
        std::set<gint> ids;
        for (const auto &object : objects) {
            all++;
            with_id += object.id != 0;
            EXPECT_FALSE(object.predicted);
            if (object.id) {
                EXPECT_TRUE(ids.insert(object.id).second) << "twice in one frame";
                EXPECT_EQ(labels.emplace(object.id, object.label).first->second, object.label);
            }
        }
    }
    const auto found = lives(tracked);
    for (const auto &[id, frames] : found)
        if (frames.size() >= 25)
            long_lived += frames.size();
    EXPECT_GT(with_id, all * 9 / 10);
    EXPECT_GT(long_lived, with_id * 8 / 10) << found.size() << " ids";
    EXPECT_NE(tracked.texts.back().find("\"id\":"), std::string::npos);
}

TEST(TrackStreet, FramesThatWereNotInferredHavePredictedBoxes)
{
    const Tracked tracked = track_street("inference-interval=4", "");
    size_t found = 0, predicted = 0;
    for (size_t k = 0; k < tracked.frames.size(); k++)
        for (const auto &object : tracked.frames[k]) {
            EXPECT_EQ(bool(object.predicted), k % 4 != 0);
            if (k % 4 == 0)
                found += object.id != 0;
            else
                predicted += object.id != 0;
        }
    EXPECT_GT(found, 0u);
    EXPECT_GT(predicted, found * 2);
    EXPECT_LE(predicted, found * 3);
    EXPECT_NE(tracked.texts[1].find("\"predicted\":true"), std::string::npos) << tracked.texts[1];
    for (const auto &objects : track_street("inference-interval=4", "tracking-type=zero-term-imageless").frames)
        for (const auto &object : objects)
            EXPECT_FALSE(object.predicted);
}

} // namespace
} // namespace leat
