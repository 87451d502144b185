#include "support/sanitized.h"
#include "support/shared_data.h"
#include "tools/npy.h"

#include <leat/core.h>
#include <leat/request.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <numeric>
#include <set>

// Runs every real model of the shared data on its stored inputs and holds the outputs against the stored ones: those of
// ONNX Runtime, and for OpenVINO IR those of an interpreter in numpy.

using namespace leat;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

/// How far outputs may lie from the stored ones.
enum class Rule : uint8_t {
    close,     ///< each element within 1e-3 of the output's range
    half,      ///< within 2e-2 of the range
    short_,    ///< bf16: 49 of 50 elements within 2e-2 of the range, and nearly the same direction: 8 bits of mantissa
               ///< move steep sigmoids and boxes of background by more
    integer,   ///< within 5e-2 of the range, and the same winner
    quantized, ///< the same winner and nearly the same direction: a rounding that falls the other way spreads, so that
               ///< sums in double instead of float move mobilenetv2-12-qdq by 0.07 of the range
    detection, ///< the same rows above a score; rows of low score may swap places
    rows,      ///< as detection, for rows of image, label, score and box
};

const std::map<std::string, Rule> rules{{"blazeface_int8_dynamic", Rule::integer},
                                        {"deimv2_hgnetv2_atto_coco", Rule::detection},
                                        {"mobilenet_v2_quant", Rule::integer},
                                        {"mobilenetv2-12-qdq", Rule::quantized}};

/// Those that the reference kernels run in less than a second or two.
const std::set<std::string> reference_models{"FastestDet",
                                             "SampLeNet",
                                             "SqueezeNet_fp16",
                                             "age-gender-recognition-retail-0013",
                                             "blazeface_int8_dynamic",
                                             "ch_ppocr_mobile_v2.0_cls_infer",
                                             "cifar10_classifier",
                                             "en_number_mobile_v2.0_rec_infer",
                                             "head-pose-estimation-adas-0001",
                                             "landmarks-regression-retail-0009",
                                             "landmarks_68_pfld",
                                             "license-plate-recognition-barrier-0001",
                                             "mnist",
                                             "mobilefacenet",
                                             "mobilenet_v2_quant",
                                             "mobilenetv2-12-qdq",
                                             "mp_face_detection_short_range",
                                             "open-closed-eye",
                                             "open-closed-eye-0001",
                                             "person-reidentification-retail-0288",
                                             "silero_vad_16k_op15",
                                             "vehicle-attributes-recognition-barrier-0039",
                                             "vehicle-license-plate-detection-barrier-0106"};

fs::path models_folder()
{
    return shared_data() / "data" / "models";
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
    if (stored.type() != Type::u8 || !entry.contains("mean"))
        return stored;
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
    return result;
}

Type type_of(const CompiledModel &model, const json &entry)
{
    for (const Port &port : model.inputs())
        if (port.name == entry.at("name").get<std::string>())
            return port.type;
    throw Error("the model has no input " + entry.at("name").get<std::string>());
}

struct Output {
    std::string name;
    Tensor got, want; ///< as f64
    bool rounded;     ///< the stored one was rounded to f16
};

/// From the lowest to the highest element; of an only one, its size.
double range_of(const Output &output)
{
    const auto want = output.want.values<double>();
    const auto [lowest, highest] = std::minmax_element(want.begin(), want.end());
    return want.size() == 1 ? std::abs(want[0]) : *highest - *lowest;
}

/// The distance of each element, the shortest first.
std::vector<double> distances(const Output &output)
{
    const auto want = output.want.values<double>(), got = output.got.values<double>();
    std::vector<double> result;
    for (size_t i = 0; i < want.size(); i++) {
        const double rounding = output.rounded ? std::abs(want[i]) * 0x1p-11 + 0x1p-25 : 0;
        const double distance = std::abs(got[i] - want[i]);
        result.push_back(std::isnan(distance) ? INFINITY : distance - rounding);
    }
    std::sort(result.begin(), result.end());
    return result;
}

/// Largest distance as a part of the range of what is wanted.
double worst(const Output &output)
{
    return std::max(0., distances(output).back() / range_of(output));
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

void expect_close(const std::vector<Output> &outputs, double distance)
{
    for (const Output &output : outputs)
        EXPECT_LE(worst(output), distance) << output.name;
}

/// An only number is near 0 by chance: the largest of several says what is far.
void expect_short(const std::vector<Output> &outputs)
{
    double only = 0;
    for (const Output &output : outputs)
        if (output.want.count() == 1)
            only = std::max(only, range_of(output));
    for (const Output &output : outputs) {
        const std::vector<double> all = distances(output);
        const bool single = all.size() == 1;
        EXPECT_LE(all[(all.size() - 1) * 49 / 50] / (single ? only : range_of(output)), 2e-2) << output.name;
        if (!single) {
            EXPECT_GE(cosine(output), 0.995) << output.name;
        }
    }
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

/// Corners of a box.
using Corners = std::array<double, 4>;

double overlap(const Corners &a, const Corners &b)
{
    const double width = std::min(a[2], b[2]) - std::max(a[0], b[0]);
    const double height = std::min(a[3], b[3]) - std::max(a[1], b[1]);
    if (width <= 0 || height <= 0)
        return 0;
    auto area = [](const Corners &c) { return (c[2] - c[0]) * (c[3] - c[1]); };
    return width * height / (area(a) + area(b) - width * height);
}

/// Outputs labels [1, n], boxes [1, n, 4], scores [1, n].
void expect_detections(const std::vector<Output> &outputs, InferencePrecision precision)
{
    constexpr double least_score = 0.3;
    const bool is_short = precision == InferencePrecision::bf16;
    // In bf16 sums in another order, as exact, move scores by 0.03.
    const double score_distance = is_short ? 0.05 : 0.01, least_overlap = is_short ? 0.9 : 0.99;
    const Output &labels = named(outputs, "labels"), &boxes = named(outputs, "boxes");
    const Output &scores = named(outputs, "scores");
    const size_t rows = scores.want.count();
    auto box_of = [&](const Tensor &tensor, size_t row) {
        const double *corners = tensor.data<double>() + 4 * row;
        return Corners{corners[0], corners[1], corners[2], corners[3]};
    };
    auto matches = [&](size_t want, size_t got) {
        return labels.want.data<double>()[want] == labels.got.data<double>()[got] &&
               std::abs(scores.want.data<double>()[want] - scores.got.data<double>()[got]) < score_distance &&
               overlap(box_of(boxes.want, want), box_of(boxes.got, got)) >= least_overlap;
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

/// One output of rows image, label, score, box; an image of -1 ends them.
void expect_rows(const std::vector<Output> &outputs, InferencePrecision precision)
{
    constexpr double least_score = 0.3, least_overlap = 0.9;
    const bool is_short = precision == InferencePrecision::bf16;
    const double score_distance = is_short ? 0.05 : 0.03;
    // Two boxes that overlap by nearly as much as suppression allows may stay both, or not.
    const double suppressed = is_short ? 0.4 : INFINITY;
    constexpr size_t width = 7;
    ASSERT_EQ(outputs.size(), 1u);
    struct Row {
        double label, score;
        Corners box;
    };
    auto rows_of = [](const Tensor &tensor) {
        std::vector<Row> rows;
        const double *data = tensor.data<double>();
        for (size_t i = 0; i < tensor.count() / width && data[i * width] >= 0; i++) {
            const double *row = data + i * width;
            rows.push_back({row[1], row[2], {row[3], row[4], row[5], row[6]}});
        }
        return rows;
    };
    auto expect_found = [&](const std::vector<Row> &wanted, const std::vector<Row> &among, double least) {
        size_t found = 0;
        for (const Row &want : wanted) {
            if (want.score < least)
                continue;
            found++;
            EXPECT_TRUE(std::any_of(among.begin(), among.end(),
                                    [&](const Row &row) {
                                        const double shared = overlap(row.box, want.box);
                                        const bool same = std::abs(row.score - want.score) < score_distance &&
                                                          shared >= least_overlap;
                                        return row.label == want.label &&
                                               (same || (row.score > want.score && shared > suppressed));
                                    }))
                << "no row like the one of score " << want.score;
        }
        return found;
    };
    const auto want = rows_of(outputs[0].want), got = rows_of(outputs[0].got);
    EXPECT_GT(expect_found(want, got, least_score), 0u);
    expect_found(got, want, least_score + (is_short ? 3 : 1) * score_distance);
}

void expect_integer(const std::vector<Output> &outputs)
{
    for (const Output &output : outputs) {
        EXPECT_LE(worst(output), 5e-2) << output.name;
        EXPECT_EQ(winner(output.got), winner(output.want)) << output.name;
    }
}

struct Case {
    fs::path file; ///< of the model
    std::string model, device;
    Rule rule;
    InferencePrecision precision = InferencePrecision::f32;

    std::string where() const
    {
        return device.substr(0, device.find(':')) + (precision == InferencePrecision::bf16 ? "_bf16" : "");
    }
};

void PrintTo(const Case &what, std::ostream *stream)
{
    *stream << what.model << " on " << what.where();
}

fs::path stored_folder(const fs::path &model)
{
    return fs::path(model).replace_extension(".expected");
}

/// By the precision in the folder's name, and by what the last layer is.
Rule rule_of_ir(const fs::path &model)
{
    if (model.string().find("-detection-") != std::string::npos)
        return Rule::rows;
    const std::string precision = model.parent_path().filename();
    return precision.find("INT8") != std::string::npos   ? Rule::integer
           : precision.find("FP16") != std::string::npos ? Rule::half
                                                         : Rule::close;
}

Case onnx_case(const fs::path &file)
{
    const auto rule = rules.find(file.stem().string());
    return {file, file.stem(), "CPU", rule == rules.end() ? Rule::close : rule->second};
}

Case ir_case(const fs::path &file)
{
    return {file, file.stem().string() + "_" + file.parent_path().filename().string(), "CPU", rule_of_ir(file)};
}

/// So many borders between subgraphs that a model goes back and forth.
constexpr const char *on_two_devices =
    "HETERO:FAKE(outputs=reference,ops=Clip+Concat+MaxPool+Mul+PRelu+Relu+Sigmoid+Softmax+Transpose),CPU";

std::vector<Case> all_cases()
{
    std::vector<Case> cases;
    if (shared_data().empty())
        return cases;
    for (const auto &entry : fs::recursive_directory_iterator(models_folder())) {
        const fs::path &file = entry.path();
        if ((file.extension() != ".onnx" && file.extension() != ".xml") ||
            !fs::exists(stored_folder(file) / "meta.json"))
            continue;
        cases.push_back(file.extension() == ".xml" ? ir_case(file) : onnx_case(file));
        cases.push_back(cases.back());
        cases.back().precision = InferencePrecision::bf16;
        if (cases.back().rule == Rule::close || cases.back().rule == Rule::half)
            cases.back().rule = Rule::short_;
        if (reference_models.count(file.stem())) {
            cases.push_back(cases[cases.size() - 2]);
            cases.back().device = "REF";
            cases.push_back(cases.back());
            cases.back().device = on_two_devices;
        }
    }
    std::sort(cases.begin(), cases.end(), [](const Case &a, const Case &b) {
        return std::tuple(a.where(), a.model) < std::tuple(b.where(), b.model);
    });
    if (sanitized) // each model in one of its precisions
        std::erase_if(cases, [](const Case &each) {
            const bool is_short = each.precision == InferencePrecision::bf16;
            return each.device == "CPU" && is_short != (each.model.size() % 2 == 0);
        });
    return cases;
}

std::string test_name(const testing::TestParamInfo<Case> &info)
{
    std::string name = info.param.where() + "_" + info.param.model;
    std::replace_if(
        name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
    return name;
}

class Models : public testing::TestWithParam<Case> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Models);

TEST_P(Models, GivesTheStoredOutputs)
{
    const auto &[model, name, device, rule, precision] = GetParam();
    const fs::path folder = stored_folder(model);
    std::ifstream file(folder / "meta.json");
    const json meta = json::parse(file);
    const std::string layout =
        meta.contains("preprocess") && meta["preprocess"].is_object() ? meta["preprocess"].value("layout", "") : "";

    // A processor without bf16 computes in f32, and says so in the settings.
    Options options;
    options.inference_precision = precision;
    const auto compiled = Core::compile_model(Core::read_model(model.string()), device, options);
    InferRequest request(compiled);
    for (const json &entry : meta.at("inputs"))
        request.set_tensor(entry.at("name"), stored_input(folder, entry, layout).converted(type_of(*compiled, entry)));
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
    std::cout << GetParam().where() << " " << name << ": " << std::lround(took.count()) << " ms";
    for (const Output &output : outputs)
        std::cout << ", " << output.name << " " << std::setprecision(2) << worst(output);
    std::cout << " of the range" << std::endl;

    switch (rule) {
    case Rule::close: return expect_close(outputs, 1e-3);
    case Rule::half: return expect_close(outputs, 2e-2);
    case Rule::short_: return expect_short(outputs);
    case Rule::integer: return expect_integer(outputs);
    case Rule::rows: return expect_rows(outputs, precision);
    case Rule::quantized: return expect_quantized(outputs);
    case Rule::detection: return expect_detections(outputs, precision);
    }
}

INSTANTIATE_TEST_SUITE_P(Stored, Models, testing::ValuesIn(all_cases()), test_name);

TEST(SharedData, HoldsModels)
{
    SKIP_WITHOUT_SHARED_DATA();
    EXPECT_FALSE(all_cases().empty());
}

} // namespace
