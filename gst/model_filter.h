#pragma once
#include "gst/async_filter.h"
#include "gst/frame.h"
#include "gst/meta.h"
#include "gst/properties.h"

#include "devices/image_model.h"

#include <optional>
#include <string>

namespace leat {

enum class InputColor { automatic, rgb, bgr, gray };
enum class ResizeChoice { automatic, stretch, letterbox, letterbox_corner };
enum class FilterChoice { automatic, bilinear, area };
enum class Switch { automatic, off, on };
enum class InferenceRegion { full_frame, roi_list };

/// What a user sets on an element that runs a model.
struct ModelSettings {
    std::string model, device = "CPU", decoder;
    std::string labels, labels_file, object_class;
    std::string mean, scale;
    InputColor input_color = InputColor::automatic;
    ResizeChoice resize_mode = ResizeChoice::automatic;
    FilterChoice resize_filter = FilterChoice::automatic;
    int input_width = 0, input_height = 0;
    InferenceRegion inference_region = InferenceRegion::full_frame;
    PerformanceHint performance_hint = PerformanceHint::throughput;
    ModelPriority model_priority = ModelPriority::medium;
    int latency_bound = 0; ///< milliseconds; 0: none
    int nireq = 0, num_streams = 0, num_threads = 0;
    int batch_size = 0, batch_timeout = 0;
    CoreType core_type = CoreType::any;
    Switch hyper_threading = Switch::automatic, pinning = Switch::automatic;
    ExecutionMode execution_mode = ExecutionMode::performance;
    InferencePrecision inference_precision = InferencePrecision::automatic;
    std::string cache_dir;
    int cache_size = Options{}.cache_size;
    int inference_interval = 1;
    LatePolicy late_policy = LatePolicy::block;
    int max_latency = 0;    ///< milliseconds; 0: any
    int stats_interval = 0; ///< milliseconds; 0: no messages
    double threshold = -1, iou_threshold = -1;
    int max_objects = 0;

    bool operator==(const ModelSettings &) const = default;
};

/// What a model said of one region of a frame, for an element to attach.
struct RegionResults {
    const ImageModel &model;
    const std::string &model_name; ///< file without folder and extension
    const RegionOfInterest &region;
    const Affine &to_frame; ///< tensor pixel -> frame pixel
    int frame_width, frame_height;
    const Results &decoded;
    std::span<const Tensor> outputs; ///< of an element that decodes nothing
};

DecodeOptions decode_options(const ModelSettings &);

struct ModelFilterState;

/// The property inference-region, whose default differs from element to element; the element's init() sets it.
Property<ModelSettings> region_property(InferenceRegion otherwise);
/// Properties of the elements that decode what the model says.
std::vector<Property<ModelSettings>> decoder_properties();

} // namespace leat

/// Base of the elements that run one model on frames or on regions of them: its properties, opening it, the jobs and
/// the statistics. What the results mean is the element's own.
struct LeatModelFilter {
    LeatAsyncFilter parent;
    leat::Settings<leat::ModelSettings> *settings;
    leat::ModelFilterState *state;
};

struct LeatModelFilterClass {
    LeatAsyncFilterClass parent_class;
    std::optional<leat::Task> (*task)(); ///< what the model must be able to do; nothing: raw inference
    /// How to decode what the model says. Any thread. Nothing for raw inference.
    leat::DecodeOptions (*decode_options)(const leat::ModelSettings &);
    /// Puts the results of one region on the writable buffer. Source pad's thread. Throws Error when it cannot.
    void (*attach)(GstBuffer *, const leat::RegionResults &);
};

/// For a subclass's class_init: adds its properties. GObject does not inherit the functions that set and get them.
void leat_model_filter_class_add_properties(LeatModelFilterClass *,
                                            const std::vector<leat::Property<leat::ModelSettings>> &);

GType leat_model_filter_get_type();
#define LEAT_TYPE_MODEL_FILTER (leat_model_filter_get_type())
#define LEAT_MODEL_FILTER(object) (reinterpret_cast<LeatModelFilter *>(object))
#define LEAT_MODEL_FILTER_CLASS(klass) (reinterpret_cast<LeatModelFilterClass *>(klass))
#define LEAT_MODEL_FILTER_GET_CLASS(object)                                                                            \
    (G_TYPE_INSTANCE_GET_CLASS((object), LEAT_TYPE_MODEL_FILTER, LeatModelFilterClass))
