#pragma once
#include "inference/graph.h"

#include <span>
#include <string_view>

// Attributes of nodes, checked.

namespace leat {

/// One number an axis. Throws Error that names the attribute unless there are `count` numbers, none below `lowest`.
std::vector<int64_t> list_attribute(const Attributes &, const std::string &name, size_t count, int64_t otherwise,
                                    int64_t lowest);
/// A number that is not below `lowest` and is not above 2^30. Throws Error that names the attribute.
int64_t size_attribute(const Attributes &, const std::string &name, int64_t otherwise, int64_t lowest);

/// Throws Error that names the attribute when the number is below `lowest` or above 2^30.
void check_number(const std::string &name, int64_t value, int64_t lowest);
/// The place of the attribute's text in the list of names. Throws Error that names the attribute.
size_t index_attribute(const Attributes &, const std::string &name, const std::string &otherwise,
                       std::span<const std::string_view> names);
/// The enumerator whose place in the list of names the attribute has. Throws Error that names the attribute.
template <class Enum, size_t N>
Enum enum_attribute(const Attributes &attributes, const std::string &name, const std::string &otherwise,
                    const std::string_view (&names)[N])
{
    return static_cast<Enum>(index_attribute(attributes, name, otherwise, names));
}

} // namespace leat
