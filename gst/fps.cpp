#include "gst/durations.h"
#include "gst/errors.h"
#include "gst/pads.h"
#include "gst/properties.h"

#include <gst/base/gstbasetransform.h>

#include <chrono>
#include <mutex>
#include <optional>

// leatfps: how many frames pass in a second, and how old they are.

namespace leat {
namespace {

using Clock = std::chrono::steady_clock;

struct FpsSettings {
    double interval = 1;
    int skip = 0;
    bool silent = false;
};

/// What has passed, since the element went to PAUSED and in the current interval.
struct FpsCounts {
    uint64_t frames = 0, counted = 0, in_interval = 0;
    Clock::time_point first{}, last{}, interval_began{};
    double fps = 0; ///< in the last whole interval
    Durations age;
};

} // namespace
} // namespace leat

struct LeatFps {
    GstBaseTransform parent;
    leat::Settings<leat::FpsSettings> *settings;
    std::mutex *mutex; ///< guards `counts`
    leat::FpsCounts *counts;
};

struct LeatFpsClass {
    GstBaseTransformClass parent_class;
};

G_DEFINE_TYPE(LeatFps, leat_fps, GST_TYPE_BASE_TRANSFORM)

namespace leat {
namespace {

using F = FpsSettings;

std::vector<Property<F>> properties()
{
    return {
        number(&F::interval, "interval", "Interval",
               "Seconds after which the rate is told, on the bus (element message leat-fps) and as a line of text", 0.1,
               3600, while_playing),
        integer(&F::skip, "skip", "Skip", "Frames at the beginning that do not count", 0, 1000000, before_start),
        flag(&F::silent, "silent", "Silent", "No text, only messages and the property stats", while_playing),
    };
}

double seconds(Clock::duration duration)
{
    return std::chrono::duration<double>(duration).count();
}

double average(const FpsCounts &counts)
{
    const double time = seconds(counts.last - counts.first);
    return counts.counted > 1 && time > 0 ? static_cast<double>(counts.counted - 1) / time : 0;
}

double milliseconds(const Durations &ages, int percent)
{
    return 1000 * seconds(ages.percentile(percent));
}

GstStructure *structure_of(const char *name, const FpsCounts &counts)
{
    GstStructure *stats = gst_structure_new(name, "frames", G_TYPE_UINT64, counts.frames, "fps", G_TYPE_DOUBLE,
                                            counts.fps, "average-fps", G_TYPE_DOUBLE, average(counts), nullptr);
    if (counts.age.count())
        gst_structure_set(stats, "age-p50-ms", G_TYPE_DOUBLE, milliseconds(counts.age, 50), "age-p95-ms", G_TYPE_DOUBLE,
                          milliseconds(counts.age, 95), "age-p99-ms", G_TYPE_DOUBLE, milliseconds(counts.age, 99),
                          nullptr);
    return stats;
}

/// How long after its running time the frame is here; nothing where no clock runs.
std::optional<Clock::duration> age_of(GstBaseTransform *element, GstBuffer *buffer)
{
    GstClock *clock = gst_element_get_clock(GST_ELEMENT(element));
    if (!clock)
        return {};
    const GstClockTime now = gst_clock_get_time(clock) - gst_element_get_base_time(GST_ELEMENT(element));
    gst_object_unref(clock);
    const GstSegment &segment = element->segment;
    if (segment.format != GST_FORMAT_TIME || !GST_BUFFER_PTS_IS_VALID(buffer))
        return {};
    const GstClockTime due = gst_segment_to_running_time(&segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer));
    if (!GST_CLOCK_TIME_IS_VALID(due) || due > now)
        return {};
    return std::chrono::nanoseconds(now - due);
}

/// Counts the frame; true when an interval has ended.
bool count(FpsCounts &counts, const F &settings, std::optional<Clock::duration> age)
{
    const auto now = Clock::now();
    counts.frames++;
    if (counts.frames <= static_cast<uint64_t>(settings.skip))
        return false;
    if (age)
        counts.age.add(*age);
    counts.last = now;
    if (counts.counted++ == 0) {
        counts.first = counts.interval_began = now;
        return false;
    }
    counts.in_interval++;
    const double passed = seconds(now - counts.interval_began);
    if (passed < settings.interval)
        return false;
    counts.fps = static_cast<double>(counts.in_interval) / passed;
    counts.in_interval = 0;
    counts.interval_began = now;
    return true;
}

void tell(LeatFps *self, GstStructure *stats, bool silent)
{
    double fps, mean, age;
    gst_structure_get(stats, "fps", G_TYPE_DOUBLE, &fps, "average-fps", G_TYPE_DOUBLE, &mean, nullptr);
    const bool has_age = gst_structure_get_double(stats, "age-p99-ms", &age);
    if (!silent && has_age)
        g_print("%s: %.1f frames/s, %.1f on average, 99 %% no older than %.1f ms\n", GST_OBJECT_NAME(self), fps, mean,
                age);
    else if (!silent)
        g_print("%s: %.1f frames/s, %.1f on average\n", GST_OBJECT_NAME(self), fps, mean);
    gst_element_post_message(GST_ELEMENT(self), gst_message_new_element(GST_OBJECT(self), stats));
}

GstFlowReturn transform_ip(GstBaseTransform *transform, GstBuffer *buffer)
{
    auto *self = reinterpret_cast<LeatFps *>(transform);
    const auto settings = self->settings->now();
    const auto age = age_of(transform, buffer);
    GstStructure *stats = nullptr;
    {
        std::lock_guard lock(*self->mutex);
        if (count(*self->counts, *settings, age))
            stats = structure_of("leat-fps", *self->counts);
    }
    if (stats)
        tell(self, stats, settings->silent);
    return GST_FLOW_OK;
}

gboolean start(GstBaseTransform *transform)
{
    auto *self = reinterpret_cast<LeatFps *>(transform);
    const std::string faults = self->settings->faults();
    if (!faults.empty())
        post_error(GST_ELEMENT(transform), Fault::property, faults);
    std::lock_guard lock(*self->mutex);
    *self->counts = {};
    return faults.empty();
}

void get_property_or_stats(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    if (g_param_spec_get_qdata(spec, property_quark()))
        return get_property<LeatFps>(object, id, value, spec);
    auto *self = reinterpret_cast<LeatFps *>(object);
    std::lock_guard lock(*self->mutex);
    g_value_take_boxed(value, structure_of("stats", *self->counts));
}

void finalize(GObject *object)
{
    auto *self = reinterpret_cast<LeatFps *>(object);
    delete self->settings;
    delete self->mutex;
    delete self->counts;
    G_OBJECT_CLASS(leat_fps_parent_class)->finalize(object);
}

} // namespace
} // namespace leat

static void leat_fps_init(LeatFps *self)
{
    self->settings = new leat::Settings<leat::FpsSettings>;
    self->mutex = new std::mutex;
    self->counts = new leat::FpsCounts;
    gst_base_transform_set_in_place(&self->parent, TRUE);
    gst_base_transform_set_passthrough(&self->parent, TRUE);
}

static void leat_fps_class_init(LeatFpsClass *klass)
{
    GObjectClass *object_class = G_OBJECT_CLASS(klass);
    object_class->set_property = leat::set_property<LeatFps>;
    object_class->get_property = leat::get_property_or_stats;
    object_class->finalize = leat::finalize;
    const auto rows = leat::properties();
    leat::install_properties(object_class, rows);
    g_object_class_install_property(
        object_class, static_cast<guint>(rows.size()) + 1,
        g_param_spec_boxed("stats", "Statistics",
                           "Frames, frames a second (last interval and average), and with a running clock the age of "
                           "frames in milliseconds: how long after their running time they came here (median, 95th "
                           "and 99th percentile of the last 512)",
                           GST_TYPE_STRUCTURE, GParamFlags(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
    GstBaseTransformClass *transform_class = GST_BASE_TRANSFORM_CLASS(klass);
    transform_class->start = leat::start;
    transform_class->transform_ip = leat::transform_ip;
    transform_class->transform_ip_on_passthrough = TRUE;
    leat::add_pads(GST_ELEMENT_CLASS(klass), "ANY");
    gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "Leat frame counter", "Filter/Debug/Video",
                                          "Tells how many frames pass in a second and how old they are",
                                          "The Leat developers");
}
