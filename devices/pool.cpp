#include "pool.h"

#include "inference/warning.h"

#include <leat/error.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>

namespace leat {
namespace {

std::string sentence_of(const std::exception_ptr &error)
{
    try {
        std::rethrow_exception(error);
    } catch (const std::exception &known) {
        return known.what();
    } catch (...) {
        return "unknown error";
    }
}

std::string count(uint64_t number, const std::string &noun)
{
    return std::to_string(number) + ' ' + noun + (number == 1 ? "" : "s");
}

class Pool final : public CompiledModel {
  public:
    Pool(std::vector<Candidate> candidates, PoolPolicy policy, int num_requests, size_t helper)
        : policy_(policy), num_requests_(num_requests), helper_(policy == PoolPolicy::best ? helper : candidates.size())
    {
        for (Candidate &candidate : candidates)
            lanes_.push_back({std::move(candidate)});
        try {
            begin();
        } catch (...) {
            join_makers();
            throw;
        }
    }

    ~Pool() override
    {
        {
            std::unique_lock lock(mutex_);
            idle_.wait(lock, [&] { return unfinished_ == 0; });
        }
        join_makers();
        // Their destructors wait until the last done() has returned, which uses what is here.
        for (Lane &lane : lanes_)
            lane.model.reset();
    }

    std::span<const Port> inputs() const override { return inputs_; }
    std::span<const Port> outputs() const override { return outputs_; }

    int depth() const override
    {
        if (num_requests_ > 0)
            return num_requests_;
        std::lock_guard lock(mutex_);
        int sum = 0, largest = is_making() ? 4 : 1;
        for (const Lane &lane : lanes_)
            if (lane.state == State::ready) {
                sum += lane.model->depth();
                largest = std::max(largest, lane.model->depth());
            }
        return policy_ == PoolPolicy::every ? sum : largest;
    }

    Tensor allocate(const Port &port) const override
    {
        std::lock_guard lock(mutex_);
        return lanes_[first_ready()].model->allocate(port);
    }

    bool owns(const Job &job) const override
    {
        std::lock_guard lock(mutex_);
        return owner_of(job) < lanes_.size();
    }

    void submit(Job &job) override
    {
        job.submitted = std::chrono::steady_clock::now();
        auto entry = std::make_shared<Entry>();
        entry->job = &job;
        entry->done = std::move(job.done);
        entry->submitted = job.submitted;
        std::lock_guard lock(mutex_);
        entry->number = ++submitted_;
        entry->owner = owner_of(job);
        unfinished_++;
        waiting_.push_back(std::move(entry));
        hand_out();
    }

    void flush() override
    {
        std::lock_guard lock(mutex_);
        for (const Lane &lane : lanes_)
            if (lane.state == State::ready)
                lane.model->flush();
    }

    std::vector<Setting> settings() const override
    {
        std::lock_guard lock(mutex_);
        std::vector<Setting> all;
        const size_t best = first_ready();
        if (policy_ == PoolPolicy::best)
            all.push_back({"device_chosen", lanes_[best].candidate.name, why(best)});
        for (size_t i = 0; i < lanes_.size(); i++)
            describe(i, all);
        return all;
    }

    std::vector<NodeReport> nodes() const override
    {
        std::lock_guard lock(mutex_);
        return lanes_[first_ready()].model->nodes();
    }

  private:
    enum class State { untried, compiling, ready, failed, left_out, given_up };
    struct Lane {
        Candidate candidate;
        State state = State::untried;
        std::shared_ptr<CompiledModel> model{}; ///< present when ready, and when left out: jobs may still be there
        std::shared_ptr<void> claim{};          ///< on the device, while it is ready or being compiled for
        std::string fault{};                    ///< why it failed or was left out
        size_t in_flight = 0;
        uint64_t jobs = 0; ///< that ended well
    };
    struct Entry {
        Job *job;
        std::function<void(Job &)> done;
        std::chrono::steady_clock::time_point submitted;
        std::vector<size_t> failed_on{}; ///< lanes
        std::exception_ptr error{};      ///< the first
        uint64_t number = 0;             ///< in the order in which they came
        size_t owner = 0;                ///< the lane in whose memory the job lies; the number of lanes: none
    };
    using EntryPointer = std::shared_ptr<Entry>;

    const PoolPolicy policy_;
    const int num_requests_;
    const size_t helper_;
    std::vector<Port> inputs_, outputs_; // of the model; the same on every device

    mutable std::mutex mutex_; // guards what follows
    std::condition_variable made_, idle_;
    std::vector<Lane> lanes_; // by priority
    std::deque<EntryPointer> waiting_;
    uint64_t submitted_ = 0;
    size_t unfinished_ = 0;
    bool searching_ = false; ///< a candidate to run the model, in the background
    bool fell_back_ = false; ///< the helper is kept, because a device before it has failed
    std::vector<std::thread> makers_;

    // Making models.

    void begin()
    {
        std::unique_lock lock(mutex_);
        if (policy_ == PoolPolicy::every)
            for (size_t i = 0; i < lanes_.size(); i++)
                start_making(i);
        else {
            if (helper_ < lanes_.size() && helper_ > 0)
                start_making(helper_);
            search({});
        }
        made_.wait(lock,
                   [&] { return !is_making() || (policy_ == PoolPolicy::best && first_ready() < lanes_.size()); });
        if (first_ready() == lanes_.size())
            throw Error("none of the devices can run the model: " + faults());
        const CompiledModel &model = *lanes_[first_ready()].model;
        inputs_.assign(model.inputs().begin(), model.inputs().end());
        outputs_.assign(model.outputs().begin(), model.outputs().end());
    }

    void join_makers()
    {
        std::unique_lock lock(mutex_);
        while (!makers_.empty()) { // one may start another
            std::vector<std::thread> now = std::move(makers_);
            makers_.clear();
            lock.unlock();
            for (std::thread &maker : now)
                maker.join();
            lock.lock();
        }
    }

    bool is_making() const
    {
        return searching_ || std::any_of(lanes_.begin(), lanes_.end(),
                                         [](const Lane &lane) { return lane.state == State::compiling; });
    }

    std::string faults() const
    {
        std::string all;
        for (const Lane &lane : lanes_)
            all += (all.empty() ? "" : "; ") + lane.candidate.name + ": " + lane.fault;
        return all;
    }

    void start_making(size_t index)
    {
        lanes_[index].state = State::compiling;
        makers_.emplace_back([this, index] {
            make(index);
            std::unique_lock lock(mutex_);
            settle(lock);
        });
    }

    /// Looks for the first candidate but those that can run the model, one after the other, in the background.
    void search(const std::vector<size_t> &but)
    {
        if (searching_)
            return;
        searching_ = true;
        makers_.emplace_back([this, but] {
            std::unique_lock lock(mutex_);
            for (size_t i = 0; i < lanes_.size(); i++) {
                if (std::find(but.begin(), but.end(), i) != but.end())
                    continue;
                Lane &lane = lanes_[i];
                made_.wait(lock, [&] { return lane.state != State::compiling; });
                if (lane.state == State::untried || lane.state == State::given_up) {
                    lane.state = State::compiling;
                    lock.unlock();
                    make(i);
                    lock.lock();
                }
                if (lane.state == State::ready)
                    break;
            }
            searching_ = false;
            settle(lock);
        });
    }

    /// Without the lock.
    void make(size_t index)
    {
        std::shared_ptr<CompiledModel> model;
        std::shared_ptr<void> claim;
        std::string fault;
        try {
            if (lanes_[index].candidate.claim)
                claim = lanes_[index].candidate.claim();
            model = lanes_[index].candidate.compile();
        } catch (...) {
            fault = sentence_of(std::current_exception());
        }
        if (!model)
            warn("device " + lanes_[index].candidate.name + " is left out: " + fault);
        std::lock_guard lock(mutex_);
        if (model)
            lanes_[index].claim = std::move(claim);
        lanes_[index].model = std::move(model);
        lanes_[index].fault = fault;
        lanes_[index].state = fault.empty() ? State::ready : State::failed;
    }

    /// After something was made or could not be.
    void settle(std::unique_lock<std::mutex> &lock)
    {
        made_.notify_all();
        hand_out();
        const std::vector<EntryPointer> hopeless = take_hopeless();
        give_up_helper();
        lock.unlock();
        for (const EntryPointer &entry : hopeless)
            finish(*entry);
        lock.lock();
    }

    /// The helper has done its part when a device before it is ready and it has no more jobs. It is freed on a thread
    /// of its own, because this may be one that the model waits for.
    void give_up_helper()
    {
        if (helper_ >= lanes_.size() || fell_back_)
            return;
        Lane &lane = lanes_[helper_];
        const bool wanted = std::any_of(waiting_.begin(), waiting_.end(),
                                        [&](const EntryPointer &entry) { return entry->owner == helper_; });
        if (lane.state != State::ready || lane.in_flight > 0 || wanted || first_ready() >= helper_)
            return;
        lane.state = State::given_up;
        lane.claim.reset();
        makers_.emplace_back([unused = std::move(lane.model)]() mutable { unused.reset(); });
    }

    // Handing out jobs.

    size_t first_ready() const
    {
        size_t i = 0;
        while (i < lanes_.size() && lanes_[i].state != State::ready)
            i++;
        return i;
    }

    size_t owner_of(const Job &job) const
    {
        size_t i = 0;
        while (i < lanes_.size() && !(lanes_[i].model && lanes_[i].model->owns(job)))
            i++;
        return i;
    }

    static bool has_room(const Lane &lane)
    {
        return lane.model && lane.in_flight < static_cast<size_t>(std::max(1, lane.model->depth()));
    }

    /// The lane on which the job may start now; the number of lanes when it must wait.
    size_t lane_for(const Entry &entry) const
    {
        if (entry.owner < lanes_.size())
            return has_room(lanes_[entry.owner]) ? entry.owner : lanes_.size();
        for (size_t i = 0; i < lanes_.size(); i++) {
            const bool failed = std::find(entry.failed_on.begin(), entry.failed_on.end(), i) != entry.failed_on.end();
            if (lanes_[i].state != State::ready || failed)
                continue;
            if (has_room(lanes_[i]))
                return i;
            if (policy_ == PoolPolicy::best)
                break;
        }
        return lanes_.size();
    }

    /// Whether a lane may ever run the job again.
    bool is_hopeless(const Entry &entry) const
    {
        if (entry.failed_on.empty())
            return false;
        if (entry.owner < lanes_.size())
            return true;
        if (is_making())
            return false;
        for (size_t i = 0; i < lanes_.size(); i++)
            if (lanes_[i].state == State::ready &&
                std::find(entry.failed_on.begin(), entry.failed_on.end(), i) == entry.failed_on.end())
                return false;
        return true;
    }

    std::vector<EntryPointer> take_hopeless()
    {
        std::vector<EntryPointer> taken;
        std::erase_if(waiting_, [&](const EntryPointer &entry) {
            const bool hopeless = is_hopeless(*entry);
            if (hopeless)
                taken.push_back(entry);
            return hopeless;
        });
        return taken;
    }

    static bool before(const Job &a, const Job &b)
    {
        return a.priority != b.priority ? a.priority > b.priority : a.deadline < b.deadline;
    }

    /// Starts every job that has a lane. Of each stream only the job that came first is looked at.
    void hand_out()
    {
        while (!waiting_.empty() && std::any_of(lanes_.begin(), lanes_.end(), has_room)) {
            std::set<uint64_t> streams;
            auto best = waiting_.end();
            size_t lane = lanes_.size();
            for (auto entry = waiting_.begin(); entry != waiting_.end(); ++entry) {
                const Job &job = *(*entry)->job;
                if (!streams.insert(job.stream).second || (best != waiting_.end() && !before(job, *(*best)->job)))
                    continue;
                if (const size_t free = lane_for(**entry); free < lanes_.size()) {
                    best = entry;
                    lane = free;
                }
            }
            if (best == waiting_.end())
                return;
            EntryPointer entry = std::move(*best);
            waiting_.erase(best);
            start(std::move(entry), lane);
        }
    }

    void start(EntryPointer entry, size_t index)
    {
        Lane &lane = lanes_[index];
        lane.in_flight++;
        Job &job = *entry->job;
        job.error = nullptr;
        job.done = [this, index, entry = std::move(entry)](Job &) { end(index, entry); };
        lane.model->submit(job);
    }

    /// A device's thread: the job has ended there.
    void end(size_t index, const EntryPointer &entry)
    {
        const std::exception_ptr error = entry->job->error;
        std::string warning;
        bool again = false;
        std::vector<EntryPointer> hopeless;
        {
            std::lock_guard lock(mutex_);
            lanes_[index].in_flight--;
            if (!error) {
                lanes_[index].jobs++;
                warning = leave_out(*entry);
            } else {
                if (!entry->error)
                    entry->error = error;
                again = !is_cancelled(*entry->job) && wants_another(*entry, index);
                if (again)
                    put_back(entry);
            }
            hand_out();
            hopeless = take_hopeless();
            give_up_helper();
        }
        if (!warning.empty())
            warn(warning);
        if (!again)
            finish(*entry);
        for (const EntryPointer &each : hopeless)
            finish(*each);
    }

    static bool is_cancelled(const Job &job) { return job.cancelled && *job.cancelled; }

    /// Where it was among those that wait.
    void put_back(const EntryPointer &entry)
    {
        const auto place = std::find_if(waiting_.begin(), waiting_.end(),
                                        [&](const EntryPointer &each) { return each->number > entry->number; });
        waiting_.insert(place, entry);
    }

    /// Whether the job shall be tried on another device; compiles for one if there is none yet.
    bool wants_another(Entry &entry, size_t failed_on)
    {
        entry.failed_on.push_back(failed_on);
        if (entry.failed_on.size() > 1 || entry.owner < lanes_.size())
            return false;
        if (!is_hopeless(entry))
            return true;
        const auto untried = [](const Lane &lane) {
            return lane.state == State::untried || lane.state == State::given_up;
        };
        if (std::none_of(lanes_.begin(), lanes_.end(), untried))
            return false;
        fell_back_ = true;
        search(entry.failed_on);
        return true;
    }

    /// The devices on which a job failed that another has now run. Returns the warning.
    std::string leave_out(const Entry &entry)
    {
        std::string warning;
        for (size_t index : entry.failed_on) {
            Lane &lane = lanes_[index];
            if (lane.state != State::ready)
                continue;
            lane.state = State::left_out;
            lane.claim.reset();
            lane.fault = sentence_of(entry.error);
            warning = "device " + lane.candidate.name + " is left out from now on, because a job failed there that " +
                      "ran elsewhere: " + lane.fault;
        }
        return warning;
    }

    void finish(Entry &entry)
    {
        Job &job = *entry.job;
        job.submitted = entry.submitted;
        if (job.error)
            job.error = entry.error;
        entry.done(job);
        std::lock_guard lock(mutex_);
        if (--unfinished_ == 0)
            idle_.notify_all();
    }

    // Telling.

    std::string names() const
    {
        std::string all;
        for (const Lane &lane : lanes_)
            all += (all.empty() ? "" : ", ") + lane.candidate.name;
        return all;
    }

    std::string why(size_t best) const
    {
        if (searching_ && best == helper_)
            return "takes the jobs while a device before it is compiled, of " + names();
        return "the first of " + names() + " that can run the model";
    }

    void describe(size_t index, std::vector<Setting> &all) const
    {
        const Lane &lane = lanes_[index];
        const std::string place = "device_" + std::to_string(index + 1);
        const std::string ran = count(lane.jobs, "job") + " so far";
        std::string reason;
        switch (lane.state) {
        case State::untried: reason = "not needed: a device before it runs the model"; break;
        case State::compiling: reason = "is being compiled"; break;
        case State::ready: reason = "ready; " + ran; break;
        case State::failed: reason = "left out: " + lane.fault; break;
        case State::left_out: reason = "left out after " + ran + ": " + lane.fault; break;
        case State::given_up: reason = "given up when a device before it was ready; " + ran; break;
        }
        if (!lane.candidate.note.empty())
            reason += "; " + lane.candidate.note;
        all.push_back({place, lane.candidate.name, reason});
        if (lane.state == State::ready)
            for (Setting &setting : lane.model->settings())
                all.push_back({place + "." + setting.name, setting.value, setting.reason});
    }
};

} // namespace

std::unique_ptr<CompiledModel> make_pool(std::vector<Candidate> candidates, PoolPolicy policy, int num_requests,
                                         size_t helper)
{
    return std::make_unique<Pool>(std::move(candidates), policy, num_requests, helper);
}

} // namespace leat
