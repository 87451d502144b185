#include "element_test.h"

#include <cstring>

namespace leat {
namespace {

class GStreamer : public testing::Environment {
  public:
    void SetUp() override { gst_init(nullptr, nullptr); }
};

const auto *const environment = testing::AddGlobalTestEnvironment(new GStreamer);

GstElement *make(const char *name, const std::vector<PropertyValue> &settings)
{
    GstElement *element = gst_element_factory_make(name, nullptr);
    if (!element)
        throw std::runtime_error(std::string("there is no element ") + name);
    for (const auto &[property, value] : settings)
        gst_util_set_object_arg(G_OBJECT(element), property, value.c_str());
    return element;
}

std::string text_of(GstMessage *message)
{
    if (!message)
        return "";
    GError *error = nullptr;
    gst_message_parse_error(message, &error, nullptr);
    const std::string text = error->message;
    g_error_free(error);
    gst_message_unref(message);
    return text;
}

} // namespace

GstBuffer *make_frame(guint k, guint8 brightness, int width, int height)
{
    const gsize stride = static_cast<gsize>((width * 3 + 3) / 4 * 4);
    GstBuffer *buffer = gst_buffer_new_allocate(nullptr, stride * static_cast<gsize>(height), nullptr);
    gst_buffer_memset(buffer, 0, brightness, stride * static_cast<gsize>(height));
    GST_BUFFER_PTS(buffer) = k * 40 * GST_MSECOND;
    GST_BUFFER_DURATION(buffer) = 40 * GST_MSECOND;
    return buffer;
}

std::vector<GstVideoRegionOfInterestMeta *> regions_of(GstBuffer *buffer)
{
    std::vector<GstVideoRegionOfInterestMeta *> regions;
    gpointer state = nullptr;
    while (GstMeta *meta = gst_buffer_iterate_meta_filtered(buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))
        regions.push_back(reinterpret_cast<GstVideoRegionOfInterestMeta *>(meta));
    return regions;
}

int brightness_of(GstBuffer *buffer)
{
    for (const auto *region : regions_of(buffer))
        if (region->x == 0 && region->y == 0)
            return static_cast<int>(region->w) / 2;
    return -1;
}

const char *json_of(GstBuffer *buffer)
{
    const GstMeta *meta = gst_buffer_get_meta(buffer, g_type_from_name("LeatJsonMetaAPI"));
    return meta ? reinterpret_cast<const LeatJsonMeta *>(meta)->message : nullptr;
}

ElementHarness::ElementHarness(const char *name, const std::vector<PropertyValue> &settings, const char *caps)
{
    GstElement *element = make(name, settings);
    gst_element_set_bus(element, bus_);
    harness_ = gst_harness_new_with_element(element, "sink", "src");
    gst_object_unref(element);
    gst_harness_set_src_caps_str(harness_, caps);
}

ElementHarness::~ElementHarness()
{
    gst_harness_teardown(harness_);
    gst_object_unref(bus_);
}

BufferPtr ElementHarness::pull()
{
    return BufferPtr(gst_harness_pull(harness_));
}

std::string ElementHarness::error(int seconds)
{
    return text_of(
        gst_bus_timed_pop_filtered(bus_, static_cast<GstClockTime>(seconds) * GST_SECOND, GST_MESSAGE_ERROR));
}

std::string ElementHarness::stat(const char *field)
{
    GstStructure *stats = nullptr;
    g_object_get(element(), "stats", &stats, nullptr);
    const GValue *value = gst_structure_get_value(stats, field);
    gchar *text = value ? gst_value_serialize(value) : g_strdup("");
    const std::string result = text;
    g_free(text);
    gst_structure_free(stats);
    return result;
}

std::vector<PropertyValue> on_fake(const std::string &model, const std::string &arguments,
                                   const std::vector<PropertyValue> &more)
{
    std::vector<PropertyValue> settings{{"model", model}, {"device", "FAKE(outputs=reference," + arguments + ")"}};
    settings.insert(settings.end(), more.begin(), more.end());
    return settings;
}

std::string error_when_starting(const char *name, const std::vector<PropertyValue> &settings)
{
    GstElement *element = make(name, settings);
    GstBus *bus = gst_bus_new();
    gst_element_set_bus(element, bus);
    // A property that was set before there was a bus must still be heard of.
    const GstStateChangeReturn result = gst_element_set_state(element, GST_STATE_PAUSED);
    std::string text = text_of(gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR));
    if (result == GST_STATE_CHANGE_FAILURE && text.empty())
        text = "(the state change failed without a message)";
    if (result != GST_STATE_CHANGE_FAILURE && !text.empty())
        text = "(the state change did not fail) " + text;
    gst_element_set_state(element, GST_STATE_NULL);
    gst_object_unref(element);
    gst_object_unref(bus);
    return text;
}

void expect_all_frames(ElementHarness &stream, guint frames)
{
    for (guint k = 0; k < frames; k++)
        ASSERT_EQ(stream.push(make_frame(k, static_cast<guint8>(k % 200 + 10))), GST_FLOW_OK);
    for (guint k = 0; k < frames; k++) {
        const BufferPtr buffer = stream.pull();
        ASSERT_TRUE(buffer);
        ASSERT_EQ(GST_BUFFER_PTS(buffer.get()), k * 40 * GST_MSECOND);
        ASSERT_EQ(brightness_of(buffer.get()), static_cast<int>(k % 200) + 10);
    }
}

} // namespace leat
