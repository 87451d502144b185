#include "devices/cpu/kernel.h"
#include "devices/cpu/strided.h"
#include "devices/cpu/team.h"

#include <algorithm>
#include <array>

namespace leat::cpu {
namespace {

/// Index of the largest (or smallest) element along an axis of any layout, for many neighbours at a time.
class Arg final : public Kernel {
  public:
    Arg(const Layout &in, size_t axis, const Layout &out, bool largest, int threads)
        : length_(in.dims[axis]), stride_(in.strides[axis]), sign_(largest ? 1.f : -1.f), threads_(threads)
    {
        loops_ = {in.dims, {in.strides, out.strides}};
        loops_.sizes[axis] = 1;
        loops_.simplify(1);
    }

    void run(const Launch &launch) const override
    {
        const size_t outer = loops_.depth() - 1;
        const int64_t side = loops_.sizes.back(), parts = (side + block - 1) / block;
        parallel_for(loops_.turns(outer) * parts, threads_, [&](int64_t first, int64_t last) {
            std::array<int64_t, 2> at{};
            for (int64_t turn = first; turn < last; turn++) {
                loops_.offsets(turn / parts, outer, at);
                const int64_t begin = turn % parts * block;
                find(reinterpret_cast<const float *>(launch.in[0]) + at[0] + begin * loops_.strides[0].back(),
                     reinterpret_cast<int64_t *>(launch.out[0]) + at[1] + begin * loops_.strides[1].back(),
                     std::min(block, side - begin));
            }
        });
    }

  private:
    static constexpr int64_t block = 128;
    int64_t length_, stride_;
    float sign_;
    int threads_;
    Loops loops_; // all axes but the one that is searched: input, output

    void find(const float *in, int64_t *out, int64_t count) const
    {
        std::array<float, block> best;
        std::array<int32_t, block> index{};
        const int64_t step = loops_.strides[0].back(), out_step = loops_.strides[1].back();
        for (int64_t i = 0; i < count; i++)
            best[static_cast<size_t>(i)] = sign_ * in[i * step];
        for (int64_t k = 1; k < length_; k++)
            for (int64_t i = 0; i < count; i++) {
                const float value = sign_ * in[k * stride_ + i * step];
                const auto at = static_cast<size_t>(i);
                index[at] = value > best[at] ? static_cast<int32_t>(k) : index[at];
                best[at] = value > best[at] ? value : best[at];
            }
        for (int64_t i = 0; i < count; i++)
            out[i * out_step] = index[static_cast<size_t>(i)];
    }
};

} // namespace

Attempt attempt_arg(const NodeFacts &facts)
{
    if (facts.type(0) != Type::f32)
        return "not f32";
    if (facts.attributes().integer("select_last_index", 0) != 0)
        return "it wants the last of equal ones";
    const Layout &in = facts.in[0].layout;
    const size_t axis = normal_axis(facts.attributes().integer("axis", 0), in.rank());
    if (in.dims[axis] < 1 || in.dims[axis] > 1 << 30)
        return "the axis is empty or very long";
    Shape dims = in.dims;
    dims[axis] = 1;
    const Layout wide = Layout::like(in, Type::s64, dims);
    const auto out = reshaped(wide, facts.out[0].dims);
    if (!out)
        return "the axes that stay do not lie side by side";
    Choice choice;
    choice.in = {{0, in}};
    choice.out = {*out};
    choice.kernel = std::make_unique<Arg>(in, axis, wide, facts.node.op->name == "ArgMax", facts.threads);
    return choice;
}

} // namespace leat::cpu
