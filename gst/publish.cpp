#include "gst/errors.h"
#include "gst/meta.h"
#include "gst/properties.h"

#include <gst/base/gstbasetransform.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdio>
#include <cstring>

// leatpublish: writes the JSON of leatmetaconvert to a file or to the standard output.

namespace leat {
namespace {

enum class PublishMethod { file };
enum class FileFormat { json, json_lines };

struct PublishSettings {
    PublishMethod method = PublishMethod::file;
    std::string file_path;
    FileFormat file_format = FileFormat::json;
};

} // namespace
} // namespace leat

struct LeatPublish {
    GstBaseTransform parent;
    leat::Settings<leat::PublishSettings> *settings;
    FILE *file; // between start and stop
    leat::FileFormat format;
    guint64 messages;
};

struct LeatPublishClass {
    GstBaseTransformClass parent_class;
};

G_DEFINE_TYPE(LeatPublish, leat_publish, GST_TYPE_BASE_TRANSFORM)

namespace leat {
namespace {

using P = PublishSettings;

const GEnumValue method_values[] = {
    {int(PublishMethod::file), "A file, or the standard output", "file"},
    {0, nullptr, nullptr},
};
const GEnumValue format_values[] = {
    {int(FileFormat::json), "One array with all messages, complete once the element stops", "json"},
    {int(FileFormat::json_lines), "One message a line", "json-lines"},
    {0, nullptr, nullptr},
};

std::vector<Property<P>> properties()
{
    return {
        choice(&P::method, "method", "Method", "Where messages go", enumeration("LeatPublishMethod", method_values),
               P{}.method, before_start),
        text(&P::file_path, "file-path", "File path",
             "File that is written anew at each start; not set: the standard output", before_start),
        choice(&P::file_format, "file-format", "File format", "How messages are put together",
               enumeration("LeatFileFormat", format_values), P{}.file_format, before_start),
    };
}

LeatPublish *publisher(GstBaseTransform *transform)
{
    return reinterpret_cast<LeatPublish *>(transform);
}

std::string target(const P &settings)
{
    return settings.file_path.empty() ? "the standard output" : "\"" + settings.file_path + "\"";
}

/// Writes and flushes, so that a reader sees whole messages; false when that fails.
bool write(LeatPublish *self, const std::string &text)
{
    return std::fwrite(text.data(), 1, text.size(), self->file) == text.size() && std::fflush(self->file) == 0;
}

gboolean fail(LeatPublish *self, const char *what)
{
    post_error(GST_ELEMENT(self), Fault::write,
               target(*self->settings->now()) + " cannot be " + what + ": " + std::strerror(errno) +
                   "; check the property file-path");
    return FALSE;
}

gboolean start(GstBaseTransform *transform)
{
    LeatPublish *self = publisher(transform);
    const auto settings = self->settings->now();
    self->format = settings->file_format;
    self->messages = 0;
    errno = 0;
    self->file = settings->file_path.empty() ? stdout : std::fopen(settings->file_path.c_str(), "w");
    if (!self->file)
        return fail(self, "opened for writing");
    if (self->format == FileFormat::json && !write(self, "["))
        return fail(self, "written");
    return TRUE;
}

gboolean stop(GstBaseTransform *transform)
{
    LeatPublish *self = publisher(transform);
    bool written = true;
    if (self->format == FileFormat::json)
        written = write(self, self->messages ? "\n]\n" : "]\n");
    if (self->file != stdout)
        written &= std::fclose(self->file) == 0;
    self->file = nullptr;
    return written || fail(self, "written");
}

/// A message on one line; indentation is only blanks, so reading and writing it again loses nothing.
std::string on_one_line(const std::string &message)
{
    if (message.find('\n') == std::string::npos)
        return message;
    const auto json = nlohmann::ordered_json::parse(message, nullptr, false);
    return json.is_discarded() ? message : json.dump();
}

std::string framed(LeatPublish *self, const std::string &message)
{
    const bool first = self->messages++ == 0;
    if (self->format == FileFormat::json_lines)
        return on_one_line(message) + "\n";
    return (first ? "\n" : ",\n") + message;
}

GstFlowReturn transform_ip(GstBaseTransform *transform, GstBuffer *buffer)
{
    LeatPublish *self = publisher(transform);
    const char *message = json_of(buffer);
    if (!message)
        return GST_FLOW_OK;
    if (write(self, framed(self, message)))
        return GST_FLOW_OK;
    fail(self, "written");
    return GST_FLOW_ERROR;
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
    static GstStaticPadTemplate sink =
        GST_STATIC_PAD_TEMPLATE("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
    static GstStaticPadTemplate src = GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
    gst_element_class_add_static_pad_template(GST_ELEMENT_CLASS(klass), &sink);
    gst_element_class_add_static_pad_template(GST_ELEMENT_CLASS(klass), &src);
    gst_element_class_set_static_metadata(
        GST_ELEMENT_CLASS(klass), "Leat metadata publisher", "Filter/Metadata",
        "Writes the JSON that leatmetaconvert has put on each buffer to a file or the standard output; buffers pass "
        "as they are",
        "The Leat developers");
}
