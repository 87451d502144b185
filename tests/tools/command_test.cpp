#include "errors/onnx_text.h"
#include "support/shared_data.h"
#include "support/temporary_folder.h"
#include "tools/command.h"

#include "tools/npy.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <sys/wait.h>

namespace leat {
namespace {

using Json = nlohmann::json;

/// y = x + x under a name with a slash, and the integer input passed through.
std::string sums_model(const TemporaryFolder &folder)
{
    const std::string graph =
        onnx_input("x", {1, -1}) +
        "input { name: \"ids\" type { tensor_type { elem_type: 7 shape { dim { dim_value: 2 } } } } } "
        "node { op_type: \"Add\" input: \"x\" input: \"x\" output: \"head/sum\" } "
        "node { op_type: \"Add\" input: \"ids\" input: \"ids\" output: \"twice\" } " +
        onnx_output("head/sum") + onnx_output("twice");
    return folder.write("sums.onnx", onnx_bytes(onnx_model(graph)));
}

std::string npy(const TemporaryFolder &folder, const std::string &name, const Tensor &tensor)
{
    write_npy(folder / name, tensor);
    return folder / name;
}

/// y has the size of x, as numbers that are folded when the file is read.
std::string model_of_sizes(const TemporaryFolder &folder)
{
    return folder.write("sizes.onnx",
                        onnx_bytes(onnx_model(onnx_input("x", {2, 3}) +
                                              "node { op_type: \"Shape\" input: \"x\" output: \"s\" } "
                                              "node { op_type: \"ConstantOfShape\" input: \"s\" output: \"y\" } " +
                                              onnx_output("y"))));
}

TEST(Command, GivesInputsOtherSizes)
{
    const TemporaryFolder folder;
    const std::string model = model_of_sizes(folder);
    EXPECT_NE(leat_command({"inspect", model}).out.find("y f32[2x3]"), std::string::npos);
    const Ran fixed = leat_command({"inspect", model, "--shape", "x=5,7"});
    EXPECT_NE(fixed.out.find("x f32[5x7]"), std::string::npos) << fixed.out << fixed.err;
    EXPECT_NE(fixed.out.find("y f32[5x7]"), std::string::npos) << fixed.out;
    const Ran range = leat_command({"inspect", model, "--shape", "x=?,64..640"});
    EXPECT_NE(range.out.find("x f32[?x64..640]"), std::string::npos) << range.out << range.err;
    const std::string tensor = npy(folder, "x.npy", Tensor(Type::f32, {4, 9}));
    const Ran run = leat_command({"run", model, "--shape", "x=4,9", "-i", "x=" + tensor});
    EXPECT_NE(run.out.find("y f32[4x9]"), std::string::npos) << run.out << run.err;
    const Ran out_of_range = leat_command({"run", model, "--shape", "x=?,64..640", "-i", "x=" + tensor});
    EXPECT_EQ(out_of_range.status, 1);
    EXPECT_NE(out_of_range.err.find("a tensor of 4x9 does not fit the input x f32[?x64..640]"), std::string::npos)
        << out_of_range.err;
    for (const char *bad : {"x", "x=a", "x=3..2,1", "x=1y2", "z=1"}) {
        const Ran refused = leat_command({"inspect", model, "--shape", bad});
        EXPECT_EQ(refused.status, 1) << bad;
        EXPECT_NE(refused.err, "") << bad;
    }
}

TEST(Command, TellsItsVersionAndDevices)
{
    const Ran version = leat_command({"--version"});
    EXPECT_EQ(version.status, 0);
    EXPECT_EQ(version.out, "leat " LEAT_VERSION "\n");
    const Ran devices = leat_command({"devices"});
    EXPECT_EQ(devices.status, 0);
    for (const char *name : {"CPU ", "REF ", "FAKE "})
        EXPECT_NE(("\n" + devices.out).find(std::string("\n") + name), std::string::npos) << devices.out;
}

/// Either accelerators with a reason each, or one sentence on why there are none.
TEST(Command, DevicesTellsTheHardwareSeen)
{
    const Ran ran = leat_command({"devices", "--json"});
    ASSERT_EQ(ran.status, 0) << ran.err;
    EXPECT_EQ(ran.err, "");
    const Json found = Json::parse(ran.out);
    EXPECT_EQ(found.at("devices").size(), 3u);
    const Json &interfaces = found.at("interfaces");
    ASSERT_EQ(interfaces.size(), 2u);
    EXPECT_EQ(interfaces[0].at("name"), "OpenCL");
    EXPECT_EQ(interfaces[1].at("name"), "VA");
    const std::string lines = leat_command({"devices"}).out;
    for (const Json &interface : interfaces) {
        const std::string absent = interface.at("absent");
        EXPECT_EQ(interface.at("accelerators").empty(), !absent.empty()) << ran.out;
        EXPECT_NE(lines.find(absent), std::string::npos) << lines;
        for (const Json &accelerator : interface.at("accelerators")) {
            EXPECT_NE(accelerator.at("name"), "");
            EXPECT_NE(lines.find(accelerator.at("why_not").get<std::string>()), std::string::npos) << lines;
        }
    }
}

/// The ICD loader finds no drivers in an empty folder.
TEST(Command, DevicesWithoutAnOpenClDriver)
{
    TemporaryFolder folder;
    ASSERT_EQ(setenv("OCL_ICD_VENDORS", (folder / "").string().c_str(), 1), 0);
    const Ran ran = leat_command({"devices", "--json"});
    unsetenv("OCL_ICD_VENDORS");
    ASSERT_EQ(ran.status, 0) << ran.err;
    EXPECT_EQ(ran.err, "");
    const Json opencl = Json::parse(ran.out).at("interfaces")[0];
    EXPECT_TRUE(opencl.at("accelerators").empty()) << ran.out;
    EXPECT_NE(opencl.at("absent"), "");
}

TEST(Command, WrongUsageHasStatusTwo)
{
    TemporaryFolder folder;
    const std::string model = sums_model(folder);
    const std::vector<std::vector<std::string>> wrong = {
        {},
        {"fly"},
        {"run"},
        {"run", model, "--no-such-option"},
        {"run", model, "--threshold", "1.5"},
        {"run", model, "--resize-mode", "squeeze"},
        {"run", model, "--resize-filter", "lanczos"},
        {"run", model, "picture.jpg", "-i", "x=y.npy"},
        {"inspect", model, "--json", "--graph"},
    };
    for (const auto &arguments : wrong) {
        const Ran ran = leat_command(arguments);
        EXPECT_EQ(ran.status, 2) << testing::PrintToString(arguments);
        EXPECT_EQ(ran.out, "");
        EXPECT_NE(ran.err, "");
    }
}

TEST(RunTensors, WritesAFileForEachOutput)
{
    TemporaryFolder folder;
    const std::string model = sums_model(folder);
    const std::string x = npy(folder, "x.npy", Tensor::of<float>({1, 3}, {1, 2.5f, -4}));
    const std::string ids = npy(folder, "ids.npy", Tensor::of<int64_t>({2}, {5, -6}));
    const Ran ran = leat_command({"run", model, "-d", "REF", "-i", "x=" + x, "-i", "ids=" + ids, "-o", folder / "out"});
    EXPECT_EQ(ran.status, 0) << ran.err;
    EXPECT_EQ(ran.out.substr(0, ran.out.find("time")), "head/sum f32[1x3]\ntwice s64[2]\n");
    const Tensor sum = read_npy(folder / "out/head_sum.npy"), twice = read_npy(folder / "out/twice.npy");
    ASSERT_EQ(sum.shape(), (Shape{1, 3}));
    EXPECT_EQ(sum.data<float>()[1], 5);
    EXPECT_EQ(sum.data<float>()[2], -8);
    EXPECT_EQ(twice.to_int64(), (std::vector<int64_t>{10, -12}));
}

TEST(RunTensors, ConvertsNumbersToTheInputsType)
{
    TemporaryFolder folder;
    const std::string model = sums_model(folder);
    const std::string bytes = npy(folder, "x.npy", Tensor::of<uint8_t>({1, 2}, {3, 200}));
    const std::string ids = npy(folder, "ids.npy", Tensor::of<uint8_t>({2}, {1, 2}));
    const Ran ran =
        leat_command({"run", model, "-d", "REF", "-i", "x=" + bytes, "-i", "ids=" + ids, "-o", folder.path()});
    EXPECT_EQ(ran.status, 0) << ran.err;
    EXPECT_EQ(read_npy(folder / "head_sum.npy").data<float>()[1], 400);
}

TEST(RunTensors, SaysWhatIsWrong)
{
    TemporaryFolder folder;
    const std::string model = sums_model(folder);
    const std::string x = npy(folder, "x.npy", Tensor::of<float>({1, 2}, {1, 2}));
    const std::string ids = npy(folder, "ids.npy", Tensor::of<int64_t>({2}, {1, 2}));
    const std::string long_ids = npy(folder, "long.npy", Tensor::of<int64_t>({3}, {1, 2, 3}));
    const struct {
        std::vector<std::string> inputs;
        std::string message;
    } cases[] = {
        {{}, "the input x f32[1x?] has no tensor: pass -i x=FILE.npy, or pictures for a model that takes them"},
        {{"-i", "x=" + x},
         "the input ids s64[2] has no tensor: pass -i ids=FILE.npy, or pictures for a model that takes them"},
        {{"-i", "y=" + x}, "the model has no input \"y\"; the inputs are x f32[1x?], ids s64[2]"},
        {{"-i", "x"}, "-i x: want NAME=FILE.npy; the inputs are x f32[1x?], ids s64[2]"},
        {{"-i", "x=" + x, "-i", "ids=" + x},
         "input \"ids\": the file holds f32, but the input is s64: integers are wanted"},
        {{"-i", "x=" + x, "-i", "ids=" + long_ids}, "a tensor of 3 does not fit the input ids s64[2]"},
    };
    for (const auto &c : cases) {
        std::vector<std::string> arguments{"run", model, "-d", "REF"};
        arguments.insert(arguments.end(), c.inputs.begin(), c.inputs.end());
        const Ran ran = leat_command(arguments);
        EXPECT_EQ(ran.status, 1);
        EXPECT_EQ(ran.err, "leat: " + c.message + "\n");
        EXPECT_EQ(ran.out, "");
    }
    const Ran device = leat_command({"run", model, "-d", "TPU", "-i", "x=" + x, "-i", "ids=" + ids});
    EXPECT_EQ(device.status, 1);
    EXPECT_EQ(device.err.rfind("leat: there is no device \"TPU\"", 0), 0u) << device.err;
}

TEST(RunTensors, RefusesOutputsOfOneFileName)
{
    TemporaryFolder folder;
    const std::string graph = onnx_input("x", {1}) +
                              "node { op_type: \"Add\" input: \"x\" input: \"x\" output: \"a/b\" } "
                              "node { op_type: \"Mul\" input: \"x\" input: \"x\" output: \"a_b\" } " +
                              onnx_output("a/b") + onnx_output("a_b");
    const std::string model = folder.write("two.onnx", onnx_bytes(onnx_model(graph)));
    const std::string x = npy(folder, "x.npy", Tensor::of<float>({1}, {3}));
    const Ran ran = leat_command({"run", model, "-d", "REF", "-i", "x=" + x, "-o", folder.path()});
    EXPECT_EQ(ran.status, 1);
    EXPECT_EQ(ran.err, "leat: two outputs would be written to \"a_b.npy\"\n");
}

TEST(Inspect, ShowsPortsOpsAndKernels)
{
    TemporaryFolder folder;
    const std::string model = sums_model(folder);
    const Ran text = leat_command({"inspect", model, "-d", "REF"});
    EXPECT_EQ(text.status, 0) << text.err;
    for (const char *piece : {"x f32[1x?]", "ids s64[2]", "head/sum f32[1x?]", "Add 2",
                              "none that the file alone tells", "On REF", "REF reference: Add 2"})
        EXPECT_NE(text.out.find(piece), std::string::npos) << piece << " in\n" << text.out;

    const Ran json = leat_command({"inspect", model, "-d", "REF", "-d", "FAKE", "--json"});
    ASSERT_EQ(json.status, 0) << json.err;
    const Json found = Json::parse(json.out);
    EXPECT_EQ(found.at("inputs")[0], Json::parse(R"({"name": "x", "type": "f32", "shape": [1, -1]})"));
    EXPECT_EQ(found.at("ops").at("Add"), 2);
    EXPECT_TRUE(found.at("decoder").is_null());
    EXPECT_EQ(found.at("devices")[0].at("nodes").size(), 2u);
    EXPECT_EQ(found.at("devices")[0].at("nodes")[0].at("kernel"), "reference");
    EXPECT_EQ(found.at("devices")[1].at("name"), "FAKE");

    const Ran graph = leat_command({"inspect", model, "-d", "REF", "--graph"});
    EXPECT_EQ(graph.status, 0) << graph.err;
    EXPECT_NE(graph.out.find("Add("), std::string::npos) << graph.out;
}

TEST(Inspect, ABrokenModelIsOneSentence)
{
    TemporaryFolder folder;
    const std::string broken = folder.write("broken.onnx", "\x08\x08nothing that protobuf knows");
    for (const char *subcommand : {"inspect", "run"}) {
        const Ran ran = leat_command({subcommand, broken});
        EXPECT_EQ(ran.status, 1);
        EXPECT_EQ(ran.out, "");
        EXPECT_NE(ran.err.find(broken), std::string::npos) << ran.err;
        EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    }
}

TEST(RunPictures, ModelsWithoutDecoderAreRefused)
{
    TemporaryFolder folder;
    const Ran ran = leat_command({"run", sums_model(folder), "picture.jpg", "-d", "REF"});
    EXPECT_EQ(ran.status, 1);
    EXPECT_EQ(ran.out, "");
    EXPECT_NE(ran.err.find("sums.onnx"), std::string::npos) << ran.err;
}

/// Scores of two classes for a 1x1 picture: softmax over its grey and the constant 100.
std::string two_classes_model(const TemporaryFolder &folder)
{
    const std::string graph =
        onnx_input("picture", {1, 1, 1, 1}) +
        "initializer { name: \"w\" dims: 2 dims: 1 dims: 1 dims: 1 data_type: 1 float_data: 1 float_data: 0 } "
        "initializer { name: \"b\" dims: 2 data_type: 1 float_data: 0 float_data: 100 } "
        "node { op_type: \"Conv\" input: \"picture\" input: \"w\" input: \"b\" output: \"scores\" } "
        "node { op_type: \"Flatten\" input: \"scores\" output: \"flat\" } "
        "node { op_type: \"Softmax\" input: \"flat\" output: \"classes\" } " +
        onnx_output("classes");
    return folder.write("two.onnx", onnx_bytes(onnx_model(graph)));
}

/// A picture of one grey in a format that needs no encoder: a binary PGM.
std::string grey_picture(const TemporaryFolder &folder, uint8_t grey)
{
    return folder.write("grey" + std::to_string(grey) + ".pgm",
                        "P5\n16 12\n255\n" + std::string(16 * 12, static_cast<char>(grey)));
}

TEST(RunPictures, PrintsALineForEachPicture)
{
    TemporaryFolder folder;
    const std::string model = two_classes_model(folder), dark = grey_picture(folder, 40),
                      light = grey_picture(folder, 200);
    const std::string labels = folder.write("labels.txt", "light \r\n dark\n\n");
    const Ran ran =
        leat_command({"run", model, "-d", "REF", "--labels-file", labels, "--mean", "0", "--scale", "1", dark, light});
    ASSERT_EQ(ran.status, 0) << ran.err;
    std::istringstream lines(ran.out);
    std::string line;
    for (const auto &[file, label] : {std::pair{dark, "dark"}, std::pair{light, "light"}}) {
        ASSERT_TRUE(std::getline(lines, line));
        const Json found = Json::parse(line);
        EXPECT_EQ(found.at("file"), file);
        EXPECT_EQ(found.at("width"), 16);
        EXPECT_EQ(found.at("height"), 12);
        EXPECT_EQ(found.at("classes").at(0).at("label"), label);
    }
    EXPECT_FALSE(std::getline(lines, line));

    const Ran missing = leat_command({"run", model, dark, "-d", "REF", "--labels-file", "/no/such/file"});
    EXPECT_EQ(missing.status, 1);
    EXPECT_EQ(missing.err,
              "leat: labels file \"/no/such/file\" cannot be read or is empty; want a text with one label a line\n");
    const Ran absent = leat_command({"run", model, "/no/such.png", "-d", "REF"});
    EXPECT_EQ(absent.status, 1);
    EXPECT_EQ(absent.err, "leat: picture \"/no/such.png\": there is no such file\n");
}

std::filesystem::path models()
{
    return shared_data() / "data/models/onnx";
}

Json stored(const std::string &model)
{
    return Json::parse(std::ifstream(models() / (model + ".expected") / "meta.json"));
}

std::string picture_of(const Json &meta)
{
    const std::string picture = meta.at("preprocess").at("image");
    return shared_data() / picture.substr(std::string("shared/").size());
}

double overlap(const Json &box, const Json &corners)
{
    const double x1 = box["x"], y1 = box["y"], x2 = x1 + box["w"].get<double>(), y2 = y1 + box["h"].get<double>();
    const double u1 = corners[0], v1 = corners[1], u2 = corners[2], v2 = corners[3];
    const double width = std::min(x2, u2) - std::max(x1, u1), height = std::min(y2, v2) - std::max(y1, v1);
    const double common = std::max(width, 0.0) * std::max(height, 0.0);
    return common / ((x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common);
}

TEST(RunPictures, FindsTheStoredObjects)
{
    SKIP_WITHOUT_SHARED_DATA();
    const Json meta = stored("yolox_nano");
    const Ran ran = leat_command({"run", models() / "yolox_nano.onnx", picture_of(meta), "--threshold", "0.3"});
    ASSERT_EQ(ran.status, 0) << ran.err;
    const Json found = Json::parse(ran.out);
    EXPECT_EQ(found.at("width"), 768);
    EXPECT_EQ(found.at("height"), 576);
    for (const Json &expected : meta.at("decoded")) {
        const bool met = std::any_of(found.at("objects").begin(), found.at("objects").end(), [&](const Json &object) {
            return object.at("label") == expected.at("label") && object.at("label_id") == expected.at("label_id") &&
                   std::abs(object.at("confidence").get<double>() - expected.at("score").get<double>()) < 0.03 &&
                   overlap(object.at("box"), expected.at("box_xyxy_px")) > 0.9;
        });
        EXPECT_TRUE(met) << expected << "\namong " << found.at("objects");
    }
}

TEST(RunPictures, NamesTheStoredClass)
{
    SKIP_WITHOUT_SHARED_DATA();
    TemporaryFolder folder;
    std::string labels;
    for (int i = 0; i < 10; i++)
        labels += "class " + std::to_string(i) + "\r\n";
    const std::string picture = picture_of(stored("cifar10_classifier"));
    const Ran ran = leat_command({"run", models() / "cifar10_classifier.onnx", picture, picture, "-d", "REF",
                                  "--labels-file", folder.write("labels.txt", labels)});
    ASSERT_EQ(ran.status, 0) << ran.err;
    std::istringstream lines(ran.out);
    int count = 0;
    for (std::string line; std::getline(lines, line); count++) {
        const Json best = Json::parse(line).at("classes").at(0);
        EXPECT_EQ(best.at("label"), "class 0");
        EXPECT_EQ(best.at("label_id"), 0);
        EXPECT_GT(best.at("confidence"), 0.9);
    }
    EXPECT_EQ(count, 2);
}

TEST(Inspect, ShowsDecoderPreprocessingAndLabels)
{
    SKIP_WITHOUT_SHARED_DATA();
    const Ran ran = leat_command({"inspect", models() / "yolox_nano.onnx", "--json"});
    ASSERT_EQ(ran.status, 0) << ran.err;
    const Json found = Json::parse(ran.out);
    EXPECT_EQ(found.at("decoder"), "yolox");
    EXPECT_EQ(found.at("preprocessing").at("input_color"), "BGR");
    EXPECT_EQ(found.at("preprocessing").at("resize_mode"), "letterbox-corner");
    EXPECT_EQ(found.at("preprocessing").at("filter"), "bilinear");
    EXPECT_EQ(found.at("preprocessing").at("width"), 416);
    EXPECT_EQ(found.at("labels").at(16), "dog");
    EXPECT_GT(found.at("devices")[0].at("nodes").size(), 50u);
}

TEST(Inspect, ShowsTheFilterThatWasAskedFor)
{
    SKIP_WITHOUT_SHARED_DATA();
    const auto filter = [](const std::vector<std::string> &options) {
        std::vector<std::string> arguments{"inspect", models() / "FastestDet.onnx", "--json"};
        arguments.insert(arguments.end(), options.begin(), options.end());
        return Json::parse(leat_command(arguments).out).at("preprocessing").at("filter").get<std::string>();
    };
    EXPECT_EQ(filter({}), "area");
    EXPECT_EQ(filter({"--resize-filter", "bilinear"}), "bilinear");
}

TEST(Compile, WritesAFileThatIsLoadedInTheModelsPlace)
{
    SKIP_WITHOUT_SHARED_DATA();
    const TemporaryFolder folder;
    const std::string compiled = folder / "yolox.leat";
    const Ran made = leat_command({"compile", models() / "yolox_nano.onnx", "-o", compiled});
    ASSERT_EQ(made.status, 0) << made.err;
    const Ran ran = leat_command({"inspect", compiled, "--json"});
    ASSERT_EQ(ran.status, 0) << ran.err;
    EXPECT_EQ(ran.err, "");
    const Json found = Json::parse(ran.out);
    EXPECT_EQ(found.at("decoder"), "yolox");
    bool from_file = false;
    for (const Json &setting : found.at("devices")[0].at("settings"))
        from_file = from_file || (setting.at("name") == "loaded_from_cache" && setting.at("value") == "true");
    EXPECT_TRUE(from_file) << found.at("devices")[0].at("settings");
}

} // namespace
} // namespace leat
