#include "element_test.h"

namespace leat {
namespace {

TEST(Fps, PassesEveryFrameAsItIs)
{
    ElementHarness fps("leatfps", {{"silent", "true"}});
    GstBuffer *const frame = make_frame(3, 100);
    ASSERT_EQ(fps.push(frame), GST_FLOW_OK);
    const BufferPtr passed = fps.pull();
    EXPECT_EQ(passed.get(), frame);
    EXPECT_EQ(fps.stat("frames"), "1");
    EXPECT_EQ(fps.stat("average-fps"), "0");
}

TEST(Fps, TellsTheRateAfterEachInterval)
{
    ElementHarness fps("leatfps", {{"silent", "true"}, {"interval", "0.1"}, {"skip", "1"}});
    fps.push(make_frame(0, 100)); // does not count
    for (guint k = 1; k <= 3; k++) {
        fps.push(make_frame(k, 100));
        g_usleep(60000);
    }
    GstMessage *message = fps.message(GST_MESSAGE_ELEMENT);
    ASSERT_TRUE(message);
    const GstStructure *rate = gst_message_get_structure(message);
    EXPECT_TRUE(gst_structure_has_name(rate, "leat-fps"));
    double told = 0;
    ASSERT_TRUE(gst_structure_get_double(rate, "fps", &told));
    EXPECT_GT(told, 0);
    EXPECT_LE(told, 2 / 0.12); // two frames after the first, 60 ms apart at least
    gst_message_unref(message);
}

TEST(Fps, RefusesAnIntervalOfNothing)
{
    EXPECT_EQ(error_when_starting("leatfps", {{"interval", "0"}}),
              "property interval=0: want a number from 0.1 to 3600");
}

} // namespace
} // namespace leat
