#include "devices/cpu/kernel.h"
#include "devices/cpu/team.h"

#include <algorithm>
#include <array>
#include <bit>

namespace leat::cpu {
namespace {

/// The largest or smallest numbers of rows, in order, of equal ones the first first, and NaN above all numbers.
class TopK final : public Kernel {
  public:
    TopK(int64_t rows, int64_t length, int64_t count, bool largest, std::array<bool, 2> wanted, int threads)
        : rows_(rows), length_(length), count_(count), largest_(largest), wanted_(wanted), threads_(threads)
    {
    }

    void run(const Launch &launch) const override
    {
        const auto *x = reinterpret_cast<const float *>(launch.in[0]);
        auto *values = reinterpret_cast<float *>(launch.out[0]);
        auto *indices = wanted_[1] ? reinterpret_cast<int64_t *>(launch.out[1]) : nullptr;
        parallel_for(rows_, threads_, [&](int64_t first, int64_t last) {
            std::vector<uint64_t> keys(static_cast<size_t>(length_));
            for (int64_t row = first; row < last; row++) {
                const float *from = x + row * length_;
                select(keys, from);
                for (int64_t i = 0; i < count_; i++) {
                    const auto at = static_cast<int64_t>(keys[static_cast<size_t>(i)] & 0xffffffff);
                    if (wanted_[0])
                        values[row * count_ + i] = from[at];
                    if (wanted_[1])
                        indices[row * count_ + i] = at;
                }
            }
        });
    }

  private:
    int64_t rows_, length_, count_;
    bool largest_;
    std::array<bool, 2> wanted_; ///< values, indices
    int threads_;

    /// Sorts before every key of a number that comes later: the number's rank above, its index below.
    uint64_t key(float number, int64_t index) const
    {
        constexpr uint32_t sign = 0x80000000, highest = 0xffffffff;
        const auto bits = std::bit_cast<uint32_t>(number == 0 ? 0.f : number); // both zeros are equal
        const uint32_t ascending = number != number ? highest : (bits & sign) != 0 ? ~bits : bits | sign;
        const uint32_t rank = largest_ ? ~ascending : ascending;
        return uint64_t{rank} << 32 | static_cast<uint64_t>(index);
    }

    void select(std::vector<uint64_t> &keys, const float *from) const
    {
        for (int64_t i = 0; i < length_; i++)
            keys[static_cast<size_t>(i)] = key(from[i], i);
        const auto end = keys.begin() + static_cast<ptrdiff_t>(count_);
        if (count_ < length_)
            std::nth_element(keys.begin(), end, keys.end());
        std::sort(keys.begin(), end);
    }
};

} // namespace

Attempt attempt_top_k(const NodeFacts &facts)
{
    if (facts.type(0) != Type::f32)
        return "not f32";
    const auto &made = facts.node.outputs;
    const std::array wanted{made[0] != no_value, made.size() > 1 && made[1] != no_value};
    const Shape &in = facts.dims(0), &out = facts.out[wanted[0] ? 0 : 1].dims;
    const size_t axis = normal_axis(facts.attributes().integer("axis", -1), in.size());
    if (count_of({in.begin() + static_cast<ptrdiff_t>(axis) + 1, in.end()}) != 1)
        return "what it searches does not lie side by side";
    if (in[axis] < 1 || in[axis] > 1 << 30)
        return "the axis is empty or very long";
    Choice choice;
    choice.in = {{0, Layout::dense(Type::f32, in)}};
    choice.out = {Layout::dense(Type::f32, out), Layout::dense(Type::s64, out)};
    choice.out.resize(made.size());
    choice.kernel = std::make_unique<TopK>(count_of(in) / in[axis], in[axis], out[axis],
                                           facts.attributes().integer("largest", 1) != 0, wanted, facts.threads);
    return choice;
}

} // namespace leat::cpu
