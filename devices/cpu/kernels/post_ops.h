#pragma once
#include "devices/cpu/onednn.h"

#include <functional>

namespace leat::cpu::onednn {

/// Post-ops of a node as far as oneDNN runs them inside a primitive without leaving its fast paths: unary ones it
/// knows, one sum with a tensor of the output's sizes, and constants by channel or for all. The rest is for the
/// lowering.
struct FusedPostOps {
    dnnl::post_ops ops;
    size_t count = 0;          ///< how many of the node's
    Type made = Type::f32;     ///< what the output is after them; the primitive rounds once, at its end
    std::optional<size_t> sum; ///< operand (index into NodeFacts::in) that the output starts with
    std::vector<PrimitiveKernel::Argument> arguments; ///< constants
};

/// Where the primitive sees the channels of the output: the node's axis, and the primitive's own rank and axis.
struct Channels {
    size_t axis, rank, primitive_axis;
};

/// At most the first `limit`.
FusedPostOps fuse_post_ops(const NodeFacts &, Channels, size_t limit);

/// What `attempt` gives, or why oneDNN refused it.
template <class F> Attempt or_refusal(F attempt)
{
    try {
        return attempt();
    } catch (const dnnl::error &error) {
        return std::string("oneDNN refuses it: ") + error.what();
    }
}

struct Fused {
    Made made;
    FusedPostOps post_ops;
};

/// The primitive that `make(attributes, type of its output)` gives with as many of the post-ops as it can take without
/// falling back to loops that are not optimised. Throws dnnl::error when there is none at all.
Fused make_fused(const NodeFacts &, Channels, const std::function<Made(const dnnl::primitive_attr &, Type)> &make);

/// The same places for elements of that type.
Layout typed(Layout, Type);

/// Kernel of a primitive with the usual arguments, and the sum operand as what the output starts with. `in`: what the
/// primitive reads at run time. `seen`: the output as the primitive sees it.
Choice choose(const Made &, std::vector<PrimitiveKernel::Argument> arguments, std::vector<Reads> in, const Layout &out,
              const Layout &seen, FusedPostOps);

} // namespace leat::cpu::onednn
