#include "preprocess/geometry.h"
#include "preprocess/image_to_tensor.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace leat {
namespace {

/// A 1080p NV12 frame to 640x640 f32 on one core, as a detector's input wants it.
void run(benchmark::State &state, ResizeMode resize, bool reference)
{
    constexpr int width = 1920, height = 1080;
    std::vector<uint8_t> pixels(width * height * 3 / 2);
    for (size_t i = 0; i < pixels.size(); i++)
        pixels[i] = static_cast<uint8_t>(16 + i * 7 % 200);
    ImageSpec spec;
    spec.width = spec.height = 640;
    spec.mul = {1 / 255.f, 1 / 255.f, 1 / 255.f};
    spec.resize = resize;
    Image image;
    image.format = PixelFormat::nv12;
    image.width = width;
    image.height = height;
    image.planes[0] = {pixels.data(), width};
    image.planes[1] = {pixels.data() + width * height, width};
    image.colour = colour_matrix(PixelFormat::nv12, ColourStandard::bt709, ColourRange::limited);
    image.region = {0, 0, width, height};
    image.to_frame = fit(spec, image.region);
    Tensor tensor(Type::f32, {1, 3, 640, 640});
    for (auto _ : state) {
        if (reference)
            image_to_tensor_reference(image, spec, tensor.raw());
        else
            image_to_tensor(image, spec, dense_layout(spec), tensor.raw(), 0, spec.height);
        benchmark::DoNotOptimize(tensor.raw());
    }
}

BENCHMARK_CAPTURE(run, stretch, ResizeMode::stretch, false)
    ->Name("ImageToTensor/1080p NV12 stretch")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(run, letterbox, ResizeMode::letterbox, false)
    ->Name("ImageToTensor/1080p NV12 letterbox")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(run, reference, ResizeMode::stretch, true)
    ->Name("ImageToTensor/1080p NV12 stretch, reference")
    ->Unit(benchmark::kMillisecond);

} // namespace
} // namespace leat
