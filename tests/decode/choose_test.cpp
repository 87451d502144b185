#include "devices/core.h"
#include "support.h"
#include "support/shared_data.h"

#include <gtest/gtest.h>

#include <set>

using namespace leat;

namespace {

const Shape picture{1, 3, 64, 64}; // 84 cells of strides 8, 16, 32
using Ops = std::vector<std::vector<std::string>>;
const Ops raw_yolo{{"Transpose", "Concat", "Reshape", "Sigmoid"}};
const Ops yolo_with_exp{{"Concat", "Mul", "Add", "Exp", "Reshape", "Sigmoid"}};
const Ops yolo_without_exp{{"Concat", "Mul", "Add", "Pow", "Reshape", "Sigmoid"}};

void expect_contains(const std::string &text, std::initializer_list<const char *> parts)
{
    for (const char *part : parts)
        EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in: " << text;
}

TEST(Rows, HaveUniqueNamesAndEveryFunction)
{
    std::set<std::string_view> names;
    for (const Decoder *row : decoders()) {
        EXPECT_TRUE(names.insert(row->name).second) << row->name;
        EXPECT_FALSE(row->about.empty()) << row->name;
        EXPECT_TRUE(row->why_not && row->preprocessing && row->labels && row->constants && row->decode) << row->name;
    }
}

TEST(ChooseDecoder, TellsTheYoloFamiliesApart)
{
    EXPECT_EQ(chosen(facts_from(picture, {output("o", {1, 84, 85})}, raw_yolo)), "yolox");
    EXPECT_EQ(chosen(facts_from(picture, {output("o", {1, 84, 15})}, raw_yolo)), "yolox");
    EXPECT_EQ(chosen(facts_from(picture, {output("o", {1, 84, 15})}, yolo_with_exp)), "yolox");
    EXPECT_EQ(chosen(facts_from(picture, {output("o", {1, 84, 15})}, yolo_without_exp)), "yolov5");
    EXPECT_EQ(chosen(facts_from(picture, {output("o", {1, 252, 15})}, yolo_without_exp)), "yolov5");
    EXPECT_EQ(chosen(facts_from(picture, {output("o", {1, 252, 15})})), "yolov5");
    EXPECT_EQ(chosen(facts_from(picture, {output("o", {1, 14, 84})}, yolo_without_exp)), "yolov8");
    EXPECT_EQ(chosen(facts_from({-1, 3, -1, -1}, {output("o", {-1, 14, -1})}, yolo_without_exp)), "yolov8");
    EXPECT_EQ(chosen(facts_from({-1, 3, -1, -1}, {output("o", {-1, -1, 15})}, raw_yolo)), "yolox");
    EXPECT_EQ(chosen(facts_from(picture, {output("o", {1, 300, 6})}, {{"Concat", "TopK"}})), "yolo-end-to-end");
    EXPECT_EQ(chosen(facts_from({1, 3, -1, -1}, {output("o", {1, -1, 6})}, {{"Concat", "TopK", "Sigmoid", "Mul"}})),
              "yolo-end-to-end");
}

TEST(ChooseDecoder, NamesTheCandidatesWhenTheFileDoesNotTell)
{
    const ModelFacts facts = facts_from(picture, {output("o", {1, 84, 15})});
    expect_contains(message_of([&] { choose_decoder(facts, Task::detect); }), {"yolox (", "yolov5 (", "`decoder`"});
    EXPECT_EQ(chosen(facts, Task::detect, "yolov5"), "yolov5");
    EXPECT_EQ(chosen(facts, Task::detect, "yolox"), "yolox");
}

TEST(ChooseDecoder, GivesEveryRowsReasonWhenNoneFits)
{
    const ModelFacts facts = facts_from(picture, {output("mask", {1, 2, 64, 64})}, {{"Sigmoid"}});
    const std::string message = message_of([&] { choose_decoder(facts, Task::detect); });
    expect_contains(message, {"no decoder can detect", "\"mask\" 1x2x64x64", "yunet: it has 1 output, not 12"});
    for (const Decoder *row : decoders())
        if (row->task == Task::detect)
            expect_contains(message, {(std::string(row->name) + ": ").c_str()});
}

TEST(ChooseDecoder, RefusesANameThatDoesNotFitOrExist)
{
    const ModelFacts facts = facts_from(picture, {output("o", {1, 14, 84})}, yolo_without_exp);
    expect_contains(message_of([&] { choose_decoder(facts, Task::detect, "yunet"); }),
                    {"decoder \"yunet\" cannot read this model", "12"});
    expect_contains(message_of([&] { choose_decoder(facts, Task::detect, "yolo9000"); }),
                    {"no decoder \"yolo9000\"", "detect", "yolov8, "});
    expect_contains(message_of([&] { choose_decoder(facts, Task::classify, "yolov8"); }), {"classify", "classifier"});
}

TEST(ChooseDecoder, RefusesAFixedBatchAndModelsWithoutAPicture)
{
    const ModelFacts batch = facts_from({4, 3, 64, 64}, {output("o", {4, 14, 84})}, yolo_without_exp);
    expect_contains(message_of([&] { choose_decoder(batch, Task::detect); }), {"4x3x64x64", "batch size 1"});
    const ModelFacts sound = facts_from({1, 576}, {output("o", {1, 2})});
    expect_contains(message_of([&] { choose_decoder(sound, Task::classify); }), {"no input is a picture", "1x576"});
    ModelFacts two = facts_from(picture, {output("o", {1, 2})});
    two.inputs.push_back({"second", Type::f32, picture, false});
    expect_contains(message_of([&] { choose_decoder(two, Task::classify); }),
                    {"more than one input", "images", "second"});
}

TEST(ChooseDecoder, DoubtsMapsAndVectorsThatMayBeAnything)
{
    const ModelFacts map = facts_from(picture, {output("alpha", {1, 1, 64, 64})}, {{"Sigmoid"}});
    expect_contains(message_of([&] { choose_decoder(map, Task::detect); }),
                    {"it may be text-db", "`decoder` to \"text-db\""});
    EXPECT_EQ(chosen(map, Task::detect, "text-db"), "text-db");

    ModelFacts embedding = facts_from(picture, {output("v", {1, 128})}, {{"Reshape"}});
    expect_contains(message_of([&] { choose_decoder(embedding, Task::classify); }),
                    {"it may be classifier", "128 numbers", "`decoder` to \"classifier\""});
    EXPECT_EQ(chosen(embedding, Task::classify, "classifier"), "classifier");
    embedding.head_ops = {{"Softmax"}};
    EXPECT_EQ(chosen(embedding, Task::classify), "classifier");
}

TEST(ChooseDecoder, SaysWhatItAssumes)
{
    const ModelFacts facts = facts_from({1, 3, 224, 224}, {output("o", {1, 1000})}, {{}});
    expect_contains(choose_decoder(facts, Task::classify).reason, {"ImageNet", "`mean`", "\"o\" gets a softmax"});
    ModelFacts odd = facts_from(picture, {output("o", {1, 14, 84})}, yolo_without_exp);
    odd.metadata["resize_type"] = "crop";
    expect_contains(choose_decoder(odd, Task::detect).reason, {"resize_type \"crop\"", "`resize-mode`"});
}

TEST(ChooseDecoder, RefusesRealModelsOfOtherKinds)
{
    SKIP_WITHOUT_SHARED_DATA();
    const struct {
        const char *model;
        Task task;
        const char *part;
    } cases[] = {
        {"pytorch_super_resolution", Task::detect, "text-db: the picture input has no three channels"},
        {"pytorch_super_resolution", Task::classify, "not one score for each class"},
        {"mobilefacenet", Task::detect, "yolox: "},
        {"mobilefacenet", Task::classify, "from an embedding"},
        {"person-reidentification-retail-0288", Task::detect, "detr: "},
        {"person-reidentification-retail-0288", Task::classify, "from an embedding"},
        {"landmarks_68_pfld", Task::classify, "other measurements"},
        {"deeplab_v3_1_default_1", Task::detect, "fastestdet: "},
        {"en_number_mobile_v2.0_rec_infer", Task::detect, "yolov5: "},
        {"en_number_mobile_v2.0_rec_infer", Task::classify, "classifier: "},
        {"silero_vad_16k_op15", Task::detect, "no input is a picture"},
        {"yolox_nano", Task::classify, "classifier: "},
        {"mnist", Task::detect, "yunet: "},
    };
    for (const auto &c : cases) {
        const auto path = shared_data() / "data" / "models" / "onnx" / (std::string(c.model) + ".onnx");
        const ModelFacts facts = facts_of(*read_shared(path.string()));
        const std::string message = message_of([&] { choose_decoder(facts, c.task); });
        EXPECT_NE(message.find(c.part), std::string::npos) << c.model << ": " << message;
    }
}

TEST(FactsOf, HeadsEndAtTheLastConvolutionAndLeaveShapeArithmeticOut)
{
    const Graph graph = parse(R"(graph "g"
metadata "names" = "{0: 'cat'}"
input %0:f32[1x3x8x8] "x"
const %1:f32[4x3x1x1] "w" = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}
const %2:f32[] "half" = {0.5}
%3:f32[*] "scaled" = Mul(%0, %2) "n"
%4:f32[*] "c" = Conv(%3, %1) "n"
%5:s64[*] "s" = Shape(%4) "n"
%6:s64[*] "t" = Add(%5, %5) "n"
%7:f32[*] "r" = Reshape(%4, %6) "n"
%8:f32[*] "y" = Sigmoid(%7) "n"
output %8
)");
    const ModelFacts facts = facts_of(graph);
    EXPECT_EQ(facts.name, "g");
    EXPECT_EQ(facts.metadata.at("names"), "{0: 'cat'}");
    EXPECT_EQ(facts.inputs.at(0).name, "x");
    EXPECT_TRUE(facts.inputs.at(0).image);
    EXPECT_EQ(facts.ops, (std::vector<std::string>{"Mul", "Conv", "Shape", "Add", "Reshape", "Sigmoid"}));
    EXPECT_EQ(facts.head_ops, (Ops{{"Sigmoid", "Reshape"}}));
    EXPECT_EQ(facts.stem_ops, (std::vector<std::string>{"Mul"}));
}

TEST(FactsOf, SettlesSizesThatDoNotDependOnThePicture)
{
    Graph graph = parse(R"(graph "g"
input %0:f32[?x3x?x?] "x"
const %1:s64[1] "zero" = {0}
const %2:s64[1] "three" = {3}
%3:s64[*] "s" = Shape(%0) "n3"
%4:s64[*] "b" = Gather(%3, %1) "n4"
%5:s64[*] "t" = Concat(%4, %2) {axis=0} "n5"
%6:f32[*] "m" = GlobalAveragePool(%0) "n6"
%7:f32[*] "y" = Reshape(%6, %5) "n7"
%8:f32[*] "z" = Relu(%0) "n8"
output %7
output %8
)");
    infer_shapes(graph);
    ASSERT_EQ(graph.values[graph.outputs[0]].shape, (Shape{-1, -1}));
    const ModelFacts facts = facts_of(graph);
    EXPECT_EQ(facts.outputs[0].shape, (Shape{-1, 3}));
    EXPECT_EQ(facts.outputs[1].shape, (Shape{-1, 3, -1, -1}));
}

TEST(FindImageInput, TakesTheOneWithFourAxesAndOneOrThreeChannels)
{
    ModelFacts facts;
    facts.inputs = {{"size", Type::s64, {1, 2}, false}, {"x", Type::u8, {1, 64, 32, 3}, false}};
    EXPECT_EQ(find_image_input(facts), 1u);
    const ImageSpec spec = plain_preprocessing(facts);
    EXPECT_EQ(spec.layout, Layout::nhwc);
    EXPECT_EQ(spec.width, 32);
    EXPECT_EQ(spec.height, 64);
    EXPECT_EQ(spec.type, Type::u8);
    facts.inputs = {{"x", Type::f32, {-1, 1, -1, -1}, false}};
    EXPECT_EQ(plain_preprocessing(facts).order, ColourOrder::gray);
    EXPECT_EQ(plain_preprocessing(facts).width, 0);
    facts.inputs = {{"x", Type::f32, {-1, -1, -1, -1}, false}};
    EXPECT_EQ(find_image_input(facts), 0u);
    facts.inputs = {};
    expect_contains(message_of([&] { find_image_input(facts); }), {"no input is a picture"});
}

TEST(LabelsIn, ReadsWhatExportersWrite)
{
    using Labels = std::vector<std::string>;
    const auto labels = [](const char *key, const char *text) { return labels_in({{key, text}}); };
    EXPECT_EQ(labels("names", "{0: 'person', 1: \"driver's seat\"}"), (Labels{"person", "driver's seat"}));
    EXPECT_EQ(labels("names", "{1: 'b', 0: 'it\\'s'}"), (Labels{"it's", "b"}));
    EXPECT_EQ(labels("names", "['a', 'b']"), (Labels{"a", "b"}));
    EXPECT_EQ(labels("names", R"({"0": "a", "1": "b: c"})"), (Labels{"a", "b: c"}));
    EXPECT_EQ(labels("labels", "traffic light\nstop sign\n"), (Labels{"traffic light", "stop sign"}));
    EXPECT_EQ(labels("classes", "a, b c,d"), (Labels{"a", "b c", "d"}));
    EXPECT_EQ(labels("model_info labels", "red_car blue_car"), (Labels{"red_car", "blue_car"}));
    EXPECT_EQ(labels("names", "{99999999999999999999: 'x'}"), Labels());
    EXPECT_EQ(labels("names", "{0: 'unfinished"), (Labels{"unfinished"}));
    EXPECT_EQ(labels("names", "{'"), (Labels{""}));
    EXPECT_EQ(labels("nicknames", "a,b"), Labels());
    EXPECT_EQ(labels_in({}), Labels());
}

ImageSpec spec_with(std::map<std::string, std::string> metadata)
{
    ModelFacts facts = facts_from(picture, {output("o", {1, 14, 84})}, yolo_without_exp);
    facts.metadata = std::move(metadata);
    return row("yolov8").preprocessing(facts);
}

/// rt_info of an IR that OpenVINO's Model API or Ultralytics wrote.
TEST(ModelInfo, ComesBeforeTheFamilysCustoms)
{
    const ImageSpec own = spec_with({});
    EXPECT_EQ(own.order, ColourOrder::rgb);
    EXPECT_FLOAT_EQ(own.mul[0], 1 / 255.f);
    const ImageSpec spec = spec_with({{"model_info.mean_values", "[123.675, 116.28, 103.53]"},
                                      {"model_info.scale_values", "50"},
                                      {"model_info.reverse_input_channels", "False"},
                                      {"model_info.pad_value", "7"},
                                      {"model_info.resize_type", "standard"}});
    EXPECT_EQ(spec.order, ColourOrder::bgr);
    EXPECT_EQ(spec.resize, ResizeMode::stretch);
    EXPECT_FLOAT_EQ(spec.pad, 7);
    EXPECT_FLOAT_EQ(spec.mul[1], 1 / 50.f);
    EXPECT_FLOAT_EQ(spec.add[2], -103.53f / 50);
    EXPECT_EQ(spec_with({{"model_info.reverse_input_channels", "YES"}}).order, ColourOrder::rgb);
    EXPECT_EQ(spec_with({{"model_info.color_space", "BGR"}}).order, ColourOrder::bgr);
}

TEST(ModelInfo, IsLeftAloneWhereTheGraphDoesItItself)
{
    const ImageSpec spec = spec_with({{"model_info.mean_values", "1 2 3"}, {"model_info.embedded_processing", "True"}});
    EXPECT_FLOAT_EQ(spec.add[0], 0);
    EXPECT_FLOAT_EQ(spec_with({{"conversion_parameters.mean_values", "1 2 3"}}).add[0], 0);
}

TEST(ModelInfo, ThatCannotBeReadIsRemarked)
{
    for (const auto &[key, value] : {std::pair("mean_values", "1 2"),
                                     {"mean_values", "a"},
                                     {"scale_values", "1 0 1"},
                                     {"pad_value", "1 2 3"},
                                     {"resize_type", "crop"}}) {
        ModelFacts facts = facts_from(picture, {output("o", {1, 14, 84})}, yolo_without_exp);
        facts.metadata = {{std::string("model_info.") + key, value}};
        expect_contains(choose_decoder(facts, Task::detect).reason, {key, value, "the family's own is used"});
        EXPECT_FLOAT_EQ(row("yolov8").preprocessing(facts).mul[0], 1 / 255.f) << key;
    }
}

} // namespace
