#include "gst/errors.h"
#include "gst/json.h"
#include "gst/meta.h"
#include "gst/pads.h"
#include "gst/properties.h"

#include <gst/base/gstbasetransform.h>

// leatmetaconvert: what was found in a frame, as JSON text on the buffer.

namespace leat {
namespace {

enum class JsonFormat { json };

struct ConvertSettings {
    JsonFormat format = JsonFormat::json;
    bool add_empty_results = false, add_tensor_data = false, add_rtp_timestamp = false;
    bool timestamp_utc = false, timestamp_microseconds = false;
    std::string source, tags;
    int json_indent = -1;
};

} // namespace
} // namespace leat

struct LeatMetaConvert {
    GstBaseTransform parent;
    leat::Settings<leat::ConvertSettings> *settings;
    GstVideoInfo info;
};

struct LeatMetaConvertClass {
    GstBaseTransformClass parent_class;
};

G_DEFINE_TYPE(LeatMetaConvert, leat_meta_convert, GST_TYPE_BASE_TRANSFORM)

namespace leat {
namespace {

using Json = nlohmann::ordered_json;
using C = ConvertSettings;

std::string check_tags(const std::string &text)
{
    if (text.empty() || Json::accept(text))
        return "";
    return "property tags: \"" + text + "\" is not JSON; want an object such as tags={\"camera\":\"door\"}";
}

const GEnumValue format_values[] = {
    {int(JsonFormat::json), "One JSON object for each frame", "json"},
    {0, nullptr, nullptr},
};

std::vector<Property<C>> properties()
{
    return {
        choice(&C::format, "format", "Format", "How the results are written",
               enumeration("LeatJsonFormat", format_values), C{}.format, before_start),
        flag(&C::add_empty_results, "add-empty-results", "Add empty results",
             "Also write frames in which nothing was found", while_playing),
        flag(&C::add_tensor_data, "add-tensor-data", "Add tensor data",
             "Write the numbers of raw tensors too, not only their shape", while_playing),
        text(&C::source, "source", "Source", "Name of the video's source, written as \"source\"", while_playing),
        text(&C::tags, "tags", "Tags", "JSON object written as \"tags\" with every frame", while_playing, check_tags),
        integer(&C::json_indent, "json-indent", "JSON indent", "Blanks for each level; -1 writes a frame on one line",
                -1, 20, while_playing),
        flag(&C::timestamp_utc, "timestamp-utc", "UTC timestamp",
             "Write the time of day of each frame as \"system_timestamp\" (UTC, ISO 8601)", while_playing),
        flag(&C::timestamp_microseconds, "timestamp-microseconds", "Microseconds",
             "With microseconds in \"system_timestamp\"", while_playing),
        flag(&C::add_rtp_timestamp, "add-rtp-timestamp", "RTP timestamp",
             "Write the sender's time as \"rtp\", when the source gives it as reference timestamp (timestamp/x-ntp)",
             while_playing),
    };
}

/// Real time at which the frame is due: now, moved by how far the clock is from the frame's running time.
gint64 real_time_of(GstBaseTransform *element, GstClockTime pts)
{
    const gint64 now = g_get_real_time();
    GstClock *clock = gst_element_get_clock(GST_ELEMENT(element));
    if (!clock)
        return now;
    const GstClockTime running = gst_segment_to_running_time(&element->segment, GST_FORMAT_TIME, pts);
    const GstClockTime elapsed = gst_clock_get_time(clock) - gst_element_get_base_time(GST_ELEMENT(element));
    gst_object_unref(clock);
    if (!GST_CLOCK_TIME_IS_VALID(running))
        return now;
    return now + GST_CLOCK_DIFF(elapsed, running) / gint64(GST_USECOND);
}

std::string iso_8601(gint64 microseconds, bool with_fraction)
{
    GDateTime *seconds = g_date_time_new_from_unix_utc(microseconds / G_USEC_PER_SEC);
    GDateTime *time = g_date_time_add(seconds, microseconds % G_USEC_PER_SEC);
    gchar *text = g_date_time_format(time, with_fraction ? "%Y-%m-%dT%H:%M:%S.%fZ" : "%Y-%m-%dT%H:%M:%SZ");
    const std::string result = text;
    g_free(text);
    g_date_time_unref(time);
    g_date_time_unref(seconds);
    return result;
}

void add_rtp(Json &frame, GstBuffer *buffer)
{
    constexpr GstClockTime seconds_1900_to_1970 = 2208988800;
    static GstStaticCaps caps = GST_STATIC_CAPS("timestamp/x-ntp");
    GstCaps *ntp = gst_static_caps_get(&caps);
    const auto *meta = gst_buffer_get_reference_timestamp_meta(buffer, ntp);
    gst_caps_unref(ntp);
    if (meta && meta->timestamp >= seconds_1900_to_1970 * GST_SECOND)
        frame["rtp"] = {{"sender_ntp_unix_timestamp_ns", meta->timestamp - seconds_1900_to_1970 * GST_SECOND}};
}

void add_timestamps(Json &frame, GstBaseTransform *element, GstBuffer *buffer, const C &settings)
{
    const GstClockTime pts = GST_BUFFER_PTS(buffer);
    if (GST_CLOCK_TIME_IS_VALID(pts) && element->segment.format == GST_FORMAT_TIME) {
        const guint64 stream_time = gst_segment_to_stream_time(&element->segment, GST_FORMAT_TIME, pts);
        if (GST_CLOCK_TIME_IS_VALID(stream_time))
            frame["timestamp"] = stream_time;
        if (settings.timestamp_utc)
            frame["system_timestamp"] = iso_8601(real_time_of(element, pts), settings.timestamp_microseconds);
    }
    if (settings.add_rtp_timestamp)
        add_rtp(frame, buffer);
}

Json frame_as_json(LeatMetaConvert *self, GstBuffer *buffer, const C &settings)
{
    Json frame;
    const Json objects = objects_as_json(buffer, settings.add_tensor_data);
    const Json tensors = tensors_as_json(buffer, 0, settings.add_tensor_data);
    if (!objects.empty())
        frame["objects"] = objects;
    if (!tensors.empty())
        frame["tensors"] = tensors;
    if (frame.empty() && !settings.add_empty_results)
        return frame;
    for (const NotInferred &mark : not_inferred_marks(buffer))
        frame["not_inferred"].push_back({{"model", mark.model}, {"reason", mark.reason}});
    frame["resolution"] = {{"height", GST_VIDEO_INFO_HEIGHT(&self->info)},
                           {"width", GST_VIDEO_INFO_WIDTH(&self->info)}};
    if (!settings.source.empty())
        frame["source"] = settings.source;
    if (!settings.tags.empty())
        frame["tags"] = Json::parse(settings.tags);
    add_timestamps(frame, &self->parent, buffer, settings);
    return frame;
}

gboolean set_caps(GstBaseTransform *transform, GstCaps *caps, GstCaps *)
{
    return gst_video_info_from_caps(&reinterpret_cast<LeatMetaConvert *>(transform)->info, caps);
}

gboolean start(GstBaseTransform *transform)
{
    const std::string faults = reinterpret_cast<LeatMetaConvert *>(transform)->settings->faults();
    if (!faults.empty())
        post_error(GST_ELEMENT(transform), Fault::property, faults);
    return faults.empty();
}

GstFlowReturn transform_ip(GstBaseTransform *transform, GstBuffer *buffer)
{
    auto *self = reinterpret_cast<LeatMetaConvert *>(transform);
    const auto settings = self->settings->now();
    const Json frame = frame_as_json(self, buffer, *settings);
    // Labels come from files: bytes that are not UTF-8 become replacement characters.
    if (!frame.empty())
        set_json(buffer, frame.dump(settings->json_indent, ' ', false, Json::error_handler_t::replace));
    return GST_FLOW_OK;
}

void finalize(GObject *object)
{
    delete reinterpret_cast<LeatMetaConvert *>(object)->settings;
    G_OBJECT_CLASS(leat_meta_convert_parent_class)->finalize(object);
}

} // namespace
} // namespace leat

static void leat_meta_convert_init(LeatMetaConvert *self)
{
    self->settings = new leat::Settings<leat::ConvertSettings>;
    gst_base_transform_set_in_place(&self->parent, TRUE);
}

static void leat_meta_convert_class_init(LeatMetaConvertClass *klass)
{
    GObjectClass *object_class = G_OBJECT_CLASS(klass);
    object_class->set_property = leat::set_property<LeatMetaConvert>;
    object_class->get_property = leat::get_property<LeatMetaConvert>;
    object_class->finalize = leat::finalize;
    leat::install_properties(object_class, leat::properties());
    GstBaseTransformClass *transform_class = GST_BASE_TRANSFORM_CLASS(klass);
    transform_class->set_caps = leat::set_caps;
    transform_class->start = leat::start;
    transform_class->transform_ip = leat::transform_ip;
    leat::add_pads(GST_ELEMENT_CLASS(klass), "video/x-raw(ANY)");
    gst_element_class_set_static_metadata(
        GST_ELEMENT_CLASS(klass), "Leat metadata to JSON", "Filter/Metadata",
        "Writes what was found in each frame as JSON text on the buffer (LeatJsonMeta), in the field names of DL "
        "Streamer's gvametaconvert; leatpublish writes it out",
        "The Leat developers");
}
