#include "pipeline.h"

#include <atomic>
#include <cstdlib>
#include <random>

// Streams that come and go, seek, change their size, pause and fail, at random, all on one model.
// LEAT_SOAK_ROUNDS=100000 LEAT_SOAK_SEED=7 runs for long, with other dice.

namespace leat {
namespace {

int number_from(const char *variable, int otherwise)
{
    const char *text = std::getenv(variable);
    return text ? std::atoi(text) : otherwise;
}

/// Elements that exist; whoever is left at the end leaks.
std::atomic<int> elements_alive = 0;

void watch(GstElement *element)
{
    elements_alive++;
    g_object_weak_ref(
        G_OBJECT(element), [](gpointer, GObject *) { elements_alive--; }, nullptr);
}

class Soak {
  public:
    Soak(std::string model, unsigned seed) : model_(std::move(model)), dice_(seed) {}

    void round()
    {
        const int slot = roll(streams);
        if (!streams_[slot])
            streams_[slot] = add(slot);
        else if (roll(4) == 0)
            streams_[slot].reset();
        else
            disturb(slot, *streams_[slot]);
        g_usleep(static_cast<gulong>(roll(8000)));
    }

  private:
    static constexpr int streams = 8;

    int roll(int sides) { return static_cast<int>(dice_() % static_cast<unsigned>(sides)); }

    std::string caps()
    {
        const char *formats[] = {"NV12", "I420", "BGRx", "GRAY8"};
        return std::string("video/x-raw,format=") + formats[roll(4)] + ",width=" + std::to_string(32 + 2 * roll(100)) +
               ",height=" + std::to_string(32 + 2 * roll(80)) + ",framerate=" + std::to_string(30 + roll(400)) + "/1";
    }

    std::unique_ptr<Pipeline> add(int slot)
    {
        const char *policies[] = {"block", "skip-inference", "drop-oldest"};
        const char *policy = policies[roll(3)];
        std::string text =
            std::string("videotestsrc ") + (roll(2) ? "is-live=true " : "") + "! capsfilter name=caps caps=" + caps() +
            " ! leatdetect name=detect nireq=" + std::to_string(roll(5)) + " late-policy=" + policy +
            (std::string(policy) != "block" && roll(2) ? " max-latency=20" : "") +
            " device=\"FAKE(latency_ms=3,jitter_ms=3,depth=3,outputs=reference)\" model=" + model_ +
            " ! leatmetaconvert ! identity name=fault silent=true ! leatfps silent=true ! fakesink sync=" +
            (roll(2) ? "true" : "false");
        auto pipeline = std::make_unique<Pipeline>(text);
        watch(pipeline->get());
        watch(pipeline->find("detect"));
        EXPECT_NE(pipeline->set(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE) << "stream " << slot << ": " << text;
        return pipeline;
    }

    void disturb(int slot, Pipeline &pipeline)
    {
        switch (roll(5)) {
        case 0:
            gst_element_seek_simple(pipeline.get(), GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH,
                                    roll(1000) * gint64(GST_MSECOND));
            break;
        case 1: gst_util_set_object_arg(G_OBJECT(pipeline.find("caps")), "caps", caps().c_str()); break;
        case 2: EXPECT_NE(pipeline.set(GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE) << slot; break;
        case 3: EXPECT_NE(pipeline.set(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE) << slot; break;
        default: // the stream ends with an error of downstream; the next disturbance finds it so
            g_object_set(pipeline.find("fault"), "error-after", 1 + roll(3), nullptr);
            break;
        }
    }

    const std::string model_;
    std::mt19937 dice_;
    std::unique_ptr<Pipeline> streams_[streams];
};

TEST(Soak, LeavesNothingBehind)
{
    const TemporaryFolder folder;
    {
        Soak soak(write_detector(folder), static_cast<unsigned>(number_from("LEAT_SOAK_SEED", 1)));
        for (int round = number_from("LEAT_SOAK_ROUNDS", 400); round > 0 && !testing::Test::HasFailure(); round--)
            soak.round();
    }
    EXPECT_EQ(elements_alive, 0);
}

} // namespace
} // namespace leat
