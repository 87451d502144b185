#include "inference/ops/attributes.h"
#include "inference/ops/boxes.h"

#include <algorithm>

// DetectionOutput: Liu et al., "SSD: Single Shot MultiBox Detector", 2016; with five inputs the priors are refined
// first, Zhang et al., "Single-Shot Refinement Neural Network for Object Detection", 2018

namespace leat {
namespace {

constexpr int64_t row_size = 7; ///< image, label, score, x1, y1, x2, y2
constexpr BoxArea area{0};

struct DetectionOptions {
    int64_t background, top_k, keep_top_k, classes;
    bool variance_encoded, share_location, clip_before, clip_after, best_class_only, normalized, centre_size;
    float overlap_threshold, score_threshold, objectness, width, height;
};

DetectionOptions detection_options(const Attributes &attributes)
{
    enum class Code : uint8_t { corner, centre_size };
    auto flag = [&](const char *name, int64_t otherwise) { return attributes.integer(name, otherwise) != 0; };
    const auto keep = attributes.integers("keep_top_k", {-1});
    const Code code = enum_attribute<Code>(attributes, "code_type", "caffe.PriorBoxParameter.CORNER",
                                           {"caffe.PriorBoxParameter.CORNER", "caffe.PriorBoxParameter.CENTER_SIZE"});
    DetectionOptions options{attributes.integer("background_label_id", 0),
                             size_attribute(attributes, "top_k", -1, -1),
                             keep.empty() ? -1 : keep[0],
                             size_attribute(attributes, "num_classes", -1, -1),
                             flag("variance_encoded_in_target", 0),
                             flag("share_location", 1),
                             flag("clip_before_nms", 0),
                             flag("clip_after_nms", 0),
                             flag("decrease_label_id", 0),
                             flag("normalized", 0),
                             code == Code::centre_size,
                             attributes.number("nms_threshold", 0),
                             attributes.number("confidence_threshold", 0),
                             attributes.number("objectness_score", 0),
                             static_cast<float>(size_attribute(attributes, "input_width", 1, 1)),
                             static_cast<float>(size_attribute(attributes, "input_height", 1, 1))};
    check_number("keep_top_k", options.keep_top_k, -1);
    return options;
}

/// Sizes of the inputs, -1 where one is not known.
struct DetectionSizes {
    int64_t images = -1, priors = -1, classes = -1;
};

void agree(const char *what, int64_t &known, int64_t found)
{
    if (known >= 0 && found >= 0 && known != found)
        throw Error(std::string("the inputs disagree on the number of ") + what + ": " + std::to_string(known) +
                    " and " + std::to_string(found));
    known = std::max(known, found);
}

/// `size` over `parts`; -1 when either is not known. Throws Error unless it is a whole number.
int64_t part_of(int64_t size, int64_t parts, size_t input)
{
    if (size < 0 || parts <= 0)
        return -1;
    if (size % parts != 0)
        throw Error("input " + std::to_string(input) + " has " + std::to_string(size) +
                    " columns, want a multiple of " + std::to_string(parts));
    return size / parts;
}

/// `shapes`: of the inputs, as far as they are known.
DetectionSizes detection_sizes(const DetectionOptions &options, std::span<const std::optional<Shape>> shapes)
{
    auto size = [&](size_t input, size_t axis) {
        return input < shapes.size() && shapes[input] ? (*shapes[input])[axis] : -1;
    };
    for (size_t input = 0; input < shapes.size(); input++)
        want_shape(shapes[input], input, input == 2 ? Shape{-1, -1, -1} : Shape{-1, -1},
                   input == 2 ? "batch, rows, numbers" : "batch, numbers");
    DetectionSizes sizes;
    for (size_t input : {0, 1, 3, 4})
        agree("images", sizes.images, size(input, 0));
    if (const int64_t batch = size(2, 0); batch >= 0 && batch != 1)
        agree("images", sizes.images, batch);
    if (const int64_t rows = size(2, 1); rows >= 0 && rows < (options.variance_encoded ? 1 : 2))
        throw Error("input 2 has no row of variances");
    sizes.priors = part_of(size(2, 2), options.normalized ? 4 : 5, 2);
    sizes.classes = options.classes;
    agree("classes", sizes.classes, part_of(size(1, 1), sizes.priors, 1));
    const int64_t locations = options.share_location ? 1 : sizes.classes;
    agree("priors", sizes.priors, part_of(size(0, 1), locations < 0 ? -1 : 4 * locations, 0));
    agree("priors", sizes.priors, part_of(size(3, 1), 2, 3));
    agree("numbers of a box", sizes.priors, part_of(size(4, 1), locations < 0 ? -1 : 4 * locations, 4));
    return sizes;
}

int64_t result_rows(const DetectionOptions &options, const DetectionSizes &sizes)
{
    const int64_t rows =
        options.keep_top_k > 0
            ? known_product({sizes.images, options.keep_top_k})
            : known_product({sizes.images, options.top_k > 0 ? options.top_k : sizes.priors, sizes.classes});
    check_rows(rows);
    return rows;
}

void detection_output_rule(ShapeContext &context)
{
    std::vector<std::optional<Shape>> shapes;
    for (size_t i = 0; i < context.inputs(); i++) {
        want_type(context, i, TypeSet::floating);
        shapes.push_back(context.shape(i));
    }
    const DetectionOptions options = detection_options(context.attributes());
    const int64_t found = result_rows(options, detection_sizes(options, shapes));
    context.output(0, context.type(0), Shape{1, 1, found, row_size});
}

/// What the boxes of one picture are decoded from.
class BoxDecoder {
  public:
    BoxDecoder(const DetectionOptions &options, const DetectionSizes &sizes, std::span<const Tensor> inputs,
               int64_t image)
        : options_(options), locations_(options.share_location ? 1 : sizes.classes),
          offsets_(inputs[0].data<float>() + image * inputs[0].dim(1)),
          priors_(inputs[2].data<float>() + (inputs[2].dim(0) == 1 ? 0 : image) * inputs[2].dim(1) * inputs[2].dim(2)),
          variances_(options.variance_encoded ? nullptr : priors_ + inputs[2].dim(2))
    {
        if (inputs.size() > 4 && inputs[4])
            first_offsets_ = inputs[4].data<float>() + image * inputs[4].dim(1);
    }

    /// As fractions of the picture.
    Box box(int64_t prior, int64_t label) const
    {
        const int64_t location = (prior * locations_ + (options_.share_location ? 0 : label)) * 4;
        Box from = prior_box(prior);
        if (first_offsets_)
            from = decoded(from, prior, first_offsets_ + location);
        return decoded(from, prior, offsets_ + location);
    }

  private:
    Box prior_box(int64_t prior) const
    {
        if (options_.normalized)
            return box_of(priors_ + 4 * prior);
        const Box box = box_of(priors_ + 5 * prior + 1);
        return {box.x1 / options_.width, box.y1 / options_.height, box.x2 / options_.width, box.y2 / options_.height};
    }

    Box decoded(const Box &from, int64_t prior, const float *offsets) const
    {
        std::array<float, 4> d{};
        for (size_t i = 0; i < 4; i++)
            d[i] = variances_ ? variances_[4 * prior + static_cast<int64_t>(i)] * offsets[i] : offsets[i];
        const Box box = options_.centre_size ? refined(from, area, d[0], d[1], d[2], d[3])
                                             : Box{from.x1 + d[0], from.y1 + d[1], from.x2 + d[2], from.y2 + d[3]};
        return options_.clip_before ? clipped(box, 1, 1) : box;
    }

    const DetectionOptions &options_;
    int64_t locations_;
    const float *offsets_, *priors_, *variances_, *first_offsets_ = nullptr;
};

/// Candidates of each class, best first.
using ByClass = std::vector<std::vector<ScoredIndex>>;

/// Scores of one picture, [priors, classes]. `is_object[2 p + 1]` below the objectness rules the prior out.
struct Scores {
    const float *values, *is_object;
    bool ruled_out(int64_t prior, float objectness) const { return is_object && is_object[2 * prior + 1] < objectness; }
};

/// Every class has its own candidates, as in Caffe.
ByClass candidates_of_classes(const DetectionOptions &options, const DetectionSizes &sizes, const Scores &scores)
{
    ByClass found(static_cast<size_t>(sizes.classes));
    for (int64_t prior = 0; prior < sizes.priors; prior++) {
        const bool out = scores.ruled_out(prior, options.objectness);
        for (int64_t label = 0; label < sizes.classes; label++) {
            const float score = out ? 0 : scores.values[prior * sizes.classes + label];
            if (score > options.score_threshold && label != options.background)
                found[static_cast<size_t>(label)].push_back({score, prior});
        }
    }
    for (auto &candidates : found)
        keep_best(candidates, options.top_k);
    return found;
}

/// Each prior is a candidate of its best class alone, as in MXNet; class 0 is the background.
ByClass candidates_of_priors(const DetectionOptions &options, const DetectionSizes &sizes, const Scores &scores)
{
    std::vector<ScoredIndex> found;
    std::vector<int64_t> labels(static_cast<size_t>(sizes.priors), 0);
    for (int64_t prior = 0; prior < sizes.priors; prior++) {
        const bool out = scores.ruled_out(prior, options.objectness);
        ScoredIndex best{-1, 0};
        for (int64_t label = 1; label < sizes.classes; label++) {
            const float score = out ? 0 : scores.values[prior * sizes.classes + label];
            if (label != options.background && score > best.score)
                best = {score, label};
        }
        labels[static_cast<size_t>(prior)] = best.index;
        if (best.index > 0 && best.score >= options.score_threshold)
            found.push_back({best.score, prior});
    }
    keep_best(found, options.top_k);
    ByClass split(static_cast<size_t>(sizes.classes));
    for (const ScoredIndex &each : found)
        split[static_cast<size_t>(labels[static_cast<size_t>(each.index)])].push_back(each);
    return split;
}

/// Leaves the best `most` of all classes together.
void keep_best_of_all(ByClass &found, int64_t most)
{
    struct Labelled {
        ScoredIndex what;
        size_t label;
    };
    std::vector<Labelled> all;
    for (size_t label = 0; label < found.size(); label++)
        for (const ScoredIndex &each : found[label])
            all.push_back({each, label});
    if (most < 0 || std::ssize(all) <= most)
        return;
    std::stable_sort(all.begin(), all.end(),
                     [](const Labelled &a, const Labelled &b) { return ranks_before(a.what, b.what); });
    for (auto &each : found)
        each.clear();
    for (const Labelled &each : std::span(all).first(static_cast<size_t>(most)))
        found[each.label].push_back(each.what);
}

void detection_output(RunContext &context)
{
    const DetectionOptions options = detection_options(context.node.attributes);
    std::vector<Tensor> inputs;
    std::vector<std::optional<Shape>> shapes;
    for (size_t i = 0; i < context.inputs.size(); i++) {
        inputs.push_back(context.has(i) ? context.inputs[i].converted(Type::f32) : Tensor());
        shapes.push_back(context.has(i) ? std::optional(inputs[i].shape()) : std::nullopt);
    }
    DetectionSizes sizes = detection_sizes(options, shapes);
    sizes.classes = std::max<int64_t>(sizes.classes, 0);
    check_rows(known_product({sizes.images, std::max<int64_t>(sizes.classes, 1)}));
    Tensor result(Type::f32, {1, 1, result_rows(options, sizes), row_size});
    std::fill_n(result.data<float>(), result.count(), 0.f);
    float *row = result.data<float>(), *const end = row + result.count();
    for (int64_t image = 0; image < sizes.images; image++) {
        const bool two_steps = inputs.size() > 4 && inputs[3] && inputs[4];
        const Scores scores{inputs[1].data<float>() + image * inputs[1].dim(1),
                            two_steps ? inputs[3].data<float>() + image * inputs[3].dim(1) : nullptr};
        const BoxDecoder decoder(options, sizes, std::span(inputs).first(two_steps ? 5 : 3), image);
        ByClass found = options.best_class_only ? candidates_of_priors(options, sizes, scores)
                                                : candidates_of_classes(options, sizes, scores);
        for (int64_t label = 0; label < sizes.classes; label++) {
            auto &mine = found[static_cast<size_t>(label)];
            mine = suppress(mine, area, {options.overlap_threshold}, options.keep_top_k,
                            [&](int64_t prior) { return decoder.box(prior, label); });
        }
        keep_best_of_all(found, options.keep_top_k);
        for (int64_t label = 0; label < sizes.classes; label++)
            for (const auto &[score, prior] : found[static_cast<size_t>(label)]) {
                if (row == end)
                    break;
                Box box = decoder.box(prior, label);
                if (options.clip_after)
                    box = clipped(box, 1, 1);
                for (float value :
                     {static_cast<float>(image), static_cast<float>(options.best_class_only ? label - 1 : label), score,
                      box.x1, box.y1, box.x2, box.y2})
                    *row++ = value;
            }
    }
    if (row != end)
        *row = -1;
    copy_to_output(context, 0, result.converted(context.inputs[0].type()));
}

constexpr Op rows[] = {
    {"DetectionOutput", 3, 5, 1, detection_output_rule, detection_output},
};

} // namespace

std::span<const Op> detection_output_ops()
{
    return rows;
}

} // namespace leat
