#include "latency_bound.h"

#include "devices/in_flight_limit.h"

#include <mutex>

namespace leat {
namespace {

using Clock = std::chrono::steady_clock;

class BoundedModel final : public CompiledModel {
  public:
    BoundedModel(std::unique_ptr<CompiledModel> model, int bound_ms)
        : bound_ms_(bound_ms), limit_(bound_ms, model->depth()), model_(std::move(model))
    {
    }

    std::span<const Port> inputs() const override { return model_->inputs(); }
    std::span<const Port> outputs() const override { return model_->outputs(); }
    int depth() const override
    {
        std::lock_guard lock(mutex_);
        return limit_.now();
    }
    int most_depth() const override { return model_->most_depth(); }
    Tensor allocate(const Port &port) const override { return model_->allocate(port); }
    bool owns(const Job &job) const override { return model_->owns(job); }

    void submit(Job &job) override
    {
        InFlightLimit::Ticket ticket;
        bool last = false;
        const int most = model_->depth(); // AUTO's changes with the device
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
        model_->submit(job);
        if (last)
            model_->flush(); // no more come until one has ended
    }

    void flush() override { model_->flush(); }
    std::vector<NodeReport> nodes() const override { return model_->nodes(); }
    std::vector<Setting> settings() const override
    {
        std::vector<Setting> all = model_->settings();
        all.push_back({"latency_bound_ms", std::to_string(bound_ms_), "as asked; of the 99th percentile"});
        std::lock_guard lock(mutex_);
        all.push_back(limit_.setting());
        return all;
    }

  private:
    const int bound_ms_;
    mutable std::mutex mutex_; // guards the limit
    InFlightLimit limit_;
    const std::unique_ptr<CompiledModel> model_; // last: its destructor waits for the jobs

    void note(const InFlightLimit::Ticket &ticket, const Job &job, Clock::time_point begun)
    {
        const double ms = std::chrono::duration<double, std::milli>(job.finished - begun).count();
        std::lock_guard lock(mutex_);
        if (job.error)
            limit_.failed();
        else
            limit_.ended(ticket, ms);
    }
};

} // namespace

std::unique_ptr<CompiledModel> with_latency_bound(std::unique_ptr<CompiledModel> model, int bound_ms)
{
    return std::make_unique<BoundedModel>(std::move(model), bound_ms);
}

} // namespace leat
