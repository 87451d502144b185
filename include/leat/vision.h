#pragma once
#include <leat/image.h>
#include <leat/model.h>
#include <leat/options.h>
#include <leat/request.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace leat {

struct ImageModel;

/// What a VisionModel is opened with. What is left out follows from the model file.
struct VisionOptions {
    std::string device = "CPU";
    Options compile;
    std::string task;        ///< "detect" or "classify"; empty: the one that the outputs can be read as
    std::string decoder;     ///< a name of docs/decoders.md
    std::string labels_file; ///< text, one class name a line
    float threshold = -1;    ///< least score; -1: as customary for the model's family
    float iou_threshold = -1;
    int max_objects = 0; ///< 0: no limit
};

/// An object that a model found in a frame.
struct Detection {
    Region box; ///< in frame pixels, within the frame
    float score = 0;
    int label_id = 0;
    std::string label;
    struct Keypoint {
        float x = 0, y = 0, score = 1; ///< in frame pixels
    };
    std::vector<Keypoint> keypoints;
};

/// A class that a model gives a picture, with its score.
struct ClassScore {
    int label_id = 0;
    std::string label;
    float score = 0;
    std::string output; ///< name of the model's output
};

/// A model that takes pictures as cameras and decoders give them, and whose answer is objects or classes: the same
/// knowledge of models that the elements have. Immutable; every function may be called from any thread, with another
/// request each.
class VisionModel {
  public:
    /// Reads and compiles. Throws Error when the file tells too little: it names what to set.
    explicit VisionModel(const std::string &path, const VisionOptions & = {});

    const std::shared_ptr<CompiledModel> &compiled() const;
    /// Which decoder reads the outputs, and why.
    const std::string &reason() const;
    /// By label id; empty when the file names none.
    const std::vector<std::string> &labels() const;
    bool detects() const; ///< else it classifies

    /// A request of this model, with the inputs besides the picture filled in.
    InferRequest make_request() const;
    /// What of the frame the next inference sees: all of it, or the region. Throws Error when the frame is empty or the
    /// region lies outside.
    void set_frame(InferRequest &, Image frame, const std::optional<Region> & = {}) const;
    /// Of the last inference, best score first. Throws Error when the model does not detect.
    std::vector<Detection> detections(InferRequest &) const;
    /// Of the last inference, best score first. Throws Error when the model does not classify.
    std::vector<ClassScore> classes(InferRequest &) const;

  private:
    std::shared_ptr<const ImageModel> model_;
    VisionOptions options_;
};

} // namespace leat
