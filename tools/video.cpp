#include "model_options.h"
#include "subcommand.h"

#include "devices/image_model.h"

#include <leat/error.h>

#include <gst/gst.h>
#include <gst/video/gstvideometa.h>
#include <gst/video/video.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <unistd.h>

namespace leat {
namespace {

namespace fs = std::filesystem;

struct Unref {
    void operator()(gpointer object) const { gst_object_unref(object); }
    void operator()(GstMessage *message) const { gst_message_unref(message); }
    void operator()(GstSample *sample) const { gst_sample_unref(sample); }
    void operator()(GstStructure *structure) const { gst_structure_free(structure); }
};
template <class T> using Ref = std::unique_ptr<T, Unref>;

struct VideoOptions {
    std::string model, video, output = "out", device = "CPU";
    DecodeOptions decode;
};

/// What the pads of the running pipeline tell.
struct Watched {
    std::atomic<uint64_t> frames = 0;
    std::mutex mutex;
    std::map<std::string, uint64_t> objects; ///< by label
    size_t most = 0;                         ///< objects on the picture kept
    Ref<GstSample> picture;
};

size_t count_objects(GstBuffer *buffer, std::map<std::string, uint64_t> *by_label)
{
    size_t count = 0;
    gpointer state = nullptr;
    while (GstMeta *meta =
               gst_buffer_iterate_meta_filtered(buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE)) {
        count++;
        if (by_label)
            (*by_label)[g_quark_to_string(reinterpret_cast<GstVideoRegionOfInterestMeta *>(meta)->roi_type)]++;
    }
    return count;
}

/// On the pad after the overlay: counts, and keeps the picture with the most objects.
GstPadProbeReturn watch(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    auto &watched = *static_cast<Watched *>(data);
    GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER(info);
    std::lock_guard lock(watched.mutex);
    const size_t count = count_objects(buffer, &watched.objects);
    if (!watched.picture || count > watched.most) {
        GstCaps *caps = gst_pad_get_current_caps(pad);
        watched.picture.reset(gst_sample_new(buffer, caps, nullptr, nullptr));
        gst_caps_unref(caps);
        watched.most = count;
    }
    watched.frames++;
    return GST_PAD_PROBE_OK;
}

Ref<GstElement> element(GstElement *pipeline, const char *name)
{
    return Ref<GstElement>(gst_bin_get_by_name(GST_BIN(pipeline), name));
}

Ref<GstElement> make_pipeline(const VideoOptions &options, Watched &watched)
{
    GError *fault = nullptr;
    Ref<GstElement> pipeline(
        gst_parse_launch("filesrc name=source ! decodebin ! videoconvert ! leatdetect name=detect ! leatmetaconvert ! "
                         "leatpublish name=publish file-format=json-lines ! videoconvert ! leatoverlay name=overlay ! "
                         "videoconvert ! video/x-raw,format=I420 ! x264enc speed-preset=veryfast ! h264parse ! "
                         "mp4mux ! filesink name=sink",
                         &fault));
    if (fault) {
        const std::string why = fault->message;
        g_error_free(fault);
        throw Error("the pipeline cannot be made: " + why + "; is GST_PLUGIN_PATH the folder of libgstleat.so?");
    }
    auto set = [&](const char *name, const char *property, const std::string &value) {
        g_object_set(element(pipeline.get(), name).get(), property, value.c_str(), nullptr);
    };
    set("source", "location", options.video);
    set("detect", "model", options.model);
    set("detect", "device", options.device);
    g_object_set(element(pipeline.get(), "detect").get(), "threshold", options.decode.threshold, "iou-threshold",
                 options.decode.iou_threshold, "max-objects", options.decode.max_objects, nullptr);
    set("publish", "file-path", fs::path(options.output) / "detections.jsonl");
    set("sink", "location", fs::path(options.output) / "annotated.mp4");
    Ref<GstPad> pad(gst_element_get_static_pad(element(pipeline.get(), "overlay").get(), "src"));
    gst_pad_add_probe(pad.get(), GST_PAD_PROBE_TYPE_BUFFER, watch, &watched, nullptr);
    return pipeline;
}

void show_progress(GstElement *pipeline, uint64_t frames, double seconds, bool last)
{
    static const bool terminal = isatty(STDERR_FILENO);
    if (!terminal && !last)
        return;
    gint64 position = 0, duration = 0;
    const bool known = gst_element_query_position(pipeline, GST_FORMAT_TIME, &position) &&
                       gst_element_query_duration(pipeline, GST_FORMAT_TIME, &duration) && duration > 0;
    const int percent = last ? 100 : known ? static_cast<int>(100 * std::min(position, duration) / duration) : 0;
    std::fprintf(stderr, "\r%3d %%  %llu frames  %.1f fps %s", percent, static_cast<unsigned long long>(frames),
                 static_cast<double>(frames) / std::max(seconds, 1e-3), last ? "\n" : "");
}

[[noreturn]] void throw_error(GstMessage *message)
{
    GError *fault = nullptr;
    gst_message_parse_error(message, &fault, nullptr);
    const std::string text = fault->message;
    g_error_free(fault);
    throw Error(text);
}

/// Plays to the end. Returns the seconds that it took from the first frame wanted to the last frame written.
double play(GstElement *pipeline, const Watched &watched)
{
    Ref<GstBus> bus(gst_element_get_bus(pipeline));
    const auto begin = std::chrono::steady_clock::now();
    auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    while (true) {
        Ref<GstMessage> message(
            gst_bus_timed_pop_filtered(bus.get(), GST_SECOND / 5, GstMessageType(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
        if (message && GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_ERROR)
            throw_error(message.get());
        show_progress(pipeline, watched.frames, seconds(), bool(message));
        if (message)
            return seconds();
    }
}

void write_picture(const Watched &watched, const fs::path &path)
{
    if (!watched.picture)
        return;
    GstCaps *png = gst_caps_new_empty_simple("image/png");
    GError *fault = nullptr;
    Ref<GstSample> sample(gst_video_convert_sample(watched.picture.get(), png, 10 * GST_SECOND, &fault));
    gst_caps_unref(png);
    if (!sample) {
        const std::string why = fault ? fault->message : "no encoder";
        g_clear_error(&fault);
        throw Error("cannot write \"" + path.string() + "\": " + why);
    }
    GstBuffer *buffer = gst_sample_get_buffer(sample.get());
    GstMapInfo map;
    gst_buffer_map(buffer, &map, GST_MAP_READ);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char *>(map.data), static_cast<std::streamsize>(map.size));
    gst_buffer_unmap(buffer, &map);
}

double number(const GstStructure *stats, const char *name)
{
    double value = 0;
    gst_structure_get_double(stats, name, &value);
    return value;
}

void print_objects(const Watched &watched)
{
    std::string text;
    for (const auto &[label, count] : watched.objects)
        text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + label;
    std::printf("objects   %s\n", text.empty() ? "none" : text.c_str());
}

void print_settings(const ImageModel &model)
{
    for (const Setting &setting : model.compiled->settings())
        std::printf("%-9s %s = %s: %s\n", "", setting.name.c_str(), setting.value.c_str(), setting.reason.c_str());
    std::map<std::string, int> kernels;
    for (const NodeReport &node : model.compiled->nodes())
        kernels[node.device + " " + node.kernel]++;
    std::string text;
    for (const auto &[kernel, count] : kernels)
        text += (text.empty() ? "" : ", ") + std::to_string(count) + " x " + kernel;
    std::printf("nodes     %s\n", text.c_str());
}

void print_summary(GstElement *pipeline, const VideoOptions &options, const Watched &watched, double seconds)
{
    GstStructure *given = nullptr;
    g_object_get(element(pipeline, "detect").get(), "stats", &given, nullptr);
    const Ref<GstStructure> stats(given);
    std::printf("frames    %llu in %.2f s: %.1f fps\n", static_cast<unsigned long long>(watched.frames), seconds,
                static_cast<double>(watched.frames) / seconds);
    std::printf("latency   p50 %.1f ms, p99 %.1f ms in leatdetect\n", number(stats.get(), "latency-p50-ms"),
                number(stats.get(), "latency-p99-ms"));
    print_objects(watched);
    ImageModelOptions same;
    same.device = options.device;
    same.compile.performance_hint = PerformanceHint::throughput;
    const auto model = open_image_model(options.model, Task::detect, same);
    std::printf("model     %s: decoder %s, %s\n", options.model.c_str(), std::string(model->decoder->name).c_str(),
                model->decoder_reason.c_str());
    std::printf("device    %s\n", options.device.c_str());
    print_settings(*model);
}

void run_video(const VideoOptions &options)
{
    if (!fs::is_regular_file(options.video))
        throw Error("there is no video \"" + options.video + "\"");
    fs::create_directories(options.output);
    gst_init(nullptr, nullptr);
    Watched watched;
    const auto pipeline = make_pipeline(options, watched);
    try {
        const double seconds = play(pipeline.get(), watched);
        print_summary(pipeline.get(), options, watched, seconds);
    } catch (...) {
        gst_element_set_state(pipeline.get(), GST_STATE_NULL);
        throw;
    }
    gst_element_set_state(pipeline.get(), GST_STATE_NULL);
    const fs::path folder = options.output;
    write_picture(watched, folder / "frame.png");
    std::printf("wrote     %s, %s, %s\n", (folder / "annotated.mp4").c_str(), (folder / "detections.jsonl").c_str(),
                (folder / "frame.png").c_str());
}

} // namespace

std::function<int()> add_video(CLI::App &command)
{
    auto options = std::make_shared<VideoOptions>();
    command.add_option("MODEL", options->model, "A detector's model file")->required();
    command.add_option("VIDEO", options->video, "A video file that GStreamer can decode")->required();
    command.add_option("-o,--output", options->output, "Folder for annotated.mp4, detections.jsonl and frame.png")
        ->capture_default_str();
    command.add_option("-d,--device", options->device, "Device that runs the model")->capture_default_str();
    add_decode_options(command, options->decode);
    return [options] {
        run_video(*options);
        return 0;
    };
}

} // namespace leat
