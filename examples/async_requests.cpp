// Keeps a device busy: as many requests as it asks for, each started again by its callback.
//
// async_requests MODEL [DEVICE]

#include <leat/core.h>
#include <leat/error.h>
#include <leat/request.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <vector>

namespace {

/// Inferences that are still to be started.
std::atomic<int> left = 200;

void fill(leat::InferRequest &request, const leat::CompiledModel &model)
{
    for (const leat::Port &port : model.inputs()) {
        // The request's own tensor is memory that the device reads in place: fill it rather than set another.
        leat::Tensor &tensor = request.tensor(port.name);
        if (!tensor)
            throw leat::Error("the model leaves the sizes of \"" + port.name + "\" open; see Model::reshaped()");
        std::fill_n(tensor.raw(), tensor.bytes(), std::byte{0});
    }
}

void run(const char *path, const char *device)
{
    leat::Options options;
    options.performance_hint = leat::PerformanceHint::throughput;
    const auto model = leat::Core::compile_model(leat::Core::read_model(path), device, options);
    for (const leat::Setting &setting : model->settings())
        std::printf("%s = %s (%s)\n", setting.name.c_str(), setting.value.c_str(), setting.reason.c_str());

    std::atomic<int> done = 0;
    std::vector<leat::InferRequest> requests;
    for (int i = 0; i < model->depth(); i++)
        requests.emplace_back(model);
    const auto begin = std::chrono::steady_clock::now();
    for (leat::InferRequest &request : requests) {
        fill(request, *model);
        request.set_callback([&done, &request](std::exception_ptr error) {
            // Here the outputs are read, and the next inputs filled in. It should be quick: all callbacks share a
            // thread.
            if (error)
                return; // wait() will throw it
            done++;
            if (--left >= 0)
                request.start_async();
        });
        if (--left >= 0)
            request.start_async();
    }
    for (leat::InferRequest &request : requests)
        request.wait(); // until its callback starts it no more
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    std::printf("%d inferences with %zu requests, %.1f a second\n", done.load(), requests.size(),
                done.load() / spent.count());
}

} // namespace

int main(int count, char **arguments)
{
    if (count < 2) {
        std::fprintf(stderr, "usage: async_requests MODEL [DEVICE]\n");
        return 2;
    }
    try {
        run(arguments[1], count > 2 ? arguments[2] : "CPU");
    } catch (const leat::Error &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
