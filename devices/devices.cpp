#include "devices.h"

#include "hardware.h"

#include <map>
#include <mutex>

namespace leat {
namespace {

struct Row {
    std::string_view name;
    std::shared_ptr<Device> (*make)(const std::string &arguments);
};

template <std::shared_ptr<Device> (*make)()> std::shared_ptr<Device> without_arguments(const std::string &arguments)
{
    if (!arguments.empty())
        throw Error("this device takes no arguments, but got \"" + arguments + "\"");
    return make();
}

constexpr Row rows[] = {
    {"CPU", without_arguments<make_cpu>},
    {"REF", without_arguments<make_ref>},
    {"FAKE", make_fake},
};

/// What follows the error for a GPU: that OpenCL sees something, or why it does not, is the reader's next question.
std::string about_gpu(const std::string &name)
{
    if (name != "GPU")
        return {};
    const AcceleratorInterface opencl = opencl_platforms();
    if (opencl.accelerators.empty())
        return "; OpenCL shows no devices: " + opencl.absent;
    const size_t count = opencl.accelerators.size();
    return "; OpenCL sees " + std::to_string(count) + (count == 1 ? " device" : " devices") +
           ", but this version has no kernels for " + (count == 1 ? "it" : "them");
}

std::shared_ptr<Device> make(const std::string &description)
{
    const size_t open = description.find('(');
    const std::string name = description.substr(0, open);
    std::string arguments;
    if (open != std::string::npos) {
        if (description.back() != ')')
            throw Error("the device \"" + description + "\" lacks its closing parenthesis");
        arguments = description.substr(open + 1, description.size() - open - 2);
    }
    std::string known;
    for (const Row &row : rows) {
        if (row.name == name)
            return in_context("device \"" + description + "\"", [&] { return row.make(arguments); });
        known += (known.empty() ? "" : ", ") + std::string(row.name);
    }
    throw Error("there is no device \"" + description + "\"; the devices are " + known + about_gpu(name));
}

} // namespace

std::shared_ptr<Device> find_device(const std::string &description)
{
    static std::mutex mutex;
    static std::map<std::string, std::shared_ptr<Device>> made;
    std::lock_guard lock(mutex);
    auto &device = made[description];
    if (!device)
        try {
            device = make(description);
        } catch (...) {
            made.erase(description);
            throw;
        }
    return device;
}

std::vector<std::string> device_names()
{
    std::vector<std::string> names;
    for (const Row &row : rows)
        names.emplace_back(row.name);
    return names;
}

} // namespace leat
