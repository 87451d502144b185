#include "devices/cpu/lanes.h"

#include <leat/error.h>

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <numeric>
#include <set>

#include <pthread.h>
#include <sched.h>

namespace leat::cpu {
namespace {

using Sets = std::vector<std::vector<int>>;

/// Numbers of `cores` processors, cut into sets of `width`. Nothing is bound to them, for the test must run anywhere.
Sets sets_of(int cores, int width)
{
    Sets sets;
    for (int first = 0; first + width <= cores; first += width) {
        sets.emplace_back(static_cast<size_t>(width));
        std::iota(sets.back().begin(), sets.back().end(), first);
    }
    return sets;
}

/// A door that jobs wait at until the test opens it.
class Gate {
  public:
    void wait()
    {
        std::unique_lock lock(mutex_);
        waiting_++;
        changed_.notify_all();
        changed_.wait(lock, [&] { return open_; });
    }
    void wait_for_waiting(int count)
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return waiting_ >= count; });
    }
    void open()
    {
        std::lock_guard lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int waiting_ = 0;
    bool open_ = false;
};

/// Submits jobs by name and notes in which order they started and ended.
class Recorder {
  public:
    Recorder(std::shared_ptr<Lanes> lanes, int streams, const Sets &sets)
        : client_(std::move(lanes), streams, sets, false, [this](Job &job, LaneContext &) { run(job); })
    {
    }

    Job &add(const std::string &name, uint64_t stream = 0, int priority = 0)
    {
        auto job = std::make_unique<Job>();
        job->stream = stream;
        job->priority = priority;
        job->done = [this](Job &) { ended_++; };
        names_[job.get()] = name;
        jobs_.push_back(std::move(job));
        return *jobs_.back();
    }
    void submit(const std::string &name, uint64_t stream = 0, int priority = 0)
    {
        client_.submit(add(name, stream, priority));
    }
    void submit(Job &job) { client_.submit(job); }

    std::vector<std::string> started()
    {
        std::lock_guard lock(mutex_);
        return started_;
    }
    int ended() const { return ended_; }
    int most_at_once() const { return most_; }

    Gate gate; ///< the job named "gate" waits here

  private:
    std::mutex mutex_;
    std::map<const Job *, std::string> names_; // filled before the jobs are submitted
    std::vector<std::unique_ptr<Job>> jobs_;
    std::vector<std::string> started_;
    std::atomic<int> ended_{0}, now_{0}, most_{0};
    Lanes::Client client_; // last: waits for the jobs

    void run(Job &job)
    {
        const std::string &name = names_.at(&job);
        {
            std::lock_guard lock(mutex_);
            started_.push_back(name);
            most_ = std::max<int>(most_, ++now_);
        }
        if (name == "gate")
            gate.wait();
        now_--;
        if (name == "fails")
            throw Error("as it should");
    }
};

std::vector<std::string> order_after_gate(const std::function<void(Recorder &)> &submit)
{
    auto recorder = std::make_unique<Recorder>(std::make_shared<Lanes>(), 1, sets_of(1, 1));
    std::promise<void> last;
    Job &end = recorder->add("end", 99, -1000);
    end.done = [&](Job &) { last.set_value(); };
    Job &gate = recorder->add("gate", 77);
    recorder->submit(gate);
    recorder->gate.wait_for_waiting(1);
    submit(*recorder);
    recorder->submit(end);
    recorder->gate.open();
    last.get_future().wait();
    auto started = recorder->started();
    started.erase(started.begin());
    started.pop_back();
    return started;
}

using Names = std::vector<std::string>;

TEST(Lanes, JobsOfOneStreamStartInOrder)
{
    const Names started = order_after_gate([](Recorder &r) {
        for (const char *name : {"a", "b", "c", "d"})
            r.submit(name, 1);
    });
    EXPECT_EQ(started, (Names{"a", "b", "c", "d"}));
}

TEST(Lanes, StreamsTakeTurns)
{
    const Names started = order_after_gate([](Recorder &r) {
        for (const char *name : {"a1", "a2", "a3"})
            r.submit(name, 1);
        for (const char *name : {"b1", "b2", "b3"})
            r.submit(name, 2);
    });
    EXPECT_EQ(started, (Names{"a1", "b1", "a2", "b2", "a3", "b3"}));
}

TEST(Lanes, AStreamThatReturnsWithOneJobDoesNotPassTheOthers)
{
    // Stream 1 always has one job, stream 2 a backlog: neither may starve.
    Names started;
    {
        auto lanes = std::make_shared<Lanes>();
        std::mutex mutex;
        std::atomic<int> left{6};
        std::vector<Job> backlog(6);
        Job returning;
        returning.stream = 1;
        std::promise<void> all;
        std::atomic<int> open{12};
        Gate gate;
        std::unique_ptr<Lanes::Client> client;
        client = std::make_unique<Lanes::Client>(lanes, 1, sets_of(1, 1), false, [&](Job &job, LaneContext &) {
            if (job.priority == 1)
                return gate.wait();
            std::lock_guard lock(mutex);
            started.push_back(job.stream == 1 ? "one" : "backlog");
        });
        Job first;
        first.priority = 1;
        first.done = [](Job &) {};
        client->submit(first);
        gate.wait_for_waiting(1);
        auto count_down = [&] {
            if (--open == 0)
                all.set_value();
        };
        std::function<void(Job &)> again = [&](Job &job) {
            if (--left > 0) {
                job.done = again;
                client->submit(job);
            }
            count_down();
        };
        returning.done = again;
        for (Job &job : backlog) {
            job.stream = 2;
            job.done = [&](Job &) { count_down(); };
            client->submit(job);
        }
        client->submit(returning);
        gate.open();
        all.get_future().wait();
        client.reset();
    }
    ASSERT_EQ(started.size(), 12u);
    for (size_t i = 0; i < 10; i += 2)
        EXPECT_NE(started[i], started[i + 1]) << "at " << i;
}

TEST(Lanes, HigherPriorityAndEarlierDeadlineGoFirst)
{
    const Names started = order_after_gate([](Recorder &r) {
        const auto now = std::chrono::steady_clock::now();
        r.submit("low", 1, -1);
        Job &late = r.add("late", 2), &early = r.add("early", 3);
        late.deadline = now + std::chrono::hours(2);
        early.deadline = now + std::chrono::hours(1);
        r.submit(late);
        r.submit(early);
        r.submit("high", 4, 1);
    });
    EXPECT_EQ(started, (Names{"high", "early", "late", "low"}));
}

/// Models that share one lane, and the order in which their jobs start behind a job that holds it.
class SharedLane {
  public:
    struct Work {
        ModelPriority priority;
        std::string name;
        int jobs;
        int job_priority = 0;
    };

    /// Submits the work in this order and waits for it.
    std::vector<std::string> run(const std::vector<Work> &works)
    {
        auto lanes = std::make_shared<Lanes>();
        std::deque<Job> jobs(1);
        std::map<const Job *, std::string> names;
        std::vector<std::string> started; // by the only lane
        Gate gate;
        auto run = [&](Job &job, LaneContext &) {
            if (&job == &jobs.front())
                return gate.wait();
            started.push_back(names.at(&job));
        };
        {
            std::map<ModelPriority, std::unique_ptr<Lanes::Client>> models;
            for (const ModelPriority priority : {ModelPriority::low, ModelPriority::medium, ModelPriority::high})
                models[priority] = std::make_unique<Lanes::Client>(lanes, 1, sets_of(1, 1), false, run, priority);
            jobs.front().done = [](Job &) {};
            models.at(ModelPriority::medium)->submit(jobs.front());
            gate.wait_for_waiting(1);
            for (const Work &work : works)
                for (int i = 0; i < work.jobs; i++) {
                    Job &job = jobs.emplace_back();
                    job.priority = work.job_priority;
                    job.done = [](Job &) {};
                    names[&job] = work.name;
                    models.at(work.priority)->submit(job);
                }
            gate.open();
        } // waits for the jobs
        return started;
    }
};

TEST(Lanes, JobsOfAModelOfHighPriorityGoFirstWhateverTheirOwn)
{
    const Names started = SharedLane().run({{ModelPriority::low, "low", 2, 1000},
                                            {ModelPriority::medium, "medium", 2},
                                            {ModelPriority::high, "high", 2, -1000}});
    EXPECT_EQ(started, (Names{"high", "high", "medium", "medium", "low", "low"}));
}

TEST(Lanes, AModelOfLowPriorityHasATurnInSixteen)
{
    const Names started = SharedLane().run({{ModelPriority::low, "low", 3}, {ModelPriority::high, "high", 80}});
    std::vector<size_t> turns;
    for (size_t i = 0; i < started.size(); i++)
        if (started[i] == "low")
            turns.push_back(i);
    EXPECT_EQ(turns, (std::vector<size_t>{14, 30, 46}));
}

TEST(Lanes, JobsWithoutDeadlineAreNotStarvedByThoseThatHaveOne)
{
    const Names started = order_after_gate([](Recorder &r) {
        r.submit("patient", 1);
        for (int i = 0; i < 20; i++) {
            Job &job = r.add("urgent", 2);
            job.deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
            r.submit(job);
        }
    });
    EXPECT_EQ(std::find(started.begin(), started.end(), "patient") - started.begin(), 14);
}

TEST(Lanes, TheDestructorOfAClientWaitsForItsJobs)
{
    std::atomic<int> done{0};
    std::vector<Job> jobs(50);
    {
        Lanes::Client client(std::make_shared<Lanes>(), 2, sets_of(2, 1), false, [](Job &, LaneContext &) {});
        for (Job &job : jobs) {
            job.done = [&](Job &) { done++; };
            client.submit(job);
        }
    }
    EXPECT_EQ(done, 50);
}

TEST(Lanes, WhatRunThrowsIsTheErrorOfTheJob)
{
    Job job;
    std::promise<std::string> message;
    job.done = [&](Job &ended) {
        try {
            std::rethrow_exception(ended.error);
        } catch (const Error &error) {
            message.set_value(error.what());
        }
    };
    Lanes::Client client(std::make_shared<Lanes>(), 1, sets_of(1, 1), false,
                         [](Job &, LaneContext &) { throw Error("as it should"); });
    client.submit(job);
    EXPECT_EQ(message.get_future().get(), "as it should");
}

TEST(Lanes, SubmitNeitherRunsTheJobNorCallsDone)
{
    const auto here = std::this_thread::get_id();
    std::promise<bool> elsewhere;
    Job job;
    job.done = [&](Job &) { elsewhere.set_value(std::this_thread::get_id() != here); };
    Lanes::Client client(std::make_shared<Lanes>(), 1, sets_of(1, 1), false, [](Job &, LaneContext &) {});
    client.submit(job);
    EXPECT_TRUE(elsewhere.get_future().get());
}

TEST(Lanes, NarrowLanesRunSideBySideUpToTheClientsStreams)
{
    std::atomic<int> now{0}, most{0};
    std::vector<Job> jobs(40);
    {
        Lanes::Client client(std::make_shared<Lanes>(), 2, sets_of(4, 1), false, [&](Job &, LaneContext &lane) {
            EXPECT_LT(lane.number, 4);
            most = std::max<int>(most, ++now);
            std::this_thread::yield();
            now--;
        });
        for (Job &job : jobs) {
            job.done = [](Job &) {};
            client.submit(job);
        }
    }
    EXPECT_LE(most, 2);
}

TEST(Lanes, ThreadsAreNamedAndPinned)
{
    cpu_set_t allowed;
    ASSERT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    if (pthread_setaffinity_np(pthread_self(), sizeof allowed, &allowed) != 0)
        GTEST_SKIP() << "this container does not let threads be pinned";
    Sets sets;
    std::set<std::string> want;
    for (int cpu = 0; cpu < CPU_SETSIZE && sets.size() < 2; cpu++)
        if (CPU_ISSET(static_cast<size_t>(cpu), &allowed)) {
            sets.push_back({cpu});
            want.insert("leat-cpu-" + std::to_string(cpu) + " on " + std::to_string(cpu));
        }
    std::mutex mutex;
    std::set<std::string> seen;
    Gate gate;
    std::vector<Job> jobs(sets.size());
    {
        Lanes::Client client(std::make_shared<Lanes>(), static_cast<int>(sets.size()), sets, true,
                             [&](Job &, LaneContext &) {
                                 char name[16];
                                 cpu_set_t mask;
                                 pthread_getname_np(pthread_self(), name, sizeof name);
                                 sched_getaffinity(0, sizeof mask, &mask);
                                 std::string text = std::string(name) + " on";
                                 for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
                                     if (CPU_ISSET(cpu, &mask))
                                         text += ' ' + std::to_string(cpu);
                                 {
                                     std::lock_guard lock(mutex);
                                     seen.insert(text);
                                 }
                                 gate.wait();
                             });
        for (Job &job : jobs) {
            job.done = [](Job &) {};
            client.submit(job);
        }
        gate.wait_for_waiting(static_cast<int>(jobs.size())); // side by side
        gate.open();
    }
    EXPECT_EQ(seen, want);
}

TEST(Lanes, WideAndNarrowJobsNeverShareCores)
{
    std::atomic<int> cores{0};
    std::atomic<bool> fits{true};
    auto work = [&](int width) {
        return [&, width](Job &, LaneContext &) {
            if ((cores += width) > 4)
                fits = false;
            std::this_thread::yield();
            cores -= width;
        };
    };
    std::vector<Job> jobs(120);
    {
        auto lanes = std::make_shared<Lanes>();
        Lanes::Client wide(lanes, 1, sets_of(4, 4), false, work(4)), half(lanes, 2, sets_of(4, 2), false, work(2)),
            narrow(lanes, 4, sets_of(4, 1), false, work(1));
        Lanes::Client *clients[] = {&wide, &half, &narrow};
        for (size_t i = 0; i < jobs.size(); i++) {
            jobs[i].done = [](Job &) {};
            clients[i % 3]->submit(jobs[i]);
        }
    }
    EXPECT_TRUE(fits);
}

TEST(Lanes, ManyThreadsMaySubmitAtOnce)
{
    std::atomic<int> done{0};
    {
        Lanes::Client client(std::make_shared<Lanes>(), 3, sets_of(3, 1), false,
                             [](Job &, LaneContext &lane) { *lane.scratch(64) = std::byte(1); });
        std::vector<std::thread> threads;
        std::vector<std::vector<Job>> jobs(4);
        for (size_t t = 0; t < jobs.size(); t++) {
            jobs[t] = std::vector<Job>(100);
            threads.emplace_back([&, t] {
                for (Job &job : jobs[t]) {
                    job.stream = t;
                    job.done = [&](Job &) { done++; };
                    client.submit(job);
                }
            });
        }
        for (auto &thread : threads)
            thread.join();
        while (done < 400)
            std::this_thread::yield();
    }
    EXPECT_EQ(done, 400);
}

} // namespace
} // namespace leat::cpu
