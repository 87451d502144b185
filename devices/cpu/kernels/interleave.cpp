#include "devices/cpu/kernel.h"
#include "devices/cpu/strided.h"
#include "devices/cpu/team.h"
#include "interleave_rows.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace leat::cpu {
namespace {

/// Operands of which the elements of the axis lie side by side, whatever lies between the rows.
class Interleave final : public Kernel {
  public:
    Interleave(const std::vector<Reads> &in, const Layout &out, size_t axis, int threads)
        : element_(size_of(out.type)), threads_(threads)
    {
        loops_.sizes = in[0].layout.dims;
        rows_.length = std::exchange(loops_.sizes[axis], 1);
        for (const Reads &reads : in)
            loops_.strides.push_back(reads.layout.strides);
        loops_.strides.push_back(out.strides);
        loops_.simplify(in.size());
        for (auto &strides : loops_.strides)
            for (int64_t &stride : strides)
                stride *= static_cast<int64_t>(element_);
        rows_.operands = in.size();
        for (size_t k = 0; k < in.size(); k++)
            rows_.from_step[k] = loops_.strides[k].back();
        rows_.to_step = loops_.strides.back().back();
    }

    void run(const Launch &launch) const override
    {
        parallel_for(loops_.count(), threads_, [&](int64_t first, int64_t last) {
            const int64_t in_loop = loops_.sizes.back();
            InterleavedRows rows = rows_;
            for (int64_t row = first; row < last; row += rows.rows) {
                std::array<int64_t, most_interleaved + 1> at{};
                loops_.offsets(row, loops_.depth(), std::span(at).first(rows.operands + 1));
                for (size_t k = 0; k < rows.operands; k++)
                    rows.from[k] = launch.in[k] + at[k];
                rows.to = launch.out[0] + at[rows.operands];
                rows.rows = std::min(in_loop - row % in_loop, last - row);
                interleave_rows(rows, element_);
            }
        });
    }

  private:
    size_t element_;
    int threads_;
    Loops loops_; // operands, output; strides in bytes
    InterleavedRows rows_;
};

} // namespace

Attempt attempt_interleave(const NodeFacts &facts)
{
    const auto operands = std::span(facts.in).first(facts.node.inputs.size());
    if (operands.size() > most_interleaved)
        return "it has more than " + std::to_string(most_interleaved) + " operands";
    const Layout &dense = facts.out[0];
    if (size_of(dense.type) > 4)
        return "its elements are longer than 4 bytes";
    const size_t axis = normal_axis(facts.attributes().integer("axis", 0), dense.rank());
    const auto in_line = [&](const Operand &operand) { return operand.layout.strides[axis] == 1; };
    const auto leader = std::find_if(operands.begin(), operands.end(), in_line);
    if (leader == operands.end())
        return "the elements of its axis do not lie side by side";
    Choice choice;
    choice.out = {Layout::like(leader->layout, dense.type, dense.dims)};
    if (choice.out[0].strides[axis] != 1)
        return "its axis is not the innermost";
    for (size_t i = 0; i < operands.size(); i++) {
        const Layout &in = operands[i].layout;
        choice.in.push_back({i, in_line(operands[i]) ? in : Layout::like(leader->layout, in.type, in.dims)});
    }
    choice.kernel = std::make_unique<Interleave>(choice.in, choice.out[0], axis, facts.threads);
    return choice;
}

} // namespace leat::cpu
