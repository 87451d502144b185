#pragma once
#include <leat/model.h>

#include <cstdint>
#include <optional>
#include <string>

namespace leat {

/// How many jobs may be in flight at once so that the 99th percentile of their latencies stays under a bound: as many
/// as the bound allows, for throughput grows with them.
///
/// Latencies are looked at in windows of a hundred jobs that were all submitted under the present limit. The second of
/// a window that exceeds the bound proves its 99th percentile too high: the limit falls at once, to the
/// highest that has kept the bound or else to three quarters. A window that keeps the bound, and in which the limit was
/// reached, lets one more in. A limit that failed is not tried again for `first_patience` windows, then for twice as
/// many each time it fails again: trying costs so little of the time that the bound holds over all. (Additive increase
/// and multiplicative decrease, as in the congestion control of networks; Chiu and Jain 1989.)
///
/// It begins with one, so that the bound holds from the first job on, and doubles after windows of `first_window` jobs
/// until one is late for the first time: the slow start of the same congestion control (Jacobson 1988).
///
/// Not for several threads at once.
class InFlightLimit {
  public:
    /// What a job takes along from its submission to its end.
    struct Ticket {
        uint64_t era = 0;  ///< counts the changes of the limit
        int in_flight = 0; ///< with this job
    };

    /// What a window of jobs has shown.
    struct Finding {
        bool kept;    ///< the bound, with `limit` in flight; else one at a time is late
        bool reached; ///< the limit was
        double p99_ms;
        int limit;
    };

    static constexpr int window = 100, first_window = 25;
    static constexpr int first_patience = 8, most_patience = 256;

    InFlightLimit(double bound_ms, int most);

    int now() const { return limit_; }
    /// The device takes no more than that at a time.
    void allow(int most);
    Ticket submitted();
    std::optional<Finding> ended(const Ticket &, double latency_ms);
    /// The device has changed: what was found out about it no longer holds.
    void restart(int most);
    /// The job failed: its latency says nothing.
    void failed() { in_flight_--; }

    /// The limit, and why it is what it is.
    Setting setting() const;

  private:
    const double bound_ms_;
    int most_, limit_ = 1;
    bool doubling_ = true; ///< no limit has failed yet
    uint64_t era_ = 0;
    int in_flight_ = 0;

    int seen_ = 0, late_ = 0; // of the window
    bool reached_ = false;    // the limit, in the window
    double longest_ms_ = 0, second_longest_ms_ = 0;

    double last_p99_ms_ = -1; // of the window before; -1: none under this limit
    int last_window_ = 0;     // jobs of it
    bool hopeless_ = false;   // one at a time is too slow
    int kept_ = 0;            // the highest limit that has kept the bound; 0: none
    int failed_ = 0;          // the limit that failed last; 0: none
    int patience_ = first_patience, waited_ = 0;

    void change(int limit);
    void clear_window();
    Finding end_window();
    std::optional<Finding> retreat();
    void advance();
};

} // namespace leat
