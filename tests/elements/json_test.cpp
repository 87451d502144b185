#include "element_test.h"

#include <nlohmann/json.hpp>

namespace leat {
namespace {

using Json = nlohmann::json;

/// A frame as leatdetect leaves it.
BufferPtr detected(const TemporaryFolder &folder, guint8 brightness)
{
    ElementHarness detect("leatdetect", {{"model", write_detector(folder)}, {"device", "REF"}});
    detect.push(make_frame(3, brightness));
    return detect.pull();
}

std::string convert(BufferPtr buffer, const std::vector<PropertyValue> &settings)
{
    ElementHarness convert("leatmetaconvert", settings);
    convert.push(buffer.release());
    const BufferPtr converted = convert.pull();
    const char *message = json_of(converted.get());
    return message ? message : "";
}

TEST(Json, HasTheFieldsOfGvametaconvert)
{
    const TemporaryFolder folder;
    const std::string text = convert(detected(folder, 102), {{"source", "door"}, {"tags", "{\"floor\": 2}"}});
    EXPECT_EQ(text.find('\n'), std::string::npos);
    const Json expected = Json::parse(R"({
        "objects": [
            {"detection": {"bounding_box": {"x_max": 0.4, "x_min": 0.0, "y_max": 0.5, "y_min": 0.0},
                           "confidence": 0.9, "label": "face", "label_id": 1},
             "h": 8, "region_id": 1, "roi_type": "face", "w": 204, "x": 0, "y": 0},
            {"detection": {"bounding_box": {"x_max": 0.75, "x_min": 0.5, "y_max": 1.0, "y_min": 0.5},
                           "confidence": 0.8, "label": "face", "label_id": 1},
             "h": 8, "region_id": 2, "roi_type": "face", "w": 128, "x": 255, "y": 8}],
        "resolution": {"height": 16, "width": 510},
        "source": "door", "tags": {"floor": 2}, "timestamp": 120000000})");
    Json json = Json::parse(text);
    Json &right = json["objects"][0]["detection"]["bounding_box"]["x_max"]; // comes out of the model's arithmetic
    EXPECT_NEAR(right.get<double>(), 0.4, 1e-6);
    right = 0.4;
    EXPECT_EQ(json, expected) << text;
}

TEST(Json, HasClassesTracksAndKeypoints)
{
    GstBuffer *frame = make_frame(0, 0);
    auto *region = gst_buffer_add_video_region_of_interest_meta(frame, "person", 10, 2, 100, 10);
    region->id = 7;
    region->parent_id = 3;
    gst_video_region_of_interest_meta_add_param(region, gst_structure_new("object_id", "id", G_TYPE_INT, 42, nullptr));
    gst_video_region_of_interest_meta_add_param(
        region, gst_structure_new("color", "label", G_TYPE_STRING, "red", "label_id", G_TYPE_INT, 3, "confidence",
                                  G_TYPE_DOUBLE, 0.5, "model_name", G_TYPE_STRING, "paint", nullptr));
    gst_video_region_of_interest_meta_add_param(
        region, gst_structure_from_string("keypoints,format=(string)keypoints,dims=(int)<1,2>,"
                                          "data=(double)<0.25,0.5>,confidence=(double)<0.75>",
                                          nullptr));
    const Json object = Json::parse(convert(BufferPtr(frame), {}))["objects"][0];
    EXPECT_EQ(object, Json::parse(R"({"color": {"confidence": 0.5, "label": "red", "label_id": 3,
                                                "model": {"name": "paint"}},
                                      "h": 10, "id": 42, "parent_id": 3, "region_id": 7, "roi_type": "person",
                                      "tensors": [{"name": "keypoints", "format": "keypoints", "dims": [1, 2],
                                                   "data": [0.25, 0.5], "confidence": [0.75]}],
                                      "w": 100, "x": 10, "y": 2})"))
        << object;
}

TEST(Json, HasTensorsAndTheirNumbersIfAsked)
{
    const TemporaryFolder folder;
    ElementHarness infer("leatinfer", {{"model", write_detector(folder)}, {"device", "REF"}});
    infer.push(make_frame(0, 51));
    const BufferPtr buffer = infer.pull();
    const Json with = Json::parse(convert(BufferPtr(gst_buffer_ref(buffer.get())), {{"add-tensor-data", "true"}}));
    EXPECT_EQ(with["tensors"][0], Json::parse(R"({"name": "scores", "layer_name": "scores", "model_name": "detector",
                                                  "precision": "FP32", "dims": [1, 2, 2],
                                                  "data": [0.1, 0.9, 0.2, 0.8]})"));
    const Json without = Json::parse(convert(BufferPtr(gst_buffer_ref(buffer.get())), {}));
    EXPECT_EQ(without["tensors"][1]["dims"], Json({1, 2, 4}));
    EXPECT_FALSE(without["tensors"][0].contains("data"));
}

TEST(Json, EmptyFramesOnlyIfAsked)
{
    EXPECT_EQ(convert(BufferPtr(make_frame(0, 0)), {}), "");
    EXPECT_EQ(Json::parse(convert(BufferPtr(make_frame(1, 0)), {{"add-empty-results", "true"}})),
              Json::parse(R"({"resolution": {"height": 16, "width": 510}, "timestamp": 40000000})"));
}

TEST(Json, IndentsAndTellsTheTime)
{
    const TemporaryFolder folder;
    const std::string text = convert(detected(folder, 102), {{"json-indent", "2"}, {"timestamp-utc", "true"}});
    EXPECT_NE(text.find("\n  \"objects\": ["), std::string::npos) << text;
    const std::string time = Json::parse(text)["system_timestamp"];
    ASSERT_EQ(time.size(), std::string("2026-01-01T00:00:00Z").size()) << time;
    EXPECT_EQ(time.back(), 'Z');
    const std::string fine = Json::parse(convert(
        detected(folder, 102), {{"timestamp-utc", "true"}, {"timestamp-microseconds", "true"}}))["system_timestamp"];
    EXPECT_EQ(fine.size(), std::string("2026-01-01T00:00:00.000000Z").size()) << fine;
}

TEST(Json, TakesTheSendersTime)
{
    GstBuffer *frame = make_frame(0, 0);
    GstCaps *ntp = gst_caps_from_string("timestamp/x-ntp");
    gst_buffer_add_reference_timestamp_meta(frame, ntp, (2208988800 + 5) * GST_SECOND, GST_CLOCK_TIME_NONE);
    gst_caps_unref(ntp);
    const Json json =
        Json::parse(convert(BufferPtr(frame), {{"add-rtp-timestamp", "true"}, {"add-empty-results", "true"}}));
    EXPECT_EQ(json["rtp"]["sender_ntp_unix_timestamp_ns"], 5000000000);
}

TEST(Json, LabelsThatAreNotUtf8)
{
    GstBuffer *frame = make_frame(0, 0);
    gst_buffer_add_video_region_of_interest_meta(frame, "caf\xe9", 1, 1, 5, 5)->id = 1;
    const std::string text = convert(BufferPtr(frame), {});
    EXPECT_EQ(Json::parse(text)["objects"][0]["roi_type"], "caf\xef\xbf\xbd");
}

} // namespace
} // namespace leat
