#include "gst/model_filter.h"

// leatinfer: the model's output tensors as they are.

using LeatInfer = LeatModelFilter;
using LeatInferClass = LeatModelFilterClass;
G_DEFINE_TYPE(LeatInfer, leat_infer, LEAT_TYPE_MODEL_FILTER)

namespace leat {
namespace {

void attach_tensors(GstBuffer *buffer, const RegionResults &results)
{
    std::vector<std::string> names;
    for (const Port &port : results.model.compiled->outputs())
        names.push_back(port.name);
    add_tensors(buffer, results.model_name, results.region, names, results.outputs);
}

} // namespace
} // namespace leat

static void leat_infer_init(LeatInfer *) {}

static void leat_infer_class_init(LeatInferClass *klass)
{
    leat_model_filter_class_add_properties(klass, {leat::region_property(leat::InferenceRegion::full_frame)});
    klass->task = []() -> std::optional<leat::Task> { return {}; };
    klass->attach = leat::attach_tensors;
    gst_element_class_set_static_metadata(
        GST_ELEMENT_CLASS(klass), "Leat inference", "Filter/Analyzer/Video",
        "Runs a neural network on each frame or region of interest and adds its output tensors as metadata "
        "(LeatTensorMeta), for applications that read the numbers themselves",
        "The Leat developers");
}
