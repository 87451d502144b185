#pragma once
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace leat {

/// Items enter in order, become ready in any order, and leave in order.
///
/// One thread enters (the sink pad's), one takes (the source pad's task), any thread holds and releases. `T` says with
/// `bool counts() const` whether it takes one of the places that wait_for_room() watches.
template <class T> class OrderedQueue {
  public:
    using Clock = std::chrono::steady_clock;

    /// An item on its way through. Stays where it is until taken, which it is not while something holds it.
    struct Entry {
        T item;
        Clock::time_point entered, ready; ///< `ready` is valid once nothing holds it

      private:
        friend class OrderedQueue;
        int holds_ = 1;
    };

    /// Puts an item in, held once by the caller.
    Entry &enter(T item)
    {
        std::lock_guard lock(mutex_);
        counted_ += item.counts();
        Entry &entry = entries_.emplace_back();
        entry.item = std::move(item);
        entry.entered = Clock::now();
        return entry;
    }

    void hold(Entry &entry)
    {
        std::lock_guard lock(mutex_);
        entry.holds_++;
    }

    void release(Entry &entry)
    {
        // Notifies under the lock: whoever waits in drain() may destroy the queue next.
        std::lock_guard lock(mutex_);
        if (--entry.holds_ == 0)
            entry.ready = Clock::now();
        changed_.notify_all();
    }

    /// Waits until fewer than `places` counted items are inside, or the queue is closed.
    void wait_for_room(size_t places)
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return closed_ || counted_ < places; });
    }

    /// The oldest entry once nothing holds it; nothing when the queue is closed.
    std::optional<Entry> take()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return closed_ || (!entries_.empty() && entries_.front().holds_ == 0); });
        if (closed_)
            return {};
        Entry entry = std::move(entries_.front());
        entries_.pop_front();
        counted_ -= entry.item.counts();
        changed_.notify_all();
        return entry;
    }

    /// Removes the newest item if `wanted(item)`; tells whether it did.
    template <class Wanted> bool withdraw_newest_if(Wanted wanted)
    {
        std::lock_guard lock(mutex_);
        if (entries_.empty() || !wanted(entries_.back().item))
            return false;
        counted_ -= entries_.back().item.counts();
        entries_.pop_back();
        return true;
    }

    /// Runs `change` and wakes everybody who waits.
    template <class Change> void update(Change change)
    {
        std::lock_guard lock(mutex_);
        change();
        changed_.notify_all();
    }

    /// Waits until `done()`, which update() may change; with `unless_closed` also ends when the queue is closed.
    template <class Done> void wait_until(Done done, bool unless_closed)
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return done() || (unless_closed && closed_); });
    }

    /// A closed queue still lets items in, but lets nobody wait and nothing out.
    void set_closed(bool closed)
    {
        update([&] { closed_ = closed; });
    }

    /// Waits until nothing is held any more and returns all that is left, in order.
    std::vector<T> drain()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] {
            for (const Entry &entry : entries_)
                if (entry.holds_)
                    return false;
            return true;
        });
        std::vector<T> items;
        for (Entry &entry : entries_)
            items.push_back(std::move(entry.item));
        entries_.clear();
        counted_ = 0;
        return items;
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Entry> entries_;
    size_t counted_ = 0;
    bool closed_ = true;
};

} // namespace leat
