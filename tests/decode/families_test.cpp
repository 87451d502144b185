#include "support.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

using namespace leat;

namespace {

// Families and corners that no stored model covers: numbers are put where the family's papers and exporters put them.

const Shape small_picture{1, 3, 64, 64}; // grids of 8x8, 4x4 and 2x2 cells
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

Tensor zeros(Shape shape)
{
    const auto count = size_t(count_of(shape));
    return Tensor::of<float>(std::move(shape), std::vector<float>(count));
}

struct Case {
    ModelFacts facts;
    std::vector<Tensor> outputs;
};

std::vector<Object> decode(const Decoder &decoder, const Case &c, const DecodeOptions &options = {})
{
    return decoder.decode(c.facts, decoder.preprocessing(c.facts), options, c.outputs).objects;
}

void expect_box(const Object &object, std::array<float, 4> box, float score, int label_id)
{
    EXPECT_NEAR(object.x1, box[0], 0.02);
    EXPECT_NEAR(object.y1, box[1], 0.02);
    EXPECT_NEAR(object.x2, box[2], 0.02);
    EXPECT_NEAR(object.y2, box[3], 0.02);
    EXPECT_NEAR(object.score, score, 1e-3);
    EXPECT_EQ(object.label_id, label_id);
}

/// [1, 84, 7]: two classes; the cell in column 1, row 2 of stride 16 says something.
Case with_objectness(std::vector<std::string> head, std::array<float, 7> row)
{
    Case c{facts_from(small_picture, {output("o", {1, 84, 7})}, {std::move(head)}), {zeros({1, 84, 7})}};
    std::copy(row.begin(), row.end(), c.outputs[0].data<float>() + 7 * (64 + 2 * 4 + 1));
    return c;
}

TEST(YoloX, AppliesGridAndStrideToRawRows)
{
    const Case c =
        with_objectness({"Concat", "Sigmoid"}, {0.5f, 0.25f, std::log(1.f), std::log(2.f), 0.8f, 0.1f, 0.9f});
    const auto objects = decode(row("yolox"), c);
    ASSERT_EQ(objects.size(), 1u);
    expect_box(objects[0], {16, 20, 32, 52}, 0.72f, 1);
}

TEST(YoloX, TakesBoxesThatTheGraphComputedAsTheyAre)
{
    const Case c = with_objectness({"Concat", "Sigmoid", "Exp", "Mul"}, {24, 36, 16, 32, 0.8f, 0.9f, 0.1f});
    const auto objects = decode(row("yolox"), c);
    ASSERT_EQ(objects.size(), 1u);
    expect_box(objects[0], {16, 20, 32, 52}, 0.72f, 0);
}

TEST(YoloV5, ReadsCentresAndSizes)
{
    const Case c = with_objectness({"Concat", "Sigmoid", "Mul"}, {24, 36, 16, 32, 0.8f, 0.9f, 0.1f});
    const auto objects = decode(row("yolov5"), c);
    ASSERT_EQ(objects.size(), 1u);
    expect_box(objects[0], {16, 20, 32, 52}, 0.72f, 0);
    const ImageSpec spec = row("yolov5").preprocessing(c.facts);
    EXPECT_EQ(spec.order, ColourOrder::rgb);
    EXPECT_EQ(spec.resize, ResizeMode::letterbox);
    EXPECT_EQ(spec.pad, 114);
    EXPECT_FLOAT_EQ(spec.mul[0], 1.f / 255);
}

/// [1, rows, 84] with one prediction in column 10.
Case yolov8_case(int64_t rows, std::vector<float> column)
{
    Case c{facts_from(small_picture, {output("output0", {1, rows, 84})}, {{"Concat", "Sigmoid", "Mul"}}),
           {zeros({1, rows, 84})}};
    for (size_t i = 0; i < column.size(); i++)
        c.outputs[0].data<float>()[i * 84 + 10] = column[i];
    return c;
}

TEST(YoloV8, ReadsColumns)
{
    const auto objects = decode(row("yolov8"), yolov8_case(7, {24, 36, 16, 32, 0.1f, 0.3f, 0.6f}));
    ASSERT_EQ(objects.size(), 1u);
    expect_box(objects[0], {16, 20, 32, 52}, 0.6f, 2);
}

TEST(YoloV8, FollowsTheMetadataThatUltralyticsWrites)
{
    Case c = yolov8_case(5 + 6, {24, 36, 16, 32, 0.6f, 20, 30, 0.9f, 21, 31, 0.8f});
    c.facts.metadata = {{"task", "pose"}, {"kpt_shape", "[2, 3]"}, {"names", "{0: 'person'}"}};
    EXPECT_EQ(chosen(c.facts), "yolov8");
    const auto objects = decode(row("yolov8"), c);
    ASSERT_EQ(objects.size(), 1u);
    ASSERT_EQ(objects[0].keypoints.size(), 2u);
    EXPECT_EQ(objects[0].keypoints[1].x, 21);
    EXPECT_EQ(objects[0].keypoints[1].y, 31);
    EXPECT_FLOAT_EQ(objects[0].keypoints[1].score, 0.8f);

    Case masks = yolov8_case(4 + 2 + 3, {24, 36, 16, 32, 0.1f, 0.3f, 9, 9, 9});
    masks.facts.metadata = {{"task", "segment"}, {"names", "{0: 'a', 1: 'b'}"}};
    const auto with_masks = decode(row("yolov8"), masks);
    ASSERT_EQ(with_masks.size(), 1u);
    EXPECT_EQ(with_masks[0].label_id, 1);

    masks.facts.metadata["task"] = "obb";
    EXPECT_NE(row("yolov8").why_not(masks.facts), "");
}

TEST(YoloV8, TakesSizeAndResizeTypeFromTheFile)
{
    ModelFacts facts = facts_from({1, 3, -1, -1}, {output("output0", {1, 6, -1})}, {{"Concat", "Sigmoid", "Mul"}});
    EXPECT_EQ(row("yolov8").preprocessing(facts).width, 640);
    facts.metadata = {{"imgsz", "[384, 672]"}, {"resize_type", "stretch"}};
    const ImageSpec spec = row("yolov8").preprocessing(facts);
    EXPECT_EQ(spec.width, 672);
    EXPECT_EQ(spec.height, 384);
    EXPECT_EQ(spec.resize, ResizeMode::stretch);
}

TEST(YoloEndToEnd, ReadsRowsAndSuppressesOnlyWhenAsked)
{
    Case c{facts_from(small_picture, {output("o", {1, 300, 6})}, {{"TopK"}}), {zeros({1, 300, 6})}};
    const float rows[] = {1, 2, 30, 40, 0.5f, 7, 1, 2, 30, 41, 0.9f, 7, 5, 5, 9, 9, 0.1f, 3};
    std::copy(std::begin(rows), std::end(rows), c.outputs[0].data<float>());
    const auto objects = decode(row("yolo-end-to-end"), c);
    ASSERT_EQ(objects.size(), 2u);
    expect_box(objects[0], {1, 2, 30, 41}, 0.9f, 7);
    EXPECT_EQ(decode(row("yolo-end-to-end"), c, {.iou_threshold = 0.5f}).size(), 1u);
    EXPECT_EQ(decode(row("yolo-end-to-end"), c, {.max_objects = 1}).size(), 1u);
    EXPECT_EQ(decode(row("yolo-end-to-end"), c, {.threshold = 0.05f}).size(), 3u);
}

TEST(AnyRow, DropsNumbersThatAreNone)
{
    for (const auto &values : std::vector<std::vector<float>>{{24, 36, 16, 32, nan_value, nan_value, nan_value},
                                                              {nan_value, 36, 16, 32, 0.9f, 0, 0},
                                                              {24, 36, INFINITY, 32, 0.9f, 0, 0}})
        EXPECT_TRUE(decode(row("yolov8"), yolov8_case(7, values)).empty());
    const auto objects = decode(row("yolov8"), yolov8_case(7, {24, 36, 16, 32, nan_value, 0.9f, nan_value}));
    EXPECT_LE(objects.size(), 1u);
    EXPECT_TRUE(decode(row("yolox"), with_objectness({"Sigmoid"}, {0, 0, 1000, 0, 0.9f, 0.9f, 0})).empty())
        << "exp overflows";
}

TEST(AnyRow, ReadsHalfPrecision)
{
    Case c = yolov8_case(7, {24, 36, 16, 32, 0.1f, 0.3f, 0.6f});
    c.outputs[0] = c.outputs[0].converted(Type::f16);
    const auto objects = decode(row("yolov8"), c);
    ASSERT_EQ(objects.size(), 1u);
    expect_box(objects[0], {16, 20, 32, 52}, 0.6f, 2);
}

TEST(AnyRow, RefusesOutputsThatBelongToAnotherSize)
{
    Case c = with_objectness({"Concat", "Sigmoid"}, {});
    c.outputs[0] = zeros({1, 21, 7});
    EXPECT_NE(message_of([&] { decode(row("yolox"), c); }).find("1x21x7"), std::string::npos);
    c.outputs[0] = zeros({84, 7});
    EXPECT_NE(message_of([&] { decode(row("yolox"), c); }).find("84x7"), std::string::npos);
    c.outputs.clear();
    EXPECT_NE(message_of([&] { decode(row("yolox"), c); }).find("missing"), std::string::npos);
}

TEST(AnyRow, SurvivesEmptyOutputs)
{
    Case v8 = yolov8_case(7, {});
    v8.outputs[0] = zeros({1, 7, 0});
    EXPECT_TRUE(decode(row("yolov8"), v8).empty());
    Case selected{facts_from(small_picture, {output("o", {1, -1, 6})}, {{"TopK"}}), {zeros({1, 0, 6})}};
    EXPECT_TRUE(decode(row("yolo-end-to-end"), selected).empty());
    Case ssd{facts_from(small_picture, {output("o", {1, 1, -1, 7})}), {zeros({1, 1, 0, 7})}};
    EXPECT_TRUE(decode(row("detection-output"), ssd).empty());
}

TEST(DetectionOutput, StopsAtTheEndMarkAndIgnoresWhatFollows)
{
    Case c{facts_from(small_picture, {output("o", {1, 1, 3, 7})}), {zeros({1, 1, 3, 7})}};
    const float rows[] = {0, 1, 0.9f, 0.25f, 0.5f, 0.75f, 1, -1, 0, 0, 0, 0, 0, 0, 0, 1, 0.9f, 0, 0, 1, 1};
    std::copy(std::begin(rows), std::end(rows), c.outputs[0].data<float>());
    const auto objects = decode(row("detection-output"), c);
    ASSERT_EQ(objects.size(), 1u);
    expect_box(objects[0], {16, 32, 48, 64}, 0.9f, 1);
}

TEST(Detr, PassesTheNetworksOwnSizeInTheInputsType)
{
    ModelFacts facts = facts_from({1, 3, 320, 640}, {});
    facts.inputs.push_back({"orig_target_sizes", Type::s32, {-1, 2}, false});
    const auto constants = row("detr").constants(facts, row("detr").preprocessing(facts));
    const Tensor &size = constants.at("orig_target_sizes");
    EXPECT_EQ(size.type(), Type::s32);
    EXPECT_EQ(size.to_int64(), (std::vector<int64_t>{640, 320}));
}

std::vector<Classification> classify(const ModelFacts &facts, const std::vector<Tensor> &outputs,
                                     const DecodeOptions &options = {})
{
    return row("classifier").decode(facts, row("classifier").preprocessing(facts), options, outputs).classes;
}

TEST(Classifier, TakesASoftmaxOnlyWhereTheGraphHasNone)
{
    const std::vector<Tensor> logits = {Tensor::of<float>({1, 3}, {1, 2, 3})};
    const std::vector<Port> port = {output("o", {1, 3})};
    const float expected = std::exp(3.f) / (std::exp(1.f) + std::exp(2.f) + std::exp(3.f));
    const auto raw = classify(facts_from(small_picture, port, {{"Add"}}), logits);
    ASSERT_EQ(raw.size(), 3u);
    EXPECT_EQ(raw[0].label_id, 2);
    EXPECT_EQ(raw[0].output, "o");
    EXPECT_NEAR(raw[0].score, expected, 1e-5);
    const std::vector<Tensor> chances = {Tensor::of<float>({1, 3}, {0.1f, 0.2f, 0.7f})};
    EXPECT_FLOAT_EQ(classify(facts_from(small_picture, port, {{"Softmax"}}), chances)[0].score, 0.7f);
    EXPECT_FLOAT_EQ(classify(facts_from(small_picture, port, {{"Reshape", "Sigmoid"}}), chances)[0].score, 0.7f);
    EXPECT_FLOAT_EQ(classify(facts_from(small_picture, port, {{"Div", "ReduceSum", "Exp"}}), chances)[0].score, 0.7f);
    EXPECT_FLOAT_EQ(classify(facts_from(small_picture, port), chances)[0].score, 0.7f) << "only the values tell";
    EXPECT_NEAR(classify(facts_from(small_picture, port), logits)[0].score, expected, 1e-5) << "only the values tell";
    const std::vector<Tensor> logs = {Tensor::of<float>({1, 3}, {-3, -1, -0.1f})};
    EXPECT_FLOAT_EQ(classify(facts_from(small_picture, port, {{"LogSoftmax"}}), logs)[0].score, std::exp(-0.1f));
}

TEST(Classifier, ReportsTheBestOfEachOutput)
{
    const ModelFacts facts =
        facts_from(small_picture, {output("age", {1, 1, 1, 1}), output("colour", {1, 3, 1, 1}), output("kind", {1, 2})},
                   {{"Sigmoid"}, {"Softmax"}, {"Softmax"}});
    EXPECT_EQ(chosen(facts, Task::classify), "classifier");
    const std::vector<Tensor> outputs = {zeros({1, 1, 1, 1}), Tensor::of<float>({1, 3, 1, 1}, {0.2f, 0.7f, 0.1f}),
                                         Tensor::of<float>({1, 2}, {0.5f, 0.5f})};
    const auto all = classify(facts, outputs);
    ASSERT_EQ(all.size(), 5u);
    EXPECT_EQ(all[0].output, "colour");
    EXPECT_EQ(all[0].label_id, 1);
    EXPECT_EQ(all[3].output, "kind");
    EXPECT_EQ(all[3].label_id, 0) << "equal scores go by number";
    EXPECT_EQ(classify(facts, outputs, {.max_objects = 1}).size(), 2u);
    EXPECT_EQ(classify(facts, outputs, {.threshold = 0.4f}).size(), 3u);
    EXPECT_TRUE(
        classify(facts, {zeros({1, 1, 1, 1}), Tensor::of<float>({1, 3, 1, 1}, {nan_value, nan_value, nan_value}),
                         Tensor::of<float>({1, 2}, {nan_value, nan_value})})
            .empty());
}

TEST(Classifier, AssumesThePreprocessingFromWhatTheFileTells)
{
    const auto spec = [](const ModelFacts &facts) { return row("classifier").preprocessing(facts); };
    ModelFacts facts = facts_from({1, 3, 224, 224}, {output("o", {1, 1000})}, {{}});
    EXPECT_NEAR(spec(facts).mul[0], 1 / 58.395f, 1e-6);
    facts.stem_ops = {"Sub", "Mul"};
    EXPECT_EQ(spec(facts).mul[0], 1);
    facts.stem_ops = {};
    facts.inputs[0].name = "data_0";
    EXPECT_EQ(spec(facts).add[2], -123);
    EXPECT_EQ(spec(facts).order, ColourOrder::bgr);
    facts.metadata["task"] = "classify";
    EXPECT_FLOAT_EQ(spec(facts).mul[0], 1.f / 255);
    const ModelFacts grey = facts_from({1, 1, 28, 28}, {output("Plus214_Output_0", {1, 10})}, {{"Add"}});
    EXPECT_EQ(spec(grey).order, ColourOrder::gray);
    EXPECT_EQ(spec(grey).mul[0], 1);
    const ModelFacts last = facts_from({1, 224, 224, 3}, {output("o", {1, 1001})}, {{}});
    EXPECT_EQ(spec(last).layout, Layout::nhwc);
    EXPECT_FLOAT_EQ(spec(last).add[0], -1);
}

} // namespace
