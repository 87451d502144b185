#include "support/shared_data.h"
#include "tools/npy.h"

#include <leat/core.h>
#include <leat/request.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <numeric>
#include <set>

// Runs every real model of the shared data on its stored inputs and holds the outputs against those that ONNX Runtime
// gave for them.

using namespace leat;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

/// How far outputs may lie from the stored ones.
enum class Rule : uint8_t {
    close,     ///< each element within 1e-3 of the output's range
    quantized, ///< the same winner and nearly the same direction: a rounding that falls the other way spreads, so that
               ///< sums in double instead of float move mobilenetv2-12-qdq by 0.07 of the range
    detection, ///< the same rows above a score; rows of low score may swap places
};

const std::map<std::string, Rule> rules{{"blazeface_int8_dynamic", Rule::quantized},
                                        {"deimv2_hgnetv2_atto_coco", Rule::detection},
                                        {"mobilenet_v2_quant", Rule::quantized},
                                        {"mobilenetv2-12-qdq", Rule::quantized}};

/// Those that the reference kernels run in less than a second or two.
const std::set<std::string> reference_models{"FastestDet",
                                             "SqueezeNet_fp16",
                                             "blazeface_int8_dynamic",
                                             "ch_ppocr_mobile_v2.0_cls_infer",
                                             "cifar10_classifier",
                                             "landmarks_68_pfld",
                                             "en_number_mobile_v2.0_rec_infer",
                                             "mnist",
                                             "mobilefacenet",
                                             "mobilenet_v2_quant",
                                             "mobilenetv2-12-qdq",
                                             "mp_face_detection_short_range",
                                             "open-closed-eye",
                                             "silero_vad_16k_op15"};

fs::path models_folder()
{
    return shared_data() / "data" / "models" / "onnx";
}

/// The value at `index` of a list of one number or one for each channel.
float for_channel(const json &numbers, size_t index)
{
    return numbers.size() == 1 ? numbers[0].get<float>() : numbers.at(index).get<float>();
}

/// An input as meta.json describes it: as stored, or made of stored 8-bit pixels.
Tensor stored_input(const fs::path &folder, const json &entry, const std::string &layout)
{
    const Tensor stored = read_npy(folder / entry.at("file").get<std::string>());
    const Type type = entry.at("dtype") == "float16" ? Type::f16 : entry.at("dtype") == "int64" ? Type::s64 : Type::f32;
    if (stored.type() != Type::u8 || !entry.contains("mean"))
        return stored.converted(type);
    Tensor result = stored.converted(Type::f32);
    const size_t channel_axis = layout == "NHWC" ? result.rank() - 1 : 1;
    size_t inner = 1;
    for (size_t i = channel_axis + 1; i < result.rank(); i++)
        inner *= static_cast<size_t>(result.dim(i));
    const auto channels = static_cast<size_t>(result.dim(channel_axis));
    for (size_t i = 0; i < result.count(); i++) {
        const size_t c = i / inner % channels;
        float &value = result.data<float>()[i];
        value = (value - for_channel(entry.at("mean"), c)) * for_channel(entry.at("scale"), c);
    }
    return result.converted(type);
}

struct Output {
    std::string name;
    Tensor got, want; ///< as f64
    bool rounded;     ///< the stored one was rounded to f16
};

/// Largest distance as a part of the range of what is wanted.
double worst(const Output &output)
{
    const auto want = output.want.values<double>(), got = output.got.values<double>();
    const auto [lowest, highest] = std::minmax_element(want.begin(), want.end());
    const double range = want.size() == 1 ? std::abs(want[0]) : *highest - *lowest;
    double result = 0;
    for (size_t i = 0; i < want.size(); i++) {
        const double rounding = output.rounded ? std::abs(want[i]) * 0x1p-11 + 0x1p-25 : 0;
        const double distance = std::abs(got[i] - want[i]);
        result = std::isnan(distance) ? INFINITY : std::max(result, (distance - rounding) / range);
    }
    return result;
}

double cosine(const Output &output)
{
    const auto want = output.want.values<double>(), got = output.got.values<double>();
    auto dot = [](auto a, auto b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.); };
    return dot(want, got) / std::sqrt(dot(want, want) * dot(got, got));
}

size_t winner(const Tensor &scores)
{
    const auto values = scores.values<double>();
    return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

void expect_close(const std::vector<Output> &outputs)
{
    for (const Output &output : outputs)
        EXPECT_LE(worst(output), 1e-3) << output.name;
}

void expect_quantized(const std::vector<Output> &outputs)
{
    for (const Output &output : outputs) {
        EXPECT_GE(cosine(output), 0.98) << output.name;
        EXPECT_LE(worst(output), 0.1) << output.name;
        EXPECT_EQ(winner(output.got), winner(output.want)) << output.name;
    }
}

const Output &named(const std::vector<Output> &outputs, const std::string &name)
{
    return *std::find_if(outputs.begin(), outputs.end(), [&](const Output &output) { return output.name == name; });
}

/// Outputs labels [1, n], boxes [1, n, 4], scores [1, n].
void expect_detections(const std::vector<Output> &outputs)
{
    constexpr double least_score = 0.3, score_distance = 0.01, box_distance = 1;
    const Output &labels = named(outputs, "labels"), &boxes = named(outputs, "boxes");
    const Output &scores = named(outputs, "scores");
    const size_t rows = scores.want.count();
    auto matches = [&](size_t want, size_t got) {
        bool fits = labels.want.data<double>()[want] == labels.got.data<double>()[got] &&
                    std::abs(scores.want.data<double>()[want] - scores.got.data<double>()[got]) < score_distance;
        for (size_t i = 0; i < 4; i++)
            fits = fits && std::abs(boxes.want.data<double>()[4 * want + i] - boxes.got.data<double>()[4 * got + i]) <
                               box_distance;
        return fits;
    };
    size_t found = 0;
    for (size_t want = 0; want < rows; want++) {
        if (scores.want.data<double>()[want] < least_score)
            continue;
        found++;
        bool any = false;
        for (size_t got = 0; got < rows; got++)
            any = any || matches(want, got);
        EXPECT_TRUE(any) << "no row like " << want << ", of score " << scores.want.data<double>()[want];
    }
    EXPECT_GT(found, 0u);
}

struct Case {
    std::string model, device;
};

void PrintTo(const Case &what, std::ostream *stream)
{
    *stream << what.model << " on " << what.device;
}

std::vector<Case> all_cases()
{
    std::vector<Case> cases;
    if (shared_data().empty())
        return cases;
    for (const auto &entry : fs::directory_iterator(models_folder())) {
        const std::string model = entry.path().stem().string();
        if (entry.path().extension() != ".onnx" || !fs::exists(models_folder() / (model + ".expected") / "meta.json"))
            continue;
        cases.push_back({model, "CPU"});
        if (reference_models.count(model))
            cases.push_back({model, "REF"});
    }
    std::sort(cases.begin(), cases.end(),
              [](const Case &a, const Case &b) { return std::tie(a.device, a.model) < std::tie(b.device, b.model); });
    return cases;
}

std::string test_name(const testing::TestParamInfo<Case> &info)
{
    std::string name = info.param.device + "_" + info.param.model;
    std::replace_if(
        name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
    return name;
}

class Models : public testing::TestWithParam<Case> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Models);

TEST_P(Models, GivesTheStoredOutputs)
{
    const auto &[name, device] = GetParam();
    const fs::path folder = models_folder() / (name + ".expected");
    std::ifstream file(folder / "meta.json");
    const json meta = json::parse(file);
    const std::string layout =
        meta.contains("preprocess") && meta["preprocess"].is_object() ? meta["preprocess"].value("layout", "") : "";

    InferRequest request(Core::compile_model(Core::read_model((models_folder() / (name + ".onnx")).string()), device));
    for (const json &entry : meta.at("inputs"))
        request.set_tensor(entry.at("name"), stored_input(folder, entry, layout));
    const auto begin = std::chrono::steady_clock::now();
    request.infer();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;

    std::vector<Output> outputs;
    for (const json &entry : meta.at("outputs")) {
        const auto output = entry.at("name").get<std::string>();
        const Tensor want = read_npy(folder / entry.at("file").get<std::string>());
        const Tensor got = request.tensor(output);
        ASSERT_EQ(to_string(got.shape()), to_string(want.shape())) << output;
        outputs.push_back({output, got.converted(Type::f64), want.converted(Type::f64), want.type() == Type::f16});
    }
    std::cout << device << " " << name << ": " << std::lround(took.count()) << " ms";
    for (const Output &output : outputs)
        std::cout << ", " << output.name << " " << std::setprecision(2) << worst(output);
    std::cout << " of the range" << std::endl;

    const auto row = rules.find(name);
    switch (row == rules.end() ? Rule::close : row->second) {
    case Rule::close: return expect_close(outputs);
    case Rule::quantized: return expect_quantized(outputs);
    case Rule::detection: return expect_detections(outputs);
    }
}

INSTANTIATE_TEST_SUITE_P(Onnx, Models, testing::ValuesIn(all_cases()), test_name);

TEST(SharedData, HoldsModels)
{
    SKIP_WITHOUT_SHARED_DATA();
    EXPECT_FALSE(all_cases().empty());
}

} // namespace
