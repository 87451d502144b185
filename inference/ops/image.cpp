#include "inference/image_spec.h"
#include "inference/ops.h"
#include "inference/ops/attributes.h"

namespace leat {
namespace {

/// The enumerator of that number; `otherwise` when the attribute is missing. `first` and `last` are the bounds.
template <class Enum>
Enum enumerator(const Attributes &attributes, const char *name, Enum otherwise, Enum first, Enum last)
{
    const int64_t value = attributes.integer(name, static_cast<int64_t>(otherwise));
    const auto lowest = static_cast<int64_t>(first), highest = static_cast<int64_t>(last);
    if (value < lowest || value > highest)
        throw Error(std::string(name) + " is " + std::to_string(value) + ", want " + std::to_string(lowest) + " to " +
                    std::to_string(highest));
    return static_cast<Enum>(value);
}

/// Attributes as preprocess/image_input.h stores an ImageSpec. The inputs are images: type u8, shape unknown; the
/// output has them side by side on axis 0.
void image_to_tensor_rule(ShapeContext &context)
{
    const Attributes &attributes = context.attributes();
    const int64_t width = size_attribute(attributes, "width", 0, 1),
                  height = size_attribute(attributes, "height", 0, 1);
    const auto order = enumerator(attributes, "order", ColourOrder::rgb, ColourOrder::rgb, ColourOrder::gray);
    const auto layout = enumerator(attributes, "layout", Layout::nchw, Layout::nchw, Layout::nhwc);
    const auto type = enumerator(attributes, "type", Type::f32, Type::f32, Type::boolean);
    const int64_t channels = order == ColourOrder::gray ? 1 : 3;
    const auto images = static_cast<int64_t>(context.inputs());
    context.output(0, type,
                   layout == Layout::nchw ? Shape{images, channels, height, width}
                                          : Shape{images, height, width, channels});
}

/// No reference kernel: an image is not a tensor. Devices run it with preprocess/image_to_tensor.h.
constexpr Op rows[] = {{"ImageToTensor", 1, -1, 1, image_to_tensor_rule, nullptr}};

} // namespace

std::span<const Op> image_ops()
{
    return rows;
}

} // namespace leat
