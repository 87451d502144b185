#include "devices/cpu/kernel.h"
#include "devices/cpu/team.h"
#include "vector_functions.h"

#include <cstring>

namespace leat::cpu {
namespace {

/// The mean or the largest number of each channel, of pixels whose channels lie side by side.
class GlobalPooling final : public Kernel {
  public:
    /// `made`: the type of the result; that of the input, or f32.
    GlobalPooling(Layout in, Type made, bool largest, int threads)
        : in_(std::move(in)), made_(made), largest_(largest), threads_(threads)
    {
    }

    void run(const Launch &launch) const override
    {
        parallel_for(in_.dims[0], threads_, [&](int64_t first, int64_t last) {
            const int64_t channels = in_.dims[1];
            std::vector<float> row(static_cast<size_t>(channels));
            for (int64_t picture = first; picture < last; picture++) {
                join(launch.in[0] + picture * in_.strides[0] * element(in_.type), row.data());
                write(launch.out[0] + picture * channels * element(made_), row.data());
            }
        });
    }

  private:
    const Layout in_;
    const Type made_;
    const bool largest_;
    const int threads_;

    static int64_t element(Type type) { return static_cast<int64_t>(size_of(type)); }

    void write(std::byte *to, const float *row) const
    {
        const int64_t channels = in_.dims[1];
        if (made_ == Type::f32)
            std::memcpy(to, row, static_cast<size_t>(channels) * sizeof(float));
        else if (made_ == Type::bf16)
            vector_narrow(to, row, channels);
        else
            vector_quantise(reinterpret_cast<uint8_t *>(to), row, channels, {1, 0, made_ == Type::s8});
    }

    void join(const std::byte *picture, float *made) const
    {
        const int64_t height = in_.dims[2], width = in_.dims[3], row = in_.strides[2], pixel = in_.strides[3];
        const bool in_one_piece = height == 1 || row == width * pixel;
        const int64_t pieces = in_one_piece ? 1 : height;
        for (int64_t i = 0; i < pieces; i++)
            join_pixels(made, picture + i * row * element(in_.type), pixel * element(in_.type), height * width / pieces,
                        in_.type, in_.dims[1], largest_, i > 0);
        const auto all = static_cast<float>(in_.dims[2] * in_.dims[3]);
        if (!largest_)
            vector_function(Function::div)(made, made, &all, true, in_.dims[1], 0, 0);
    }
};

} // namespace

Attempt attempt_global_pooling(const NodeFacts &facts)
{
    if ((!is_float(facts.type(0)) && !is_8_bit(facts.type(0))) || facts.dims(0).size() != 4)
        return "it reads no pictures of floats or 8-bit integers";
    if (facts.dims(0)[1] < least_pixel_channels)
        return "it has fewer than " + std::to_string(least_pixel_channels) + " channels";
    const Layout &in = facts.in[0].layout;
    Choice choice;
    choice.in = {{0, in.strides[1] == 1 ? in : Layout::channels_last(in.type, in.dims)}};
    const bool largest = facts.node.op->name == "GlobalMaxPool";
    const Type made = largest || is_float(in.type) ? in.type : Type::f32;
    choice.out = {Layout::channels_last(made, facts.out[0].dims)};
    choice.kernel = std::make_unique<GlobalPooling>(choice.in[0].layout, made, largest, facts.threads);
    return choice;
}

} // namespace leat::cpu
