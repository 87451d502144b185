#pragma once
#include "inference/decode/decoder.h"

#include <leat/model.h>
#include <leat/options.h>
#include <leat/request.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace leat {

/// How a user wants pictures to reach a model. Absent members follow the decoder row's customs.
struct ImageModelOptions {
    std::string device = "CPU";
    Options compile;
    std::string decoder;
    std::optional<ColourOrder> order;
    std::vector<float> mean, scale; ///< 1 or 3 numbers: tensor = (pixel - mean) / scale, in the tensor's channel order
    std::optional<ResizeMode> resize;
    std::optional<Filter> filter;
    int width = 0, height = 0; ///< of the input in pixels, for models that leave it open; 0: the row's customary size
    std::map<std::string, Dimensions> shapes; ///< of inputs, instead of those in the file
    std::vector<std::string> labels;          ///< instead of those in the file or customary for the family
};

/// A compiled model that takes pictures, with what is needed to feed it and to read its answer. Shared through Core's
/// cache: equal requests get the same compiled model.
struct ImageModel {
    std::shared_ptr<CompiledModel> compiled;
    ModelFacts facts;
    size_t image_input = 0; ///< index into facts.inputs
    ImageSpec spec;
    const Decoder *decoder = nullptr; ///< nothing for raw inference
    std::string decoder_reason;
    std::vector<std::string> labels;
    std::vector<Tensor> constants; ///< values of the further inputs, in the order of Job::inputs

    /// labels[id], or the number as text.
    std::string label(int id) const;
};

/// Reads, chooses the decoder (for a task), puts ImageToTensor in front, compiles. `task` absent: raw inference, the
/// picture as it is (mean 0, scale 1, RGB, stretch) unless the options say otherwise; a decoder row that fits lends its
/// customs. Throws Error.
std::shared_ptr<const ImageModel> open_image_model(const std::string &path, std::optional<Task> task,
                                                   const ImageModelOptions &);

/// Fills the inputs besides the picture.
void set_constants(const ImageModel &, InferRequest &);

/// The rectangle around the object's corners in a frame of that size, clipped to it; empty when nothing of it lies
/// inside.
Region box_in_frame(const Object &, const Affine &to_frame, int width, int height);

} // namespace leat
