#include "inference/image_spec.h"
#include "inference/passes.h"
#include "inference/read.h"
#include "preprocess/image_input.h"
#include "support/shared_data.h"

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <sstream>

// The same network from different files is the same graph after the passes.

namespace leat {
namespace {

namespace fs = std::filesystem;

/// The printed graph without what files are free to choose: names, metadata, and the numbers and order of the values.
std::string bare(const Graph &graph)
{
    static const std::regex names("\"[^\"]*\""), values("%(\\d+)");
    std::map<std::string, std::string> constants, numbers;
    std::istringstream text(std::regex_replace(print(graph), names, "\"\""));
    std::string result;
    const auto renamed = [&](const std::string &line) {
        std::string made;
        auto rest = line.cbegin();
        for (std::sregex_iterator match(line.begin(), line.end(), values), end; match != end; ++match) {
            const auto number = numbers.try_emplace((*match)[1], std::to_string(numbers.size())).first->second;
            made.append(rest, match->prefix().second).append("%" + number);
            rest = match->suffix().first;
        }
        return made.append(rest, line.cend());
    };
    for (std::string line; std::getline(text, line);) {
        std::smatch id;
        if (line.starts_with("const ") && std::regex_search(line, id, values)) {
            constants[id[1]] = line;
            continue;
        }
        if (line.starts_with("%"))
            for (std::sregex_iterator match(line.begin(), line.end(), values), end; match != end; ++match)
                if (const auto constant = constants.find((*match)[1]); constant != constants.end()) {
                    result += renamed(constant->second) + "\n";
                    constants.erase(constant);
                }
        if (!line.starts_with("metadata"))
            result += renamed(line) + "\n";
    }
    return result;
}

Graph planned(Graph graph, const ImageSpec &spec)
{
    infer_shapes(graph);
    graph.tidy();
    const std::string input = graph.values[graph.inputs[0]].name;
    Graph with_image = with_image_input(graph, input, spec);
    infer_shapes(with_image);
    optimise(with_image, {});
    return with_image;
}

ImageSpec spec_of(int width, int height)
{
    ImageSpec spec;
    spec.order = ColourOrder::bgr;
    spec.width = width;
    spec.height = height;
    return spec;
}

TEST(SamePlan, FromOnnxAndFromIr)
{
    SKIP_WITHOUT_SHARED_DATA();
    const fs::path models = shared_data() / "data" / "models";
    ImageSpec pixels = spec_of(32, 32), normalised = pixels;
    normalised.mul.fill(1.f / 255);
    normalised.add.fill(-0.498039246f); // -127 / 255 as the IR has rounded it
    const Graph onnx = planned(read_model_file(models / "onnx" / "open-closed-eye.onnx"), normalised);
    const Graph ir = planned(
        read_model_file(models / "openvino" / "open-closed-eye-0001" / "FP32" / "open-closed-eye-0001.xml"), pixels);
    EXPECT_EQ(bare(ir), bare(onnx));
    EXPECT_GT(onnx.nodes.size(), 5u);
}

/// The weights of the two files were rounded differently, so that only their shapes are compared.
TEST(SamePlan, FromBothVersionsOfIr)
{
    SKIP_WITHOUT_SHARED_DATA();
    const fs::path folder = shared_data() / "data" / "models" / "openvino" / "face-detection-retail-0004";
    const auto plan = [&](const char *precision) {
        const Graph graph =
            planned(read_model_file(folder / precision / "face-detection-retail-0004.xml"), spec_of(300, 300));
        return std::regex_replace(bare(graph), std::regex(" = (#\\w+|\\{.*\\})"), "");
    };
    EXPECT_EQ(plan("FP16-irv10"), plan("FP16"));
}

} // namespace
} // namespace leat
