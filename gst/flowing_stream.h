#pragma once
#include <glib.h>

namespace leat {

/// Counts a stream, known by the group that its STREAM_START event names, while it lives; the streams of one file are
/// one, however many elements count it.
class FlowingStream {
  public:
    /// None.
    FlowingStream() = default;
    explicit FlowingStream(guint group);
    ~FlowingStream();
    FlowingStream &operator=(FlowingStream &&other) noexcept;

    /// Whether this process has more than one. Any thread.
    static bool several();

  private:
    guint group_ = 0; // 0: none, GST_GROUP_ID_INVALID
};

/// How this thread gets a processor when it wakes: at once, in place of a thread that computes, or when that one's time
/// slice ends, with its caches used to the full (SCHED_BATCH). Nothing changes where the application has chosen another
/// policy or the system allows none. Threads made by this one would inherit it.
void set_patient(bool);

} // namespace leat
