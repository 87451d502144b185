#pragma once
#include "graph.h"

#include <leat/model.h>
#include <leat/options.h>

#include <memory>
#include <string>

namespace leat {

/// Something that runs graphs. Lives as long as the process; every function may be called from any thread.
class Device {
  public:
    virtual ~Device() = default;
    virtual std::string name() const = 0;
    /// One line for people: the hardware and what it can do.
    virtual std::string description() const = 0;
    /// "" = can run the node, else one sentence why not.
    virtual std::string why_not(const Graph &, const Node &) const = 0;
    /// Throws Error that names the node and the cure. The graph is as read or with image inputs put before it, not yet
    /// optimised.
    virtual std::unique_ptr<CompiledModel> compile(Graph, const Options &) = 0;
};

} // namespace leat
