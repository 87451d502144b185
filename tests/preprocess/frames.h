#pragma once
#include "preprocess/geometry.h"
#include "preprocess/image_to_tensor.h"
#include "preprocess/sampling.h"

#include <memory>
#include <random>
#include <vector>

namespace leat {

inline constexpr PixelFormat all_formats[] = {PixelFormat::nv12, PixelFormat::i420, PixelFormat::rgb,
                                              PixelFormat::bgr,  PixelFormat::rgbx, PixelFormat::bgrx,
                                              PixelFormat::rgba, PixelFormat::bgra, PixelFormat::gray8};

/// A frame of noise. Each plane is an allocation of its own that ends with its last sample, so that a sanitizer sees
/// any read beyond; rows have `padding` bytes between them.
inline Image random_frame(PixelFormat format, int width, int height, int padding = 0, unsigned seed = 1)
{
    struct Planes {
        std::vector<uint8_t> bytes[3];
    };
    auto planes = std::make_shared<Planes>();
    std::mt19937 random(seed);
    Image image;
    image.format = format;
    image.width = width;
    image.height = height;
    const PixelLayout &layout = layout_of(format);
    for (size_t i = 0; i < layout.count; i++) {
        const Component &component = layout.components[i];
        const int samples = (width + (1 << component.shift) - 1) >> component.shift;
        const int rows = (height + (1 << component.shift) - 1) >> component.shift;
        const int row_bytes = samples * component.step, stride = row_bytes + padding;
        auto &bytes = planes->bytes[component.plane];
        if (!bytes.empty())
            continue;
        bytes.resize(static_cast<size_t>(stride * (rows - 1) + row_bytes));
        for (auto &byte : bytes)
            byte = static_cast<uint8_t>(random());
        image.planes[component.plane] = {bytes.data(), stride};
    }
    image.colour = colour_matrix(format, ColourStandard::bt601,
                                 layout.model == ColourModel::yuv ? ColourRange::limited : ColourRange::full);
    image.owner = planes;
    return image;
}

inline Region frame_of(const Image &image)
{
    return {0, 0, static_cast<float>(image.width), static_cast<float>(image.height)};
}

inline Tensor empty_tensor(const ImageSpec &spec)
{
    const int64_t channels = channels_of(spec.order);
    if (spec.layout == Layout::nchw)
        return Tensor(spec.type, {1, channels, spec.height, spec.width});
    return Tensor(spec.type, {1, spec.height, spec.width, channels});
}

inline Tensor by_reference(const Image &image, const ImageSpec &spec)
{
    Tensor tensor = empty_tensor(spec);
    image_to_tensor_reference(image, spec, tensor.raw());
    return tensor;
}

inline Tensor by_simd(const Image &image, const ImageSpec &spec)
{
    Tensor tensor = empty_tensor(spec);
    image_to_tensor(image, spec, dense_layout(spec), tensor.raw(), 0, spec.height);
    return tensor;
}

} // namespace leat
