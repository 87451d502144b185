#include "frame.h"

#include "preprocess/geometry.h"

#include <leat/error.h>

#include <string>

namespace leat {
namespace {

struct FormatRow {
    GstVideoFormat gst;
    PixelFormat format;
};

constexpr FormatRow formats[] = {
    {GST_VIDEO_FORMAT_NV12, PixelFormat::nv12},   {GST_VIDEO_FORMAT_I420, PixelFormat::i420},
    {GST_VIDEO_FORMAT_RGB, PixelFormat::rgb},     {GST_VIDEO_FORMAT_BGR, PixelFormat::bgr},
    {GST_VIDEO_FORMAT_RGBx, PixelFormat::rgbx},   {GST_VIDEO_FORMAT_BGRx, PixelFormat::bgrx},
    {GST_VIDEO_FORMAT_RGBA, PixelFormat::rgba},   {GST_VIDEO_FORMAT_BGRA, PixelFormat::bgra},
    {GST_VIDEO_FORMAT_GRAY8, PixelFormat::gray8},
};

PixelFormat format_of(const GstVideoInfo &info)
{
    for (const FormatRow &row : formats)
        if (row.gst == GST_VIDEO_INFO_FORMAT(&info))
            return row.format;
    throw Error(std::string("frames of the format ") + gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(&info)) +
                " cannot be read; put videoconvert before the element");
}

/// GStreamer has filled in its defaults for streams that do not say, so everything unusual left is near BT.601.
ColourStandard standard_of(const GstVideoColorimetry &colorimetry)
{
    switch (colorimetry.matrix) {
    case GST_VIDEO_COLOR_MATRIX_BT709: return ColourStandard::bt709;
    case GST_VIDEO_COLOR_MATRIX_BT2020: return ColourStandard::bt2020;
    default: return ColourStandard::bt601;
    }
}

ColourRange range_of(const GstVideoInfo &info)
{
    switch (GST_VIDEO_INFO_COLORIMETRY(&info).range) {
    case GST_VIDEO_COLOR_RANGE_0_255: return ColourRange::full;
    case GST_VIDEO_COLOR_RANGE_16_235: return ColourRange::limited;
    default: return GST_VIDEO_INFO_IS_RGB(&info) ? ColourRange::full : ColourRange::limited;
    }
}

struct MappedFrame {
    GstVideoFrame frame;

    MappedFrame(GstBuffer *buffer, const GstVideoInfo &info)
    {
        if (!gst_video_frame_map(&frame, &info, buffer, GST_MAP_READ))
            throw Error("a frame of " + std::to_string(GST_VIDEO_INFO_WIDTH(&info)) + "x" +
                        std::to_string(GST_VIDEO_INFO_HEIGHT(&info)) + " pixels cannot be read: its buffer has " +
                        std::to_string(gst_buffer_get_size(buffer)) + " bytes, want " +
                        std::to_string(GST_VIDEO_INFO_SIZE(&info)) + ", or is not in system memory");
    }
    ~MappedFrame() { gst_video_frame_unmap(&frame); }
    MappedFrame(const MappedFrame &) = delete;
    MappedFrame &operator=(const MappedFrame &) = delete;
};

} // namespace

Image image_of(GstBuffer *buffer, const GstVideoInfo &info)
{
    Image image;
    image.format = format_of(info);
    image.colour = colour_matrix(image.format, standard_of(GST_VIDEO_INFO_COLORIMETRY(&info)), range_of(info));
    const auto mapped = std::make_shared<const MappedFrame>(buffer, info);
    const GstVideoFrame *frame = &mapped->frame;
    image.width = GST_VIDEO_FRAME_WIDTH(frame);
    image.height = GST_VIDEO_FRAME_HEIGHT(frame);
    for (size_t i = 0; i < GST_VIDEO_FRAME_N_PLANES(frame); i++)
        image.planes[i] = {static_cast<const uint8_t *>(GST_VIDEO_FRAME_PLANE_DATA(frame, i)),
                           GST_VIDEO_FRAME_PLANE_STRIDE(frame, i)};
    image.region = {0, 0, static_cast<float>(image.width), static_cast<float>(image.height)};
    image.owner = mapped;
    return image;
}

Image with_region(Image image, const ImageSpec &spec, const Region &region)
{
    image.region = region;
    image.to_frame = fit(spec, region);
    return image;
}

} // namespace leat
