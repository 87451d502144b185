#pragma once
#include <leat/model.h>

#include <functional>
#include <memory>

namespace leat {

/// Makes the model again, so that at most `streams` jobs run side by side. On a thread of its own.
using ModelOfStreams = std::function<std::unique_ptr<CompiledModel>(int streams)>;

/// The model, with a depth() that adapts to the latencies measured, so that their 99th percentile stays under the bound
/// when as many jobs are kept in flight as depth() says at the time (InFlightLimit). Who keeps more in flight makes it
/// fall, but not below 1. A batch does not wait for jobs that the limit keeps out. The setting `requests_in_flight` has
/// the number and the reason.
///
/// Where even one job at a time is late, the model is made again with fewer streams, each with more of the device, and
/// takes the place of the one before when it is ready (StreamChoice). Jobs that run end where they were begun. `make`
/// may be absent, and is not called for a model whose setting `num_streams` is 1 or missing.
std::unique_ptr<CompiledModel> with_latency_bound(std::unique_ptr<CompiledModel>, int bound_ms, ModelOfStreams make);

} // namespace leat
