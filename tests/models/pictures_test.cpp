#include "tests/support/shared_data.h"
#include "video_support.h"

#include <map>

namespace leat {
namespace {

namespace fs = std::filesystem;

fs::path models_folder()
{
    return shared_data() / "data/models/onnx";
}

/// Stored pictures are named from the root of the shared data's parent.
fs::path picture_of(const Json &meta)
{
    const std::string name = meta["preprocess"]["image"];
    return shared_data() / name.substr(name.find("data/"));
}

/// The decoder for that picture; JPEG with the exact inverse transform, as the tools that stored the references have
/// it.
std::string decoder_of(const fs::path &picture)
{
    return picture.extension() == ".png" ? "decodebin" : "jpegdec idct-method=islow";
}

/// What the elements need to be told beyond the model: the size, where the model leaves it open.
std::string size_properties(const Json &meta)
{
    const auto size = meta["preprocess"]["net_size_wh"].get<std::vector<int>>();
    return " input-width=" + std::to_string(size[0]) + " input-height=" + std::to_string(size[1]);
}

bool leaves_size_open(const std::string &name)
{
    return name == "yunet_n_dynamic" || name.find("ppocr") != std::string::npos;
}

struct Seen {
    std::vector<Box> boxes;
    std::vector<std::pair<int, double>> classes; ///< label_id and confidence
};

void collect_classes(GstBuffer *buffer, Seen &seen)
{
    gpointer state = nullptr;
    while (GstMeta *meta =
               gst_buffer_iterate_meta_filtered(buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE)) {
        auto *region = reinterpret_cast<GstVideoRegionOfInterestMeta *>(meta);
        for (GList *item = region->params; item; item = item->next) {
            auto *params = static_cast<GstStructure *>(item->data);
            int id = 0;
            double confidence = 0;
            if (g_str_has_prefix(gst_structure_get_name(params), "classification") &&
                gst_structure_get(params, "label_id", G_TYPE_INT, &id, "confidence", G_TYPE_DOUBLE, &confidence,
                                  nullptr))
                seen.classes.emplace_back(id, confidence);
        }
    }
}

void add_region(GstBuffer *buffer, const std::vector<int> &crop)
{
    gst_buffer_add_video_region_of_interest_meta(buffer, "crop", static_cast<guint>(crop[0]),
                                                 static_cast<guint>(crop[1]), static_cast<guint>(crop[2]),
                                                 static_cast<guint>(crop[3]));
}

Seen look(const std::string &element, const std::string &name, const Json &meta, const std::string &further = "")
{
    const bool cropped = meta["preprocess"].contains("crop_xywh") && !meta["preprocess"]["crop_xywh"].is_null();
    GstElement *pipeline = make_pipeline(
        "filesrc location=" + picture_of(meta).string() + " ! " + decoder_of(picture_of(meta)) + " ! videoconvert ! " +
        element + " name=element model=" + (models_folder() / (name + ".onnx")).string() +
        (leaves_size_open(name) ? size_properties(meta) : "") +
        " inference-region=" + (cropped ? "roi-list" : "full-frame") + further + " ! fakesink");
    Seen seen;
    if (!pipeline)
        return seen;
    if (cropped)
        watch(pipeline, "element", "sink", [&](GstPad *, GstBuffer *buffer) {
            add_region(buffer, meta["preprocess"]["crop_xywh"].get<std::vector<int>>());
        });
    watch(pipeline, "element", "src", [&](GstPad *pad, GstBuffer *buffer) {
        const auto [width, height] = frame_size(pad);
        seen.boxes = boxes_on(buffer, width, height);
        collect_classes(buffer, seen);
        for (Box &box : seen.boxes)
            box = clipped(box, width, height);
    });
    EXPECT_EQ(play_and_free(pipeline), "");
    return seen;
}

class Detectors : public testing::TestWithParam<const char *> {};

/// The stored boxes, from the model file and the picture alone: IoU at least 0.9, score within 0.03, none more.
TEST_P(Detectors, FindTheStoredBoxes)
{
    SKIP_WITHOUT_SHARED_DATA();
    const Json meta = read_json(models_folder() / (std::string(GetParam()) + ".expected/meta.json"));
    double least_score = 1;
    for (const Json &detection : meta["decoded"])
        least_score = std::min(least_score, detection["score"].get<double>());
    // A box just above the row's own threshold may come out just below it.
    const Seen seen = look("leatdetect", GetParam(), meta,
                           least_score < 0.45 ? " threshold=" + std::to_string(least_score - 0.03) : "");
    std::vector<bool> taken(seen.boxes.size(), false);
    for (const Json &detection : meta["decoded"]) {
        const Box wanted = clipped(box_of(detection), 1e9, 1e9);
        const int match = best_match(wanted, seen.boxes, 0.9);
        ASSERT_GE(match, 0) << detection.dump();
        taken[static_cast<size_t>(match)] = true;
        EXPECT_NEAR(seen.boxes[static_cast<size_t>(match)].score, wanted.score, 0.03) << detection.dump();
    }
    for (size_t i = 0; i < taken.size(); i++)
        EXPECT_TRUE(taken[i] || seen.boxes[i].score < least_score + 0.03)
            << "a box that nobody stored, score " << seen.boxes[i].score << " class " << seen.boxes[i].label_id;
}

INSTANTIATE_TEST_SUITE_P(Stored, Detectors,
                         testing::Values("FastestDet", "blazeface_int8_dynamic", "ch_ppocr_mobile_v2.0_det_infer",
                                         "deimv2_hgnetv2_atto_coco", "mp_face_detection_short_range",
                                         "mp_palm_detection_lite", "nanodet_m_320", "version-RFB-320",
                                         "version-slim-320", "yolox_nano", "yunet_n_320_320", "yunet_n_dynamic"));

/// Its stored case has no decoded boxes; the same network with the priors applied has them, on the same picture.
TEST(Detectors, RawOffsetsGiveTheBoxesOfTheModelWithPriorsApplied)
{
    SKIP_WITHOUT_SHARED_DATA();
    const Json meta = read_json(models_folder() / "version-RFB-320.expected/meta.json");
    const Seen applied = look("leatdetect", "version-RFB-320", meta),
               raw = look("leatdetect", "version-RFB-320_without_postprocessing", meta);
    ASSERT_EQ(applied.boxes.size(), raw.boxes.size());
    EXPECT_GT(raw.boxes.size(), 3u);
    for (const Box &box : applied.boxes)
        EXPECT_GE(best_match(box, raw.boxes, 0.95), 0);
}

class Classifiers : public testing::TestWithParam<const char *> {};

TEST_P(Classifiers, GiveTheStoredClass)
{
    SKIP_WITHOUT_SHARED_DATA();
    const Json meta = read_json(models_folder() / (std::string(GetParam()) + ".expected/meta.json"));
    const Seen seen = look("leatclassify", GetParam(), meta);
    ASSERT_FALSE(seen.classes.empty());
    EXPECT_EQ(seen.classes[0].first, meta["decoded"][0]["label_id"].get<int>());
    EXPECT_NEAR(seen.classes[0].second, meta["decoded"][0]["score"].get<double>(), 0.03);
}

INSTANTIATE_TEST_SUITE_P(Stored, Classifiers,
                         testing::Values("SqueezeNet_fp16", "ch_ppocr_mobile_v2.0_cls_infer", "cifar10_classifier",
                                         "mnist", "mobilenet_v2_quant", "mobilenetv2-12-qdq", "open-closed-eye"));

} // namespace
} // namespace leat
