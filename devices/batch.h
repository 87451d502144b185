#pragma once
#include "inference/device.h"

#include <filesystem>
#include <memory>
#include <string>

namespace leat {

/// Compiles for the device. Jobs are joined to batches where the options name a batch size, or the hint is throughput
/// and the device gains by it; settings() says which and why. Throws Error as Device::compile() does, but not when
/// the model cannot be batched: then jobs run one by one, and a setting says which node stands against it.
///
/// Jobs are joined in the order in which they come, whoever sends them. A full batch starts at once. Those of one that
/// does not fill start as single jobs when the oldest has waited for `Options::batch_timeout_ms`, or when flush() says
/// that no more will come. The jobs of a batch that fails run again one by one, so that only the faulty ones fail.
///
/// What was compiled before may come from `path`, the model's file, or from the cache: see compile_cached().
std::unique_ptr<CompiledModel> compile_on(Device &, Graph, const Options &, const std::filesystem::path &path = {});

/// BATCH: joins jobs for another device. `size` 0: as many as that device gains by.
std::shared_ptr<Device> make_batch(std::shared_ptr<Device>, int size);
/// From "CPU(4)" or "CPU". Throws Error.
std::shared_ptr<Device> make_batch(const std::string &arguments);

} // namespace leat
