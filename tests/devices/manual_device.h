#pragma once
#include "devices/reference.h"
#include "inference/device.h"
#include "inference/ops.h"
#include "inference/ports.h"

#include <leat/core.h>
#include <leat/error.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

namespace leat {

/// A device whose jobs end when the test says so, on the thread of the test.
class ManualDevice final : public Device {
  public:
    explicit ManualDevice(std::string name = "MANUAL", int depth = 1, int batch = 1)
        : name_(std::move(name)), depth_(depth), batch_(batch)
    {
    }

    std::string name() const override { return name_; }
    std::string description() const override { return "jobs end when the test says so"; }
    std::string why_not(const Graph &, const Node &node) const override
    {
        std::lock_guard lock(mutex_);
        return node.op->name == refused_ ? "the test refuses " + refused_ : "";
    }
    int optimal_batch() const override { return batch_; }
    std::unique_ptr<CompiledModel> compile(Graph graph, const Options &options) override
    {
        infer_shapes(graph);
        graph.tidy();
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return may_compile_; });
        if (!fault_.empty())
            throw Error(fault_);
        return std::make_unique<Made>(*this, std::move(graph), std::max(1, options.num_streams));
    }

    /// From now on compile() waits for let_compile().
    void hold_compile() { set(may_compile_, false); }
    void let_compile() { set(may_compile_, true); }
    /// From now on compile() throws that.
    void fail_compile(const std::string &fault) { set(fault_, fault); }

    /// From now on it cannot run that op.
    void refuse(const std::string &op) { set(refused_, op); }

    /// Jobs whose first input's second number is this lie in the memory of this device.
    void own(float number) { set(owned_, std::optional(number)); }

    /// Waits until so many jobs have come and not ended.
    void await(size_t jobs)
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return jobs_.size() >= jobs; });
    }
    size_t jobs() const
    {
        std::lock_guard lock(mutex_);
        return jobs_.size();
    }
    /// Tensors that the job brings: with one input the size of its batch.
    size_t inputs_of(size_t job) const
    {
        std::lock_guard lock(mutex_);
        return jobs_.at(job).job->inputs.size();
    }
    /// The first input's first number of that job.
    float first_number_of(size_t job) const
    {
        std::lock_guard lock(mutex_);
        return jobs_.at(job).job->inputs.at(0).data<float>()[0];
    }
    /// Ends that job, of those that have not ended in the order in which they came.
    void end(size_t job = 0)
    {
        const Entry entry = take(job);
        run_by_reference(entry.made->graph, *entry.job);
        complete(*entry.job);
        ended(*entry.made);
    }
    void fail(const std::string &why, size_t job = 0)
    {
        const Entry entry = take(job);
        entry.job->error = std::make_exception_ptr(Error(why));
        complete(*entry.job);
        ended(*entry.made);
    }

  private:
    struct Made final : CompiledModel {
        Made(ManualDevice &on, Graph of, int runs)
            : device(on), graph(std::move(of)), streams(runs), in(input_ports(graph)), out(output_ports(graph))
        {
        }
        ~Made() override
        {
            std::unique_lock lock(device.mutex_);
            device.changed_.wait(lock, [&] { return unfinished == 0; });
        }
        std::span<const Port> inputs() const override { return in; }
        std::span<const Port> outputs() const override { return out; }
        int depth() const override { return device.depth_; }
        Tensor allocate(const Port &port) const override { return Tensor(port.type, port.shape); }
        bool owns(const Job &job) const override
        {
            std::lock_guard lock(device.mutex_);
            return device.owned_ && job.inputs.at(0).data<float>()[1] == *device.owned_;
        }
        void submit(Job &job) override
        {
            job.submitted = job.started = job.prepared = std::chrono::steady_clock::now();
            std::lock_guard lock(device.mutex_);
            unfinished++;
            device.jobs_.push_back({&job, this});
            device.changed_.notify_all();
        }
        std::vector<Setting> settings() const override
        {
            return {{"device", device.name_, "named by the test"},
                    {"num_streams", std::to_string(streams), "set by num_streams"}};
        }
        std::vector<NodeReport> nodes() const override { return {}; }
        ManualDevice &device;
        const Graph graph;
        const int streams;
        int unfinished = 0; ///< jobs
        const std::vector<Port> in, out;
    };
    struct Entry {
        Job *job;
        Made *made;
    };

    void ended(Made &made)
    {
        std::lock_guard lock(mutex_);
        made.unfinished--;
        changed_.notify_all();
    }

    Entry take(size_t job)
    {
        std::lock_guard lock(mutex_);
        const Entry entry = jobs_.at(job);
        jobs_.erase(jobs_.begin() + static_cast<long>(job));
        return entry;
    }
    template <class T> void set(T &member, const T &value)
    {
        std::lock_guard lock(mutex_);
        member = value;
        changed_.notify_all();
    }

    const std::string name_;
    const int depth_, batch_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Entry> jobs_;
    bool may_compile_ = true;
    std::optional<float> owned_;
    std::string fault_, refused_;
};

/// y = 2 x, of two numbers.
inline Graph doubling_graph()
{
    return parse(R"(graph "doubling"
input %0:f32[1x2] "x"
%1:f32[1x2] "y" = Add(%0, %0) "add"
output %1
)");
}

/// What is wrong with that device string; "none" when a model compiles on it.
inline std::string error_of(const std::string &device)
{
    try {
        Core::compile_model(Model(std::make_shared<const Graph>(doubling_graph())), device);
    } catch (const Error &error) {
        return error.what();
    }
    return "none";
}

/// Jobs that stay where they are, and how often each has ended.
class CountedJobs {
  public:
    /// Job i brings the numbers i and 0.5.
    explicit CountedJobs(size_t count) : jobs_(count), ended_(count)
    {
        for (size_t i = 0; i < count; i++) {
            jobs_[i].inputs = {Tensor::of<float>({1, 2}, {static_cast<float>(i), 0.5f})};
            jobs_[i].done = [this, i](Job &) {
                std::lock_guard lock(mutex_);
                ended_[i]++;
                order_.push_back(i);
                changed_.notify_all();
            };
        }
    }
    Job &operator[](size_t i) { return jobs_[i]; }
    size_t size() const { return jobs_.size(); }
    void submit_all(CompiledModel &model)
    {
        for (Job &job : jobs_)
            model.submit(job);
    }
    void await_all()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return order_.size() >= jobs_.size(); });
    }
    std::vector<size_t> order() const
    {
        std::lock_guard lock(mutex_);
        return order_;
    }
    int ended(size_t i) const
    {
        std::lock_guard lock(mutex_);
        return ended_[i];
    }
    /// Each ended once, without error, with 2 x.
    bool all_right() const
    {
        std::lock_guard lock(mutex_);
        for (size_t i = 0; i < jobs_.size(); i++)
            if (ended_[i] != 1 || jobs_[i].error ||
                jobs_[i].outputs.at(0).data<float>()[0] != 2 * static_cast<float>(i))
                return false;
        return true;
    }
    std::string error_of(size_t i) const
    {
        try {
            if (jobs_[i].error)
                std::rethrow_exception(jobs_[i].error);
        } catch (const Error &error) {
            return error.what();
        }
        return "none";
    }

  private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Job> jobs_;
    std::vector<int> ended_;
    std::vector<size_t> order_;
};

/// "value: reason" of the last setting of that name, which is the one that holds.
inline std::string setting_of(const CompiledModel &model, const std::string &name)
{
    std::string found = "none";
    for (const Setting &setting : model.settings())
        if (setting.name == name)
            found = setting.value + ": " + setting.reason;
    return found;
}

} // namespace leat
