#pragma once
#include "gst/backlog.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace leat {

/// Items enter in order, become ready in any order, and leave in order.
///
/// One thread enters (the sink pad's), one takes (the source pad's task), any thread holds and releases. `T` says with
/// `bool counts() const` whether it takes one of the places that wait_for() watches. An entry at work, from
/// begin() until it has left and nothing holds it any more, has one of the places that begin() watches.
template <class T> class OrderedQueue {
  public:
    using Clock = std::chrono::steady_clock;

    /// An item on its way through, which leaves when nothing holds it any more, or at its deadline.
    struct Entry {
        T item;
        Clock::time_point entered;
        Clock::time_point ready;   ///< since when nothing holds it, or when it left; valid once it has left
        bool late = false;         ///< it left while something held it
        bool follows_lost = false; ///< one before it was taken out by wait()

      private:
        friend class OrderedQueue;
        Clock::time_point deadline_ = Clock::time_point::max();
        int holds_ = 1;
        bool at_work_ = false, left_ = false;
    };
    using Handle = std::shared_ptr<Entry>;

    /// Puts an item in, held once by the caller.
    Handle enter(T item)
    {
        auto entry = std::make_shared<Entry>();
        entry->item = std::move(item);
        entry->entered = Clock::now();
        std::lock_guard lock(mutex_);
        counted_ += entry->item.counts();
        held_++;
        entries_.push_back(entry);
        return entry;
    }

    void hold(Entry &entry)
    {
        std::lock_guard lock(mutex_);
        entry.holds_++;
    }

    void release(Entry &entry)
    {
        std::unique_lock lock(mutex_);
        release_locked(entry);
        wake_taker_if_first(entry, lock);
    }

    /// The caller of enter() has done its part: from then on the entry leaves when the time has come.
    void release(Entry &entry, Clock::time_point deadline)
    {
        std::unique_lock lock(mutex_);
        entry.deadline_ = deadline;
        release_locked(entry);
        wake_taker_if_first(entry, lock);
    }

    /// True, and the entry has a place, if fewer than `places` are at work.
    bool begin(Entry &entry, size_t places)
    {
        std::lock_guard lock(mutex_);
        if (at_work_ >= places)
            return false;
        begin_locked(entry);
        return true;
    }

    /// Holds the entry and puts it behind those that wait for a place at work. If more than `most` wait then, the one
    /// that has waited longest is taken out of the queue and returned, else nothing.
    Handle wait(const Handle &entry, size_t most)
    {
        std::lock_guard lock(mutex_);
        entry->holds_++;
        waiting_.push_back(entry);
        if (waiting_.size() <= most)
            return nullptr;
        const Handle oldest = waiting_.front();
        const auto next = entries_.erase(std::find(entries_.begin(), entries_.end(), oldest));
        const auto follower =
            std::find_if(next, entries_.end(), [](const Handle &each) { return each->item.counts(); });
        if (follower != entries_.end())
            (*follower)->follows_lost = true;
        leave_locked(*oldest);
        first_changed_->notify_one();
        room_changed_.notify_all();
        return oldest;
    }

    /// The entry that has waited longest, at work now and still held as by wait(), if fewer than `places` are at work.
    Handle begin_waiting(size_t places)
    {
        std::lock_guard lock(mutex_);
        if (closed_ || waiting_.empty() || at_work_ >= places)
            return nullptr;
        const Handle entry = waiting_.front();
        waiting_.pop_front();
        begin_locked(*entry);
        return entry;
    }

    /// Where there is no room for a counted item, waits until there is, or until the queue is closed.
    void wait_for(const Room &room)
    {
        std::unique_lock lock(mutex_);
        if (closed_ || counted_ < room.most)
            return;
        resume_at_ = room.few;
        room_changed_.wait(lock, [&] { return closed_ || counted_ <= resume_at_; });
        resume_at_ = always;
    }

    /// Waits until fewer than `places` counted items are inside, or the queue is closed; but until `most` are inside
    /// only while the oldest could leave: for whoever takes.
    void wait_for_taker(size_t places, size_t most)
    {
        std::unique_lock lock(mutex_);
        room_changed_.wait(lock, [&] {
            const bool can_leave = !entries_.empty() && entries_.front()->holds_ == 0;
            return closed_ || counted_ < places || (counted_ < most && !can_leave);
        });
    }

    /// The oldest entry once nothing holds it or its deadline has come; nothing when the queue is closed.
    Handle take()
    {
        std::unique_lock lock(mutex_);
        while (!closed_ && !can_take()) {
            // A copy: the entry may be taken out by wait(), and be gone, before this thread wakes.
            const auto deadline = entries_.empty() ? Clock::time_point::max() : entries_.front()->deadline_;
            if (deadline == Clock::time_point::max())
                first_changed_->wait(lock);
            else
                first_changed_->wait_until(lock, deadline);
        }
        if (closed_)
            return nullptr;
        const Handle entry = std::move(entries_.front());
        entries_.pop_front();
        leave_locked(*entry);
        const bool room = counted_ <= resume_at_;
        lock.unlock(); // so that who is woken need not wait for it
        if (room)
            room_changed_.notify_all();
        return entry;
    }

    /// Removes the newest item if `wanted(item)`; tells whether it did.
    template <class Wanted> bool withdraw_newest_if(Wanted wanted)
    {
        std::lock_guard lock(mutex_);
        if (entries_.empty() || !wanted(entries_.back()->item))
            return false;
        const Handle newest = std::move(entries_.back());
        entries_.pop_back();
        leave_locked(*newest);
        return true;
    }

    /// Runs `change` and wakes everybody who waits.
    template <class Change> void update(Change change)
    {
        std::lock_guard lock(mutex_);
        change();
        first_changed_->notify_one();
        room_changed_.notify_all();
    }

    /// Waits until `done()`, which update() may change; with `unless_closed` also ends when the queue is closed.
    template <class Done> void wait_until(Done done, bool unless_closed)
    {
        std::unique_lock lock(mutex_);
        room_changed_.wait(lock, [&] { return done() || (unless_closed && closed_); });
    }

    /// A closed queue still lets items in, but lets nobody wait and nothing out.
    void set_closed(bool closed)
    {
        update([&] { closed_ = closed; });
    }

    /// Waits until nothing is held any more, entries that have left included, and returns all that is inside, in order.
    /// Those that waited for a place at work wait no longer.
    std::vector<T> drain()
    {
        std::unique_lock lock(mutex_);
        for (const Handle &entry : waiting_)
            release_locked(*entry);
        waiting_.clear();
        room_changed_.wait(lock, [&] { return held_ == 0; });
        std::vector<T> items;
        for (const Handle &entry : entries_) {
            leave_locked(*entry);
            items.push_back(std::move(entry->item));
        }
        entries_.clear();
        return items;
    }

  private:
    bool is_first(const Entry &entry) const { return !entries_.empty() && entries_.front().get() == &entry; }

    bool can_take() const
    {
        return !entries_.empty() && (entries_.front()->holds_ == 0 || Clock::now() >= entries_.front()->deadline_);
    }

    void begin_locked(Entry &entry)
    {
        entry.at_work_ = true;
        at_work_++;
    }

    void end_work_if_over(Entry &entry)
    {
        if (entry.at_work_ && entry.left_ && entry.holds_ == 0) {
            entry.at_work_ = false;
            at_work_--;
        }
    }

    void release_locked(Entry &entry)
    {
        if (--entry.holds_)
            return;
        held_--;
        if (!entry.left_)
            entry.ready = Clock::now();
        end_work_if_over(entry);
        if (held_ == 0) // under the lock: whoever waits in drain() may destroy the queue next
            room_changed_.notify_all();
    }

    /// Without the lock, for which whoever takes would wait at once.
    void wake_taker_if_first(const Entry &entry, std::unique_lock<std::mutex> &lock)
    {
        if (!is_first(entry))
            return;
        const auto changed = first_changed_; // outlives the queue
        lock.unlock();
        changed->notify_one();
    }

    /// The entry is out of `entries_` now.
    void leave_locked(Entry &entry)
    {
        counted_ -= entry.item.counts();
        entry.left_ = true;
        entry.late = entry.holds_ > 0;
        if (entry.late)
            entry.ready = Clock::now();
        const auto waits =
            std::find_if(waiting_.begin(), waiting_.end(), [&](const Handle &each) { return each.get() == &entry; });
        if (waits != waiting_.end()) {
            waiting_.erase(waits);
            release_locked(entry);
        }
        end_work_if_over(entry);
    }

    std::mutex mutex_;
    /// The oldest entry is another, or can leave: for take().
    const std::shared_ptr<std::condition_variable> first_changed_ = std::make_shared<std::condition_variable>();
    std::condition_variable room_changed_; ///< fewer are inside, or nothing is held: for all others who wait
    std::deque<Handle> entries_, waiting_; ///< those inside; those of them that wait for a place at work
    size_t counted_ = 0, at_work_ = 0;
    static constexpr size_t always = ~size_t(0);
    size_t resume_at_ = always; ///< so few counted items wake who waits for room
    size_t held_ = 0;           ///< entries that something holds, inside or not
    bool closed_ = true;
};

} // namespace leat
