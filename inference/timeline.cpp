#include "timeline.h"

#include <leat/error.h>

#include <nlohmann/json.hpp>

namespace leat {
namespace {

using Json = nlohmann::ordered_json;

double microseconds(std::chrono::steady_clock::duration duration)
{
    return std::chrono::duration<double, std::micro>(duration).count();
}

std::string text_of(const Json &event)
{
    return event.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace

Timeline::Timeline(std::string path) : path_(std::move(path)), file_(path_)
{
    if (!(file_ << "[\n"))
        throw Error("the timeline \"" + path_ + "\" cannot be written; is its folder there?");
    open_ = true;
}

Timeline::~Timeline()
{
    try {
        close();
    } catch (const Error &) { // told to those who called close()
    }
}

int Timeline::add_track(std::string_view name)
{
    std::lock_guard lock(mutex_);
    const int track = ++tracks_;
    write(text_of(
        {{"ph", "M"}, {"name", "thread_name"}, {"pid", 1}, {"tid", track}, {"args", {{"name", std::string(name)}}}}));
    return track;
}

void Timeline::add_slice(int track, std::string_view name, TimePoint from, TimePoint to, bool failed)
{
    Json event{{"ph", "X"},
               {"name", std::string(name)},
               {"pid", 1},
               {"tid", track},
               {"ts", microseconds(from.time_since_epoch())},
               {"dur", microseconds(to - from)}};
    if (failed)
        event["args"] = {{"failed", true}};
    std::lock_guard lock(mutex_);
    write(text_of(event));
}

void Timeline::close()
{
    std::lock_guard lock(mutex_);
    if (!std::exchange(open_, false))
        return;
    file_ << "\n]\n";
    file_.close();
    if (!file_)
        throw Error("the timeline \"" + path_ + "\" could not be written to its end; has the disk room?");
}

void Timeline::write(const std::string &event)
{
    if (!open_)
        return;
    file_ << (first_ ? "" : ",\n") << event;
    first_ = false;
}

} // namespace leat
