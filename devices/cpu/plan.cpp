#include "plan.h"

#include "denormals.h"
#include "team.h"

#include <algorithm>
#include <cstring>

namespace leat::cpu {
namespace {

/// The job's tensor when it fits, else a new one.
void make_fit(Tensor &tensor, Type type, const Shape &shape)
{
    if (!tensor || tensor.type() != type || tensor.shape() != shape)
        tensor = Tensor(type, shape);
}

/// A kernel may hand on what it was given (If does), but memory of the plan will be used again.
bool shares_memory(const Tensor &made, std::span<const Tensor> operands)
{
    return std::any_of(operands.begin(), operands.end(), [&](const Tensor &operand) {
        return operand.raw() <= made.raw() && made.raw() < operand.raw() + std::max<size_t>(operand.bytes(), 1);
    });
}

} // namespace

void Plan::prepare(int parts)
{
    parallel_for(std::ssize(steps_), parts, [&](int64_t first, int64_t last) {
        with_one_thread([&] {
            for (const Step &step :
                 std::span(steps_).subspan(static_cast<size_t>(first), static_cast<size_t>(last - first))) {
                if (!step.kernel)
                    continue;
                try {
                    step.kernel->prepare();
                } catch (const std::exception &error) {
                    const std::string name = step.node < reports_.size() ? reports_[step.node].node : "";
                    throw Error("node \"" + name + "\": its kernel could not be made: " + error.what());
                }
            }
        });
    });
}

void Plan::place(Job &job, LaneContext &lane, State &state) const
{
    std::byte *arena = lane.scratch(arena_bytes_ + scratch_bytes_);
    state.bases.resize(buffers_.size());
    for (size_t b = 0; b < buffers_.size(); b++) {
        const Buffer &buffer = buffers_[b];
        switch (buffer.kind) {
        case Buffer::Kind::arena: state.bases[b] = arena + buffer.offset; break;
        case Buffer::Kind::input: state.bases[b] = job.inputs[buffer.index].raw(); break;
        case Buffer::Kind::output: state.bases[b] = job.outputs[buffer.index].raw(); break;
        case Buffer::Kind::constant: state.bases[b] = const_cast<std::byte *>(buffer.constant.raw()); break;
        }
    }
}

void Plan::run(Job &job, LaneContext &lane) const
{
    State &state = states_[static_cast<size_t>(lane.number)];
    state.kept.resize(steps_.size());
    job.outputs.resize(outputs_.size());
    for (size_t i = 0; i < outputs_.size(); i++)
        if (outputs_[i].second && is_static(*outputs_[i].second))
            make_fit(job.outputs[i], outputs_[i].first, *outputs_[i].second);
    place(job, lane, state);
    std::byte *scratch = lane.arena.raw() + arena_bytes_;
    if (!loose_outputs_.empty())
        state.loose.resize(graph_->values.size());

    for (size_t s = 0; s < steps_.size(); s++) {
        throw_if_cancelled(job);
        if (!profiling_) {
            run_step(steps_[s], job, state, state.kept[s], scratch);
            continue;
        }
        const auto begin = std::chrono::steady_clock::now();
        run_step(steps_[s], job, state, state.kept[s], scratch);
        const auto spent = std::chrono::steady_clock::now() - begin;
        measured_[steps_[s].node].nanoseconds += std::chrono::nanoseconds(spent).count();
    }
    if (profiling_)
        for (Measured &measured : measured_)
            measured.runs++;

    for (const LooseOutput &output : loose_outputs_) {
        Tensor &result = state.loose[output.value];
        Tensor &wanted = job.outputs[output.index];
        if (wanted && wanted.type() == result.type() && wanted.shape() == result.shape()) {
            std::memcpy(wanted.raw(), result.raw(), result.bytes());
            job.bytes_copied += result.bytes();
        } else
            wanted = result;
    }
    state.loose.clear();
}

void Plan::run_step(const Step &step, Job &job, State &state, std::shared_ptr<void> &kept, std::byte *scratch) const
{
    const DenormalsAsZero mode(!step.denormals);
    if (step.loose)
        return run_loose(step, state);
    state.in.clear();
    state.out.clear();
    for (const Place &place : step.in)
        state.in.push_back(state.bases[place.buffer] + place.offset);
    for (const Place &place : step.out)
        state.out.push_back(state.bases[place.buffer] + place.offset);
    step.kernel->run(
        {state.in, state.out, scratch, kept, std::span<const Image>(job.images).subspan(step.image, step.images)});
    if (step.images)
        job.prepared = std::chrono::steady_clock::now();
}

void Plan::run_loose(const Step &step, State &state) const
{
    const Node &node = graph_->nodes[step.node];
    std::vector<Tensor> operands;
    for (const LooseOperand &operand : step.operands) {
        if (operand.place)
            operands.push_back(
                Tensor::view(operand.type, operand.dims, state.bases[operand.place->buffer] + operand.place->offset));
        else
            operands.push_back(operand.value == no_value ? Tensor() : state.loose[operand.value]);
    }
    const std::span<const Tensor> all = operands;
    std::vector<Tensor> outputs(node.outputs.size());
    RunContext context(node, all.first(node.inputs.size()), outputs);
    run_reference(context, all.subspan(node.inputs.size()));
    for (size_t i = 0; i < outputs.size(); i++)
        if (node.outputs[i] != no_value)
            state.loose[node.outputs[i]] = shares_memory(outputs[i], operands) ? outputs[i].clone() : outputs[i];
}

std::vector<NodeReport> Plan::nodes() const
{
    std::vector<NodeReport> reports = reports_;
    for (size_t n = 0; n < reports.size() && profiling_; n++)
        if (const int64_t runs = measured_[n].runs)
            reports[n].milliseconds = static_cast<double>(measured_[n].nanoseconds) / static_cast<double>(runs) / 1e6;
    return reports;
}

} // namespace leat::cpu
