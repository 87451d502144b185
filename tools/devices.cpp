#include "subcommand.h"

#include "devices/devices.h"
#include "devices/hardware.h"

#include <nlohmann/json.hpp>

#include <iomanip>
#include <iostream>
#include <memory>

namespace leat {
namespace {

using Json = nlohmann::ordered_json;

void print_text(const std::vector<AcceleratorInterface> &interfaces)
{
    for (const std::string &name : device_names())
        std::cout << std::left << std::setw(8) << name << find_device(name)->description() << "\n";
    std::cout << "\nMade of these\n";
    for (const Combination &each : device_combinations())
        std::cout << std::left << std::setw(16) << each.form << each.description << "\n";
    std::cout << "\nHardware seen\n";
    for (const AcceleratorInterface &interface : interfaces) {
        if (!interface.absent.empty())
            std::cout << std::left << std::setw(8) << interface.name << interface.absent << "\n";
        for (const Accelerator &accelerator : interface.accelerators)
            std::cout << std::left << std::setw(8) << interface.name << accelerator.name << ": "
                      << accelerator.description << ". " << accelerator.why_not << "\n";
    }
}

void print_json(const std::vector<AcceleratorInterface> &interfaces)
{
    Json json{{"devices", Json::array()}, {"combinations", Json::array()}, {"interfaces", Json::array()}};
    for (const std::string &name : device_names())
        json["devices"].push_back({{"name", name}, {"description", find_device(name)->description()}});
    for (const Combination &each : device_combinations())
        json["combinations"].push_back({{"name", each.name}, {"form", each.form}, {"description", each.description}});
    for (const AcceleratorInterface &interface : interfaces) {
        Json row{{"name", interface.name}, {"absent", interface.absent}, {"accelerators", Json::array()}};
        for (const Accelerator &accelerator : interface.accelerators)
            row["accelerators"].push_back({{"name", accelerator.name},
                                           {"description", accelerator.description},
                                           {"why_not", accelerator.why_not}});
        json["interfaces"].push_back(row);
    }
    // Names come from drivers and need not be UTF-8.
    std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
}

} // namespace

std::function<int()> add_devices(CLI::App &app)
{
    auto json = std::make_shared<bool>(false);
    app.add_flag("--json", *json, "Print everything as JSON, for programs");
    return [json] {
        if (*json)
            print_json(accelerator_interfaces());
        else
            print_text(accelerator_interfaces());
        return 0;
    };
}

} // namespace leat
