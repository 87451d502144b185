#include "meta.h"

#include "gst/analytics.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string_view>

namespace leat {
namespace {

constexpr const char *not_inferred_name = "LeatNotInferred";

GstVideoRegionOfInterestMeta *next_roi(GstBuffer *buffer, gpointer *state)
{
    return reinterpret_cast<GstVideoRegionOfInterestMeta *>(
        gst_buffer_iterate_meta_filtered(buffer, state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE));
}

std::string label_of(const GstVideoRegionOfInterestMeta *roi)
{
    const char *label = g_quark_to_string(roi->roi_type);
    return label ? label : "";
}

gint next_id(GstBuffer *buffer)
{
    gint largest = 0;
    gpointer state = nullptr;
    while (const auto *roi = next_roi(buffer, &state))
        largest = std::max(largest, roi->id);
    return largest + 1;
}

GstVideoRegionOfInterestMeta *add_roi(GstBuffer *buffer, const std::string &label, guint x, guint y, guint w, guint h)
{
    const gint id = next_id(buffer);
    auto *roi = gst_buffer_add_video_region_of_interest_meta(buffer, label.c_str(), x, y, w, h);
    roi->id = id;
    return roi;
}

void append(GValue *array, double number)
{
    GValue value = G_VALUE_INIT;
    g_value_init(&value, G_TYPE_DOUBLE);
    g_value_set_double(&value, number);
    gst_value_array_append_and_take_value(array, &value);
}

/// Takes the array over.
void set_array(GstStructure *structure, const char *field, GValue *array)
{
    gst_structure_take_value(structure, field, array);
}

/// A string that is never freed, and so not copied for each object: labels and the names of models are few.
void set_interned(GstStructure *structure, const char *field, const char *interned)
{
    GValue value = G_VALUE_INIT;
    g_value_init(&value, G_TYPE_STRING);
    g_value_set_interned_string(&value, interned);
    gst_structure_take_value(structure, field, &value);
}

GstStructure *keypoints_structure(const FoundObject &object)
{
    GValue data = G_VALUE_INIT, confidence = G_VALUE_INIT, dims = G_VALUE_INIT;
    for (GValue *array : {&data, &confidence, &dims})
        g_value_init(array, GST_TYPE_ARRAY);
    for (const FoundObject::Keypoint &point : object.keypoints) {
        append(&data, (point.x - object.box.x) / object.box.width);
        append(&data, (point.y - object.box.y) / object.box.height);
        append(&confidence, point.confidence);
    }
    for (const int size : {static_cast<int>(object.keypoints.size()), 2}) {
        GValue value = G_VALUE_INIT;
        g_value_init(&value, G_TYPE_INT);
        g_value_set_int(&value, size);
        gst_value_array_append_and_take_value(&dims, &value);
    }
    GstStructure *structure = gst_structure_new("keypoints", "format", G_TYPE_STRING, "keypoints", nullptr);
    set_array(structure, "dims", &dims);
    set_array(structure, "data", &data);
    set_array(structure, "confidence", &confidence);
    return structure;
}

/// Structure names are letters, digits and /-_.:+ alone.
std::string structure_name(std::string name)
{
    for (char &c : name)
        if (!g_ascii_isalnum(c) && std::string_view("/-_.:+").find(c) == std::string_view::npos)
            c = '_';
    return name;
}

GstVideoRegionOfInterestMeta *frame_roi(GstBuffer *buffer, int width, int height)
{
    gpointer state = nullptr;
    while (auto *roi = next_roi(buffer, &state))
        if (label_of(roi) == frame_label)
            return roi;
    return add_roi(buffer, frame_label, 0, 0, static_cast<guint>(width), static_cast<guint>(height));
}

gint analytics_id_of(const GstVideoRegionOfInterestMeta *roi)
{
    gint id = analytics::none;
    if (const GstStructure *detection =
            gst_video_region_of_interest_meta_get_param(const_cast<GstVideoRegionOfInterestMeta *>(roi), "detection"))
        gst_structure_get_int(detection, "analytics_id", &id);
    return id;
}

// LeatTensorMeta: the views point into a shared, immutable set of tensors.

struct TensorSet {
    std::string model;
    std::vector<std::string> names;
    std::vector<std::string> types;
    std::vector<Tensor> tensors;
    std::vector<LeatTensor> views;
};

using SharedTensorSet = std::shared_ptr<const TensorSet>;

gboolean init_tensor_meta(GstMeta *meta, gpointer, GstBuffer *)
{
    auto *tensors = reinterpret_cast<LeatTensorMeta *>(meta);
    tensors->model = nullptr;
    tensors->region_id = 0;
    tensors->x = tensors->y = tensors->w = tensors->h = 0;
    tensors->n_tensors = 0;
    tensors->tensors = nullptr;
    tensors->owner = nullptr;
    return TRUE;
}

void free_tensor_meta(GstMeta *meta, GstBuffer *)
{
    delete static_cast<SharedTensorSet *>(reinterpret_cast<LeatTensorMeta *>(meta)->owner);
}

const GstMetaInfo *tensor_meta_info();

gboolean transform_tensor_meta(GstBuffer *to, GstMeta *meta, GstBuffer *, GQuark type, gpointer)
{
    if (!GST_META_TRANSFORM_IS_COPY(type))
        return FALSE;
    const auto *from = reinterpret_cast<const LeatTensorMeta *>(meta);
    auto *copy = reinterpret_cast<LeatTensorMeta *>(gst_buffer_add_meta(to, tensor_meta_info(), nullptr));
    if (!copy)
        return FALSE;
    const GstMeta own = copy->meta;
    *copy = *from;
    copy->meta = own;
    copy->owner = new SharedTensorSet(*static_cast<SharedTensorSet *>(from->owner));
    return TRUE;
}

GType tensor_meta_api()
{
    static const gchar *tags[] = {nullptr};
    static const GType type = gst_meta_api_type_register("LeatTensorMetaAPI", tags);
    return type;
}

const GstMetaInfo *tensor_meta_info()
{
    static const GstMetaInfo *info = gst_meta_register(tensor_meta_api(), "LeatTensorMeta", sizeof(LeatTensorMeta),
                                                       init_tensor_meta, free_tensor_meta, transform_tensor_meta);
    return info;
}

SharedTensorSet share(const std::string &model, std::span<const std::string> names, std::span<const Tensor> tensors)
{
    auto set = std::make_shared<TensorSet>();
    set->model = model;
    set->names.assign(names.begin(), names.end());
    set->tensors.assign(tensors.begin(), tensors.end());
    for (const Tensor &tensor : tensors)
        set->types.emplace_back(to_string(tensor.type()));
    for (size_t i = 0; i < set->tensors.size(); i++) {
        const Tensor &tensor = set->tensors[i];
        set->views.push_back({set->names[i].c_str(), set->types[i].c_str(), static_cast<guint>(tensor.rank()),
                              tensor.shape().data(), tensor.raw(), tensor.bytes()});
    }
    return set;
}

// LeatJsonMeta

gboolean init_json_meta(GstMeta *meta, gpointer, GstBuffer *)
{
    reinterpret_cast<LeatJsonMeta *>(meta)->message = nullptr;
    return TRUE;
}

void free_json_meta(GstMeta *meta, GstBuffer *)
{
    g_free(reinterpret_cast<LeatJsonMeta *>(meta)->message);
}

gboolean transform_json_meta(GstBuffer *to, GstMeta *meta, GstBuffer *, GQuark type, gpointer)
{
    if (!GST_META_TRANSFORM_IS_COPY(type))
        return FALSE;
    set_json(to, reinterpret_cast<LeatJsonMeta *>(meta)->message);
    return TRUE;
}

GType json_meta_api()
{
    static const gchar *tags[] = {nullptr};
    static const GType type = gst_meta_api_type_register("LeatJsonMetaAPI", tags);
    return type;
}

const GstMetaInfo *json_meta_info()
{
    static const GstMetaInfo *info = gst_meta_register(json_meta_api(), "LeatJsonMeta", sizeof(LeatJsonMeta),
                                                       init_json_meta, free_json_meta, transform_json_meta);
    return info;
}

} // namespace

std::vector<RegionOfInterest> regions_of_interest(GstBuffer *buffer, int frame_width, int frame_height)
{
    const auto width = static_cast<guint64>(frame_width), height = static_cast<guint64>(frame_height);
    std::vector<RegionOfInterest> regions;
    gpointer state = nullptr;
    while (auto *roi = next_roi(buffer, &state)) {
        const guint64 right = std::min(width, guint64(roi->x) + roi->w);
        const guint64 bottom = std::min(height, guint64(roi->y) + roi->h);
        if (roi->x >= right || roi->y >= bottom)
            continue;
        regions.push_back({roi, roi->id, label_of(roi),
                           Region{static_cast<float>(roi->x), static_cast<float>(roi->y),
                                  static_cast<float>(right - roi->x), static_cast<float>(bottom - roi->y)}});
    }
    return regions;
}

GstBuffer *adopt_analytics(GstBuffer *buffer)
{
    gpointer state = nullptr;
    if (next_roi(buffer, &state))
        return buffer;
    const auto objects = analytics::objects(buffer);
    if (objects.empty())
        return buffer;
    buffer = gst_buffer_make_writable(buffer);
    for (const analytics::DetectedObject &object : objects) {
        const guint x = static_cast<guint>(std::max(0, object.x)), y = static_cast<guint>(std::max(0, object.y));
        auto *roi = add_roi(buffer, object.label, x, y, static_cast<guint>(std::max(0, object.w)),
                            static_cast<guint>(std::max(0, object.h)));
        gst_video_region_of_interest_meta_add_param(
            roi,
            gst_structure_new("detection", "confidence", G_TYPE_DOUBLE, double(object.confidence), "label",
                              G_TYPE_STRING, object.label.c_str(), "analytics_id", G_TYPE_INT, object.id, nullptr));
    }
    return buffer;
}

GstVideoRegionOfInterestMeta *add_object(GstBuffer *buffer, int frame_width, int frame_height, const std::string &model,
                                         const FoundObject &object)
{
    const auto edge = [](float value) { return static_cast<guint>(std::lround(std::max(0.f, value))); };
    const Region &box = object.box;
    const guint x = edge(box.x), y = edge(box.y);
    const guint w = std::max(1u, edge(box.x + box.width) - x), h = std::max(1u, edge(box.y + box.height) - y);
    auto *roi = add_roi(buffer, object.label, x, y, w, h);
    roi->parent_id = object.parent_id;
    GstStructure *detection =
        gst_structure_new("detection", "x_min", G_TYPE_DOUBLE, double(box.x) / frame_width, "x_max", G_TYPE_DOUBLE,
                          double(box.x + box.width) / frame_width, "y_min", G_TYPE_DOUBLE, double(box.y) / frame_height,
                          "y_max", G_TYPE_DOUBLE, double(box.y + box.height) / frame_height, "confidence",
                          G_TYPE_DOUBLE, double(object.confidence), "label_id", G_TYPE_INT, object.label_id, "label",
                          G_TYPE_STRING, nullptr, "model_name", G_TYPE_STRING, nullptr, nullptr);
    set_interned(detection, "label", g_quark_to_string(roi->roi_type));
    set_interned(detection, "model_name", g_intern_string(model.c_str()));
    const gint analytics_id = analytics::add_object(buffer, object.label, x, y, w, h, object.confidence);
    if (analytics_id != analytics::none)
        gst_structure_set(detection, "analytics_id", G_TYPE_INT, analytics_id, nullptr);
    gst_video_region_of_interest_meta_add_param(roi, detection);
    if (!object.keypoints.empty())
        gst_video_region_of_interest_meta_add_param(roi, keypoints_structure(object));
    return roi;
}

void set_identity(GstBuffer *buffer, GstVideoRegionOfInterestMeta *roi, const ObjectIdentity &identity)
{
    GstStructure *structure = gst_video_region_of_interest_meta_get_param(roi, "object_id");
    if (!structure) {
        structure = gst_structure_new_empty("object_id");
        gst_video_region_of_interest_meta_add_param(roi, structure);
    }
    gst_structure_remove_all_fields(structure);
    gst_structure_set(structure, "id", G_TYPE_INT, identity.id, nullptr);
    if (identity.predicted)
        gst_structure_set(structure, "predicted", G_TYPE_BOOLEAN, TRUE, nullptr);
    analytics::add_tracking(buffer, analytics_id_of(roi), identity);
}

void add_class(GstBuffer *buffer, int frame_width, int frame_height, GstVideoRegionOfInterestMeta *roi,
               const FoundClass &found)
{
    if (!roi)
        roi = frame_roi(buffer, frame_width, frame_height);
    gst_video_region_of_interest_meta_add_param(
        roi, gst_structure_new(structure_name("classification_layer_name:" + found.layer).c_str(), "label",
                               G_TYPE_STRING, found.label.c_str(), "label_id", G_TYPE_INT, found.label_id, "confidence",
                               G_TYPE_DOUBLE, double(found.confidence), "model_name", G_TYPE_STRING,
                               found.model.c_str(), "layer_name", G_TYPE_STRING, found.layer.c_str(), nullptr));
    analytics::add_class(buffer, analytics_id_of(roi), found.label, found.confidence);
}

void add_tensors(GstBuffer *buffer, const std::string &model, const RegionOfInterest &region,
                 std::span<const std::string> names, std::span<const Tensor> tensors)
{
    auto *meta = reinterpret_cast<LeatTensorMeta *>(gst_buffer_add_meta(buffer, tensor_meta_info(), nullptr));
    auto *owner = new SharedTensorSet(share(model, names, tensors));
    meta->owner = owner;
    meta->model = (*owner)->model.c_str();
    meta->region_id = region.id;
    meta->x = static_cast<guint>(region.rectangle.x);
    meta->y = static_cast<guint>(region.rectangle.y);
    meta->w = static_cast<guint>(region.rectangle.width);
    meta->h = static_cast<guint>(region.rectangle.height);
    meta->n_tensors = static_cast<guint>((*owner)->views.size());
    meta->tensors = (*owner)->views.data();
    if (!region.meta)
        analytics::add_tensors(buffer, names, tensors);
}

std::vector<const LeatTensorMeta *> tensor_metas(GstBuffer *buffer)
{
    std::vector<const LeatTensorMeta *> metas;
    gpointer state = nullptr;
    while (GstMeta *meta = gst_buffer_iterate_meta_filtered(buffer, &state, tensor_meta_api()))
        metas.push_back(reinterpret_cast<const LeatTensorMeta *>(meta));
    return metas;
}

void set_json(GstBuffer *buffer, const std::string &message)
{
    GstMeta *meta = gst_buffer_get_meta(buffer, json_meta_api());
    if (!meta)
        meta = gst_buffer_add_meta(buffer, json_meta_info(), nullptr);
    auto *json = reinterpret_cast<LeatJsonMeta *>(meta);
    g_free(json->message);
    json->message = g_strndup(message.data(), message.size());
}

const char *json_of(GstBuffer *buffer)
{
    const GstMeta *meta = gst_buffer_get_meta(buffer, json_meta_api());
    return meta ? reinterpret_cast<const LeatJsonMeta *>(meta)->message : nullptr;
}

GstBuffer *mark_not_inferred(GstBuffer *buffer, const std::string &model, const char *reason)
{
    buffer = gst_buffer_make_writable(buffer);
    GstCustomMeta *meta = gst_buffer_add_custom_meta(buffer, not_inferred_name);
    gst_structure_set(gst_custom_meta_get_structure(meta), "model", G_TYPE_STRING, model.c_str(), "reason",
                      G_TYPE_STRING, reason, nullptr);
    return buffer;
}

std::vector<NotInferred> not_inferred_marks(GstBuffer *buffer)
{
    std::vector<NotInferred> marks;
    const GstMetaInfo *info = gst_meta_get_info(not_inferred_name);
    gpointer state = nullptr;
    while (GstMeta *meta = gst_buffer_iterate_meta(buffer, &state)) {
        if (meta->info != info)
            continue;
        const GstStructure *fields = gst_custom_meta_get_structure(reinterpret_cast<GstCustomMeta *>(meta));
        marks.push_back({gst_structure_get_string(fields, "model"), gst_structure_get_string(fields, "reason")});
    }
    return marks;
}

void register_metas()
{
    static const gchar *no_tags[] = {nullptr};
    gst_meta_register_custom(not_inferred_name, no_tags, nullptr, nullptr, nullptr);
    tensor_meta_info();
    json_meta_info();
}

} // namespace leat
