#include "subcommand.h"

#include "devices/devices.h"

#include <iomanip>
#include <iostream>

namespace leat {
namespace {

int list_devices()
{
    for (const std::string &name : device_names())
        std::cout << std::left << std::setw(8) << name << find_device(name)->description() << "\n";
    return 0;
}

} // namespace

std::function<int()> add_devices(CLI::App &)
{
    return list_devices;
}

} // namespace leat
