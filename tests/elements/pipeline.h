#pragma once
#include "element_test.h"

#include <stdexcept>

namespace leat {

/// A pipeline as gst-launch-1.0 would make it.
class Pipeline {
  public:
    explicit Pipeline(const std::string &text)
    {
        GError *error = nullptr;
        pipeline_ = gst_parse_launch(text.c_str(), &error);
        if (error)
            throw std::runtime_error(error->message);
        bus_ = gst_element_get_bus(pipeline_);
    }
    ~Pipeline()
    {
        set(GST_STATE_NULL);
        gst_object_unref(bus_);
        gst_object_unref(pipeline_);
    }
    Pipeline(const Pipeline &) = delete;
    Pipeline &operator=(const Pipeline &) = delete;

    GstStateChangeReturn set(GstState state) { return gst_element_set_state(pipeline_, state); }
    /// Waits for the state to be there.
    GstStateChangeReturn wait() { return gst_element_get_state(pipeline_, nullptr, nullptr, 60 * GST_SECOND); }
    bool has_error()
    {
        GstMessage *message = gst_bus_pop_filtered(bus_, GST_MESSAGE_ERROR);
        if (message)
            gst_message_unref(message);
        return message;
    }
    bool wait_for_eos()
    {
        GstMessage *message =
            gst_bus_timed_pop_filtered(bus_, 60 * GST_SECOND, GstMessageType(GST_MESSAGE_ERROR | GST_MESSAGE_EOS));
        const bool eos = message && GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS;
        if (message)
            gst_message_unref(message);
        return eos;
    }
    GstElement *get() { return pipeline_; }
    /// The element of that name; the pipeline's.
    GstElement *find(const std::string &name)
    {
        GstElement *element = gst_bin_get_by_name(GST_BIN(pipeline_), name.c_str());
        gst_object_unref(element);
        return element;
    }
    /// A number in the element's `stats`.
    guint64 stat(const std::string &name, const char *field)
    {
        GstStructure *stats = nullptr;
        g_object_get(find(name), "stats", &stats, nullptr);
        guint64 value = 0;
        gst_structure_get_uint64(stats, field, &value);
        gst_structure_free(stats);
        return value;
    }

  private:
    GstElement *pipeline_;
    GstBus *bus_;
};

} // namespace leat
