#include "drawing.h"

#include <pango/pangocairo.h>

#include <algorithm>
#include <cmath>

namespace leat {
namespace {

constexpr size_t most_cached_labels = 256;

Colour from_hue(double hue, double saturation, double value)
{
    const auto channel = [&](double offset) {
        const double k = std::fmod(offset + hue * 6, 6);
        return value - value * saturation * std::clamp(std::min(k, 4 - k), 0.0, 1.0);
    };
    return {channel(5), channel(3), channel(1)};
}

double luma(Colour colour)
{
    return 0.299 * colour.red + 0.587 * colour.green + 0.114 * colour.blue;
}

struct UnrefObject {
    void operator()(gpointer object) const { g_object_unref(object); }
};

struct DestroyContext {
    void operator()(cairo_t *context) const { cairo_destroy(context); }
};
using Context = std::unique_ptr<cairo_t, DestroyContext>;

std::unique_ptr<PangoLayout, UnrefObject> layout_of(cairo_t *context, const std::string &text, int font_size)
{
    std::unique_ptr<PangoLayout, UnrefObject> layout(pango_cairo_create_layout(context));
    PangoFontDescription *font = pango_font_description_from_string("Sans Bold");
    pango_font_description_set_absolute_size(font, font_size * PANGO_SCALE);
    pango_layout_set_font_description(layout.get(), font);
    pango_font_description_free(font);
    pango_layout_set_text(layout.get(), text.c_str(), static_cast<int>(text.size()));
    return layout;
}

void set_source(cairo_t *context, Colour colour, double alpha)
{
    cairo_set_source_rgba(context, colour.red, colour.green, colour.blue, alpha);
}

} // namespace

Colour colour_of(std::string_view label)
{
    uint32_t hash = 2166136261u; // FNV-1a
    for (const char c : label)
        hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
    // Multiples of the golden ratio spread evenly over the hues.
    return from_hue(std::fmod(hash % 4096 * 0.61803398875, 1.0), 0.75, 1.0);
}

Drawing::Pixels Drawing::pixels_of(cairo_surface_t *surface)
{
    cairo_surface_flush(surface);
    const int height = cairo_image_surface_get_height(surface);
    gint stride[GST_VIDEO_MAX_PLANES] = {cairo_image_surface_get_stride(surface)};
    gsize offset[GST_VIDEO_MAX_PLANES] = {0};
    const gsize size = static_cast<gsize>(stride[0]) * static_cast<gsize>(height);
    GstBuffer *buffer = gst_buffer_new_wrapped_full(
        GST_MEMORY_FLAG_READONLY, cairo_image_surface_get_data(surface), size, 0, size, surface,
        [](gpointer data) { cairo_surface_destroy(static_cast<cairo_surface_t *>(data)); });
    gst_buffer_add_video_meta_full(buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_OVERLAY_COMPOSITION_FORMAT_RGB,
                                   static_cast<guint>(cairo_image_surface_get_width(surface)),
                                   static_cast<guint>(height), 1, offset, stride);
    return Pixels(buffer);
}

void Drawing::blend(GstBuffer *pixels, int x, int y)
{
    const GstVideoMeta *size = gst_buffer_get_video_meta(pixels);
    GstVideoOverlayRectangle *rectangle = gst_video_overlay_rectangle_new_raw(
        pixels, x, y, size->width, size->height, GST_VIDEO_OVERLAY_FORMAT_FLAG_PREMULTIPLIED_ALPHA);
    GstVideoOverlayComposition *composition = gst_video_overlay_composition_new(rectangle);
    gst_video_overlay_composition_blend(composition, frame_);
    gst_video_overlay_composition_unref(composition);
    gst_video_overlay_rectangle_unref(rectangle);
}

void Drawing::fill(int x, int y, int width, int height, Colour colour)
{
    const int left = std::max(0, x), top = std::max(0, y);
    width = std::min(x + width, GST_VIDEO_FRAME_WIDTH(frame_)) - left;
    height = std::min(y + height, GST_VIDEO_FRAME_HEIGHT(frame_)) - top;
    if (width <= 0 || height <= 0)
        return;
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, width, height);
    {
        const Context context(cairo_create(surface));
        set_source(context.get(), colour, 1);
        cairo_paint(context.get());
    }
    blend(pixels_of(surface).get(), left, top);
}

void Drawing::outline(int x, int y, int width, int height, int thickness, Colour colour)
{
    const int line = std::min({thickness, (width + 1) / 2, (height + 1) / 2});
    fill(x, y, width, line, colour);
    fill(x, y + height - line, width, line, colour);
    fill(x, y + line, line, height - 2 * line, colour);
    fill(x + width - line, y + line, line, height - 2 * line, colour);
}

void Drawing::dot(int x, int y, int radius, Colour colour)
{
    const int size = 2 * radius + 1;
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, size, size);
    {
        const Context context(cairo_create(surface));
        set_source(context.get(), colour, 1);
        cairo_arc(context.get(), size / 2.0, size / 2.0, size / 2.0, 0, 2 * G_PI);
        cairo_fill(context.get());
    }
    blend(pixels_of(surface).get(), x - radius, y - radius);
}

Drawing::Pixels Drawing::render(const std::string &text, int font_size, Colour background)
{
    int width, height;
    {
        cairo_surface_t *nothing = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, 1, 1);
        const Context context(cairo_create(nothing));
        cairo_surface_destroy(nothing);
        pango_layout_get_pixel_size(layout_of(context.get(), text, font_size).get(), &width, &height);
    }
    const int margin = std::max(1, font_size / 5);
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, width + 2 * margin, std::max(1, height));
    {
        const Context context(cairo_create(surface));
        set_source(context.get(), background, 0.85);
        cairo_paint(context.get());
        const double ink = luma(background) > 0.5 ? 0 : 1;
        set_source(context.get(), {ink, ink, ink}, 1);
        cairo_move_to(context.get(), margin, 0);
        pango_cairo_show_layout(context.get(), layout_of(context.get(), text, font_size).get());
    }
    return pixels_of(surface);
}

GstBuffer *Drawing::cached(const std::string &text, int font_size, Colour background)
{
    const std::string key = std::to_string(font_size) + ' ' + std::to_string(background.red) + ' ' +
                            std::to_string(background.green) + ' ' + std::to_string(background.blue) + ' ' + text;
    const auto found = labels_.find(key);
    if (found != labels_.end())
        return found->second.get();
    if (labels_.size() >= most_cached_labels)
        labels_.clear();
    return labels_.emplace(key, render(text, font_size, background)).first->second.get();
}

void Drawing::label(int left, int bottom, const std::string &text, int font_size, Colour background)
{
    GstBuffer *pixels = cached(text, font_size, background);
    const GstVideoMeta *size = gst_buffer_get_video_meta(pixels);
    const int width = static_cast<int>(size->width), height = static_cast<int>(size->height);
    const int x = std::clamp(left, 0, std::max(0, GST_VIDEO_FRAME_WIDTH(frame_) - width));
    blend(pixels, x, bottom >= height ? bottom - height : std::max(0, bottom));
}

} // namespace leat
