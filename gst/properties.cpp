#include "properties.h"

#include <algorithm>
#include <sstream>

namespace leat {
namespace {

gboolean keep_as_it_is(GParamSpec *, GValue *)
{
    return FALSE;
}

#if GLIB_CHECK_VERSION(2, 74, 0)
gboolean any_value(GParamSpec *, const GValue *)
{
    return TRUE;
}
#endif

void unchecked_class_init(gpointer klass, gpointer)
{
    G_PARAM_SPEC_CLASS(klass)->value_validate = keep_as_it_is;
#if GLIB_CHECK_VERSION(2, 74, 0)
    G_PARAM_SPEC_CLASS(klass)->value_is_valid = any_value;
#endif
}

/// One of GObject's own number types, but leaving values out of its range alone.
GType unchecked_type(const char *name, GType parent)
{
    if (const GType known = g_type_from_name(name))
        return known;
    GTypeQuery query;
    g_type_query(parent, &query);
    return g_type_register_static_simple(parent, name, query.class_size, unchecked_class_init, query.instance_size,
                                         nullptr, GTypeFlags(0));
}

std::string trimmed(const std::string &text)
{
    const char *blank = " \t\r\n";
    const size_t first = text.find_first_not_of(blank);
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

} // namespace

GParamSpec *number_spec(const char *name, const char *nick, const char *blurb, double min, double max, double otherwise,
                        GParamFlags flags)
{
    const GType type = unchecked_type("LeatParamNumber", G_TYPE_PARAM_DOUBLE);
    auto *spec = static_cast<GParamSpecDouble *>(g_param_spec_internal(type, name, nick, blurb, flags));
    spec->minimum = min;
    spec->maximum = max;
    spec->default_value = otherwise;
    return G_PARAM_SPEC(spec);
}

GParamSpec *integer_spec(const char *name, const char *nick, const char *blurb, int min, int max, int otherwise,
                         GParamFlags flags)
{
    const GType type = unchecked_type("LeatParamInteger", G_TYPE_PARAM_INT);
    auto *spec = static_cast<GParamSpecInt *>(g_param_spec_internal(type, name, nick, blurb, flags));
    spec->minimum = min;
    spec->maximum = max;
    spec->default_value = otherwise;
    return G_PARAM_SPEC(spec);
}

std::string out_of_range(const GParamSpec *spec, const GValue *value)
{
    double given, min, max;
    if (G_VALUE_HOLDS_DOUBLE(value)) {
        const auto *range = reinterpret_cast<const GParamSpecDouble *>(spec);
        given = g_value_get_double(value), min = range->minimum, max = range->maximum;
    } else {
        const auto *range = reinterpret_cast<const GParamSpecInt *>(spec);
        given = g_value_get_int(value), min = range->minimum, max = range->maximum;
    }
    if (given >= min && given <= max)
        return "";
    std::ostringstream sentence;
    sentence.imbue(std::locale::classic());
    sentence << "property " << spec->name << "=" << given << ": want a number from " << min << " to " << max;
    return sentence.str();
}

GType enumeration(const char *name, const GEnumValue *values)
{
    const GType known = g_type_from_name(name);
    return known ? known : g_enum_register_static(name, values);
}

std::vector<std::string> split_list(const std::string &list)
{
    std::vector<std::string> items;
    for (size_t begin = 0; begin <= list.size();) {
        const size_t comma = std::min(list.find(',', begin), list.size());
        if (std::string item = trimmed(list.substr(begin, comma - begin)); !item.empty())
            items.push_back(std::move(item));
        begin = comma + 1;
    }
    return items;
}

} // namespace leat
