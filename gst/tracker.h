#pragma once
#include <leat/image.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace leat {

/// Something that a detector has found in one frame.
struct Sighting {
    Region box; ///< frame pixels
    float confidence = 0;
    int label_id = 0;
    std::string label; ///< objects keep theirs
    std::string model; ///< who has found it; objects keep theirs
};

struct TrackerOptions {
    double high_threshold = 0.4; ///< confidence from which on a sighting may begin a track
    double iou_threshold = 0.2;  ///< overlap with the expected box from which on a sure sighting continues a track
    int max_age = 30;            ///< frames after which a track that nobody has seen again ends
    int min_hits = 2;            ///< sightings in a row after which an object gets its id
    int max_objects = 256;       ///< tracks kept, and sightings looked at, those with the highest confidence
};

/// Place and speed along one axis: a Kalman filter of constant velocity.
class AxisFilter {
  public:
    AxisFilter(float place, float extent);
    /// One frame later, for an object of that extent.
    void predict(float extent);
    void correct(float place, float extent);
    void stand_still() { velocity_ = 0; }
    float place() const { return place_; }

  private:
    float place_, velocity_ = 0;
    float place_variance_, velocity_variance_, covariance_ = 0;
};

/// Gives the objects of one stream ids that last. Knows nothing of the pictures, only boxes. One thread.
///
/// The algorithm is ByteTrack: Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box"
/// (ECCV 2022, arXiv:2110.06864). Sure sightings are matched with all tracks first, then unsure ones with the tracks
/// that are still without and were seen last time, each so that the overlap is largest in sum. Boxes move by a Kalman
/// filter of centre, width and height with constant velocities: because its noise is uncorrelated, four filters of one
/// axis are the same as one of four. Objects of different labels or of different models are never matched.
class Tracker {
  public:
    /// The object that a sighting belongs to.
    struct Identity {
        int id = 0;         ///< from 1 on, never given twice; 0: none (yet)
        uint64_t since = 0; ///< `time` of its first sighting
    };
    struct Prediction {
        Sighting sighting; ///< as last seen, with the expected box
        Identity identity;
    };
    struct Update {
        std::vector<Identity> identities;    ///< one for each sighting, in their order
        std::vector<Prediction> predictions; ///< objects of the models that did not look
    };

    /// The next frame: what was found in it, and the models that did not look at it. Their objects go on as expected
    /// and are predicted, for at most `max_age` frames. `frames` have passed since the last one (at least 1). `time`
    /// is remembered as the beginning of new tracks.
    Update update(std::span<const Sighting>, std::span<const std::string> models_not_run, int frames, uint64_t time,
                  const TrackerOptions &);

    /// Forgets all objects: the stream goes on somewhere else. Ids go on.
    void reset();

  private:
    struct Track {
        Sighting last;
        Identity identity;              ///< id 0: not confirmed yet
        std::array<AxisFilter, 4> axes; ///< centre x, centre y, width, height
        int hits = 1;
        int age = 0;         ///< frames since it was last seen
        bool missed = false; ///< its model looked last time and did not find it

        Track(const Sighting &, uint64_t time);
        bool confirmed() const { return identity.id != 0; }
        void predict();
        void correct(const Sighting &);
        Region expected() const;
    };
    enum class Stage { sure, unsure, tentative };

    void match(Stage, std::span<const Sighting>, std::vector<size_t> &open, std::vector<bool> &continued,
               double iou_threshold, std::vector<Identity> &identities);
    void begin(const Sighting &, uint64_t time, const TrackerOptions &, std::vector<bool> &continued, Identity &);
    bool make_room(const TrackerOptions &, std::vector<bool> &continued);
    void end_missing(const std::vector<bool> &continued, const std::vector<bool> &looked, const TrackerOptions &);
    void end_shadows();

    std::vector<Track> tracks_;
    int last_id_ = 0;
    int min_hits_ = 1; ///< in the frame at hand
    bool first_frame_ = true;
};

/// The pairs (row, column) whose sum of rewards is the largest, each row and column in at most one pair, those without
/// a reward left out. Hungarian method with potentials (Kuhn 1955, Munkres 1957), O(n^3). `rewards` has the rows one
/// after the other; none is negative.
std::vector<std::pair<size_t, size_t>> best_pairs(std::span<const double> rewards, size_t rows, size_t columns);

} // namespace leat
