#pragma once
#include <gst/video/video.h>
#include <nlohmann/json.hpp>

namespace leat {

/// The regions of interest in the buffer with their detection, classes and keypoints, in the field names of
/// gvametaconvert (DL Streamer): x, y, w, h (pixels), region_id, parent_id, id (of the track), roi_type,
/// detection{bounding_box, confidence, label, label_id}, one key for each classification, tensors[].
nlohmann::ordered_json objects_as_json(GstBuffer *, bool add_tensor_data);

/// Raw output tensors of leatinfer on the whole frame: name, layer_name, model_name, precision, dims and, if asked for,
/// data.
nlohmann::ordered_json tensors_as_json(GstBuffer *, gint region_id, bool add_tensor_data);

} // namespace leat
