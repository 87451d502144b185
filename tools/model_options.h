#pragma once
#include "devices/image_model.h"

#include <CLI/App.hpp>

#include <optional>
#include <string>

namespace leat {

/// Options that several subcommands share, under the names of the elements' properties.
struct ModelOptions {
    std::string path;
    Options compile;
    std::string task; ///< "detect", "classify", or empty: the one for which a decoder fits
    ImageModelOptions image;
    std::string labels_file;
};

/// Sizes of inputs in place of those in the file.
void add_shape_option(CLI::App &, ModelOptions &);
void add_compile_options(CLI::App &, ModelOptions &);
void add_picture_options(CLI::App &, ModelOptions &);
void add_decode_options(CLI::App &, DecodeOptions &);

/// What the user said, ready for open_image_model(). Throws Error when the labels file cannot be read.
ImageModelOptions image_options(const ModelOptions &, const std::string &device);

/// The task that the user named, or that of the decoder named, or the only one for which a decoder fits. Throws Error
/// that tells why none or more than one fits.
Task task_of(const ModelOptions &, const ModelFacts &);

} // namespace leat
