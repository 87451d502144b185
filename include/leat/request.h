#pragma once
#include <leat/model.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace leat {

/// One inference that an application starts, waits for, and starts again.
///
/// Between start_async() and its end the request is busy, or cancelled once cancel() was called; whatever would touch
/// it then throws Busy or Cancelled. Only wait(), wait_for(), cancel() and state() may be called from any thread at any
/// time; the others by one thread at a time, and by the callback.
class InferRequest {
  public:
    enum class State { idle, busy, cancelled };

    explicit InferRequest(std::shared_ptr<CompiledModel>);
    /// Waits for a running inference and its callback, which can start no other. Must not run in the callback.
    ~InferRequest();
    InferRequest(InferRequest &&) noexcept;
    InferRequest &operator=(InferRequest &&) noexcept;

    /// The tensor of that input or output (or the only one, when the name is empty): memory that the device uses
    /// without a copy, where the sizes are known. Throws Error naming the ports.
    Tensor &tensor(const std::string &name = {});
    /// Replaces it; its memory is used as it is. Throws Error when type or shape do not fit the port.
    void set_tensor(const std::string &name, Tensor);
    /// An input whose first size is the batch, as one tensor of batch 1 for each frame: at the start of each inference
    /// they are copied side by side. Until set_tensor(). Throws Error when number, type or shapes do not fit.
    void set_tensors(const std::string &name, std::vector<Tensor>);
    /// An input that is the part of a tensor from `begin` to before `end` on each axis: used as it is where it lies in
    /// one piece, else copied at the start of each inference. Until set_tensor(). Throws Error when it does not fit.
    void set_region(const std::string &name, const Tensor &, const Shape &begin, const Shape &end);
    void set_image(const std::string &name, Image);
    /// The picture of that input, or of the only one that takes pictures. Throws Error naming the ports.
    const Image &image(const std::string &name = {}) const;
    /// Of the inferences to come: jobs of one camera stream run in the order started, streams take turns, and a higher
    /// priority goes first. All requests have stream 0 and priority 0 until then.
    void set_stream(uint64_t stream, int priority = 0);
    /// Called after each inference, with nothing or what it failed with, on a thread that all requests of the process
    /// share for their callbacks: one after the other, before wait() returns. It may use the request and start it
    /// again; wait() then waits for that one too. It must not wait. What it throws is what wait() throws.
    void set_callback(std::function<void(std::exception_ptr)>);

    /// Throws Error, and starts nothing, when an input is missing or does not fit.
    void start_async();
    /// Until the request is idle; returns at once if it never ran. Throws what the last inference failed with.
    void wait();
    /// The same within that time; false when it is not idle by then, or never ran.
    bool wait_for(std::chrono::milliseconds timeout_ms);
    /// start_async() and wait(), without the callback.
    void infer();
    /// Makes a running inference end with Cancelled, sooner where the device has not begun it or is between two nodes.
    void cancel();
    State state() const;

    /// Bytes of tensors that the last inference copied, here and on the device, because it could not use them in place.
    uint64_t bytes_copied() const;
    /// A row for each node, with the mean times of the model's inferences so far. Throws Error when none were measured.
    std::vector<NodeReport> profile() const;

  private:
    struct Run;
    std::unique_ptr<Run> run_;
};

} // namespace leat
