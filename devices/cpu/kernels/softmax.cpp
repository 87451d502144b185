#include "devices/cpu/kernel.h"
#include "devices/cpu/strided.h"
#include "devices/cpu/team.h"
#include "elementwise.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace leat::cpu {
namespace {

/// Softmax (or its logarithm) along one axis of any layout. Long rows that lie in one piece are done one by one; else
/// many side by side: each vector holds the same element of neighbouring rows.
class Softmax final : public Kernel {
  public:
    Softmax(const Layout &layout, size_t axis, bool logarithm, int threads)
        : floats_{layout.type}, length_(layout.dims[axis]), stride_(layout.strides[axis]), logarithm_(logarithm),
          threads_(threads)
    {
        loops_ = {layout.dims, {layout.strides}};
        loops_.sizes[axis] = 1;
        loops_.simplify(0);
        by_row_ = stride_ == 1 && length_ >= most_lanes;
    }

    size_t scratch() const { return static_cast<size_t>(threads_ * part_bytes()); }

    void run(const Launch &launch) const override
    {
        const size_t outer = loops_.depth() - 1;
        const int64_t side = loops_.sizes.back(), parts = (side + block - 1) / block;
        const int64_t turns = loops_.turns(outer) * parts;
        parallel_parts(threads_, [&](int64_t part) {
            auto *scratch = reinterpret_cast<float *>(launch.scratch + part * part_bytes());
            std::array<int64_t, 1> at{};
            for (int64_t turn = turns * part / threads_; turn < turns * (part + 1) / threads_; turn++) {
                loops_.offsets(turn / parts, outer, at);
                const int64_t begin = turn % parts * block, count = std::min(block, side - begin);
                const int64_t offset = (at[0] + begin * loops_.strides[0].back()) * floats_.element();
                const std::byte *in = launch.in[0] + offset;
                std::byte *out = launch.out[0] + offset;
                if (by_row_)
                    one_by_one(in, out, count, scratch);
                else if (floats_.type == Type::f32)
                    rows<float>(in, out, count, scratch);
                else
                    rows<BFloat16>(in, out, count, scratch);
            }
        });
    }

  private:
    static constexpr int64_t block = 128;
    Floats floats_;
    int64_t length_, stride_;
    bool logarithm_, by_row_;
    int threads_;
    Loops loops_; // all axes but the one of the softmax
    Apply sub_ = vector_function(Function::sub), exp_ = vector_function(Function::exp),
          mul_ = vector_function(Function::mul), add_ = vector_function(Function::add),
          max_ = vector_function(Function::max), log_ = vector_function(Function::log),
          reciprocal_ = vector_function(Function::reciprocal);

    int64_t part_bytes() const
    {
        return in_lines((by_row_ ? length_ : (length_ + 2) * block) * static_cast<int64_t>(sizeof(float)));
    }

    void one_by_one(const std::byte *from, std::byte *to, int64_t count, float *scratch) const
    {
        const int64_t step = loops_.strides[0].back();
        if (!logarithm_)
            return vector_softmax({floats_.type, floats_.type, {}, {}, length_, step}, to, from, count, scratch);
        for (int64_t i = 0; i < count; i++, from += step * floats_.element(), to += step * floats_.element()) {
            const float *in = floats_.read(from, length_, scratch);
            float *out = floats_.made(to, scratch);
            logarithms(in, out);
            floats_.write(to, out, length_);
        }
    }

    void logarithms(const float *in, float *out) const
    {
        const float highest = vector_max(in, length_);
        sub_(out, in, &highest, true, length_, 0, 0);
        std::vector<float> powers(static_cast<size_t>(length_));
        exp_(powers.data(), out, nullptr, false, length_, 0, 0);
        const float sum = std::log(vector_sum(powers.data(), length_));
        sub_(out, out, &sum, true, length_, 0, 0);
    }

    template <class T> void rows(const std::byte *from, std::byte *to, int64_t count, float *scratch) const
    {
        const auto *in = reinterpret_cast<const T *>(from);
        auto *out = reinterpret_cast<T *>(to);
        float *highest = scratch, *sum = highest + block, *values = sum + block;
        const int64_t step = loops_.strides[0].back();
        for (int64_t k = 0; k < length_; k++)
            for (int64_t i = 0; i < count; i++)
                values[k * block + i] = in[k * stride_ + i * step];
        std::copy_n(values, count, highest);
        for (int64_t k = 1; k < length_; k++)
            max_(highest, highest, values + k * block, false, count, 0, 0);
        std::fill_n(sum, count, 0.f);
        std::vector<float> powers(logarithm_ ? static_cast<size_t>(block) : 0);
        for (int64_t k = 0; k < length_; k++) {
            float *each = values + k * block;
            sub_(each, each, highest, false, count, 0, 0);
            float *power = logarithm_ ? powers.data() : each;
            exp_(power, each, nullptr, false, count, 0, 0);
            add_(sum, sum, power, false, count, 0, 0);
        }
        (logarithm_ ? log_ : reciprocal_)(sum, sum, nullptr, false, count, 0, 0);
        for (int64_t k = 0; k < length_; k++) {
            float *each = values + k * block;
            (logarithm_ ? sub_ : mul_)(each, each, sum, false, count, 0, 0);
            for (int64_t i = 0; i < count; i++)
                out[k * stride_ + i * step] = T(each[i]);
        }
    }
};

/// Softmax along the last axis of a dense layout, from or to 8-bit integers.
class IntegerSoftmax final : public Kernel {
  public:
    IntegerSoftmax(const SoftmaxRows &work, int64_t rows, int threads) : work_(work), rows_(rows), threads_(threads) {}

    size_t scratch() const { return static_cast<size_t>(threads_ * part_bytes()); }

    void run(const Launch &launch) const override
    {
        parallel_parts(threads_, [&](int64_t part) {
            const int64_t first = rows_ * part / threads_, last = rows_ * (part + 1) / threads_;
            const int64_t offset = first * work_.step;
            vector_softmax(work_, launch.out[0] + offset * element(work_.out),
                           launch.in[0] + offset * element(work_.in), last - first,
                           reinterpret_cast<float *>(launch.scratch + part * part_bytes()));
        });
    }

  private:
    SoftmaxRows work_;
    int64_t rows_;
    int threads_;

    static int64_t element(Type type) { return static_cast<int64_t>(size_of(type)); }
    int64_t part_bytes() const { return in_lines(work_.length * static_cast<int64_t>(sizeof(float))); }
};

} // namespace

Attempt attempt_integer_softmax(const NodeFacts &facts)
{
    const auto &posts = facts.node.post_ops;
    const auto made_on = posts.empty() ? std::nullopt : quantisation(posts[0]);
    const bool reads_integers = facts.node.op->name == "SoftmaxInteger";
    if (!reads_integers && (!made_on || !is_float(facts.type(0))))
        return "it neither reads nor makes 8-bit integers";
    const Shape &dims = facts.dims(0);
    if (dims.empty() || dims.back() < most_lanes ||
        normal_axis(facts.attributes().integer("axis", -1), dims.size()) != dims.size() - 1)
        return "it is not along the last axis, or that has fewer than " + std::to_string(most_lanes) + " elements";
    SoftmaxRows work;
    work.in = facts.type(0);
    work.out = made_on ? type_after(posts[0], Type::f32) : Type::f32;
    work.out_grid = made_on.value_or(Quantisation());
    work.length = work.step = dims.back();
    if (reads_integers) {
        const Tensor *scale = facts.constant(1), *zero = facts.constant(2);
        if (!scale || scale->count() != 1 || (facts.has(2) && (!zero || zero->count() != 1)))
            return "it has not one constant scale and zero point";
        work.in_grid = {*scale->data<float>(), zero ? zero->converted(Type::s32).data<int32_t>()[0] : 0,
                        work.in == Type::s8};
    }
    auto kernel = std::make_unique<IntegerSoftmax>(work, count_of(dims) / work.length, facts.threads);
    Choice choice;
    choice.in = {{0, Layout::dense(work.in, dims)}};
    choice.out = {Layout::dense(work.out, dims)};
    choice.post_ops = made_on ? 1 : 0;
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

Attempt attempt_softmax(const NodeFacts &facts)
{
    if (!is_float(facts.type(0)))
        return "no float";
    if (facts.dims(0).empty())
        return "a single number";
    const Layout layout = Layout::like(facts.in[0].layout, facts.type(0), facts.dims(0));
    const size_t axis = normal_axis(facts.attributes().integer("axis", -1), layout.rank());
    Choice choice;
    choice.in = {{0, layout}};
    choice.out = {layout};
    auto kernel = std::make_unique<Softmax>(layout, axis, facts.node.op->name == "LogSoftmax", facts.threads);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

} // namespace leat::cpu
