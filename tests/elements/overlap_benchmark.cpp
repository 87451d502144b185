#include "models.h"

#include <gst/gst.h>

#include <chrono>
#include <cstdio>

// Frames per second of a source that takes 20 ms a frame before a device that takes 20 ms a frame.

namespace {

double frames_per_second(const std::string &model, int nireq)
{
    const int frames = 200;
    GError *error = nullptr;
    GstElement *pipeline = gst_parse_launch(
        ("videotestsrc num-buffers=" + std::to_string(frames) +
         " ! video/x-raw,format=RGB,width=64,height=64 ! identity sleep-time=20000 ! leatdetect model=" + model +
         " device=\"FAKE(latency_ms=20,depth=2)\" nireq=" + std::to_string(nireq) + " ! fakesink sync=false")
            .c_str(),
        &error);
    if (!pipeline) {
        std::fprintf(stderr, "%s\n", error->message);
        return 0;
    }
    const auto begin = std::chrono::steady_clock::now();
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    GstBus *bus = gst_element_get_bus(pipeline);
    gst_message_unref(
        gst_bus_timed_pop_filtered(bus, GST_CLOCK_TIME_NONE, GstMessageType(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    gst_object_unref(bus);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
    return frames / seconds.count();
}

} // namespace

int main(int argc, char **argv)
{
    gst_init(&argc, &argv);
    const TemporaryFolder folder;
    const std::string model = leat::write_detector(folder);
    const double one = frames_per_second(model, 1), two = frames_per_second(model, 2);
    std::printf("1 request: %.1f frames/s\n2 requests: %.1f frames/s\nratio: %.2f\n", one, two, two / one);
    return 0;
}
