#pragma once
#include "inference/device.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace leat {

/// A device and how it was named, which is how it is told of.
struct NamedDevice {
    std::string name;
    std::shared_ptr<Device> device;
};

/// The devices of a list such as "CPU,FAKE(depth=2)". Throws Error with the cure when one is missing, unknown or named
/// twice.
std::vector<NamedDevice> devices_of(const std::string &list, const std::string &cure);
/// "" when one of them can run the node, else why none can.
std::string why_none(std::span<const NamedDevice>, const Graph &, const Node &);

/// MULTI: every job goes to the first of the devices that has room for it.
std::shared_ptr<Device> make_multi(std::vector<NamedDevice>);
/// From "CPU,FAKE(depth=2)". Throws Error.
std::shared_ptr<Device> make_multi(const std::string &arguments);

/// AUTO: the first of the devices that can run the model; the CPU, when it is among them, until that one is compiled.
/// Devices that other models of AUTO with a higher model_priority are on when it is compiled come last.
std::shared_ptr<Device> make_auto(std::vector<NamedDevice>);
/// From a list, or from nothing: then all devices of this machine that are no devices for checking. Throws Error.
std::shared_ptr<Device> make_auto(const std::string &arguments);

} // namespace leat
