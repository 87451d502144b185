#pragma once
#include <leat/image.h>

#include <string>

namespace leat {

/// Decodes a picture file with GStreamer, the first frame when there are several, turned as its orientation tag says.
/// RGB or, from most JPEG, full-range I420; the image owns its pixels. Throws Error that names the file.
Image read_picture(const std::string &path);

} // namespace leat
