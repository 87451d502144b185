#include "gst/model_filter.h"

#include "preprocess/geometry.h"

// leatdetect: finds objects and adds a region of interest for each.

using LeatDetect = LeatModelFilter;
using LeatDetectClass = LeatModelFilterClass;
G_DEFINE_TYPE(LeatDetect, leat_detect, LEAT_TYPE_MODEL_FILTER)

namespace leat {
namespace {

void attach_objects(GstBuffer *buffer, const RegionResults &results)
{
    for (const Object &object : results.decoded.objects) {
        FoundObject found;
        found.box = box_in_frame(object, results.to_frame, results.frame_width, results.frame_height);
        if (!(found.box.width > 0 && found.box.height > 0))
            continue;
        found.confidence = object.score;
        found.label_id = object.label_id;
        found.label = results.model.label(object.label_id);
        found.parent_id = results.region.id;
        for (const Object::Keypoint &point : object.keypoints) {
            const Point mapped = to_frame(results.to_frame, {point.x, point.y});
            found.keypoints.push_back({mapped.x, mapped.y, point.score});
        }
        add_object(buffer, results.frame_width, results.frame_height, results.model_name, found);
    }
}

std::vector<Property<ModelSettings>> properties()
{
    using M = ModelSettings;
    auto rows = decoder_properties();
    rows.push_back(region_property(InferenceRegion::full_frame));
    rows.push_back(number(&M::iou_threshold, "iou-threshold", "IoU threshold",
                          "Of two boxes that overlap by more than this (intersection over union) the one with less "
                          "confidence is left out; -1: as customary for the model's family",
                          -1, 1, while_playing));
    rows.push_back(integer(&M::max_objects, "max-objects", "Max objects",
                           "Most objects in each region, those with the highest confidence; 0: no limit", 0, 100000,
                           while_playing));
    return rows;
}

} // namespace
} // namespace leat

static void leat_detect_init(LeatDetect *) {}

static void leat_detect_class_init(LeatDetectClass *klass)
{
    leat_model_filter_class_add_properties(klass, leat::properties());
    klass->task = [] { return std::optional(leat::Task::detect); };
    klass->decode_options = leat::decode_options;
    klass->attach = leat::attach_objects;
    gst_element_class_set_static_metadata(
        GST_ELEMENT_CLASS(klass), "Leat object detector", "Filter/Analyzer/Video",
        "Finds objects in each frame with a neural network and adds a region of interest (label, box, confidence) for "
        "each. Set the property model to a model file; everything else follows from it",
        "The Leat developers");
}
