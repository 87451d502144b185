#include "yolo.h"

#include <charconv>

namespace leat {

namespace {

/// "[480, 640]" (height, width) as Ultralytics writes it; 640x640 when absent or odd.
PictureSize imgsz(const ModelFacts &facts)
{
    const std::string &text = metadata_value(facts.metadata, "imgsz");
    std::vector<int> numbers;
    for (const char *p = text.data(), *end = p + text.size(); p < end;) {
        int number = 0;
        const auto [after, error] = std::from_chars(p, end, number);
        if (error == std::errc() && number > 0 && number <= 1 << 14)
            numbers.push_back(number);
        p = std::max(after, p + 1);
    }
    if (numbers.empty() || numbers.size() > 2)
        return {640, 640};
    return {numbers.back(), numbers.front()};
}

} // namespace

BoxArithmetic box_arithmetic(const ModelFacts &facts, size_t output)
{
    if (!knows_graph(facts) || output >= facts.head_ops.size())
        return BoxArithmetic::unknown;
    if (!computes_after_convolution(facts, output))
        return BoxArithmetic::none;
    return contains(facts.head_ops[output], "Exp") ? BoxArithmetic::exp : BoxArithmetic::no_exp;
}

int anchors_per_cell(const ModelFacts &facts, int64_t predictions)
{
    const auto [width, height] = picture_size(facts);
    if (predictions < 0 || !width || !height)
        return 0;
    for (int anchors : {1, 3})
        if (!yolo_grids(width, height, predictions, anchors).empty())
            return anchors;
    return -1;
}

std::string no_sigmoid(const ModelFacts &facts)
{
    if (!knows_graph(facts) || facts.head_ops.empty() || contains(facts.head_ops[0], "Sigmoid"))
        return {};
    return "the graph puts no sigmoid on the scores";
}

std::string no_rows_with_objectness(const ModelFacts &facts)
{
    if (facts.outputs.empty())
        return "it has no output";
    const Port &port = facts.outputs[0];
    if (const std::string fault = mismatch(port, {1, any, any}); !fault.empty())
        return fault + " (predictions x (4 + 1 + classes))";
    const int64_t predictions = port.shape[1], columns = port.shape[2];
    if (columns < 6)
        return "output \"" + port.name + "\" is " + to_string(port.shape) + ": its last axis cannot be 4 + 1 + classes";
    if (predictions != -1 && predictions <= columns && anchors_per_cell(facts, predictions) == 0)
        return "output \"" + port.name + "\" is " + to_string(port.shape) + ", not predictions x (4 + 1 + classes)";
    if (contains(facts.ops, "TopK") || contains(facts.ops, "NonMaxSuppression"))
        return "the graph selects its boxes itself";
    return no_sigmoid(facts);
}

ImageSpec ultralytics_preprocessing(const ModelFacts &facts)
{
    return image_spec(facts, ColourOrder::rgb, to_unit, ResizeMode::letterbox, 114, imgsz(facts));
}

} // namespace leat
