#include "inference/onnx_tensor.h"
#include "support/shared_data.h"

#include <leat/core.h>
#include <leat/request.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <set>

// Runs ONNX's own conformance cases. manifest.txt names those that must pass on every device; exceptions.txt those that
// Leat does not claim, each with the reason. LEAT_CONFORMANCE_CASES=FOLDER runs every case in that folder instead.

using namespace leat;
namespace fs = std::filesystem;

namespace {

/// The first word of each line that is not a comment.
std::vector<std::string> listed(const char *file)
{
    std::vector<std::string> names;
    const char *root = std::getenv("LEAT_SOURCE_ROOT");
    std::ifstream text(fs::path(root ? root : ".") / "tests" / "onnx" / file);
    for (std::string line; std::getline(text, line);)
        if (!line.empty() && line[0] != '#')
            names.push_back(line.substr(0, line.find(' ')));
    return names;
}

/// The folder of cases that the environment names; empty when it names none.
fs::path other_cases()
{
    const char *folder = std::getenv("LEAT_CONFORMANCE_CASES");
    return folder ? folder : "";
}

fs::path cases_folder()
{
    if (const fs::path other = other_cases(); !other.empty())
        return other;
    return shared_data() / "data" / "onnx-node-tests";
}

Tensor read_tensor(const fs::path &file)
{
    std::ifstream stream(file, std::ios::binary);
    onnx::TensorProto stored;
    if (!stored.ParseFromIstream(&stream))
        throw Error(file.string() + " is not a tensor");
    return OnnxTensors({}, {}, {}).read(stored).clone();
}

/// Files PREFIX_0.pb, PREFIX_1.pb … of a folder.
std::vector<Tensor> read_tensors(const fs::path &folder, const std::string &prefix)
{
    std::vector<Tensor> tensors;
    for (;;) {
        const fs::path file = folder / (prefix + "_" + std::to_string(tensors.size()) + ".pb");
        if (!fs::exists(file))
            return tensors;
        tensors.push_back(read_tensor(file));
    }
}

bool close(double got, double want, double absolute)
{
    constexpr double relative = 1e-3;
    if (std::isnan(want) || std::isnan(got))
        return std::isnan(want) && std::isnan(got);
    return got == want || std::abs(got - want) <= absolute + relative * std::abs(want);
}

void expect_close(const Tensor &got, const Tensor &want, const std::string &name)
{
    ASSERT_EQ(to_string(got.type()), to_string(want.type())) << name;
    ASSERT_EQ(to_string(got.shape()), to_string(want.shape())) << name;
    const bool low_precision = want.type() == Type::f16 || want.type() == Type::bf16;
    const Tensor a = got.converted(Type::f64), b = want.converted(Type::f64);
    for (size_t i = 0; i < b.count(); i++)
        ASSERT_TRUE(close(a.data<double>()[i], b.data<double>()[i], low_precision ? 1e-3 : 1e-5))
            << name << "[" << i << "] is " << a.data<double>()[i] << ", want " << b.data<double>()[i];
}

void run_data_set(const std::shared_ptr<CompiledModel> &model, const fs::path &folder)
{
    const auto inputs = read_tensors(folder, "input"), wanted = read_tensors(folder, "output");
    ASSERT_EQ(inputs.size(), model->inputs().size());
    ASSERT_EQ(wanted.size(), model->outputs().size());
    InferRequest request(model);
    for (size_t i = 0; i < inputs.size(); i++)
        request.set_tensor(model->inputs()[i].name, inputs[i]);
    request.infer();
    for (size_t i = 0; i < wanted.size(); i++) {
        const std::string &name = model->outputs()[i].name;
        expect_close(request.tensor(name), wanted[i], name);
    }
}

struct Case {
    std::string name, device;
};

std::ostream &operator<<(std::ostream &stream, const Case &made)
{
    return stream << made.name << " on " << made.device;
}

std::vector<std::string> case_names()
{
    if (other_cases().empty())
        return listed("manifest.txt");
    std::vector<std::string> names;
    for (const auto &entry : fs::directory_iterator(other_cases()))
        if (entry.is_directory())
            names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

std::vector<Case> all_cases()
{
    const auto names = case_names();
    std::vector<Case> cases;
    for (const char *device : {"REF", "CPU"})
        for (const std::string &name : names)
            cases.push_back({name, device});
    return cases;
}

std::string test_name(const testing::TestParamInfo<Case> &info)
{
    std::string name = info.param.device + "_" + info.param.name;
    std::replace_if(
        name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
    return name;
}

class Conformance : public testing::TestWithParam<Case> {};

TEST_P(Conformance, GivesTheStoredOutputs)
{
    if (other_cases().empty())
        SKIP_WITHOUT_SHARED_DATA();
    const fs::path folder = cases_folder() / GetParam().name;
    ASSERT_TRUE(fs::exists(folder / "model.onnx")) << GetParam().name << " is in the manifest but not in the data";
    Options options;
    options.execution_mode = ExecutionMode::accuracy;
    const auto model =
        Core::compile_model(Core::read_model((folder / "model.onnx").string()), GetParam().device, options);
    int sets = 0;
    for (const auto &entry : fs::directory_iterator(folder))
        if (entry.is_directory()) {
            run_data_set(model, entry.path());
            sets++;
        }
    EXPECT_GT(sets, 0);
}

INSTANTIATE_TEST_SUITE_P(Onnx, Conformance, testing::ValuesIn(all_cases()), test_name);

TEST(Manifest, ListsEveryCaseOnce)
{
    if (!other_cases().empty())
        GTEST_SKIP() << "other cases are run";
    SKIP_WITHOUT_SHARED_DATA();
    std::map<std::string, int> times;
    for (const char *file : {"manifest.txt", "exceptions.txt"})
        for (const std::string &name : listed(file))
            times[name]++;
    std::ifstream file(cases_folder() / "index.json");
    const auto index = nlohmann::json::parse(file);
    for (const auto &test : index.at("tests")) {
        const auto name = test.at("test").get<std::string>();
        EXPECT_EQ(times[name], 1) << name << " must stand once, in manifest.txt or in exceptions.txt";
    }
}

} // namespace
