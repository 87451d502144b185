// Several cameras share one model. Each has two requests: while one runs, the camera's next frame is fetched for the
// other, so that the slower of fetching and inference sets the pace, not their sum.
//
// camera_streams MODEL [CAMERAS [FRAMES]]

#include <leat/error.h>
#include <leat/vision.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int width = 640, height = 360;

/// An NV12 frame as a camera's driver would give it: here a bright bar that moves over grey. Each frame has memory of
/// its own, which lives until no request uses it any more.
leat::Image fetch_frame(int number)
{
    const auto pixels = std::make_shared<std::vector<uint8_t>>(width * height * 3 / 2, uint8_t(128));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < 40; x++)
            (*pixels)[static_cast<size_t>(y * width + (x + 8 * number) % width)] = 235;
    leat::Image frame;
    frame.format = leat::PixelFormat::nv12;
    frame.width = width;
    frame.height = height;
    frame.planes[0] = {pixels->data(), width};
    frame.planes[1] = {pixels->data() + width * height, width};
    frame.colour = colour_matrix(frame.format, leat::ColourStandard::bt709, leat::ColourRange::limited);
    frame.owner = pixels;
    return frame;
}

struct Camera {
    int frames = 0;
    size_t objects = 0;
    std::string error;
};

void watch(const leat::VisionModel &model, uint64_t stream, int frames, Camera &camera)
{
    leat::InferRequest current = model.make_request(), next = model.make_request();
    for (leat::InferRequest *request : {&current, &next})
        request->set_stream(stream); // streams take turns, and the frames of one stay in order
    model.set_frame(current, fetch_frame(0));
    current.start_async();
    for (int number = 1; number <= frames; number++) {
        if (number < frames) {
            model.set_frame(next, fetch_frame(number));
            next.start_async();
        }
        current.wait();
        camera.objects += model.detections(current).size();
        camera.frames++;
        std::swap(current, next);
    }
}

void run(const char *path, int cameras, int frames)
{
    leat::VisionOptions options;
    options.task = "detect";
    options.compile.performance_hint = leat::PerformanceHint::throughput;
    const leat::VisionModel model(path, options);
    std::printf("decoder: %s\n", model.reason().c_str());

    std::vector<Camera> seen(static_cast<size_t>(cameras));
    std::vector<std::thread> threads;
    const auto begin = std::chrono::steady_clock::now();
    for (size_t i = 0; i < seen.size(); i++)
        threads.emplace_back([&, i] {
            try {
                watch(model, i, frames, seen[i]);
            } catch (const leat::Error &error) {
                seen[i].error = error.what();
            }
        });
    for (std::thread &thread : threads)
        thread.join();
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    for (size_t i = 0; i < seen.size(); i++) {
        if (!seen[i].error.empty())
            throw leat::Error("camera " + std::to_string(i) + ": " + seen[i].error);
        std::printf("camera %zu: %d frames, %zu objects, %.1f frames/s\n", i, seen[i].frames, seen[i].objects,
                    seen[i].frames / spent.count());
    }
}

} // namespace

int main(int count, char **arguments)
{
    if (count < 2) {
        std::fprintf(stderr, "usage: camera_streams MODEL [CAMERAS [FRAMES]]\n");
        return 2;
    }
    try {
        run(arguments[1], count > 2 ? std::atoi(arguments[2]) : 4, count > 3 ? std::atoi(arguments[3]) : 50);
    } catch (const leat::Error &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
