#include "elements/pipeline.h"
#include "soak_length.h"
#include "support/shared_data.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <mutex>

// A live source that makes four times the frames that this machine can look at. LEAT_SOAK_SECONDS=600 runs for ten
// minutes and holds the latencies against what was promised; a short run only counts frames, since a busy machine would
// fail it.

namespace leat {
namespace {

constexpr int max_latency_ms = 100;

std::string detector()
{
    return "leatdetect name=detect model=" + (source_root() / "pipelines/street/street.onnx").string() + " ";
}

std::string source(int frames_per_second)
{
    return "videotestsrc name=source pattern=black is-live=" + std::string(frames_per_second ? "true" : "false") +
           " ! video/x-raw,format=NV12,width=320,height=240,framerate=" +
           std::to_string(frames_per_second ? frames_per_second : 30) + "/1 ! ";
}

/// Frames a second that the CPU can look at, as it is now.
int capacity()
{
    constexpr int frames = 400;
    Pipeline pipeline(source(0) + "identity name=limit eos-after=" + std::to_string(frames + 1) + " ! " + detector() +
                      "! fakesink sync=false");
    EXPECT_NE(pipeline.set(GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
    EXPECT_EQ(pipeline.wait(), GST_STATE_CHANGE_SUCCESS);
    const auto begin = std::chrono::steady_clock::now();
    pipeline.set(GST_STATE_PLAYING);
    EXPECT_TRUE(pipeline.wait_for_eos());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    return std::max(1, static_cast<int>(frames / took.count()));
}

/// How long after their time frames pass the sink pad of an element, in milliseconds, how long it is since they passed
/// another one, and whether they do so in order.
class Ages {
  public:
    explicit Ages(GstElement *element, Ages *before = nullptr) : element_(element), before_(before)
    {
        GstPad *pad = gst_element_get_static_pad(element, "sink");
        gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, note, this, nullptr);
        gst_object_unref(pad);
    }

    bool in_order()
    {
        std::lock_guard lock(mutex_);
        return in_order_;
    }

    double percentile(double percent) { return percentile(copy_of(ages_), percent); }
    double percentile_since_before(double percent) { return percentile(copy_of(since_before_), percent); }

    /// Of the frames since the last call.
    double recent_percentile_since_before(double percent)
    {
        std::vector<float> recent;
        {
            std::lock_guard lock(mutex_);
            recent.assign(since_before_.begin() + static_cast<ptrdiff_t>(told_), since_before_.end());
            told_ = since_before_.size();
        }
        return percentile(recent, percent);
    }

    void forget()
    {
        std::lock_guard lock(mutex_);
        ages_.clear();
        since_before_.clear();
        told_ = 0;
    }

    /// What the lists take, which grow with every frame.
    double megabytes() const
    {
        std::lock_guard lock(mutex_);
        return static_cast<double>((ages_.capacity() + since_before_.capacity()) * sizeof(float)) / 1e6;
    }

  private:
    std::vector<float> copy_of(const std::vector<float> &values)
    {
        std::lock_guard lock(mutex_);
        return values;
    }

    static double percentile(std::vector<float> sorted, double percent)
    {
        if (sorted.empty())
            return 0;
        const auto at = sorted.begin() + static_cast<ptrdiff_t>(static_cast<double>(sorted.size() - 1) * percent / 100);
        std::nth_element(sorted.begin(), at, sorted.end());
        return *at;
    }

    /// When the frame passed here; those before it are forgotten.
    double passed(GstClockTime due)
    {
        std::lock_guard lock(mutex_);
        const auto found = passed_.find(due);
        const double when = found == passed_.end() ? 0 : found->second;
        passed_.erase(passed_.begin(), passed_.upper_bound(due));
        return when;
    }

    static GstPadProbeReturn note(GstPad *, GstPadProbeInfo *info, gpointer data)
    {
        auto &self = *static_cast<Ages *>(data);
        const GstClockTime due = GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(info)); // running time: segments start at 0
        GstClock *clock = gst_element_get_clock(self.element_);
        const auto now = static_cast<double>(gst_clock_get_time(clock) - gst_element_get_base_time(self.element_));
        gst_object_unref(clock);
        const double before = self.before_ ? self.before_->passed(due) : now;
        std::lock_guard lock(self.mutex_);
        if (self.before_)
            self.since_before_.push_back(static_cast<float>((now - before) / GST_MSECOND));
        else
            self.passed_[due] = now;
        self.ages_.push_back(static_cast<float>((now - static_cast<double>(due)) / GST_MSECOND));
        self.in_order_ = self.in_order_ && (self.last_ == GST_CLOCK_TIME_NONE || due > self.last_);
        self.last_ = due;
        return GST_PAD_PROBE_OK;
    }

    GstElement *element_;
    Ages *before_;
    mutable std::mutex mutex_;
    std::vector<float> ages_, since_before_;
    size_t told_ = 0;                       ///< of since_before_
    std::map<GstClockTime, double> passed_; ///< when, by time; unless there is another before it
    GstClockTime last_ = GST_CLOCK_TIME_NONE;
    bool in_order_ = true;
};

double resident_megabytes()
{
    std::ifstream file("/proc/self/statm");
    double total = 0, resident = 0;
    file >> total >> resident;
    return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

double load()
{
    std::ifstream file("/proc/loadavg");
    double minute = 0;
    file >> minute;
    return minute;
}

/// The LATENCY answer of what is at and before that element, in milliseconds.
double latency_up_to(GstElement *element)
{
    GstQuery *query = gst_query_new_latency();
    GstClockTime min = 0;
    if (gst_element_query(element, query))
        gst_query_parse_latency(query, nullptr, &min, nullptr);
    gst_query_unref(query);
    return static_cast<double>(min) / GST_MSECOND;
}

/// What the detector adds to the answer.
double answered_latency(Pipeline &pipeline)
{
    return latency_up_to(pipeline.find("sink")) - latency_up_to(pipeline.find("source"));
}

struct Overload : testing::Test {
    const int seconds = soak_seconds(), short_run = 3;

    /// Plays the overloaded pipeline; `result` gets the numbers, the first seconds left out.
    struct Result {
        guint64 in = 0, out = 0, inferred = 0, skipped = 0, dropped = 0;
        double entering_p99 = 0, age_p50 = 0, age_p99 = 0, inside_p99 = 0, answered = 0;
        double memory_before = 0, memory_after = 0; ///< of the process, less the lists of this test
        std::vector<double> answers;                ///< each minute, as multiples of the 99th percentile of that minute
        bool in_order = false;
    };

    Result play(const std::string &policy)
    {
        const int rate = 4 * capacity();
        Pipeline pipeline(source(rate) + detector() + "late-policy=" + policy +
                          " max-latency=" + std::to_string(max_latency_ms) + " ! fakesink name=sink sync=false");
        GstBus *bus = gst_element_get_bus(pipeline.get());
        gst_bus_set_sync_handler(
            bus,
            [](GstBus *, GstMessage *message, gpointer) {
                if (GST_MESSAGE_TYPE(message) != GST_MESSAGE_QOS)
                    return GST_BUS_PASS;
                gst_message_unref(message); // nobody would read those of all frames that are dropped
                return GST_BUS_DROP;
            },
            nullptr, nullptr);
        gst_object_unref(bus);
        Ages entering(pipeline.find("detect")), arriving(pipeline.find("sink"), &entering);
        EXPECT_NE(pipeline.set(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
        const int warm_up = std::min(10, (seconds ? seconds : short_run) / 3);
        g_usleep(static_cast<gulong>(warm_up) * G_USEC_PER_SEC);
        entering.forget();
        arriving.forget();
        Result result;
        const auto memory = [&] { return resident_megabytes() - entering.megabytes() - arriving.megabytes(); };
        result.memory_before = memory();
        const int rest = (seconds ? seconds : short_run) - warm_up;
        for (int i = 0; i < rest; i++) {
            g_usleep(G_USEC_PER_SEC);
            if (seconds && i % 60 == 59) {
                result.answers.push_back(answered_latency(pipeline) / arriving.recent_percentile_since_before(99));
                std::printf("%s, %d s: entering p99 %.1f ms, at the sink p50 %.1f ms, p99 %.1f ms, p99 inside "
                            "%.1f ms, answered %.1f ms, %.1f MB, load %.1f\n",
                            policy.c_str(), i + 1, entering.percentile(99), arriving.percentile(50),
                            arriving.percentile(99), arriving.percentile_since_before(99), answered_latency(pipeline),
                            memory(), load());
                std::fflush(stdout);
            }
        }
        result.memory_after = memory();
        result.answered = answered_latency(pipeline);
        gst_element_send_event(pipeline.get(), gst_event_new_eos());
        EXPECT_TRUE(pipeline.wait_for_eos());
        result.in = pipeline.stat("detect", "frames-in");
        result.out = pipeline.stat("detect", "frames-out");
        result.inferred = pipeline.stat("detect", "inferred");
        result.skipped = pipeline.stat("detect", "late-skipped");
        result.dropped = pipeline.stat("detect", "late-dropped");
        result.entering_p99 = entering.percentile(99);
        result.age_p50 = arriving.percentile(50);
        result.age_p99 = arriving.percentile(99);
        result.inside_p99 = arriving.percentile_since_before(99);
        result.in_order = arriving.in_order();
        std::printf(
            "%s at %d frames/s: %lu in, %lu out, %lu inferred, %lu skipped, %lu dropped; entering p99 %.1f ms, at "
            "the sink p50 %.1f ms, p99 %.1f ms, p99 inside %.1f ms, answered %.1f ms; %.1f MB, then %.1f MB; load "
            "%.1f; answers by measured p99, each minute:",
            policy.c_str(), rate, result.in, result.out, result.inferred, result.skipped, result.dropped,
            result.entering_p99, result.age_p50, result.age_p99, result.inside_p99, result.answered,
            result.memory_before, result.memory_after, load());
        for (const double answer : result.answers)
            std::printf(" %.2f", answer);
        std::printf("\n");
        return result;
    }
};

TEST_F(Overload, SkippedInferenceKeepsEveryFrameAndTheLatency)
{
    const Result result = play("skip-inference");
    EXPECT_EQ(result.in, result.out);
    EXPECT_EQ(result.dropped, 0u);
    EXPECT_GT(result.inferred, 0u);
    EXPECT_TRUE(result.in_order);
    if (seconds) {
        EXPECT_GT(result.skipped, result.inferred) << "this was no overload";
        EXPECT_LE(result.age_p99, max_latency_ms);
        std::vector<double> answers = result.answers;
        ASSERT_FALSE(answers.empty()) << "a run of given length takes minutes";
        std::nth_element(answers.begin(), answers.begin() + static_cast<ptrdiff_t>(answers.size() / 2), answers.end());
        EXPECT_NEAR(answers[answers.size() / 2], 1, 0.2) << "what the LATENCY query is answered, by what was measured";
    }
}

TEST_F(Overload, DroppedFramesLeaveMemoryFlat)
{
    const Result result = play("drop-oldest");
    EXPECT_EQ(result.in, result.out + result.dropped);
    EXPECT_GT(result.out, 0u);
    EXPECT_TRUE(result.in_order);
    if (seconds) {
        EXPECT_LE(result.memory_after, result.memory_before + 4);
    }
}

} // namespace
} // namespace leat
