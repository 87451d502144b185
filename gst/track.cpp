#include "gst/errors.h"
#include "gst/meta.h"
#include "gst/pads.h"
#include "gst/properties.h"
#include "gst/tracker.h"

#include <gst/base/gstbasetransform.h>

#include <algorithm>
#include <utility>

// leattrack: gives objects ids that last from frame to frame.

namespace leat {
namespace {

enum class TrackingType { short_term_imageless, zero_term_imageless };

struct TrackSettings {
    TrackingType type = TrackingType::short_term_imageless;
    std::string object_class;
    double high_threshold = TrackerOptions{}.high_threshold, iou_threshold = TrackerOptions{}.iou_threshold;
    int max_age = TrackerOptions{}.max_age, min_hits = TrackerOptions{}.min_hits;
    int max_objects = TrackerOptions{}.max_objects;
};

} // namespace
} // namespace leat

struct LeatTrack {
    GstBaseTransform parent;
    leat::Settings<leat::TrackSettings> *settings;
    // Streaming thread alone.
    leat::Tracker *tracker;
    GstVideoInfo info;
    GstClockTime last_pts;
};

struct LeatTrackClass {
    GstBaseTransformClass parent_class;
};

G_DEFINE_TYPE(LeatTrack, leat_track, GST_TYPE_BASE_TRANSFORM)

namespace leat {
namespace {

using T = TrackSettings;

const GEnumValue type_values[] = {
    {int(TrackingType::short_term_imageless),
     "Frames that the detector did not look at get the boxes that are expected there", "short-term-imageless"},
    {int(TrackingType::zero_term_imageless), "Only what a detector has found gets ids", "zero-term-imageless"},
    {0, nullptr, nullptr},
};

std::vector<Property<T>> properties()
{
    return {
        choice(&T::type, "tracking-type", "Tracking type", "What becomes of frames that the detector did not look at",
               enumeration("LeatTrackingType", type_values), T{}.type, while_playing),
        text(&T::object_class, "object-class", "Object class",
             "Labels of the objects to track, separated by commas; not set: all", while_playing),
        number(&T::high_threshold, "high-threshold", "High threshold",
               "Confidence from which on an object may begin a track; with less it only continues one", 0, 1,
               while_playing),
        number(&T::iou_threshold, "iou-threshold", "IoU threshold",
               "Overlap (intersection over union) of an object with the expected box from which on it continues that "
               "track; less for fast objects, more for crowds",
               0, 1, while_playing),
        integer(&T::max_age, "max-age", "Max age",
                "Frames after which a track ends that the detector has not found again; its object gets a new id then",
                0, 10000, while_playing),
        integer(&T::min_hits, "min-hits", "Min hits",
                "Frames in a row in which an object must be found to get its id; those of the first frame get it at "
                "once",
                1, 10000, while_playing),
        integer(&T::max_objects, "max-objects", "Max objects",
                "Objects that are tracked at once, those with the highest confidence", 1, 1000, while_playing),
    };
}

/// Frames from the last buffer to this one, as far as timestamps tell.
int frames_since_last(LeatTrack *self, GstClockTime pts)
{
    const GstClockTime last = std::exchange(self->last_pts, pts);
    const int fps_n = GST_VIDEO_INFO_FPS_N(&self->info), fps_d = GST_VIDEO_INFO_FPS_D(&self->info);
    if (!GST_CLOCK_TIME_IS_VALID(last) || !GST_CLOCK_TIME_IS_VALID(pts) || pts <= last || fps_n <= 0 || fps_d <= 0)
        return 1;
    const guint64 frames =
        gst_util_uint64_scale_round(pts - last, static_cast<guint64>(fps_n), static_cast<guint64>(fps_d) * GST_SECOND);
    return static_cast<int>(std::clamp<guint64>(frames, 1, G_MAXINT));
}

/// The region as its detector described it; regions of others are sure.
Sighting sighting_of(const RegionOfInterest &region)
{
    Sighting sighting{region.rectangle, 1, 0, region.label, ""};
    const GstStructure *detection = gst_video_region_of_interest_meta_get_param(region.meta, "detection");
    if (!detection)
        return sighting;
    if (double confidence; gst_structure_get_double(detection, "confidence", &confidence))
        sighting.confidence = static_cast<float>(confidence);
    gst_structure_get_int(detection, "label_id", &sighting.label_id);
    if (const char *model = gst_structure_get_string(detection, "model_name"))
        sighting.model = model;
    return sighting;
}

std::vector<RegionOfInterest> objects_to_track(GstBuffer *buffer, const GstVideoInfo &info, const T &settings)
{
    const auto wanted = split_list(settings.object_class);
    auto regions = regions_of_interest(buffer, GST_VIDEO_INFO_WIDTH(&info), GST_VIDEO_INFO_HEIGHT(&info));
    std::erase_if(regions, [&](const RegionOfInterest &region) {
        return region.label == frame_label ||
               (!wanted.empty() && std::find(wanted.begin(), wanted.end(), region.label) == wanted.end());
    });
    return regions;
}

std::vector<std::string> models_not_run(GstBuffer *buffer)
{
    std::vector<std::string> models;
    for (const NotInferred &mark : not_inferred_marks(buffer))
        models.push_back(mark.model);
    return models;
}

Region clipped(const Region &box, int width, int height)
{
    const float left = std::max(0.f, box.x), top = std::max(0.f, box.y);
    return {left, top, std::min(box.x + box.width, static_cast<float>(width)) - left,
            std::min(box.y + box.height, static_cast<float>(height)) - top};
}

/// An object that is expected in the frame, unless it has left it.
void add_prediction(GstBuffer *buffer, const GstVideoInfo &info, const Tracker::Prediction &prediction)
{
    const int width = GST_VIDEO_INFO_WIDTH(&info), height = GST_VIDEO_INFO_HEIGHT(&info);
    const Sighting &sighting = prediction.sighting;
    FoundObject object;
    object.box = clipped(sighting.box, width, height);
    if (object.box.width < 1 || object.box.height < 1)
        return;
    object.confidence = sighting.confidence;
    object.label_id = sighting.label_id;
    object.label = sighting.label;
    GstVideoRegionOfInterestMeta *region = add_object(buffer, width, height, sighting.model, object);
    set_identity(buffer, region, {prediction.identity.id, prediction.identity.since, true});
}

TrackerOptions tracker_options(const T &settings)
{
    return {settings.high_threshold, settings.iou_threshold, settings.max_age, settings.min_hits, settings.max_objects};
}

GstFlowReturn transform_ip(GstBaseTransform *transform, GstBuffer *buffer)
{
    auto *self = reinterpret_cast<LeatTrack *>(transform);
    const auto settings = self->settings->now();
    const GstClockTime pts = GST_BUFFER_PTS(buffer);
    adopt_analytics(buffer); // is writable here, so it stays the same
    const auto regions = objects_to_track(buffer, self->info, *settings);
    std::vector<Sighting> sightings;
    std::transform(regions.begin(), regions.end(), std::back_inserter(sightings), sighting_of);
    const Tracker::Update update = self->tracker->update(sightings, models_not_run(buffer),
                                                         frames_since_last(self, pts), pts, tracker_options(*settings));
    for (size_t i = 0; i < regions.size(); i++)
        if (const Tracker::Identity &identity = update.identities[i]; identity.id)
            set_identity(buffer, regions[i].meta, {identity.id, identity.since, false});
    if (settings->type == TrackingType::short_term_imageless)
        for (const Tracker::Prediction &prediction : update.predictions)
            add_prediction(buffer, self->info, prediction);
    return GST_FLOW_OK;
}

void forget(LeatTrack *self)
{
    self->tracker->reset();
    self->last_pts = GST_CLOCK_TIME_NONE;
}

gboolean set_caps(GstBaseTransform *transform, GstCaps *caps, GstCaps *)
{
    auto *self = reinterpret_cast<LeatTrack *>(transform);
    forget(self);
    return gst_video_info_from_caps(&self->info, caps);
}

gboolean sink_event(GstBaseTransform *transform, GstEvent *event)
{
    switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_STREAM_START:
    case GST_EVENT_SEGMENT:
    case GST_EVENT_FLUSH_STOP: forget(reinterpret_cast<LeatTrack *>(transform)); break;
    default: break;
    }
    return GST_BASE_TRANSFORM_CLASS(leat_track_parent_class)->sink_event(transform, event);
}

gboolean start(GstBaseTransform *transform)
{
    auto *self = reinterpret_cast<LeatTrack *>(transform);
    const std::string faults = self->settings->faults();
    if (!faults.empty())
        post_error(GST_ELEMENT(transform), Fault::property, faults);
    *self->tracker = {};
    self->last_pts = GST_CLOCK_TIME_NONE;
    return faults.empty();
}

void finalize(GObject *object)
{
    auto *self = reinterpret_cast<LeatTrack *>(object);
    delete self->tracker;
    delete self->settings;
    G_OBJECT_CLASS(leat_track_parent_class)->finalize(object);
}

} // namespace
} // namespace leat

static void leat_track_init(LeatTrack *self)
{
    self->settings = new leat::Settings<leat::TrackSettings>;
    self->tracker = new leat::Tracker;
    self->last_pts = GST_CLOCK_TIME_NONE;
    gst_video_info_init(&self->info);
    gst_base_transform_set_in_place(&self->parent, TRUE);
}

static void leat_track_class_init(LeatTrackClass *klass)
{
    GObjectClass *object_class = G_OBJECT_CLASS(klass);
    object_class->set_property = leat::set_property<LeatTrack>;
    object_class->get_property = leat::get_property<LeatTrack>;
    object_class->finalize = leat::finalize;
    leat::install_properties(object_class, leat::properties());
    GstBaseTransformClass *transform_class = GST_BASE_TRANSFORM_CLASS(klass);
    transform_class->set_caps = leat::set_caps;
    transform_class->start = leat::start;
    transform_class->sink_event = leat::sink_event;
    transform_class->transform_ip = leat::transform_ip;
    leat::add_pads(GST_ELEMENT_CLASS(klass), "video/x-raw(ANY)");
    gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "Leat object tracker", "Filter/Analyzer/Video",
                                          "Gives the objects of a stream ids that last from frame to frame (ByteTrack: "
                                          "from their boxes alone), and fills "
                                          "frames that the detector did not look at with the expected boxes",
                                          "The Leat developers");
}
