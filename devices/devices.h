#pragma once
#include "inference/device.h"

#include <memory>
#include <string>
#include <vector>

namespace leat {

/// The device that a description names: "CPU", "REF", "FAKE(latency_ms=20,depth=8)", "BATCH:CPU(4)". Made once per
/// description. Throws Error that lists the devices. To add one: a make_… here, a row in devices.cpp, a page in
/// docs/devices.md.
std::shared_ptr<Device> find_device(const std::string &description);
std::vector<std::string> device_names();

/// A device that is made of others.
struct Combination {
    std::string_view name, form, description; ///< `form`: how it is written, for example
};
std::vector<Combination> device_combinations();

std::shared_ptr<Device> make_cpu();
std::shared_ptr<Device> make_ref();
/// Answers after a scripted time with scripted outputs, for tests: arguments latency_ms, depth, jitter_ms
/// (deterministic), batch, fail_every, outputs, and ops, which names those that it can run.
std::shared_ptr<Device> make_fake(const std::string &arguments);

} // namespace leat
