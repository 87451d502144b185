#include "devices/cpu/kernel.h"
#include "devices/cpu/team.h"
#include "inference/ops/sampling.h"
#include "vector_functions.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace leat::cpu {
namespace {

/// Samples pictures that lie channels last: a tap is one row of numbers that lie side by side.
class GridSample final : public Kernel {
  public:
    GridSample(const Shape &in, const Shape &out, const GridOptions &options, int threads)
        : channels_(in[1]), height_(in[2]), width_(in[3]), points_(out[2] * out[3]), pictures_(out[0]),
          options_(options), threads_(threads)
    {
    }

    void run(const Launch &launch) const override
    {
        const auto *x = reinterpret_cast<const float *>(launch.in[0]);
        const auto *grid = reinterpret_cast<const float *>(launch.in[1]);
        auto *y = reinterpret_cast<float *>(launch.out[0]);
        parallel_for(pictures_ * points_, threads_, [&](int64_t first, int64_t last) {
            for (int64_t point = first; point < last; point++)
                sample(y + point * channels_, x + point / points_ * height_ * width_ * channels_, grid + 2 * point);
        });
    }

  private:
    int64_t channels_, height_, width_, points_, pictures_;
    GridOptions options_;
    int threads_;

    /// Two neighbours on an axis.
    struct Pair {
        std::array<int64_t, 2> element; ///< -1: counts for 0
        std::array<float, 2> weight;
    };

    Pair pair(float coordinate, int64_t size) const
    {
        const float position = grid_position(coordinate, size, options_), low = std::floor(position);
        const bool nearest = options_.mode == Interpolation::nearest; // an integer, so that the second weight is 0
        const auto first = static_cast<int64_t>(low);
        return {{element_of(first, size, options_), nearest ? -1 : element_of(first + 1, size, options_)},
                {1 - (position - low), position - low}};
    }

    void sample(float *to, const float *picture, const float *point) const
    {
        static const Apply scale = vector_function(Function::affine), add = vector_function(Function::add_scaled);
        const Pair columns = pair(point[0], width_), rows = pair(point[1], height_);
        bool is_first = true;
        for (size_t i = 0; i < 2; i++)
            for (size_t j = 0; j < 2; j++) {
                const float weight = rows.weight[i] * columns.weight[j];
                if (rows.element[i] < 0 || columns.element[j] < 0 || weight == 0)
                    continue;
                const float *from = picture + (rows.element[i] * width_ + columns.element[j]) * channels_;
                if (is_first)
                    scale(to, from, nullptr, false, channels_, weight, 0);
                else
                    add(to, to, from, false, channels_, weight, 0);
                is_first = false;
            }
        if (is_first)
            std::fill_n(to, channels_, 0.f);
    }
};

} // namespace

Attempt attempt_grid_sample(const NodeFacts &facts)
{
    const GridOptions options = grid_options(facts.attributes());
    if (facts.type(0) != Type::f32 || facts.type(1) != Type::f32)
        return "not f32";
    if (facts.dims(0).size() != 4)
        return "it does not sample pictures of two axes";
    if (options.mode == Interpolation::cubic)
        return "its interpolation is cubic";
    if (facts.dims(0)[2] == 0 || facts.dims(0)[3] == 0)
        return "there are no elements to sample";
    Choice choice;
    choice.in = {{0, Layout::channels_last(Type::f32, facts.dims(0))}, {1, Layout::dense(Type::f32, facts.dims(1))}};
    choice.out = {Layout::channels_last(Type::f32, facts.out[0].dims)};
    choice.kernel = std::make_unique<GridSample>(facts.dims(0), facts.out[0].dims, options, facts.threads);
    return choice;
}

} // namespace leat::cpu
