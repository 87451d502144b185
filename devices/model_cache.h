#pragma once
#include "inference/device.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace leat {

/// A folder of stored models that is used by any number of processes at a time. A file's time of change is that of its
/// last use. What fails in it is said once as a warning, and the caller does without.
///
/// What was found out by reading a large file, its hash or that its checksum is right, is noted in a file of its own,
/// and holds as long as the machine runs and the file has the same inode, size and times.
class ModelCache {
  public:
    /// `capacity`: bytes that the files may take together.
    ModelCache(std::filesystem::path folder, uint64_t capacity) : folder_(std::move(folder)), capacity_(capacity) {}

    /// The file of that key, marked as used. Nothing when there is none, and, with a warning, when it is damaged or
    /// from another version.
    std::optional<StoredModel> find(const std::string &key) const;
    /// Its Hash::digits(). `now`: a file that was written to within the minute before might be written to once more
    /// without a trace in its times. Throws Error without the path.
    std::string hash_of_file(const std::filesystem::path &,
                             std::chrono::system_clock::time_point now = std::chrono::system_clock::now()) const;
    /// Writes the file of that key, and then removes those whose last use is longest ago until the rest fits.
    void keep(const std::string &key, const StoredModel &) const;

  private:
    const std::filesystem::path folder_;
    const uint64_t capacity_;

    std::filesystem::path path_of(const std::string &key) const;
    /// Nothing when nothing is noted under that key of a file in that state.
    std::optional<std::string> noted(const std::string &key, const std::string &state) const;
    void note(const std::string &key, const std::string &state, const std::string &what) const;
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
