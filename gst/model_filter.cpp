#include "model_filter.h"

#include "gst/backlog.h"
#include "gst/durations.h"
#include "gst/errors.h"
#include "gst/pads.h"
#include "gst/periodic_call.h"
#include "gst/tracer.h"

#include <leat/error.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <deque>
#include <filesystem>
#include <future>
#include <set>

namespace leat {
namespace {

GST_DEBUG_CATEGORY_STATIC(debug_category);
#define GST_CAT_DEFAULT debug_category

/// One or three numbers. Throws Error that says what is wrong.
std::vector<float> numbers(const std::string &text)
{
    std::vector<float> result;
    for (const std::string &item : split_list(text)) {
        float value = 0;
        const char *end = item.data() + item.size();
        const auto parsed = std::from_chars(item.data(), end, value);
        if (parsed.ec != std::errc() || parsed.ptr != end)
            throw Error("\"" + item + "\" is not a number");
        result.push_back(value);
    }
    if (!result.empty() && result.size() != 1 && result.size() != 3)
        throw Error("\"" + text + "\" has " + std::to_string(result.size()) + " numbers, want 1 or 3");
    return result;
}

std::string check_numbers(const char *property, const std::string &text)
{
    try {
        numbers(text);
        return "";
    } catch (const Error &error) {
        return std::string("property ") + property + ": " + error.what() + "; give one number or three, such as " +
               property + "=123.675,116.28,103.53";
    }
}

std::string check_mean(const std::string &text)
{
    return check_numbers("mean", text);
}

std::string check_scale(const std::string &text)
{
    const std::string fault = check_numbers("scale", text);
    if (!fault.empty())
        return fault;
    const auto given = numbers(text);
    return std::count(given.begin(), given.end(), 0.f) ? "property scale: pixels cannot be divided by 0" : "";
}

std::vector<std::string> labels_of(const ModelSettings &settings)
{
    if (!settings.labels.empty() && !settings.labels_file.empty())
        throw Error("the properties labels and labels-file are both set; want one of them");
    if (settings.labels_file.empty())
        return split_list(settings.labels);
    return in_context("property labels-file", [&] { return read_labels(settings.labels_file); });
}

std::optional<ColourOrder> order_of(InputColor color)
{
    switch (color) {
    case InputColor::rgb: return ColourOrder::rgb;
    case InputColor::bgr: return ColourOrder::bgr;
    case InputColor::gray: return ColourOrder::gray;
    case InputColor::automatic: break;
    }
    return {};
}

std::optional<ResizeMode> resize_of(ResizeChoice choice)
{
    switch (choice) {
    case ResizeChoice::stretch: return ResizeMode::stretch;
    case ResizeChoice::letterbox: return ResizeMode::letterbox;
    case ResizeChoice::letterbox_corner: return ResizeMode::letterbox_corner;
    case ResizeChoice::automatic: break;
    }
    return {};
}

std::optional<Filter> filter_of(FilterChoice choice)
{
    switch (choice) {
    case FilterChoice::bilinear: return Filter::bilinear;
    case FilterChoice::area: return Filter::area;
    case FilterChoice::automatic: break;
    }
    return {};
}

std::optional<bool> wish_of(Switch choice)
{
    return choice == Switch::automatic ? std::nullopt : std::optional(choice == Switch::on);
}

ImageModelOptions model_options(const ModelSettings &settings)
{
    ImageModelOptions options;
    options.device = settings.device;
    options.compile.performance_hint = settings.performance_hint;
    options.compile.model_priority = settings.model_priority;
    options.compile.latency_bound_ms = settings.latency_bound;
    options.compile.num_requests = settings.nireq;
    options.compile.num_streams = settings.num_streams;
    options.compile.num_threads = settings.num_threads;
    options.compile.batch_size = settings.batch_size;
    options.compile.batch_timeout_ms = settings.batch_timeout;
    options.compile.core_type = settings.core_type;
    options.compile.hyper_threading = wish_of(settings.hyper_threading);
    options.compile.pinning = wish_of(settings.pinning);
    options.compile.execution_mode = settings.execution_mode;
    options.compile.inference_precision = settings.inference_precision;
    options.compile.cache_dir = settings.cache_dir;
    options.compile.cache_size = settings.cache_size;
    options.decoder = settings.decoder;
    options.order = order_of(settings.input_color);
    options.mean = numbers(settings.mean);
    options.scale = numbers(settings.scale);
    options.resize = resize_of(settings.resize_mode);
    options.filter = filter_of(settings.resize_filter);
    options.width = settings.input_width;
    options.height = settings.input_height;
    options.labels = labels_of(settings);
    return options;
}

uint64_t next_stream()
{
    static std::atomic<uint64_t> streams{0};
    return ++streams;
}

/// A region of a frame at work.
struct RegionWork {
    Job job;
    int index = -1; // in regions_of_interest(); -1: the whole frame
    Affine to_frame;
    Results decoded;
    AsyncQueue::Clock::duration decoding{};
};

/// A frame at work: one job for each region that the model sees.
struct FrameWork {
    int width = 0, height = 0;
    const ImageModel *model = nullptr; // the element's, which stays as long as something is at work
    std::deque<RegionWork> regions;    // a deque: jobs must not move
    std::atomic<size_t> unfinished = 0;
    std::exception_ptr error; // the frame could not be given to the model
};

} // namespace

/// A model on its way in the background.
struct Loading {
    ModelSettings settings;
    std::future<std::shared_ptr<const ImageModel>> model;
};

struct ModelFilterState {
    const uint64_t stream = next_stream();
    std::optional<Loading> loading; // under the element's state lock
    PeriodicCall stats_call;

    std::mutex mutex; // guards what follows
    std::shared_ptr<const ImageModel> model;
    std::string model_name;
    guint depth = 1;          // nireq, or what the device asks for
    bool bounded = false;     // latency-bound: the model's depth changes, up to that one
    bool has_backlog = false; // nothing but the model bounds how many frames are inside, as `backlog` says
    Backlog backlog;
    size_t burst = 1; // frames that upstream makes in a row where they need not leave soon
    uint64_t inferred = 0, skipped = 0, jobs = 0;
    int in_flight = 0, most_in_flight = 0;
    Durations queued, preprocess, inference, decode;

    // Sink pad's thread alone.
    GstVideoInfo info{};
    uint64_t frames_since_start = 0;

    // Source pad's thread alone.
    JobTracks tracks;
};

namespace {

ModelFilterState &state_of(LeatAsyncFilter *filter)
{
    return *LEAT_MODEL_FILTER(filter)->state;
}

std::shared_ptr<const ImageModel> model_of(ModelFilterState &state)
{
    std::lock_guard lock(state.mutex);
    return state.model;
}

std::shared_ptr<const ImageModel> open_model(LeatModelFilter *self, const ModelSettings &settings)
{
    return open_image_model(settings.model, LEAT_MODEL_FILTER_GET_CLASS(self)->task(), model_options(settings));
}

/// "" or the sentence why the properties together make no sense.
std::string property_faults(const ModelSettings &settings)
{
    if (settings.model.empty())
        return "property model is not set; want the path of a model file (.onnx, or .xml)";
    if (settings.inference_region == InferenceRegion::full_frame && !settings.object_class.empty())
        return "property object-class chooses among regions, but inference-region is full-frame; set "
               "inference-region=roi-list";
    if (settings.max_latency > 0 && settings.late_policy == LatePolicy::block)
        return "property max-latency bounds nothing while late-policy is block; set late-policy=skip-inference or "
               "late-policy=drop-oldest, or max-latency=0";
    return "";
}

gboolean refuse(LeatModelFilter *self, Fault fault, const std::string &sentence)
{
    post_error(GST_ELEMENT(self), fault, sentence);
    return FALSE;
}

void tell_progress(LeatModelFilter *self, GstProgressType type, const std::string &text)
{
    gst_element_post_message(GST_ELEMENT(self),
                             gst_message_new_progress(GST_OBJECT(self), type, "model", text.c_str()));
}

/// Opens the model and tells the application of it. Any thread.
std::shared_ptr<const ImageModel> load_model(LeatModelFilter *self, const ModelSettings &settings)
{
    const std::string file = std::filesystem::path(settings.model).filename().string();
    tell_progress(self, GST_PROGRESS_TYPE_START, "loading " + file + " for " + settings.device);
    try {
        auto model = open_model(self, settings);
        tell_progress(self, GST_PROGRESS_TYPE_COMPLETE, file + " is ready on " + settings.device);
        return model;
    } catch (...) {
        tell_progress(self, GST_PROGRESS_TYPE_ERROR, file + " cannot be loaded");
        throw;
    }
}

/// The fault that keeps the model from being loaded, if there is one already.
std::optional<std::pair<Fault, std::string>> fault_of(LeatModelFilter *self, const ModelSettings &settings)
{
    const std::string refused = self->settings->faults();
    if (!refused.empty())
        return {{Fault::property, refused}};
    const std::string faults = property_faults(settings);
    if (!faults.empty())
        return {{Fault::property, faults}};
    std::error_code ignored;
    if (!std::filesystem::exists(settings.model, ignored))
        return {{Fault::not_found, "model \"" + settings.model + "\" does not exist; check the property model"}};
    return {};
}

/// Elements of one pipeline load their models side by side. Faults wait for open().
void load(LeatAsyncFilter *filter)
{
    LeatModelFilter *self = LEAT_MODEL_FILTER(filter);
    const auto settings = self->settings->now();
    if (fault_of(self, *settings))
        return;
    self->state->loading =
        Loading{*settings, std::async(std::launch::async, [self, settings] { return load_model(self, *settings); })};
}

/// What was loaded in the background, unless the settings have changed since.
std::shared_ptr<const ImageModel> loaded_model(LeatModelFilter *self, const ModelSettings &settings)
{
    std::optional<Loading> loading = std::exchange(self->state->loading, std::nullopt);
    return loading && loading->settings == settings ? loading->model.get() : load_model(self, settings);
}

void take_model(ModelFilterState &state, const ModelSettings &settings, std::shared_ptr<const ImageModel> model)
{
    state.frames_since_start = 0;
    std::lock_guard lock(state.mutex);
    state.model_name = std::filesystem::path(settings.model).stem().string();
    state.depth = static_cast<guint>(settings.nireq ? settings.nireq : std::max(1, model->compiled->most_depth()));
    state.bounded = settings.latency_bound > 0;
    state.has_backlog = !settings.nireq && !state.bounded && settings.late_policy == LatePolicy::block &&
                        settings.performance_hint == PerformanceHint::throughput;
    state.backlog = {};
    state.inferred = state.skipped = state.jobs = 0;
    state.most_in_flight = 0;
    for (Durations *durations : {&state.queued, &state.preprocess, &state.inference, &state.decode})
        durations->clear();
    // The old one goes after the new one came, so that what both share need not be made again.
    std::swap(state.model, model);
}

gboolean open(LeatAsyncFilter *filter)
{
    LeatModelFilter *self = LEAT_MODEL_FILTER(filter);
    const auto settings = self->settings->now();
    if (const auto fault = fault_of(self, *settings))
        return refuse(self, fault->first, fault->second);
    std::shared_ptr<const ImageModel> model;
    try {
        model = loaded_model(self, *settings);
    } catch (...) {
        return refuse(self, Fault::open, sentence_of(std::current_exception()));
    }
    GST_INFO_OBJECT(self, "decoder: %s", model->decoder_reason.c_str());
    for (const Setting &setting : model->compiled->settings())
        GST_INFO_OBJECT(self, "%s = %s: %s", setting.name.c_str(), setting.value.c_str(), setting.reason.c_str());
    take_model(*self->state, *settings, std::move(model));
    return TRUE;
}

void close(LeatAsyncFilter *filter)
{
    std::shared_ptr<const ImageModel> last;
    ModelFilterState &state = state_of(filter);
    state.loading.reset();
    std::lock_guard lock(state.mutex);
    std::swap(state.model, last);
}

guint most_depth(LeatAsyncFilter *filter)
{
    ModelFilterState &state = state_of(filter);
    std::lock_guard lock(state.mutex);
    return state.depth;
}

Room room(LeatAsyncFilter *filter)
{
    const bool live = is_live(filter);
    ModelFilterState &state = state_of(filter);
    std::lock_guard lock(state.mutex);
    if (state.has_backlog)
        return state.backlog.room(state.depth, live ? 1 : state.burst);
    if (!state.bounded || !state.model)
        return Room::prompt(state.depth);
    return Room::prompt(std::min(state.depth, static_cast<guint>(std::max(1, state.model->compiled->depth()))));
}

gboolean set_caps(LeatAsyncFilter *filter, GstCaps *caps)
{
    ModelFilterState &state = state_of(filter);
    if (!gst_video_info_from_caps(&state.info, caps))
        return FALSE;
    std::lock_guard lock(state.mutex);
    state.burst = Backlog::burst(GST_VIDEO_INFO_SIZE(&state.info));
    return TRUE;
}

struct ChosenRegion {
    int index;
    Region rectangle;
};

std::vector<ChosenRegion> choose_regions(GstBuffer *buffer, const ModelSettings &settings, int width, int height)
{
    if (settings.inference_region == InferenceRegion::full_frame)
        return {{-1, {0, 0, static_cast<float>(width), static_cast<float>(height)}}};
    const auto wanted = split_list(settings.object_class);
    const auto found = regions_of_interest(buffer, width, height);
    std::vector<ChosenRegion> chosen;
    for (size_t i = 0; i < found.size(); i++)
        if (wanted.empty() || std::find(wanted.begin(), wanted.end(), found[i].label) != wanted.end())
            chosen.push_back({static_cast<int>(i), found[i].rectangle});
    return chosen;
}

void fill(FrameWork &work, const Image &frame, const std::vector<ChosenRegion> &regions)
{
    for (const ChosenRegion &region : regions) {
        RegionWork &at_work = work.regions.emplace_back();
        at_work.index = region.index;
        at_work.job.images.push_back(with_region(frame, work.model->spec, region.rectangle));
        at_work.job.inputs = work.model->constants;
        at_work.to_frame = at_work.job.images.front().to_frame;
    }
}

LivePolicy policy(LeatAsyncFilter *filter)
{
    const auto settings = LEAT_MODEL_FILTER(filter)->settings->now();
    return {settings->late_policy, std::chrono::milliseconds(settings->max_latency)};
}

/// Reads the outputs while they are in the caches of the core that wrote them, and lets go of them.
void decode(LeatModelFilter *self, const ImageModel &model, RegionWork &region)
{
    const auto decode_options = LEAT_MODEL_FILTER_GET_CLASS(self)->decode_options;
    if (!decode_options || region.job.error)
        return;
    const auto begin = AsyncQueue::Clock::now();
    try {
        region.decoded =
            model.decoder->decode(model.facts, model.spec, decode_options(*self->settings->now()), region.job.outputs);
        region.job.outputs.clear();
    } catch (...) {
        region.job.error = std::current_exception();
    }
    region.decoding = AsyncQueue::Clock::now() - begin;
}

/// A device's thread: one job less. The entry's release comes last, because the element may be gone after it.
void end_job(LeatAsyncFilter *filter, AsyncQueue::Handle entry, std::shared_ptr<FrameWork> work)
{
    if (--work->unfinished == 0) {
        std::lock_guard lock(state_of(filter).mutex);
        state_of(filter).in_flight--;
    }
    work.reset();
    release(filter, std::move(entry));
}

void submit(LeatAsyncFilter *filter, const AsyncQueue::Handle &entry)
{
    ModelFilterState &state = state_of(filter);
    const auto work = std::static_pointer_cast<FrameWork>(entry->item.work);
    {
        std::lock_guard lock(state.mutex);
        state.inferred++;
        state.in_flight += !work->regions.empty();
        state.most_in_flight = std::max(state.most_in_flight, state.in_flight);
    }
    work->unfinished = work->regions.size();
    for (RegionWork &region : work->regions) {
        hold(filter, *entry);
        region.job.stream = state.stream;
        region.job.done = [filter, entry, work, &region](Job &) mutable {
            decode(LEAT_MODEL_FILTER(filter), *work->model, region);
            end_job(filter, std::move(entry), std::move(work));
        };
        work->model->compiled->submit(region.job);
    }
}

void drain(LeatAsyncFilter *filter)
{
    if (const auto model = model_of(state_of(filter)))
        model->compiled->flush();
}

gboolean prepare(LeatAsyncFilter *filter, AsyncItem &item)
{
    ModelFilterState &state = state_of(filter);
    const auto settings = LEAT_MODEL_FILTER(filter)->settings->now();
    if (state.frames_since_start++ % static_cast<uint64_t>(settings->inference_interval)) {
        item.not_inferred = "interval";
        std::lock_guard lock(state.mutex);
        state.skipped++;
        return FALSE;
    }
    auto work = std::make_shared<FrameWork>();
    item.work = work;
    work->model = model_of(state).get();
    try {
        if (settings->inference_region == InferenceRegion::roi_list)
            item.object.reset(GST_MINI_OBJECT_CAST(adopt_analytics(GST_BUFFER_CAST(item.object.release()))));
        GstBuffer *buffer = GST_BUFFER_CAST(item.object.get());
        work->width = GST_VIDEO_INFO_WIDTH(&state.info);
        work->height = GST_VIDEO_INFO_HEIGHT(&state.info);
        const auto regions = choose_regions(buffer, *settings, work->width, work->height);
        if (!regions.empty())
            fill(*work, image_of(buffer, state.info), regions);
    } catch (...) {
        work->error = std::current_exception();
        work->regions.clear();
    }
    return TRUE;
}

void count(ModelFilterState &state, const FrameWork &work)
{
    std::lock_guard lock(state.mutex);
    state.jobs += work.regions.size();
    for (const RegionWork &region : work.regions) {
        state.queued.add(region.job.started - region.job.submitted);
        state.preprocess.add(region.job.prepared - region.job.started);
        state.inference.add(region.job.finished - region.job.prepared);
    }
}

void attach(LeatModelFilter *self, GstBuffer *buffer, const FrameWork &work)
{
    const auto found = regions_of_interest(buffer, work.width, work.height);
    const RegionOfInterest whole{nullptr, 0, "",
                                 Region{0, 0, static_cast<float>(work.width), static_cast<float>(work.height)}};
    for (const RegionWork &done : work.regions) {
        if (done.job.error)
            std::rethrow_exception(done.job.error);
        const RegionOfInterest &region = done.index < 0 ? whole : found.at(static_cast<size_t>(done.index));
        LEAT_MODEL_FILTER_GET_CLASS(self)->attach(buffer, {*work.model, self->state->model_name, region, done.to_frame,
                                                           work.width, work.height, done.decoded, done.job.outputs});
    }
}

/// Takes the buffer. Throws Error when a job has failed or its outputs cannot be read; the buffer is gone then.
GstBuffer *with_results(LeatModelFilter *self, GstBuffer *buffer, FrameWork &work)
{
    count(*self->state, work);
    if (const auto timeline = active_timeline())
        for (const RegionWork &region : work.regions)
            self->state->tracks.draw(*timeline, GST_ELEMENT(self), region.job);
    for (RegionWork &region : work.regions)
        region.job.images.clear(); // they keep the buffer mapped and not writable
    if (!work.error && work.regions.empty())
        return buffer;
    buffer = work.error ? buffer : gst_buffer_make_writable(buffer);
    try {
        if (work.error)
            std::rethrow_exception(work.error);
        const auto begin = AsyncQueue::Clock::now();
        attach(self, buffer, work);
        auto took = AsyncQueue::Clock::now() - begin;
        for (const RegionWork &region : work.regions)
            took += region.decoding;
        std::lock_guard lock(self->state->mutex);
        self->state->decode.add(took);
        return buffer;
    } catch (...) {
        gst_buffer_unref(buffer);
        throw;
    }
}

GstFlowReturn finish(LeatAsyncFilter *filter, AsyncItem &item, GstBuffer **out)
{
    LeatModelFilter *self = LEAT_MODEL_FILTER(filter);
    GstBuffer *buffer = GST_BUFFER_CAST(item.object.release());
    {
        std::lock_guard lock(self->state->mutex);
        self->state->backlog.left(Backlog::Clock::now());
        if (item.not_inferred) {
            *out = mark_not_inferred(buffer, self->state->model_name, item.not_inferred);
            return GST_FLOW_OK;
        }
    }
    try {
        *out = with_results(self, buffer, *std::static_pointer_cast<FrameWork>(item.work));
        return GST_FLOW_OK;
    } catch (...) {
        post_error(GST_ELEMENT(filter), Fault::frame, sentence_of(std::current_exception()));
        return GST_FLOW_ERROR;
    }
}

double milliseconds(GstClockTime time)
{
    return static_cast<double>(time) / GST_MSECOND;
}

double milliseconds(Durations::Duration duration)
{
    return std::chrono::duration<double, std::milli>(duration).count();
}

void set_percentiles(GstStructure *stats, const std::string &name, const Durations &durations)
{
    for (const int percent : {50, 95, 99})
        gst_structure_set(stats, (name + "-p" + std::to_string(percent) + "-ms").c_str(), G_TYPE_DOUBLE,
                          milliseconds(durations.percentile(percent)), nullptr);
}

/// Every decision about the model with its reason: "value (reason)" under the setting's name.
GstStructure *settings_structure(const ImageModel &model)
{
    GstStructure *settings = gst_structure_new_empty("settings");
    for (const Setting &setting : model.compiled->settings())
        gst_structure_set(settings, setting.name.c_str(), G_TYPE_STRING,
                          (setting.value + " (" + setting.reason + ")").c_str(), nullptr);
    return settings;
}

GstStructure *stats(LeatModelFilter *self, const char *name)
{
    const AsyncCounts passed = counts(LEAT_ASYNC_FILTER(self));
    const auto depth = static_cast<guint>(room(LEAT_ASYNC_FILTER(self)).most);
    ModelFilterState &state = *self->state;
    std::lock_guard lock(state.mutex);
    GstStructure *stats = gst_structure_new(
        name, "frames-in", G_TYPE_UINT64, passed.frames_in, "frames-out", G_TYPE_UINT64, passed.frames_out, "inferred",
        G_TYPE_UINT64, state.inferred, "skipped", G_TYPE_UINT64, state.skipped, "late-skipped", G_TYPE_UINT64,
        passed.late_skipped, "late-dropped", G_TYPE_UINT64, passed.late_dropped, "qos-late", G_TYPE_UINT64,
        passed.qos_late, "jobs", G_TYPE_UINT64, state.jobs, "depth", G_TYPE_UINT, depth, "in-flight", G_TYPE_INT,
        state.in_flight, "most-in-flight", G_TYPE_INT, state.most_in_flight, "latency-p50-ms", G_TYPE_DOUBLE,
        milliseconds(passed.latency_p50), "latency-p95-ms", G_TYPE_DOUBLE, milliseconds(passed.latency_p95),
        "latency-p99-ms", G_TYPE_DOUBLE, milliseconds(passed.latency_p99), "reported-latency-ms", G_TYPE_DOUBLE,
        milliseconds(passed.reported_latency), nullptr);
    set_percentiles(stats, "queue", state.queued);
    set_percentiles(stats, "preprocess", state.preprocess);
    set_percentiles(stats, "inference", state.inference);
    set_percentiles(stats, "decode", state.decode);
    if (!state.model)
        return stats;
    gst_structure_set(stats, "device", G_TYPE_STRING, self->settings->now()->device.c_str(), "decoder", G_TYPE_STRING,
                      state.model->decoder ? std::string(state.model->decoder->name).c_str() : "none", "decoder-reason",
                      G_TYPE_STRING, state.model->decoder_reason.c_str(), "model-users", G_TYPE_INT,
                      static_cast<int>(state.model->compiled.use_count()), nullptr);
    GstStructure *settings = settings_structure(*state.model);
    gst_structure_set(stats, "settings", GST_TYPE_STRUCTURE, settings, nullptr);
    gst_structure_free(settings);
    return stats;
}

void post_stats(GstElement *element)
{
    GstStructure *now = stats(LEAT_MODEL_FILTER(element), "leat-stats");
    gst_element_post_message(element, gst_message_new_element(GST_OBJECT(element), now));
}

/// Has the statistics posted as stats-interval says, while the element may have frames. Any thread.
void schedule_stats(LeatModelFilter *self)
{
    const bool active = GST_PAD_IS_ACTIVE(self->parent.srcpad);
    const std::chrono::milliseconds interval(active ? self->settings->now()->stats_interval : 0);
    self->state->stats_call.start(GST_ELEMENT(self), post_stats, interval);
}

const GEnumValue hint_values[] = {
    {int(PerformanceHint::latency), "Each frame as soon as possible: all cores work on one job", "latency"},
    {int(PerformanceHint::throughput), "As many frames a second as possible: jobs run side by side", "throughput"},
    {0, nullptr, nullptr},
};
const GEnumValue late_values[] = {
    {int(LatePolicy::block), "Upstream waits; every frame is inferred", "block"},
    {int(LatePolicy::drop_oldest), "Frames that cannot be inferred in time are dropped, the oldest first",
     "drop-oldest"},
    {int(LatePolicy::skip_inference), "Frames that cannot be inferred in time pass without results, marked so",
     "skip-inference"},
    {0, nullptr, nullptr},
};
const GEnumValue core_values[] = {
    {int(CoreType::any), "What performance-hint finds best", "any"},
    {int(CoreType::performance), "The fast ones only", "performance"},
    {int(CoreType::efficient), "The slow ones only", "efficient"},
    {0, nullptr, nullptr},
};
const GEnumValue switch_values[] = {
    {int(Switch::automatic), "As found best for this machine", "auto"},
    {int(Switch::off), "Off", "off"},
    {int(Switch::on), "On", "on"},
    {0, nullptr, nullptr},
};
const GEnumValue mode_values[] = {
    {int(ExecutionMode::performance), "Fewer bits than the model has, where the processor is faster with them",
     "performance"},
    {int(ExecutionMode::accuracy), "The model's own precision", "accuracy"},
    {0, nullptr, nullptr},
};
const GEnumValue precision_values[] = {
    {int(InferencePrecision::automatic), "As execution-mode and the processor have it", "auto"},
    {int(InferencePrecision::f32), "32 bits", "f32"},
    {int(InferencePrecision::bf16), "16 bits with the exponents of f32", "bf16"},
    {int(InferencePrecision::f16), "16 bits, IEEE half precision", "f16"},
    {0, nullptr, nullptr},
};
const GEnumValue priority_values[] = {
    {int(ModelPriority::low), "After the others", "low"},
    {int(ModelPriority::medium), "In the middle", "medium"},
    {int(ModelPriority::high), "Before the others", "high"},
    {0, nullptr, nullptr},
};
const GEnumValue color_values[] = {
    {int(InputColor::automatic), "As the decoder's family of models expects it", "auto"},
    {int(InputColor::rgb), "Red, green, blue", "rgb"},
    {int(InputColor::bgr), "Blue, green, red", "bgr"},
    {int(InputColor::gray), "One channel of luma", "gray"},
    {0, nullptr, nullptr},
};
const GEnumValue resize_values[] = {
    {int(ResizeChoice::automatic), "As the decoder's family of models expects it", "auto"},
    {int(ResizeChoice::stretch), "Each axis scaled on its own", "stretch"},
    {int(ResizeChoice::letterbox), "Aspect ratio kept, picture in the middle, rest padded", "letterbox"},
    {int(ResizeChoice::letterbox_corner), "Aspect ratio kept, picture at the top left, rest padded",
     "letterbox-corner"},
    {0, nullptr, nullptr},
};
const GEnumValue filter_values[] = {
    {int(FilterChoice::automatic), "As the decoder's family of models expects it", "auto"},
    {int(FilterChoice::bilinear), "From the pixels next to it", "bilinear"},
    {int(FilterChoice::area), "The mean of all that it covers", "area"},
    {0, nullptr, nullptr},
};
const GEnumValue region_values[] = {
    {int(InferenceRegion::full_frame), "The whole frame", "full-frame"},
    {int(InferenceRegion::roi_list), "Each region that an element upstream has found", "roi-list"},
    {0, nullptr, nullptr},
};

using M = ModelSettings;

std::vector<Property<M>> common_properties()
{
    return {
        text(&M::model, "model", "Model",
             "Path of the model file (.onnx, .xml with its .bin beside it, or what `leat compile` wrote)",
             before_start),
        text(&M::device, "device", "Device",
             "What runs the model: CPU, REF (slow, exact), or devices made of others such as BATCH:CPU(4)",
             before_start),
        choice(&M::performance_hint, "performance-hint", "Performance hint",
               "What to optimise for; decides streams and requests unless they are set",
               enumeration("LeatPerformanceHint", hint_values), M{}.performance_hint, before_start),
        choice(&M::model_priority, "model-priority", "Model priority",
               "Whose jobs the CPU starts first where models share it; of sixteen starts one is whoever waited longest",
               enumeration("LeatModelPriority", priority_values), M{}.model_priority, before_start),
        integer(&M::latency_bound, "latency-bound", "Latency bound",
                "Milliseconds under which the 99th percentile of the jobs' latencies shall stay: as many frames are "
                "inside at once as that allows, no more than nireq, and fewer streams of more cores where one alone is "
                "late; stats say how many, and why; 0: no bound",
                0, 3600000, before_start),
        integer(&M::nireq, "nireq", "Number of inference requests",
                "Frames that may be inside the element at once; upstream waits beyond that. 1 works on one frame at a "
                "time; 0 takes as many as the device needs, and of a fast model as many as leave in "
                "16 ms, and of small frames from a source that is not live 5 MB more, up to 12",
                0, 1024, before_start),
        integer(&M::num_streams, "num-streams", "Number of streams",
                "Jobs that the CPU runs side by side; 0 follows performance-hint", 0, 1024, before_start),
        integer(&M::num_threads, "num-threads", "Number of threads", "Cores that the CPU's streams share; 0: all", 0,
                4096, before_start),
        text(&M::cache_dir, "cache-dir", "Cache folder",
             "Where compiled models are kept for the next start and for other processes; not set: nowhere",
             before_start),
        integer(&M::cache_size, "cache-size", "Cache size",
                "MiB that cache-dir may take; the models whose last use is longest ago are removed first", 0, 1 << 30,
                before_start),
        integer(&M::batch_size, "batch-size", "Batch size",
                "Frames or regions, of whatever stream, that the device works on as one; 1: never more; 0: as many as "
                "the device gains by",
                0, 1024, before_start),
        integer(&M::batch_timeout, "batch-timeout", "Batch timeout",
                "Milliseconds after which a batch that does not fill starts as it is; 0: as long as a batch runs", 0,
                3600000, before_start),
        choice(&M::core_type, "core-type", "Core type",
               "Which cores to use, where the processor has fast and slow ones",
               enumeration("LeatCoreType", core_values), M{}.core_type, before_start),
        choice(&M::hyper_threading, "hyper-threading", "Hyper-threading",
               "Whether streams also use the second hardware threads of the cores",
               enumeration("LeatSwitch", switch_values), M{}.hyper_threading, before_start),
        choice(&M::pinning, "pinning", "Pinning", "Whether the CPU's threads are bound to their cores",
               enumeration("LeatSwitch", switch_values), M{}.pinning, before_start),
        choice(&M::execution_mode, "execution-mode", "Execution mode",
               "Whether speed may cost bits; decides inference-precision unless that is set",
               enumeration("LeatExecutionMode", mode_values), M{}.execution_mode, before_start),
        choice(&M::inference_precision, "inference-precision", "Inference precision",
               "Type in which layers of floats compute; one that the processor lacks is not taken, and stats say why",
               enumeration("LeatInferencePrecision", precision_values), M{}.inference_precision, before_start),
        integer(&M::inference_interval, "inference-interval", "Inference interval",
                "Run the model on every n-th frame, beginning with the first; the others pass as they are", 1, 1000000,
                while_playing),
        choice(&M::late_policy, "late-policy", "Late policy",
               "What becomes of frames that come faster than the model can look at them, and of those that downstream "
               "finds too late (QoS)",
               enumeration("LeatLatePolicy", late_values), M{}.late_policy, before_start),
        integer(&M::max_latency, "max-latency", "Max latency",
                "With late-policy=skip-inference or drop-oldest: milliseconds after which a frame leaves (or is "
                "dropped), inferred or not, counted from where it enters the element; 0: no bound",
                0, 3600000, before_start),
        integer(
            &M::stats_interval, "stats-interval", "Statistics interval",
            "Milliseconds after which stats is posted on the bus again and again, as the element message leat-stats, "
            "whether frames come or not; 0: never",
            0, 3600000, while_playing),
        text(&M::object_class, "object-class", "Object class",
             "With inference-region=roi-list: labels of the regions to look at, separated by commas; not set: all",
             while_playing),
        choice(&M::input_color, "input-color", "Input color", "Order of the model's input channels",
               enumeration("LeatInputColor", color_values), M{}.input_color, before_start),
        text(&M::mean, "mean", "Mean",
             "Taken from each pixel value (0 to 255), before scale: one number or three in the order of input-color, "
             "such as 123.675,116.28,103.53; not set: as the decoder's family expects it",
             before_start, check_mean),
        text(&M::scale, "scale", "Scale",
             "Divides each pixel value, after mean: one number or three, such as 255; not set: as the decoder's "
             "family expects it",
             before_start, check_scale),
        choice(&M::resize_mode, "resize-mode", "Resize mode", "How the frame or region fills the model's input",
               enumeration("LeatResizeMode", resize_values), M{}.resize_mode, before_start),
        choice(&M::resize_filter, "resize-filter", "Resize filter",
               "How a pixel of the model's input is made where the frame or region shrinks",
               enumeration("LeatResizeFilter", filter_values), M{}.resize_filter, before_start),
        integer(&M::input_width, "input-width", "Input width",
                "Width in pixels of what the model sees, for models that leave it open; 0: as customary for the family",
                0, 65536, before_start),
        integer(
            &M::input_height, "input-height", "Input height",
            "Height in pixels of what the model sees, for models that leave it open; 0: as customary for the family", 0,
            65536, before_start),
    };
}

} // namespace

DecodeOptions decode_options(const ModelSettings &settings)
{
    DecodeOptions options;
    options.threshold = static_cast<float>(settings.threshold);
    options.iou_threshold = static_cast<float>(settings.iou_threshold);
    options.max_objects = settings.max_objects;
    return options;
}

Property<ModelSettings> region_property(InferenceRegion otherwise)
{
    return choice(&M::inference_region, "inference-region", "Inference region", "What the model looks at in each frame",
                  enumeration("LeatInferenceRegion", region_values), otherwise, while_playing);
}

std::vector<Property<ModelSettings>> decoder_properties()
{
    std::string known;
    for (const Decoder *row : decoders())
        known += (known.empty() ? "" : ", ") + std::string(row->name);
    return {
        text(&M::decoder, "decoder", "Decoder",
             g_intern_string(("How to read the model's outputs, when the file alone does not tell: " + known).c_str()),
             before_start),
        text(&M::labels, "labels", "Labels",
             "Names of the classes in the model's order, separated by commas; not set: those in the model file or "
             "customary for its family",
             before_start),
        text(&M::labels_file, "labels-file", "Labels file", "Text file with one class name a line, instead of labels",
             before_start),
        number(&M::threshold, "threshold", "Threshold",
               "Results with less confidence are left out; -1: as customary for the model's family", -1, 1,
               while_playing),
    };
}

} // namespace leat

G_DEFINE_ABSTRACT_TYPE(LeatModelFilter, leat_model_filter, LEAT_TYPE_ASYNC_FILTER)

namespace {

/// `stats` is made when asked for; everything else lives in the settings.
void get_property_or_stats(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    if (g_param_spec_get_qdata(spec, leat::property_quark()))
        leat::get_property<LeatModelFilter>(object, id, value, spec);
    else
        g_value_take_boxed(value, leat::stats(LEAT_MODEL_FILTER(object), "stats"));
}

void set_property_and_schedule(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    leat::set_property<LeatModelFilter>(object, id, value, spec);
    if (spec->name == std::string_view("stats-interval"))
        leat::schedule_stats(LEAT_MODEL_FILTER(object));
}

GstStateChangeReturn change_state(GstElement *element, GstStateChange transition)
{
    const auto result = GST_ELEMENT_CLASS(leat_model_filter_parent_class)->change_state(element, transition);
    if (transition == GST_STATE_CHANGE_READY_TO_PAUSED || transition == GST_STATE_CHANGE_PAUSED_TO_READY)
        leat::schedule_stats(LEAT_MODEL_FILTER(element));
    return result;
}

void finalize(GObject *object)
{
    LeatModelFilter *self = LEAT_MODEL_FILTER(object);
    delete self->state;
    delete self->settings;
    G_OBJECT_CLASS(leat_model_filter_parent_class)->finalize(object);
}

} // namespace

void leat_model_filter_class_add_properties(LeatModelFilterClass *klass,
                                            const std::vector<leat::Property<leat::ModelSettings>> &rows)
{
    GObjectClass *object_class = G_OBJECT_CLASS(klass);
    object_class->set_property = set_property_and_schedule;
    object_class->get_property = get_property_or_stats;
    leat::install_properties(object_class, rows);
}

static void leat_model_filter_init(LeatModelFilter *self)
{
    self->settings = new leat::Settings<leat::ModelSettings>;
    self->state = new leat::ModelFilterState;
}

static void leat_model_filter_class_init(LeatModelFilterClass *klass)
{
    GST_DEBUG_CATEGORY_INIT(leat::debug_category, "leatmodel", 0, "Leat's elements that run models");
    GObjectClass *object_class = G_OBJECT_CLASS(klass);
    object_class->finalize = finalize;
    GST_ELEMENT_CLASS(klass)->change_state = change_state;
    const auto rows = leat::common_properties();
    const guint stats_id = static_cast<guint>(rows.size()) + 1;
    leat_model_filter_class_add_properties(klass, rows);
    g_object_class_install_property(
        object_class, stats_id,
        g_param_spec_boxed("stats", "Statistics",
                           "Frames in, out, inferred, skipped (inference-interval), late-skipped and late-dropped "
                           "(late-policy; of these qos-late because downstream said so); latency, time in the device's "
                           "queue, preprocessing, inference and decode of the outputs in milliseconds (median, 95th "
                           "and 99th percentile of the last 512); device, decoder and every setting with the reason "
                           "for it",
                           GST_TYPE_STRUCTURE, GParamFlags(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
    LeatAsyncFilterClass *filter_class = LEAT_ASYNC_FILTER_CLASS(klass);
    filter_class->load = leat::load;
    filter_class->open = leat::open;
    filter_class->close = leat::close;
    filter_class->room = leat::room;
    filter_class->most_depth = leat::most_depth;
    filter_class->set_caps = leat::set_caps;
    filter_class->policy = leat::policy;
    filter_class->prepare = leat::prepare;
    filter_class->submit = leat::submit;
    filter_class->finish = leat::finish;
    filter_class->drain = leat::drain;
    leat::add_pads(GST_ELEMENT_CLASS(klass), LEAT_FRAME_CAPS);
    gst_type_mark_as_plugin_api(LEAT_TYPE_ASYNC_FILTER, GstPluginAPIFlags(0));
    gst_type_mark_as_plugin_api(LEAT_TYPE_MODEL_FILTER, GstPluginAPIFlags(0));
}
