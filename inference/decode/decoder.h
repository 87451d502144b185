#pragma once
#include "inference/graph.h"
#include "inference/image_spec.h"

#include <leat/model.h>

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace leat {

/// Something found, in edge coordinates of the model's input tensor, in its pixels (0..width, 0..height).
struct Object {
    float x1 = 0, y1 = 0, x2 = 0, y2 = 0;
    float score = 0;
    int label_id = 0;
    struct Keypoint {
        float x = 0, y = 0, score = 1;
    };
    std::vector<Keypoint> keypoints;
};

/// One class with its score, best first.
struct Classification {
    int label_id = 0;
    float score = 0;
    std::string output; ///< name of the model output that it comes from
};

enum class Task { detect, classify };

/// What the user may override of a decoder row's customs. Negative: the row's own value.
struct DecodeOptions {
    float threshold = -1;
    float iou_threshold = -1;
    int max_objects = 0; ///< 0: no limit
};

/// What a decoder knows of a model: its ports, metadata, and the label count where known.
struct ModelFacts {
    std::vector<Port> inputs, outputs; ///< as in the file; the image input has `image` set by find_image_input()
    std::map<std::string, std::string> metadata;
    std::vector<std::string> ops; ///< op names in the graph, for families that only the graph tells apart
};
ModelFacts facts_of(const Graph &);

struct Results {
    std::vector<Object> objects;
    std::vector<Classification> classes;
};

/// One family of model heads. Immutable rows of one table.
struct Decoder {
    std::string_view name; ///< value of the property `decoder`: "yolox", "yunet", "ssd-prior-boxes", "classifier" …
    std::string_view about; ///< one line for people: which models
    Task task;
    /// "" = this row decodes such a model; else one sentence why not. Looks at output names, ranks, shapes and metadata.
    std::string (*why_not)(const ModelFacts &);
    /// The family's customary preprocessing for this model: colour order, mean and scale, resize mode, pad, size when the
    /// model leaves it open. Layout and type follow from the image input port.
    ImageSpec (*preprocessing)(const ModelFacts &);
    /// Labels customary for the family when the file names none (COCO's 80 for 80 classes …); empty when there are none.
    std::vector<std::string> (*labels)(const ModelFacts &);
    /// Values of further inputs (such as orig_target_sizes), by name; most families have none.
    std::map<std::string, Tensor> (*constants)(const ModelFacts &, const ImageSpec &);
    /// Outputs (f32 or as the model gives, in facts' order) to results. Runs on the element's source-pad thread; never throws for
    /// numbers (NaN scores are dropped).
    Results (*decode)(const ModelFacts &, const ImageSpec &, const DecodeOptions &, std::span<const Tensor> outputs);
};

/// To add one: a file in decode/ with its row, the row in decoder.cpp, a case in tests/decode.
std::span<const Decoder *const> decoders();

/// The decoder that the model needs, and the reason. With `name` that one, which must fit. Throws Error that names the
/// candidates (or every row's reason why not) and the property `decoder` that decides.
struct Choice {
    const Decoder *decoder = nullptr;
    std::string reason;
};
Choice choose_decoder(const ModelFacts &, Task, const std::string &name = {});

/// Index of the input that is a picture (rank 4 with 1 or 3 channels, or the only input). Throws Error.
size_t find_image_input(const ModelFacts &);
/// Labels in the file's metadata: `names` as Ultralytics writes them, `labels`, `classes`.
std::vector<std::string> labels_in(const std::map<std::string, std::string> &metadata);

/// Greedy non-maximum suppression by score, within each class unless `across_classes`. Order of the result: by score, best first.
void suppress(std::vector<Object> &, float iou_threshold, bool across_classes = false);
float intersection_over_union(const Object &, const Object &);

} // namespace leat
