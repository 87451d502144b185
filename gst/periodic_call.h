#pragma once
#include <gst/gst.h>

#include <chrono>
#include <mutex>

namespace leat {

/// Calls a function of an element again and again, on the one thread that GStreamer's system clock has for such calls.
class PeriodicCall {
  public:
    using Function = void (*)(GstElement *);

    ~PeriodicCall() { stop(); }

    /// Every `interval` from now on, in place of what was asked for before; never with an interval of 0. The element
    /// lives on while it is called. Any thread.
    void start(GstElement *element, Function function, std::chrono::milliseconds interval)
    {
        std::lock_guard lock(mutex_);
        stop_locked();
        if (interval.count() <= 0)
            return;
        GstClock *clock = gst_system_clock_obtain();
        const auto period = static_cast<GstClockTime>(interval.count()) * GST_MSECOND;
        id_ = gst_clock_new_periodic_id(clock, gst_clock_get_time(clock) + period, period);
        gst_clock_id_wait_async(id_, call, new Call{function, GST_ELEMENT(gst_object_ref(element))}, forget);
        gst_object_unref(clock);
    }

    /// A call that has begun may still go on. Any thread.
    void stop()
    {
        std::lock_guard lock(mutex_);
        stop_locked();
    }

  private:
    void stop_locked()
    {
        if (!id_)
            return;
        gst_clock_id_unschedule(id_);
        gst_clock_id_unref(id_);
        id_ = nullptr;
    }

    struct Call {
        Function function;
        GstElement *element;
    };

    static gboolean call(GstClock *, GstClockTime, GstClockID, gpointer data)
    {
        const Call &wanted = *static_cast<Call *>(data);
        wanted.function(wanted.element);
        return TRUE;
    }

    static void forget(gpointer data)
    {
        gst_object_unref(static_cast<Call *>(data)->element);
        delete static_cast<Call *>(data);
    }

    std::mutex mutex_;
    GstClockID id_ = nullptr; ///< guarded by it
};

} // namespace leat
