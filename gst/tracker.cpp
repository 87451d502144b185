#include "tracker.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace leat {
namespace {

// Standard deviations as shares of the object's extent, as in DeepSORT and ByteTrack.
constexpr float place_noise = 1.f / 20, velocity_noise = 1.f / 160;
/// Sightings below this are not looked at.
constexpr float least_confidence = 0.1f;
constexpr double unsure_iou = 0.5, tentative_iou = 0.3;
/// A lost track that overlaps with a seen one by more than this is the same object.
constexpr double shadow_iou = 0.85;

float square(float value)
{
    return value * value;
}

double iou(const Region &a, const Region &b)
{
    const double width = std::min(a.x + a.width, b.x + b.width) - std::max(a.x, b.x);
    const double height = std::min(a.y + a.height, b.y + b.height) - std::max(a.y, b.y);
    if (!(width > 0 && height > 0))
        return 0;
    const double common = width * height;
    return common / (double(a.width) * a.height + double(b.width) * b.height - common);
}

bool same_kind(const Sighting &a, const Sighting &b)
{
    return a.label_id == b.label_id && a.label == b.label && a.model == b.model;
}

/// Sightings worth looking at, the most confident ones.
std::vector<size_t> most_confident(std::span<const Sighting> sightings, size_t most)
{
    std::vector<size_t> chosen;
    for (size_t i = 0; i < sightings.size(); i++) {
        const Region &box = sightings[i].box;
        if (sightings[i].confidence >= least_confidence && box.width > 0 && box.height > 0)
            chosen.push_back(i);
    }
    std::stable_sort(chosen.begin(), chosen.end(),
                     [&](size_t a, size_t b) { return sightings[a].confidence > sightings[b].confidence; });
    chosen.resize(std::min(chosen.size(), most));
    return chosen;
}

} // namespace

std::vector<std::pair<size_t, size_t>> best_pairs(std::span<const double> rewards, size_t rows, size_t columns)
{
    if (rows > columns) {
        std::vector<double> turned(rewards.size());
        for (size_t row = 0; row < rows; row++)
            for (size_t column = 0; column < columns; column++)
                turned[column * rows + row] = rewards[row * columns + column];
        auto pairs = best_pairs(turned, columns, rows);
        for (auto &[row, column] : pairs)
            std::swap(row, column);
        return pairs;
    }
    // Index 0 of rows and columns stands for none.
    const double infinity = std::numeric_limits<double>::infinity();
    std::vector<double> row_potential(rows + 1), column_potential(columns + 1);
    std::vector<size_t> row_of(columns + 1, 0), before(columns + 1, 0);
    for (size_t row = 1; row <= rows; row++) {
        row_of[0] = row;
        size_t column = 0;
        std::vector<double> least(columns + 1, infinity);
        std::vector<bool> visited(columns + 1, false);
        do {
            visited[column] = true;
            const size_t from = row_of[column];
            double step = infinity;
            size_t next = 0;
            for (size_t c = 1; c <= columns; c++) {
                if (visited[c])
                    continue;
                const double slack = -rewards[(from - 1) * columns + c - 1] - row_potential[from] - column_potential[c];
                if (slack < least[c]) {
                    least[c] = slack;
                    before[c] = column;
                }
                if (least[c] < step) {
                    step = least[c];
                    next = c;
                }
            }
            for (size_t c = 0; c <= columns; c++) {
                if (visited[c]) {
                    row_potential[row_of[c]] += step;
                    column_potential[c] -= step;
                } else {
                    least[c] -= step;
                }
            }
            column = next;
        } while (row_of[column] != 0);
        for (; column != 0; column = before[column])
            row_of[column] = row_of[before[column]];
    }
    std::vector<std::pair<size_t, size_t>> pairs;
    for (size_t column = 1; column <= columns; column++)
        if (const size_t row = row_of[column]; row && rewards[(row - 1) * columns + column - 1] > 0)
            pairs.emplace_back(row - 1, column - 1);
    return pairs;
}

AxisFilter::AxisFilter(float place, float extent)
    : place_(place), place_variance_(square(2 * place_noise * extent)),
      velocity_variance_(square(10 * velocity_noise * extent))
{
}

void AxisFilter::predict(float extent)
{
    place_ += velocity_;
    place_variance_ += 2 * covariance_ + velocity_variance_ + square(place_noise * extent);
    covariance_ += velocity_variance_;
    velocity_variance_ += square(velocity_noise * extent);
}

void AxisFilter::correct(float place, float extent)
{
    const float total = place_variance_ + square(place_noise * extent);
    const float place_gain = place_variance_ / total, velocity_gain = covariance_ / total;
    const float surprise = place - place_;
    place_ += place_gain * surprise;
    velocity_ += velocity_gain * surprise;
    velocity_variance_ -= velocity_gain * covariance_;
    covariance_ *= 1 - place_gain;
    place_variance_ *= 1 - place_gain;
}

Tracker::Track::Track(const Sighting &sighting, uint64_t time)
    : last(sighting), identity{0, time}, axes{AxisFilter(sighting.box.x + sighting.box.width / 2, sighting.box.width),
                                              AxisFilter(sighting.box.y + sighting.box.height / 2, sighting.box.height),
                                              AxisFilter(sighting.box.width, sighting.box.width),
                                              AxisFilter(sighting.box.height, sighting.box.height)}
{
}

void Tracker::Track::predict()
{
    // What cannot be seen is not known to grow.
    if (missed) {
        axes[2].stand_still();
        axes[3].stand_still();
    }
    const Region box = expected();
    for (size_t i = 0; i < axes.size(); i++)
        axes[i].predict(i % 2 ? box.height : box.width);
}

void Tracker::Track::correct(const Sighting &sighting)
{
    const Region &box = sighting.box;
    const std::array<float, 4> places{box.x + box.width / 2, box.y + box.height / 2, box.width, box.height};
    for (size_t i = 0; i < axes.size(); i++)
        axes[i].correct(places[i], i % 2 ? box.height : box.width);
    last = sighting;
    age = 0;
    missed = false;
    hits++;
}

Region Tracker::Track::expected() const
{
    const float width = std::max(1.f, axes[2].place()), height = std::max(1.f, axes[3].place());
    return {axes[0].place() - width / 2, axes[1].place() - height / 2, width, height};
}

/// Continues tracks that are still without a sighting with those in `open`, which are removed from there.
void Tracker::match(Stage stage, std::span<const Sighting> sightings, std::vector<size_t> &open,
                    std::vector<bool> &continued, double iou_threshold, std::vector<Identity> &identities)
{
    std::vector<size_t> candidates;
    for (size_t i = 0; i < tracks_.size(); i++) {
        const bool wanted = stage == Stage::tentative
                                ? !tracks_[i].confirmed()
                                : tracks_[i].confirmed() && (stage == Stage::sure || !tracks_[i].missed);
        if (wanted && !continued[i])
            candidates.push_back(i);
    }
    std::vector<double> rewards;
    rewards.reserve(candidates.size() * open.size());
    for (const size_t track : candidates) {
        const Region expected = tracks_[track].expected();
        for (const size_t i : open)
            rewards.push_back(same_kind(tracks_[track].last, sightings[i])
                                  ? std::max(0., iou(expected, sightings[i].box) - iou_threshold)
                                  : 0.);
    }
    std::vector<bool> taken(open.size(), false);
    for (const auto &[row, column] : best_pairs(rewards, candidates.size(), open.size())) {
        Track &track = tracks_[candidates[row]];
        track.correct(sightings[open[column]]);
        if (!track.confirmed() && track.hits >= min_hits_)
            track.identity.id = ++last_id_;
        if (track.confirmed())
            identities[open[column]] = track.identity;
        continued[candidates[row]] = taken[column] = true;
    }
    size_t column = 0;
    std::erase_if(open, [&](size_t) { return taken[column++]; });
}

/// Ends the lost track that nobody has seen for longest when there are too many; false when there is none.
bool Tracker::make_room(const TrackerOptions &options, std::vector<bool> &continued)
{
    if (tracks_.size() < static_cast<size_t>(options.max_objects))
        return true;
    const auto oldest =
        std::max_element(tracks_.begin(), tracks_.end(), [](const Track &a, const Track &b) { return a.age < b.age; });
    if (!oldest->missed)
        return false;
    continued.erase(continued.begin() + (oldest - tracks_.begin()));
    tracks_.erase(oldest);
    return true;
}

void Tracker::begin(const Sighting &sighting, uint64_t time, const TrackerOptions &options,
                    std::vector<bool> &continued, Identity &identity)
{
    if (!make_room(options, continued))
        return;
    Track &track = tracks_.emplace_back(sighting, time);
    continued.push_back(true);
    if (track.hits < min_hits_)
        return;
    track.identity.id = ++last_id_;
    identity = track.identity;
}

void Tracker::end_missing(const std::vector<bool> &continued, const std::vector<bool> &looked,
                          const TrackerOptions &options)
{
    for (size_t i = 0; i < tracks_.size(); i++)
        tracks_[i].missed |= looked[i] && !continued[i];
    std::erase_if(tracks_, [&](const Track &track) {
        return track.missed && (!track.confirmed() || track.age > options.max_age);
    });
}

void Tracker::end_shadows()
{
    std::vector<Region> seen;
    std::vector<const Sighting *> kinds;
    for (const Track &track : tracks_)
        if (!track.missed) {
            seen.push_back(track.expected());
            kinds.push_back(&track.last);
        }
    std::vector<bool> shadow(tracks_.size(), false);
    for (size_t i = 0; i < tracks_.size(); i++)
        for (size_t k = 0; k < seen.size() && tracks_[i].missed && !shadow[i]; k++)
            shadow[i] = same_kind(tracks_[i].last, *kinds[k]) && iou(tracks_[i].expected(), seen[k]) > shadow_iou;
    size_t i = 0;
    std::erase_if(tracks_, [&](const Track &) { return shadow[i++]; });
}

Tracker::Update Tracker::update(std::span<const Sighting> sightings, std::span<const std::string> models_not_run,
                                int frames, uint64_t time, const TrackerOptions &options)
{
    Update update;
    update.identities.resize(sightings.size());
    min_hits_ = std::exchange(first_frame_, first_frame_ && sightings.empty()) ? 1 : options.min_hits;
    // After so many frames nothing is where it was expected.
    frames = std::clamp(frames, 1, options.max_age + 1);
    for (Track &track : tracks_) {
        track.age += frames;
        for (int i = 0; i < frames; i++)
            track.predict();
    }

    std::vector<size_t> sure = most_confident(sightings, static_cast<size_t>(options.max_objects)), unsure;
    const auto first_unsure = std::find_if(
        sure.begin(), sure.end(), [&](size_t i) { return !(sightings[i].confidence >= options.high_threshold); });
    unsure.assign(first_unsure, sure.end());
    sure.erase(first_unsure, sure.end());

    std::vector<bool> continued(tracks_.size(), false);
    match(Stage::sure, sightings, sure, continued, options.iou_threshold, update.identities);
    match(Stage::unsure, sightings, unsure, continued, unsure_iou, update.identities);
    match(Stage::tentative, sightings, sure, continued, tentative_iou, update.identities);
    for (const size_t i : sure)
        begin(sightings[i], time, options, continued, update.identities[i]);

    std::vector<bool> looked;
    for (const Track &track : tracks_)
        looked.push_back(std::find(models_not_run.begin(), models_not_run.end(), track.last.model) ==
                         models_not_run.end());
    for (size_t i = 0; i < tracks_.size(); i++) {
        const Track &track = tracks_[i];
        if (looked[i] || continued[i] || !track.confirmed() || track.missed || track.age > options.max_age)
            continue;
        Prediction &prediction = update.predictions.emplace_back(Prediction{track.last, track.identity});
        prediction.sighting.box = track.expected();
    }
    end_missing(continued, looked, options);
    end_shadows();
    return update;
}

void Tracker::reset()
{
    tracks_.clear();
    first_frame_ = true;
}

} // namespace leat
