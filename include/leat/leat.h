#ifndef LEAT_LEAT_H
#define LEAT_LEAT_H

/// Leat for programs in C: the interface of <leat/core.h>, <leat/request.h> and <leat/vision.h>, whose documentation
/// holds here too.
///
/// Handles are opaque. A function that can fail returns a leat_status; after anything but LEAT_OK leat_last_error() has
/// the sentence for this thread, and what the function would have written is untouched. No exception leaves a function.
/// A null handle or a null pointer that must not be null is LEAT_ERROR; the functions that free take null.
///
/// What a handle needs it keeps alive: a model may be freed before the requests that were made of it. Text and arrays
/// that a function gives belong to the handle that it was asked of, and live until that is freed unless said otherwise.

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t leat_status;
enum {
    LEAT_OK = 0,
    LEAT_ERROR = 1,
    LEAT_BUSY = 2,      ///< cannot be done while the request runs
    LEAT_CANCELLED = 3, ///< the inference was cancelled, or cannot be done before the cancelled inference has ended
    LEAT_TIMEOUT = 4    ///< not within that time
};

/// The version of the library, such as "0.1.0".
const char *leat_version(void);
/// Why the last function of this thread that failed did so: a sentence. Valid until the next one fails; never null.
const char *leat_last_error(void);

typedef int32_t leat_type;
enum {
    LEAT_F32 = 1,
    LEAT_F16 = 2,
    LEAT_BF16 = 3,
    LEAT_F64 = 4,
    LEAT_U8 = 5,
    LEAT_S8 = 6,
    LEAT_U16 = 7,
    LEAT_S16 = 8,
    LEAT_U32 = 9,
    LEAT_S32 = 10,
    LEAT_U64 = 11,
    LEAT_S64 = 12,
    LEAT_BOOL = 13
};

/// Called exactly once, on any thread, when Leat no longer uses memory that it was given: also when the function that
/// it was given to fails. It must call no function of a request.
typedef void (*leat_release)(void *user);

/// A dense row-major array. As an argument it is memory of the caller, which lives until `release(user)` is called or,
/// without it, until other memory was set or the request was freed.
typedef struct leat_tensor {
    leat_type type;
    size_t rank;
    const int64_t *sizes; ///< outermost first
    void *data;
    size_t bytes;         ///< of the data; an argument whose sizes want more is refused
    leat_release release; ///< may be null
    void *user;
} leat_tensor;

typedef int32_t leat_pixel_format;
enum {
    LEAT_NV12 = 0,
    LEAT_I420 = 1,
    LEAT_RGB = 2,
    LEAT_BGR = 3,
    LEAT_RGBX = 4,
    LEAT_BGRX = 5,
    LEAT_RGBA = 6,
    LEAT_BGRA = 7,
    LEAT_GRAY8 = 8
};
typedef int32_t leat_colour_standard;
enum {
    LEAT_STANDARD_CUSTOMARY = 0, ///< BT.601 for frames of up to 576 rows, else BT.709
    LEAT_BT601 = 1,
    LEAT_BT709 = 2,
    LEAT_BT2020 = 3
};
typedef int32_t leat_colour_range;
enum {
    LEAT_RANGE_CUSTOMARY = 0, ///< limited for NV12 and I420, else full
    LEAT_LIMITED = 1,
    LEAT_FULL = 2
};

/// A frame as it lies in memory, which is read without a copy until `release(user)` is called or, without it, until
/// another frame was set or the request was freed.
typedef struct leat_image {
    leat_pixel_format format;
    int32_t width, height; ///< in pixels
    const uint8_t *planes[3];
    ptrdiff_t strides[3]; ///< bytes from one row to the next, of each plane
    leat_colour_standard standard;
    leat_colour_range range;
    leat_release release; ///< may be null
    void *user;
} leat_image;

/// In frame pixels; x, y is the top-left corner.
typedef struct leat_region {
    float x, y, width, height;
} leat_region;

/// An option by name and value, as on the command line of `leat` without the dashes: `performance-hint` (latency,
/// throughput), `model-priority` (low, medium, high), `latency-bound` (milliseconds), `num-requests`, `num-streams`,
/// `num-threads`, `core-type` (any, performance, efficient), `hyper-threading`, `pinning`, `profiling` (on, off),
/// `execution-mode` (performance, accuracy), `inference-precision` (auto, f32, bf16, f16).
typedef struct leat_option {
    const char *name, *value;
} leat_option;

typedef struct leat_model leat_model;
typedef struct leat_compiled_model leat_compiled_model;
typedef struct leat_vision_model leat_vision_model;
typedef struct leat_request leat_request;

/// Reads a model file.
leat_status leat_read_model(const char *path, leat_model **model);
/// Gives an input of the model other sizes.
leat_status leat_model_reshape(leat_model *, const char *input, const int64_t *sizes, size_t rank);
void leat_model_free(leat_model *);

/// Compiles for a device ("CPU" when it is null). `options` may be null when `count` is 0.
leat_status leat_compile(const leat_model *, const char *device, const leat_option *options, size_t count,
                         leat_compiled_model **compiled);
void leat_compiled_model_free(leat_compiled_model *);
/// Inferences worth keeping in flight; 0 for null. With the option latency_bound_ms it begins with one and changes
/// while inferences run, up to leat_most_depth().
size_t leat_depth(const leat_compiled_model *);
size_t leat_most_depth(const leat_compiled_model *);

/// An input or output.
typedef struct leat_port {
    const char *name;
    leat_type type;
    int32_t image; ///< 1: takes pictures, see leat_vision_set_frame(); else 0
    size_t rank;
    const int64_t *sizes; ///< -1 where any size will do
} leat_port;
size_t leat_input_count(const leat_compiled_model *);
size_t leat_output_count(const leat_compiled_model *);
leat_status leat_input(const leat_compiled_model *, size_t index, leat_port *port);
leat_status leat_output(const leat_compiled_model *, size_t index, leat_port *port);

/// An effective value, and one sentence why.
typedef struct leat_setting {
    const char *name, *value, *reason;
} leat_setting;
size_t leat_setting_count(const leat_compiled_model *);
leat_status leat_get_setting(const leat_compiled_model *, size_t index, leat_setting *setting);

leat_status leat_request_create(const leat_compiled_model *, leat_request **request);
/// Waits for a running inference. Must not be called in the callback.
void leat_request_free(leat_request *);

/// The tensor of that input or output, or of the only input when `name` is null. `sizes` and `data` live until another
/// tensor is set or, where the model leaves sizes open, until the next inference.
leat_status leat_request_tensor(leat_request *, const char *name, leat_tensor *tensor);
leat_status leat_request_set_tensor(leat_request *, const char *name, const leat_tensor *);
leat_status leat_request_set_tensors(leat_request *, const char *name, const leat_tensor *tensors, size_t count);
/// `begin` and `end` have as many sizes as the tensor.
leat_status leat_request_set_region(leat_request *, const char *name, const leat_tensor *, const int64_t *begin,
                                    const int64_t *end);

leat_status leat_request_set_stream(leat_request *, uint64_t stream, int32_t priority);

/// Told how the inference ended: LEAT_OK, LEAT_ERROR or LEAT_CANCELLED, and the sentence, which is null for LEAT_OK and
/// lives until the callback returns.
typedef void (*leat_callback)(leat_request *, leat_status, const char *error, void *user);
/// Null: none.
leat_status leat_request_set_callback(leat_request *, leat_callback, void *user);

leat_status leat_request_start(leat_request *);
/// LEAT_OK, or what the last inference failed with.
leat_status leat_request_wait(leat_request *);
/// The same; LEAT_TIMEOUT when the request is not idle within that time, or never ran.
leat_status leat_request_wait_for(leat_request *, int64_t milliseconds);
leat_status leat_request_infer(leat_request *);
leat_status leat_request_cancel(leat_request *);

typedef int32_t leat_state;
enum { LEAT_STATE_IDLE = 0, LEAT_STATE_BUSY = 1, LEAT_STATE_CANCELLED = 2 };
leat_status leat_request_state(const leat_request *, leat_state *state);
leat_status leat_request_bytes_copied(const leat_request *, uint64_t *bytes);

/// Opens a model that takes pictures. Options are those of leat_option and `device`, `task` (detect, classify),
/// `decoder`, `labels-file`, `threshold`, `iou-threshold`, `max-objects`.
leat_status leat_vision_open(const char *path, const leat_option *options, size_t count, leat_vision_model **model);
void leat_vision_free(leat_vision_model *);
/// 1 when the model detects, 0 when it classifies, and for null.
int32_t leat_vision_detects(const leat_vision_model *);
/// The model below, as a handle of its own.
leat_status leat_vision_compiled(const leat_vision_model *, leat_compiled_model **compiled);
/// A request of this model, with the inputs besides the picture filled in.
leat_status leat_vision_request(const leat_vision_model *, leat_request **request);
/// `region` null: the whole frame.
leat_status leat_vision_set_frame(const leat_vision_model *, leat_request *, const leat_image *frame,
                                  const leat_region *region);

typedef struct leat_keypoint {
    float x, y, score; ///< in frame pixels
} leat_keypoint;
typedef struct leat_detection {
    leat_region box;
    float score;
    int32_t label_id;
    const char *label;
    const leat_keypoint *keypoints;
    size_t keypoint_count;
} leat_detection;
/// Of the last inference, best score first. The array belongs to the request and lives until the next call of this
/// function for it.
leat_status leat_vision_detections(const leat_vision_model *, leat_request *, const leat_detection **detections,
                                   size_t *count);

typedef struct leat_class_score {
    int32_t label_id;
    float score;
    const char *label;
    const char *output; ///< name of the model's output
} leat_class_score;
/// The same for a model that classifies.
leat_status leat_vision_classes(const leat_vision_model *, leat_request *, const leat_class_score **classes,
                                size_t *count);

#ifdef __cplusplus
}
#endif

#endif
