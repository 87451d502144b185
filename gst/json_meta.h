/* What was found in a frame, as JSON text: written by leatmetaconvert, read by leatpublish and by anybody else. C and
 * C++.
 *
 *     GstMeta *meta = gst_buffer_get_meta(buffer, g_type_from_name("LeatJsonMetaAPI"));
 *     if (meta)
 *         puts(((LeatJsonMeta *)meta)->message);
 */
#pragma once
#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct _LeatJsonMeta {
    GstMeta meta;
    gchar *message; /* UTF-8, owned by the meta */
} LeatJsonMeta;

G_END_DECLS
