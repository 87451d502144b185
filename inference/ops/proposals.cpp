#include "inference/ops/attributes.h"
#include "inference/ops/boxes.h"

#include <algorithm>
#include <cmath>

// Regions of interest of two-stage detectors: Ren et al., "Faster R-CNN", 2015; Girshick et al., "Detectron", 2018

namespace leat {
namespace {

/// What the picture's input says: height, width and the factor by which the picture was scaled, on each axis.
struct PictureInfo {
    float height = 0, width = 0, scale_height = 1, scale_width = 1;
};

PictureInfo picture_info(std::span<const float> numbers)
{
    if (numbers.size() < 2)
        throw Error("the information on the picture has " + std::to_string(numbers.size()) +
                    " numbers, want height, width and scales");
    PictureInfo info{numbers[0], numbers[1]};
    if (numbers.size() > 2)
        info.scale_height = info.scale_width = numbers[2];
    if (numbers.size() > 3)
        info.scale_width = numbers[3];
    return info;
}

/// A box and its score.
struct Candidates {
    std::vector<Box> boxes;
    std::vector<ScoredIndex> ranking;
    void add(const Box &box, float score)
    {
        ranking.push_back({sortable(score), std::ssize(boxes)});
        boxes.push_back(box);
    }
    const Box &box(int64_t index) const { return boxes[static_cast<size_t>(index)]; }
};

// Proposal

struct ProposalOptions {
    int64_t base_size, before, after, stride;
    float threshold, min_size, size_scale, coordinate_scale;
    bool clip_before, clip_after, normalize, tensorflow;
    std::vector<float> ratios, scales;
};

ProposalOptions proposal_options(const Attributes &attributes)
{
    const std::string framework = attributes.text("framework", "");
    ProposalOptions options{size_attribute(attributes, "base_size", 1, 1),
                            size_attribute(attributes, "pre_nms_topn", 1, 0),
                            size_attribute(attributes, "post_nms_topn", 1, 0),
                            size_attribute(attributes, "feat_stride", 1, 1),
                            attributes.number("nms_thresh", 0),
                            attributes.number("min_size", 1),
                            attributes.number("box_size_scale", 1),
                            attributes.number("box_coordinate_scale", 1),
                            attributes.integer("clip_before_nms", 1) != 0,
                            attributes.integer("clip_after_nms", 0) != 0,
                            attributes.integer("normalize", 0) != 0,
                            framework == "tensorflow",
                            attributes.numbers("ratio"),
                            attributes.numbers("scale")};
    for (float ratio : options.ratios)
        if (!(ratio > 0))
            throw Error("ratio has " + std::to_string(ratio) + ", want numbers above 0");
    return options;
}

void check_proposal(const ProposalOptions &options, const std::optional<Shape> &scores,
                    const std::optional<Shape> &deltas)
{
    const int64_t anchors = known_product({std::ssize(options.ratios), std::ssize(options.scales)});
    want_shape(scores, 0, {-1, 2 * anchors, -1, -1}, "batch, two scores an anchor, height, width");
    want_shape(deltas, 1,
               {size_or_unknown(scores, 0), 4 * anchors, size_or_unknown(scores, 2), size_or_unknown(scores, 3)},
               "batch, four numbers an anchor, height, width");
}

void proposal_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    want_type(context, 1, TypeSet::floating);
    const ProposalOptions options = proposal_options(context.attributes());
    check_proposal(options, context.shape(0), context.shape(1));
    const int64_t images = std::max(size_or_unknown(context.shape(0), 0), size_or_unknown(context.shape(1), 0));
    const int64_t regions = known_product({images, options.after});
    check_rows(regions);
    context.output(0, context.type(0), Shape{regions, 5});
    context.output(1, context.type(0), Shape{regions});
}

/// Relative to a cell: first the ratios, then the scales.
std::vector<Box> anchors_of(const ProposalOptions &options)
{
    const auto base = static_cast<float>(options.base_size);
    const float last = options.tensorflow ? 0 : 1;
    const float centre = options.tensorflow ? 0 : 0.5f * (base - last);
    std::vector<Box> anchors;
    for (float ratio : options.ratios) {
        float width = std::sqrt(base * base / ratio), height = width * ratio;
        if (!options.tensorflow) {
            width = std::round(width);
            height = std::round(width * ratio);
        }
        for (float scale : options.scales) {
            const float x = 0.5f * (width * scale - last), y = 0.5f * (height * scale - last);
            anchors.push_back({centre - x, centre - y, centre + x, centre + y});
        }
    }
    return anchors;
}

/// `scores` [anchors, cells] of the foreground and `deltas` [anchors, 4, cells] of one picture.
Candidates propose(const ProposalOptions &options, const std::vector<Box> &anchors, const PictureInfo &info,
                   const float *scores, const float *deltas, int64_t height, int64_t width)
{
    const BoxArea area{options.tensorflow ? 0.f : 1.f}, points{0};
    const int64_t cells = height * width;
    Candidates found;
    for (int64_t cell = 0; cell < cells; cell++)
        for (size_t i = 0; i < anchors.size(); i++) {
            const int64_t row = cell / width, column = cell % width, anchor = static_cast<int64_t>(i);
            const auto x = static_cast<float>((options.tensorflow ? row : column) * options.stride);
            const auto y = static_cast<float>((options.tensorflow ? column : row) * options.stride);
            Box box{anchors[i].x1 + x, anchors[i].y1 + y, anchors[i].x2 + x, anchors[i].y2 + y};
            if (options.tensorflow)
                box = clipped(box, info.width, info.height);
            box.x2 += area.last;
            box.y2 += area.last;
            const float *d = deltas + anchor * 4 * cells + cell;
            box = refined(box, points, d[0] / options.coordinate_scale, d[cells] / options.coordinate_scale,
                          d[2 * cells] / options.size_scale, d[3 * cells] / options.size_scale);
            if (options.clip_before)
                box = clipped(box, info.width - area.last, info.height - area.last);
            const bool large = options.min_size * info.scale_width <= area.width(box) &&
                               options.min_size * info.scale_height <= area.height(box);
            found.add(box, large ? scores[anchor * cells + cell] : 0);
        }
    return found;
}

Box as_region(Box box, const ProposalOptions &options, const PictureInfo &info)
{
    if (options.clip_after)
        box = clipped(box, info.width, info.height);
    if (options.normalize)
        box = {box.x1 / info.width, box.y1 / info.height, box.x2 / info.width, box.y2 / info.height};
    return box;
}

void proposal(RunContext &context)
{
    const ProposalOptions options = proposal_options(context.node.attributes);
    const Tensor scores = context.inputs[0].converted(Type::f32), deltas = context.inputs[1].converted(Type::f32);
    const Tensor about = context.inputs[2].converted(Type::f32);
    check_proposal(options, scores.shape(), deltas.shape());
    const PictureInfo info = picture_info(about.values<float>());
    const auto anchors = anchors_of(options);
    const int64_t images = scores.dim(0), height = scores.dim(2), width = scores.dim(3);
    const int64_t per_image = std::ssize(anchors) * height * width;
    check_rows(images);
    check_rows(count_of({images, options.after}));
    Tensor regions(Type::f32, {images * options.after, 5}), ranks(Type::f32, {regions.dim(0)});
    std::fill_n(regions.data<float>(), regions.count(), 0.f);
    std::fill_n(ranks.data<float>(), ranks.count(), 0.f);
    for (int64_t image = 0; image < images; image++) {
        Candidates found = propose(options, anchors, info, scores.data<float>() + (2 * image + 1) * per_image,
                                   deltas.data<float>() + 4 * image * per_image, height, width);
        keep_best(found.ranking, options.before);
        const auto kept = suppress(found.ranking, BoxArea{options.tensorflow ? 0.f : 1.f}, {options.threshold},
                                   options.after, [&](int64_t index) { return found.box(index); });
        float *region = regions.data<float>() + image * options.after * 5;
        float *rank = ranks.data<float>() + image * options.after;
        for (const auto &[score, index] : kept) {
            const Box box = as_region(found.box(index), options, info);
            for (float value : {static_cast<float>(image), box.x1, box.y1, box.x2, box.y2})
                *region++ = value;
            *rank++ = score;
        }
        if (std::ssize(kept) < options.after)
            *region = -1;
    }
    copy_to_output(context, 0, regions.converted(context.inputs[0].type()));
    if (context.wants(1))
        copy_to_output(context, 1, ranks.converted(context.inputs[0].type()));
}

// GenerateProposals, of a batch, and ExperimentalDetectronGenerateProposalsSingleImage

struct GenerateOptions {
    float min_size, threshold, eta;
    int64_t before, after;
    BoxArea decoding, suppressing;
};

GenerateOptions generate_options(const Attributes &attributes)
{
    return {attributes.number("min_size", 0),
            attributes.number("nms_threshold", 0),
            attributes.number("nms_eta", 1),
            size_attribute(attributes, "pre_nms_count", 0, 0),
            size_attribute(attributes, "post_nms_count", 0, 0),
            {},
            {}};
}

/// Of one picture: anchors [cells, anchors, 4], deltas [anchors, 4, cells], scores [anchors, cells].
struct AnchorMap {
    const float *anchors, *deltas, *scores;
    int64_t count, cells;
};

/// The factor exp(log(1000 / 16)) = 62.5 by which a box grows at most.
const float most_growth = std::log(1000.f / 16.f);

float at_most(float value, float limit)
{
    return value > limit ? limit : value;
}

Box generated_box(const AnchorMap &map, int64_t cell, int64_t anchor, const BoxArea &area, const PictureInfo &info)
{
    const float *d = map.deltas + anchor * 4 * map.cells + cell;
    const Box box = refined(box_of(map.anchors + (cell * map.count + anchor) * 4), area, d[0], d[map.cells],
                            at_most(d[2 * map.cells], most_growth), at_most(d[3 * map.cells], most_growth));
    return clipped(box, info.width - area.last, info.height - area.last);
}

/// Boxes of at least the size, all with `zero_small`, where the score of small ones is 0.
Candidates generate(const AnchorMap &map, const GenerateOptions &options, const PictureInfo &info, bool zero_small)
{
    Candidates found;
    std::vector<bool> small;
    for (int64_t cell = 0; cell < map.cells; cell++)
        for (int64_t anchor = 0; anchor < map.count; anchor++) {
            const Box box = generated_box(map, cell, anchor, options.decoding, info);
            const bool large = options.min_size * info.scale_width <= options.decoding.width(box) &&
                               options.min_size * info.scale_height <= options.decoding.height(box);
            found.add(box, large || !zero_small ? map.scores[anchor * map.cells + cell] : 0);
            small.push_back(!large);
        }
    keep_best(found.ranking, options.before);
    if (!zero_small)
        std::erase_if(found.ranking, [&](const ScoredIndex &each) { return small[static_cast<size_t>(each.index)]; });
    return found;
}

void check_anchor_map(const std::optional<Shape> &anchors, const std::optional<Shape> &deltas,
                      const std::optional<Shape> &scores)
{
    want_shape(scores, 3, {-1, -1, -1, -1}, "batch, anchors, height, width");
    const int64_t count = size_or_unknown(scores, 1);
    want_shape(anchors, 1, {size_or_unknown(scores, 2), size_or_unknown(scores, 3), count, 4},
               "height, width, anchors, 4");
    want_shape(deltas, 2,
               {size_or_unknown(scores, 0), count < 0 ? -1 : 4 * count, size_or_unknown(scores, 2),
                size_or_unknown(scores, 3)},
               "batch, four numbers an anchor, height, width");
}

Type count_type(const Attributes &attributes)
{
    const Type type = type_attribute(attributes, "roi_num_type", Type::s64);
    if (type != Type::s32 && type != Type::s64)
        throw Error("roi_num_type is " + std::string(to_string(type)) + ", want s32 or s64");
    return type;
}

void generate_proposals_rule(ShapeContext &context)
{
    for (size_t i = 0; i < 4; i++)
        want_type(context, i, TypeSet::floating);
    generate_options(context.attributes());
    check_anchor_map(context.shape(1), context.shape(2), context.shape(3));
    want_shape(context.shape(0), 0, {size_or_unknown(context.shape(3), 0), -1}, "batch, height, width and scales");
    context.output(0, context.type(0), Shape{-1, 4});
    context.output(1, context.type(0), Shape{-1});
    context.output(2, count_type(context.attributes()),
                   Shape{std::max(size_or_unknown(context.shape(0), 0), size_or_unknown(context.shape(3), 0))});
}

void generate_proposals(RunContext &context)
{
    const Attributes &attributes = context.node.attributes;
    std::vector<Tensor> in;
    for (const Tensor &input : context.inputs)
        in.push_back(input.converted(Type::f32));
    check_anchor_map(in[1].shape(), in[2].shape(), in[3].shape());
    want_shape(in[0].shape(), 0, {in[3].dim(0), -1}, "batch, height, width and scales");
    GenerateOptions options = generate_options(attributes);
    options.decoding = options.suppressing = BoxArea{attributes.integer("normalized", 1) != 0 ? 0.f : 1.f};
    const int64_t images = in[3].dim(0), anchors = in[3].dim(1), cells = in[3].dim(2) * in[3].dim(3);
    check_rows(images);
    std::vector<float> regions, scores;
    Tensor counts(Type::s64, {images});
    for (int64_t image = 0; image < images; image++) {
        const auto row = static_cast<size_t>(in[0].dim(1));
        const PictureInfo info = picture_info(in[0].values<float>().subspan(static_cast<size_t>(image) * row, row));
        const AnchorMap map{in[1].data<float>(), in[2].data<float>() + image * anchors * 4 * cells,
                            in[3].data<float>() + image * anchors * cells, anchors, cells};
        const Candidates found = generate(map, options, info, false);
        const auto kept = suppress(found.ranking, options.suppressing, {options.threshold, options.eta}, options.after,
                                   [&](int64_t index) { return found.box(index); });
        for (const auto &[score, index] : kept) {
            const Box &box = found.box(index);
            regions.insert(regions.end(), {box.x1, box.y1, box.x2, box.y2});
            scores.push_back(score);
        }
        counts.data<int64_t>()[image] = std::ssize(kept);
    }
    const Type type = context.inputs[0].type();
    const int64_t found = std::ssize(scores);
    copy_to_output(context, 0, Tensor::of<float>({found, 4}, regions).converted(type));
    if (context.wants(1))
        copy_to_output(context, 1, Tensor::of<float>({found}, scores).converted(type));
    if (context.wants(2))
        copy_to_output(context, 2, counts.converted(count_type(attributes)));
}

/// The inputs of one picture with a batch of 1 in front: anchors [cells · anchors, 4] get their cells back.
void check_single_image(const std::optional<Shape> &anchors, const std::optional<Shape> &deltas,
                        const std::optional<Shape> &scores)
{
    want_shape(scores, 3, {-1, -1, -1}, "anchors, height, width");
    const int64_t count = size_or_unknown(scores, 0);
    const int64_t all = scores ? known_product(*scores) : -1;
    want_shape(anchors, 1, {all, 4}, "one for each score, 4");
    want_shape(deltas, 2, {count < 0 ? -1 : 4 * count, size_or_unknown(scores, 1), size_or_unknown(scores, 2)},
               "four numbers an anchor, height, width");
}

void generate_single_image_rule(ShapeContext &context)
{
    for (size_t i = 0; i < 4; i++)
        want_type(context, i, TypeSet::floating);
    const GenerateOptions options = generate_options(context.attributes());
    check_single_image(context.shape(1), context.shape(2), context.shape(3));
    check_rows(options.after);
    context.output(0, context.type(0), Shape{options.after, 4});
    context.output(1, context.type(0), Shape{options.after});
}

void generate_single_image(RunContext &context)
{
    std::vector<Tensor> in;
    for (const Tensor &input : context.inputs)
        in.push_back(input.converted(Type::f32));
    check_single_image(in[1].shape(), in[2].shape(), in[3].shape());
    GenerateOptions options = generate_options(context.node.attributes);
    check_rows(options.after);
    options.decoding = BoxArea{1};
    options.suppressing = BoxArea{0};
    PictureInfo info = picture_info(in[0].values<float>());
    info.scale_height = info.scale_width = 1;
    const AnchorMap map{in[1].data<float>(), in[2].data<float>(), in[3].data<float>(), in[3].dim(0),
                        in[3].dim(1) * in[3].dim(2)};
    const Candidates found = generate(map, options, info, true);
    const auto kept = suppress(found.ranking, options.suppressing, {options.threshold}, options.after,
                               [&](int64_t index) { return found.box(index); });
    Tensor regions(Type::f32, {options.after, 4}), scores(Type::f32, {options.after});
    std::fill_n(regions.data<float>(), regions.count(), 0.f);
    std::fill_n(scores.data<float>(), scores.count(), 0.f);
    for (size_t i = 0; i < kept.size(); i++) {
        const Box &box = found.box(kept[i].index);
        const std::array<float, 4> corners{box.x1, box.y1, box.x2, box.y2};
        std::copy(corners.begin(), corners.end(), regions.data<float>() + 4 * i);
        scores.data<float>()[i] = kept[i].score;
    }
    copy_to_output(context, 0, regions.converted(context.inputs[0].type()));
    if (context.wants(1))
        copy_to_output(context, 1, scores.converted(context.inputs[0].type()));
}

// ExperimentalDetectronTopKROIs

int64_t most_regions(const Attributes &attributes)
{
    const int64_t most = size_attribute(attributes, "max_rois", 0, 0);
    check_rows(most);
    return most;
}

void top_k_rois_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    want_shape(context.shape(0), 0, {-1, 4}, "regions, 4");
    want_shape(context.shape(1), 1, {size_or_unknown(context.shape(0), 0)}, "one score a region");
    context.output(0, context.type(0), Shape{most_regions(context.attributes()), 4});
}

void top_k_rois(RunContext &context)
{
    const Tensor regions = context.inputs[0].converted(Type::f32), scores = context.inputs[1].converted(Type::f32);
    want_shape(regions.shape(), 0, {-1, 4}, "regions, 4");
    want_shape(scores.shape(), 1, {regions.dim(0)}, "one score a region");
    std::vector<ScoredIndex> ranking;
    for (int64_t i = 0; i < regions.dim(0); i++)
        ranking.push_back({sortable(scores.data<float>()[i]), i});
    const int64_t most = most_regions(context.node.attributes);
    keep_best(ranking, most);
    Tensor best(Type::f32, {most, 4});
    std::fill_n(best.data<float>(), best.count(), 0.f);
    for (size_t i = 0; i < ranking.size(); i++)
        std::copy_n(regions.data<float>() + 4 * ranking[i].index, 4, best.data<float>() + 4 * i);
    copy_to_output(context, 0, best.converted(context.inputs[0].type()));
}

// ExperimentalDetectronDetectionOutput

struct RefineOptions {
    float score_threshold, overlap_threshold, most_growth;
    int64_t classes, per_class, per_image;
    std::vector<float> weights;
};

RefineOptions refine_options(const Attributes &attributes)
{
    RefineOptions options{attributes.number("score_threshold", 0),
                          attributes.number("nms_threshold", 0),
                          attributes.number("max_delta_log_wh", most_growth),
                          size_attribute(attributes, "num_classes", 1, 1),
                          size_attribute(attributes, "post_nms_count", -1, -1),
                          size_attribute(attributes, "max_detections_per_image", 1, 0),
                          attributes.numbers("deltas_weights", {1, 1, 1, 1})};
    check_rows(options.per_image);
    if (options.weights.size() != 4)
        throw Error("deltas_weights has " + std::to_string(options.weights.size()) + " numbers, want 4");
    return options;
}

void check_refinement(const RefineOptions &options, const std::optional<Shape> &regions,
                      const std::optional<Shape> &deltas, const std::optional<Shape> &scores)
{
    want_shape(regions, 0, {-1, 4}, "regions, 4");
    want_shape(deltas, 1, {size_or_unknown(regions, 0), 4 * options.classes}, "regions, four numbers a class");
    want_shape(scores, 2, {size_or_unknown(regions, 0), options.classes}, "regions, classes");
}

void refine_rule(ShapeContext &context)
{
    for (size_t i = 0; i < 4; i++)
        want_type(context, i, TypeSet::floating);
    const RefineOptions options = refine_options(context.attributes());
    check_refinement(options, context.shape(0), context.shape(1), context.shape(2));
    context.output(0, context.type(0), Shape{options.per_image, 4});
    context.output(1, Type::s32, Shape{options.per_image});
    context.output(2, context.type(0), Shape{options.per_image});
}

/// One survivor of all classes.
struct Refined {
    ScoredIndex what;
    int64_t label;
    Box box;
};

Box refined_box(const RefineOptions &options, const Box &region, const float *deltas)
{
    const Box box = refined(region, BoxArea{1}, deltas[0] / options.weights[0], deltas[1] / options.weights[1],
                            at_most(deltas[2] / options.weights[2], options.most_growth),
                            at_most(deltas[3] / options.weights[3], options.most_growth));
    return {std::max(0.f, box.x1), std::max(0.f, box.y1), std::max(0.f, box.x2), std::max(0.f, box.y2)};
}

std::vector<Refined> refine_class(const RefineOptions &options, int64_t label, std::span<const Tensor> in)
{
    const auto *regions = in[0].data<float>(), *deltas = in[1].data<float>(), *scores = in[2].data<float>();
    std::vector<ScoredIndex> candidates;
    for (int64_t i = 0; i < in[0].dim(0); i++) {
        const Box region = box_of(regions + 4 * i);
        const float score = scores[i * options.classes + label];
        if (region.x2 > region.x1 && region.y2 > region.y1 && score > options.score_threshold)
            candidates.push_back({score, i});
    }
    keep_best(candidates, -1);
    auto box = [&](int64_t i) {
        return refined_box(options, box_of(regions + 4 * i), deltas + (i * options.classes + label) * 4);
    };
    std::vector<Refined> found;
    for (const ScoredIndex &each :
         suppress(candidates, BoxArea{1}, {options.overlap_threshold}, options.per_class, box))
        found.push_back({each, label, box(each.index)});
    return found;
}

void refine(RunContext &context)
{
    const RefineOptions options = refine_options(context.node.attributes);
    std::vector<Tensor> in;
    for (const Tensor &input : context.inputs)
        in.push_back(input.converted(Type::f32));
    check_refinement(options, in[0].shape(), in[1].shape(), in[2].shape());
    std::vector<Refined> all;
    for (int64_t label = 1; label < options.classes; label++) {
        const auto found = refine_class(options, label, in);
        all.insert(all.end(), found.begin(), found.end());
    }
    if (std::ssize(all) > options.per_image) {
        std::stable_sort(all.begin(), all.end(),
                         [](const Refined &a, const Refined &b) { return ranks_before(a.what, b.what); });
        all.resize(static_cast<size_t>(options.per_image));
    }
    Tensor boxes(Type::f32, {options.per_image, 4}), labels(Type::s32, {options.per_image}),
        scores(Type::f32, {options.per_image});
    std::fill_n(boxes.data<float>(), boxes.count(), 0.f);
    std::fill_n(labels.data<int32_t>(), labels.count(), 0);
    std::fill_n(scores.data<float>(), scores.count(), 0.f);
    for (size_t i = 0; i < all.size(); i++) {
        const std::array<float, 4> corners{all[i].box.x1, all[i].box.y1, all[i].box.x2, all[i].box.y2};
        std::copy(corners.begin(), corners.end(), boxes.data<float>() + 4 * i);
        labels.data<int32_t>()[i] = static_cast<int32_t>(all[i].label);
        scores.data<float>()[i] = all[i].what.score;
    }
    const Type type = context.inputs[0].type();
    copy_to_output(context, 0, boxes.converted(type));
    if (context.wants(1))
        copy_to_output(context, 1, labels);
    if (context.wants(2))
        copy_to_output(context, 2, scores.converted(type));
}

constexpr Op rows[] = {
    {"ExperimentalDetectronDetectionOutput", 4, 4, 3, refine_rule, refine},
    {"ExperimentalDetectronGenerateProposalsSingleImage", 4, 4, 2, generate_single_image_rule, generate_single_image},
    {"ExperimentalDetectronTopKROIs", 2, 2, 1, top_k_rois_rule, top_k_rois},
    {"GenerateProposals", 4, 4, 3, generate_proposals_rule, generate_proposals},
    {"Proposal", 3, 3, 2, proposal_rule, proposal},
};

} // namespace

std::span<const Op> proposal_ops()
{
    return rows;
}

} // namespace leat
