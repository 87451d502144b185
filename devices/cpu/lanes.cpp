#include "lanes.h"
#include "team.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <utility>

#include <pthread.h>
#include <sched.h>

namespace leat::cpu {

struct Lanes::Lane {
    Lane(int lane_number, int first_core, int lane_width) : number(lane_number), first(first_core), width(lane_width) {}
    const int number, first, width; // its cores are [first, first + width)
    std::condition_variable wake;
    Job *job = nullptr; // what to run next
    Client *client = nullptr;
    std::thread thread;
};

Lanes::Lanes(std::vector<int> cpus) : cpus_(std::move(cpus)), busy_(cpus_.size(), false) {}

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

void Lanes::add_lanes(int width)
{
    std::lock_guard lock(mutex_);
    for (auto &lane : lanes_)
        if (lane->width == width)
            return;
    for (int number = 0; (number + 1) * width <= cores(); number++) {
        lanes_.push_back(std::make_unique<Lane>(number, number * width, width));
        Lane &lane = *lanes_.back();
        lane.thread = std::thread([this, &lane] { loop(lane); });
    }
}

void Lanes::loop(Lane &lane)
{
    const auto cpus = std::span(cpus_).subspan(static_cast<size_t>(lane.first), static_cast<size_t>(lane.width));
    bind_thread(cpus.first(1));
    Team team(cpus);
    pthread_setname_np(pthread_self(), ("leat-cpu-" + std::to_string(lane.first)).c_str());

    LaneContext context{lane.number, {}};
    std::unique_lock lock(mutex_);
    while (true) {
        lane.wake.wait(lock, [&] { return stopping_ || lane.job; });
        if (!lane.job)
            return;
        Job &job = *std::exchange(lane.job, nullptr);
        Client &client = *lane.client;
        lock.unlock();
        job.started = std::chrono::steady_clock::now();
        try {
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
    for (auto queue = next(); queue != queues_.end(); queue = next()) {
        Lane *lane = vacant_lane(queue->first.first->width_);
        if (!lane)
            return;
        start(*lane, queue);
    }
}

Lanes::Queues::iterator Lanes::next()
{
    auto best = queues_.end();
    for (auto queue = queues_.begin(); queue != queues_.end(); ++queue) {
        const Client &client = *queue->first.first;
        if (client.running_ < client.streams_ && (best == queues_.end() || before(queue->second, best->second)))
            best = queue;
    }
    return best;
}

bool Lanes::before(const Queue &a, const Queue &b)
{
    const Job &x = *a.jobs.front(), &y = *b.jobs.front();
    if (x.priority != y.priority)
        return x.priority > y.priority;
    if (x.deadline != y.deadline)
        return x.deadline < y.deadline;
    return a.since < b.since;
}

Lanes::Lane *Lanes::vacant_lane(int width)
{
    for (auto &lane : lanes_) {
        const auto first = busy_.begin() + lane->first;
        if (lane->width == width && std::find(first, first + width, true) == first + width)
            return lane.get();
    }
    return nullptr;
}

void Lanes::start(Lane &lane, Queues::iterator queue)
{
    lane.client = queue->first.first;
    lane.job = queue->second.jobs.front();
    lane.client->running_++;
    std::fill_n(busy_.begin() + lane.first, lane.width, true);
    queue->second.jobs.pop_front();
    queue->second.since = ++clock_;
    if (queue->second.jobs.empty())
        queues_.erase(queue);
    lane.wake.notify_one();
}

void Lanes::finish(Lane &lane, Client &client)
{
    std::fill_n(busy_.begin() + lane.first, lane.width, false);
    client.running_--;
    if (--client.unfinished_ == 0)
        client.idle_.notify_all();
    dispatch();
}

Lanes::Client::Client(std::shared_ptr<Lanes> lanes, int streams, int width,
                      std::function<void(Job &, LaneContext &)> run)
    : lanes_(std::move(lanes)), streams_(streams), width_(width), run_(std::move(run))
{
    lanes_->add_lanes(width);
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
    auto [queue, fresh] = lanes_->queues_.try_emplace({this, job.stream});
    if (fresh)
        queue->second.since = ++lanes_->clock_;
    queue->second.jobs.push_back(&job);
    lanes_->dispatch();
}

std::vector<int> usable_cpus()
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    if (sched_getaffinity(0, sizeof mask, &mask) != 0)
        CPU_SET(0, &mask);
    std::vector<int> cpus;
    std::set<std::string> seen; // groups of hardware threads that share a core
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(static_cast<size_t>(cpu), &mask))
            continue;
        std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
        std::string siblings;
        if (!std::getline(file, siblings) || seen.insert(siblings).second)
            cpus.push_back(cpu);
    }
    return cpus;
}

} // namespace leat::cpu
