#include "devices/cpu/kernel.h"

#include <cstring>

namespace leat::cpu {
namespace {

class Reference final : public Kernel {
  public:
    explicit Reference(const NodeFacts &facts) : node_(facts.node)
    {
        for (const Operand &operand : facts.in)
            in_.push_back(Layout::dense(operand.layout.type, operand.layout.dims));
        out_ = facts.out;
    }

    void run(const Launch &launch) const override
    {
        std::vector<Tensor> operands, outputs;
        size_t next = 0;
        for (const Layout &in : in_)
            operands.push_back(in.type == Type::undefined
                                   ? Tensor()
                                   : Tensor::view(in.type, in.dims, const_cast<std::byte *>(launch.in[next++])));
        for (size_t i = 0; i < out_.size(); i++)
            outputs.push_back(
                out_[i].type == Type::undefined ? Tensor() : Tensor::view(out_[i].type, out_[i].dims, launch.out[i]));
        const std::span<const Tensor> all = operands;
        RunContext context(node_, all.first(node_.inputs.size()), outputs);
        run_reference(context, all.subspan(node_.inputs.size()));
        for (size_t i = 0; i < out_.size(); i++)
            deliver(outputs[i], out_[i], launch.out[i]);
    }

  private:
    const Node node_;
    std::vector<Layout> in_, out_;

    /// Kernels may put another tensor in place of the one that was offered.
    static void deliver(const Tensor &result, const Layout &wanted, std::byte *place)
    {
        if (wanted.type == Type::undefined || result.raw() == place)
            return;
        if (result.type() != wanted.type || result.shape() != wanted.dims)
            throw Error("the reference kernel made " + to_string(result.shape()) + " where shape inference says " +
                        to_string(wanted.dims));
        std::memcpy(place, result.raw(), result.bytes());
    }
};

} // namespace

Attempt attempt_reference(const NodeFacts &facts)
{
    if (!facts.node.op->reference)
        return "the op has no reference kernel";
    Choice choice;
    for (size_t i = 0; i < facts.in.size(); i++)
        if (facts.in[i])
            choice.in.push_back({i, Layout::dense(facts.in[i].layout.type, facts.in[i].layout.dims)});
    choice.out = facts.out;
    choice.post_ops = facts.node.post_ops.size();
    choice.kernel = std::make_unique<Reference>(facts);
    return choice;
}

} // namespace leat::cpu
