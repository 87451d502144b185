#include "support/shared_data.h"

#include "tools/picture.h"

#include <leat/error.h>
#include <leat/vision.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace leat {
namespace {

std::string street(const char *name)
{
    return source_root() / "pipelines/street" / name;
}

/// The tenth frame of the clip, in which there is something to see.
Image street_frame()
{
    FrameReader reader(street("street.mp4"));
    std::optional<Image> frame;
    for (int i = 0; i < 10; i++)
        frame = reader.next();
    return frame.value();
}

std::string error_of(const std::function<void()> &body)
{
    try {
        body();
    } catch (const Error &error) {
        return error.what();
    }
    return "no error";
}

bool lies_within(const Region &box, const Region &region, float slack)
{
    return box.x >= region.x - slack && box.y >= region.y - slack &&
           box.x + box.width <= region.x + region.width + slack &&
           box.y + box.height <= region.y + region.height + slack;
}

TEST(VisionModel, FindsObjectsInFramePixels)
{
    const VisionModel model(street("street.onnx"));
    ASSERT_TRUE(model.detects());
    EXPECT_NE(model.reason(), "");
    InferRequest request = model.make_request();
    const Image frame = street_frame();
    const Region whole{0, 0, static_cast<float>(frame.width), static_cast<float>(frame.height)};
    model.set_frame(request, frame);
    request.infer();
    const auto found = model.detections(request);
    ASSERT_FALSE(found.empty());
    float before = 1;
    for (const Detection &each : found) {
        EXPECT_TRUE(lies_within(each.box, whole, 0));
        EXPECT_GT(each.box.width * each.box.height, 0);
        EXPECT_LE(each.score, before);
        before = each.score;
        EXPECT_EQ(each.label, model.labels().at(static_cast<size_t>(each.label_id)));
    }
    EXPECT_EQ(error_of([&] { model.classes(request); }), "the model detects, see detections()");
}

/// The part of the frame around the best object: the same object is found at the same place of the frame.
TEST(VisionModel, FindsTheSameObjectInARegion)
{
    const VisionModel model(street("street.onnx"));
    InferRequest request = model.make_request();
    const Image frame = street_frame();
    model.set_frame(request, frame);
    request.infer();
    const Detection best = model.detections(request).at(0);
    const auto width = static_cast<float>(frame.width), height = static_cast<float>(frame.height);
    const Region half{std::clamp(best.box.x + best.box.width / 2 - 3 * width / 8, 0.f, width / 4),
                      std::clamp(best.box.y + best.box.height / 2 - 3 * height / 8, 0.f, height / 4), 3 * width / 4,
                      3 * height / 4};
    model.set_frame(request, frame, half);
    request.infer();
    const auto found = model.detections(request);
    const bool again = std::any_of(found.begin(), found.end(), [&](const Detection &each) {
        return each.label_id == best.label_id && lies_within(each.box, best.box, 0.1f * width);
    });
    EXPECT_TRUE(again);
    for (const Detection &each : found)
        EXPECT_TRUE(lies_within(each.box, half, 0.1f * width));
}

TEST(VisionModel, KeepsTheFrameUntilAnotherIsSet)
{
    const VisionModel model(street("street.onnx"));
    InferRequest request = model.make_request();
    Image frame = street_frame();
    const std::weak_ptr<const void> pixels = frame.owner;
    model.set_frame(request, std::move(frame));
    frame = {};
    request.infer();
    EXPECT_FALSE(pixels.expired());
    model.set_frame(request, street_frame());
    EXPECT_TRUE(pixels.expired());
}

TEST(VisionModel, SaysWhatIsWrong)
{
    VisionOptions wrong;
    wrong.task = "guess";
    EXPECT_NE(error_of([&] {
                  VisionModel(street("street.onnx"), wrong);
              }).find("there is no task \"guess\"; the tasks are detect and classify"),
              std::string::npos);
    const VisionModel model(street("street.onnx"));
    InferRequest request = model.make_request();
    EXPECT_NE(error_of([&] { model.detections(request); }).find("the frame has no pixels"), std::string::npos);
    EXPECT_NE(error_of([&] { model.set_frame(request, {}); }).find("the frame has no pixels"), std::string::npos);
    const Image frame = street_frame();
    for (const Region &outside : {Region{-1, 0, 10, 10}, Region{0, 0, 0, 10}, Region{0, 0, 1e6f, 10}})
        EXPECT_NE(error_of([&] { model.set_frame(request, frame, outside); }).find("does not lie within a frame of"),
                  std::string::npos);
}

TEST(VisionModel, Classifies)
{
    SKIP_WITHOUT_SHARED_DATA();
    const VisionModel model(shared_data() / "data/models/onnx/cifar10_classifier.onnx");
    ASSERT_FALSE(model.detects());
    InferRequest request = model.make_request();
    model.set_frame(request, street_frame());
    request.infer();
    const auto classes = model.classes(request);
    ASSERT_FALSE(classes.empty());
    EXPECT_TRUE(std::is_sorted(classes.begin(), classes.end(),
                               [](const ClassScore &a, const ClassScore &b) { return a.score > b.score; }));
    EXPECT_EQ(error_of([&] { model.detections(request); }), "the model classifies, see classes()");
}

} // namespace
} // namespace leat
