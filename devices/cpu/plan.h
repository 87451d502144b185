#pragma once
#include "devices/cpu/kernel.h"
#include "devices/cpu/lanes.h"

#include <leat/model.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace leat::cpu {

/// Memory of a plan, and where it comes from.
struct Buffer {
    enum class Kind { arena, input, output, constant } kind = Kind::arena;
    size_t index = 0;  ///< of the job's input or output
    Tensor constant{}; ///< kind constant
    size_t bytes = 0;
    int first = 0, last = 0; ///< steps that touch it
    size_t offset = 0;       ///< in the arena
};

struct Place {
    size_t buffer = 0;
    size_t offset = 0; ///< bytes
};

/// What a step of unknown shapes reads: a value made at run time, or a dense one of the plan.
struct LooseOperand {
    ValueId value = no_value;
    std::optional<Place> place;
    Type type = Type::undefined;
    Shape dims{};
};

struct Measured {
    std::atomic<int64_t> nanoseconds{0}, runs{0};
};

/// One kernel call, or the reference kernel of a node whose shapes only the run knows.
struct Step {
    std::unique_ptr<Kernel> kernel;
    std::vector<Place> in, out;
    size_t scratch = 0;
    size_t image = 0, images = 0; ///< the first in Job::images, and how many
    size_t node = 0;              ///< on whose behalf
    bool denormals = true;        ///< whether it computes with such numbers; else they are zero
    bool loose = false;
    std::vector<LooseOperand> operands; ///< of a loose step: the node's inputs, then those of its post-ops
};

/// The graph as those see it who no longer calculate: what was constant has a shape and no elements.
std::shared_ptr<const Graph> without_constants(const Graph &);

/// A graph made ready to run with inputs of certain shapes. Immutable; the lanes' own states lie beside it.
class Plan {
  public:
    /// Throws Error that names the node. The graph's shapes are inferred; `threads` will run each job. `notes`: by name
    /// of node, why it computes in the type that it does, for its report.
    static std::shared_ptr<Plan> make(std::shared_ptr<const Graph>, Weights &, int threads, int lanes, bool profiling,
                                      const std::map<std::string, std::string> &notes);
    /// Prepares the kernels: most of the time that a plan takes to be made, and `parts` of it may run at once on the
    /// threads that the caller leads. Once, before the first run. Throws Error that names the node.
    void prepare(int parts);
    int steps() const { return static_cast<int>(steps_.size()); }

    /// Inputs are checked already. Throws what a kernel throws.
    void run(Job &, LaneContext &) const;
    std::vector<NodeReport> nodes() const;
    size_t arena_bytes() const { return arena_bytes_; }

  private:
    friend class Lowering;
    struct State {
        std::vector<std::shared_ptr<void>> kept; ///< by step
        std::vector<std::byte *> bases;          ///< by buffer
        std::vector<const std::byte *> in;
        std::vector<std::byte *> out;
        std::vector<Tensor> loose; ///< by value
    };
    struct LooseOutput {
        size_t index;
        ValueId value;
    };

    std::shared_ptr<const Graph> graph_;
    std::vector<Buffer> buffers_;
    std::vector<Step> steps_;
    std::vector<NodeReport> reports_; ///< by node
    std::vector<LooseOutput> loose_outputs_;
    std::vector<std::pair<Type, std::optional<Shape>>> outputs_;
    size_t arena_bytes_ = 0, scratch_bytes_ = 0;
    bool profiling_ = false;
    mutable std::vector<State> states_;      ///< by lane, each used by its lane only
    mutable std::vector<Measured> measured_; ///< by node

    void place(Job &, LaneContext &, State &) const;
    void run_step(const Step &, Job &, State &, std::shared_ptr<void> &kept, std::byte *scratch) const;
    void run_loose(const Step &, State &) const;
};

} // namespace leat::cpu
