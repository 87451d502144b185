#include "gst/model_filter.h"

#include <set>

// leatclassify: names what is in the frame or in each region of interest.

using LeatClassify = LeatModelFilter;
using LeatClassifyClass = LeatModelFilterClass;
G_DEFINE_TYPE(LeatClassify, leat_classify, LEAT_TYPE_MODEL_FILTER)

namespace leat {
namespace {

DecodeOptions of_the_best(const ModelSettings &settings)
{
    DecodeOptions options = decode_options(settings);
    options.max_objects = 1;
    return options;
}

void attach_classes(GstBuffer *buffer, const RegionResults &results)
{
    std::set<std::string> seen; // the best class of each output comes first
    for (const Classification &best : results.decoded.classes)
        if (seen.insert(best.output).second)
            add_class(buffer, results.frame_width, results.frame_height, results.region.meta,
                      {results.model.label(best.label_id), best.label_id, best.score, results.model_name, best.output});
}

std::vector<Property<ModelSettings>> properties()
{
    auto rows = decoder_properties();
    rows.push_back(region_property(InferenceRegion::roi_list));
    return rows;
}

} // namespace
} // namespace leat

static void leat_classify_init(LeatClassify *self)
{
    self->settings->change(
        [](leat::ModelSettings &settings) { settings.inference_region = leat::InferenceRegion::roi_list; });
}

static void leat_classify_class_init(LeatClassifyClass *klass)
{
    leat_model_filter_class_add_properties(klass, leat::properties());
    klass->task = [] { return std::optional(leat::Task::classify); };
    klass->decode_options = leat::of_the_best;
    klass->attach = leat::attach_classes;
    gst_element_class_set_static_metadata(
        GST_ELEMENT_CLASS(klass), "Leat classifier", "Filter/Analyzer/Video",
        "Names what is in each region of interest found upstream (inference-region=roi-list) or in the whole frame "
        "(full-frame) with a neural network, and adds the label to the region",
        "The Leat developers");
}
