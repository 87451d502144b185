#include "heads.h"

#include <algorithm>

namespace leat {

extern const Decoder blazeface, classifier, detection_output, detr, fastestdet, nanodet, ssd_boxes, ssd_prior_boxes,
    text_db, yolo_end_to_end, yolov5, yolov8, yolox, yunet;

std::span<const Decoder *const> decoders()
{
    static constexpr const Decoder *table[] = {
        &yolox,           &yolov5,    &yolov8, &yolo_end_to_end,  &nanodet, &fastestdet, &yunet, &ssd_boxes,
        &ssd_prior_boxes, &blazeface, &detr,   &detection_output, &text_db, &classifier,
    };
    return table;
}

namespace {

std::string_view verb(Task task)
{
    return task == Task::detect ? "detect" : "classify";
}

std::string list_of_ports(const std::vector<Port> &ports)
{
    std::string text;
    for (const Port &port : ports) {
        if (text.size() > 400)
            return text + ", …";
        text += (text.empty() ? "\"" : ", \"") + port.name + "\" " + to_string(port.shape);
    }
    return text;
}

bool takes_pictures_one_by_one(const Port &image)
{
    return image.shape.empty() || image.shape[0] == 1 || image.shape[0] == -1;
}

std::string doubt_of(const Decoder &row, const ModelFacts &facts)
{
    return row.doubt ? row.doubt(facts) : std::string();
}

std::string with_remarks(std::string reason, const Decoder &row, const ModelFacts &facts)
{
    for (const std::string &remark :
         {row.assumptions ? row.assumptions(facts) : std::string(), unreadable_preprocessing(facts)})
        if (!remark.empty())
            reason += "; " + remark;
    return reason;
}

Choice choose_by_name(const ModelFacts &facts, Task task, const std::string &name)
{
    std::string names;
    for (const Decoder *row : decoders()) {
        if (row->task != task)
            continue;
        names += (names.empty() ? "" : ", ") + std::string(row->name);
        if (row->name != name)
            continue;
        if (const std::string reason = row->why_not(facts); !reason.empty())
            throw Error("decoder \"" + name + "\" cannot read this model: " + reason);
        return {row, with_remarks("chosen by the property `decoder`", *row, facts)};
    }
    throw Error("there is no decoder \"" + name + "\" that can " + std::string(verb(task)) + "; there are: " + names);
}

[[noreturn]] void throw_ambiguous(const std::vector<const Decoder *> &fitting)
{
    std::string names;
    for (const Decoder *row : fitting)
        names += (names.empty() ? "" : " or ") + std::string(row->name) + " (" + std::string(row->about) + ")";
    throw Error("the file alone does not tell how to read its outputs; it may be " + names +
                ": set the property `decoder` to one of these names");
}

std::string reason_against(const ModelFacts &facts, Task task)
{
    try {
        choose_decoder(facts, task);
    } catch (const Error &error) {
        return error.what();
    }
    return {};
}

} // namespace

Choice choose_decoder(const ModelFacts &facts, Task task, const std::string &name)
{
    const Port &image = facts.inputs[find_image_input(facts)];
    if (!takes_pictures_one_by_one(image))
        throw Error("input \"" + image.name + "\" is " + to_string(image.shape) + ": its batch size is fixed at " +
                    std::to_string(image.shape[0]) +
                    ", pictures come one by one; export the model with batch size 1 or any");
    if (!name.empty())
        return choose_by_name(facts, task, name);

    std::vector<const Decoder *> sure;
    std::string reasons, doubts;
    for (const Decoder *row : decoders()) {
        if (row->task != task)
            continue;
        const std::string reason = row->why_not(facts);
        if (!reason.empty())
            reasons += "; " + std::string(row->name) + ": " + reason;
        else if (const std::string doubt = doubt_of(*row, facts); !doubt.empty())
            doubts += "; it may be " + std::string(row->name) + ", but " + doubt +
                      ": set the property `decoder` to \"" + std::string(row->name) + "\" if it is";
        else
            sure.push_back(row);
    }
    if (sure.size() > 1)
        throw_ambiguous(sure);
    if (sure.empty())
        throw Error("no decoder can " + std::string(verb(task)) + " with the outputs " + list_of_ports(facts.outputs) +
                    doubts + reasons);
    return {sure[0],
            with_remarks("the only one that fits the outputs " + list_of_ports(facts.outputs), *sure[0], facts)};
}

std::optional<Task> task_from(std::string_view name)
{
    for (Task task : {Task::detect, Task::classify})
        if (verb(task) == name)
            return task;
    return std::nullopt;
}

Task only_task(const ModelFacts &facts, const std::string &decoder)
{
    for (const Decoder *row : decoders())
        if (row->name == decoder)
            return row->task;
    const std::string not_detect = reason_against(facts, Task::detect),
                      not_classify = reason_against(facts, Task::classify);
    if (not_detect.empty() && not_classify.empty())
        throw Error("the outputs can be read as objects and as classes: say which, with the task detect or classify");
    if (!not_detect.empty() && !not_classify.empty())
        throw Error(not_detect + "; and " + not_classify);
    return not_detect.empty() ? Task::detect : Task::classify;
}

namespace {

bool is_picture(const Port &port)
{
    const auto is_channels = [](int64_t size) { return size == 1 || size == 3; };
    return port.shape.size() == 4 && (is_channels(port.shape[1]) || is_channels(port.shape[3]));
}

/// The only input may leave its channels, or its whole shape, open.
bool may_be_picture(const Port &port)
{
    return port.shape.empty() || (port.shape.size() == 4 && (port.shape[1] == -1 || port.shape[3] == -1));
}

std::vector<size_t> picture_inputs(const ModelFacts &facts)
{
    std::vector<size_t> found;
    for (size_t i = 0; i < facts.inputs.size(); i++)
        if (is_picture(facts.inputs[i]))
            found.push_back(i);
    if (found.empty() && facts.inputs.size() == 1 && may_be_picture(facts.inputs[0]))
        found.push_back(0);
    return found;
}

} // namespace

size_t find_image_input(const ModelFacts &facts)
{
    const auto found = picture_inputs(facts);
    if (found.size() == 1)
        return found[0];
    throw Error((found.empty() ? "no input is a picture (four axes, 1 or 3 channels): the inputs are "
                               : "more than one input may be the picture: ") +
                list_of_ports(facts.inputs) + "; such a model takes raw tensors only");
}

const Port *image_port(const ModelFacts &facts)
{
    const auto found = picture_inputs(facts);
    return found.size() == 1 ? &facts.inputs[found[0]] : nullptr;
}

ImageSpec plain_preprocessing(const ModelFacts &facts)
{
    return image_spec(facts, ColourOrder::rgb, as_is, ResizeMode::stretch, 0, {});
}

} // namespace leat
