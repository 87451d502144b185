#include "devices/cpu/kernel.h"
#include "devices/cpu/team.h"
#include "preprocess/image_input.h"
#include "preprocess/image_to_tensor.h"

namespace leat::cpu {
namespace {

class ImageKernel final : public Kernel {
  public:
    ImageKernel(ImageSpec spec, TensorLayout layout, size_t bytes, int threads)
        : spec_(spec), layout_(layout), bytes_(bytes), threads_(threads)
    {
    }

    void run(const Launch &launch) const override
    {
        for (size_t i = 0; i < launch.images.size(); i++)
            parallel_for(spec_.height, threads_, [&](int64_t first, int64_t last) {
                image_to_tensor(launch.images[i], spec_, layout_, launch.out[0] + i * bytes_, static_cast<int>(first),
                                static_cast<int>(last));
            });
    }

  private:
    const ImageSpec spec_;
    const TensorLayout layout_;
    const size_t bytes_; // of the tensor of one picture
    const int threads_;
};

} // namespace

Attempt attempt_image(const NodeFacts &facts)
{
    const ImageSpec spec = image_spec_of(facts.node);
    Choice choice;
    choice.out = facts.out;
    TensorLayout layout = dense_layout(spec);
    if (spec.layout == leat::Layout::nchw) {
        choice.out = {Layout::channels_last(facts.out[0].type, facts.out[0].dims)};
        const auto &strides = choice.out[0].strides;
        layout = {strides[1], strides[2], strides[3]};
        choice.detail = "channels last";
    }
    choice.kernel =
        std::make_unique<ImageKernel>(spec, layout, facts.out[0].bytes() / facts.node.inputs.size(), facts.threads);
    return choice;
}

} // namespace leat::cpu
