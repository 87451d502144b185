#pragma once
#include <leat/image.h>

#include <memory>
#include <optional>
#include <string>

namespace leat {

/// Decodes a picture file with GStreamer, the first frame when there are several, turned as its orientation tag says.
/// As it was decoded when that is I420, NV12 or RGB, else the nearest of them; the image owns its pixels. Throws Error
/// that names the file.
Image read_picture(const std::string &path);

/// Decodes the frames of a video or picture file one after the other, as read_picture() does the first. Not
/// synchronised.
class FrameReader {
  public:
    /// Throws Error that names the file when there is none.
    explicit FrameReader(const std::string &path);
    ~FrameReader();
    FrameReader(FrameReader &&) noexcept;
    FrameReader &operator=(FrameReader &&) noexcept;
    /// Waits for the next frame; nothing after the last. Throws Error that names the file when it cannot be decoded,
    /// or holds no frame.
    std::optional<Image> next();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace leat
