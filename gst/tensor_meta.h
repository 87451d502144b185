/* Raw output tensors of a model, as metadata of the buffer that they were computed from. C and C++.
 *
 * A reader outside of the plugin finds the type by name:
 *
 *     GType api = g_type_from_name("LeatTensorMetaAPI");
 *     gpointer state = NULL;
 *     GstMeta *meta;
 *     while (api && (meta = gst_buffer_iterate_meta_filtered(buffer, &state, api)))
 *         use((LeatTensorMeta *)meta);
 *
 * There is one such meta for each region of the frame that the model has seen. Copies of the buffer carry it along;
 * the elements are shared, not copied, and never change.
 */
#pragma once
#include <gst/gst.h>

G_BEGIN_DECLS

/* One tensor: dense, row-major, in host memory. */
typedef struct _LeatTensor {
    const gchar *name; /* of the model's output */
    const gchar *type; /* of an element: "f32", "f16", "bf16", "f64", "u8", "s8", … "s64", "bool" */
    guint rank;
    const gint64 *dims; /* outermost first */
    gconstpointer data;
    gsize size; /* bytes of data */
} LeatTensor;

typedef struct _LeatTensorMeta {
    GstMeta meta;
    const gchar *model; /* name of the model: its file without folder and extension */
    gint region_id;     /* GstVideoRegionOfInterestMeta.id of the region that it saw; 0: the whole frame */
    guint x, y, w, h;   /* that region, in pixels of the frame */
    guint n_tensors;
    const LeatTensor *tensors;
    gpointer owner; /* private */
} LeatTensorMeta;

G_END_DECLS
