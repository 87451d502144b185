#include "devices/cpu/kernel.h"
#include "devices/cpu/team.h"
#include "vector_functions.h"

namespace leat::cpu {
namespace {

/// The mean or the largest number of each channel, of pixels whose channels lie side by side.
class GlobalPooling final : public Kernel {
  public:
    GlobalPooling(Layout in, bool largest, int threads)
        : in_(std::move(in)),
          element_(static_cast<int64_t>(size_of(in_.type))), made_{is_float(in_.type) ? in_.type : Type::f32},
          largest_(largest), threads_(threads)
    {
    }
    Type made() const { return made_.type; }

    void run(const Launch &launch) const override
    {
        parallel_for(in_.dims[0], threads_, [&](int64_t first, int64_t last) {
            const int64_t channels = in_.dims[1];
            std::vector<float> row(static_cast<size_t>(channels));
            for (int64_t picture = first; picture < last; picture++) {
                std::byte *to = launch.out[0] + picture * channels * made_.element();
                float *made = made_.made(to, row.data());
                join(launch.in[0] + picture * in_.strides[0] * element_, made);
                made_.write(to, made, channels);
            }
        });
    }

  private:
    const Layout in_;
    const int64_t element_; ///< bytes
    const Floats made_;
    const bool largest_;
    const int threads_;

    void join(const std::byte *picture, float *made) const
    {
        const int64_t height = in_.dims[2], width = in_.dims[3], row = in_.strides[2], pixel = in_.strides[3];
        const bool in_one_piece = height == 1 || row == width * pixel;
        const int64_t pieces = in_one_piece ? 1 : height;
        for (int64_t i = 0; i < pieces; i++)
            join_pixels(made, picture + i * row * element_, pixel * element_, height * width / pieces, in_.type,
                        in_.dims[1], largest_, i > 0);
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
    auto kernel =
        std::make_unique<GlobalPooling>(choice.in[0].layout, facts.node.op->name == "GlobalMaxPool", facts.threads);
    choice.out = {Layout::channels_last(kernel->made(), facts.out[0].dims)};
    choice.kernel = std::move(kernel);
    return choice;
}

} // namespace leat::cpu
