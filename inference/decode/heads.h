#pragma once
#include "decoder.h"

#include <array>
#include <initializer_list>

namespace leat {

// What the decoder rows share. For the files of this folder only.

// Shapes of ports.

inline constexpr int64_t any = -1;
/// "" when the port may have that shape (`any` fits everything, and so does a size that the file leaves open); else a
/// sentence that names the port and both shapes.
std::string mismatch(const Port &, const Shape &want);
/// The same for outputs by name; also "" only when there is an output of that name.
std::string mismatch(const ModelFacts &, std::string_view output, const Shape &want);
/// -1 when there is none of that name.
int find_output(const ModelFacts &, std::string_view name);
/// "" when the model has that many outputs.
std::string miscount(const ModelFacts &, size_t want);

// The picture.

/// Nothing when find_image_input() would throw.
const Port *image_port(const ModelFacts &);
Layout layout_of(const Port &);
int channels_of(const Port &);
struct PictureSize {
    int width = 0, height = 0; ///< 0 where the model leaves it open
};
PictureSize picture_size(const ModelFacts &);

/// tensor = (pixel - mean) / deviation, in the tensor's channel order.
struct Normalisation {
    std::array<float, 3> mean{0, 0, 0}, deviation{1, 1, 1};
};
inline constexpr Normalisation as_is{};
inline constexpr Normalisation to_unit{.deviation = {255, 255, 255}};
inline constexpr Normalisation to_plus_minus_one{.mean = {127.5f, 127.5f, 127.5f},
                                                 .deviation = {127.5f, 127.5f, 127.5f}};
/// Mean and deviation of ImageNet's training pictures, in R, G, B.
inline constexpr Normalisation imagenet{.mean = {123.675f, 116.28f, 103.53f}, .deviation = {58.395f, 57.12f, 57.375f}};

/// A family's customs for the model's image input: its layout, type and size, or `open_size` where the model leaves the
/// size open. What the file itself says comes before them: metadata "resize_type", and, of OpenVINO's Model API,
/// `model_info`'s mean_values, scale_values, reverse_input_channels, color_space and pad_value, unless it says that the
/// graph does all that (embedded_processing). Grey for models of one channel.
ImageSpec image_spec(const ModelFacts &, ColourOrder, const Normalisation &, ResizeMode resize, float pad,
                     PictureSize open_size);
/// "" or a remark that the file asks for preprocessing that cannot be read.
std::string unreadable_preprocessing(const ModelFacts &);
/// A metadata value by its key, also where the key stands behind a section name ("model_info resize_type"). "" when
/// absent.
const std::string &metadata_value(const std::map<std::string, std::string> &metadata, std::string_view key);

// The graph.

bool contains(const std::vector<std::string> &ops, std::string_view op);
/// False when nothing but ports is known of the model.
inline bool knows_graph(const ModelFacts &facts)
{
    return !facts.ops.empty();
}
/// True when the graph multiplies or raises that output after the last convolution, as no bias and no activation does.
bool computes_after_convolution(const ModelFacts &, size_t output);

// Prediction grids.

struct Grid {
    int stride = 0, columns = 0, rows = 0;
    int64_t cells() const { return int64_t(columns) * rows; }
};
/// One grid a stride, rounded up at the borders.
std::vector<Grid> grids(int width, int height, std::span<const int> strides);
inline std::vector<Grid> grids(int width, int height, std::initializer_list<int> strides)
{
    return grids(width, height, std::span(strides.begin(), strides.size()));
}
int64_t cells(std::span<const Grid>);
/// The grids of strides 8, 16, 32 (and 64) whose cells times `anchors` make that many predictions; empty when none do.
std::vector<Grid> yolo_grids(int width, int height, int64_t predictions, int anchors);

// Outputs to results.

/// The output as f32 (shared when it is that already). Throws Error when its shape is not `want`.
Tensor read_output(const ModelFacts &, std::span<const Tensor> outputs, size_t index, const Shape &want);
inline float threshold_of(const DecodeOptions &options, float custom)
{
    return options.threshold >= 0 ? options.threshold : custom;
}
float sigmoid(float);
/// Index of the largest of n numbers; NaN is never the largest. n > 0.
int argmax(const float *values, int n);
/// Appends unless a coordinate or the score is not finite.
void add(std::vector<Object> &, Object);
Object centred(float x, float y, float width, float height, float score, int label_id);
/// Suppression (unless the family needs none: custom_iou < 0, and the user asks none), order, limit.
Results detections(std::vector<Object>, const DecodeOptions &, float custom_iou);

// Pieces of rows.

std::vector<std::string> no_labels(const ModelFacts &);
std::map<std::string, Tensor> no_constants(const ModelFacts &, const ImageSpec &);
/// The 80 classes of COCO as detectors number them, from 0.
const std::vector<std::string> &coco_labels();
/// COCO's names for 80 classes, else none.
std::vector<std::string> labels_for(int64_t classes);

} // namespace leat
