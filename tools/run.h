#pragma once
#include "model_options.h"

#include <string>
#include <vector>

namespace leat {

struct RunOptions {
    ModelOptions model;
    std::string device = "CPU";
    int repeat = 1;
    std::vector<std::string> inputs; ///< NAME=FILE.npy
    std::string output_folder;
    std::vector<std::string> pictures;
    DecodeOptions decode;
};

/// Throws Error.
void run_tensors(const RunOptions &);
void run_pictures(const RunOptions &);

} // namespace leat
