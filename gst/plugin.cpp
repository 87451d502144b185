#include "gst/meta.h"
#include "gst/tracer.h"

#include "inference/warning.h"

#include <gst/gst.h>

// The elements. To add one: its file with its GType, a line in each of the two lists below, a test in tests/elements.
GType leat_classify_get_type();
GType leat_detect_get_type();
GType leat_fps_get_type();
GType leat_infer_get_type();
GType leat_meta_convert_get_type();
GType leat_overlay_get_type();
GType leat_publish_get_type();
GType leat_track_get_type();

namespace {

struct ElementRow {
    const char *name;
    GType (*type)();
};

constexpr ElementRow elements[] = {
    {"leatclassify", leat_classify_get_type},
    {"leatdetect", leat_detect_get_type},
    {"leatfps", leat_fps_get_type},
    {"leatinfer", leat_infer_get_type},
    {"leatmetaconvert", leat_meta_convert_get_type},
    {"leatoverlay", leat_overlay_get_type},
    {"leatpublish", leat_publish_get_type},
    {"leattrack", leat_track_get_type},
};

GST_DEBUG_CATEGORY_STATIC(engine_category);

void log_warning(const std::string &sentence)
{
    GST_CAT_WARNING(engine_category, "%s", sentence.c_str());
}

gboolean plugin_init(GstPlugin *plugin)
{
    GST_DEBUG_CATEGORY_INIT(engine_category, "leat", 0, "Leat's inference engine");
    leat::set_warning_handler(log_warning);
    leat::register_metas();
    for (const ElementRow &element : elements)
        if (!gst_element_register(plugin, element.name, GST_RANK_NONE, element.type()))
            return FALSE;
    return leat::register_tracer(plugin);
}

} // namespace

#define PACKAGE "leat"
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, leat, "Neural-network inference on video streams", plugin_init,
                  LEAT_VERSION, "Apache 2.0", "Leat", "Unknown package origin")
