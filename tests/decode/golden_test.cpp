#include "devices/core.h"
#include "inference/decode/decoder.h"
#include "preprocess/geometry.h"
#include "support/shared_data.h"
#include "tools/npy.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>

using namespace leat;
namespace fs = std::filesystem;
using json = nlohmann::json;

namespace {

/// A model's stored outputs and what was found in them, in pixels of the picture.
struct Golden {
    json meta;
    std::vector<Tensor> outputs;
    fs::path folder;

    explicit Golden(const fs::path &expected) : folder(expected)
    {
        std::ifstream file(folder / "meta.json");
        meta = json::parse(file);
        for (const json &output : meta["outputs"])
            outputs.push_back(read_npy(folder / output["file"].get<std::string>()));
    }

    /// In the order of the model, which need not be the stored one.
    std::vector<Tensor> outputs_of(const ModelFacts &facts) const
    {
        std::vector<Tensor> ordered(facts.outputs.size());
        for (size_t i = 0; i < ordered.size(); i++)
            for (size_t j = 0; j < outputs.size(); j++)
                if (meta["outputs"][j]["name"] == facts.outputs[i].name)
                    ordered[i] = outputs[j];
        return ordered;
    }
};

/// The spec that the stored preprocessing amounts to; size and layout included.
void expect_same_preprocessing(const ImageSpec &spec, const json &stored)
{
    static const std::map<std::string, ColourOrder> orders = {
        {"RGB", ColourOrder::rgb}, {"BGR", ColourOrder::bgr}, {"GRAY", ColourOrder::gray}};
    static const std::map<std::string, ResizeMode> resizes = {{"stretch", ResizeMode::stretch},
                                                              {"letterbox_center", ResizeMode::letterbox},
                                                              {"letterbox_tl", ResizeMode::letterbox_corner}};
    EXPECT_EQ(spec.order, orders.at(stored["color"]));
    EXPECT_EQ(spec.resize, resizes.at(stored["resize"]));
    EXPECT_EQ(spec.layout, stored["layout"] == "NHWC" ? Layout::nhwc : Layout::nchw);
    EXPECT_EQ(spec.type, stored["dtype"] == "float16" ? Type::f16 : Type::f32);
    for (size_t c = 0; c < 3; c++) {
        const auto number = [&](const char *key) {
            return stored[key][std::min(c, stored[key].size() - 1)].get<float>();
        };
        EXPECT_NEAR(spec.mul[c], number("scale"), 1e-5) << "channel " << c;
        EXPECT_NEAR(spec.add[c], -number("mean") * number("scale"), 1e-4) << "channel " << c;
    }
    const bool area = stored["steps"][1].get<std::string>().find("INTER_AREA") != std::string::npos;
    EXPECT_EQ(spec.filter, area ? Filter::area : Filter::bilinear);
    for (const std::string step : stored["steps"])
        if (const size_t pad = step.find("pad with "); pad != std::string::npos) {
            EXPECT_EQ(spec.pad, std::stof(step.substr(pad + 9)));
        }
}

/// The size of the stored case, where the model leaves it open.
void use_stored_size(ImageSpec &spec, const ModelFacts &facts, const json &stored)
{
    const Shape &shape = facts.inputs[find_image_input(facts)].shape;
    if (std::count(shape.begin() + 1, shape.end(), -1) == 0) {
        EXPECT_EQ(spec.width, stored["net_size_wh"][0]);
        EXPECT_EQ(spec.height, stored["net_size_wh"][1]);
    }
    spec.width = stored["net_size_wh"][0];
    spec.height = stored["net_size_wh"][1];
}

Object in_frame(Object object, const Affine &matrix)
{
    const Point first = to_frame(matrix, {object.x1, object.y1}), second = to_frame(matrix, {object.x2, object.y2});
    object.x1 = first.x, object.y1 = first.y, object.x2 = second.x, object.y2 = second.y;
    for (auto &point : object.keypoints) {
        const Point p = to_frame(matrix, {point.x, point.y});
        point.x = p.x, point.y = p.y;
    }
    return object;
}

Object stored_object(const json &stored)
{
    const auto &box = stored["box_xyxy_px"];
    Object object{box[0], box[1], box[2], box[3], stored["score"], stored["label_id"], {}};
    for (const json &point : stored.value("keypoints_px", json::array()))
        object.keypoints.push_back({point[0], point[1], 1});
    return object;
}

std::string text(const Object &o)
{
    std::ostringstream stream;
    stream << "label " << o.label_id << " score " << o.score << " (" << o.x1 << ", " << o.y1 << ", " << o.x2 << ", "
           << o.y2 << ")";
    return stream.str();
}

/// Each stored object must be found once: IoU at least 0.9, score within 0.03, the same label, points within a
/// pixel and 1 % of the box; and nothing else may be found.
void expect_objects(std::vector<Object> found, const json &decoded, const std::vector<std::string> &labels)
{
    for (const json &stored : decoded) {
        const Object want = stored_object(stored);
        const auto match = std::find_if(found.begin(), found.end(), [&](const Object &object) {
            return object.label_id == want.label_id && std::abs(object.score - want.score) <= 0.03f &&
                   intersection_over_union(object, want) >= 0.9f;
        });
        if (match == found.end()) {
            ADD_FAILURE() << "missing: " << text(want);
            continue;
        }
        ASSERT_LT(size_t(want.label_id), labels.size());
        EXPECT_EQ(stored["label"].get<std::string>().rfind(labels[size_t(want.label_id)], 0), 0) << stored["label"];
        ASSERT_EQ(match->keypoints.size(), want.keypoints.size());
        const float tolerance = 1 + 0.01f * std::max(want.x2 - want.x1, want.y2 - want.y1);
        for (size_t i = 0; i < want.keypoints.size(); i++) {
            EXPECT_NEAR(match->keypoints[i].x, want.keypoints[i].x, tolerance);
            EXPECT_NEAR(match->keypoints[i].y, want.keypoints[i].y, tolerance);
        }
        found.erase(match);
    }
    for (const Object &object : found)
        ADD_FAILURE() << "found besides: " << text(object);
}

struct Detector {
    std::string model, decoder;
    float width, height;     ///< of the picture
    std::string expected_of; ///< model whose stored objects count, when this one has none
};

void PrintTo(const Detector &detector, std::ostream *out)
{
    *out << detector.model;
}

std::string test_name(std::string model)
{
    std::replace_if(
        model.begin(), model.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
    return model;
}

fs::path onnx_folder()
{
    return shared_data() / "data" / "models" / "onnx";
}

class Detectors : public testing::TestWithParam<Detector> {};

TEST_P(Detectors, FindTheStoredObjects)
{
    SKIP_WITHOUT_SHARED_DATA();
    const Detector &c = GetParam();
    const Golden golden(onnx_folder() / (c.model + ".expected"));
    const ModelFacts facts = facts_of(*read_shared((onnx_folder() / (c.model + ".onnx")).string()));
    const Choice choice = choose_decoder(facts, Task::detect);
    EXPECT_EQ(choice.decoder->name, c.decoder);
    ImageSpec spec = choice.decoder->preprocessing(facts);
    expect_same_preprocessing(spec, golden.meta["preprocess"]);
    use_stored_size(spec, facts, golden.meta["preprocess"]);
    for (const auto &[name, tensor] : choice.decoder->constants(facts, spec)) {
        const Tensor stored = read_npy(golden.folder / ("input_" + name + ".npy"));
        EXPECT_EQ(tensor.type(), stored.type());
        EXPECT_EQ(tensor.shape(), stored.shape());
        spec.width = int(stored.to_int64()[0]), spec.height = int(stored.to_int64()[1]);
    }
    const Affine matrix = fit(spec, {0, 0, c.width, c.height});
    std::vector<Object> objects = choice.decoder->decode(facts, spec, {}, golden.outputs).objects;
    for (Object &object : objects)
        object = in_frame(std::move(object), matrix);
    const json decoded = c.expected_of.empty() ? golden.meta["decoded"]
                                               : Golden(onnx_folder() / (c.expected_of + ".expected")).meta["decoded"];
    const auto named = labels_in(facts.metadata);
    expect_objects(std::move(objects), decoded, named.empty() ? choice.decoder->labels(facts) : named);
}

INSTANTIATE_TEST_SUITE_P(
    Onnx, Detectors,
    testing::Values(Detector{"FastestDet", "fastestdet", 768, 576, ""},
                    Detector{"blazeface_int8_dynamic", "blazeface", 1200, 800, ""},
                    Detector{"ch_ppocr_mobile_v2.0_det_infer", "text-db", 487, 206, ""},
                    Detector{"deimv2_hgnetv2_atto_coco", "detr", 768, 576, ""},
                    Detector{"mp_face_detection_short_range", "blazeface", 1200, 800, ""},
                    Detector{"mp_palm_detection_lite", "blazeface", 640, 480, ""},
                    Detector{"nanodet_m_320", "nanodet", 640, 424, ""},
                    Detector{"version-RFB-320", "ssd-boxes", 1024, 679, ""},
                    Detector{"version-RFB-320_without_postprocessing", "ssd-prior-boxes", 1024, 679, "version-RFB-320"},
                    Detector{"version-slim-320", "ssd-boxes", 1024, 715, ""},
                    Detector{"yolox_nano", "yolox", 768, 576, ""}, Detector{"yunet_n_320_320", "yunet", 640, 482, ""},
                    Detector{"yunet_n_dynamic", "yunet", 1200, 800, ""}),
    [](const auto &suite) { return test_name(suite.param.model); });

/// The file of a model of the shared OpenVINO models, "NAME/PRECISION".
fs::path ir_file(const std::string &model)
{
    return shared_data() / "data" / "models" / "openvino" / model / (model.substr(0, model.find('/')) + ".xml");
}

fs::path expected_of(fs::path model)
{
    return model.replace_extension(".expected");
}

/// DetectionOutput heads of OpenVINO models.
struct SsdModel {
    std::string model;
    float width, height, threshold; ///< size of the picture
};

void PrintTo(const SsdModel &model, std::ostream *out)
{
    *out << model.model;
}

class DetectionOutputs : public testing::TestWithParam<SsdModel> {};

TEST_P(DetectionOutputs, FindTheStoredObjects)
{
    SKIP_WITHOUT_SHARED_DATA();
    const SsdModel &c = GetParam();
    const Golden golden(expected_of(ir_file(c.model)));
    const ModelFacts facts = facts_of(*read_shared(ir_file(c.model).string()));
    const Choice choice = choose_decoder(facts, Task::detect);
    EXPECT_EQ(choice.decoder->name, "detection-output");
    const ImageSpec spec = choice.decoder->preprocessing(facts);
    expect_same_preprocessing(spec, golden.meta["preprocess"]);
    const Affine matrix = fit(spec, {0, 0, c.width, c.height});
    auto objects = choice.decoder->decode(facts, spec, {.threshold = c.threshold}, golden.outputs).objects;
    for (Object &object : objects)
        object = in_frame(std::move(object), matrix);
    expect_objects(std::move(objects), golden.meta["decoded"], choice.decoder->labels(facts));
}

INSTANTIATE_TEST_SUITE_P(OpenVino, DetectionOutputs,
                         testing::Values(SsdModel{"face-detection-adas-0001/FP16", 1024, 715, -1},
                                         SsdModel{"face-detection-retail-0004/FP32", 1024, 679, -1},
                                         SsdModel{"face-detection-retail-0004/FP16-irv10", 1024, 679, -1},
                                         SsdModel{"face-detection-retail-0004/FP16-INT8", 1024, 679, -1},
                                         SsdModel{"face-detection-retail-0004/FP16-INT8-irv10", 1024, 679, -1},
                                         SsdModel{"person-detection-retail-0013/FP16", 640, 480, -1},
                                         SsdModel{"person-vehicle-bike-detection-crossroad-0078/FP16", 960, 638, -1},
                                         SsdModel{"vehicle-license-plate-detection-barrier-0106/FP16-INT8", 640, 480,
                                                  0.4f}),
                         [](const auto &suite) { return test_name(suite.param.model); });

class Classifiers : public testing::TestWithParam<std::string> {};

/// The preprocessing, the best class and the scores that are stored with the model.
void expect_stored_classes(const fs::path &model)
{
    const Golden golden(expected_of(model));
    const ModelFacts facts = facts_of(*read_shared(model.string()));
    const Choice choice = choose_decoder(facts, Task::classify);
    EXPECT_EQ(choice.decoder->name, "classifier");
    ImageSpec spec = choice.decoder->preprocessing(facts);
    expect_same_preprocessing(spec, golden.meta["preprocess"]);
    use_stored_size(spec, facts, golden.meta["preprocess"]);
    const auto classes = choice.decoder->decode(facts, spec, {}, golden.outputs).classes;
    const auto labels = choice.decoder->labels(facts);
    ASSERT_FALSE(classes.empty());
    EXPECT_EQ(classes[0].label_id, golden.meta["decoded"][0]["label_id"]);
    for (const json &stored : golden.meta["decoded"]) {
        const int id = stored["label_id"];
        const auto found =
            std::find_if(classes.begin(), classes.end(), [&](const auto &c) { return c.label_id == id; });
        ASSERT_NE(found, classes.end()) << "class " << id;
        EXPECT_NEAR(found->score, stored["score"].get<float>(), 1e-3) << "class " << id;
        if (!labels.empty()) {
            EXPECT_EQ(labels.at(size_t(id)), stored["label"].get<std::string>());
        }
    }
}

TEST_P(Classifiers, GiveTheStoredClasses)
{
    SKIP_WITHOUT_SHARED_DATA();
    expect_stored_classes(onnx_folder() / (GetParam() + ".onnx"));
}

INSTANTIATE_TEST_SUITE_P(Onnx, Classifiers,
                         testing::Values("SqueezeNet_fp16", "ch_ppocr_mobile_v2.0_cls_infer", "cifar10_classifier",
                                         "mnist", "mobilenet_v2_quant", "mobilenetv2-12-qdq", "open-closed-eye"),
                         [](const auto &suite) { return test_name(suite.param); });

class IrClassifiers : public testing::TestWithParam<std::string> {};

TEST_P(IrClassifiers, GiveTheStoredClasses)
{
    SKIP_WITHOUT_SHARED_DATA();
    expect_stored_classes(ir_file(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(OpenVino, IrClassifiers,
                         testing::Values("SampLeNet/FP32", "open-closed-eye-0001/FP16", "open-closed-eye-0001/FP32"),
                         [](const auto &suite) { return test_name(suite.param); });

/// Heads whose stored results are a map of scores by label, "OUTPUT" or the whole.
struct Heads {
    std::string model;
    std::map<std::string, std::vector<std::string>> labels; ///< of each output
};

void PrintTo(const Heads &heads, std::ostream *out)
{
    *out << heads.model;
}

class SeveralHeads : public testing::TestWithParam<Heads> {};

TEST_P(SeveralHeads, GiveTheStoredScores)
{
    SKIP_WITHOUT_SHARED_DATA();
    const Golden golden(expected_of(ir_file(GetParam().model)));
    const ModelFacts facts = facts_of(*read_shared(ir_file(GetParam().model).string()));
    const Choice choice = choose_decoder(facts, Task::classify);
    const ImageSpec spec = choice.decoder->preprocessing(facts);
    expect_same_preprocessing(spec, golden.meta["preprocess"]);
    const auto classes = choice.decoder->decode(facts, spec, {.max_objects = 100}, golden.outputs_of(facts)).classes;
    size_t expected = 0;
    for (const auto &[output, labels] : GetParam().labels) {
        const json &decoded = golden.meta["decoded"], &scores = decoded.contains(output) ? decoded[output] : decoded;
        expected += labels.size();
        for (const Classification &found : classes)
            if (found.output == output) {
                EXPECT_NEAR(found.score, scores[labels.at(size_t(found.label_id))].get<float>(), 1e-3);
            }
    }
    EXPECT_EQ(classes.size(), expected);
}

const std::map<std::string, std::vector<std::string>> vehicle = {
    {"color", {"white", "gray", "yellow", "red", "green", "blue", "black"}}, {"type", {"car", "bus", "truck", "van"}}};

INSTANTIATE_TEST_SUITE_P(OpenVino, SeveralHeads,
                         testing::Values(Heads{"age-gender-recognition-retail-0013/FP16-INT8",
                                               {{"prob", {"female", "male"}}}},
                                         Heads{"vehicle-attributes-recognition-barrier-0039/FP16-INT8", vehicle},
                                         Heads{"vehicle-attributes-recognition-barrier-0039/FP16-irv11", vehicle},
                                         Heads{"vehicle-attributes-recognition-barrier-0039/FP32", vehicle}),
                         [](const auto &suite) { return test_name(suite.param.model); });

TEST(Landmarks, AreNotTakenForClasses)
{
    SKIP_WITHOUT_SHARED_DATA();
    const ModelFacts facts = facts_of(*read_shared(ir_file("landmarks-regression-retail-0009/FP16").string()));
    EXPECT_THROW(choose_decoder(facts, Task::classify), Error);
    EXPECT_EQ(choose_decoder(facts, Task::classify, "classifier").decoder->name, "classifier");
}

} // namespace
