#pragma once
#include "heads.h"

namespace leat {

// What the YOLO families share: which facts tell them apart, and their letterbox.

/// How the boxes of an output come about, as far as the graph tells.
enum class BoxArithmetic {
    unknown, ///< only ports are known
    none,    ///< straight from the convolutions: grid and stride are for the decoder to apply
    exp,     ///< computed in the graph, with exp() for the sizes (YOLOX)
    no_exp,  ///< computed in the graph otherwise
};
BoxArithmetic box_arithmetic(const ModelFacts &, size_t output);

/// Predictions for each cell of a YOLO pyramid over the model's picture: 1 or 3; 0 when a size is open; -1 when they
/// fit no pyramid.
int anchors_per_cell(const ModelFacts &, int64_t predictions);

/// "" when the graph puts a sigmoid on output 0, as every YOLO does on its scores, or is not known.
std::string no_sigmoid(const ModelFacts &);

/// "" when the boxes are not yet selected in the graph and output 0 is [1, N, 5 + C], C at least 1, with N above 5 + C
/// where known.
std::string no_rows_with_objectness(const ModelFacts &);

/// RGB / 255, letterbox in the middle with 114, 640x640 (or metadata "imgsz") when open: YOLOv5 to YOLO26.
ImageSpec ultralytics_preprocessing(const ModelFacts &);

} // namespace leat
