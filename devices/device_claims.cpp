#include "device_claims.h"

#include <mutex>
#include <set>
#include <utility>

namespace leat {
namespace {

struct Claims {
    std::mutex mutex;
    std::multiset<std::pair<const Device *, ModelPriority>> all;
};

/// Never destroyed: models may outlive the end of main().
Claims &claims()
{
    static Claims &made = *new Claims;
    return made;
}

} // namespace

std::shared_ptr<void> claim(const Device &device, ModelPriority priority)
{
    Claims &to = claims();
    std::lock_guard lock(to.mutex);
    const auto place = to.all.insert({&device, priority});
    return {&to, [place](Claims *from) {
                std::lock_guard held(from->mutex);
                from->all.erase(place);
            }};
}

bool is_claimed_above(const Device &device, ModelPriority priority)
{
    Claims &of = claims();
    std::lock_guard lock(of.mutex);
    const auto higher = of.all.upper_bound({&device, priority});
    return higher != of.all.end() && higher->first == &device;
}

} // namespace leat
