#include "picture.h"

#include "gst/frame.h"

#include <leat/error.h>

#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <gst/video/video.h>

#include <filesystem>
#include <memory>

namespace leat {
namespace {

struct ObjectUnref {
    void operator()(gpointer object) const { gst_object_unref(object); }
};
template <class T> using Ref = std::unique_ptr<T, ObjectUnref>;

struct SampleUnref {
    void operator()(GstSample *sample) const { gst_sample_unref(sample); }
};
using Sample = std::unique_ptr<GstSample, SampleUnref>;

/// JPEG by the exact inverse transform, as other libraries do, not by GStreamer's default, the fast one.
void prefer_exact(GstBin *, GstBin *, GstElement *element, gpointer)
{
    if (g_object_class_find_property(G_OBJECT_GET_CLASS(element), "idct-method"))
        gst_util_set_object_arg(G_OBJECT(element), "idct-method", "islow");
}

/// Stops the pipeline before it is freed.
class Pipeline {
  public:
    explicit Pipeline(const std::string &path)
    {
        // What decoders make passes unconverted: ImageToTensor enlarges chroma better than videoconvert does.
        GError *error = nullptr;
        GstElement *made =
            gst_parse_launch("filesrc name=file ! decodebin ! videoflip video-direction=auto ! videoconvert ! "
                             "appsink name=sink sync=false max-buffers=1 "
                             "caps=\"video/x-raw,format=(string){I420,NV12,RGB}\"",
                             &error);
        pipeline_.reset(made ? GST_ELEMENT(gst_object_ref_sink(made)) : nullptr);
        if (error) {
            const std::string message = error->message;
            g_error_free(error);
            throw Error("pictures cannot be decoded: " + message);
        }
        const Ref<GstElement> file(gst_bin_get_by_name(GST_BIN(pipeline_.get()), "file"));
        g_object_set(file.get(), "location", path.c_str(), nullptr);
        sink_.reset(gst_bin_get_by_name(GST_BIN(pipeline_.get()), "sink"));
        g_signal_connect(pipeline_.get(), "deep-element-added", G_CALLBACK(prefer_exact), nullptr);
    }
    ~Pipeline()
    {
        if (pipeline_)
            gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
    }
    Pipeline(const Pipeline &) = delete;
    Pipeline &operator=(const Pipeline &) = delete;

    void play() { gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING); }

    /// Nothing at the end. Throws Error.
    Sample next_frame()
    {
        constexpr GstClockTime limit = 60 * GST_SECOND, slice = 20 * GST_MSECOND;
        GstAppSink *sink = GST_APP_SINK(sink_.get());
        for (GstClockTime waited = 0; waited < limit; waited += slice) {
            Sample sample(gst_app_sink_try_pull_sample(sink, slice));
            if (sample)
                return sample;
            if (const std::string error = reason(); !error.empty())
                throw Error(error);
            if (gst_app_sink_is_eos(sink))
                return nullptr;
        }
        throw Error("decoding took more than a minute");
    }

  private:
    /// Of the first error; empty when there was none.
    std::string reason()
    {
        const Ref<GstBus> bus(gst_element_get_bus(pipeline_.get()));
        GstMessage *message = gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR);
        if (!message)
            return {};
        GError *error = nullptr;
        gst_message_parse_error(message, &error, nullptr);
        std::string text = error->message;
        g_error_free(error);
        gst_message_unref(message);
        return text;
    }

    Ref<GstElement> pipeline_, sink_;
};

/// Decoders lend buffers of which they have few.
Image copy_of(GstSample *sample)
{
    GstVideoInfo info;
    if (!gst_video_info_from_caps(&info, gst_sample_get_caps(sample)))
        throw Error("its pixels cannot be read");
    GstBuffer *copy = gst_buffer_copy_deep(gst_sample_get_buffer(sample));
    const std::unique_ptr<GstBuffer, decltype(&gst_buffer_unref)> owner(copy, gst_buffer_unref);
    return image_of(copy, info);
}

} // namespace

struct FrameReader::State {
    explicit State(const std::string &file) : path(file), pipeline(file) { pipeline.play(); }
    const std::string path;
    Pipeline pipeline;
    bool any = false;
};

FrameReader::FrameReader(const std::string &path)
{
    in_context("picture \"" + path + "\"", [&] {
        if (!std::filesystem::is_regular_file(path))
            throw Error("there is no such file");
        gst_init(nullptr, nullptr);
        state_ = std::make_unique<State>(path);
    });
}

FrameReader::~FrameReader() = default;
FrameReader::FrameReader(FrameReader &&) noexcept = default;
FrameReader &FrameReader::operator=(FrameReader &&) noexcept = default;

std::optional<Image> FrameReader::next()
{
    return in_context("picture \"" + state_->path + "\"", [&]() -> std::optional<Image> {
        const Sample sample = state_->pipeline.next_frame();
        if (!sample && !state_->any)
            throw Error("it holds no picture");
        state_->any = true;
        return sample ? std::optional(copy_of(sample.get())) : std::nullopt;
    });
}

Image read_picture(const std::string &path)
{
    return *FrameReader(path).next();
}

} // namespace leat
