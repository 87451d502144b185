#pragma once
#include "inference/graph.h"
#include "inference/image_spec.h"

#include <leat/model.h>

#include <map>
#include <optional>
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
/// The task "detect" or "classify"; nothing for other names.
std::optional<Task> task_from(std::string_view name);

/// What the user may override of a decoder row's customs. Negative: the row's own value.
struct DecodeOptions {
    float threshold = -1;
    float iou_threshold = -1;
    int max_objects = 0; ///< 0: no limit
};

/// What a decoder knows of a model: all that the file tells without running it.
struct ModelFacts {
    std::string name;                  ///< of the graph
    std::vector<Port> inputs, outputs; ///< as in the file; `image` is set where find_image_input() finds the picture
    std::map<std::string, std::string> metadata;
    std::vector<std::string> ops; ///< op of each node, in the graph's order
    /// For each output the ops between the last convolutions (or matrix products) and it, nearest the output first,
    /// each once. Empty lists when the graph is not known.
    std::vector<std::vector<std::string>> head_ops;
    std::vector<std::string> stem_ops; ///< ops between the picture input and the first convolutions, each once
};
ModelFacts facts_of(const Graph &);

struct Results {
    std::vector<Object> objects;
    std::vector<Classification> classes;
};

/// One family of model heads. Immutable rows of one table.
struct Decoder {
    std::string_view name;  ///< value of the property `decoder`: "yolox", "yunet", "ssd-prior-boxes", "classifier" …
    std::string_view about; ///< one line for people: which models
    Task task;
    /// "" = this row decodes such a model; else one sentence why not. Looks at output names, ranks, shapes and
    /// metadata.
    std::string (*why_not)(const ModelFacts &);
    /// "" = sure; else one sentence why a model that fits may just as well be of another kind: then the row is chosen
    /// only by name. Absent: always sure.
    std::string (*doubt)(const ModelFacts &) = nullptr;
    /// The family's customary preprocessing for this model: colour order, mean and scale, resize mode, pad, size when
    /// the model leaves it open. Layout and type follow from the image input port.
    ImageSpec (*preprocessing)(const ModelFacts &);
    /// Labels customary for the family when the file names none (COCO's 80 for 80 classes …); empty when there are
    /// none.
    std::vector<std::string> (*labels)(const ModelFacts &);
    /// Values of further inputs (such as orig_target_sizes), by name; most families have none.
    std::map<std::string, Tensor> (*constants)(const ModelFacts &, const ImageSpec &);
    /// Outputs (f32 or as the model gives, in facts' order) to results. Runs on the element's source-pad thread; never
    /// throws for numbers (NaN scores are dropped). Throws Error when the outputs' shapes do not belong to a picture of
    /// the spec's size.
    Results (*decode)(const ModelFacts &, const ImageSpec &, const DecodeOptions &, std::span<const Tensor> outputs);
    /// What had to be assumed of this model, in a sentence for people; absent or "": nothing.
    std::string (*assumptions)(const ModelFacts &) = nullptr;
};

/// To add one: a file in decode/ with its row, the row in decoder.cpp, a case in tests/decode, a line in
/// docs/decoders.md.
std::span<const Decoder *const> decoders();

/// The decoder that the model needs, and the reason. With `name` that one, which must fit. Throws Error that names the
/// candidates (or every row's reason why not) and the property `decoder` that decides.
struct Choice {
    const Decoder *decoder = nullptr;
    std::string reason; ///< why, and what was assumed
};
Choice choose_decoder(const ModelFacts &, Task, const std::string &name = {});

/// The only task that a model's outputs can serve, or that of the decoder row of that name. Throws Error that says why
/// there is none, or that both will do.
Task only_task(const ModelFacts &, const std::string &decoder = {});

/// Index of the input that is a picture (rank 4 with 1 or 3 channels, or the only input). Throws Error.
size_t find_image_input(const ModelFacts &);
/// The picture as it is, for a model that no decoder row speaks for: 0..255, RGB or grey, stretched to the model's
/// size; layout and type of the image input port. Sizes that the model leaves open are 0. Throws Error when there is no
/// image input.
ImageSpec plain_preprocessing(const ModelFacts &);
/// Labels in the file's metadata: `names` as Ultralytics writes them, `labels`, `classes`.
std::vector<std::string> labels_in(const std::map<std::string, std::string> &metadata);
/// Labels of a text file, one a line in the order of their ids; blanks around them are dropped. Throws Error that names
/// the file when it cannot be read or holds none.
std::vector<std::string> read_labels(const std::string &path);

/// Greedy non-maximum suppression by score, within each class unless `across_classes`. Order of the result: by score,
/// best first.
void suppress(std::vector<Object> &, float iou_threshold, bool across_classes = false);
float intersection_over_union(const Object &, const Object &);

} // namespace leat
