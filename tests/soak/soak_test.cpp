#include "census.h"
#include "soak_length.h"
#include "watchdog.h"

#include "elements/pipeline.h"
#include "support/shared_data.h"

#include <algorithm>
#include <functional>
#include <random>

// Streams that come and go, seek, change their size, pause, end and fail, at random, all at once and on shared models.
// LEAT_SOAK_SECONDS=3600 LEAT_SOAK_SEED=7 runs for an hour, with other dice, and prints what it finds every minute.

namespace leat {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char *devices[] = {"FAKE(latency_ms=3,jitter_ms=3,depth=3,outputs=reference)",
                                   "FAKE(latency_ms=3,jitter_ms=3,depth=3,outputs=reference,fail_every=97)", "CPU",
                                   "BATCH:CPU(4)"};

/// Devices keep their threads once they are there: as many lanes as there are cores, and one where a stream asks for
/// one.
void use_every_device(const std::string &model)
{
    for (const char *device : devices)
        for (const char *nireq : {"0", "1"}) {
            Pipeline pipeline(std::string("videotestsrc num-buffers=8 ! video/x-raw,format=I420,width=32,height=32 ! "
                                          "leatdetect device=\"") +
                              device + "\" nireq=" + nireq + " model=" + model + " ! fakesink");
            pipeline.set(GST_STATE_PLAYING);
            ASSERT_TRUE(pipeline.wait_for_eos()) << device;
        }
}

std::string video_file()
{
    return "filesrc location=" + (source_root() / "pipelines/street/street.mp4").string() + " ! decodebin";
}

/// Plugins stay once they are loaded, with all that they have registered.
void load_decoders()
{
    Pipeline pipeline(video_file() + " ! fakesink");
    pipeline.set(GST_STATE_PLAYING);
    ASSERT_TRUE(pipeline.wait_for_eos());
}

/// What a stream is made of; drawn by lot.
struct Recipe {
    std::string text;
    bool fails = false; ///< its device fails from time to time
};

/// One stream: a pipeline of its own, or a bin in the pipeline that several share.
struct Stream {
    GstElement *bin = nullptr; ///< owned by its parent where there is one, else by this
    GstElement *shared = nullptr;
    std::string text;
    bool may_fail = false; ///< something was done to it that ends in an error
    bool failed = false, playing = true;
    bool cut = false; ///< a probe waits for a buffer to cut

    GstElement *find(const char *name) const
    {
        GstElement *element = gst_bin_get_by_name(GST_BIN(bin), name);
        gst_object_unref(element);
        return element;
    }

    guint64 frames_in() const
    {
        GstStructure *stats = nullptr;
        g_object_get(find("detect"), "stats", &stats, nullptr);
        guint64 frames = 0;
        gst_structure_get_uint64(stats, "frames-in", &frames);
        gst_structure_free(stats);
        return frames;
    }

    bool has_ended() const
    {
        GstPad *pad = gst_element_get_static_pad(find("detect"), "sink");
        const bool ended = GST_PAD_IS_EOS(pad);
        gst_object_unref(pad);
        return ended;
    }

    bool is_live() const { return text.find("is-live=true") != std::string::npos; }

    /// Its pads are linked by gst_parse_launch(), which does so once only.
    bool has_late_pads() const { return text.find("decodebin") != std::string::npos; }

    ~Stream()
    {
        if (shared)
            gst_object_ref(bin);
        gst_element_set_state(bin, GST_STATE_NULL);
        if (shared)
            gst_bin_remove(GST_BIN(shared), bin);
        gst_object_unref(bin);
    }
};

/// How often each thing was done, so that a run can show that it was.
struct Tally {
    int added = 0, removed = 0, seeks = 0, caps = 0, pauses = 0, ends = 0, faults = 0, errors = 0, restarts = 0;
};

class Soak {
  public:
    Soak(std::string detector, std::string classifier, unsigned seed, Watchdog &watchdog)
        : detector_(std::move(detector)), classifier_(std::move(classifier)), dice_(seed), watchdog_(watchdog)
    {
        gst_element_set_state(shared_, GST_STATE_PLAYING);
    }

    ~Soak()
    {
        remove_all();
        gst_element_set_state(shared_, GST_STATE_NULL);
        gst_object_unref(shared_);
    }

    /// Something happens to one stream.
    void round()
    {
        const int slot = roll(streams);
        if (!streams_[slot])
            add(slot);
        else if (roll(6) == 0)
            remove(slot);
        else
            disturb(*streams_[slot]);
        take_errors();
        g_usleep(static_cast<gulong>(roll(8000)));
    }

    /// Every stream that should be flowing gets its next frame.
    void expect_flow()
    {
        for (const auto &stream : streams_) {
            if (!stream || stream->may_fail || !stream->playing)
                continue;
            watchdog_.expect("frames in " + stream->text);
            const guint64 before = stream->frames_in();
            while (stream->frames_in() == before && !stream->has_ended() && !has_error(*stream))
                g_usleep(2000);
        }
        take_errors();
    }

    void remove_all()
    {
        for (int slot = 0; slot < streams; slot++)
            if (streams_[slot])
                remove(slot);
        take_errors(); // messages on a bus hold the elements that sent them
    }

    const Tally &tally() const { return tally_; }

  private:
    static constexpr int streams = 8;

    int roll(int sides) { return static_cast<int>(dice_() % static_cast<unsigned>(sides)); }
    template <size_t n> const char *one_of(const char *const (&choices)[n]) { return choices[roll(int(n))]; }

    std::string caps()
    {
        static constexpr const char *formats[] = {"NV12", "I420", "BGRx", "GRAY8"};
        return std::string("video/x-raw,format=") + one_of(formats) + ",width=" + std::to_string(32 + 2 * roll(100)) +
               ",height=" + std::to_string(32 + 2 * roll(80));
    }

    std::string test_pattern(bool live)
    {
        return std::string("videotestsrc is-live=") + (live ? "true" : "false") +
               " ! video/x-raw,format=I420,width=160,height=120,framerate=" + std::to_string(20 + roll(80)) + "/1";
    }

    Recipe recipe(bool alone)
    {
        static constexpr const char *policies[] = {"block", "skip-inference", "drop-oldest"};
        static constexpr const char *rest[] = {"", "leattrack ! ", "leatmetaconvert ! ", "leatfps silent=true ! "};
        // A source that waits for nobody would drop frames as fast as it makes them.
        const bool live = roll(2);
        // Its state changes wait for the demuxer, and with them those of all that are in the same pipeline.
        const bool from_file = alone && !live && roll(2);
        const std::string policy = policies[roll(live ? 3 : 2)], device = one_of(devices);
        const bool bounded = policy != "block" && roll(2);
        const std::string looks_closer =
            roll(3) ? "" : "leatclassify inference-region=roi-list device=CPU model=" + classifier_ + " ! ";
        return {(from_file ? video_file() : test_pattern(live)) +
                    " ! videoscale ! videoconvert ! capsfilter name=caps caps-change-mode=delayed caps=" + caps() +
                    " ! leatdetect name=detect nireq=" + std::to_string(roll(5)) + " stats-interval=" +
                    std::to_string(50 * roll(2)) + " late-policy=" + policy + (bounded ? " max-latency=20" : "") +
                    " device=\"" + device + "\" model=" + detector_ + " ! " + one_of(rest) + looks_closer +
                    "identity name=fault silent=true ! fakesink name=sink async=false sync=" +
                    (policy == "block" && roll(3) == 0 ? "false" : "true"),
                device.find("fail_every") != std::string::npos};
    }

    void add(int slot)
    {
        tally_.added++;
        auto stream = std::make_unique<Stream>();
        const bool alone = slot >= streams / 2;
        const Recipe drawn = recipe(alone);
        stream->text = drawn.text;
        stream->may_fail = drawn.fails;
        watchdog_.expect("the start of " + stream->text);
        GError *error = nullptr;
        stream->bin =
            gst_parse_bin_from_description_full(drawn.text.c_str(), FALSE, nullptr, GST_PARSE_FLAG_NONE, &error);
        ASSERT_FALSE(error) << error->message;
        if (alone) {
            GstElement *pipeline = gst_pipeline_new(nullptr);
            gst_bin_add(GST_BIN(pipeline), stream->bin);
            stream->bin = pipeline;
        } else {
            stream->shared = shared_;
            gst_bin_add(GST_BIN(shared_), stream->bin);
        }
        EXPECT_NE(gst_element_set_state(stream->bin, GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE) << stream->text;
        streams_[slot] = std::move(stream);
    }

    void remove(int slot)
    {
        tally_.removed++;
        watchdog_.expect("the end of " + streams_[slot]->text);
        streams_[slot].reset();
    }

    void disturb(Stream &stream)
    {
        static constexpr void (Soak::*disturbances[])(Stream &) = {&Soak::seek,    &Soak::seek, &Soak::change_caps,
                                                                   &Soak::pause,   &Soak::play, &Soak::end,
                                                                   &Soak::restart, &Soak::fail, &Soak::set_properties};
        watchdog_.expect("a disturbance of " + stream.text);
        (this->*disturbances[roll(static_cast<int>(std::size(disturbances)))])(stream);
    }

    void seek(Stream &stream)
    {
        // GStreamer's base of live sources moves times by what was right before the seek, below zero if need be.
        if (stream.is_live())
            return;
        tally_.seeks++;
        static constexpr double rates[] = {0.5, 1, 1, 2};
        // One that does not flush would wait likewise.
        const int flags = GST_SEEK_FLAG_FLUSH | (roll(2) ? GST_SEEK_FLAG_ACCURATE : 0);
        gst_element_seek(stream.find("sink"), rates[roll(4)], GST_FORMAT_TIME, GstSeekFlags(flags), GST_SEEK_TYPE_SET,
                         roll(8000) * gint64(GST_MSECOND), GST_SEEK_TYPE_NONE, 0);
    }

    void change_caps(Stream &stream)
    {
        tally_.caps++;
        gst_util_set_object_arg(G_OBJECT(stream.find("caps")), "caps", caps().c_str());
    }

    void pause(Stream &stream)
    {
        tally_.pauses++;
        stream.playing = false;
        gst_element_set_state(stream.bin, GST_STATE_PAUSED);
    }

    void play(Stream &stream)
    {
        stream.playing = true;
        gst_element_set_state(stream.bin, GST_STATE_PLAYING);
    }

    void end(Stream &stream)
    {
        // The source takes the event once downstream has taken its frame, which a paused sink does not.
        if (GST_STATE(stream.bin) != GST_STATE_PLAYING || GST_STATE_PENDING(stream.bin) != GST_STATE_VOID_PENDING)
            return;
        tally_.ends++;
        gst_element_send_event(stream.bin, gst_event_new_eos());
    }

    /// Down and up again, whatever has become of it.
    void restart(Stream &stream)
    {
        if (stream.has_late_pads())
            return play(stream);
        tally_.restarts++;
        static constexpr GstState lower[] = {GST_STATE_NULL, GST_STATE_READY};
        gst_element_set_state(stream.bin, lower[roll(2)]);
        take_errors();
        g_object_set(stream.find("fault"), "error-after", -1, nullptr);
        gst_util_set_object_arg(G_OBJECT(stream.find("caps")), "caps", caps().c_str());
        stream.may_fail = stream.cut || stream.text.find("fail_every") != std::string::npos;
        stream.failed = false;
        play(stream);
    }

    void fail(Stream &stream)
    {
        static constexpr void (*faults[])(Stream &) = {
            [](Stream &one) { g_object_set(one.find("fault"), "error-after", 2, nullptr); },
            [](Stream &one) { gst_util_set_object_arg(G_OBJECT(one.find("caps")), "caps", "video/x-raw,format=v210"); },
            cut_next_buffer,
        };
        tally_.faults++;
        stream.may_fail = true;
        faults[roll(static_cast<int>(std::size(faults)))](stream);
    }

    /// The next frame has fewer bytes than its caps say.
    static void cut_next_buffer(Stream &stream)
    {
        stream.cut = true;
        GstPad *pad = gst_element_get_static_pad(stream.find("detect"), "sink");
        gst_pad_add_probe(
            pad, GST_PAD_PROBE_TYPE_BUFFER,
            [](GstPad *, GstPadProbeInfo *info, gpointer) {
                gst_buffer_unref(GST_PAD_PROBE_INFO_BUFFER(info));
                GST_PAD_PROBE_INFO_DATA(info) = gst_buffer_new_allocate(nullptr, 10, nullptr);
                return GST_PAD_PROBE_REMOVE;
            },
            nullptr, nullptr);
        gst_object_unref(pad);
    }

    void set_properties(Stream &stream)
    {
        g_object_set(stream.find("detect"), "threshold", roll(10) / 10.0, "inference-interval", 1 + roll(3), nullptr);
    }

    /// The errors on the buses; those of streams to which nothing was done are failures of the test.
    void take_errors()
    {
        take_errors(shared_, [](Stream &stream) { return stream.shared != nullptr; });
        for (const auto &stream : streams_)
            if (stream && !stream->shared)
                take_errors(stream->bin, [&](Stream &other) { return &other == stream.get(); });
    }

    void take_errors(GstElement *pipeline, const std::function<bool(Stream &)> &is_in)
    {
        GstBus *bus = gst_element_get_bus(pipeline);
        while (GstMessage *message = gst_bus_pop(bus)) {
            if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR)
                take_error(message, is_in);
            gst_message_unref(message);
        }
        gst_object_unref(bus);
    }

    void take_error(GstMessage *message, const std::function<bool(Stream &)> &is_in)
    {
        for (const auto &stream : streams_) {
            if (!stream || !is_in(*stream) ||
                !gst_object_has_as_ancestor(GST_MESSAGE_SRC(message), GST_OBJECT(stream->bin)))
                continue;
            tally_.errors += !stream->failed;
            stream->failed = true;
            GError *error = nullptr;
            gchar *details = nullptr;
            gst_message_parse_error(message, &error, &details);
            EXPECT_TRUE(stream->may_fail) << error->message << "\n" << (details ? details : "") << "\n" << stream->text;
            stream->may_fail = true;
            g_error_free(error);
            g_free(details);
        }
    }

    bool has_error(const Stream &stream)
    {
        take_errors();
        return stream.failed;
    }

    const std::string detector_, classifier_;
    std::mt19937 dice_;
    Watchdog &watchdog_;
    GstElement *shared_ = gst_pipeline_new("shared");
    std::unique_ptr<Stream> streams_[streams];
    Tally tally_;
};

void print(const char *when, int rounds, const Tally &tally, const Census &census)
{
    std::printf(
        "%s: %d rounds, %d streams added, %d removed, %d seeks, %d caps changes, %d pauses, %d ends, %d restarts, "
        "%d faults, %d errors; without streams: %zu threads, %zu open files, %.1f MB of heap, %.1f MB resident, %zu "
        "GStreamer objects\n",
        when, rounds, tally.added, tally.removed, tally.seeks, tally.caps, tally.pauses, tally.ends, tally.restarts,
        tally.faults, tally.errors, total(census.threads), census.files, static_cast<double>(census.heap) / 1e6,
        static_cast<double>(census.resident) / 1e6, total(census.live));
    std::fflush(stdout);
}

/// An hour may cost that much more than its first minute: caches that have a bound.
constexpr size_t heap_allowance = 4 << 20;

TEST(Soak, LeavesNothingBehind)
{
    const TemporaryFolder folder;
    Watchdog watchdog;
    const int seconds = soak_seconds(), rounds_between = seconds ? 2000 : 150;
    const auto end = Clock::now() + std::chrono::seconds(seconds);
    use_every_device(write_detector(folder));
    load_decoders();
    Soak soak(write_detector(folder), write_classifier(folder), static_cast<unsigned>(number_from("LEAT_SOAK_SEED", 1)),
              watchdog);
    std::optional<Census> first;
    auto told = Clock::now() - std::chrono::hours(1);
    int rounds = 0;
    for (int part = 0; (part < 4 || Clock::now() < end) && !testing::Test::HasFailure(); part++) {
        for (int i = 0; i < rounds_between && !testing::Test::HasFailure(); i++, rounds++)
            soak.round();
        soak.expect_flow();
        watchdog.expect("all streams' end");
        soak.remove_all();
        const Census now = first ? settled_census(*first) : settled_census();
        if (seconds && Clock::now() - told > std::chrono::minutes(1)) {
            print("soak", rounds, soak.tally(), now);
            told = Clock::now();
        }
        if (!first)
            first = now;
        EXPECT_EQ(now.more_than(*first), "");
        EXPECT_LE(now.files, first->files);
        EXPECT_LE(now.heap, first->heap + heap_allowance);
    }
    const Tally &tally = soak.tally();
    for (const int times : {tally.added, tally.removed, tally.seeks, tally.caps, tally.pauses, tally.ends, tally.faults,
                            tally.restarts, tally.errors})
        EXPECT_GT(times, 0);
    print("soak, at the end", rounds, tally, settled_census());
}

} // namespace
} // namespace leat
