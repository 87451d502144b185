#include "inference/ops/attributes.h"

#include <algorithm>

namespace leat {
namespace {

/// The product of two such numbers, twice, fits 63 bits.
constexpr int64_t highest_number = int64_t(1) << 30;

} // namespace

void check_number(const std::string &name, int64_t value, int64_t lowest)
{
    if (value < lowest)
        throw Error(name + " has " + std::to_string(value) + ", want " + std::to_string(lowest) + " or more");
    if (value > highest_number)
        throw Error(name + " has " + std::to_string(value) + ", want no more than " + std::to_string(highest_number));
}

std::vector<int64_t> list_attribute(const Attributes &attributes, const std::string &name, size_t count,
                                    int64_t otherwise, int64_t lowest)
{
    const auto numbers = attributes.integers(name, std::vector<int64_t>(count, otherwise));
    if (numbers.size() != count)
        throw Error(name + " has " + std::to_string(numbers.size()) + " numbers, want " + std::to_string(count));
    for (int64_t number : numbers)
        check_number(name, number, lowest);
    return numbers;
}

int64_t size_attribute(const Attributes &attributes, const std::string &name, int64_t otherwise, int64_t lowest)
{
    const int64_t number = attributes.integer(name, otherwise);
    check_number(name, number, lowest);
    return number;
}

size_t index_attribute(const Attributes &attributes, const std::string &name, const std::string &otherwise,
                       std::span<const std::string_view> names)
{
    const std::string text = attributes.text(name, otherwise);
    const auto found = std::find(names.begin(), names.end(), text);
    if (found != names.end())
        return static_cast<size_t>(found - names.begin());
    std::string wanted;
    for (std::string_view each : names)
        wanted += (wanted.empty() ? "" : ", ") + std::string(each);
    throw Error(name + " is \"" + text + "\", want one of " + wanted);
}

} // namespace leat
