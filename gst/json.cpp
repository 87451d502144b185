#include "json.h"

#include "gst/meta.h"

#include <charconv>
#include <cmath>

namespace leat {
namespace {

using Json = nlohmann::ordered_json;

/// Most numbers here were floats: the shortest decimal that gives the float again reads better than the double's.
double shortest(double value)
{
    const float single = static_cast<float>(value);
    char text[64];
    const auto end = std::to_chars(text, text + sizeof text, single).ptr;
    double result = value;
    std::from_chars(text, end, result);
    return result;
}

Json value_as_json(const GValue *value);

Json array_as_json(const GValue *array)
{
    Json list = Json::array();
    for (guint i = 0; i < gst_value_array_get_size(array); i++)
        list.push_back(value_as_json(gst_value_array_get_value(array, i)));
    return list;
}

/// Kinds of values that a region's structures have; others become text.
Json value_as_json(const GValue *value)
{
    switch (G_VALUE_TYPE(value)) {
    case G_TYPE_BOOLEAN: return bool(g_value_get_boolean(value));
    case G_TYPE_INT: return g_value_get_int(value);
    case G_TYPE_UINT: return g_value_get_uint(value);
    case G_TYPE_INT64: return g_value_get_int64(value);
    case G_TYPE_UINT64: return g_value_get_uint64(value);
    case G_TYPE_FLOAT: return shortest(g_value_get_float(value));
    case G_TYPE_DOUBLE: return shortest(g_value_get_double(value));
    default: break;
    }
    if (GST_VALUE_HOLDS_ARRAY(value))
        return array_as_json(value);
    if (G_VALUE_HOLDS_STRING(value))
        return g_value_get_string(value) ? g_value_get_string(value) : "";
    gchar *text = gst_value_serialize(value);
    Json result = text ? text : "";
    g_free(text);
    return result;
}

/// Copies the field if there is one.
void copy(Json &to, const char *key, const GstStructure *from, const char *field)
{
    if (const GValue *value = gst_structure_get_value(from, field))
        to[key] = value_as_json(value);
}

Json detection_as_json(const GstStructure *structure)
{
    Json box, detection;
    for (const char *field : {"x_max", "x_min", "y_max", "y_min"})
        copy(box, field, structure, field);
    if (!box.empty())
        detection["bounding_box"] = box;
    for (const char *field : {"confidence", "label", "label_id"})
        copy(detection, field, structure, field);
    return detection;
}

Json class_as_json(const GstStructure *structure)
{
    Json attribute;
    for (const char *field : {"confidence", "label", "label_id"})
        copy(attribute, field, structure, field);
    if (const char *model = gst_structure_get_string(structure, "model_name"))
        attribute["model"] = {{"name", model}};
    return attribute;
}

Json keypoints_as_json(const GstStructure *structure)
{
    Json tensor;
    tensor["name"] = "keypoints";
    for (const char *field : {"format", "dims", "data", "confidence"})
        copy(tensor, field, structure, field);
    return tensor;
}

void add_param(Json &object, Json &tensors, const GstStructure *structure)
{
    const std::string name = gst_structure_get_name(structure);
    if (name == "detection")
        object["detection"] = detection_as_json(structure);
    else if (name == "object_id")
        for (const char *field : {"id", "predicted"})
            copy(object, field, structure, field);
    else if (name == "keypoints")
        tensors.push_back(keypoints_as_json(structure));
    else if (gst_structure_has_field(structure, "label"))
        object[name] = class_as_json(structure);
}

void append(Json &list, const Json &more)
{
    for (const Json &item : more)
        list.push_back(item);
}

Json object_as_json(GstBuffer *buffer, const GstVideoRegionOfInterestMeta *roi, bool add_tensor_data)
{
    Json object, tensors = Json::array();
    for (const GList *item = roi->params; item; item = item->next)
        add_param(object, tensors, static_cast<const GstStructure *>(item->data));
    append(tensors, tensors_as_json(buffer, roi->id, add_tensor_data));
    object["h"] = roi->h;
    if (roi->parent_id > 0)
        object["parent_id"] = roi->parent_id;
    object["region_id"] = roi->id;
    if (const char *label = g_quark_to_string(roi->roi_type))
        object["roi_type"] = label;
    object["w"] = roi->w;
    object["x"] = roi->x;
    object["y"] = roi->y;
    if (!tensors.empty())
        object["tensors"] = tensors;
    return object;
}

/// DL Streamer's words for element types.
std::string precision(const std::string &type)
{
    const std::string bits = type.substr(1);
    if (type == "bool")
        return "BOOL";
    if (type == "bf16")
        return "BF16";
    return (type[0] == 'f' ? "FP" : type[0] == 'u' ? "U" : "I") + bits;
}

Json data_as_json(const LeatTensor &tensor)
{
    const Shape shape(tensor.dims, tensor.dims + tensor.rank);
    const Tensor view = Tensor::view(type_from(tensor.type).value_or(Type::u8), shape, const_cast<void *>(tensor.data));
    Json data = Json::array();
    const Tensor numbers = view.converted(Type::f64);
    for (const double number : numbers.values<double>())
        data.push_back(std::isfinite(number) ? Json(view.type() == Type::f32 ? shortest(number) : number) : Json());
    return data;
}

Json tensor_as_json(const LeatTensorMeta &meta, const LeatTensor &tensor, bool add_data)
{
    Json json;
    json["name"] = tensor.name;
    json["layer_name"] = tensor.name;
    json["model_name"] = meta.model;
    json["precision"] = precision(tensor.type);
    json["dims"] = Shape(tensor.dims, tensor.dims + tensor.rank);
    if (add_data)
        json["data"] = data_as_json(tensor);
    return json;
}

} // namespace

Json objects_as_json(GstBuffer *buffer, bool add_tensor_data)
{
    Json objects = Json::array();
    gpointer state = nullptr;
    while (const GstMeta *meta =
               gst_buffer_iterate_meta_filtered(buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))
        objects.push_back(
            object_as_json(buffer, reinterpret_cast<const GstVideoRegionOfInterestMeta *>(meta), add_tensor_data));
    return objects;
}

Json tensors_as_json(GstBuffer *buffer, gint region_id, bool add_tensor_data)
{
    Json tensors = Json::array();
    for (const LeatTensorMeta *meta : tensor_metas(buffer))
        if (meta->region_id == region_id)
            for (guint i = 0; i < meta->n_tensors; i++)
                tensors.push_back(tensor_as_json(*meta, meta->tensors[i], add_tensor_data));
    return tensors;
}

} // namespace leat
