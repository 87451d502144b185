#pragma once
#include "gst/live_policy.h"
#include "gst/ordered_queue.h"

#include <gst/gst.h>

#include <cstdint>
#include <memory>
#include <mutex>

namespace leat {

struct UnrefMiniObject {
    void operator()(GstMiniObject *object) const { gst_mini_object_unref(object); }
};

/// A serialized query that waits in the queue for its turn. Its maker stays with it until it is answered or withdrawn.
struct PendingQuery {
    GstQuery *query;
    bool answered = false, result = false; ///< changed under the queue's lock
};

/// One buffer, serialized event or serialized query on its way from the sink pad to the source pad.
struct AsyncItem {
    std::unique_ptr<GstMiniObject, UnrefMiniObject> object; ///< buffer or event; nothing for a query
    std::shared_ptr<PendingQuery> query;
    std::shared_ptr<void> work; ///< what a subclass keeps beside a buffer
    uint64_t segment = 0;       ///< counts the stream starts and segments that entered before it
    /// Why nobody looked at the buffer: "late" (no place at work, or no result in time), "qos" (downstream said that it
    /// comes too late), or what the subclass says; nothing: somebody did.
    const char *not_inferred = nullptr;
    bool unwanted = false; ///< to be dropped when its turn comes

    bool is_buffer() const { return object && GST_IS_BUFFER(object.get()); }
    bool is_event() const { return object && GST_IS_EVENT(object.get()); }
    /// A gap stands for data, so it takes a place too.
    bool counts() const { return is_buffer() || (is_event() && GST_EVENT_TYPE(object.get()) == GST_EVENT_GAP); }
};

using AsyncQueue = OrderedQueue<AsyncItem>;

struct AsyncFilterState;

} // namespace leat

/// Base of the elements that work on several buffers at once: "sink" and "src" pads, one ordered queue between them.
///
/// The sink pad's thread puts a buffer into the queue and lets the subclass start work on it. Once as many buffers as
/// room() says are inside it waits until there is room for several: that is the only back-pressure. A task on the
/// source pad takes the oldest buffer whose work has ended, lets the subclass finish it, and pushes it with no lock
/// held. Serialized events and queries travel in the same queue, so they keep their place. What downstream answers goes
/// back to upstream with the next buffers.
///
/// With a late policy other than `block`, upstream waits only for downstream. `skip-inference`: a buffer for which
/// there is no place at work passes as it is, and so does one whose work has not ended in time. `drop-oldest`: buffers
/// wait for a place, as many as may be at work; beyond that the one that has waited longest is dropped, and so is one
/// whose work has not ended in time. Such work goes on without anybody who waits for it.
struct LeatAsyncFilter {
    GstElement parent;
    GstPad *sinkpad, *srcpad;
    leat::AsyncFilterState *state;
};

struct LeatAsyncFilterClass {
    GstElementClass parent_class;
    /// NULL to READY: may begin in the background what open() will need. Optional.
    void (*load)(LeatAsyncFilter *);
    /// READY to PAUSED, before the pads run: gets ready. FALSE after posting an error. Optional.
    gboolean (*open)(LeatAsyncFilter *);
    /// READY to NULL: lets go of what load() and open() got. Optional.
    void (*close)(LeatAsyncFilter *);
    /// How many buffers may be inside at once, at least 1, and how few are when upstream, once it waits, goes on.
    leat::Room (*room)(LeatAsyncFilter *);
    /// Buffers that upstream's pool is asked for on top of its own, and the most at work with a late policy. With
    /// `block` room() may become more; upstream waits for its pool then. Optional; without it as room() after open().
    guint (*most_depth)(LeatAsyncFilter *);
    /// Called on the sink pad's thread, before the buffers with these caps. FALSE refuses the caps. Optional.
    gboolean (*set_caps)(LeatAsyncFilter *, GstCaps *);
    /// What becomes of buffers that come too fast. Optional; without it upstream waits.
    leat::LivePolicy (*policy)(LeatAsyncFilter *);
    /// Called on the sink pad's thread, in stream order: makes the buffer's work ready in `item.work`. FALSE when there
    /// is none to submit. Faults are kept in `item.work` for finish().
    gboolean (*prepare)(LeatAsyncFilter *, leat::AsyncItem &);
    /// Called on any thread, at most once for each prepared buffer: starts its work, with hold() for each piece and
    /// release() when it ends, on any thread. `item.work` must outlive the pieces, not the entry.
    void (*submit)(LeatAsyncFilter *, const leat::AsyncQueue::Handle &);
    /// Called on the sink pad's thread at the end of the stream: none comes after the last buffer until the next flush
    /// or stream. Optional.
    void (*drain)(LeatAsyncFilter *);
    /// Called on the source pad's thread, in stream order, once all work on the buffer has ended: takes the buffer
    /// out of the item, attaches results and returns it in *buffer. Work on a buffer that was not inferred may not have
    /// ended, or never begun. Posts an error before it returns GST_FLOW_ERROR.
    GstFlowReturn (*finish)(LeatAsyncFilter *, leat::AsyncItem &, GstBuffer **buffer);
};

GType leat_async_filter_get_type();
#define LEAT_TYPE_ASYNC_FILTER (leat_async_filter_get_type())
#define LEAT_ASYNC_FILTER(object) (reinterpret_cast<LeatAsyncFilter *>(object))
#define LEAT_ASYNC_FILTER_CLASS(klass) (reinterpret_cast<LeatAsyncFilterClass *>(klass))
#define LEAT_ASYNC_FILTER_GET_CLASS(object)                                                                            \
    (G_TYPE_INSTANCE_GET_CLASS((object), LEAT_TYPE_ASYNC_FILTER, LeatAsyncFilterClass))

namespace leat {

/// For submit(): one more piece of work on that buffer.
void hold(LeatAsyncFilter *, AsyncQueue::Entry &);
/// That piece of work has ended. Any thread. The element may be gone afterwards.
void release(LeatAsyncFilter *, AsyncQueue::Handle);

/// Whether frames come at their own time. Any thread.
bool is_live(LeatAsyncFilter *);

/// What went through since the element last went to PAUSED.
struct AsyncCounts {
    uint64_t frames_in = 0, frames_out = 0;
    uint64_t late_skipped = 0,
             late_dropped = 0; ///< passed without inference, or not passed, because of the late policy
    uint64_t qos_late = 0;     ///< of these, because downstream said that they come too late
    GstClockTime latency_p50 = 0, latency_p95 = 0, latency_p99 = 0; ///< from entering to ready to leave; recent buffers
    GstClockTime reported_latency = 0;                              ///< what the LATENCY query adds
};
AsyncCounts counts(LeatAsyncFilter *);

} // namespace leat
