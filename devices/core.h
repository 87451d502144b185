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
/// it and the file has not changed. Throws Error naming the file.
std::shared_ptr<const Graph> read_shared(const std::string &path, const std::map<std::string, Dimensions> &shapes = {});

/// A picture input: which port, and what it wants.
struct ImageInput {
    std::string name;
    ImageSpec spec;
    bool operator==(const ImageInput &) const = default;
};

/// Compiles, or returns what somebody holds already for the same graph, device, options and image input.
std::shared_ptr<CompiledModel> compile_shared(std::shared_ptr<const Graph>, const std::string &device, const Options &,
                                              const std::optional<ImageInput> &);

} // namespace leat
