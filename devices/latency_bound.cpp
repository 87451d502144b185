#include "latency_bound.h"

#include "devices/in_flight_limit.h"
#include "devices/stream_choice.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace leat {
namespace {

using Clock = std::chrono::steady_clock;

/// What the model says of itself; 1 when it says nothing.
int streams_of(const CompiledModel &model)
{
    for (const Setting &setting : model.settings())
        if (setting.name == "num_streams")
            return std::atoi(setting.value.c_str());
    return 1;
}

class BoundedModel final : public CompiledModel {
  public:
    BoundedModel(std::unique_ptr<CompiledModel> model, int bound_ms, ModelOfStreams make)
        : bound_ms_(bound_ms), make_(std::move(make)), inputs_(model->inputs().begin(), model->inputs().end()),
          outputs_(model->outputs().begin(), model->outputs().end()), most_depth_(model->most_depth()),
          limit_(bound_ms, model->depth()), streams_(bound_ms, make_ ? streams_of(*model) : 1),
          current_(std::make_unique<Current>(std::move(model)))
    {
    }
    ~BoundedModel() override
    {
        {
            std::lock_guard lock(mutex_);
            closing_ = true;
        }
        if (maker_.joinable())
            maker_.join();
    }

    std::span<const Port> inputs() const override { return inputs_; }
    std::span<const Port> outputs() const override { return outputs_; }
    int depth() const override
    {
        std::lock_guard lock(mutex_);
        return limit_.now();
    }
    int most_depth() const override { return std::max(most_depth_, Use(*this)->most_depth()); }
    Tensor allocate(const Port &port) const override { return Use(*this)->allocate(port); }
    bool owns(const Job &job) const override { return Use(*this)->owns(job); }

    void submit(Job &job) override
    {
        const Use model(*this);
        InFlightLimit::Ticket ticket;
        bool last = false;
        const int most = model->depth(); // AUTO's changes with the device
        {
            std::lock_guard lock(mutex_);
            limit_.allow(most);
            ticket = limit_.submitted();
            last = ticket.in_flight == limit_.now();
        }
        job.done = [this, ticket, begun = Clock::now(), done = std::move(job.done)](Job &ended) {
            note(ticket, ended, begun);
            done(ended);
        };
        model->submit(job);
        if (last)
            model->flush(); // no more come until one has ended
    }

    void flush() override { Use(*this)->flush(); }
    std::vector<NodeReport> nodes() const override { return Use(*this)->nodes(); }
    std::vector<Setting> settings() const override
    {
        std::vector<Setting> all = Use(*this)->settings();
        all.push_back({"latency_bound_ms", std::to_string(bound_ms_), "as asked; of the 99th percentile"});
        std::lock_guard lock(mutex_);
        all.push_back(limit_.setting());
        const auto streams = streams_.setting();
        for (Setting &each : all)
            if (streams && each.name == streams->name)
                each = *streams;
        return all;
    }

  private:
    struct Current {
        explicit Current(std::unique_ptr<CompiledModel> made) : model(std::move(made)) {}
        int users = 0; // that are in one of its functions; guarded by mutex_
        const std::unique_ptr<CompiledModel> model;
    };

    /// Keeps the current model from being replaced while one of its functions runs.
    class Use {
      public:
        explicit Use(const BoundedModel &of) : of_(of)
        {
            std::lock_guard lock(of_.mutex_);
            current_ = of_.current_.get();
            current_->users++;
        }
        ~Use()
        {
            std::lock_guard lock(of_.mutex_);
            if (--current_->users == 0 && current_ != of_.current_.get())
                of_.unused_.notify_all();
        }
        Use(const Use &) = delete;
        Use &operator=(const Use &) = delete;
        CompiledModel *operator->() const { return current_->model.get(); }

      private:
        const BoundedModel &of_;
        Current *current_;
    };

    const int bound_ms_;
    const ModelOfStreams make_;
    const std::vector<Port> inputs_, outputs_;
    const int most_depth_;
    mutable std::mutex mutex_; // guards what follows
    InFlightLimit limit_;
    StreamChoice streams_;
    bool making_ = false, closing_ = false;
    std::thread maker_; ///< of the model with other streams
    mutable std::condition_variable unused_;
    std::unique_ptr<Current> current_; // last: its destructor waits for the jobs

    void note(const InFlightLimit::Ticket &ticket, const Job &job, Clock::time_point begun)
    {
        const double ms = std::chrono::duration<double, std::milli>(job.finished - begun).count();
        std::lock_guard lock(mutex_);
        if (job.error)
            return limit_.failed();
        const auto finding = limit_.ended(ticket, ms);
        if (!finding)
            return;
        if (!finding->kept)
            streams_.late(finding->p99_ms);
        else if (finding->reached)
            streams_.kept(finding->p99_ms, finding->limit);
        if (streams_.wanted() && !making_ && !closing_)
            begin_making();
    }

    void begin_making()
    {
        if (maker_.joinable())
            maker_.join(); // it has ended
        making_ = true;
        maker_ = std::thread([this, streams = *streams_.wanted()] {
            try {
                replace(make_(streams));
            } catch (const std::exception &error) {
                std::lock_guard lock(mutex_);
                streams_.refused(error.what());
            }
        });
    }

    void replace(std::unique_ptr<CompiledModel> model)
    {
        const int most = model->depth();
        auto next = std::make_unique<Current>(std::move(model));
        std::unique_lock lock(mutex_);
        std::swap(current_, next);
        limit_.restart(most);
        streams_.changed();
        unused_.wait(lock, [&] { return next->users == 0; });
        lock.unlock();
        next.reset(); // waits for its jobs
        lock.lock();
        making_ = false;
    }
};

} // namespace

std::unique_ptr<CompiledModel> with_latency_bound(std::unique_ptr<CompiledModel> model, int bound_ms,
                                                  ModelOfStreams make)
{
    return std::make_unique<BoundedModel>(std::move(model), bound_ms, std::move(make));
}

} // namespace leat
