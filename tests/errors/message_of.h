#pragma once
#include <leat/error.h>

#include <string>

namespace leat {

/// What the Error says that `body` throws.
template <class Body> std::string message_of(Body &&body)
{
    try {
        body();
        return "no error";
    } catch (const Error &error) {
        return error.what();
    }
}

} // namespace leat
