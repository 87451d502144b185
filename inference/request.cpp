#include "callback_thread.h"
#include "ports.h"

#include <leat/error.h>
#include <leat/request.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace leat {
namespace {

void check_fit(const Port &port, const Tensor &tensor)
{
    if (!tensor || tensor.type() != port.type || !fits(port, tensor.shape()))
        throw Error("a tensor " + std::string(to_string(tensor.type())) + "[" + to_string(tensor.shape()) +
                    "] does not fit the port " + to_string(port));
}

/// An input that is copied together at the start of each inference; of no parts: one that is used as it is.
struct Gathered {
    struct Part {
        Tensor from;
        Shape begin, end;
    };
    std::vector<Part> parts;
    Tensor whole; ///< the parts side by side, each as large as the others

    /// Returns how many bytes it copied.
    uint64_t gather()
    {
        std::byte *to = whole.raw();
        for (const Part &part : parts) {
            copy_region(part.from, part.begin, part.end, to);
            to += whole.bytes() / parts.size();
        }
        return parts.empty() ? 0 : whole.bytes();
    }
};

} // namespace

struct InferRequest::Run {
    using Callback = std::function<void(std::exception_ptr)>;

    struct Place {
        bool output;
        size_t index; ///< into Job::inputs, Job::images or Job::outputs
        const Port *port;
    };

    std::shared_ptr<CompiledModel> model;
    Job job;
    std::vector<Gathered> gathered; ///< by tensor input
    uint64_t bytes_gathered = 0;
    std::atomic<bool> cancelled = false;

    mutable std::mutex mutex; // guards what follows; the job and its inputs are the device's while it runs
    std::condition_variable ended;
    State state = State::idle;
    bool calling = false; ///< the callback runs; for it the request is idle, for others it is not
    bool ever = false, with_callback = false, stopping = false;
    std::exception_ptr result, thrown; ///< of the last inference; by the last callback
    std::shared_ptr<CallbackThread> callbacks;
    std::shared_ptr<Callback> callback;
    std::thread::id caller; ///< the thread on which the callback runs, while it does

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

    Place find_tensor_input(const std::string &name) const
    {
        const Place place = find(name);
        if (place.output || place.port->image)
            throw Error("the port " + to_string(*place.port) + " is not an input that takes tensors");
        return place;
    }

    /// The only one that takes pictures, when the name is empty.
    Place find_image(const std::string &name) const
    {
        const auto ports = model->inputs();
        const auto takes_image = [](const Port &port) { return port.image; };
        const bool only = name.empty() && std::count_if(ports.begin(), ports.end(), takes_image) == 1;
        const Place place = find(only ? std::find_if(ports.begin(), ports.end(), takes_image)->name : name);
        if (!place.port->image)
            throw Error("the port " + to_string(*place.port) + " takes a tensor, see set_tensor()");
        return place;
    }

    bool in_callback() const { return std::this_thread::get_id() == caller; }

    /// Throws Busy or Cancelled unless the request is idle for this thread. The mutex is held.
    void must_be_idle(const std::string &what) const
    {
        if (state == State::cancelled)
            throw Cancelled("cannot " + what +
                            ": the request was cancelled and has not ended yet; wait() for it first");
        if (state == State::busy || (calling && !in_callback()))
            throw Busy("cannot " + what + " while the request is running; wait() for it first");
    }

    void check_idle(const std::string &what) const
    {
        std::lock_guard lock(mutex);
        must_be_idle(what);
    }

    void gather()
    {
        bytes_gathered = 0;
        for (size_t i = 0; i < gathered.size(); i++) {
            if (gathered[i].parts.empty())
                continue;
            bytes_gathered += gathered[i].gather();
            job.inputs[i] = gathered[i].whole;
        }
    }

    void start(bool call)
    {
        {
            std::lock_guard lock(mutex);
            must_be_idle("start");
            if (stopping)
                return;
        }
        gather();
        check_inputs(model->inputs(), job);
        cancelled = false;
        job.cancelled = &cancelled;
        job.error = nullptr;
        job.done = [this](Job &) { finish(); };
        {
            std::lock_guard lock(mutex);
            if (!calling)
                thrown = nullptr;
            state = State::busy;
            ever = true;
            with_callback = call;
        }
        model->submit(job);
    }

    void finish()
    {
        std::unique_lock lock(mutex);
        result = state == State::cancelled && !job.error
                     ? std::make_exception_ptr(Cancelled("the inference was cancelled"))
                     : job.error;
        if (!with_callback || !callback) {
            state = State::idle;
            ended.notify_all();
            return;
        }
        const auto thread = callbacks;
        lock.unlock();
        thread->post([this] { call_back(); });
    }

    void call_back()
    {
        std::unique_lock lock(mutex);
        state = State::idle;
        calling = true;
        caller = std::this_thread::get_id();
        auto called = callback;
        const std::exception_ptr told = result;
        lock.unlock();
        std::exception_ptr error;
        try {
            (*called)(told);
        } catch (...) {
            error = std::current_exception();
        }
        called.reset(); // what it holds may use the request
        lock.lock();
        caller = {};
        calling = false;
        thrown = error;
        ended.notify_all();
    }

    /// Nothing runs and nothing is called. The mutex is held.
    bool is_over() const { return state == State::idle && !calling; }

    void must_not_be_in_callback() const
    {
        if (in_callback())
            throw Error("the callback of a request cannot wait for it: it would wait for itself");
    }

    void rethrow() const
    {
        if (thrown)
            std::rethrow_exception(thrown);
        if (result)
            std::rethrow_exception(result);
    }
};

InferRequest::InferRequest(std::shared_ptr<CompiledModel> model) : run_(std::make_unique<Run>())
{
    run_->model = std::move(model);
    Job &job = run_->job;
    for (const Port &port : run_->model->inputs()) {
        if (port.image)
            job.images.emplace_back();
        else
            job.inputs.push_back(is_static(port.shape) ? run_->model->allocate(port) : Tensor());
    }
    run_->gathered.resize(job.inputs.size());
    for (const Port &port : run_->model->outputs())
        job.outputs.push_back(is_static(port.shape) ? run_->model->allocate(port) : Tensor());
}

InferRequest::InferRequest(InferRequest &&) noexcept = default;

InferRequest &InferRequest::operator=(InferRequest &&other) noexcept
{
    InferRequest taken(std::move(other));
    std::swap(run_, taken.run_);
    return *this;
}

InferRequest::~InferRequest()
{
    if (!run_)
        return;
    std::unique_lock lock(run_->mutex);
    run_->stopping = true;
    run_->ended.wait(lock, [&] { return run_->is_over(); });
}

Tensor &InferRequest::tensor(const std::string &name)
{
    run_->check_idle("use a tensor");
    const auto place = run_->find(name);
    if (place.port->image)
        throw Error("the input \"" + place.port->name + "\" takes an image, see set_image()");
    return (place.output ? run_->job.outputs : run_->job.inputs)[place.index];
}

void InferRequest::set_tensor(const std::string &name, Tensor given)
{
    run_->check_idle("set a tensor");
    const auto place = run_->find(name);
    check_fit(*place.port, given);
    tensor(name) = std::move(given);
    if (!place.output)
        run_->gathered[place.index] = {};
}

void InferRequest::set_tensors(const std::string &name, std::vector<Tensor> given)
{
    run_->check_idle("set tensors");
    const auto place = run_->find_tensor_input(name);
    const Port &port = *place.port;
    const auto count = static_cast<int64_t>(given.size());
    if (given.empty() || port.shape.empty() || (port.shape[0] >= 0 && port.shape[0] != count))
        throw Error(std::to_string(count) + " tensors do not fit the port " + to_string(port) +
                    ": want one for each frame of the batch");
    if (given[0].rank() != port.shape.size())
        check_fit(port, given[0]);
    Port frame{port.name, port.type, given[0].shape()};
    frame.shape[0] = 1;
    for (const Tensor &tensor : given)
        check_fit(frame, tensor);
    Shape shape = frame.shape;
    shape[0] = count;
    Gathered batch{{}, Tensor(port.type, shape)};
    check_fit(port, batch.whole);
    for (Tensor &tensor : given)
        batch.parts.push_back({std::move(tensor), Shape(shape.size(), 0), frame.shape});
    run_->job.inputs[place.index] = batch.whole;
    run_->gathered[place.index] = std::move(batch);
}

void InferRequest::set_region(const std::string &name, const Tensor &owner, const Shape &begin, const Shape &end)
{
    run_->check_idle("set a region");
    const auto place = run_->find_tensor_input(name);
    Gathered input;
    if (owner.is_one_piece(begin, end)) {
        input.whole = owner.region(begin, end);
    } else {
        Shape shape;
        for (size_t axis = 0; axis < begin.size(); axis++)
            shape.push_back(end[axis] - begin[axis]);
        input = {{{owner, begin, end}}, Tensor(owner.type(), shape)};
    }
    check_fit(*place.port, input.whole);
    run_->job.inputs[place.index] = input.whole;
    run_->gathered[place.index] = std::move(input);
}

void InferRequest::set_image(const std::string &name, Image image)
{
    run_->check_idle("set an image");
    const auto place = run_->find_image(name);
    run_->job.images[place.index] = std::move(image);
}

const Image &InferRequest::image(const std::string &name) const
{
    run_->check_idle("use an image");
    return run_->job.images[run_->find_image(name).index];
}

void InferRequest::set_stream(uint64_t stream, int priority)
{
    run_->check_idle("set the stream");
    run_->job.stream = stream;
    run_->job.priority = priority;
}

void InferRequest::set_callback(std::function<void(std::exception_ptr)> callback)
{
    std::lock_guard lock(run_->mutex);
    run_->must_be_idle("set the callback");
    if (callback && !run_->callbacks)
        run_->callbacks = CallbackThread::shared();
    run_->callback = callback ? std::make_shared<Run::Callback>(std::move(callback)) : nullptr;
}

void InferRequest::start_async()
{
    run_->start(true);
}

void InferRequest::wait()
{
    std::unique_lock lock(run_->mutex);
    run_->must_not_be_in_callback();
    run_->ended.wait(lock, [&] { return run_->is_over(); });
    run_->rethrow();
}

bool InferRequest::wait_for(std::chrono::milliseconds timeout_ms)
{
    if (timeout_ms < std::chrono::milliseconds::zero())
        throw Error("the time to wait is negative: " + std::to_string(timeout_ms.count()) + " ms");
    constexpr std::chrono::hours for_ever(100 * 366 * 24); // the clock's nanoseconds do not count much further
    std::unique_lock lock(run_->mutex);
    run_->must_not_be_in_callback();
    if (!run_->ever || !run_->ended.wait_for(lock, std::min<std::chrono::milliseconds>(timeout_ms, for_ever),
                                             [&] { return run_->is_over(); }))
        return false;
    run_->rethrow();
    return true;
}

void InferRequest::infer()
{
    {
        std::lock_guard lock(run_->mutex);
        run_->must_not_be_in_callback();
    }
    run_->start(false);
    wait();
}

void InferRequest::cancel()
{
    std::lock_guard lock(run_->mutex);
    if (run_->state != State::busy)
        return;
    run_->state = State::cancelled;
    run_->cancelled = true;
}

InferRequest::State InferRequest::state() const
{
    std::lock_guard lock(run_->mutex);
    if (run_->state == State::idle && run_->calling && !run_->in_callback())
        return State::busy;
    return run_->state;
}

uint64_t InferRequest::bytes_copied() const
{
    run_->check_idle("count copies");
    return run_->bytes_gathered + run_->job.bytes_copied;
}

std::vector<NodeReport> InferRequest::profile() const
{
    run_->check_idle("read the profile");
    std::vector<NodeReport> rows = run_->model->nodes();
    if (std::none_of(rows.begin(), rows.end(), [](const NodeReport &row) { return row.milliseconds >= 0; }))
        throw Error("no times were measured: compile with Options::profiling for a device that measures, and run once");
    return rows;
}

} // namespace leat
