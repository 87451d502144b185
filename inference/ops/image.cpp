#include "inference/image_spec.h"
#include "inference/ops.h"
#include "inference/ops/window.h"

namespace leat {
namespace {

int64_t enumerator(const Attributes &attributes, const char *name, int64_t otherwise, int64_t highest)
{
    const int64_t value = attributes.integer(name, otherwise);
    if (value < 0 || value > highest)
        throw Error(std::string(name) + " is " + std::to_string(value) + ", want 0 to " + std::to_string(highest));
    return value;
}

/// Attributes as preprocess/image_input.h stores an ImageSpec. The input is an image: type u8, shape unknown.
void image_to_tensor_rule(ShapeContext &context)
{
    const Attributes &attributes = context.attributes();
    const int64_t width = size_attribute(attributes, "width", 0, 1),
                  height = size_attribute(attributes, "height", 0, 1);
    const auto order = static_cast<ColourOrder>(enumerator(attributes, "order", 0, int64_t(ColourOrder::gray)));
    const auto layout = static_cast<Layout>(enumerator(attributes, "layout", 0, int64_t(Layout::nhwc)));
    const auto type = static_cast<Type>(enumerator(attributes, "type", int64_t(Type::f32), int64_t(Type::boolean)));
    const int64_t channels = order == ColourOrder::gray ? 1 : 3;
    context.output(0, type,
                   layout == Layout::nchw ? Shape{1, channels, height, width} : Shape{1, height, width, channels});
}

/// No reference kernel: an image is not a tensor. Devices run it with preprocess/image_to_tensor.h.
constexpr Op rows[] = {{"ImageToTensor", 1, 1, 1, image_to_tensor_rule, nullptr}};

} // namespace

std::span<const Op> image_ops()
{
    return rows;
}

} // namespace leat
