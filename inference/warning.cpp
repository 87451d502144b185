#include "warning.h"

#include <atomic>
#include <iostream>

namespace leat {
namespace {

void print(const std::string &sentence)
{
    std::cerr << "leat: warning: " + sentence + "\n";
}

std::atomic<WarningHandler> handler = print;

} // namespace

void warn(const std::string &sentence)
{
    handler.load()(sentence);
}

WarningHandler set_warning_handler(WarningHandler next)
{
    return handler.exchange(next);
}

} // namespace leat
