#pragma once
#include <gst/gst.h>

namespace leat {

/// Gives the class a pad "sink" and a pad "src" that are always there, both with these caps. For class_init.
inline void add_pads(GstElementClass *element_class, const char *caps)
{
    GstCaps *all = gst_caps_from_string(caps);
    gst_element_class_add_pad_template(element_class, gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, all));
    gst_element_class_add_pad_template(element_class, gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, all));
    gst_caps_unref(all);
}

} // namespace leat
