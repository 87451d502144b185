#pragma once
#include <leat/model.h>

#include <memory>

namespace leat {

/// The model, with a depth() that adapts to the latencies measured, so that their 99th percentile stays under the bound
/// when as many jobs are kept in flight as depth() says at the time (InFlightLimit). Who keeps more in flight makes it
/// fall, but not below 1. A batch does not wait for jobs that the limit keeps out. The setting `requests_in_flight` has
/// the number and the reason.
std::unique_ptr<CompiledModel> with_latency_bound(std::unique_ptr<CompiledModel>, int bound_ms);

} // namespace leat
