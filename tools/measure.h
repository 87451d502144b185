#pragma once
#include <leat/model.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace leat {

using TimePoint = std::chrono::steady_clock::time_point;

/// One inference as it went.
struct Inference {
    int request = 0;             ///< which of the requests, from 0
    TimePoint begun, ended;      ///< when the application started it, and when it heard of the end
    TimePoint started, prepared; ///< as in Job
    bool failed = false;
};

/// One picture decoded while inferences ran.
struct Decoded {
    TimePoint begun, ended;
};

/// What the model gets. The pictures go round; without any, `tensors` feed all inputs.
struct Feed {
    std::vector<Tensor> tensors; ///< by tensor input, in the order of Job::inputs; each request has a copy
    std::vector<Image> images;   ///< decoded before; for the one image input
    /// Decodes the picture of that number, for inferences that wait for decoding; called on a thread of its own.
    std::function<Image(size_t)> decode;
};

/// When a measurement ends: after so many inferences or, without them, after so much time.
struct Limit {
    int64_t iterations = 0; ///< 0: time counts
    std::chrono::duration<double> time_s{10};
    double most_per_second = 0; ///< starts are spread so that there are no more; 0: as many as can be
    bool follow_depth = false;  ///< never more in flight than CompiledModel::depth() says at the time
};

struct Measurement {
    std::vector<Inference> inferences; ///< in the order of their ends
    std::vector<Decoded> decoded;
    double first_ms = 0;    ///< latency of the very first inference, before the measurement
    double duration_ms = 0; ///< from the first start to the last end
    int64_t failed = 0;
    std::string first_error;
};

/// Starts inferences on `requests` requests, each again as soon as it ended, until the limit. Before that it runs one
/// inference alone and one of every request; these are not measured, and throw what they fail with. `progress` is told
/// the part done, 0 to 1, on the calling thread.
Measurement measure(CompiledModel &, const Feed &, int requests, const Limit &,
                    const std::function<void(double)> &progress = {});

/// Of a sample of durations, in milliseconds. Percentiles are by nearest rank: the least value that is not exceeded by
/// so many percent of the values.
struct Percentiles {
    double min = 0, median = 0, mean = 0, p90 = 0, p95 = 0, p99 = 0, max = 0;
};
Percentiles percentiles_of(std::vector<double> milliseconds);

/// From start to end of each inference that did not fail.
std::vector<double> latencies_of(const Measurement &);

/// Inferences that did not fail, a second, times the batch.
double frames_per_second(const Measurement &, int64_t batch);

/// A Timeline with a track for the decoder and one for each request, on which waiting, preprocessing and inference are
/// slices. Throws Error when the file cannot be written.
void write_timeline(const std::string &path, const Measurement &);

} // namespace leat
