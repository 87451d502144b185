#include "tracer.h"

#include <leat/error.h>

#define GST_USE_UNSTABLE_API
#include <gst/gsttracer.h>

#include <algorithm>
#include <mutex>

// The tracer `leat`: GST_TRACERS="leat(file=timeline.json)" writes where the time of a whole pipeline goes.

struct LeatTracer {
    GstTracer parent;
};

struct LeatTracerClass {
    GstTracerClass parent_class;
};

G_DEFINE_TYPE(LeatTracer, leat_tracer, GST_TYPE_TRACER)

namespace leat {
namespace {

constexpr const char *default_file = "timeline.json";

std::mutex active_mutex;
std::shared_ptr<Timeline> active; // guarded by it

/// The buffers that a streaming thread is handing over, the last one innermost.
struct ThreadTrack {
    int id = 0;
    std::weak_ptr<Timeline> timeline; ///< that `id` belongs to
    std::string name;
    std::vector<Timeline::TimePoint> begun;
};
thread_local ThreadTrack thread_track;

std::string name_of(GstPad *pad)
{
    GstElement *element = pad ? gst_pad_get_parent_element(pad) : nullptr;
    if (!element)
        return "";
    gchar *name = gst_object_get_name(GST_OBJECT(element));
    const std::string text = name;
    g_free(name);
    gst_object_unref(element);
    return text;
}

/// The element that gets the buffer; "" for the pads of bins, whose element follows at once.
std::string receiver_of(GstPad *pad)
{
    GstPad *peer = gst_pad_get_peer(pad);
    const std::string name = peer && !GST_IS_PROXY_PAD(peer) ? name_of(peer) : "";
    if (peer)
        gst_object_unref(peer);
    return name;
}

void begin_push(GstTracer *, guint64, GstPad *pad, gpointer)
{
    if (thread_track.begun.empty() && thread_track.timeline.expired())
        thread_track.name = "thread of " + name_of(pad);
    thread_track.begun.push_back(Timeline::TimePoint::clock::now());
}

int track_of_this_thread(const std::shared_ptr<Timeline> &timeline)
{
    if (thread_track.timeline.lock() != timeline) {
        thread_track.timeline = timeline;
        thread_track.id = timeline->add_track(thread_track.name);
    }
    return thread_track.id;
}

void end_push(GstTracer *, guint64, GstPad *pad, GstFlowReturn flow)
{
    if (thread_track.begun.empty())
        return;
    const auto begun = thread_track.begun.back();
    thread_track.begun.pop_back();
    const auto timeline = active_timeline();
    const std::string name = timeline ? receiver_of(pad) : "";
    if (!name.empty())
        timeline->add_slice(track_of_this_thread(timeline), name, begun, Timeline::TimePoint::clock::now(),
                            flow < GST_FLOW_EOS);
}

std::string file_in(GstTracer *tracer)
{
    gchar *params = nullptr;
    g_object_get(tracer, "params", &params, nullptr);
    GstStructure *given =
        params ? gst_structure_from_string(("leat," + std::string(params)).c_str(), nullptr) : nullptr;
    const char *file = given ? gst_structure_get_string(given, "file") : nullptr;
    const std::string name = file ? file : default_file;
    if (given)
        gst_structure_free(given);
    g_free(params);
    return name;
}

void constructed(GObject *object)
{
    G_OBJECT_CLASS(leat_tracer_parent_class)->constructed(object);
    GstTracer *tracer = GST_TRACER(object);
    try {
        std::lock_guard lock(active_mutex);
        active = std::make_shared<Timeline>(file_in(tracer));
    } catch (const Error &error) {
        g_warning("GST_TRACERS=leat: %s", error.what());
        return;
    }
    gst_tracing_register_hook(tracer, "pad-push-pre", G_CALLBACK(begin_push));
    gst_tracing_register_hook(tracer, "pad-push-post", G_CALLBACK(end_push));
    gst_tracing_register_hook(tracer, "pad-push-list-pre", G_CALLBACK(begin_push));
    gst_tracing_register_hook(tracer, "pad-push-list-post", G_CALLBACK(end_push));
}

void finalize(GObject *object)
{
    std::shared_ptr<Timeline> last;
    {
        std::lock_guard lock(active_mutex);
        std::swap(active, last);
    }
    try {
        if (last)
            last->close();
    } catch (const Error &error) {
        g_warning("GST_TRACERS=leat: %s", error.what());
    }
    G_OBJECT_CLASS(leat_tracer_parent_class)->finalize(object);
}

} // namespace

std::shared_ptr<Timeline> active_timeline()
{
    std::lock_guard lock(active_mutex);
    return active;
}

void JobTracks::draw(Timeline &timeline, const GstElement *element, const Job &job)
{
    auto track = std::find_if(tracks_.begin(), tracks_.end(),
                              [&](const Track &each) { return each.free_from <= job.submitted; });
    if (track == tracks_.end()) {
        const std::string name = GST_OBJECT_NAME(element);
        tracks_.push_back({timeline.add_track(name + ", request " + std::to_string(tracks_.size() + 1)), {}});
        track = tracks_.end() - 1;
    }
    track->free_from = job.finished;
    timeline.add_slice(track->id, "wait", job.submitted, job.started);
    if (job.prepared > job.started)
        timeline.add_slice(track->id, "preprocess", job.started, job.prepared);
    timeline.add_slice(track->id, "inference", job.prepared, job.finished, bool(job.error));
}

gboolean register_tracer(GstPlugin *plugin)
{
    return gst_tracer_register(plugin, "leat", leat_tracer_get_type());
}

} // namespace leat

static void leat_tracer_init(LeatTracer *) {}

static void leat_tracer_class_init(LeatTracerClass *klass)
{
    G_OBJECT_CLASS(klass)->constructed = leat::constructed;
    G_OBJECT_CLASS(klass)->finalize = leat::finalize;
}
