#pragma once
#include <leat/model.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace leat {

/// One inference that an application starts, waits for, and starts again. Not synchronised: one thread at a time,
/// except the callback.
class InferRequest {
  public:
    explicit InferRequest(std::shared_ptr<CompiledModel>);
    ~InferRequest(); ///< waits for a running inference
    InferRequest(InferRequest &&) noexcept;
    InferRequest &operator=(InferRequest &&) noexcept;

    /// The tensor of that input or output (or the only one, when the name is empty). Throws Error naming the ports.
    Tensor &tensor(const std::string &name = {});
    /// Replaces it. Throws Error when type or shape do not fit the port, or while running.
    void set_tensor(const std::string &name, Tensor);
    void set_image(const std::string &name, Image);
    /// Called after each inference, on a thread of the device, before wait() returns.
    void set_callback(std::function<void(std::exception_ptr)>);

    /// Throws Error while running.
    void start_async();
    /// Throws what the inference failed with.
    void wait();
    bool wait_for(std::chrono::milliseconds timeout_ms);
    void infer()
    {
        start_async();
        wait();
    }

  private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace leat
