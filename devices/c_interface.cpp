#include <leat/core.h>
#include <leat/error.h>
#include <leat/leat.h>
#include <leat/vision.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

using leat::Busy;
using leat::Cancelled;
using leat::Error;
using leat::Image;
using leat::Options;
using leat::Tensor;
using leat::Type;

struct leat_model {
    leat::Model model;
};

struct leat_compiled_model {
    std::shared_ptr<leat::CompiledModel> model;
    std::vector<leat::Setting> settings;
};

struct leat_vision_model {
    leat::VisionModel model;
};

struct leat_request {
    // What the last answers pointed to.
    std::vector<leat::Detection> detections;
    std::vector<leat_detection> detection_rows;
    std::vector<std::vector<leat_keypoint>> keypoints;
    std::vector<leat::ClassScore> classes;
    std::vector<leat_class_score> class_rows;
    leat::InferRequest request; // last: its destructor waits for the callback, which may use the others
};

namespace {

static_assert(LEAT_F32 == static_cast<int>(Type::f32) && LEAT_BOOL == static_cast<int>(Type::boolean));
static_assert(LEAT_NV12 == static_cast<int>(leat::PixelFormat::nv12) &&
              LEAT_GRAY8 == static_cast<int>(leat::PixelFormat::gray8));
static_assert(LEAT_STATE_CANCELLED == static_cast<int>(leat::InferRequest::State::cancelled));

thread_local std::string last_error;

leat_status fail(leat_status status, const char *sentence) noexcept
{
    try {
        last_error = sentence;
    } catch (...) {
        last_error.clear(); // there is no memory for it
    }
    return status;
}

/// The status for the exception in flight, whose sentence becomes the last error.
leat_status fail() noexcept
{
    try {
        throw;
    } catch (const Cancelled &error) {
        return fail(LEAT_CANCELLED, error.what());
    } catch (const Busy &error) {
        return fail(LEAT_BUSY, error.what());
    } catch (const std::exception &error) {
        return fail(LEAT_ERROR, error.what());
    } catch (...) {
        return fail(LEAT_ERROR, "an unknown error");
    }
}

template <class Body> leat_status guarded(Body &&body) noexcept
{
    try {
        body();
        return LEAT_OK;
    } catch (...) {
        return fail();
    }
}

template <class T> T &required(T *pointer, const char *name)
{
    if (!pointer)
        throw Error(std::string("the argument ") + name + " is null");
    return *pointer;
}

const char *or_empty(const char *text)
{
    return text ? text : "";
}

template <class T> std::span<const T> array(const T *data, size_t count, const char *name)
{
    if (count > 0)
        required(data, name);
    return {data, count};
}

// Options

int whole_number(const std::string &name, const std::string &value)
{
    int number = 0;
    const auto end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, number);
    if (parsed.ec != std::errc() || parsed.ptr != end || number < 0)
        throw Error("option " + name + ": \"" + value + "\" is not a whole number of 0 or more");
    return number;
}

float number(const std::string &name, const std::string &value)
{
    float number = 0;
    const auto end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, number);
    if (parsed.ec != std::errc() || parsed.ptr != end)
        throw Error("option " + name + ": \"" + value + "\" is not a number");
    return number;
}

template <class Value> using Words = std::initializer_list<std::pair<const char *, Value>>;

template <class Value> Value word(const std::string &name, const std::string &value, Words<Value> words)
{
    std::string known;
    for (const auto &[text, meant] : words) {
        if (value == text)
            return meant;
        known += (known.empty() ? "" : ", ") + std::string(text);
    }
    throw Error("option " + name + ": \"" + value + "\" is none of " + known);
}

constexpr Words<bool> switches = {{"on", true}, {"off", false}};

struct OptionRow {
    const char *name;
    void (*set)(leat::VisionOptions &, const std::string &name, const std::string &value);
};

using Target = leat::VisionOptions;
using Text = const std::string;

constexpr OptionRow compile_rows[] = {
    {"performance-hint",
     [](Target &to, Text &name, Text &value) {
         to.compile.performance_hint = word<leat::PerformanceHint>(
             name, value,
             {{"latency", leat::PerformanceHint::latency}, {"throughput", leat::PerformanceHint::throughput}});
     }},
    {"model-priority",
     [](Target &to, Text &name, Text &value) {
         using Priority = leat::ModelPriority;
         to.compile.model_priority = word<Priority>(
             name, value, {{"low", Priority::low}, {"medium", Priority::medium}, {"high", Priority::high}});
     }},
    {"latency-bound",
     [](Target &to, Text &name, Text &value) { to.compile.latency_bound_ms = whole_number(name, value); }},
    {"num-requests", [](Target &to, Text &name, Text &value) { to.compile.num_requests = whole_number(name, value); }},
    {"num-streams", [](Target &to, Text &name, Text &value) { to.compile.num_streams = whole_number(name, value); }},
    {"num-threads", [](Target &to, Text &name, Text &value) { to.compile.num_threads = whole_number(name, value); }},
    {"core-type",
     [](Target &to, Text &name, Text &value) {
         to.compile.core_type = word<leat::CoreType>(name, value,
                                                     {{"any", leat::CoreType::any},
                                                      {"performance", leat::CoreType::performance},
                                                      {"efficient", leat::CoreType::efficient}});
     }},
    {"hyper-threading",
     [](Target &to, Text &name, Text &value) { to.compile.hyper_threading = word<bool>(name, value, switches); }},
    {"pinning", [](Target &to, Text &name, Text &value) { to.compile.pinning = word<bool>(name, value, switches); }},
    {"execution-mode",
     [](Target &to, Text &name, Text &value) {
         to.compile.execution_mode = word<leat::ExecutionMode>(
             name, value,
             {{"performance", leat::ExecutionMode::performance}, {"accuracy", leat::ExecutionMode::accuracy}});
     }},
    {"inference-precision",
     [](Target &to, Text &name, Text &value) {
         using Precision = leat::InferencePrecision;
         to.compile.inference_precision = word<Precision>(name, value,
                                                          {{"auto", Precision::automatic},
                                                           {"f32", Precision::f32},
                                                           {"bf16", Precision::bf16},
                                                           {"f16", Precision::f16}});
     }},
    {"profiling",
     [](Target &to, Text &name, Text &value) { to.compile.profiling = word<bool>(name, value, switches); }},
};

constexpr OptionRow vision_rows[] = {
    {"device", [](Target &to, Text &, Text &value) { to.device = value; }},
    {"task", [](Target &to, Text &, Text &value) { to.task = value; }},
    {"decoder", [](Target &to, Text &, Text &value) { to.decoder = value; }},
    {"labels-file", [](Target &to, Text &, Text &value) { to.labels_file = value; }},
    {"threshold", [](Target &to, Text &name, Text &value) { to.threshold = number(name, value); }},
    {"iou-threshold", [](Target &to, Text &name, Text &value) { to.iou_threshold = number(name, value); }},
    {"max-objects", [](Target &to, Text &name, Text &value) { to.max_objects = whole_number(name, value); }},
};

leat::VisionOptions options_of(std::span<const leat_option> given,
                               std::initializer_list<std::span<const OptionRow>> tables)
{
    leat::VisionOptions options;
    for (const leat_option &option : given) {
        const std::string name = or_empty(option.name), value = or_empty(option.value);
        const OptionRow *found = nullptr;
        std::string known;
        for (const auto table : tables)
            for (const OptionRow &row : table) {
                known += (known.empty() ? "" : ", ") + std::string(row.name);
                if (name == row.name)
                    found = &row;
            }
        if (!found)
            throw Error("there is no option \"" + name + "\"; the options are " + known);
        found->set(options, name, value);
    }
    return options;
}

// Memory of the caller

/// Calls `release` when the last copy is gone, also when none can be made.
std::shared_ptr<const void> owner_of(leat_release release, void *user)
{
    if (!release)
        return nullptr;
    return {user, [release](const void *held) { release(const_cast<void *>(held)); }};
}

Type type_of(leat_type type)
{
    if (type < LEAT_F32 || type > LEAT_BOOL)
        throw Error("there is no type " + std::to_string(type));
    return static_cast<Type>(type);
}

leat::Shape shape_of(const int64_t *sizes, size_t rank, int64_t least)
{
    const auto given = array(sizes, rank, "sizes");
    for (int64_t size : given)
        if (size < least)
            throw Error("a tensor cannot have a size of " + std::to_string(size));
    return {given.begin(), given.end()};
}

Tensor tensor_of(const leat_tensor &given)
{
    auto owner = owner_of(given.release, given.user);
    const Type type = type_of(given.type);
    const leat::Shape shape = shape_of(given.sizes, given.rank, 0);
    if (static_cast<uint64_t>(leat::count_of(shape)) > given.bytes / leat::size_of(type))
        throw Error("a tensor " + std::string(to_string(type)) + "[" + leat::to_string(shape) + "] does not fit in " +
                    std::to_string(given.bytes) + " bytes");
    if (given.bytes > 0 && !given.data)
        throw Error("the data of the tensor is null");
    return Tensor::view(type, shape, given.data, std::move(owner));
}

bool is_yuv(const Image &image)
{
    return image.format == leat::PixelFormat::nv12 || image.format == leat::PixelFormat::i420;
}

leat::ColourStandard standard_of(const leat_image &given)
{
    switch (given.standard) {
    case LEAT_STANDARD_CUSTOMARY:
        return given.height <= 576 ? leat::ColourStandard::bt601 : leat::ColourStandard::bt709;
    case LEAT_BT601: return leat::ColourStandard::bt601;
    case LEAT_BT709: return leat::ColourStandard::bt709;
    case LEAT_BT2020: return leat::ColourStandard::bt2020;
    default: throw Error("there is no colour standard " + std::to_string(given.standard));
    }
}

leat::ColourRange range_of(const leat_image &given, const Image &image)
{
    switch (given.range) {
    case LEAT_RANGE_CUSTOMARY: return is_yuv(image) ? leat::ColourRange::limited : leat::ColourRange::full;
    case LEAT_LIMITED: return leat::ColourRange::limited;
    case LEAT_FULL: return leat::ColourRange::full;
    default: throw Error("there is no colour range " + std::to_string(given.range));
    }
}

Image image_of(const leat_image &given)
{
    Image image;
    image.owner = owner_of(given.release, given.user);
    if (given.format < LEAT_NV12 || given.format > LEAT_GRAY8)
        throw Error("there is no pixel format " + std::to_string(given.format));
    image.format = static_cast<leat::PixelFormat>(given.format);
    image.width = given.width;
    image.height = given.height;
    for (size_t i = 0; i < image.planes.size(); i++)
        image.planes[i] = {given.planes[i], given.strides[i]};
    image.colour = colour_matrix(image.format, standard_of(given), range_of(given, image));
    return image;
}

// Answers

leat_port port_of(const leat::Port &port)
{
    return {port.name.c_str(), static_cast<leat_type>(port.type), port.image ? 1 : 0, port.shape.size(),
            port.shape.data()};
}

leat_status get_port(std::span<const leat::Port> ports, size_t index, leat_port *port)
{
    return guarded([&] {
        required(port, "port");
        if (index >= ports.size())
            throw Error("there is no port " + std::to_string(index) + ": there are " + std::to_string(ports.size()));
        *port = port_of(ports[index]);
    });
}

std::unique_ptr<leat_compiled_model> handle_of(std::shared_ptr<leat::CompiledModel> model)
{
    auto settings = model->settings();
    return std::make_unique<leat_compiled_model>(leat_compiled_model{std::move(model), std::move(settings)});
}

std::unique_ptr<leat_request> handle_of(leat::InferRequest request)
{
    return std::unique_ptr<leat_request>(new leat_request{{}, {}, {}, {}, {}, std::move(request)});
}

void call(leat_callback callback, leat_request *request, const std::exception_ptr &error, void *user)
{
    if (!error)
        return callback(request, LEAT_OK, nullptr, user);
    try {
        std::rethrow_exception(error);
    } catch (...) {
        const leat_status status = fail();
        const std::string sentence = last_error; // the callback may fail with another
        callback(request, status, sentence.c_str(), user);
    }
}

leat_detection row_of(const leat::Detection &found, std::vector<leat_keypoint> &keypoints)
{
    for (const auto &point : found.keypoints)
        keypoints.push_back({point.x, point.y, point.score});
    return {{found.box.x, found.box.y, found.box.width, found.box.height},
            found.score,
            found.label_id,
            found.label.c_str(),
            keypoints.data(),
            keypoints.size()};
}

} // namespace

const char *leat_version(void)
{
    return LEAT_VERSION;
}

const char *leat_last_error(void)
{
    return last_error.c_str();
}

leat_status leat_read_model(const char *path, leat_model **model)
{
    return guarded([&] {
        required(model, "model");
        *model = new leat_model{leat::Core::read_model(&required(path, "path"))};
    });
}

leat_status leat_model_reshape(leat_model *model, const char *input, const int64_t *sizes, size_t rank)
{
    return guarded([&] {
        leat::Model &given = required(model, "model").model;
        const leat::Shape wanted = shape_of(sizes, rank, -1);
        given = given.reshaped({{&required(input, "input"), leat::Dimensions(wanted.begin(), wanted.end())}});
    });
}

void leat_model_free(leat_model *model)
{
    delete model;
}

leat_status leat_compile(const leat_model *model, const char *device, const leat_option *options, size_t count,
                         leat_compiled_model **compiled)
{
    return guarded([&] {
        required(compiled, "compiled");
        const Options wishes = options_of(array(options, count, "options"), {compile_rows}).compile;
        *compiled =
            handle_of(leat::Core::compile_model(required(model, "model").model, device ? device : "CPU", wishes))
                .release();
    });
}

void leat_compiled_model_free(leat_compiled_model *model)
{
    delete model;
}

size_t leat_depth(const leat_compiled_model *compiled)
{
    return compiled ? static_cast<size_t>(compiled->model->depth()) : 0;
}

size_t leat_most_depth(const leat_compiled_model *compiled)
{
    return compiled ? static_cast<size_t>(compiled->model->most_depth()) : 0;
}

size_t leat_input_count(const leat_compiled_model *compiled)
{
    return compiled ? compiled->model->inputs().size() : 0;
}

size_t leat_output_count(const leat_compiled_model *compiled)
{
    return compiled ? compiled->model->outputs().size() : 0;
}

leat_status leat_input(const leat_compiled_model *compiled, size_t index, leat_port *port)
{
    return guarded([&] { required(compiled, "compiled"); }) == LEAT_OK
               ? get_port(compiled->model->inputs(), index, port)
               : LEAT_ERROR;
}

leat_status leat_output(const leat_compiled_model *compiled, size_t index, leat_port *port)
{
    return guarded([&] { required(compiled, "compiled"); }) == LEAT_OK
               ? get_port(compiled->model->outputs(), index, port)
               : LEAT_ERROR;
}

size_t leat_setting_count(const leat_compiled_model *compiled)
{
    return compiled ? compiled->settings.size() : 0;
}

leat_status leat_get_setting(const leat_compiled_model *compiled, size_t index, leat_setting *setting)
{
    return guarded([&] {
        const auto &settings = required(compiled, "compiled").settings;
        required(setting, "setting");
        if (index >= settings.size())
            throw Error("there is no setting " + std::to_string(index) + ": there are " +
                        std::to_string(settings.size()));
        const leat::Setting &found = settings[index];
        *setting = {found.name.c_str(), found.value.c_str(), found.reason.c_str()};
    });
}

leat_status leat_request_create(const leat_compiled_model *compiled, leat_request **request)
{
    return guarded([&] {
        required(request, "request");
        *request = handle_of(leat::InferRequest(required(compiled, "compiled").model)).release();
    });
}

void leat_request_free(leat_request *request)
{
    delete request;
}

leat_status leat_request_tensor(leat_request *request, const char *name, leat_tensor *tensor)
{
    return guarded([&] {
        required(tensor, "tensor");
        Tensor &found = required(request, "request").request.tensor(or_empty(name));
        if (!found)
            throw Error(std::string("the tensor \"") + or_empty(name) +
                        "\" has no memory yet: the model leaves its sizes open; set one, or run an inference");
        *tensor = {static_cast<leat_type>(found.type()),
                   found.rank(),
                   found.shape().data(),
                   found.raw(),
                   found.bytes(),
                   nullptr,
                   nullptr};
    });
}

leat_status leat_request_set_tensor(leat_request *request, const char *name, const leat_tensor *tensor)
{
    return guarded([&] {
        Tensor given = tensor_of(required(tensor, "tensor"));
        required(request, "request").request.set_tensor(or_empty(name), std::move(given));
    });
}

leat_status leat_request_set_tensors(leat_request *request, const char *name, const leat_tensor *tensors, size_t count)
{
    return guarded([&] {
        std::vector<Tensor> given;
        std::exception_ptr first; // the others are released too
        for (const leat_tensor &tensor : array(tensors, count, "tensors"))
            try {
                given.push_back(tensor_of(tensor));
            } catch (...) {
                if (!first)
                    first = std::current_exception();
            }
        if (first)
            std::rethrow_exception(first);
        required(request, "request").request.set_tensors(or_empty(name), std::move(given));
    });
}

leat_status leat_request_set_region(leat_request *request, const char *name, const leat_tensor *tensor,
                                    const int64_t *begin, const int64_t *end)
{
    return guarded([&] {
        const Tensor owner = tensor_of(required(tensor, "tensor"));
        const auto from = array(begin, tensor->rank, "begin"), to = array(end, tensor->rank, "end");
        required(request, "request")
            .request.set_region(or_empty(name), owner, {from.begin(), from.end()}, {to.begin(), to.end()});
    });
}

leat_status leat_request_set_stream(leat_request *request, uint64_t stream, int32_t priority)
{
    return guarded([&] { required(request, "request").request.set_stream(stream, priority); });
}

leat_status leat_request_set_callback(leat_request *request, leat_callback callback, void *user)
{
    return guarded([&] {
        std::function<void(std::exception_ptr)> calls;
        if (callback)
            calls = [=](const std::exception_ptr &error) { call(callback, request, error, user); };
        required(request, "request").request.set_callback(std::move(calls));
    });
}

leat_status leat_request_start(leat_request *request)
{
    return guarded([&] { required(request, "request").request.start_async(); });
}

leat_status leat_request_wait(leat_request *request)
{
    return guarded([&] { required(request, "request").request.wait(); });
}

leat_status leat_request_wait_for(leat_request *request, int64_t milliseconds)
{
    bool ended = false;
    const leat_status status = guarded(
        [&] { ended = required(request, "request").request.wait_for(std::chrono::milliseconds(milliseconds)); });
    return status == LEAT_OK && !ended ? fail(LEAT_TIMEOUT, "the request is not idle within that time, or never ran")
                                       : status;
}

leat_status leat_request_infer(leat_request *request)
{
    return guarded([&] { required(request, "request").request.infer(); });
}

leat_status leat_request_cancel(leat_request *request)
{
    return guarded([&] { required(request, "request").request.cancel(); });
}

leat_status leat_request_state(const leat_request *request, leat_state *state)
{
    return guarded([&] {
        required(state, "state");
        *state = static_cast<leat_state>(required(request, "request").request.state());
    });
}

leat_status leat_request_bytes_copied(const leat_request *request, uint64_t *bytes)
{
    return guarded([&] {
        required(bytes, "bytes");
        *bytes = required(request, "request").request.bytes_copied();
    });
}

leat_status leat_vision_open(const char *path, const leat_option *options, size_t count, leat_vision_model **model)
{
    return guarded([&] {
        required(model, "model");
        const auto wishes = options_of(array(options, count, "options"), {compile_rows, vision_rows});
        *model = new leat_vision_model{leat::VisionModel(&required(path, "path"), wishes)};
    });
}

void leat_vision_free(leat_vision_model *model)
{
    delete model;
}

int32_t leat_vision_detects(const leat_vision_model *model)
{
    return model && model->model.detects() ? 1 : 0;
}

leat_status leat_vision_compiled(const leat_vision_model *model, leat_compiled_model **compiled)
{
    return guarded([&] {
        required(compiled, "compiled");
        *compiled = handle_of(required(model, "model").model.compiled()).release();
    });
}

leat_status leat_vision_request(const leat_vision_model *model, leat_request **request)
{
    return guarded([&] {
        required(request, "request");
        *request = handle_of(required(model, "model").model.make_request()).release();
    });
}

leat_status leat_vision_set_frame(const leat_vision_model *model, leat_request *request, const leat_image *frame,
                                  const leat_region *region)
{
    return guarded([&] {
        Image image = image_of(required(frame, "frame"));
        std::optional<leat::Region> part;
        if (region)
            part = {region->x, region->y, region->width, region->height};
        required(model, "model").model.set_frame(required(request, "request").request, std::move(image), part);
    });
}

leat_status leat_vision_detections(const leat_vision_model *model, leat_request *request,
                                   const leat_detection **detections, size_t *count)
{
    return guarded([&] {
        required(detections, "detections");
        required(count, "count");
        leat_request &owner = required(request, "request");
        owner.detections = required(model, "model").model.detections(owner.request);
        owner.detection_rows.clear();
        owner.keypoints.assign(owner.detections.size(), {});
        for (size_t i = 0; i < owner.detections.size(); i++)
            owner.detection_rows.push_back(row_of(owner.detections[i], owner.keypoints[i]));
        *detections = owner.detection_rows.data();
        *count = owner.detection_rows.size();
    });
}

leat_status leat_vision_classes(const leat_vision_model *model, leat_request *request, const leat_class_score **classes,
                                size_t *count)
{
    return guarded([&] {
        required(classes, "classes");
        required(count, "count");
        leat_request &owner = required(request, "request");
        owner.classes = required(model, "model").model.classes(owner.request);
        owner.class_rows.clear();
        for (const leat::ClassScore &found : owner.classes)
            owner.class_rows.push_back({found.label_id, found.score, found.label.c_str(), found.output.c_str()});
        *classes = owner.class_rows.data();
        *count = owner.class_rows.size();
    });
}
