#pragma once
#include "gst/json_meta.h"
#include "gst/tensor_meta.h"

#include <leat/image.h>
#include <leat/tensor.h>

#include <gst/video/video.h>

#include <span>
#include <string>
#include <vector>

namespace leat {

/// Label of a region that stands for the whole frame.
inline constexpr const char *frame_label = "frame";

/// A region of a frame that somebody upstream has found.
struct RegionOfInterest {
    GstVideoRegionOfInterestMeta *meta = nullptr; ///< nothing: the whole frame
    gint id = 0;                                  ///< unique in the frame; 0: the whole frame
    std::string label;
    Region rectangle; ///< clipped to the frame, never empty
};

/// Regions in the buffer's metadata, in their order there; those that lie outside the frame are left out. Valid until
/// the buffer's metadata changes.
std::vector<RegionOfInterest> regions_of_interest(GstBuffer *, int frame_width, int frame_height);

/// The buffer with a region for each object that is there only as GstAnalytics metadata. Takes and gives a reference.
GstBuffer *adopt_analytics(GstBuffer *);

/// Something found, in pixels of the frame.
struct FoundObject {
    Region box; ///< clipped to the frame
    float confidence = 0;
    int label_id = 0;
    std::string label;
    gint parent_id = 0; ///< region that it was found in; 0: the whole frame
    struct Keypoint {
        float x, y, confidence;
    };
    std::vector<Keypoint> keypoints;
};

/// A class that a model gives to a region.
struct FoundClass {
    std::string label;
    int label_id = 0;
    float confidence = 0;
    std::string model, layer; ///< names of the model and of its output
};

/// Adds a GstVideoRegionOfInterestMeta with the structure `detection` {x_min, x_max, y_min, y_max (fractions of the
/// frame), confidence, label_id, label, model_name} and, when there are any, `keypoints` {data (x and y of each as
/// fractions of the box), confidence, dims}; and a GstAnalyticsODMtd where GstAnalytics is built in. The buffer must be
/// writable. Returns the new region.
GstVideoRegionOfInterestMeta *add_object(GstBuffer *, int frame_width, int frame_height, const std::string &model,
                                         const FoundObject &);

/// Who an object is, beyond this frame.
struct ObjectIdentity {
    gint id = 0;
    GstClockTime since = GST_CLOCK_TIME_NONE; ///< time of the first buffer that it was seen in
    bool predicted = false;                   ///< it is expected here; nobody looked
};

/// Puts the structure `object_id` {id (int), predicted (boolean, when it is)} on the region, instead of one that is
/// there; and adds a GstAnalyticsTrackingMtd. The buffer must be writable.
void set_identity(GstBuffer *, GstVideoRegionOfInterestMeta *, const ObjectIdentity &);

/// Adds the structure `classification_layer_name:LAYER` {label, label_id, confidence, model_name, layer_name} to the
/// region; and a GstAnalyticsClsMtd. Without a region, to one that covers the frame and is called "frame". The buffer
/// must be writable.
void add_class(GstBuffer *, int frame_width, int frame_height, GstVideoRegionOfInterestMeta *, const FoundClass &);

/// Adds a LeatTensorMeta that shares the tensors; and a GstTensorMeta where GstAnalytics is 1.26 or newer and the
/// region is the whole frame. The buffer must be writable.
void add_tensors(GstBuffer *, const std::string &model, const RegionOfInterest &, std::span<const std::string> names,
                 std::span<const Tensor>);

/// The buffer's tensor metas, in order.
std::vector<const LeatTensorMeta *> tensor_metas(GstBuffer *);

/// Puts the text on the buffer, instead of what was there. The buffer must be writable.
void set_json(GstBuffer *, const std::string &message);
/// The text on the buffer; nullptr when there is none.
const char *json_of(GstBuffer *);

/// Marks a frame that a model was to look at and did not: adds the custom meta `LeatNotInferred` with the fields
/// `model` and `reason` ("interval", "late", "qos"). Takes and gives a reference.
GstBuffer *mark_not_inferred(GstBuffer *, const std::string &model, const char *reason);

struct NotInferred {
    std::string model, reason;
};
std::vector<NotInferred> not_inferred_marks(GstBuffer *);

/// Registers the metadata types, so that readers find them by name.
void register_metas();

} // namespace leat
