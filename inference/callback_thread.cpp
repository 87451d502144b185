#include "callback_thread.h"

#include <utility>

#include <pthread.h>

namespace leat {

std::shared_ptr<CallbackThread> CallbackThread::shared()
{
    static std::mutex mutex;
    static std::weak_ptr<CallbackThread> held;
    std::lock_guard lock(mutex);
    auto thread = held.lock();
    if (!thread)
        held = thread = std::make_shared<CallbackThread>();
    return thread;
}

CallbackThread::CallbackThread() : thread_([this] { loop(); }) {}

CallbackThread::~CallbackThread()
{
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_.notify_one();
    }
    thread_.join();
}

void CallbackThread::post(std::function<void()> call)
{
    std::lock_guard lock(mutex_);
    calls_.push_back(std::move(call));
    changed_.notify_one();
}

void CallbackThread::loop()
{
    pthread_setname_np(pthread_self(), "leat-callbacks");
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [&] { return stopping_ || !calls_.empty(); });
        if (calls_.empty())
            return;
        std::deque<std::function<void()>> calls;
        calls.swap(calls_);
        lock.unlock();
        for (const auto &call : calls)
            call();
        lock.lock();
    }
}

} // namespace leat
