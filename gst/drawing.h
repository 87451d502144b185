#pragma once
#include <gst/video/video.h>

#include <cairo.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace leat {

struct Colour {
    double red = 0, green = 0, blue = 0;
};

/// The same colour for the same label, always; bright and well apart for different ones.
Colour colour_of(std::string_view label);

/// Draws small patches made by cairo into a frame of any format that GstVideoOverlayComposition can blend into. Parts
/// outside of the frame are left out. One thread.
class Drawing {
  public:
    /// The frame must be mapped for reading and writing while drawing goes on.
    void begin(GstVideoFrame *frame) { frame_ = frame; }

    void fill(int x, int y, int width, int height, Colour);
    /// The outline of a rectangle; the line lies inside of it.
    void outline(int x, int y, int width, int height, int thickness, Colour);
    void dot(int x, int y, int radius, Colour);
    /// Text of one or more lines on a background of that colour, above the point (left, bottom) if there is room, else
    /// below it.
    void label(int left, int bottom, const std::string &text, int font_size, Colour background);

  private:
    struct UnrefBuffer {
        void operator()(GstBuffer *buffer) const { gst_buffer_unref(buffer); }
    };
    using Pixels = std::unique_ptr<GstBuffer, UnrefBuffer>;

    /// The surface as a buffer that owns it.
    static Pixels pixels_of(cairo_surface_t *);
    static Pixels render(const std::string &text, int font_size, Colour background);
    GstBuffer *cached(const std::string &text, int font_size, Colour background);
    void blend(GstBuffer *pixels, int x, int y);

    GstVideoFrame *frame_ = nullptr;
    std::map<std::string, Pixels> labels_; ///< by text and looks: few texts come again and again
};

} // namespace leat
