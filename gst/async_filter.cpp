#include "async_filter.h"

#include "gst/durations.h"
#include "gst/flowing_stream.h"
#include "gst/latency_histogram.h"

#include <gst/video/video.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace leat {

struct AsyncFilterState {
    AsyncQueue queue;

    uint64_t segment = 0;                       // sink pad's thread alone
    GstSegment time_segment{};                  // sink pad's thread alone
    FlowingStream stream;                       // sink pad's thread alone
    AsyncQueue::Clock::time_point last_ready{}; // source pad's thread alone
    bool lost_before = false;                   // source pad's thread alone: the last buffer was dropped

    std::mutex task_mutex; // flow, queue and task change together; taken before `mutex`

    std::mutex mutex; // guards what follows
    GstFlowReturn flow = GST_FLOW_FLUSHING;
    bool told = false; // somebody else knows that the flow is not OK
    GstClockTime frame_duration = GST_CLOCK_TIME_NONE;
    uint64_t ended_segment = ~uint64_t(0); // downstream wants no more buffers of this one
    bool eos = false;                      // upstream said EOS: nobody asks for the flow return any more
    uint64_t frames_in = 0, frames_out = 0;
    Durations latency;
    LatencyHistogram latencies; // what the LATENCY query answers from
    GstClockTime reported_latency = 0;
    bool live = false;
    Pace pace;
    GstClockTime earliest = GST_CLOCK_TIME_NONE; // running time before which downstream finds buffers too late
    double proportion = 1;                       // how fast downstream says that it is needed
    uint64_t late_skipped = 0, late_dropped = 0, qos_late = 0;
};

namespace {

/// With late-policy=skip-inference: buffers that may be inside while the oldest is at work.
constexpr size_t most_passing = 256;
/// Of the latency that is allowed, what remains for waking up and pushing.
constexpr double share_of_latency = 0.95;

GST_DEBUG_CATEGORY_STATIC(debug_category);
#define GST_CAT_DEFAULT debug_category

LeatAsyncFilterClass *class_of(LeatAsyncFilter *self)
{
    return LEAT_ASYNC_FILTER_GET_CLASS(self);
}

size_t depth_of(LeatAsyncFilter *self)
{
    return class_of(self)->room(self).most;
}

guint most_depth_of(LeatAsyncFilter *self)
{
    LeatAsyncFilterClass *klass = class_of(self);
    return std::max<guint>(1, klass->most_depth ? klass->most_depth(self) : static_cast<guint>(depth_of(self)));
}

/// What chain() answers for a buffer of the segment that is entering now.
GstFlowReturn tell_flow(AsyncFilterState &state)
{
    std::lock_guard lock(state.mutex);
    if (state.flow == GST_FLOW_OK && state.ended_segment == state.segment)
        return GST_FLOW_EOS;
    state.told |= state.flow != GST_FLOW_OK;
    return state.flow;
}

/// True once, for a flow return that nobody has reported and nobody will.
bool must_report(AsyncFilterState &state)
{
    std::lock_guard lock(state.mutex);
    const bool fault = state.flow == GST_FLOW_NOT_LINKED || state.flow < GST_FLOW_EOS;
    return fault && !std::exchange(state.told, true);
}

LivePolicy policy_of(LeatAsyncFilter *self)
{
    LivePolicy policy = class_of(self)->policy ? class_of(self)->policy(self) : LivePolicy{};
    policy.max_latency = std::chrono::duration_cast<AsyncQueue::Clock::duration>(policy.max_latency * share_of_latency);
    return policy;
}

bool is_bounded(const LivePolicy &policy)
{
    return policy.late != LatePolicy::block && policy.max_latency.count() > 0;
}

AsyncQueue::Handle enter(AsyncFilterState &state, GstMiniObject *object)
{
    AsyncItem item;
    item.object.reset(object);
    item.segment = state.segment;
    return state.queue.enter(std::move(item));
}

GstClockTime to_clock_time(Durations::Duration duration)
{
    return static_cast<GstClockTime>(std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count());
}

/// Latency that frames gain here: measured once there is something to measure, before that as if the queue were full.
GstClockTime estimate_latency(LeatAsyncFilter *self, GstClockTime frame_duration)
{
    const LivePolicy policy = policy_of(self);
    const GstClockTime bound = is_bounded(policy) ? to_clock_time(policy.max_latency) : GST_CLOCK_TIME_NONE;
    AsyncFilterState &state = *self->state;
    {
        std::lock_guard lock(state.mutex);
        if (state.latencies.count() >= 32)
            return std::min(bound, to_clock_time(state.latencies.percentile(99)) * 21 / 20);
    }
    return std::min(bound, GST_CLOCK_TIME_IS_VALID(frame_duration) ? depth_of(self) * frame_duration : 0);
}

/// Tells the pipeline when the latency has moved by more than a quarter since it asked. Source pad's thread.
void watch_latency(LeatAsyncFilter *self, const AsyncQueue::Entry &entry)
{
    AsyncFilterState &state = *self->state;
    // A buffer that was ready early still waits for those before it; waiting for downstream does not count.
    state.last_ready = std::max(state.last_ready, entry.ready);
    {
        std::lock_guard lock(state.mutex);
        state.frames_out++;
        state.latency.add(state.last_ready - entry.entered);
        state.latencies.add(state.last_ready - entry.entered, state.last_ready);
        if (!state.live || state.latencies.count() % 64 != 32)
            return;
    }
    const GstClockTime now = estimate_latency(self, GST_CLOCK_TIME_NONE);
    GstClockTime told;
    {
        std::lock_guard lock(state.mutex);
        told = state.reported_latency;
    }
    if (now > told + told / 4 || now < told - told / 4)
        gst_element_post_message(GST_ELEMENT(self), gst_message_new_latency(GST_OBJECT(self)));
}

/// Stops the source pad's task until somebody starts it again. Source pad's thread.
void stop_flow(LeatAsyncFilter *self, GstFlowReturn flow, bool reported)
{
    AsyncFilterState &state = *self->state;
    GST_DEBUG_OBJECT(self, "stopping: %s", gst_flow_get_name(flow));
    bool eos;
    {
        std::lock_guard task_lock(state.task_mutex);
        {
            std::lock_guard lock(state.mutex);
            state.flow = flow;
            state.told = reported;
            eos = state.eos;
        }
        state.queue.set_closed(true);
        gst_pad_pause_task(self->srcpad);
    }
    // Upstream that has nothing more to send cannot learn of this from chain().
    if (eos && must_report(state))
        GST_ELEMENT_FLOW_ERROR(self, flow);
    if (eos && flow != GST_FLOW_FLUSHING)
        gst_pad_push_event(self->srcpad, gst_event_new_eos());
}

size_t places(LeatAsyncFilter *self)
{
    const size_t depth = depth_of(self);
    std::lock_guard lock(self->state->mutex);
    return std::min(depth, self->state->pace.places());
}

/// Tells the application that a buffer was dropped.
void post_qos(LeatAsyncFilter *self, GstBuffer *buffer)
{
    AsyncFilterState &state = *self->state;
    GstMessage *message = gst_message_new_qos(GST_OBJECT(self), state.live, GST_CLOCK_TIME_NONE, GST_CLOCK_TIME_NONE,
                                              GST_BUFFER_PTS(buffer), GST_BUFFER_DURATION(buffer));
    {
        std::lock_guard lock(state.mutex);
        gst_message_set_qos_values(message, 0, state.proportion, 1000000);
        gst_message_set_qos_stats(message, GST_FORMAT_BUFFERS, state.frames_out, state.late_dropped);
    }
    gst_element_post_message(GST_ELEMENT(self), message);
}

/// Any thread. The entry has left the queue.
void drop(LeatAsyncFilter *self, AsyncQueue::Entry &entry)
{
    {
        std::lock_guard lock(self->state->mutex);
        self->state->late_dropped++;
    }
    post_qos(self, GST_BUFFER_CAST(entry.item.object.get()));
    entry.item.object.reset();
}

/// Submits the buffers that wait for a place at work, as far as there are places. Any thread.
void begin_waiting(LeatAsyncFilter *self)
{
    AsyncQueue &queue = self->state->queue;
    while (const auto entry = queue.begin_waiting(places(self))) {
        class_of(self)->submit(self, entry);
        queue.release(*entry);
    }
}

void warn_of_slow_model(LeatAsyncFilter *self, const LivePolicy &policy)
{
    const auto bound = std::chrono::duration<double, std::milli>(policy.max_latency).count() / share_of_latency;
    GST_ELEMENT_WARNING(self, STREAM, FAILED,
                        ("no inference ends within max-latency=%.0f ms, even one at a time; raise max-latency, or take "
                         "a smaller model or a faster device",
                         bound),
                        (nullptr));
}

/// What the way of this buffer tells about those that come. Source pad's thread.
void learn_pace(LeatAsyncFilter *self, const AsyncQueue::Entry &entry, const LivePolicy &policy)
{
    bool hopeless;
    {
        std::lock_guard lock(self->state->mutex);
        self->state->pace.ended(entry.ready - entry.entered, policy.max_latency);
        hopeless = entry.late && self->state->pace.is_hopeless();
    }
    if (hopeless)
        warn_of_slow_model(self, policy);
}

/// Whether the buffer goes on. Source pad's thread.
bool keeps(LeatAsyncFilter *self, AsyncQueue::Entry &entry)
{
    const LivePolicy policy = policy_of(self);
    if (!entry.item.not_inferred && !entry.item.unwanted)
        learn_pace(self, entry, policy);
    if (entry.item.unwanted || (entry.late && policy.late == LatePolicy::drop_oldest)) {
        drop(self, entry);
        self->state->lost_before = true;
        return false;
    }
    if (entry.late) {
        entry.item.not_inferred = "late";
        std::lock_guard lock(self->state->mutex);
        self->state->late_skipped++;
    }
    return true;
}

/// Marks the first buffer after one that was dropped, as is the custom.
GstBuffer *with_discont(GstBuffer *buffer)
{
    buffer = gst_buffer_make_writable(buffer);
    GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DISCONT);
    return buffer;
}

void pass_buffer(LeatAsyncFilter *self, AsyncQueue::Entry &entry)
{
    AsyncFilterState &state = *self->state;
    {
        std::lock_guard lock(state.mutex);
        if (state.ended_segment == entry.item.segment)
            return;
    }
    if (!keeps(self, entry))
        return;
    GstBuffer *buffer = nullptr;
    const GstFlowReturn finished = class_of(self)->finish(self, entry.item, &buffer);
    if (finished != GST_FLOW_OK)
        return stop_flow(self, finished, true);
    watch_latency(self, entry);
    if (std::exchange(state.lost_before, false) || entry.follows_lost)
        buffer = with_discont(buffer);
    const GstFlowReturn flow = gst_pad_push(self->srcpad, buffer);
    if (flow == GST_FLOW_EOS) {
        // Events still pass, and buffers again once a new segment comes.
        std::lock_guard lock(state.mutex);
        state.ended_segment = entry.item.segment;
    } else if (flow != GST_FLOW_OK) {
        stop_flow(self, flow, false);
    }
}

/// Whoever allocates the buffers lacks those that are inside here, so they come on top.
void ask_for_buffers(GstQuery *query, guint depth)
{
    GstCaps *caps = nullptr;
    gst_query_parse_allocation(query, &caps, nullptr);
    const guint pools = gst_query_get_n_allocation_pools(query);
    for (guint i = 0; i < pools; i++) {
        GstBufferPool *pool = nullptr;
        guint size, min, max;
        gst_query_parse_nth_allocation_pool(query, i, &pool, &size, &min, &max);
        gst_query_set_nth_allocation_pool(query, i, pool, size, min + depth, max ? max + depth : 0);
        if (pool)
            gst_object_unref(pool);
    }
    GstVideoInfo info;
    if (!pools && caps && gst_video_info_from_caps(&info, caps))
        gst_query_add_allocation_pool(query, nullptr, static_cast<guint>(info.size), depth, 0);
}

void answer(LeatAsyncFilter *self, PendingQuery &pending)
{
    const bool result = gst_pad_peer_query(self->srcpad, pending.query);
    if (result && GST_QUERY_TYPE(pending.query) == GST_QUERY_ALLOCATION)
        ask_for_buffers(pending.query, most_depth_of(self));
    self->state->queue.update([&] {
        pending.result = result;
        pending.answered = true;
    });
}

/// Whether buffers that are done may wait for the end of an inference's or a decoder's time slice. Not where they are
/// awaited, nor with one stream, of whose decoder the device would then run dry.
bool may_wait(LeatAsyncFilter *self)
{
    return FlowingStream::several() && !is_live(self) && policy_of(self).late == LatePolicy::block;
}

/// The source pad's task: the oldest item out, with no lock held.
void loop(gpointer data)
{
    LeatAsyncFilter *self = LEAT_ASYNC_FILTER(data);
    const auto entry = self->state->queue.take();
    begin_waiting(self); // in the place that may be free now
    if (entry && entry->item.is_buffer()) {
        pass_buffer(self, *entry);
        set_patient(may_wait(self));
        return;
    }
    set_patient(false); // what comes may make threads downstream
    if (!entry)
        gst_pad_pause_task(self->srcpad);
    else if (entry->item.query)
        answer(self, *entry->item.query);
    else
        gst_pad_push_event(self->srcpad, GST_EVENT_CAST(entry->item.object.release()));
}

/// The thread goes back to GStreamer, for other tasks.
void leave_loop(GstTask *, GThread *, gpointer)
{
    set_patient(false);
}

/// Starts the source pad's task if the flow is one of those that it may start from.
template <class May> void start_flow(LeatAsyncFilter *self, May may)
{
    AsyncFilterState &state = *self->state;
    std::lock_guard task_lock(state.task_mutex);
    {
        std::lock_guard lock(state.mutex);
        if (!may(state.flow))
            return;
        state.flow = GST_FLOW_OK;
        state.told = false;
    }
    state.queue.set_closed(false);
    gst_pad_start_task(self->srcpad, loop, self, nullptr);
    GST_OBJECT_LOCK(self->srcpad);
    if (GstTask *task = GST_PAD_TASK(self->srcpad))
        gst_task_set_leave_callback(task, leave_loop, nullptr, nullptr);
    GST_OBJECT_UNLOCK(self->srcpad);
}

void start_flow(LeatAsyncFilter *self)
{
    start_flow(self, [](GstFlowReturn) { return true; });
}

void close_flow(LeatAsyncFilter *self)
{
    std::lock_guard task_lock(self->state->task_mutex);
    {
        std::lock_guard lock(self->state->mutex);
        self->state->flow = GST_FLOW_FLUSHING;
    }
    self->state->queue.set_closed(true);
}

/// Whether downstream has said that such a buffer comes too late. Sink pad's thread.
bool is_too_late(AsyncFilterState &state, GstBuffer *buffer)
{
    if (!GST_BUFFER_PTS_IS_VALID(buffer) || state.time_segment.format != GST_FORMAT_TIME)
        return false;
    const GstClockTime running =
        gst_segment_to_running_time(&state.time_segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer));
    std::lock_guard lock(state.mutex);
    const bool late =
        GST_CLOCK_TIME_IS_VALID(running) && GST_CLOCK_TIME_IS_VALID(state.earliest) && running < state.earliest;
    state.qos_late += late;
    return late;
}

/// Passes the buffer on as it is.
void skip(AsyncFilterState &state, AsyncItem &item, const char *why)
{
    item.not_inferred = why;
    item.work.reset();
    std::lock_guard lock(state.mutex);
    state.late_skipped++;
}

void start_waiting(LeatAsyncFilter *self, const AsyncQueue::Handle &entry)
{
    if (const auto oldest = self->state->queue.wait(entry, depth_of(self)))
        drop(self, *oldest);
    begin_waiting(self);
}

/// Has the buffer looked at as the policy wants it.
void start(LeatAsyncFilter *self, const AsyncQueue::Handle &entry, const LivePolicy &policy)
{
    AsyncFilterState &state = *self->state;
    if (!class_of(self)->prepare(self, entry->item))
        return;
    if (policy.late == LatePolicy::drop_oldest)
        return start_waiting(self, entry);
    const bool any = policy.late == LatePolicy::block;
    if (state.queue.begin(*entry, any ? std::numeric_limits<size_t>::max() : places(self)))
        class_of(self)->submit(self, entry);
    else
        skip(state, entry->item, "late");
}

void wait_for_turn(LeatAsyncFilter *self, const LivePolicy &policy)
{
    AsyncQueue &queue = self->state->queue;
    const Room room = class_of(self)->room(self);
    switch (policy.late) {
    case LatePolicy::block: return queue.wait_for(room);
    case LatePolicy::skip_inference: return queue.wait_for_taker(room.most, room.most + most_passing);
    case LatePolicy::drop_oldest: return queue.wait_for(Room::prompt(2 * room.most + most_passing));
    }
}

GstFlowReturn chain(GstPad *, GstObject *parent, GstBuffer *buffer)
{
    LeatAsyncFilter *self = LEAT_ASYNC_FILTER(parent);
    AsyncFilterState &state = *self->state;
    const GstFlowReturn before = tell_flow(state);
    if (before != GST_FLOW_OK) {
        gst_buffer_unref(buffer);
        return before;
    }
    {
        std::lock_guard lock(state.mutex);
        state.frames_in++;
    }
    const LivePolicy policy = policy_of(self);
    const bool too_late = policy.late != LatePolicy::block && is_too_late(state, buffer);
    const auto entry = enter(state, GST_MINI_OBJECT_CAST(buffer));
    if (!too_late)
        start(self, entry, policy);
    else if (policy.late == LatePolicy::skip_inference)
        skip(state, entry->item, "qos");
    else
        entry->item.unwanted = true;
    if (is_bounded(policy))
        state.queue.release(*entry, entry->entered + policy.max_latency);
    else
        state.queue.release(*entry);
    wait_for_turn(self, policy);
    return tell_flow(state);
}

/// Events that a flush drops must still be known to downstream afterwards, as if they had passed before it.
void keep_sticky(LeatAsyncFilter *self, const AsyncItem &item)
{
    if (!item.is_event())
        return;
    GstEvent *event = GST_EVENT_CAST(item.object.get());
    if (GST_EVENT_IS_STICKY(event) && GST_EVENT_TYPE(event) != GST_EVENT_SEGMENT &&
        GST_EVENT_TYPE(event) != GST_EVENT_EOS)
        gst_pad_store_sticky_event(self->srcpad, event);
}

gboolean flush_start(LeatAsyncFilter *self, GstEvent *event)
{
    const gboolean result = gst_pad_push_event(self->srcpad, event);
    close_flow(self);
    gst_pad_pause_task(self->srcpad); // waits for the task's turn to end
    return result;
}

gboolean flush_stop(LeatAsyncFilter *self, GstEvent *event)
{
    AsyncFilterState &state = *self->state;
    for (const AsyncItem &item : state.queue.drain())
        keep_sticky(self, item);
    gst_segment_init(&state.time_segment, GST_FORMAT_UNDEFINED);
    {
        std::lock_guard lock(state.mutex);
        state.eos = false;
        state.ended_segment = ~uint64_t(0);
        state.earliest = GST_CLOCK_TIME_NONE;
    }
    const gboolean result = gst_pad_push_event(self->srcpad, event);
    if (GST_PAD_MODE(self->srcpad) == GST_PAD_MODE_PUSH)
        start_flow(self);
    return result;
}

GstClockTime frame_duration_of(const GstCaps *caps)
{
    int numerator, denominator;
    const GstStructure *structure = gst_caps_get_structure(caps, 0);
    if (!gst_structure_get_fraction(structure, "framerate", &numerator, &denominator) || numerator <= 0)
        return GST_CLOCK_TIME_NONE;
    return gst_util_uint64_scale_int(GST_SECOND, denominator, numerator);
}

/// Upstream's answer, which comes before the pipeline asks; one that does not know is not live.
bool is_upstream_live(LeatAsyncFilter *self)
{
    const std::unique_ptr<GstQuery, decltype(&gst_query_unref)> query(gst_query_new_latency(), gst_query_unref);
    if (!gst_pad_peer_query(self->sinkpad, query.get()))
        return false;
    gboolean live;
    gst_query_parse_latency(query.get(), &live, nullptr, nullptr);
    return live;
}

bool take_caps(LeatAsyncFilter *self, GstEvent *event)
{
    GstCaps *caps;
    gst_event_parse_caps(event, &caps);
    if (class_of(self)->set_caps && !class_of(self)->set_caps(self, caps))
        return false;
    const bool live = is_upstream_live(self);
    std::lock_guard lock(self->state->mutex);
    self->state->live = live;
    self->state->frame_duration = frame_duration_of(caps);
    return true;
}

/// False when downstream has stopped, which upstream shall learn now if it has not yet.
bool take_eos(LeatAsyncFilter *self)
{
    AsyncFilterState &state = *self->state;
    GstFlowReturn flow;
    {
        std::lock_guard lock(state.mutex);
        flow = state.flow;
        state.eos |= flow == GST_FLOW_OK;
    }
    if (flow != GST_FLOW_OK && must_report(state))
        GST_ELEMENT_FLOW_ERROR(self, flow);
    if (flow == GST_FLOW_OK && class_of(self)->drain)
        class_of(self)->drain(self);
    return flow == GST_FLOW_OK;
}

guint group_of(GstEvent *stream_start)
{
    guint group = GST_GROUP_ID_INVALID;
    gst_event_parse_group_id(stream_start, &group);
    return group;
}

/// What must be known of an event before it enters the queue; false refuses it.
bool take_event(LeatAsyncFilter *self, GstEvent *event)
{
    switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_CAPS: return take_caps(self, event);
    case GST_EVENT_EOS: return take_eos(self);
    case GST_EVENT_SEGMENT: gst_event_copy_segment(event, &self->state->time_segment); break;
    case GST_EVENT_STREAM_START: self->state->stream = FlowingStream(group_of(event)); break;
    default: return true;
    }
    std::lock_guard lock(self->state->mutex);
    self->state->segment++;
    self->state->eos = false;
    self->state->earliest = GST_CLOCK_TIME_NONE;
    return true;
}

gboolean sink_event(GstPad *pad, GstObject *parent, GstEvent *event)
{
    LeatAsyncFilter *self = LEAT_ASYNC_FILTER(parent);
    AsyncFilterState &state = *self->state;
    if (GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_START)
        return flush_start(self, event);
    if (GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_STOP)
        return flush_stop(self, event);
    if (!GST_EVENT_IS_SERIALIZED(event))
        return gst_pad_event_default(pad, parent, event);
    if (!take_event(self, event)) {
        gst_event_unref(event);
        return FALSE;
    }
    const bool counts = GST_EVENT_TYPE(event) == GST_EVENT_GAP;
    state.queue.release(*enter(state, GST_MINI_OBJECT_CAST(event)));
    if (counts)
        wait_for_turn(self, policy_of(self));
    return TRUE;
}

/// Waits in the queue like an event, so that downstream sees it after the buffers that came before.
gboolean serialized_query(LeatAsyncFilter *self, GstQuery *query)
{
    AsyncQueue &queue = self->state->queue;
    auto pending = std::make_shared<PendingQuery>(PendingQuery{query});
    AsyncItem item;
    item.query = pending;
    queue.release(*queue.enter(std::move(item)));
    queue.wait_until([&] { return pending->answered; }, true);
    if (queue.withdraw_newest_if([&](const AsyncItem &newest) { return newest.query == pending; }))
        return FALSE;
    // The source pad's task has it; downstream answers at once when it flushes.
    queue.wait_until([&] { return pending->answered; }, false);
    return pending->result;
}

gboolean sink_query(GstPad *pad, GstObject *parent, GstQuery *query)
{
    if (GST_QUERY_IS_SERIALIZED(query))
        return serialized_query(LEAT_ASYNC_FILTER(parent), query);
    return gst_pad_query_default(pad, parent, query);
}

gboolean add_latency(LeatAsyncFilter *self, GstQuery *query)
{
    if (!gst_pad_peer_query(self->sinkpad, query))
        return FALSE;
    GstClockTime min, max;
    gboolean live;
    gst_query_parse_latency(query, &live, &min, &max);
    GstClockTime frame_duration;
    {
        std::lock_guard lock(self->state->mutex);
        frame_duration = self->state->frame_duration;
    }
    const GstClockTime gained = estimate_latency(self, frame_duration);
    // How much can be held back here: as many frames as fit in, and never less than what is gained.
    const GstClockTime held =
        GST_CLOCK_TIME_IS_VALID(frame_duration) ? std::max(depth_of(self) * frame_duration, gained) : gained;
    {
        std::lock_guard lock(self->state->mutex);
        self->state->live = live;
        self->state->reported_latency = gained;
    }
    gst_query_set_latency(query, live, min + gained, GST_CLOCK_TIME_IS_VALID(max) ? max + held : max);
    return TRUE;
}

gboolean src_query(GstPad *pad, GstObject *parent, GstQuery *query)
{
    if (GST_QUERY_TYPE(query) == GST_QUERY_LATENCY)
        return add_latency(LEAT_ASYNC_FILTER(parent), query);
    return gst_pad_query_default(pad, parent, query);
}

/// Remembers from when on downstream wants buffers, as GstBaseTransform does.
void take_qos(AsyncFilterState &state, GstEvent *event)
{
    GstClockTimeDiff jitter;
    GstClockTime timestamp;
    double proportion;
    gst_event_parse_qos(event, nullptr, &proportion, &jitter, &timestamp);
    std::lock_guard lock(state.mutex);
    state.proportion = proportion;
    if (!GST_CLOCK_TIME_IS_VALID(timestamp))
        return;
    // What is late already is late by as much again once it has come this far.
    const GstClockTimeDiff ahead = jitter > 0 ? 2 * jitter : jitter;
    const bool before_all = ahead < 0 && static_cast<GstClockTime>(-ahead) > timestamp;
    state.earliest = before_all ? 0 : timestamp + static_cast<GstClockTime>(ahead);
}

gboolean src_event(GstPad *pad, GstObject *parent, GstEvent *event)
{
    LeatAsyncFilter *self = LEAT_ASYNC_FILTER(parent);
    if (GST_EVENT_TYPE(event) == GST_EVENT_QOS)
        take_qos(*self->state, event);
    if (GST_EVENT_TYPE(event) == GST_EVENT_RECONFIGURE) // downstream may be linked again
        start_flow(self, [](GstFlowReturn flow) { return flow == GST_FLOW_NOT_LINKED; });
    return gst_pad_event_default(pad, parent, event);
}

gboolean src_activate_mode(GstPad *pad, GstObject *parent, GstPadMode mode, gboolean active)
{
    LeatAsyncFilter *self = LEAT_ASYNC_FILTER(parent);
    if (mode != GST_PAD_MODE_PUSH)
        return FALSE;
    if (active) {
        start_flow(self);
        return TRUE;
    }
    close_flow(self);
    return gst_pad_stop_task(pad);
}

void reset(AsyncFilterState &state)
{
    state.segment = 0;
    gst_segment_init(&state.time_segment, GST_FORMAT_UNDEFINED);
    state.last_ready = {};
    state.lost_before = false;
    std::lock_guard lock(state.mutex);
    state.frame_duration = GST_CLOCK_TIME_NONE;
    state.ended_segment = ~uint64_t(0);
    state.eos = state.live = false;
    state.frames_in = state.frames_out = 0;
    state.late_skipped = state.late_dropped = state.qos_late = 0;
    state.earliest = GST_CLOCK_TIME_NONE;
    state.proportion = 1;
    state.latency.clear();
    state.latencies.clear();
    state.reported_latency = 0;
}

} // namespace

void hold(LeatAsyncFilter *self, AsyncQueue::Entry &entry)
{
    self->state->queue.hold(entry);
}

void release(LeatAsyncFilter *self, AsyncQueue::Handle entry)
{
    self->state->queue.release(*entry);
}

bool is_live(LeatAsyncFilter *self)
{
    std::lock_guard lock(self->state->mutex);
    return self->state->live;
}

AsyncCounts counts(LeatAsyncFilter *self)
{
    AsyncFilterState &state = *self->state;
    std::lock_guard lock(state.mutex);
    return {state.frames_in,
            state.frames_out,
            state.late_skipped,
            state.late_dropped,
            state.qos_late,
            to_clock_time(state.latency.percentile(50)),
            to_clock_time(state.latency.percentile(95)),
            to_clock_time(state.latency.percentile(99)),
            state.reported_latency};
}

} // namespace leat

G_DEFINE_ABSTRACT_TYPE(LeatAsyncFilter, leat_async_filter, GST_TYPE_ELEMENT)

namespace {

GstStateChangeReturn change_state(GstElement *element, GstStateChange transition)
{
    LeatAsyncFilter *self = LEAT_ASYNC_FILTER(element);
    LeatAsyncFilterClass *klass = LEAT_ASYNC_FILTER_GET_CLASS(self);
    if (transition == GST_STATE_CHANGE_NULL_TO_READY && klass->load)
        klass->load(self);
    if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) {
        leat::reset(*self->state);
        if (klass->open && !klass->open(self))
            return GST_STATE_CHANGE_FAILURE;
        self->state->pace.begin(leat::most_depth_of(self));
    }
    const auto result = GST_ELEMENT_CLASS(leat_async_filter_parent_class)->change_state(element, transition);
    // The pads have stopped by now; the work in flight ends in its own time.
    if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
        self->state->queue.drain();
        self->state->stream = {};
    }
    if (transition == GST_STATE_CHANGE_READY_TO_NULL && klass->close)
        klass->close(self);
    return result;
}

/// Here, not in init(): the subclass's pad templates exist only now.
void constructed(GObject *object)
{
    LeatAsyncFilter *self = LEAT_ASYNC_FILTER(object);
    GstElementClass *klass = GST_ELEMENT_GET_CLASS(self);
    G_OBJECT_CLASS(leat_async_filter_parent_class)->constructed(object);
    self->sinkpad = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "sink"), "sink");
    self->srcpad = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "src"), "src");
    gst_pad_set_chain_function(self->sinkpad, leat::chain);
    gst_pad_set_event_function(self->sinkpad, leat::sink_event);
    gst_pad_set_query_function(self->sinkpad, leat::sink_query);
    gst_pad_set_query_function(self->srcpad, leat::src_query);
    gst_pad_set_event_function(self->srcpad, leat::src_event);
    gst_pad_set_activatemode_function(self->srcpad, leat::src_activate_mode);
    GST_PAD_SET_PROXY_CAPS(self->sinkpad);
    GST_PAD_SET_PROXY_CAPS(self->srcpad);
    gst_element_add_pad(GST_ELEMENT(self), self->sinkpad);
    gst_element_add_pad(GST_ELEMENT(self), self->srcpad);
}

void finalize(GObject *object)
{
    delete LEAT_ASYNC_FILTER(object)->state;
    G_OBJECT_CLASS(leat_async_filter_parent_class)->finalize(object);
}

} // namespace

static void leat_async_filter_init(LeatAsyncFilter *self)
{
    self->state = new leat::AsyncFilterState;
}

static void leat_async_filter_class_init(LeatAsyncFilterClass *klass)
{
    GST_DEBUG_CATEGORY_INIT(leat::debug_category, "leatasync", 0, "the ordered queue of Leat's elements");
    G_OBJECT_CLASS(klass)->constructed = constructed;
    G_OBJECT_CLASS(klass)->finalize = finalize;
    GST_ELEMENT_CLASS(klass)->change_state = change_state;
}
