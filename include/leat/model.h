#pragma once
#include <leat/error.h>
#include <leat/image.h>
#include <leat/tensor.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace leat {

/// The sizes that an axis may have, both inclusive.
struct Dimension {
    static constexpr int64_t any_size = INT64_MAX;
    Dimension() = default; ///< any size
    /// That size only; -1: any.
    Dimension(int64_t size) : least(size < 0 ? 0 : size), most(size < 0 ? any_size : size) {}
    Dimension(int64_t lowest, int64_t highest) : least(lowest), most(highest) {}
    bool operator==(const Dimension &) const = default;
    bool is_fixed() const { return least == most; }
    bool allows(int64_t size) const { return least <= size && size <= most; }
    int64_t least = 0, most = any_size;
};

/// What an input may look like, axis by axis.
using Dimensions = std::vector<Dimension>;

/// "1x3x64..640x?"
std::string to_string(const Dimensions &);

/// An input or output of a model.
struct Port {
    std::string name;
    Type type = Type::f32;
    Shape shape;         ///< -1 where any size will do
    bool image = false;  ///< fed by Job::images instead of Job::inputs; `shape` is that of the tensor made from it
    Dimensions limits{}; ///< of an input whose open axes have bounds; else empty
};

/// One inference. The submitter owns it and keeps it alive, unmoved, until done() runs.
struct Job {
    std::vector<Image> images;  ///< one for each image port, in the order of CompiledModel::inputs()
    std::vector<Tensor> inputs; ///< one for each other input port, in the same order
    std::vector<Tensor>
        outputs;              ///< one for each output; absent ones are allocated by the device, present ones are filled
    std::exception_ptr error; ///< set instead of the outputs when the inference failed
    std::function<void(Job &)> done; ///< called exactly once, on a thread of the device, never inside submit()

    /// When it becomes true the device may end the job early, with the error Cancelled. Not looked at when absent;
    /// lives until done() runs.
    const std::atomic<bool> *cancelled = nullptr;
    /// Set by the device: bytes that it copied because it could not read or write the job's tensors in place.
    uint64_t bytes_copied = 0;

    uint64_t stream = 0; ///< camera stream: jobs of one stream run in the order submitted
    int priority = 0;    ///< higher first
    std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
    std::chrono::steady_clock::time_point submitted, started, finished; ///< filled by the device
    /// When the last image had become a tensor; filled by devices that do it as a step of its own, else `started`.
    std::chrono::steady_clock::time_point prepared;
};

/// How every device ends a job: done() may free or resubmit it.
inline void complete(Job &job)
{
    job.finished = std::chrono::steady_clock::now();
    auto done = std::move(job.done);
    job.done = nullptr;
    done(job);
}

/// Devices call it before they run a job, and between its nodes. Throws Cancelled.
inline void throw_if_cancelled(const Job &job)
{
    if (job.cancelled && job.cancelled->load(std::memory_order_relaxed))
        throw Cancelled("the inference was cancelled");
}

/// An effective value that somebody (user, hint, hardware) decided, and one sentence why.
struct Setting {
    std::string name, value, reason;
};

/// What runs one node: for `leat inspect` and profiling.
struct NodeReport {
    std::string node, op, device, kernel, reason;
    double milliseconds = -1; ///< average of the runs measured; -1 when profiling is off
    double operations = -1;   ///< additions and multiplications of its products in one run; -1 where not known
    double bytes = -1;        ///< of what it reads and writes in one run; 0 for views, -1 where not known
};

/// A model made ready for a device. Immutable; every function may be called from any thread.
///
/// The destructor waits for the jobs in flight. It must not be called from done().
class CompiledModel {
  public:
    virtual ~CompiledModel() = default;
    virtual std::span<const Port> inputs() const = 0;
    virtual std::span<const Port> outputs() const = 0;
    /// Jobs worth keeping in flight. With Options::latency_bound_ms it changes while jobs run.
    virtual int depth() const = 0;
    /// The most that depth() becomes while jobs run.
    virtual int most_depth() const { return depth(); }
    /// Memory of that shape which the device reads or writes without a copy. The port's shape must be static.
    virtual Tensor allocate(const Port &) const = 0;
    /// Whether images or tensors of the job lie in memory that only this device reaches.
    virtual bool owns(const Job &) const { return false; }
    /// Never blocks. Errors arrive in Job::error.
    virtual void submit(Job &) = 0;
    /// Jobs that wait for others to be joined with start: none may come soon. Never blocks.
    virtual void flush() {}
    virtual std::vector<Setting> settings() const = 0;
    virtual std::vector<NodeReport> nodes() const = 0;
};

} // namespace leat
