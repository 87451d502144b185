#include "multi.h"
#include "batch.h"
#include "device_claims.h"
#include "devices.h"
#include "pool.h"

#include <leat/error.h>

#include <algorithm>

namespace leat {
namespace {

/// The items between commas that stand outside of parentheses. Throws Error when one is empty or named twice.
std::vector<std::string> split_names(const std::string &list, const std::string &cure)
{
    std::vector<std::string> names(1);
    int depth = 0;
    for (char c : list) {
        depth += (c == '(') - (c == ')');
        if (c == ',' && depth == 0)
            names.emplace_back();
        else
            names.back() += c;
    }
    for (const std::string &name : names)
        if (name.empty())
            throw Error("a device is missing in its list \"" + list + "\"; " + cure);
        else if (std::count(names.begin(), names.end(), name) > 1)
            throw Error("the device " + name + " is named twice; " + cure);
    return names;
}

/// A device that is a pool of others.
class PoolDevice final : public Device {
  public:
    PoolDevice(std::string name, std::string what, PoolPolicy policy, std::vector<NamedDevice> devices)
        : name_(std::move(name)), what_(std::move(what)), policy_(policy), devices_(std::move(devices))
    {
    }
    std::string name() const override { return name_; }
    std::string description() const override
    {
        std::string names;
        for (const NamedDevice &each : devices_)
            names += (names.empty() ? "" : ", ") + each.name;
        return what_ + " of " + names;
    }
    std::string why_not(const Graph &graph, const Node &node) const override { return why_none(devices_, graph, node); }
    int optimal_batch() const override { return 0; }
    std::unique_ptr<CompiledModel> compile(Graph graph, const Options &options) override
    {
        const auto shared = std::make_shared<const Graph>(std::move(graph));
        const bool best = policy_ == PoolPolicy::best;
        const auto [devices, left] = best ? in_order(options.model_priority) : std::pair(devices_, size_t(0));
        std::vector<Candidate> candidates;
        for (const NamedDevice &each : devices) {
            Candidate &made = candidates.emplace_back();
            made.name = each.name;
            made.compile = [device = each.device, shared, options] { return compile_on(*device, *shared, options); };
            if (best)
                made.claim = [device = each.device, options] { return claim(*device, options.model_priority); };
            if (candidates.size() > devices.size() - left)
                made.note = "a model of a higher model_priority is on it";
        }
        const auto cpu = std::find_if(devices.begin(), devices.end(),
                                      [](const NamedDevice &each) { return each.device->name() == "CPU"; });
        return make_pool(std::move(candidates), policy_, options.num_requests,
                         static_cast<size_t>(cpu - devices.begin()));
    }

  private:
    const std::string name_, what_;
    const PoolPolicy policy_;
    const std::vector<NamedDevice> devices_;

    /// The devices as a model of that priority may have them: those that models of a higher one are on come last, and
    /// so many they are. When they are on all, the last device comes first.
    std::pair<std::vector<NamedDevice>, size_t> in_order(ModelPriority priority) const
    {
        std::vector<NamedDevice> devices = devices_;
        const auto left = std::stable_partition(devices.begin(), devices.end(), [&](const NamedDevice &each) {
            return !is_claimed_above(*each.device, priority);
        });
        if (left == devices.begin())
            std::rotate(devices.begin(), devices.end() - 1, devices.end());
        return {devices, static_cast<size_t>(devices.end() - left)};
    }
};

} // namespace

std::vector<NamedDevice> devices_of(const std::string &list, const std::string &cure)
{
    std::vector<NamedDevice> devices;
    for (const std::string &name : split_names(list, cure))
        devices.push_back({name, find_device(name)});
    return devices;
}

std::string why_none(std::span<const NamedDevice> devices, const Graph &graph, const Node &node)
{
    std::string reasons;
    for (const NamedDevice &each : devices) {
        const std::string reason = each.device->why_not(graph, node);
        if (reason.empty())
            return "";
        reasons += (reasons.empty() ? "" : "; ") + each.name + ": " + reason;
    }
    return reasons;
}

std::shared_ptr<Device> make_multi(std::vector<NamedDevice> devices)
{
    return std::make_shared<PoolDevice>("MULTI", "gives each job to the first that has room", PoolPolicy::every,
                                        std::move(devices));
}

std::shared_ptr<Device> make_multi(const std::string &arguments)
{
    const std::string cure = "want devices by priority, such as MULTI:CPU,REF";
    if (arguments.empty())
        throw Error("no devices are named; " + cure);
    return make_multi(devices_of(arguments, cure));
}

std::shared_ptr<Device> make_auto(std::vector<NamedDevice> devices)
{
    return std::make_shared<PoolDevice>("AUTO", "takes the first that can run the model", PoolPolicy::best,
                                        std::move(devices));
}

std::shared_ptr<Device> make_auto(const std::string &arguments)
{
    return make_auto(
        devices_of(arguments.empty() ? "CPU" : arguments, "want devices by priority, such as AUTO:CPU,REF"));
}

} // namespace leat
