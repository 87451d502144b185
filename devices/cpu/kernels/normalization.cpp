#include "devices/cpu/kernel.h"
#include "devices/cpu/team.h"
#include "vector_functions.h"

#include <algorithm>

namespace leat::cpu {
namespace {

/// Rows of neighbouring elements, each brought to mean 0 (unless `centred` is false) and variance 1. Then comes a
/// factor and an offset: one for each element of the row, or one for each channel, of which a row has several.
struct Normalisation {
    int64_t rows = 1, length = 1;
    bool centred = true;
    float epsilon = 1e-5f;
    int64_t channels = 0; ///< of all rows of a picture; 0: factor and offset are by element
    int64_t channels_in_row = 1;
    bool has_offset = true;
};

class Normalise final : public Kernel {
  public:
    Normalise(Normalisation n, Type type, int threads)
        : n_(n), floats_{type}, threads_(n.rows * n.length < 16384 ? 1 : threads)
    {
    }

    size_t scratch() const { return static_cast<size_t>(threads_ * part_bytes()); }

    void run(const Launch &launch) const override
    {
        const auto *factors = reinterpret_cast<const float *>(launch.in[1]);
        const auto *offsets = n_.has_offset ? reinterpret_cast<const float *>(launch.in[2]) : nullptr;
        parallel_parts(threads_, [&](int64_t part) {
            auto *made = reinterpret_cast<float *>(launch.scratch + part * part_bytes());
            for (int64_t row = n_.rows * part / threads_; row < n_.rows * (part + 1) / threads_; row++) {
                const int64_t offset = row * n_.length * floats_.element();
                float *out = floats_.made(launch.out[0] + offset, made);
                const float *in = floats_.read(launch.in[0] + offset, n_.length, out);
                vector_normalise(out, in, n_.length, n_.centred, n_.epsilon);
                if (n_.channels == 0)
                    scale_elements(out, factors, offsets);
                else
                    scale_channels(out, row, factors, offsets);
                floats_.write(launch.out[0] + offset, out, n_.length);
            }
        });
    }

  private:
    Normalisation n_;
    Floats floats_;
    int threads_;
    Apply affine_ = vector_function(Function::affine), mul_ = vector_function(Function::mul),
          add_ = vector_function(Function::add);

    /// Of what is made elsewhere than in place.
    int64_t part_bytes() const
    {
        return floats_.type == Type::f32 ? 0 : in_lines(n_.length * static_cast<int64_t>(sizeof(float)));
    }

    void scale_elements(float *out, const float *factors, const float *offsets) const
    {
        mul_(out, out, factors, false, n_.length, 0, 0);
        if (offsets)
            add_(out, out, offsets, false, n_.length, 0, 0);
    }

    void scale_channels(float *out, int64_t row, const float *factors, const float *offsets) const
    {
        const int64_t plane = n_.length / n_.channels_in_row;
        for (int64_t i = 0; i < n_.channels_in_row; i++) {
            const int64_t channel = (row * n_.channels_in_row + i) % n_.channels;
            affine_(out + i * plane, out + i * plane, nullptr, false, plane, factors[channel], offsets[channel]);
        }
    }
};

/// Data of floats with factors and offsets of f32.
bool has_fitting_types(const NodeFacts &facts)
{
    for (size_t i = 1; i < facts.node.inputs.size(); i++)
        if (facts.has(i) && facts.type(i) != Type::f32)
            return false;
    return is_float(facts.type(0));
}

Choice normalising(const NodeFacts &facts, const Normalisation &n)
{
    Choice choice;
    for (size_t i = 0; i < facts.node.inputs.size(); i++)
        if (facts.has(i))
            choice.in.push_back({i, Layout::dense(facts.type(i), facts.dims(i))});
    choice.out = facts.out;
    auto kernel = std::make_unique<Normalise>(n, facts.type(0), facts.threads);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

} // namespace

Attempt attempt_layer_normalization(const NodeFacts &facts)
{
    if (!has_fitting_types(facts))
        return "its data are no floats, or its factors not f32";
    for (size_t i = 1; i < facts.out.size(); i++)
        if (facts.out[i].type != Type::undefined)
            return "it also gives the mean or the deviation";
    const Shape &dims = facts.dims(0);
    const auto axis = static_cast<ptrdiff_t>(normal_axis(facts.attributes().integer("axis", -1), dims.size()));
    Normalisation n;
    n.rows = count_of(Shape(dims.begin(), dims.begin() + axis));
    n.length = count_of(Shape(dims.begin() + axis, dims.end()));
    n.centred = facts.node.op->name == "LayerNormalization";
    n.epsilon = facts.attributes().number("epsilon", 1e-5f);
    n.has_offset = facts.has(2);
    for (size_t i = 1; i < facts.node.inputs.size(); i++)
        if (facts.has(i) && facts.dims(i) != Shape(dims.begin() + axis, dims.end()))
            return "its factors are not one for each element";
    return normalising(facts, n);
}

Attempt attempt_group_normalization(const NodeFacts &facts)
{
    if (!has_fitting_types(facts))
        return "its data are no floats, or its factors not f32";
    const Shape &dims = facts.dims(0);
    if (dims.size() < 2 || facts.in[1].layout.count() != dims[1] || facts.in[2].layout.count() != dims[1])
        return "its factors are not one for each channel";
    const int64_t groups = facts.attributes().integer("num_groups", dims[1]);
    if (groups < 1 || dims[1] % groups != 0)
        return "num_groups does not divide its channels";
    Normalisation n;
    n.rows = dims[0] * groups;
    n.length = facts.in[0].layout.count() / n.rows;
    n.epsilon = facts.attributes().number("epsilon", 1e-5f);
    n.channels = dims[1];
    n.channels_in_row = dims[1] / groups;
    return normalising(facts, n);
}

} // namespace leat::cpu
