#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

namespace leat {

/// Ends the process when what is expected has not happened for minutes: a thread is stuck.
class Watchdog {
  public:
    Watchdog() : thread_([this] { watch(); }) {}

    ~Watchdog()
    {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }

    Watchdog(const Watchdog &) = delete;
    Watchdog &operator=(const Watchdog &) = delete;

    /// What was expected before has happened; now it is this.
    void expect(std::string what)
    {
        std::lock_guard lock(mutex_);
        expected_ = std::move(what);
        times_++;
    }

  private:
    static constexpr std::chrono::minutes patience{3};

    void watch()
    {
        std::unique_lock lock(mutex_);
        while (!stopping_) {
            const auto before = times_;
            changed_.wait_for(lock, patience, [&] { return stopping_; });
            if (stopping_ || times_ != before || expected_.empty())
                continue;
            std::fprintf(stderr, "stuck: nothing has come of %s\n", expected_.c_str());
            std::abort();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::string expected_;
    long times_ = 0;
    bool stopping_ = false;
    std::thread thread_;
};

} // namespace leat
