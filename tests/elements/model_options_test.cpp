#include "element_test.h"

// Properties that become options of the compiled model, seen from outside.

namespace leat {
namespace {

/// "value (reason)" of what was decided about the model.
std::string decision(ElementHarness &element, const char *name)
{
    GstStructure *stats = nullptr, *settings = nullptr;
    g_object_get(element.element(), "stats", &stats, nullptr);
    std::string text = "none";
    if (gst_structure_get(stats, "settings", GST_TYPE_STRUCTURE, &settings, nullptr)) {
        if (const char *found = gst_structure_get_string(settings, name))
            text = found;
        gst_structure_free(settings);
    }
    gst_structure_free(stats);
    return text;
}

TEST(ModelPriority, IsTheModelsOnTheCpu)
{
    const TemporaryFolder folder;
    const std::string model = write_detector(folder);
    ElementHarness high("leatdetect", {{"model", model}, {"model-priority", "high"}}),
        medium("leatdetect", {{"model", model}}), again("leatdetect", {{"model", model}, {"model-priority", "high"}});
    EXPECT_EQ(decision(high, "model_priority"), "high (as asked; among the models that share the CPU's lanes)");
    EXPECT_EQ(decision(medium, "model_priority"), "medium (as asked; among the models that share the CPU's lanes)");
    EXPECT_EQ(high.stat("model-users"), "2") << "those of one priority share the model";
    EXPECT_EQ(medium.stat("model-users"), "1");
    expect_all_frames(high, 5);
    expect_all_frames(medium, 5);
}

TEST(ModelPriority, KeepsAutosFirstDeviceForTheHigherModel)
{
    const TemporaryFolder folder;
    const std::string model = write_detector(folder), device = "AUTO:FAKE(outputs=reference),REF";
    ElementHarness high("leatdetect", {{"model", model}, {"device", device}, {"model-priority", "high"}}),
        low("leatdetect", {{"model", model}, {"device", device}, {"model-priority", "low"}});
    EXPECT_EQ(decision(high, "device_chosen").find("FAKE(outputs=reference) ("), 0u) << decision(high, "device_chosen");
    EXPECT_EQ(decision(low, "device_chosen").find("REF ("), 0u) << decision(low, "device_chosen");
    expect_all_frames(high, 5);
    expect_all_frames(low, 5);
}

TEST(LatencyBound, ThatNoFrameKeepsLeavesOneInside)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect",
                          on_fake(write_detector(folder), "latency_ms=3,depth=8", {{"latency-bound", "1"}}));
    expect_all_frames(detect, 40);
    EXPECT_EQ(detect.stat("most-in-flight"), "1");
    EXPECT_EQ(decision(detect, "requests_in_flight").find("1 (even one job at a time takes longer than"), 0u)
        << decision(detect, "requests_in_flight");
}

TEST(LatencyBound, ThatAllFramesKeepLetsInWhatTheDeviceTakes)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect",
                          on_fake(write_detector(folder), "latency_ms=3,depth=4", {{"latency-bound", "3600000"}}));
    expect_all_frames(detect, 150);
    EXPECT_EQ(detect.stat("depth"), "4");
    EXPECT_EQ(detect.stat("most-in-flight"), "4");
    EXPECT_EQ(decision(detect, "requests_in_flight").find("4 ("), 0u) << decision(detect, "requests_in_flight");
}

TEST(LatencyBound, NeverLetsInMoreThanNireq)
{
    const TemporaryFolder folder;
    ElementHarness detect("leatdetect", on_fake(write_detector(folder), "latency_ms=3,depth=8",
                                                {{"latency-bound", "3600000"}, {"nireq", "2"}}));
    expect_all_frames(detect, 100);
    EXPECT_EQ(detect.stat("most-in-flight"), "2");
}

} // namespace
} // namespace leat
