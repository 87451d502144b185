#include "gst/flowing_stream.h"

#include <atomic>
#include <map>
#include <mutex>
#include <sched.h>
#include <utility>

namespace leat {
namespace {

struct Registry {
    std::mutex mutex;
    std::map<guint, int> counted; ///< how often each group is
    std::atomic<bool> several = false;

    void add(guint group, int number)
    {
        if (!group)
            return;
        std::lock_guard lock(mutex);
        if (!(counted[group] += number))
            counted.erase(group);
        several = counted.size() > 1;
    }
};

Registry &registry()
{
    static Registry made;
    return made;
}

} // namespace

FlowingStream::FlowingStream(guint group) : group_(group)
{
    registry().add(group_, 1);
}

FlowingStream::~FlowingStream()
{
    registry().add(group_, -1);
}

FlowingStream &FlowingStream::operator=(FlowingStream &&other) noexcept
{
    std::swap(group_, other.group_);
    return *this;
}

bool FlowingStream::several()
{
    return registry().several;
}

void set_patient(bool patient)
{
    thread_local bool is_patient = false;
    if (patient == is_patient)
        return;
    is_patient = patient;
    const int from = patient ? SCHED_OTHER : SCHED_BATCH, to = patient ? SCHED_BATCH : SCHED_OTHER;
    const sched_param none{};
    if (sched_getscheduler(0) == from)
        sched_setscheduler(0, to, &none);
}

} // namespace leat
