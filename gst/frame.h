#pragma once
#include <leat/image.h>

#include "inference/image_spec.h"

#include <gst/video/video.h>

namespace leat {

/// Caps of the frames that models take: every leat::PixelFormat in system memory, any size.
#define LEAT_FRAME_CAPS GST_VIDEO_CAPS_MAKE("{ NV12, I420, RGB, BGR, RGBx, BGRx, RGBA, BGRA, GRAY8 }")

/// The whole frame in the buffer, without copying: strides and offsets are those of GstVideoMeta or of the info. The
/// buffer stays referenced and mapped while the image's owner lives. Throws Error when the buffer cannot be mapped or
/// its format is not one of the caps above.
Image image_of(GstBuffer *, const GstVideoInfo &);

/// The same frame with the region filling the model's input as its spec says. Throws Error when the region is empty.
Image with_region(Image, const ImageSpec &, const Region &);

} // namespace leat
