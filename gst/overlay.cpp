#include "gst/drawing.h"
#include "gst/errors.h"
#include "gst/frame.h"
#include "gst/meta.h"
#include "gst/pads.h"
#include "gst/properties.h"

#include <gst/video/gstvideofilter.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

// leatoverlay: draws regions of interest into the frame.

namespace leat {
namespace {

struct OverlaySettings {
    int thickness = 0, font_size = 0;
    bool show_boxes = true, show_labels = true, show_scores = true, show_keypoints = true;
};

} // namespace
} // namespace leat

struct LeatOverlay {
    GstVideoFilter parent;
    leat::Settings<leat::OverlaySettings> *settings;
    leat::Drawing *drawing;
};

struct LeatOverlayClass {
    GstVideoFilterClass parent_class;
};

G_DEFINE_TYPE(LeatOverlay, leat_overlay, GST_TYPE_VIDEO_FILTER)

namespace leat {
namespace {

using O = OverlaySettings;

std::vector<Property<O>> properties()
{
    return {
        flag(&O::show_boxes, "show-boxes", "Show boxes", "Draw the outline of each region", while_playing),
        flag(&O::show_labels, "show-labels", "Show labels", "Write each region's labels", while_playing),
        flag(&O::show_scores, "show-scores", "Show scores", "Write the confidence behind each label", while_playing),
        flag(&O::show_keypoints, "show-keypoints", "Show keypoints", "Draw each region's keypoints", while_playing),
        integer(&O::thickness, "thickness", "Thickness", "Of lines, in pixels; 0 follows the size of the frame", 0, 100,
                while_playing),
        integer(&O::font_size, "font-size", "Font size", "In pixels; 0 follows the size of the frame", 0, 500,
                while_playing),
    };
}

/// Line width and letter size for a frame.
struct Sizes {
    int thickness, font;
};

Sizes sizes_for(const O &settings, int width, int height)
{
    const int side = std::min(width, height);
    return {settings.thickness ? settings.thickness : std::max(1, (side + 120) / 240),
            settings.font_size ? settings.font_size : std::max(10, side / 36)};
}

std::string with_score(const char *label, const GstStructure *structure, bool show_score)
{
    std::string text = label ? label : "";
    double confidence;
    if (!show_score || !gst_structure_get_double(structure, "confidence", &confidence))
        return text;
    char score[16];
    g_snprintf(score, sizeof score, "%.2f", confidence);
    return text + (text.empty() ? "" : " ") + score;
}

/// A line for the region itself and one for each class that it was given.
std::string text_of(const RegionOfInterest &region, bool is_frame, bool show_scores)
{
    std::string first = is_frame ? "" : region.label, more;
    for (const GList *item = region.meta->params; item; item = item->next) {
        const auto *structure = static_cast<const GstStructure *>(item->data);
        gint id;
        if (gst_structure_has_name(structure, "detection"))
            first = with_score(region.label.c_str(), structure, show_scores);
        else if (gst_structure_has_name(structure, "object_id") && gst_structure_get_int(structure, "id", &id))
            more += "\n#" + std::to_string(id);
        else if (const char *label = gst_structure_get_string(structure, "label"))
            more += "\n" + with_score(label, structure, show_scores);
    }
    return first.empty() && !more.empty() ? more.substr(1) : first + more;
}

double number_at(const GValue *array, guint index)
{
    return g_value_get_double(gst_value_array_get_value(array, index));
}

void draw_keypoints(Drawing &drawing, const RegionOfInterest &region, int radius, Colour colour)
{
    const GstStructure *keypoints = gst_video_region_of_interest_meta_get_param(region.meta, "keypoints");
    const GValue *data = keypoints ? gst_structure_get_value(keypoints, "data") : nullptr;
    if (!data || !GST_VALUE_HOLDS_ARRAY(data))
        return;
    for (guint i = 0; i + 1 < gst_value_array_get_size(data); i += 2)
        drawing.dot(static_cast<int>(std::lround(region.meta->x + number_at(data, i) * region.meta->w)),
                    static_cast<int>(std::lround(region.meta->y + number_at(data, i + 1) * region.meta->h)), radius,
                    colour);
}

bool is_whole_frame(const RegionOfInterest &region, const GstVideoFrame &frame)
{
    return region.meta->w >= static_cast<guint>(GST_VIDEO_FRAME_WIDTH(&frame)) &&
           region.meta->h >= static_cast<guint>(GST_VIDEO_FRAME_HEIGHT(&frame));
}

void draw_shapes(Drawing &drawing, const RegionOfInterest &region, const O &settings, int thickness, bool whole_frame)
{
    const Region &box = region.rectangle;
    const Colour colour = colour_of(region.label);
    if (settings.show_boxes && !whole_frame)
        drawing.outline(static_cast<int>(box.x), static_cast<int>(box.y), static_cast<int>(box.width),
                        static_cast<int>(box.height), thickness, colour);
    if (settings.show_keypoints)
        draw_keypoints(drawing, region, thickness, colour);
}

void draw_text(Drawing &drawing, const RegionOfInterest &region, const O &settings, int font_size, bool whole_frame)
{
    const std::string text = text_of(region, whole_frame, settings.show_scores);
    if (!text.empty())
        drawing.label(static_cast<int>(region.rectangle.x), static_cast<int>(region.rectangle.y), text, font_size,
                      colour_of(region.label));
}

GstFlowReturn transform_frame_ip(GstVideoFilter *filter, GstVideoFrame *frame)
{
    auto *self = reinterpret_cast<LeatOverlay *>(filter);
    const auto settings = self->settings->now();
    const int width = GST_VIDEO_FRAME_WIDTH(frame), height = GST_VIDEO_FRAME_HEIGHT(frame);
    const Sizes sizes = sizes_for(*settings, width, height);
    const auto regions = regions_of_interest(frame->buffer, width, height);
    self->drawing->begin(frame);
    for (const RegionOfInterest &region : regions)
        draw_shapes(*self->drawing, region, *settings, sizes.thickness, is_whole_frame(region, *frame));
    // Over all lines, so that every label can be read.
    for (const RegionOfInterest &region : regions)
        if (settings->show_labels)
            draw_text(*self->drawing, region, *settings, sizes.font, is_whole_frame(region, *frame));
    return GST_FLOW_OK;
}

gboolean start(GstBaseTransform *transform)
{
    const std::string faults = reinterpret_cast<LeatOverlay *>(transform)->settings->faults();
    if (!faults.empty())
        post_error(GST_ELEMENT(transform), Fault::property, faults);
    return faults.empty();
}

void finalize(GObject *object)
{
    auto *self = reinterpret_cast<LeatOverlay *>(object);
    delete self->drawing;
    delete self->settings;
    G_OBJECT_CLASS(leat_overlay_parent_class)->finalize(object);
}

} // namespace
} // namespace leat

static void leat_overlay_init(LeatOverlay *self)
{
    self->settings = new leat::Settings<leat::OverlaySettings>;
    self->drawing = new leat::Drawing;
}

static void leat_overlay_class_init(LeatOverlayClass *klass)
{
    GObjectClass *object_class = G_OBJECT_CLASS(klass);
    object_class->set_property = leat::set_property<LeatOverlay>;
    object_class->get_property = leat::get_property<LeatOverlay>;
    object_class->finalize = leat::finalize;
    leat::install_properties(object_class, leat::properties());
    GST_BASE_TRANSFORM_CLASS(klass)->start = leat::start;
    GST_VIDEO_FILTER_CLASS(klass)->transform_frame_ip = leat::transform_frame_ip;
    leat::add_pads(GST_ELEMENT_CLASS(klass), LEAT_FRAME_CAPS);
    gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "Leat overlay", "Filter/Effect/Video",
                                          "Draws what was found into the frame: boxes, labels, scores and keypoints of "
                                          "every region of interest, whichever "
                                          "element has found it",
                                          "The Leat developers");
}
