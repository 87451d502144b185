#pragma once
#include "inference/device.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace leat {

/// A folder of stored models that is used by any number of processes at a time. A file's time of change is that of its
/// last use. Nothing here throws: what fails is said once as a warning, and the caller does without.
class ModelCache {
  public:
    /// `capacity`: bytes that the files may take together.
    ModelCache(std::filesystem::path folder, uint64_t capacity) : folder_(std::move(folder)), capacity_(capacity) {}

    /// The file of that key, marked as used. Nothing when there is none, and, with a warning, when it is damaged or
    /// from another version.
    std::optional<StoredModel> find(const std::string &key) const;
    /// Writes the file of that key, and then removes those whose last use is longest ago until the rest fits.
    void keep(const std::string &key, const StoredModel &) const;

  private:
    const std::filesystem::path folder_;
    const uint64_t capacity_;

    std::filesystem::path path_of(const std::string &key) const;
    void remove_oldest() const;
};

/// Reads a graph with the further files that it is made of.
using ReadGraph = std::function<Graph(std::vector<std::filesystem::path> *data_files)>;

/// What `read` gives for that model file, or what is kept of that in the cache_dir of the options; `how`: all but the
/// bytes of the files that the graph depends on. Throws what `read` throws.
Graph read_cached(const std::filesystem::path &model, const std::string &how, const Options &, const ReadGraph &read);

/// Compiles, or restores what is stored in the model's own file `path` (which may be empty, or no stored model) or in
/// the cache_dir of the options, and keeps there what was compiled. settings() of the model say which. Throws Error as
/// Device::compile().
std::unique_ptr<CompiledModel> compile_cached(Device &, Graph, const Options &, const std::filesystem::path &path);

/// Writes a file that read_model_file() reads as `source` and that spares compiling `graph`, which is `source` or made
/// from it, for that device. Throws Error when the device's models cannot be stored, or naming the file.
void store_compiled(const Device &, const Graph &source, const Graph &graph, const Options &,
                    const std::filesystem::path &target);

} // namespace leat
