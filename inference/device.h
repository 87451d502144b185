#pragma once
#include "graph.h"
#include "stored_model.h"

#include <leat/model.h>
#include <leat/options.h>

#include <memory>
#include <string>

namespace leat {

/// The part of a device that compiles in two steps, of which the result of the first can be stored.
class StagedCompiler {
  public:
    virtual ~StagedCompiler() = default;
    /// What the first step depends on besides graph and options, for people: "oneDNN 2.6 on AVX-512".
    virtual std::string target() const = 0;
    /// The first step: everything that is the same each time. Throws Error as Device::compile().
    virtual Compilation prepare(Graph, const Options &) const = 0;
    /// The second step. Packed constants that are there are used in place. `completed` gets what it found out besides,
    /// so that the next need not: packed constants, types of nodes. Where it is absent, constants go as they are
    /// packed. Throws Error as Device::compile().
    virtual std::unique_ptr<CompiledModel> build(Compilation, const Options &, Compilation *completed) const = 0;
};

/// Something that runs graphs. Lives as long as the process; every function may be called from any thread.
class Device {
  public:
    virtual ~Device() = default;
    virtual std::string name() const = 0;
    /// One line for people: the hardware and what it can do.
    virtual std::string description() const = 0;
    /// "" = can run the node, else one sentence why not.
    virtual std::string why_not(const Graph &, const Node &) const = 0;
    /// How many jobs are worth joining to one (a batch). 1: single ones run as fast. 0: the device is made of others.
    virtual int optimal_batch() const { return 1; }
    /// Throws Error that names the node and the cure. The graph is as read or with image inputs put before it, not yet
    /// optimised.
    virtual std::unique_ptr<CompiledModel> compile(Graph, const Options &) = 0;
    /// Nothing for devices whose compiled models cannot be stored.
    virtual const StagedCompiler *staged() const { return nullptr; }
};

} // namespace leat
