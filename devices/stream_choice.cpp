#include "stream_choice.h"

#include <algorithm>
#include <cstdio>

namespace leat {

StreamChoice::StreamChoice(double bound_ms, int most) : bound_ms_(bound_ms)
{
    for (int number = std::max(1, most); number > 0; number /= 2)
        numbers_.push_back(number);
}

void StreamChoice::late(double milliseconds)
{
    alone_ms_ = 0;
    if (wanted_ || !refused_.empty() || now() == 1 || ++late_ < 2)
        return;
    patience_ = failed_ == now() ? std::min(2 * patience_, most_patience) : first_patience;
    failed_ = now();
    failed_ms_ = milliseconds;
    wanted_ = numbers_[at_ + 1];
}

void StreamChoice::kept(double p99_ms, int in_flight)
{
    late_ = 0;
    if (in_flight <= now() || p99_ms < alone_ms_)
        alone_ms_ = p99_ms;
    if (wanted_ || !refused_.empty() || at_ == 0 || alone_ms_ == 0)
        return;
    const double most_slowdown = static_cast<double>(more()) / now();
    if (slowdown_ == 0)
        slowdown_ = failed_ == more() ? std::clamp(failed_ms_ / alone_ms_, 1., most_slowdown) : most_slowdown;
    const bool all_busy = in_flight >= now();
    if (all_busy && ++waited_ >= patience_ && alone_ms_ * slowdown_ <= 0.9 * bound_ms_)
        wanted_ = more();
}

void StreamChoice::changed()
{
    at_ = static_cast<size_t>(std::find(numbers_.begin(), numbers_.end(), *wanted_) - numbers_.begin());
    wanted_.reset();
    late_ = waited_ = 0;
    alone_ms_ = slowdown_ = 0;
}

void StreamChoice::refused(const std::string &reason)
{
    wanted_.reset();
    refused_ = reason;
}

std::optional<Setting> StreamChoice::setting() const
{
    if (at_ == 0 && refused_.empty())
        return {};
    char text[160];
    std::snprintf(text, sizeof text, "latency_bound_ms %.1f ms: with %d streams a single inference took up to %.1f ms",
                  bound_ms_, failed_, failed_ms_);
    std::string reason = text;
    if (!refused_.empty())
        reason += "; the model with another number could not be made: " + refused_;
    return Setting{"num_streams", std::to_string(now()), reason};
}

} // namespace leat
