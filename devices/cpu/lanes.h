#pragma once
#include <leat/model.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace leat::cpu {

/// What a job finds on the lane that runs it.
struct LaneContext {
    int number = 0; ///< of the lane among those of the same width, from 0
    Tensor arena;   ///< scratch memory of the lane; its contents are lost between jobs

    /// At least that many bytes, 64-byte aligned. Earlier memory is gone.
    std::byte *scratch(size_t bytes)
    {
        if (arena.bytes() < bytes)
            arena = Tensor(Type::u8, {static_cast<int64_t>(bytes)});
        return arena.raw();
    }
};

/// The worker threads of the process, shared by all models. Every function may be called from any thread.
///
/// A lane is a thread bound to `width` cores; lanes of several widths overlap on the same cores, and a lane starts a
/// job only when no other lane is busy on its cores. The job that starts next is the one of the highest priority, then
/// of the earliest deadline, then of the camera stream that was served longest ago; jobs of one model and stream start
/// in the order submitted. When that job needs more cores than are free, the others wait with it: a wide lane is never
/// starved by narrow ones.
class Lanes {
  public:
    /// `cpus`: numbers of the processors to use.
    explicit Lanes(std::vector<int> cpus);
    ~Lanes(); ///< no client may be left

    int cores() const { return static_cast<int>(cpus_.size()); }

    /// Somebody who has jobs run: a compiled model.
    class Client {
      public:
        /// At most `streams` jobs at a time run, each on `width` cores. `run` may throw: that ends the job with an
        /// error.
        Client(std::shared_ptr<Lanes>, int streams, int width, std::function<void(Job &, LaneContext &)> run);
        ~Client(); ///< waits for the jobs
        Client(const Client &) = delete;
        Client &operator=(const Client &) = delete;
        /// Never blocks; complete(job) follows on a lane.
        void submit(Job &);

      private:
        friend class Lanes;
        std::shared_ptr<Lanes> lanes_;
        const int streams_, width_;
        const std::function<void(Job &, LaneContext &)> run_;
        int running_ = 0, unfinished_ = 0;
        std::condition_variable idle_;
    };

  private:
    struct Lane;
    /// Jobs of one client and camera stream that wait.
    struct Queue {
        std::deque<Job *> jobs;
        uint64_t since = 0; ///< when it was served last, or came into being: counts jobs
    };
    using QueueKey = std::pair<Client *, uint64_t>;
    using Queues = std::map<QueueKey, Queue>;

    void add_lanes(int width);
    void loop(Lane &);
    void dispatch();
    Queues::iterator next();
    static bool before(const Queue &, const Queue &);
    Lane *vacant_lane(int width);
    void start(Lane &, Queues::iterator);
    void finish(Lane &, Client &);

    const std::vector<int> cpus_;
    std::mutex mutex_; // guards everything below, and the counters of the clients
    std::vector<std::unique_ptr<Lane>> lanes_;
    std::vector<bool> busy_; ///< for each core
    Queues queues_;
    uint64_t clock_ = 0;
    bool stopping_ = false;
};

/// The processors that this process may run on, one for each physical core.
std::vector<int> usable_cpus();

} // namespace leat::cpu
