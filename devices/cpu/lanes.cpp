#include "lanes.h"
#include "team.h"

#include <algorithm>
#include <utility>

#include <pthread.h>

namespace leat::cpu {

struct Lanes::Lane {
    Lane(std::vector<int> on, bool bound) : cpus(std::move(on)), pinned(bound) {}
    const std::vector<int> cpus;
    const bool pinned;
    std::condition_variable wake;
    Job *job = nullptr; // what to run next
    Client *client = nullptr;
    int number = 0; // among the client's candidates
    std::thread thread;
};

Lanes::Lanes() = default;

Lanes::~Lanes()
{
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    for (auto &lane : lanes_) {
        lane->wake.notify_one();
        lane->thread.join();
    }
}

std::vector<Lanes::Lane *> Lanes::lanes_on(std::span<const std::vector<int>> sets, bool pinned)
{
    std::lock_guard lock(mutex_);
    std::vector<Lane *> found;
    for (const std::vector<int> &cpus : sets) {
        auto lane = std::find_if(lanes_.begin(), lanes_.end(),
                                 [&](const auto &each) { return each->cpus == cpus && each->pinned == pinned; });
        if (lane == lanes_.end()) {
            lane = lanes_.insert(lane, std::make_unique<Lane>(cpus, pinned));
            (*lane)->thread = std::thread([this, &made = **lane] { loop(made); });
            processors_.insert(cpus.begin(), cpus.end());
        }
        found.push_back(lane->get());
    }
    return found;
}

void Lanes::loop(Lane &lane)
{
    Team team(lane.cpus, lane.pinned);
    pthread_setname_np(pthread_self(), ("leat-cpu-" + std::to_string(lane.cpus.front())).c_str());

    LaneContext context;
    std::unique_lock lock(mutex_);
    while (true) {
        const bool straight_on = lane.job;
        lane.wake.wait(lock, [&] { return stopping_ || lane.job; });
        if (!lane.job)
            return;
        Job &job = *std::exchange(lane.job, nullptr);
        Client &client = *lane.client;
        context.number = lane.number;
        const bool is_last = turns_.empty();
        lock.unlock();
        if (straight_on && is_last)
            std::this_thread::yield();
        job.started = job.prepared = std::chrono::steady_clock::now();
        job.bytes_copied = 0;
        try {
            throw_if_cancelled(job);
            team.run([&] { with_one_thread([&] { client.run_(job, context); }); });
        } catch (...) {
            job.error = std::current_exception();
        }
        complete(job);
        lock.lock();
        finish(lane, client);
    }
}

void Lanes::dispatch()
{
    while (busy_.size() < processors_.size()) {
        Queue *queue = next();
        if (!queue)
            return;
        const auto &lanes = queue->client->candidates_;
        const auto lane = std::find_if(lanes.begin(), lanes.end(), [&](const Lane *each) { return is_vacant(*each); });
        if (lane == lanes.end())
            return;
        start(static_cast<size_t>(lane - lanes.begin()), *queue);
    }
}

bool Lanes::may_start(const Client &client)
{
    return client.running_ < client.streams_;
}

Lanes::Queue *Lanes::longest_waiting() const
{
    const auto found = std::find_if(ages_.begin(), ages_.end(), [](Queue *each) { return may_start(*each->client); });
    return found == ages_.end() ? nullptr : *found;
}

Lanes::Queue *Lanes::next() const
{
    if (overtakings_ >= most_overtakings)
        return longest_waiting();
    const auto found = std::find_if(turns_.begin(), turns_.end(), [](Queue *each) { return may_start(*each->client); });
    return found == turns_.end() ? nullptr : *found;
}

bool Lanes::HasPrecedence::operator()(const Queue *a, const Queue *b) const
{
    if (a->client->priority_ != b->client->priority_)
        return a->client->priority_ > b->client->priority_;
    const Job &x = *a->jobs.front(), &y = *b->jobs.front();
    if (x.priority != y.priority)
        return x.priority > y.priority;
    if (x.deadline != y.deadline)
        return x.deadline < y.deadline;
    return a->since < b->since;
}

bool Lanes::WaitsLonger::operator()(const Queue *a, const Queue *b) const
{
    return a->since < b->since;
}

/// Its first job and `since` stay until it is dequeued: the sets are ordered by them.
void Lanes::enqueue(Queue &queue)
{
    queue.since = ++clock_;
    turns_.insert(&queue);
    ages_.insert(&queue);
}

void Lanes::dequeue(Queue &queue)
{
    turns_.erase(&queue);
    ages_.erase(&queue);
}

bool Lanes::is_vacant(const Lane &lane) const
{
    return std::none_of(lane.cpus.begin(), lane.cpus.end(), [&](int cpu) { return busy_.contains(cpu); });
}

void Lanes::start(size_t candidate, Queue &queue)
{
    Client &client = *queue.client;
    Lane &lane = *client.candidates_[candidate];
    lane.client = &client;
    lane.number = static_cast<int>(candidate);
    lane.job = queue.jobs.front();
    overtakings_ = &queue == longest_waiting() ? 0 : overtakings_ + 1;
    client.running_++;
    busy_.insert(lane.cpus.begin(), lane.cpus.end());
    dequeue(queue);
    queue.jobs.pop_front();
    if (queue.jobs.empty())
        client.queues_.erase(queue.stream);
    else
        enqueue(queue);
    lane.wake.notify_one();
}

void Lanes::finish(Lane &lane, Client &client)
{
    for (int cpu : lane.cpus)
        busy_.erase(cpu);
    client.running_--;
    if (--client.unfinished_ == 0)
        client.idle_.notify_all();
    dispatch();
}

Lanes::Client::Client(std::shared_ptr<Lanes> lanes, int streams, std::span<const std::vector<int>> sets, bool pinned,
                      std::function<void(Job &, LaneContext &)> run, ModelPriority priority)
    : lanes_(std::move(lanes)), streams_(streams), candidates_(lanes_->lanes_on(sets, pinned)), run_(std::move(run)),
      priority_(priority)
{
}

Lanes::Client::~Client()
{
    std::unique_lock lock(lanes_->mutex_);
    idle_.wait(lock, [&] { return unfinished_ == 0; });
}

void Lanes::Client::submit(Job &job)
{
    job.submitted = std::chrono::steady_clock::now();
    std::lock_guard lock(lanes_->mutex_);
    unfinished_++;
    auto [queue, fresh] = queues_.try_emplace(job.stream, Queue{this, job.stream});
    queue->second.jobs.push_back(&job);
    if (fresh)
        lanes_->enqueue(queue->second);
    if (may_start(*this)) // or nobody may who might not before
        lanes_->dispatch();
}

} // namespace leat::cpu
