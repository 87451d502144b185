#pragma once
#include <cstdlib>

namespace leat {

inline int number_from(const char *variable, int otherwise)
{
    const char *text = std::getenv(variable);
    return text ? std::atoi(text) : otherwise;
}

/// How long the tests of this folder shall run, each of them; 0: as short as they can.
inline int soak_seconds()
{
    return number_from("LEAT_SOAK_SECONDS", 0);
}

} // namespace leat
