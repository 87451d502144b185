#pragma once
#include <leat/model.h>
#include <leat/options.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

namespace leat::cpu {

/// What a job finds on the lane that runs it.
struct LaneContext {
    int number = 0; ///< of the lane among those that the client may use, from 0
    Tensor arena;   ///< scratch memory of the lane; its contents are lost between jobs

    /// At least that many bytes, 64-byte aligned. Earlier memory is gone. What no job has needed for a while is given
    /// back.
    std::byte *scratch(size_t bytes)
    {
        constexpr int while_jobs = 256;
        most_bytes_ = std::max(most_bytes_, bytes);
        const bool too_large = ++jobs_ >= while_jobs && arena.bytes() / 2 > most_bytes_;
        if (arena.bytes() < bytes || too_large)
            resize(most_bytes_);
        if (jobs_ >= while_jobs) {
            most_bytes_ = bytes;
            jobs_ = 0;
        }
        return arena.raw();
    }

  private:
    size_t most_bytes_ = 0; ///< that one of the latest jobs needed
    int jobs_ = 0;

    void resize(size_t bytes)
    {
        arena = Tensor(); // first, so that old and new are not there at once
        arena = Tensor(Type::u8, {static_cast<int64_t>(bytes)});
    }
};

/// The worker threads of the process, shared by all models. Every function may be called from any thread.
///
/// A lane is a set of processors with a thread that leads work on them; lanes of several widths overlap on the same
/// processors, and a lane starts a job only when no other lane is busy on any of its own. The job that starts next is
/// the one of the client of the highest priority, then the one of the highest priority itself, then of the earliest
/// deadline, then of the camera stream that was served longest ago; jobs of one model and stream start in the order
/// submitted. After as many starts as `most_overtakings` by which that stream was passed over, it has its turn whatever
/// the priorities and deadlines: nobody starves. When the next job needs more cores than are free, the others wait with
/// it: a wide lane is never starved by narrow ones.
///
/// A lane that goes straight on from one job to the last that waits first lets other threads have its processor: they
/// may be decoders that make the next ones, and a lane without a job idles while they wait behind a busy lane. With
/// more jobs waiting, or after having waited itself, a lane starts at once.
class Lanes {
  public:
    static constexpr int most_overtakings = 14; // one turn in sixteen starts, where two streams compete

    Lanes();
    ~Lanes(); ///< no client may be left
    Lanes(const Lanes &) = delete;
    Lanes &operator=(const Lanes &) = delete;

    struct Lane;
    class Client;

  private:
    /// Jobs of one client and camera stream that wait, in the order submitted.
    struct Queue {
        Client *client;
        uint64_t stream;
        std::deque<Job *> jobs;
        uint64_t since; ///< when it was served last, or came into being: counts jobs
    };

  public:
    /// Somebody who has jobs run: a compiled model.
    class Client {
      public:
        /// At most `streams` jobs at a time run, each on one of these sets of processors. `pinned`: the threads are
        /// bound to them. `run` may throw: that ends the job with an error.
        Client(std::shared_ptr<Lanes>, int streams, std::span<const std::vector<int>> lanes, bool pinned,
               std::function<void(Job &, LaneContext &)> run, ModelPriority = ModelPriority::medium);
        ~Client(); ///< waits for the jobs
        Client(const Client &) = delete;
        Client &operator=(const Client &) = delete;
        /// Never blocks; complete(job) follows on a lane.
        void submit(Job &);

      private:
        friend class Lanes;
        std::shared_ptr<Lanes> lanes_;
        const int streams_;
        const std::vector<Lane *> candidates_;
        const std::function<void(Job &, LaneContext &)> run_;
        const ModelPriority priority_;
        int running_ = 0, unfinished_ = 0;
        std::unordered_map<uint64_t, Queue> queues_; ///< of the camera streams whose jobs wait
        std::condition_variable idle_;
    };

  private:
    /// Which of two queues has its turn first.
    struct HasPrecedence {
        bool operator()(const Queue *, const Queue *) const;
    };
    struct WaitsLonger {
        bool operator()(const Queue *, const Queue *) const;
    };

    std::vector<Lane *> lanes_on(std::span<const std::vector<int>> sets, bool pinned);
    void loop(Lane &);
    void dispatch();
    static bool may_start(const Client &);
    Queue *longest_waiting() const;
    Queue *next() const;
    bool is_vacant(const Lane &) const;
    void start(size_t candidate, Queue &);
    void enqueue(Queue &);
    void dequeue(Queue &);
    void finish(Lane &, Client &);

    std::mutex mutex_; // guards everything below, and the counters of the clients
    std::vector<std::unique_ptr<Lane>> lanes_;
    std::set<int> processors_, busy_; ///< of all lanes
    std::set<Queue *, HasPrecedence> turns_;
    std::set<Queue *, WaitsLonger> ages_; ///< the same queues
    uint64_t clock_ = 0;
    int overtakings_ = 0; ///< starts since the queue served longest ago had its turn
    bool stopping_ = false;
};

} // namespace leat::cpu
