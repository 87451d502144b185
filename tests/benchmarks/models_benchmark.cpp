#include "tests/support/shared_data.h"

#include <leat/core.h>
#include <leat/request.h>

#include <benchmark/benchmark.h>

#include <algorithm>

namespace leat {
namespace {

namespace fs = std::filesystem;

/// Unknown sizes: one picture of 320x320.
Shape some_size(Shape shape)
{
    for (size_t i = 0; i < shape.size(); i++)
        if (shape[i] < 0)
            shape[i] = i < 2 ? 1 : 320;
    return shape;
}

/// One inference after the other of zeros on one core.
void run(benchmark::State &state, const fs::path &path)
{
    Options options;
    options.num_threads = 1;
    InferRequest request(Core::compile_model(Core::read_model(path.string()), "CPU", options));
    const Model model = Core::read_model(path.string());
    for (const Port &port : model.inputs()) {
        Tensor zeros(port.type, some_size(port.shape));
        std::fill_n(zeros.raw(), zeros.bytes(), std::byte{0});
        request.set_tensor(port.name, zeros);
    }
    request.infer();
    for (auto _ : state)
        request.infer();
}

void add_models()
{
    const fs::path folder = shared_data().empty() ? fs::path() : shared_data() / "data/models/onnx";
    std::vector<fs::path> paths;
    if (!folder.empty())
        for (const auto &entry : fs::directory_iterator(folder))
            if (entry.path().extension() == ".onnx" && entry.path().stem() != "silero_vad_16k_op15")
                paths.push_back(entry.path());
    paths.push_back(source_root() / "pipelines/street/street.onnx");
    std::sort(paths.begin(), paths.end());
    for (const fs::path &path : paths)
        benchmark::RegisterBenchmark(("Model/" + path.stem().string()).c_str(),
                                     [path](benchmark::State &state) { run(state, path); })
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
}

} // namespace
} // namespace leat

int main(int argc, char **argv)
{
    leat::add_models();
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
}
