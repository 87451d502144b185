#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace leat {

/// Runs the callbacks of requests, so that they do not hold up the device's threads.
class CallbackThread {
  public:
    /// The one of the process, while somebody holds it.
    static std::shared_ptr<CallbackThread> shared();

    CallbackThread();
    ~CallbackThread(); ///< after all calls
    CallbackThread(const CallbackThread &) = delete;
    CallbackThread &operator=(const CallbackThread &) = delete;

    /// `call` must not throw.
    void post(std::function<void()> call);

  private:
    void loop();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> calls_;
    bool stopping_ = false;
    std::thread thread_;
};

} // namespace leat
