#include "video_support.h"
#include "tests/support/shared_data.h"

namespace leat {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> videos()
{
    std::vector<fs::path> found;
    const fs::path folder = shared_data() / "data/media/videos";
    for (const fs::path &where : {folder, folder / "derived"})
        for (const auto &entry : fs::directory_iterator(where))
            if (entry.is_regular_file() && entry.path().extension() != ".nv12" && entry.path().extension() != ".json")
                found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    return found;
}

fs::path model(const char *name)
{
    return shared_data() / "data/models/onnx" / name;
}

/// What must not change on the way through an element.
struct Frame {
    GstClockTime pts, dts, duration;
    guint64 offset;
    guint flags;
    bool operator==(const Frame &) const = default;
};

Frame frame_of(GstBuffer *buffer)
{
    const guint moving = GST_BUFFER_FLAG_TAG_MEMORY;
    return {GST_BUFFER_PTS(buffer), GST_BUFFER_DTS(buffer), GST_BUFFER_DURATION(buffer), GST_BUFFER_OFFSET(buffer),
            GST_BUFFER_FLAGS(buffer) & ~moving};
}

/// A FAKE device whose jobs end in the wrong order; four in flight.
TEST(Videos, EveryBufferPassesInOrderAsItWas)
{
    SKIP_WITHOUT_SHARED_DATA();
    for (const fs::path &video : videos()) {
        SCOPED_TRACE(video.filename());
        GstElement *pipeline = make_pipeline("filesrc location=" + video.string() +
                                             " ! decodebin ! videoconvert ! leatdetect name=detect "
                                             "device=FAKE(latency_ms=0.5,jitter_ms=1,depth=4) model=" +
                                             model("version-slim-320.onnx").string() + " ! fakesink sync=false");
        ASSERT_TRUE(pipeline);
        std::vector<Frame> in, out;
        watch(pipeline, "detect", "sink", [&](GstPad *, GstBuffer *buffer) { in.push_back(frame_of(buffer)); });
        watch(pipeline, "detect", "src", [&](GstPad *, GstBuffer *buffer) { out.push_back(frame_of(buffer)); });
        EXPECT_EQ(play_and_free(pipeline), "");
        EXPECT_GT(in.size(), 10u);
        EXPECT_EQ(in.size(), out.size());
        EXPECT_TRUE(in == out);
    }
}

/// Boxes of each inferred frame, by the number of the frame.
std::map<int, std::vector<Box>> detect(const fs::path &video, const fs::path &model_path, int interval, int requests,
                                       int frames)
{
    GstElement *pipeline = make_pipeline(
        "filesrc location=" + video.string() +
        " ! decodebin ! videoconvert ! identity eos-after=" + std::to_string(frames + 1) +
        " ! leatdetect name=detect threshold=0.2 inference-interval=" + std::to_string(interval) +
        " nireq=" + std::to_string(requests) + " model=" + model_path.string() + " ! fakesink sync=false");
    std::map<int, std::vector<Box>> found;
    if (!pipeline)
        return found;
    int number = 0;
    watch(pipeline, "detect", "src", [&](GstPad *pad, GstBuffer *buffer) {
        const auto [width, height] = frame_size(pad);
        if (number % interval == 0)
            found[number] = boxes_on(buffer, width, height);
        number++;
    });
    EXPECT_EQ(play_and_free(pipeline), "");
    return found;
}

/// The boxes of frame k are those that a reference run found in frame k: most of the sure ones, and none elsewhere.
void expect_like_reference(const fs::path &reference_file)
{
    const Json reference = read_json(reference_file);
    const fs::path video = shared_data() / "data/media/videos" / reference["video"].get<std::string>();
    const auto &frames = reference["frames"];
    const int interval = frames[1]["frame"].get<int>() - frames[0]["frame"].get<int>();
    const int last = std::min(frames.back()["frame"].get<int>(), 30 * interval);
    const auto found = detect(video, model(reference["model"].get<std::string>().c_str()), interval, 0, last);
    int sure = 0, matched = 0;
    for (const Json &frame : frames) {
        const int number = frame["frame"];
        if (number > last)
            break;
        ASSERT_TRUE(found.count(number)) << "frame " << number;
        for (const Json &detection : frame["detections"]) {
            const Box wanted = box_of(detection);
            if (wanted.score < 0.45)
                continue;
            sure++;
            const int match = best_match(wanted, found.at(number), 0.5);
            matched +=
                match >= 0 && std::abs(found.at(number)[static_cast<size_t>(match)].score - wanted.score) <= 0.15;
        }
    }
    EXPECT_GT(sure, 0);
    EXPECT_GE(matched, 0.9 * sure) << matched << " of " << sure;
}

TEST(Videos, BoxesBelongToTheirFrames)
{
    SKIP_WITHOUT_SHARED_DATA();
    for (const auto &entry : fs::directory_iterator(shared_data() / "data/media/videos/reference-detections")) {
        const std::string name = entry.path().filename();
        if (name.find("yolox_nano") == std::string::npos && name.find("RFB-320") == std::string::npos)
            continue;
        SCOPED_TRACE(name);
        expect_like_reference(entry.path());
    }
}

TEST(Videos, OneRequestAndEightGiveTheSame)
{
    SKIP_WITHOUT_SHARED_DATA();
    const fs::path video = shared_data() / "data/media/videos/head-pose-female-and-male_768x432.h264";
    const auto one = detect(video, model("version-slim-320.onnx"), 1, 1, 60),
               eight = detect(video, model("version-slim-320.onnx"), 1, 8, 60);
    ASSERT_EQ(one.size(), eight.size());
    size_t boxes = 0;
    for (const auto &[number, wanted] : one) {
        const auto &given = eight.at(number);
        ASSERT_EQ(wanted.size(), given.size()) << "frame " << number;
        for (size_t i = 0; i < wanted.size(); i++) {
            EXPECT_EQ(wanted[i].x1, given[i].x1);
            EXPECT_EQ(wanted[i].y2, given[i].y2);
            EXPECT_EQ(wanted[i].score, given[i].score);
        }
        boxes += wanted.size();
    }
    EXPECT_GT(boxes, 60u);
}

} // namespace
} // namespace leat
