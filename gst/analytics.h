#pragma once
#include "gst/meta.h"

namespace leat::analytics {

/// The same findings as GstAnalytics metadata (GStreamer 1.24 and newer; GstTensorMeta 1.26). Without it built in, all
/// of these do nothing.

inline constexpr gint none = -1;

/// Adds a GstAnalyticsODMtd and returns its id; `none` where GstAnalytics is not built in.
gint add_object(GstBuffer *, const std::string &label, guint x, guint y, guint w, guint h, float confidence);
/// Adds a GstAnalyticsClsMtd; related to the object of that id unless it is `none`.
void add_class(GstBuffer *, gint object_id, const std::string &label, float confidence);
/// Adds a GstAnalyticsTrackingMtd, related to the object of that id, last seen at the buffer's time unless predicted.
void add_tracking(GstBuffer *, gint object_id, const ObjectIdentity &);
void add_tensors(GstBuffer *, std::span<const std::string> names, std::span<const Tensor>);

struct DetectedObject {
    gint id;
    std::string label;
    gint x, y, w, h;
    float confidence;
};
std::vector<DetectedObject> objects(GstBuffer *);

} // namespace leat::analytics
