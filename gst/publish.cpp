#include "gst/destination.h"
#include "gst/errors.h"
#include "gst/meta.h"
#include "gst/pads.h"
#include "gst/properties.h"

#include <gst/base/gstbasetransform.h>

#include <utility>

// leatpublish: sends the JSON of leatmetaconvert to a file, the standard output or a broker.

struct LeatPublish {
    GstBaseTransform parent;
    leat::Settings<leat::PublishSettings> *settings;
    leat::Destination *destination; // between start and stop
    bool warned;                    // since the start: that there is no JSON
};

struct LeatPublishClass {
    GstBaseTransformClass parent_class;
};

G_DEFINE_TYPE(LeatPublish, leat_publish, GST_TYPE_BASE_TRANSFORM)

namespace leat {
namespace {

using P = PublishSettings;

/// The destinations that this build knows.
struct Method {
    PublishMethod method;
    const char *nick, *about;
    std::unique_ptr<Destination> (*open)(const PublishSettings &);
};
constexpr Method methods[] = {
    {PublishMethod::file, "file", "A file, or the standard output", open_file},
#if LEAT_HAVE_MQTT
    {PublishMethod::mqtt, "mqtt", "An MQTT broker at address, under topic", open_mqtt},
#endif
#if LEAT_HAVE_KAFKA
    {PublishMethod::kafka, "kafka", "A Kafka cluster at address, under topic", open_kafka},
#endif
};

const GEnumValue *method_values()
{
    static GEnumValue values[std::size(methods) + 1] = {};
    for (size_t i = 0; i < std::size(methods); i++)
        values[i] = {static_cast<int>(methods[i].method), methods[i].about, methods[i].nick};
    return values;
}

const GEnumValue format_values[] = {
    {int(FileFormat::json), "One array with all messages, complete once the element stops", "json"},
    {int(FileFormat::json_lines), "One message a line", "json-lines"},
    {0, nullptr, nullptr},
};

std::vector<Property<P>> properties()
{
    return {
        choice(&P::method, "method", "Method", "Where messages go", enumeration("LeatPublishMethod", method_values()),
               P{}.method, before_start),
        text(&P::file_path, "file-path", "File path",
             "File that is written anew at each start; not set: the standard output", before_start),
        choice(&P::file_format, "file-format", "File format", "How messages are put together",
               enumeration("LeatFileFormat", format_values), P{}.file_format, before_start),
        text(&P::address, "address", "Address", "Of the broker: tcp://HOST:PORT for MQTT, HOST:PORT,… for Kafka",
             before_start),
        text(&P::topic, "topic", "Topic", "Of the messages at the broker", before_start),
        integer(&P::connect_timeout_s, "connect-timeout", "Connect timeout",
                "Seconds to wait for the broker at the start, and at the stop for its confirmation of every message", 1,
                3600, before_start),
    };
}

LeatPublish *publisher(GstBaseTransform *transform)
{
    return reinterpret_cast<LeatPublish *>(transform);
}

/// Runs `body`; what it throws becomes an error on the bus.
template <class Body> bool reported(LeatPublish *self, Body body)
{
    try {
        body();
        return true;
    } catch (const Error &error) {
        post_error(GST_ELEMENT(self), Fault::write, error.what());
        return false;
    }
}

std::unique_ptr<Destination> open(const PublishSettings &settings)
{
    if (settings.method != PublishMethod::file && (settings.address.empty() || settings.topic.empty()))
        throw Error("a broker needs the properties address and topic");
    for (const Method &row : methods)
        if (row.method == settings.method)
            return row.open(settings);
    throw Error("property method: this build lacks that destination");
}

gboolean start(GstBaseTransform *transform)
{
    LeatPublish *self = publisher(transform);
    const auto settings = self->settings->now();
    if (const std::string faults = self->settings->faults(); !faults.empty()) {
        post_error(GST_ELEMENT(self), Fault::property, faults);
        return FALSE;
    }
    self->warned = false;
    return reported(self, [&] { self->destination = open(*settings).release(); });
}

gboolean stop(GstBaseTransform *transform)
{
    LeatPublish *self = publisher(transform);
    const std::unique_ptr<Destination> destination(std::exchange(self->destination, nullptr));
    return !destination || reported(self, [&] { destination->close(); });
}

void warn_of_missing_json(LeatPublish *self)
{
    if (!std::exchange(self->warned, true))
        GST_ELEMENT_WARNING(self, STREAM, FORMAT,
                            ("frames with objects come without JSON, of which nothing is published; put "
                             "leatmetaconvert before leatpublish"),
                            (nullptr));
}

GstFlowReturn transform_ip(GstBaseTransform *transform, GstBuffer *buffer)
{
    LeatPublish *self = publisher(transform);
    if (const char *message = json_of(buffer))
        return reported(self, [&] { self->destination->send(message); }) ? GST_FLOW_OK : GST_FLOW_ERROR;
    if (gst_buffer_get_meta(buffer, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))
        warn_of_missing_json(self);
    return GST_FLOW_OK;
}

void finalize(GObject *object)
{
    delete reinterpret_cast<LeatPublish *>(object)->settings;
    G_OBJECT_CLASS(leat_publish_parent_class)->finalize(object);
}

} // namespace
} // namespace leat

static void leat_publish_init(LeatPublish *self)
{
    self->settings = new leat::Settings<leat::PublishSettings>;
    gst_base_transform_set_in_place(&self->parent, TRUE);
    gst_base_transform_set_passthrough(&self->parent, TRUE);
}

static void leat_publish_class_init(LeatPublishClass *klass)
{
    GObjectClass *object_class = G_OBJECT_CLASS(klass);
    object_class->set_property = leat::set_property<LeatPublish>;
    object_class->get_property = leat::get_property<LeatPublish>;
    object_class->finalize = leat::finalize;
    leat::install_properties(object_class, leat::properties());
    GstBaseTransformClass *transform_class = GST_BASE_TRANSFORM_CLASS(klass);
    transform_class->start = leat::start;
    transform_class->stop = leat::stop;
    transform_class->transform_ip = leat::transform_ip;
    transform_class->transform_ip_on_passthrough = TRUE;
    leat::add_pads(GST_ELEMENT_CLASS(klass), "ANY");
    gst_element_class_set_static_metadata(
        GST_ELEMENT_CLASS(klass), "Leat metadata publisher", "Filter/Metadata",
        "Writes the JSON that leatmetaconvert has put on each buffer to a file, the standard output or a "
        "broker; buffers pass as they are",
        "The Leat developers");
}
