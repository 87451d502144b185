#include "ports.h"

#include <leat/error.h>
#include <leat/request.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace leat {

struct InferRequest::State {
    std::shared_ptr<CompiledModel> model;
    Job job;
    std::function<void(std::exception_ptr)> callback;
    std::exception_ptr result;
    std::mutex mutex;
    std::condition_variable ended;
    bool running = false;

    struct Place {
        bool output;
        size_t index; ///< into Job::inputs, Job::images or Job::outputs
        const Port *port;
    };

    /// Throws Error that lists the ports when there is no such one, or more than one for an empty name.
    Place find(const std::string &name) const
    {
        std::vector<Place> places;
        size_t image = 0, input = 0, output = 0;
        std::string known;
        auto consider = [&](const Port &port, Place place) {
            known += (known.empty() ? "" : ", ") + to_string(port);
            if (name.empty() ? !place.output : port.name == name)
                places.push_back(place);
        };
        for (const Port &port : model->inputs())
            consider(port, {false, port.image ? image++ : input++, &port});
        for (const Port &port : model->outputs())
            consider(port, {true, output++, &port});
        if (places.size() == 1)
            return places[0];
        throw Error(
            (name.empty() ? "the model has several inputs, name one" : "the model has no port \"" + name + "\"") +
            std::string("; its ports are ") + known);
    }

    void must_be_idle(const char *what)
    {
        std::lock_guard lock(mutex);
        if (running)
            throw Error(std::string("cannot ") + what + " while the request is running; wait() for it first");
    }

    void finish(Job &ended_job)
    {
        result = ended_job.error;
        if (callback)
            callback(result);
        std::lock_guard lock(mutex);
        running = false;
        ended.notify_all();
    }
};

InferRequest::InferRequest(std::shared_ptr<CompiledModel> model) : state_(std::make_unique<State>())
{
    state_->model = std::move(model);
    Job &job = state_->job;
    for (const Port &port : state_->model->inputs()) {
        if (port.image)
            job.images.emplace_back();
        else
            job.inputs.push_back(is_static(port.shape) ? state_->model->allocate(port) : Tensor());
    }
    for (const Port &port : state_->model->outputs())
        job.outputs.push_back(is_static(port.shape) ? state_->model->allocate(port) : Tensor());
}

InferRequest::InferRequest(InferRequest &&) noexcept = default;

InferRequest &InferRequest::operator=(InferRequest &&other) noexcept
{
    InferRequest taken(std::move(other));
    std::swap(state_, taken.state_);
    return *this;
}

InferRequest::~InferRequest()
{
    if (!state_)
        return;
    std::unique_lock lock(state_->mutex);
    state_->ended.wait(lock, [&] { return !state_->running; });
}

Tensor &InferRequest::tensor(const std::string &name)
{
    const auto place = state_->find(name);
    if (place.port->image)
        throw Error("the input \"" + place.port->name + "\" takes an image, see set_image()");
    return (place.output ? state_->job.outputs : state_->job.inputs)[place.index];
}

void InferRequest::set_tensor(const std::string &name, Tensor given)
{
    state_->must_be_idle("set a tensor");
    const auto place = state_->find(name);
    const Port &port = *place.port;
    if (!given || given.type() != port.type || !fits(port, given.shape()))
        throw Error("a tensor " + std::string(to_string(given.type())) + "[" + to_string(given.shape()) +
                    "] does not fit the port " + to_string(port));
    tensor(name) = std::move(given);
}

void InferRequest::set_image(const std::string &name, Image image)
{
    state_->must_be_idle("set an image");
    const auto place = state_->find(name);
    if (!place.port->image)
        throw Error("the port " + to_string(*place.port) + " takes a tensor, see set_tensor()");
    state_->job.images[place.index] = std::move(image);
}

void InferRequest::set_callback(std::function<void(std::exception_ptr)> callback)
{
    state_->must_be_idle("set the callback");
    state_->callback = std::move(callback);
}

void InferRequest::start_async()
{
    state_->must_be_idle("start");
    state_->running = true;
    state_->job.error = nullptr;
    state_->job.done = [state = state_.get()](Job &job) { state->finish(job); };
    state_->model->submit(state_->job);
}

void InferRequest::wait()
{
    std::unique_lock lock(state_->mutex);
    state_->ended.wait(lock, [&] { return !state_->running; });
    if (state_->result)
        std::rethrow_exception(state_->result);
}

bool InferRequest::wait_for(std::chrono::milliseconds timeout_ms)
{
    std::unique_lock lock(state_->mutex);
    return state_->ended.wait_for(lock, timeout_ms, [&] { return !state_->running; });
}

} // namespace leat
