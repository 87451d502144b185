#pragma once
#include <leat/options.h>

#include <memory>

namespace leat {

class Device;

/// Which devices the models of AUTO are on, in this process: a model stays off those that models of a higher priority
/// use. Both may be called from any thread.

/// Held while a model of that priority is on the device, or is being compiled for it.
std::shared_ptr<void> claim(const Device &, ModelPriority);
/// Whether a model of a higher priority holds one.
bool is_claimed_above(const Device &, ModelPriority);

} // namespace leat
