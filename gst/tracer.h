#pragma once
#include "inference/timeline.h"

#include <leat/model.h>

#include <gst/gst.h>

#include <memory>
#include <vector>

namespace leat {

/// The timeline of the process, while the tracer `leat` runs; else nothing. Any thread.
std::shared_ptr<Timeline> active_timeline();

/// Draws the jobs of one element, which overlap, on as many tracks as are needed. One thread.
class JobTracks {
  public:
    void draw(Timeline &, const GstElement *, const Job &);

  private:
    struct Track {
        int id;
        Timeline::TimePoint free_from;
    };
    std::vector<Track> tracks_;
};

/// Registers the tracer `leat`.
gboolean register_tracer(GstPlugin *);

} // namespace leat
