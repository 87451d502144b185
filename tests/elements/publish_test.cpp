#include "element_test.h"

#include <nlohmann/json.hpp>

#include <fstream>
#include <sstream>

namespace leat {
namespace {

std::string read(const std::filesystem::path &path)
{
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

/// Three frames with one region each through leatmetaconvert and leatpublish; the file while it runs and after.
std::pair<std::string, std::string> publish(const TemporaryFolder &folder, const std::string &settings)
{
    const auto path = folder / "out.json";
    GstHarness *harness = gst_harness_new_parse(
        ("leatmetaconvert json-indent=1 ! leatpublish file-path=" + path.string() + " " + settings).c_str());
    gst_harness_set_src_caps_str(harness, frame_caps);
    for (guint k = 0; k < 3; k++) {
        GstBuffer *frame = make_frame(k, 0);
        if (k != 1)
            gst_buffer_add_video_region_of_interest_meta(frame, "cat", k, 0, 4, 4)->id = 1;
        gst_harness_push(harness, frame);
        gst_buffer_unref(gst_harness_pull(harness));
    }
    const std::string running = read(path);
    gst_harness_teardown(harness);
    return {running, read(path)};
}

TEST(Publish, JsonLines)
{
    const TemporaryFolder folder;
    const auto [running, stopped] = publish(folder, "file-format=json-lines");
    EXPECT_EQ(running, stopped) << "each line is there as soon as the frame has passed";
    std::istringstream lines(stopped);
    std::string line;
    std::vector<int> xs;
    while (std::getline(lines, line))
        xs.push_back(nlohmann::json::parse(line)["objects"][0]["x"]);
    EXPECT_EQ(xs, (std::vector<int>{0, 2}));
}

TEST(Publish, JsonArray)
{
    const TemporaryFolder folder;
    const auto array = nlohmann::json::parse(publish(folder, "file-format=json").second);
    ASSERT_EQ(array.size(), 2u);
    EXPECT_EQ(array[1]["objects"][0]["x"], 2);
}

TEST(Publish, BuffersPassAsTheyAre)
{
    const TemporaryFolder folder;
    ElementHarness publish("leatpublish", {{"file-path", (folder / "out.json").string()}}, "application/x-anything");
    GstBuffer *frame = make_frame(0, 0);
    gst_buffer_ref(frame);
    publish.push(frame);
    EXPECT_EQ(publish.pull().get(), frame);
    gst_buffer_unref(frame);
}

TEST(Publish, WarnsOnceOfObjectsWithoutJson)
{
    const TemporaryFolder folder;
    ElementHarness publish("leatpublish", {{"file-path", (folder / "out.json").string()}}, "application/x-anything");
    for (guint k = 0; k < 3; k++) {
        GstBuffer *frame = make_frame(k, 0);
        if (k > 0)
            gst_buffer_add_video_region_of_interest_meta(frame, "cat", k, 0, 4, 4);
        publish.push(frame);
    }
    GError *warning = nullptr;
    GstMessage *message = publish.message(GST_MESSAGE_WARNING);
    gst_message_parse_warning(message, &warning, nullptr);
    EXPECT_STREQ(
        warning->message,
        "frames with objects come without JSON, of which nothing is published; put leatmetaconvert before leatpublish");
    g_error_free(warning);
    gst_message_unref(message);
    EXPECT_FALSE(publish.message(GST_MESSAGE_WARNING, 0));
}

TEST(Publish, RefusesAPathThatCannotBeWritten)
{
    EXPECT_EQ(error_when_starting("leatpublish", {{"file-path", "/nowhere/out.json"}}),
              "\"/nowhere/out.json\" cannot be opened for writing: No such file or directory; check the property "
              "file-path");
}

TEST(Publish, AFullDiskIsAnError)
{
    if (!std::filesystem::exists("/dev/full"))
        GTEST_SKIP() << "no /dev/full";
    EXPECT_EQ(error_when_starting("leatpublish", {{"file-path", "/dev/full"}}),
              "\"/dev/full\" cannot be written: No space left on device; check the property file-path");
}

} // namespace
} // namespace leat
