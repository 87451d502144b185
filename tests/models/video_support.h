#pragma once
#include <gst/gst.h>
#include <gst/video/gstvideometa.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace leat {

using Json = nlohmann::json;

inline Json read_json(const std::filesystem::path &path)
{
    std::ifstream file(path);
    return Json::parse(file);
}

/// A box in frame pixels with its class, as a reference file stores it or as an element attached it.
struct Box {
    double x1 = 0, y1 = 0, x2 = 0, y2 = 0, score = 0;
    int label_id = 0;
};

inline Box box_of(const Json &detection)
{
    const auto corners = detection["box_xyxy_px"].get<std::vector<double>>();
    return {corners[0], corners[1], corners[2], corners[3], detection["score"], detection["label_id"]};
}

inline double iou(const Box &a, const Box &b)
{
    const double width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1),
                 height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
    if (width <= 0 || height <= 0)
        return 0;
    const double both = width * height;
    return both / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - both);
}

inline Box clipped(Box box, double width, double height)
{
    box.x1 = std::clamp(box.x1, 0., width);
    box.x2 = std::clamp(box.x2, 0., width);
    box.y1 = std::clamp(box.y1, 0., height);
    box.y2 = std::clamp(box.y2, 0., height);
    return box;
}

/// The regions of interest on the buffer, exact boxes from their structure `detection`.
inline std::vector<Box> boxes_on(GstBuffer *buffer, int width, int height)
{
    std::vector<Box> boxes;
    gpointer state = nullptr;
    while (GstMeta *meta =
               gst_buffer_iterate_meta_filtered(buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE)) {
        auto *region = reinterpret_cast<GstVideoRegionOfInterestMeta *>(meta);
        const GstStructure *detection = gst_video_region_of_interest_meta_get_param(region, "detection");
        if (!detection)
            continue;
        Box box;
        gst_structure_get(detection, "x_min", G_TYPE_DOUBLE, &box.x1, "y_min", G_TYPE_DOUBLE, &box.y1, "x_max",
                          G_TYPE_DOUBLE, &box.x2, "y_max", G_TYPE_DOUBLE, &box.y2, "confidence", G_TYPE_DOUBLE,
                          &box.score, "label_id", G_TYPE_INT, &box.label_id, nullptr);
        box.x1 *= width;
        box.x2 *= width;
        box.y1 *= height;
        box.y2 *= height;
        boxes.push_back(box);
    }
    return boxes;
}

/// Index of the box of the same class that overlaps most; -1 when none does by `least`.
inline int best_match(const Box &wanted, const std::vector<Box> &found, double least)
{
    int best = -1;
    for (size_t i = 0; i < found.size(); i++)
        if (found[i].label_id == wanted.label_id && iou(wanted, found[i]) >= least) {
            least = iou(wanted, found[i]);
            best = static_cast<int>(i);
        }
    return best;
}

/// Calls `see` for each buffer on that pad of the element named.
inline void watch(GstElement *pipeline, const char *element, const char *pad,
                  std::function<void(GstPad *, GstBuffer *)> see)
{
    GstElement *found = gst_bin_get_by_name(GST_BIN(pipeline), element);
    GstPad *watched = gst_element_get_static_pad(found, pad);
    gst_pad_add_probe(
        watched, GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad *p, GstPadProbeInfo *info, gpointer data) {
            (*static_cast<std::function<void(GstPad *, GstBuffer *)> *>(data))(p, GST_PAD_PROBE_INFO_BUFFER(info));
            return GST_PAD_PROBE_OK;
        },
        new std::function<void(GstPad *, GstBuffer *)>(std::move(see)),
        [](gpointer data) { delete static_cast<std::function<void(GstPad *, GstBuffer *)> *>(data); });
    gst_object_unref(watched);
    gst_object_unref(found);
}

/// The pipeline of that description; a failed test and nullptr when it cannot be made.
inline GstElement *make_pipeline(const std::string &description)
{
    gst_init(nullptr, nullptr);
    GError *fault = nullptr;
    GstElement *pipeline = gst_parse_launch(description.c_str(), &fault);
    if (fault) {
        ADD_FAILURE() << fault->message;
        g_error_free(fault);
        g_clear_pointer(&pipeline, gst_object_unref);
    }
    return pipeline;
}

/// Plays to the end and frees the pipeline. "" or the error on the bus.
inline std::string play_and_free(GstElement *pipeline)
{
    std::string error;
    GstBus *bus = gst_element_get_bus(pipeline);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    GstMessage *message =
        gst_bus_timed_pop_filtered(bus, 300 * GST_SECOND, GstMessageType(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
    if (!message) {
        error = "no end of stream";
    } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
        GError *fault = nullptr;
        gst_message_parse_error(message, &fault, nullptr);
        error = fault->message;
        g_error_free(fault);
    }
    if (message)
        gst_message_unref(message);
    gst_object_unref(bus);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
    return error;
}

/// Width and height in the caps of the pad.
inline std::pair<int, int> frame_size(GstPad *pad)
{
    GstCaps *caps = gst_pad_get_current_caps(pad);
    int width = 0, height = 0;
    const GstStructure *structure = gst_caps_get_structure(caps, 0);
    gst_structure_get_int(structure, "width", &width);
    gst_structure_get_int(structure, "height", &height);
    gst_caps_unref(caps);
    return {width, height};
}

} // namespace leat
