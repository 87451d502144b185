#pragma once
#include "inference/graph.h"

#include <leat/model.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace leat {

/// Runs every node by its reference kernel, in order, on the calling thread. Fills job.outputs. Throws Error naming the
/// node.
void run_by_reference(const Graph &, Job &);

/// One thread that runs jobs in the order submitted. The destructor waits for all of them.
class JobThread {
  public:
    explicit JobThread(std::function<void(Job &)> run);
    ~JobThread();
    /// Never blocks. After run(), complete() is called; what run() throws becomes Job::error.
    void submit(Job &);

  private:
    void loop();

    std::function<void(Job &)> run_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Job *> waiting_;
    bool stopping_ = false;
    std::thread thread_;
};

} // namespace leat
