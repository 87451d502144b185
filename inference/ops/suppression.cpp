#include "inference/ops/attributes.h"
#include "inference/ops/boxes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>

// Of boxes that show the same object, the best one.

namespace leat {
namespace {

void check_boxes(const std::optional<Shape> &boxes, const std::optional<Shape> &scores)
{
    want_shape(boxes, 0, {-1, -1, 4}, "want boxes batch x count x 4");
    want_shape(scores, 1, {size_or_unknown(boxes, 0), -1, size_or_unknown(boxes, 1)},
               "want scores batch x classes x count");
}

Type index_type(const Attributes &attributes)
{
    const Type type = type_attribute(attributes, "output_type", Type::s64);
    if (type != Type::s32 && type != Type::s64)
        throw Error("output_type is " + std::string(to_string(type)) + ", want s32 or s64");
    return type;
}

/// One survivor.
struct Selected {
    int64_t batch = 0, label = 0, index = 0;
    float score = 0;
};

bool ranks_higher(const Selected &a, const Selected &b)
{
    if (a.score != b.score)
        return a.score > b.score;
    return std::array{a.batch, a.label, a.index} < std::array{b.batch, b.label, b.index};
}

// NonMaxSuppression and, with scores that decay, SoftNonMaxSuppression: Bodla et al., "Soft-NMS", 2017

float threshold(const RunContext &context, size_t input, float otherwise)
{
    if (!context.has(input))
        return otherwise;
    if (context.inputs[input].count() != 1 || !contains(TypeSet::floating, context.inputs[input].type()))
        throw Error("input " + std::to_string(input) + " is not one number");
    return context.inputs[input].converted(Type::f32).data<float>()[0];
}

struct SuppressionOptions {
    int64_t most_per_class;
    float overlap_threshold, score_threshold, sigma;
    bool centred;
};

SuppressionOptions suppression_options(const RunContext &context)
{
    const std::vector<int64_t> most = context.has(2) ? integers(context, 2) : std::vector<int64_t>{0};
    if (most.size() != 1)
        throw Error("max_output_boxes_per_class is not one integer");
    return {std::max<int64_t>(most[0], 0), threshold(context, 3, 0),
            threshold(context, 4, -std::numeric_limits<float>::infinity()), threshold(context, 5, 0),
            context.node.attributes.integer("center_point_box", 0) != 0};
}

/// [x, y, width, height] or any two opposite corners [y, x, y, x].
Box suppressible_box(const float *b, bool centred)
{
    if (centred)
        return {b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2};
    return {std::min(b[1], b[3]), std::min(b[0], b[2]), std::max(b[1], b[3]), std::max(b[0], b[2])};
}

std::vector<ScoredIndex> hard_suppressed(const SuppressionOptions &options, std::vector<ScoredIndex> candidates,
                                         const float *boxes)
{
    keep_best(candidates, -1);
    return suppress(candidates, BoxArea{0}, {options.overlap_threshold}, options.most_per_class,
                    [&](int64_t i) { return suppressible_box(boxes + 4 * i, options.centred); });
}

/// A candidate, and how many survivors have had their say on its score.
struct Decaying {
    ScoredIndex what;
    size_t seen = 0;
    bool operator<(const Decaying &other) const { return ranks_before(other.what, what); }
};

std::vector<ScoredIndex> soft_suppressed(const SuppressionOptions &options, const std::vector<ScoredIndex> &candidates,
                                         const float *boxes)
{
    const BoxArea area{0};
    std::priority_queue<Decaying> waiting;
    for (const ScoredIndex &each : candidates)
        waiting.push({each});
    std::vector<ScoredIndex> kept;
    std::vector<Box> kept_boxes;
    while (!waiting.empty() && std::ssize(kept) < options.most_per_class) {
        Decaying next = waiting.top();
        waiting.pop();
        const Box box = suppressible_box(boxes + 4 * next.what.index, options.centred);
        const float before = next.what.score;
        for (size_t i = kept.size(); i > next.seen && next.what.score > options.score_threshold; i--) {
            const float overlap = area.overlap(box, kept_boxes[i - 1]);
            next.what.score *= std::exp(-0.5f / options.sigma * overlap * overlap);
        }
        next.seen = kept.size();
        if (next.what.score == before) {
            kept.push_back(next.what);
            kept_boxes.push_back(box);
        } else if (next.what.score > options.score_threshold) {
            waiting.push(next);
        }
    }
    return kept;
}

/// Class after class, picture after picture.
std::vector<Selected> select_boxes(const RunContext &context, const SuppressionOptions &options)
{
    const Tensor boxes = context.inputs[0].converted(Type::f32), scores = context.inputs[1].converted(Type::f32);
    check_boxes(boxes.shape(), scores.shape());
    const int64_t count = boxes.dim(1), classes = scores.dim(1);
    check_rows(known_product({boxes.dim(0), classes}));
    std::vector<Selected> selected;
    for (int64_t line = 0; line < boxes.dim(0) * classes; line++) {
        const float *score = scores.data<float>() + line * count;
        const float *mine = boxes.data<float>() + line / classes * count * 4;
        std::vector<ScoredIndex> candidates;
        for (int64_t i = 0; i < count; i++)
            if (score[i] > options.score_threshold)
                candidates.push_back({score[i], i});
        for (const auto &[rank, index] : options.sigma > 0 ? soft_suppressed(options, candidates, mine)
                                                           : hard_suppressed(options, std::move(candidates), mine))
            selected.push_back({line / classes, line % classes, index, rank});
    }
    return selected;
}

Tensor indices_of(const std::vector<Selected> &selected)
{
    Tensor indices(Type::s64, {std::ssize(selected), 3});
    int64_t *to = indices.data<int64_t>();
    for (const Selected &each : selected)
        for (int64_t value : {each.batch, each.label, each.index})
            *to++ = value;
    return indices;
}

void check_suppression(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    want_type(context, 1, TypeSet::floating);
    check_boxes(context.shape(0), context.shape(1));
}

void non_max_suppression_rule(ShapeContext &context)
{
    check_suppression(context);
    context.output(0, Type::s64, Shape{-1, 3});
}

void non_max_suppression(RunContext &context)
{
    copy_to_output(context, 0, indices_of(select_boxes(context, suppression_options(context))));
}

void soft_non_max_suppression_rule(ShapeContext &context)
{
    check_suppression(context);
    const Type type = index_type(context.attributes());
    context.output(0, type, Shape{-1, 3});
    context.output(1, Type::f32, Shape{-1, 3});
    context.output(2, type, Shape{1});
}

/// Outputs: (batch, class, box), (batch, class, score) and the number of boxes.
void soft_non_max_suppression(RunContext &context)
{
    std::vector<Selected> selected = select_boxes(context, suppression_options(context));
    if (context.node.attributes.integer("sort_result_descending", 1) != 0)
        std::sort(selected.begin(), selected.end(), ranks_higher);
    const Type type = index_type(context.node.attributes);
    copy_to_output(context, 0, indices_of(selected).converted(type));
    if (context.wants(1)) {
        float *to = context.output(1, Type::f32, {std::ssize(selected), 3}).data<float>();
        for (const Selected &each : selected)
            for (float value : {static_cast<float>(each.batch), static_cast<float>(each.label), each.score})
                *to++ = value;
    }
    if (context.wants(2))
        copy_to_output(context, 2, Tensor::of<int64_t>({1}, {std::ssize(selected)}).converted(type));
}

// MulticlassNms and MatrixNms share their outputs: rows of (class, score, x1, y1, x2, y2), the indices of the boxes in
// all pictures together, and the number of rows of each picture

enum class Sorting : uint8_t { none, score, label };

struct SelectionOptions {
    Sorting sorting;
    bool across_batch, normalized;
    float score_threshold;
    int64_t candidates, keep, background;
    Type index;
};

SelectionOptions selection_options(const Attributes &attributes)
{
    return {enum_attribute<Sorting>(attributes, "sort_result_type", "none", {"none", "score", "classid"}),
            attributes.integer("sort_result_across_batch", 0) != 0,
            attributes.integer("normalized", 1) != 0,
            attributes.number("score_threshold", 0),
            size_attribute(attributes, "nms_top_k", -1, -1),
            size_attribute(attributes, "keep_top_k", -1, -1),
            attributes.integer("background_class", -1),
            index_type(attributes)};
}

/// A survivor with what the outputs say of it.
struct SelectedBox {
    Selected what;
    Box box;
    int64_t flat_index = 0;
};

/// By class, then batch, score and index.
bool has_lower_class(const SelectedBox &a, const SelectedBox &b)
{
    if (a.what.label != b.what.label)
        return a.what.label < b.what.label;
    if (a.what.batch != b.what.batch)
        return a.what.batch < b.what.batch;
    return ranks_higher(a.what, b.what);
}

bool has_higher_score(const SelectedBox &a, const SelectedBox &b)
{
    return ranks_higher(a.what, b.what);
}

/// Sorts and leaves what one picture keeps.
void keep_of_picture(std::vector<SelectedBox> &found, int64_t most)
{
    std::sort(found.begin(), found.end(), has_higher_score);
    if (most >= 0 && std::ssize(found) > most)
        found.resize(static_cast<size_t>(most));
}

void selection_rule(ShapeContext &context, int64_t images)
{
    const SelectionOptions options = selection_options(context.attributes());
    context.output(0, context.type(0), Shape{-1, 6});
    context.output(1, options.index, Shape{-1, 1});
    context.output(2, options.index, Shape{images});
}

void write_selection(RunContext &context, const SelectionOptions &options, std::vector<SelectedBox> &all,
                     const std::vector<int64_t> &counts)
{
    if (options.across_batch && options.sorting != Sorting::none)
        std::sort(all.begin(), all.end(), options.sorting == Sorting::label ? has_lower_class : has_higher_score);
    std::vector<float> table;
    std::vector<int64_t> indices;
    for (const auto &[what, box, flat_index] : all) {
        table.insert(table.end(), {static_cast<float>(what.label), what.score, box.x1, box.y1, box.x2, box.y2});
        indices.push_back(flat_index);
    }
    const int64_t count = std::ssize(all);
    copy_to_output(context, 0, Tensor::of<float>({count, 6}, table).converted(context.inputs[0].type()));
    if (context.wants(1))
        copy_to_output(context, 1, Tensor::of<int64_t>({count, 1}, indices).converted(options.index));
    if (context.wants(2))
        copy_to_output(context, 2, Tensor::of<int64_t>({std::ssize(counts)}, counts).converted(options.index));
}

/// Boxes and scores of one class of one picture.
struct ClassView {
    const float *boxes, *scores;
    int64_t count;
    Box box(int64_t index) const { return box_of(boxes + 4 * index); }
};

template <class Passes> std::vector<ScoredIndex> candidates_of(const ClassView &view, int64_t most, Passes passes)
{
    std::vector<ScoredIndex> candidates;
    for (int64_t i = 0; i < view.count; i++)
        if (passes(view.scores[i]))
            candidates.push_back({view.scores[i], i});
    keep_best(candidates, most);
    return candidates;
}

// MulticlassNms: boxes [images, boxes, 4] and scores [images, classes, boxes], or, with the number of boxes of each
// picture as a third input, boxes [classes, all boxes, 4] and scores [classes, all boxes]

void check_multiclass(bool shared, const std::optional<Shape> &boxes, const std::optional<Shape> &scores)
{
    if (shared)
        return check_boxes(boxes, scores);
    want_shape(boxes, 0, {-1, -1, 4}, "classes x count x 4");
    want_shape(scores, 1, {size_or_unknown(boxes, 0), size_or_unknown(boxes, 1)}, "classes x count");
}

void multiclass_nms_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    want_type(context, 1, TypeSet::floating);
    want_type(context, 2, TypeSet::integer);
    check_multiclass(!context.has(2), context.shape(0), context.shape(1));
    want_shape(context.shape(2), 2, {-1}, "one number a picture");
    const int64_t images = context.has(2)
                               ? size_or_unknown(context.shape(2), 0)
                               : std::max(size_or_unknown(context.shape(0), 0), size_or_unknown(context.shape(1), 0));
    selection_rule(context, images);
}

struct MulticlassInputs {
    Tensor boxes, scores;
    bool shared;
    std::vector<int64_t> firsts, counts; ///< boxes of each picture, when each class has its own
    int64_t images() const { return shared ? boxes.dim(0) : std::ssize(counts); }
    int64_t classes() const { return shared ? scores.dim(1) : scores.dim(0); }
    ClassView view(int64_t image, int64_t label) const
    {
        const auto *b = boxes.data<float>(), *s = scores.data<float>();
        const int64_t all = boxes.dim(1);
        if (shared)
            return {b + image * all * 4, s + (image * classes() + label) * all, all};
        const int64_t first = label * all + firsts[static_cast<size_t>(image)];
        return {b + first * 4, s + first, counts[static_cast<size_t>(image)]};
    }
    int64_t flat_index(const Selected &what) const
    {
        if (shared)
            return what.batch * boxes.dim(1) + what.index;
        return (firsts[static_cast<size_t>(what.batch)] + what.index) * classes() + what.label;
    }
};

MulticlassInputs multiclass_inputs(const RunContext &context)
{
    MulticlassInputs in{
        context.inputs[0].converted(Type::f32), context.inputs[1].converted(Type::f32), !context.has(2), {}, {}};
    check_multiclass(in.shared, in.boxes.shape(), in.scores.shape());
    if (in.shared)
        return in;
    int64_t first = 0;
    for (int64_t count : integers(context, 2)) {
        if (count < 0 || count > in.boxes.dim(1) - first)
            throw Error("input 2 counts more boxes than the " + std::to_string(in.boxes.dim(1)) + " there are");
        in.firsts.push_back(first);
        in.counts.push_back(count);
        first += count;
    }
    return in;
}

void multiclass_nms(RunContext &context)
{
    const Attributes &attributes = context.node.attributes;
    const SelectionOptions options = selection_options(attributes);
    const OverlapLimit limit{attributes.number("iou_threshold", 0), attributes.number("nms_eta", 1), true};
    const BoxArea area{options.normalized ? 0.f : 1.f};
    const MulticlassInputs in = multiclass_inputs(context);
    check_rows(known_product({in.images(), in.classes()}));
    std::vector<SelectedBox> all;
    std::vector<int64_t> counts;
    for (int64_t image = 0; image < in.images(); image++) {
        std::vector<SelectedBox> found;
        for (int64_t label = 0; label < in.classes(); label++) {
            if (label == options.background)
                continue;
            const ClassView view = in.view(image, label);
            const auto candidates =
                candidates_of(view, options.candidates, [&](float score) { return score >= options.score_threshold; });
            for (const auto &[score, index] :
                 suppress(candidates, area, limit, -1, [&](int64_t i) { return view.box(i); })) {
                const Selected what{image, label, index, score};
                found.push_back({what, view.box(index), in.flat_index(what)});
            }
        }
        keep_of_picture(found, options.keep);
        if (!options.across_batch && options.sorting == Sorting::label)
            std::sort(found.begin(), found.end(), has_lower_class);
        all.insert(all.end(), found.begin(), found.end());
        counts.push_back(std::ssize(found));
    }
    write_selection(context, options, all, counts);
}

// MatrixNms: Wang et al., "SOLOv2: Dynamic and Fast Instance Segmentation", 2020

struct Decay {
    bool gaussian;
    float sigma;
    /// By a box that is itself overlapped by a better one by at most `highest`.
    float factor(float overlap, float highest) const
    {
        return gaussian ? std::exp((highest * highest - overlap * overlap) * sigma)
                        : (1 - overlap) / (1 - highest + 1e-10f);
    }
};

/// Each candidate's score, decayed by the better ones.
std::vector<ScoredIndex> decayed(const ClassView &view, const std::vector<ScoredIndex> &candidates, const BoxArea &area,
                                 const Decay &decay)
{
    std::vector<ScoredIndex> result;
    std::vector<float> highest;
    for (const ScoredIndex &each : candidates) {
        const Box box = view.box(each.index);
        float most = 0, factor = 1;
        for (size_t j = 0; j < result.size(); j++) {
            const float overlap = area.overlap(box, view.box(result[j].index));
            most = std::max(most, overlap);
            factor = std::min(factor, decay.factor(overlap, highest[j]));
        }
        highest.push_back(most);
        result.push_back({each.score * factor, each.index});
    }
    return result;
}

void matrix_nms_rule(ShapeContext &context)
{
    enum class Function : uint8_t { gaussian, linear };
    check_suppression(context);
    enum_attribute<Function>(context.attributes(), "decay_function", "linear", {"gaussian", "linear"});
    selection_rule(context, std::max(size_or_unknown(context.shape(0), 0), size_or_unknown(context.shape(1), 0)));
}

void matrix_nms(RunContext &context)
{
    const Attributes &attributes = context.node.attributes;
    const SelectionOptions options = selection_options(attributes);
    const Decay decay{attributes.text("decay_function", "linear") == "gaussian",
                      attributes.number("gaussian_sigma", 2)};
    const float post_threshold = attributes.number("post_threshold", 0);
    const BoxArea area{options.normalized ? 0.f : 1.f};
    const Tensor boxes = context.inputs[0].converted(Type::f32), scores = context.inputs[1].converted(Type::f32);
    check_boxes(boxes.shape(), scores.shape());
    const int64_t count = boxes.dim(1), classes = scores.dim(1);
    check_rows(known_product({boxes.dim(0), classes}));
    std::vector<SelectedBox> all;
    std::vector<int64_t> counts;
    for (int64_t image = 0; image < boxes.dim(0); image++) {
        std::vector<SelectedBox> found;
        for (int64_t label = 0; label < classes; label++) {
            if (label == options.background)
                continue;
            const ClassView view{boxes.data<float>() + image * count * 4,
                                 scores.data<float>() + (image * classes + label) * count, count};
            const auto candidates =
                candidates_of(view, options.candidates, [&](float score) { return score > options.score_threshold; });
            for (const auto &[score, index] : decayed(view, candidates, area, decay))
                if (score > post_threshold)
                    found.push_back({{image, label, index, score}, view.box(index), image * count + index});
        }
        keep_of_picture(found, options.keep);
        all.insert(all.end(), found.begin(), found.end());
        counts.push_back(std::ssize(found));
    }
    write_selection(context, options, all, counts);
}

constexpr Op rows[] = {
    {"MatrixNms", 2, 2, 3, matrix_nms_rule, matrix_nms},
    {"MulticlassNms", 2, 3, 3, multiclass_nms_rule, multiclass_nms},
    {"NonMaxSuppression", 2, 5, 1, non_max_suppression_rule, non_max_suppression},
    {"SoftNonMaxSuppression", 2, 6, 3, soft_non_max_suppression_rule, soft_non_max_suppression},
};

} // namespace

std::span<const Op> suppression_ops()
{
    return rows;
}

} // namespace leat
