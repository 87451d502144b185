#include "devices.h"

#include "batch.h"
#include "hardware.h"
#include "hetero.h"
#include "multi.h"

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

struct CombinationRow {
    Combination combination;
    std::shared_ptr<Device> (*make)(const std::string &arguments);
};

constexpr CombinationRow combination_rows[] = {
    {{"AUTO", "AUTO:CPU,REF", "takes the first that can run the model"}, make_auto},
    {{"BATCH", "BATCH:CPU(4)", "joins the jobs of a device to batches"}, make_batch},
    {{"HETERO", "HETERO:REF,CPU", "runs each node on the first that can run it"}, make_hetero},
    {{"MULTI", "MULTI:CPU,REF", "gives each job to the first that has room"}, make_multi},
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

std::string possibilities()
{
    std::string known, combined;
    for (const Row &row : rows)
        known += (known.empty() ? "" : ", ") + std::string(row.name);
    for (const CombinationRow &row : combination_rows)
        combined += (combined.empty() ? "" : " ") + std::string(row.combination.form);
    return known + ", and made of them " + combined;
}

/// A name, and what it is given: "FAKE(depth=2)" in parentheses, "BATCH:CPU(4)" after a colon.
struct Description {
    std::string name, arguments;
    bool colon = false;
};

Description split(const std::string &text)
{
    const size_t end = text.find_first_of("(:");
    if (end == std::string::npos)
        return {text, {}};
    Description description{text.substr(0, end), text.substr(end + 1), text[end] == ':'};
    if (!description.colon) {
        if (text.back() != ')')
            throw Error("the device \"" + text + "\" lacks its closing parenthesis");
        description.arguments.pop_back();
    }
    return description;
}

std::shared_ptr<Device> make(const std::string &text)
{
    const Description description = split(text);
    const auto make_by = [&](const auto &row) {
        return in_context("device \"" + text + "\"", [&] { return row.make(description.arguments); });
    };
    for (const CombinationRow &row : combination_rows)
        if (row.combination.name == description.name)
            return make_by(row);
    for (const Row &row : rows)
        if (row.name == description.name) {
            if (description.colon)
                throw Error("the device \"" + text + "\" has a colon, but " + description.name +
                            " is not made of others; the devices are " + possibilities());
            return make_by(row);
        }
    throw Error("there is no device \"" + text + "\"; the devices are " + possibilities() +
                about_gpu(description.name));
}

} // namespace

std::shared_ptr<Device> find_device(const std::string &description)
{
    static std::recursive_mutex mutex; // devices are made of devices
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

std::vector<Combination> device_combinations()
{
    std::vector<Combination> combinations;
    for (const CombinationRow &row : combination_rows)
        combinations.push_back(row.combination);
    return combinations;
}

} // namespace leat
