#pragma once
#include "models.h"

#include "gst/json_meta.h"
#include "gst/tensor_meta.h"

#include <gst/check/gstharness.h>
#include <gst/video/video.h>

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace leat {

inline constexpr int frame_width = 510, frame_height = 16; ///< box edges of the detector fall on whole pixels
inline constexpr const char *frame_caps = "video/x-raw,format=RGB,width=510,height=16,framerate=25/1,colorimetry=sRGB";

struct UnrefBuffer {
    void operator()(GstBuffer *buffer) const { gst_buffer_unref(buffer); }
};
using BufferPtr = std::unique_ptr<GstBuffer, UnrefBuffer>;

/// Frame number k of a stream of 25 a second, all of one brightness, 510x16 RGB.
GstBuffer *make_frame(guint k, guint8 brightness, int width = frame_width, int height = frame_height);

/// What make_frame() was told, as the detector says it; -1 when there is no region.
int brightness_of(GstBuffer *);
std::vector<GstVideoRegionOfInterestMeta *> regions_of(GstBuffer *);
const char *json_of(GstBuffer *);

/// A property and its value as text.
using PropertyValue = std::pair<const char *, std::string>;

/// An element between two pads of the test, with a bus of its own, playing.
class ElementHarness {
  public:
    ElementHarness(const char *element, const std::vector<PropertyValue> &settings, const char *caps = frame_caps);
    ~ElementHarness();
    ElementHarness(const ElementHarness &) = delete;
    ElementHarness &operator=(const ElementHarness &) = delete;

    GstFlowReturn push(GstBuffer *buffer) { return gst_harness_push(harness_, buffer); }
    /// Waits up to a minute; nothing when none comes.
    BufferPtr pull();
    /// The error on the bus, waiting for up to `seconds`; "" when there is none.
    std::string error(int seconds = 0);
    /// The next message of these types, waiting for up to `seconds`; the caller's. Nothing when none comes.
    GstMessage *message(GstMessageType types, int seconds = 60)
    {
        return gst_bus_timed_pop_filtered(bus_, static_cast<GstClockTime>(seconds) * GST_SECOND, types);
    }
    GstHarness *harness() { return harness_; }
    GstElement *element() { return harness_->element; }
    /// The field of the element's `stats`, as text.
    std::string stat(const char *field);

  private:
    GstBus *bus_ = gst_bus_new();
    GstHarness *harness_ = nullptr;
};

/// The detector on the FAKE device that computes real outputs: arguments such as "latency_ms=20,depth=2".
std::vector<PropertyValue> on_fake(const std::string &model, const std::string &arguments,
                                   const std::vector<PropertyValue> &more = {});

/// Makes the element, sets the properties, and brings it to PAUSED; the error message on its bus, "" when it gets
/// there.
std::string error_when_starting(const char *element, const std::vector<PropertyValue> &settings);

/// Pushes frames 0 to `frames` - 1, each with a brightness of its own, and takes them.
void expect_all_frames(ElementHarness &, guint frames);

} // namespace leat
