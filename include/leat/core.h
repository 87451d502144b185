#pragma once
#include <leat/error.h>
#include <leat/model.h>
#include <leat/options.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace leat {

struct Graph;

/// A model as read from its file, before any device has seen it. Cheap to copy.
class Model {
  public:
    /// `path`: of the file that the graph was read from. `read_with`: how.
    explicit Model(std::shared_ptr<const Graph> graph, std::string path = {}, Options read_with = {})
        : graph_(std::move(graph)), path_(std::move(path)), options_(std::move(read_with))
    {
    }
    std::vector<Port> inputs() const;
    std::vector<Port> outputs() const;
    const std::map<std::string, std::string> &metadata() const;
    /// The same model with other input sizes; inputs not named keep theirs. The model's file is read again, because
    /// what was computed from the sizes in it would not hold; that, too, is kept in the cache_dir with which it was
    /// read first. Throws Error that names the input, or the node that does not allow the sizes.
    Model reshaped(const std::map<std::string, Dimensions> &) const;
    /// The file that it was read from; empty for one made in memory.
    const std::string &path() const { return path_; }
    const Graph &graph() const { return *graph_; }
    const std::shared_ptr<const Graph> &shared_graph() const & { return graph_; }
    std::shared_ptr<const Graph> shared_graph() && { return std::move(graph_); }

  private:
    std::shared_ptr<const Graph> graph_;
    std::string path_;
    Options options_;                            ///< with which it is read
    std::map<std::string, Dimensions> shapes_{}; ///< that it was reshaped to
};

/// Reads models, knows the devices, and shares compiled models. Every function may be called from any thread.
class Core {
  public:
    /// Reads a model file: ONNX, OpenVINO IR (the .xml, with its .bin beside it), or what `leat compile` wrote, told by
    /// its first bytes. Throws
    /// Error that names file, node and cure.
    /// The reader's work is kept, too, in the cache_dir of the options.
    static Model read_model(const std::string &path, const Options & = {});
    /// Names that `compile_model` takes: "CPU", "REF", "FAKE" and combinations.
    static std::vector<std::string> available_devices();
    /// Throws Error that names the node and the cure. Equal (model, device, options) give the same compiled model while
    /// somebody holds it. Of a model that is moved in, weights go while the device makes them its own: that takes less
    /// memory.
    static std::shared_ptr<CompiledModel> compile_model(Model, const std::string &device = "CPU", const Options & = {});
};

} // namespace leat
