#pragma once
#include "inference/graph.h"
#include "inference/image_spec.h"

#include <leat/model.h>
#include <leat/options.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

namespace leat {

/// The graph in that file, with the shapes of inputs that are given in place of the file's; shared while somebody holds
/// it and the file has not changed, and kept in the cache_dir of the options. Throws Error naming the file.
std::shared_ptr<const Graph> read_shared(const std::string &path, const std::map<std::string, Dimensions> &shapes = {},
                                         const Options & = {});

/// A picture input: which port, and what it wants.
struct ImageInput {
    std::string name;
    ImageSpec spec;
    bool operator==(const ImageInput &) const = default;
};

/// Compiles, or returns what somebody holds already for the same graph, or one that was read from the same file,
/// device, options and image input, or what is stored in `path`, the file that the graph was read from, or in the
/// cache_dir of the options. The graph of a file is not held: compiled models have the weights in a form of their own.
std::shared_ptr<CompiledModel> compile_shared(std::shared_ptr<const Graph>, const std::string &device, const Options &,
                                              const std::optional<ImageInput> &, const std::string &path = {});

} // namespace leat
