#include "in_flight_limit.h"

#include <algorithm>
#include <cstdio>

namespace leat {
namespace {

std::string milliseconds(double value)
{
    char text[32];
    std::snprintf(text, sizeof text, "%.1f ms", value);
    return text;
}

} // namespace

InFlightLimit::InFlightLimit(double bound_ms, int most) : bound_ms_(bound_ms), most_(std::max(1, most)) {}

InFlightLimit::Ticket InFlightLimit::submitted()
{
    return {era_, ++in_flight_};
}

void InFlightLimit::allow(int most)
{
    most_ = std::max(1, most);
    if (limit_ > most_)
        change(most_);
}

void InFlightLimit::restart(int most)
{
    most_ = std::max(1, most);
    doubling_ = true;
    hopeless_ = false;
    kept_ = failed_ = 0;
    change(1);
}

std::optional<InFlightLimit::Finding> InFlightLimit::ended(const Ticket &ticket, double latency_ms)
{
    in_flight_--;
    if (ticket.era != era_)
        return {};
    seen_++;
    reached_ = reached_ || ticket.in_flight >= limit_;
    second_longest_ms_ = std::max(second_longest_ms_, std::min(latency_ms, longest_ms_));
    longest_ms_ = std::max(longest_ms_, latency_ms);
    // One late job is no proof, but reason enough not to double further. The first of all is late for other reasons.
    const int forgiven = doubling_ && limit_ > 1 ? 0 : window / 100;
    if (latency_ms > bound_ms_ && ++late_ > forgiven)
        return retreat();
    if (seen_ == (doubling_ ? first_window : window))
        return end_window();
    return {};
}

void InFlightLimit::clear_window()
{
    seen_ = late_ = 0;
    reached_ = false;
    longest_ms_ = second_longest_ms_ = 0;
}

void InFlightLimit::change(int limit)
{
    limit_ = limit;
    era_++;
    last_p99_ms_ = -1;
    clear_window();
}

std::optional<InFlightLimit::Finding> InFlightLimit::retreat()
{
    std::optional<Finding> finding;
    doubling_ = false;
    hopeless_ = limit_ == 1;
    if (hopeless_) {
        finding = Finding{false, reached_, second_longest_ms_, limit_};
    } else {
        patience_ = limit_ == failed_ ? std::min(2 * patience_, most_patience) : first_patience;
        failed_ = limit_;
        waited_ = 0;
        if (kept_ >= limit_)
            kept_ = 0; // it takes longer now than it did
        change(kept_ > 0 ? kept_ : std::max(1, limit_ * 3 / 4));
    }
    clear_window();
    return finding;
}

InFlightLimit::Finding InFlightLimit::end_window()
{
    const Finding finding{true, reached_, second_longest_ms_, limit_};
    last_p99_ms_ = second_longest_ms_; // of a hundred, the nearest rank
    last_window_ = seen_;
    hopeless_ = false;
    kept_ = std::max(kept_, limit_);
    if (limit_ == failed_)
        failed_ = 0; // it has kept the bound now
    const bool may_grow = reached_ && limit_ < most_;
    clear_window();
    if (may_grow)
        advance();
    return finding;
}

void InFlightLimit::advance()
{
    if (doubling_)
        return change(std::min(2 * limit_, most_));
    const bool failed_lately = failed_ > 0 && limit_ + 1 >= failed_;
    if (!failed_lately || ++waited_ >= patience_)
        change(limit_ + 1);
}

Setting InFlightLimit::setting() const
{
    const std::string bound = "latency_bound_ms " + milliseconds(bound_ms_);
    std::string reason;
    if (hopeless_)
        reason = "even one job at a time takes longer than " + bound;
    else if (last_p99_ms_ < 0)
        reason = bound + "; fewer than " + std::to_string(doubling_ ? first_window : window) +
                 " jobs have ended since the number changed";
    else
        reason = bound + ", and of the last " + std::to_string(last_window_) + " jobs " +
                 std::to_string(last_window_ - 1) + " took at most " + milliseconds(last_p99_ms_);
    if (failed_ > 0)
        reason += "; with " + std::to_string(failed_) + " at a time the bound was exceeded";
    else if (limit_ == most_)
        reason += "; the device asks for no more";
    return {"requests_in_flight", std::to_string(limit_), reason};
}

} // namespace leat
