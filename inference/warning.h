#pragma once
#include <string>

namespace leat {

/// Says one sentence to whoever runs the program: something did not go as wished, and the work goes on without it. Any
/// thread.
void warn(const std::string &sentence);

using WarningHandler = void (*)(const std::string &sentence);

/// Where the sentences go, on the thread that has them; at first to standard error. Returns what was set before.
WarningHandler set_warning_handler(WarningHandler);

} // namespace leat
