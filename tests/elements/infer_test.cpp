#include "element_test.h"

#include <cstring>

namespace leat {
namespace {

std::vector<const LeatTensorMeta *> tensors_of(GstBuffer *buffer)
{
    std::vector<const LeatTensorMeta *> metas;
    gpointer state = nullptr;
    while (GstMeta *meta = gst_buffer_iterate_meta_filtered(buffer, &state, g_type_from_name("LeatTensorMetaAPI")))
        metas.push_back(reinterpret_cast<const LeatTensorMeta *>(meta));
    return metas;
}

void check_detector_tensors(const LeatTensorMeta *meta)
{
    EXPECT_STREQ(meta->model, "detector");
    ASSERT_EQ(meta->n_tensors, 2u);
    const LeatTensor &scores = meta->tensors[0], &boxes = meta->tensors[1];
    EXPECT_STREQ(scores.name, "scores");
    EXPECT_STREQ(scores.type, "f32");
    ASSERT_EQ(scores.rank, 3u);
    EXPECT_EQ(std::tuple(scores.dims[0], scores.dims[1], scores.dims[2]), std::tuple(1, 2, 2));
    ASSERT_EQ(scores.size, 16u);
    EXPECT_FLOAT_EQ(static_cast<const float *>(scores.data)[1], 0.9f);
    EXPECT_STREQ(boxes.name, "boxes");
    EXPECT_EQ(boxes.size, 32u);
    EXPECT_NEAR(static_cast<const float *>(boxes.data)[2], 60 / 255.0, 1e-5);
}

TEST(Infer, AttachesTensors)
{
    const TemporaryFolder folder;
    ElementHarness infer("leatinfer", {{"model", write_detector(folder)}, {"device", "REF"}});
    ASSERT_EQ(infer.push(make_frame(0, 60)), GST_FLOW_OK);
    BufferPtr buffer = infer.pull();
    ASSERT_EQ(tensors_of(buffer.get()).size(), 1u);
    EXPECT_EQ(tensors_of(buffer.get())[0]->region_id, 0);
    EXPECT_EQ(tensors_of(buffer.get())[0]->w, 510u);
    check_detector_tensors(tensors_of(buffer.get())[0]);

    // A copy shares the numbers and outlives the original.
    const BufferPtr copy(gst_buffer_copy(buffer.get()));
    EXPECT_EQ(tensors_of(copy.get())[0]->tensors[0].data, tensors_of(buffer.get())[0]->tensors[0].data);
    buffer.reset();
    check_detector_tensors(tensors_of(copy.get())[0]);
}

TEST(Infer, AttachesTensorsOfRegions)
{
    const TemporaryFolder folder;
    ElementHarness infer("leatinfer",
                         {{"model", write_detector(folder)}, {"device", "REF"}, {"inference-region", "roi-list"}});
    GstBuffer *frame = make_frame(0, 60);
    gst_buffer_add_video_region_of_interest_meta(frame, "a", 10, 2, 100, 10)->id = 4;
    gst_buffer_add_video_region_of_interest_meta(frame, "b", 500, 2, 100, 10)->id = 6; // clipped at the right edge
    ASSERT_EQ(infer.push(frame), GST_FLOW_OK);
    const BufferPtr buffer = infer.pull();
    const auto metas = tensors_of(buffer.get());
    ASSERT_EQ(metas.size(), 2u);
    EXPECT_EQ(std::tuple(metas[0]->region_id, metas[0]->x, metas[0]->y, metas[0]->w, metas[0]->h),
              std::tuple(4, 10u, 2u, 100u, 10u));
    EXPECT_EQ(std::tuple(metas[1]->region_id, metas[1]->x, metas[1]->w), std::tuple(6, 500u, 10u));
    check_detector_tensors(metas[0]);
    check_detector_tensors(metas[1]);
}

/// A model that gives back the picture.
std::string write_identity(const TemporaryFolder &folder)
{
    const std::string graph = "name: \"identity\" " + onnx_input("input", {1, 3, 8, 8}) +
                              onnx_value("output", "y", {1, 3, 8, 8}) + onnx_node("Relu", {"input"}, "y");
    return folder.write("identity.onnx", onnx_bytes(onnx_model(graph, 13))).string();
}

TEST(Infer, JoinsFramesToBatchesAndRunsTheRestAtTheEnd)
{
    const TemporaryFolder folder;
    ElementHarness infer(
        "leatinfer",
        {{"model", write_identity(folder)}, {"device", "REF"}, {"batch-size", "4"}, {"batch-timeout", "3600000"}});
    for (guint k = 0; k < 6; k++)
        ASSERT_EQ(infer.push(make_frame(k, static_cast<guint8>(10 * k))), GST_FLOW_OK);
    ASSERT_TRUE(gst_harness_push_event(infer.harness(), gst_event_new_eos()));
    for (guint k = 0; k < 6; k++) {
        const BufferPtr buffer = infer.pull();
        ASSERT_TRUE(buffer);
        const auto metas = tensors_of(buffer.get());
        ASSERT_EQ(metas.size(), 1u);
        EXPECT_EQ(metas[0]->tensors[0].dims[0], 1);
        EXPECT_FLOAT_EQ(static_cast<const float *>(metas[0]->tensors[0].data)[0], 10 * static_cast<float>(k));
    }
    GstStructure *stats = nullptr, *settings = nullptr;
    g_object_get(infer.element(), "stats", &stats, nullptr);
    ASSERT_TRUE(gst_structure_get(stats, "settings", GST_TYPE_STRUCTURE, &settings, nullptr));
    EXPECT_STREQ(gst_structure_get_string(settings, "batch_fill"),
                 "66 % (4 of 6 jobs ran in batches, the others alone)");
    gst_structure_free(settings);
    gst_structure_free(stats);
}

/// The next leat-stats, waiting for up to a minute; the caller's.
GstMessage *next_stats(ElementHarness &element)
{
    GstMessage *message = element.message(GST_MESSAGE_ELEMENT);
    EXPECT_TRUE(message && gst_message_has_name(message, "leat-stats"));
    return message;
}

TEST(Infer, PostsItsStatisticsOnRequest)
{
    const TemporaryFolder folder;
    ElementHarness infer("leatinfer", {{"model", write_identity(folder)}, {"device", "REF"}, {"stats-interval", "1"}});
    ASSERT_EQ(infer.push(make_frame(0, 0)), GST_FLOW_OK);
    ASSERT_TRUE(infer.pull());
    for (guint64 frames = 0; frames == 0;) { // those that were posted before the frame
        GstMessage *message = next_stats(infer);
        ASSERT_TRUE(message);
        const GstStructure *stats = gst_message_get_structure(message);
        EXPECT_TRUE(gst_structure_get_uint64(stats, "frames-in", &frames));
        EXPECT_TRUE(gst_structure_has_field(stats, "inference-p99-ms"));
        gst_message_unref(message);
    }
}

/// A camera that has stopped is when one wants to know.
TEST(Infer, PostsItsStatisticsWhileNoFrameComes)
{
    const TemporaryFolder folder;
    ElementHarness infer("leatinfer", {{"model", write_identity(folder)}, {"device", "REF"}});
    g_object_set(infer.element(), "stats-interval", 1, nullptr);
    for (int i = 0; i < 3; i++) {
        GstMessage *message = next_stats(infer);
        ASSERT_TRUE(message);
        gst_message_unref(message);
    }
    gst_element_set_state(infer.element(), GST_STATE_READY);
    g_object_set(infer.element(), "stats-interval", 2, nullptr);
    const auto posted = [&] {
        int count = 0;
        while (GstMessage *message = gst_bus_pop_filtered(GST_ELEMENT_BUS(infer.element()), GST_MESSAGE_ELEMENT)) {
            gst_message_unref(message);
            count++;
        }
        return count;
    };
    posted();
    g_usleep(20000);
    EXPECT_LE(posted(), 1) << "one may have been on its way";
}

} // namespace
} // namespace leat
