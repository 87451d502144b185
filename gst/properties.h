#pragma once
#include <gst/gst.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace leat {

/// One property of an element that lives in a member of its settings `S`. Rows of these make an element's table.
template <class S> struct Property {
    GParamSpec *spec;
    /// Takes the value over; "" or the sentence why it is refused.
    std::function<std::string(S &, const GValue *)> set;
    std::function<void(const S &, GValue *)> get;
};

/// Numbers whose range is told but not enforced by GObject, which would only print a warning: the element refuses them
/// itself.
GParamSpec *number_spec(const char *name, const char *nick, const char *blurb, double min, double max, double otherwise,
                        GParamFlags);
GParamSpec *integer_spec(const char *name, const char *nick, const char *blurb, int min, int max, int otherwise,
                         GParamFlags);
/// "threshold=1.5: want a number from 0 to 1"; "" when the value is within the range of such a spec.
std::string out_of_range(const GParamSpec *, const GValue *);
/// The enumeration of that name, registered on the first call. `values` must live for ever.
GType enumeration(const char *name, const GEnumValue *values);

/// Items of "a,b,c", without blanks at their ends; empty ones are left out.
std::vector<std::string> split_list(const std::string &);

inline constexpr GParamFlags property_flags = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS);
/// Takes effect when the element next leaves NULL or READY.
inline constexpr GParamFlags before_start = static_cast<GParamFlags>(property_flags | GST_PARAM_MUTABLE_READY);
/// Takes effect with the next frame.
inline constexpr GParamFlags while_playing = static_cast<GParamFlags>(property_flags | GST_PARAM_MUTABLE_PLAYING);

/// A text; `check` gives "" or the sentence why the new text is refused.
template <class S>
Property<S> text(std::string S::*member, const char *name, const char *nick, const char *blurb, GParamFlags flags,
                 std::string (*check)(const std::string &) = nullptr)
{
    const std::string otherwise = S{}.*member;
    return {g_param_spec_string(name, nick, blurb, otherwise.empty() ? nullptr : otherwise.c_str(), flags),
            [=](S &settings, const GValue *value) -> std::string {
                const char *given = g_value_get_string(value);
                const std::string text = given ? given : "";
                std::string fault = check ? check(text) : "";
                if (fault.empty())
                    settings.*member = text;
                return fault;
            },
            [=](const S &settings, GValue *value) {
                g_value_set_string(value, (settings.*member).empty() ? nullptr : (settings.*member).c_str());
            }};
}

template <class S>
Property<S> number(double S::*member, const char *name, const char *nick, const char *blurb, double min, double max,
                   GParamFlags flags)
{
    GParamSpec *spec = number_spec(name, nick, blurb, min, max, S{}.*member, flags);
    return {spec,
            [=](S &settings, const GValue *value) {
                std::string fault = out_of_range(spec, value);
                if (fault.empty())
                    settings.*member = g_value_get_double(value);
                return fault;
            },
            [=](const S &settings, GValue *value) { g_value_set_double(value, settings.*member); }};
}

template <class S>
Property<S> integer(int S::*member, const char *name, const char *nick, const char *blurb, int min, int max,
                    GParamFlags flags)
{
    GParamSpec *spec = integer_spec(name, nick, blurb, min, max, S{}.*member, flags);
    return {spec,
            [=](S &settings, const GValue *value) {
                std::string fault = out_of_range(spec, value);
                if (fault.empty())
                    settings.*member = g_value_get_int(value);
                return fault;
            },
            [=](const S &settings, GValue *value) { g_value_set_int(value, settings.*member); }};
}

template <class S>
Property<S> flag(bool S::*member, const char *name, const char *nick, const char *blurb, GParamFlags flags)
{
    return {g_param_spec_boolean(name, nick, blurb, S{}.*member, flags),
            [=](S &settings, const GValue *value) {
                settings.*member = g_value_get_boolean(value);
                return std::string();
            },
            [=](const S &settings, GValue *value) { g_value_set_boolean(value, settings.*member); }};
}

/// One value of the enumeration `type`, whose numbers are those of the C++ enum `E`.
template <class S, class E>
Property<S> choice(E S::*member, const char *name, const char *nick, const char *blurb, GType type, E otherwise,
                   GParamFlags flags)
{
    return {g_param_spec_enum(name, nick, blurb, type, static_cast<int>(otherwise), flags),
            [=](S &settings, const GValue *value) {
                settings.*member = static_cast<E>(g_value_get_enum(value));
                return std::string();
            },
            [=](const S &settings, GValue *value) { g_value_set_enum(value, static_cast<int>(settings.*member)); }};
}

/// The settings of one element: set from any thread, read as a whole that does not change.
template <class S> class Settings {
  public:
    std::shared_ptr<const S> now() const
    {
        std::lock_guard lock(mutex_);
        return current_;
    }

    /// Takes the value, or returns the sentence why not and remembers it.
    std::string set(const Property<S> &property, const GValue *value)
    {
        std::lock_guard lock(mutex_);
        auto changed = std::make_shared<S>(*current_);
        const std::string fault = property.set(*changed, value);
        if (fault.empty()) {
            faults_.erase(property.spec->name);
            current_ = std::move(changed);
        } else {
            faults_[property.spec->name] = fault;
        }
        return fault;
    }

    /// Changes that do not come from a property.
    template <class Change> void change(Change change)
    {
        std::lock_guard lock(mutex_);
        auto changed = std::make_shared<S>(*current_);
        change(*changed);
        current_ = std::move(changed);
    }

    /// Sentences about the values that were refused and not set again since; "" when there are none.
    std::string faults() const
    {
        std::lock_guard lock(mutex_);
        std::string all;
        for (const auto &[name, fault] : faults_)
            all += (all.empty() ? "" : "; ") + fault;
        return all;
    }

  private:
    mutable std::mutex mutex_;
    std::shared_ptr<const S> current_ = std::make_shared<S>();
    std::map<std::string, std::string> faults_;
};

inline GQuark property_quark()
{
    static const GQuark quark = g_quark_from_static_string("leat-property");
    return quark;
}

template <class Element> using SettingsOf = std::remove_cvref_t<decltype(*Element::settings->now())>;

/// GObject's set_property for every element that has `Settings<S> *settings`.
template <class Element> void set_property(GObject *object, guint, const GValue *value, GParamSpec *spec)
{
    const auto *row =
        static_cast<const Property<SettingsOf<Element>> *>(g_param_spec_get_qdata(spec, property_quark()));
    const std::string fault = reinterpret_cast<Element *>(object)->settings->set(*row, value);
    if (!fault.empty())
        GST_ELEMENT_WARNING(object, LIBRARY, SETTINGS, ("%s", fault.c_str()), (nullptr));
}

template <class Element> void get_property(GObject *object, guint, GValue *value, GParamSpec *spec)
{
    const auto *row =
        static_cast<const Property<SettingsOf<Element>> *>(g_param_spec_get_qdata(spec, property_quark()));
    row->get(*reinterpret_cast<Element *>(object)->settings->now(), value);
}

/// Adds the rows to the class, whose set_property and get_property must be those above. Each description keeps its row.
template <class S> void install_properties(GObjectClass *klass, const std::vector<Property<S>> &rows)
{
    guint id = 0;
    for (const Property<S> &row : rows) {
        g_param_spec_set_qdata_full(row.spec, property_quark(), new Property<S>(row),
                                    [](gpointer kept) { delete static_cast<Property<S> *>(kept); });
        g_object_class_install_property(klass, ++id, row.spec);
    }
}

} // namespace leat
