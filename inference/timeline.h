#pragma once
#include <chrono>
#include <fstream>
#include <mutex>
#include <string>
#include <string_view>

namespace leat {

/// Writes what happened when, as a file that Perfetto and chrome://tracing show: tracks side by side, slices of time on
/// them. Events are written as they come, in the array form of the Trace Event Format, which may lack its end: the file
/// of a process that was killed can be read too. Any thread.
class Timeline {
  public:
    using TimePoint = std::chrono::steady_clock::time_point;

    /// Throws Error when the file cannot be written.
    explicit Timeline(std::string path);
    ~Timeline();
    Timeline(const Timeline &) = delete;
    Timeline &operator=(const Timeline &) = delete;

    /// A new track, below those that are there.
    int add_track(std::string_view name);
    /// Slices of one track must not overlap, except that one may lie inside another.
    void add_slice(int track, std::string_view name, TimePoint from, TimePoint to, bool failed = false);
    /// Ends the file. Throws Error when not all of it could be written.
    void close();

  private:
    void write(const std::string &event);

    std::mutex mutex_;
    std::string path_;
    std::ofstream file_;
    int tracks_ = 0;
    bool open_ = false, first_ = true;
};

} // namespace leat
