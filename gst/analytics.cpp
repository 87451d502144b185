#include "analytics.h"

#if LEAT_HAVE_ANALYTICS
#include <gst/analytics/analytics.h>
#endif

namespace leat::analytics {

#if LEAT_HAVE_ANALYTICS

namespace {

GstAnalyticsRelationMeta *relations_of(GstBuffer *buffer)
{
    GstAnalyticsRelationMeta *relations = gst_buffer_get_analytics_relation_meta(buffer);
    return relations ? relations : gst_buffer_add_analytics_relation_meta(buffer);
}

} // namespace

gint add_object(GstBuffer *buffer, const std::string &label, guint x, guint y, guint w, guint h, float confidence)
{
    GstAnalyticsODMtd object;
    if (!gst_analytics_relation_meta_add_od_mtd(relations_of(buffer), g_quark_from_string(label.c_str()),
                                                static_cast<gint>(x), static_cast<gint>(y), static_cast<gint>(w),
                                                static_cast<gint>(h), confidence, &object))
        return none;
    return static_cast<gint>(object.id);
}

void add_class(GstBuffer *buffer, gint object_id, const std::string &label, float confidence)
{
    GstAnalyticsRelationMeta *relations = relations_of(buffer);
    GstAnalyticsClsMtd found;
    if (!gst_analytics_relation_meta_add_one_cls_mtd(relations, confidence, g_quark_from_string(label.c_str()),
                                                     &found) ||
        object_id == none)
        return;
    const guint object = static_cast<guint>(object_id);
    gst_analytics_relation_meta_set_relation(relations, GST_ANALYTICS_REL_TYPE_CONTAIN, object, found.id);
    gst_analytics_relation_meta_set_relation(relations, GST_ANALYTICS_REL_TYPE_IS_PART_OF, found.id, object);
}

void add_tracking(GstBuffer *buffer, gint object_id, const ObjectIdentity &identity)
{
    if (object_id == none)
        return;
    GstAnalyticsRelationMeta *relations = relations_of(buffer);
    GstAnalyticsTrackingMtd track;
    if (!gst_analytics_relation_meta_add_tracking_mtd(relations, static_cast<guint64>(identity.id), identity.since,
                                                      &track))
        return;
    if (!identity.predicted)
        gst_analytics_tracking_mtd_update_last_seen(&track, GST_BUFFER_PTS(buffer));
    gst_analytics_relation_meta_set_relation(relations, GST_ANALYTICS_REL_TYPE_RELATE_TO, static_cast<guint>(object_id),
                                             track.id);
}

std::vector<DetectedObject> objects(GstBuffer *buffer)
{
    std::vector<DetectedObject> found;
    GstAnalyticsRelationMeta *relations = gst_buffer_get_analytics_relation_meta(buffer);
    if (!relations)
        return found;
    gpointer state = nullptr;
    GstAnalyticsMtd object;
    while (gst_analytics_relation_meta_iterate(relations, &state, gst_analytics_od_mtd_get_mtd_type(), &object)) {
        DetectedObject next{};
        next.id = static_cast<gint>(object.id);
        const GQuark label = gst_analytics_od_mtd_get_obj_type(&object);
        next.label = label ? g_quark_to_string(label) : "";
        if (gst_analytics_od_mtd_get_location(&object, &next.x, &next.y, &next.w, &next.h, &next.confidence))
            found.push_back(std::move(next));
    }
    return found;
}

#else

gint add_object(GstBuffer *, const std::string &, guint, guint, guint, guint, float)
{
    return none;
}
void add_class(GstBuffer *, gint, const std::string &, float) {}
void add_tracking(GstBuffer *, gint, const ObjectIdentity &) {}
std::vector<DetectedObject> objects(GstBuffer *)
{
    return {};
}

#endif

#if LEAT_HAVE_ANALYTICS && GST_CHECK_VERSION(1, 26, 0)

namespace {

struct TypeRow {
    Type type;
    GstTensorDataType gst;
};

constexpr TypeRow types[] = {
    {Type::f32, GST_TENSOR_DATA_TYPE_FLOAT32},   {Type::f16, GST_TENSOR_DATA_TYPE_FLOAT16},
    {Type::bf16, GST_TENSOR_DATA_TYPE_BFLOAT16}, {Type::f64, GST_TENSOR_DATA_TYPE_FLOAT64},
    {Type::u8, GST_TENSOR_DATA_TYPE_UINT8},      {Type::s8, GST_TENSOR_DATA_TYPE_INT8},
    {Type::u16, GST_TENSOR_DATA_TYPE_UINT16},    {Type::s16, GST_TENSOR_DATA_TYPE_INT16},
    {Type::u32, GST_TENSOR_DATA_TYPE_UINT32},    {Type::s32, GST_TENSOR_DATA_TYPE_INT32},
    {Type::u64, GST_TENSOR_DATA_TYPE_UINT64},    {Type::s64, GST_TENSOR_DATA_TYPE_INT64},
    {Type::boolean, GST_TENSOR_DATA_TYPE_UINT8},
};

GstTensorDataType type_of(const Tensor &tensor)
{
    for (const TypeRow &row : types)
        if (row.type == tensor.type())
            return row.gst;
    return GST_TENSOR_DATA_TYPE_UINT8;
}

/// The tensor's memory as a buffer that keeps it alive.
GstBuffer *buffer_of(const Tensor &tensor)
{
    auto *owner = new Tensor(tensor);
    return gst_buffer_new_wrapped_full(GST_MEMORY_FLAG_READONLY, owner->raw(), owner->bytes(), 0, owner->bytes(), owner,
                                       [](gpointer data) { delete static_cast<Tensor *>(data); });
}

} // namespace

void add_tensors(GstBuffer *buffer, std::span<const std::string> names, std::span<const Tensor> tensors)
{
    GstTensor **array = g_new(GstTensor *, tensors.size());
    for (size_t i = 0; i < tensors.size(); i++) {
        std::vector<gsize> dims(tensors[i].shape().begin(), tensors[i].shape().end());
        array[i] =
            gst_tensor_new_simple(g_quark_from_string(names[i].c_str()), type_of(tensors[i]), buffer_of(tensors[i]),
                                  GST_TENSOR_DIM_ORDER_ROW_MAJOR, dims.size(), dims.data());
    }
    gst_tensor_meta_set(gst_buffer_add_tensor_meta(buffer), static_cast<guint>(tensors.size()), array);
}

#else

void add_tensors(GstBuffer *, std::span<const std::string>, std::span<const Tensor>) {}

#endif

} // namespace leat::analytics
