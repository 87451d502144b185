#include "openvino_operators.h"
#include "ops.h"

#include <algorithm>
#include <numeric>

// Layers of detectors and what else moves blocks, patches and bags of elements.

namespace leat {
namespace {

constexpr int64_t any = INT64_MAX;
using Layer = OpenvinoLayer;

void finish(Layer &layer, std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {})
{
    layer.add(op, std::move(inputs), {layer.outputs.at(0)}, std::move(attributes));
}

Attributes list(const char *name, std::vector<int64_t> values)
{
    return with(std::pair<const char *, Attribute>(name, std::move(values)));
}

ValueId cast(Layer &layer, ValueId value, std::string_view type)
{
    return layer.add("Cast", {value}, with(std::pair<const char *, Attribute>("to", std::string(type))));
}

/// Every axis, in order.
std::vector<int64_t> axes_up_to(size_t rank)
{
    std::vector<int64_t> axes(rank);
    std::iota(axes.begin(), axes.end(), 0);
    return axes;
}

size_t rank_of(const Layer &layer, size_t input)
{
    const auto rank = layer.rank(input);
    if (!rank)
        throw Error("the file does not say the rank of its input " + std::to_string(input));
    return *rank;
}

// Regions

/// `aligned_mode`: half_pixel_for_nn shifts behind the scale, as ONNX's half_pixel does; half_pixel in front of it
/// besides.
void align_regions(Layer &layer)
{
    const std::string mode = layer.text("aligned_mode", "asymmetric");
    if (mode != "asymmetric" && mode != "half_pixel_for_nn" && mode != "half_pixel")
        throw Error("aligned_mode is \"" + mode + "\", want asymmetric, half_pixel_for_nn or half_pixel");
    ValueId regions = layer.input(1);
    if (mode == "half_pixel")
        regions = layer.add("Add", {regions, layer.add_number_like(1, 0.5)});
    Attributes attributes = with(
        integer("output_height", layer.integer("pooled_h", 1)), integer("output_width", layer.integer("pooled_w", 1)),
        integer("sampling_ratio", layer.integer("sampling_ratio", 0)),
        text("mode", layer.text("mode", "avg") == "max" ? "max_sample" : "avg"),
        text("coordinate_transformation_mode", mode == "asymmetric" ? "output_half_pixel" : "half_pixel"));
    attributes.set("spatial_scale", static_cast<float>(layer.number("spatial_scale", 1)));
    finish(layer, "RoiAlign", {layer.input(0), regions, layer.input(2)}, std::move(attributes));
}

void pool_regions(Layer &layer)
{
    auto sizes = layer.integers("output_roi", layer.integers("output_size"));
    if (sizes.empty())
        sizes = {layer.integer("pooled_h", 1), layer.integer("pooled_w", 1)};
    if (sizes.size() != 2)
        throw Error("its output size has " + std::to_string(sizes.size()) + " numbers, want height and width");
    Attributes attributes = with(integer("pooled_h", sizes[0]), integer("pooled_w", sizes[1]),
                                 text("method", layer.text("method", "max").c_str()));
    attributes.set("spatial_scale", static_cast<float>(layer.number("spatial_scale", 1)));
    finish(layer, "ROIPooling", layer.inputs, std::move(attributes));
}

/// The picture seen as [batch, channels / stride², height · stride, width · stride], and its blocks moved to channels.
void reorganise(Layer &layer)
{
    const auto strides = layer.integers("stride");
    constexpr int64_t longest = 1024;
    if (strides.empty() || strides[0] < 1 || strides[0] > longest)
        throw Error("its stride is \"" + layer.text("stride", "") + "\", want a number from 1 to 1024");
    const int64_t stride = strides[0], area = stride * stride;
    const ValueId shape = layer.add("Shape", {layer.input(0)});
    const auto scaled = [&](const std::vector<int64_t> &factors, const std::vector<int64_t> &divisors) {
        return layer.add("Div", {layer.add("Mul", {shape, layer.add_integers(factors)}), layer.add_integers(divisors)});
    };
    const ValueId wide = layer.add("Reshape", {layer.input(0), scaled({1, 1, stride, stride}, {1, area, 1, 1})});
    const ValueId blocks = layer.add("SpaceToDepth", {wide}, with(integer("blocksize", stride)));
    finish(layer, "Reshape", {blocks, scaled({1, area, 1, 1}, {1, 1, stride, stride})});
}

/// What ONNX's NonMaxSuppression can say becomes that, all else SoftNonMaxSuppression. Scores that are to be kept lie
/// above 0 unless an input says otherwise.
void suppress_boxes(Layer &layer)
{
    const std::string encoding = layer.text("box_encoding", "corner");
    if (encoding != "corner" && encoding != "center")
        throw Error("box_encoding is \"" + encoding + "\", want corner or center");
    const std::string indices = layer.element_type("output_type", "s64");
    const bool sorts = layer.flag("sort_result_descending", true);
    if (!layer.has(4))
        layer.set_input(4, layer.add_number(0));
    Attributes attributes = with(integer("center_point_box", encoding == "center"));
    if (!sorts && layer.inputs.size() < 6 && !layer.wants(1) && !layer.wants(2) && indices == "s64")
        return finish(layer, "NonMaxSuppression", layer.inputs, std::move(attributes));
    attributes.set("sort_result_descending", int64_t(sorts));
    attributes.set("output_type", indices);
    layer.add("SoftNonMaxSuppression", layer.inputs, layer.outputs, std::move(attributes));
}

// Blocks, patches, rotations

/// The input's shape; throws Error where a size is open, or so large that sums of sizes could overflow.
Shape sane_shape(const Layer &layer)
{
    constexpr int64_t largest = int64_t(1) << 40;
    const Shape shape = layer.declared_shape(0);
    for (int64_t size : shape)
        if (size > largest)
            throw Error("its input has the shape " + to_string(shape) + ", which is too large");
    return shape;
}

/// The sizes of blocks and what is added or cut off at both ends; all constant.
struct Blocks {
    std::vector<int64_t> sizes, begin, end;
};

Blocks blocks_of(const Layer &layer, const Shape &shape)
{
    constexpr int64_t largest = int64_t(1) << 20;
    Blocks blocks{layer.constant_integers(1), layer.constant_integers(2), layer.constant_integers(3)};
    for (const auto *numbers : {&blocks.sizes, &blocks.begin, &blocks.end}) {
        if (numbers->size() != shape.size() || shape.empty())
            throw Error("there are " + std::to_string(numbers->size()) + " numbers for an input of shape " +
                        to_string(shape));
        for (int64_t number : *numbers)
            if (number < (numbers == &blocks.sizes) || number > largest)
                throw Error("a block or an end has the size " + std::to_string(number) + ", which is out of range");
    }
    if (blocks.sizes[0] != 1 || blocks.begin[0] != 0 || blocks.end[0] != 0)
        throw Error("the batch itself cannot be cut into blocks");
    return blocks;
}

/// [B1, B2, …, batch, D1, D2, …] to [batch, D1, B1, D2, B2, …].
std::vector<int64_t> blocks_behind(size_t rank)
{
    const auto blocks = static_cast<int64_t>(rank) - 1;
    std::vector<int64_t> order{blocks};
    for (int64_t axis = 0; axis < blocks; axis++) {
        order.push_back(blocks + 1 + axis);
        order.push_back(axis);
    }
    return order;
}

void batch_to_space(Layer &layer)
{
    const Shape shape = sane_shape(layer);
    const Blocks blocks = blocks_of(layer, shape);
    const int64_t area = count_of(blocks.sizes);
    if (shape[0] % area != 0)
        throw Error("a batch of " + std::to_string(shape[0]) + " cannot be cut into " + std::to_string(area));
    Shape table(blocks.sizes.begin() + 1, blocks.sizes.end()), whole{shape[0] / area};
    table.push_back(shape[0] / area);
    table.insert(table.end(), shape.begin() + 1, shape.end());
    for (size_t i = 1; i < shape.size(); i++)
        whole.push_back(count_of({shape[i], blocks.sizes[i]}));
    const ValueId cut =
        layer.add("Reshape", {layer.input(0), layer.add_integers(table)}, with(integer("allowzero", 1)));
    const ValueId moved = layer.add("Transpose", {cut}, list("perm", blocks_behind(shape.size())));
    const ValueId joined = layer.add("Reshape", {moved, layer.add_integers(whole)}, with(integer("allowzero", 1)));
    std::vector<int64_t> ends;
    for (size_t i = 0; i < whole.size(); i++)
        ends.push_back(std::max<int64_t>(whole[i] - blocks.end[i], 0));
    finish(layer, "Slice", {joined, layer.add_integers(blocks.begin), layer.add_integers(ends)});
}

void space_to_batch(Layer &layer)
{
    const Shape shape = sane_shape(layer);
    const Blocks blocks = blocks_of(layer, shape);
    std::vector<int64_t> pads = blocks.begin;
    pads.insert(pads.end(), blocks.end.begin(), blocks.end.end());
    Shape table{shape[0]}, small{count_of({shape[0], count_of(blocks.sizes)})};
    for (size_t i = 1; i < shape.size(); i++) {
        const int64_t size = shape[i] + blocks.begin[i] + blocks.end[i];
        if (size % blocks.sizes[i] != 0)
            throw Error("an axis of " + std::to_string(size) + " cannot be cut into blocks of " +
                        std::to_string(blocks.sizes[i]));
        table.insert(table.end(), {size / blocks.sizes[i], blocks.sizes[i]});
        small.push_back(size / blocks.sizes[i]);
    }
    const auto there = blocks_behind(shape.size());
    std::vector<int64_t> back(there.size());
    for (size_t i = 0; i < there.size(); i++)
        back[static_cast<size_t>(there[i])] = static_cast<int64_t>(i);
    const ValueId padded = layer.add("Pad", {layer.input(0), layer.add_integers(pads)});
    const ValueId cut = layer.add("Reshape", {padded, layer.add_integers(table)}, with(integer("allowzero", 1)));
    const ValueId moved = layer.add("Transpose", {cut}, list("perm", back));
    finish(layer, "Reshape", {moved, layer.add_integers(small)}, with(integer("allowzero", 1)));
}

/// Windows on one axis of a picture.
struct Patches {
    int64_t count, stride, rate, before, after;
};

Patches patches_of(const Layer &layer, size_t axis, int64_t size)
{
    const auto kernel = layer.integers("sizes"), strides = layer.integers("strides"), rates = layer.integers("rates");
    constexpr int64_t largest = int64_t(1) << 20;
    for (const auto *numbers : {&kernel, &strides, &rates}) {
        if (numbers->size() != 2)
            throw Error("sizes, strides and rates want two numbers each");
        for (int64_t number : *numbers)
            if (number < 1 || number > largest)
                throw Error("sizes, strides or rates has " + std::to_string(number) + ", which is out of range");
    }
    const std::string automatic = layer.text("auto_pad", "valid");
    Patches patches{0, strides[axis], rates[axis], 0, 0};
    const int64_t reach = (kernel[axis] - 1) * rates[axis] + 1;
    if (automatic == "valid") {
        patches.count = size < reach ? 0 : (size - reach) / patches.stride + 1;
        return patches;
    }
    if (automatic != "same_upper" && automatic != "same_lower")
        throw Error("auto_pad is \"" + automatic + "\", want valid, same_upper or same_lower");
    patches.count = (size + patches.stride - 1) / patches.stride;
    const int64_t missing = std::max<int64_t>((patches.count - 1) * patches.stride + reach - size, 0);
    patches.before = automatic == "same_upper" ? missing / 2 : missing - missing / 2;
    patches.after = missing - patches.before;
    return patches;
}

/// The elements of each window become channels: one slice for each place in the window.
void extract_patches(Layer &layer)
{
    const Shape shape = sane_shape(layer);
    if (shape.size() != 4)
        throw Error("its input has the shape " + to_string(shape) + ", want batch, channels, height, width");
    const Patches rows = patches_of(layer, 0, shape[2]), columns = patches_of(layer, 1, shape[3]);
    const auto kernel = layer.integers("sizes");
    constexpr int64_t most_places = 1024;
    if (kernel[0] > most_places || kernel[0] * kernel[1] > most_places)
        throw Error("its windows have more than " + std::to_string(most_places) + " places");
    ValueId picture = layer.input(0);
    if (rows.before + rows.after + columns.before + columns.after > 0)
        picture = layer.add(
            "Pad", {picture, layer.add_integers({0, 0, rows.before, columns.before, 0, 0, rows.after, columns.after})});
    const ValueId axes = layer.add_integers({2, 3}), steps = layer.add_integers({rows.stride, columns.stride});
    const auto end = [](const Patches &patches, int64_t start) {
        return patches.count == 0 ? start : start + (patches.count - 1) * patches.stride + 1;
    };
    std::vector<ValueId> places;
    for (int64_t i = 0; i < kernel[0] * kernel[1]; i++) {
        const int64_t y = i / kernel[1] * rows.rate, x = i % kernel[1] * columns.rate;
        places.push_back(layer.add("Slice", {picture, layer.add_integers({y, x}),
                                             layer.add_integers({end(rows, y), end(columns, x)}), axes, steps}));
    }
    finish(layer, "Concat", std::move(places), with(integer("axis", 1)));
}

/// What leaves an axis at its end comes back in front, axis after axis.
void roll(Layer &layer)
{
    auto shifts = layer.constant_integers(1);
    const auto axes = layer.constant_integers(2);
    if (shifts.size() == 1)
        shifts.resize(axes.size(), shifts[0]);
    if (shifts.size() != axes.size())
        throw Error("there are " + std::to_string(shifts.size()) + " shifts for " + std::to_string(axes.size()) +
                    " axes");
    ValueId data = layer.input(0);
    for (size_t i = 0; i < axes.size(); i++) {
        const auto axis = static_cast<int64_t>(normal_axis(axes[i], rank_of(layer, 0)));
        const ValueId size = layer.add("Shape", {data}, with(integer("start", axis), integer("end", axis + 1)));
        if (shifts[i] == INT64_MIN)
            throw Error("a shift is out of range");
        const ValueId first = layer.add("Mod", {layer.add_integers({-shifts[i]}), size});
        const ValueId along = layer.add_integers({axis});
        const ValueId tail = layer.add("Slice", {data, first, layer.add_integers({INT64_MAX}), along});
        const ValueId head = layer.add("Slice", {data, layer.add_integers({0}), first, along});
        data = layer.add("Concat", {tail, head}, with(integer("axis", axis)));
    }
    finish(layer, "Identity", {data});
}

/// How many of the bounds lie below each element, or, when a bound belongs to the bucket above it, not above.
void bucketize(Layer &layer)
{
    const ValueId x = layer.add("Unsqueeze", {cast(layer, layer.input(0), "f64"), layer.add_integers({-1})});
    const bool right = layer.flag("with_right_bound", true);
    const ValueId passed = layer.add(right ? "Less" : "LessOrEqual", {cast(layer, layer.input(1), "f64"), x});
    finish(layer, "ReduceSum",
           {cast(layer, passed, layer.element_type("output_type", "s64")), layer.add_integers({-1})},
           with(integer("keepdims", 0)));
}

// Bags of embeddings

/// Row b of the result is the sum of the table's rows at the indices i where member[b, i].
struct Bags {
    ValueId member, empty; ///< bool [bags, indices] and [bags, 1]
};

/// The layer's inputs from `first` on are the index for empty bags and the weights.
void sum_bags(Layer &layer, const Bags &bags, size_t first)
{
    if (rank_of(layer, 0) != 2)
        throw Error("a table of rank " + std::to_string(rank_of(layer, 0)) + " is not supported; want rank 2");
    ValueId weights = layer.add("CastLike", {bags.member, layer.input(0)});
    if (layer.has(first + 1))
        weights = layer.add("Mul", {weights, layer.input(first + 1)});
    const ValueId sums = layer.add("MatMul", {weights, layer.add("Gather", {layer.input(0), layer.input(1)})});
    if (!layer.has(first) || (layer.constant(first) && layer.constant_integers(first) == std::vector<int64_t>{-1}))
        return finish(layer, "Identity", {sums});
    const ValueId index = layer.add("Reshape", {layer.input(first), layer.add_integers({1})});
    finish(layer, "Where", {bags.empty, layer.add("Gather", {layer.input(0), index}), sums});
}

/// A column of the numbers from 0 on, as many as `like` has along its axis 0.
ValueId numbered(Layer &layer, ValueId count)
{
    return layer.add("Range", {layer.add_integer(0), count, layer.add_integer(1)});
}

ValueId as_column(Layer &layer, ValueId values)
{
    return layer.add("Reshape", {values, layer.add_integers({-1, 1})});
}

ValueId as_scalar(Layer &layer, ValueId value)
{
    return layer.add("Reshape", {value, layer.add_integers({})});
}

/// Inputs: table, indices, where each bag begins.
void sum_bags_at_offsets(Layer &layer)
{
    const ValueId count = layer.add("Shape", {layer.input(1)}), starts = cast(layer, layer.input(2), "s64");
    const ValueId later = layer.add("Slice", {starts, layer.add_integers({1}), layer.add_integers({INT64_MAX})});
    const ValueId begin = as_column(layer, starts);
    const ValueId end = as_column(layer, layer.add("Concat", {later, count}, with(integer("axis", 0))));
    const ValueId places = numbered(layer, as_scalar(layer, count));
    const ValueId member =
        layer.add("And", {layer.add("GreaterOrEqual", {places, begin}), layer.add("Less", {places, end})});
    sum_bags(layer, {member, layer.add("GreaterOrEqual", {begin, end})}, 3);
}

/// Inputs: table, indices, the bag of each index, the number of bags.
void sum_segments(Layer &layer)
{
    const ValueId count = as_scalar(layer, cast(layer, layer.input(3), "s64"));
    const ValueId segments = as_column(layer, numbered(layer, count));
    const ValueId member = layer.add("Equal", {segments, cast(layer, layer.input(2), "s64")});
    const ValueId members = layer.add("ReduceSum", {cast(layer, member, "s64"), layer.add_integers({1})});
    sum_bags(layer, {member, layer.add("Equal", {members, layer.add_integers({0})})}, 4);
}

/// Inputs: table, indices [bags, size], weights. Every bag has the same size.
void sum_packed_bags(Layer &layer)
{
    ValueId rows = layer.add("Gather", {layer.input(0), layer.input(1)});
    if (layer.has(2)) {
        std::vector<int64_t> axes = axes_up_to(rank_of(layer, 0) - 1);
        for (int64_t &axis : axes)
            axis += 2;
        rows = layer.add("Mul", {rows, layer.add("Unsqueeze", {layer.input(2), layer.add_integers(axes)})});
    }
    finish(layer, "ReduceSum", {rows, layer.add_integers({1})}, with(integer("keepdims", 0)));
}

constexpr OpenvinoOperator operators[] = {
    {"BatchToSpace", 2, any, batch_to_space},
    {"Bucketize", 3, any, bucketize},
    {"CTCGreedyDecoder", 1, any, nullptr, "ctc_merge_repeated:i"},
    {"CTCGreedyDecoderSeqLen", 6, any, nullptr, "merge_repeated:i classes_index_type:T sequence_length_type:T"},
    {"DeformablePSROIPooling", 1, any, nullptr,
     "output_dim:i group_size:i spatial_scale:f spatial_bins_x:i spatial_bins_y:i trans_std:f part_size:i"},
    {"DetectionOutput", 1, any, nullptr,
     "background_label_id:i top_k:i variance_encoded_in_target:i keep_top_k:I code_type:t share_location:i "
     "nms_threshold:f confidence_threshold:f clip_after_nms:i clip_before_nms:i decrease_label_id:i normalized:i "
     "input_height:i input_width:i objectness_score:f"},
    {"EmbeddingBagOffsetsSum", 3, any, sum_bags_at_offsets},
    {"EmbeddingBagPackedSum", 3, any, sum_packed_bags},
    {"EmbeddingSegmentsSum", 3, any, sum_segments},
    {"ExperimentalDetectronDetectionOutput", 1, any, nullptr,
     "score_threshold:f nms_threshold:f max_delta_log_wh:f num_classes:i post_nms_count:i max_detections_per_image:i "
     "deltas_weights:F"},
    {"ExperimentalDetectronGenerateProposalsSingleImage", 1, any, nullptr,
     "min_size:f nms_threshold:f pre_nms_count:i post_nms_count:i"},
    {"ExperimentalDetectronPriorGridGenerator", 1, any, nullptr, "flatten:i h:i w:i stride_x:f stride_y:f"},
    {"ExperimentalDetectronROIFeatureExtractor", 1, any, nullptr,
     "output_size:i sampling_ratio:i pyramid_scales:I aligned:i"},
    {"ExperimentalDetectronTopKROIs", 1, any, nullptr, "max_rois:i"},
    {"ExtractImagePatches", 3, any, extract_patches},
    {"GenerateProposals", 9, any, nullptr,
     "min_size:f nms_threshold:f pre_nms_count:i post_nms_count:i normalized:i nms_eta:f roi_num_type:T"},
    {"MatrixNms", 8, any, nullptr,
     "sort_result_type:t sort_result_across_batch:i output_type:T score_threshold:f nms_top_k:i keep_top_k:i "
     "background_class:i decay_function:t gaussian_sigma:f post_threshold:f normalized:i"},
    {"MulticlassNms", 8, any, nullptr,
     "sort_result_type:t sort_result_across_batch:i output_type:T iou_threshold:f score_threshold:f nms_top_k:i "
     "keep_top_k:i background_class:i normalized:i nms_eta:f"},
    {"NonMaxSuppression", 1, any, suppress_boxes},
    {"PSROIPooling", 1, any, nullptr,
     "mode:t output_dim:i group_size:i spatial_scale:f spatial_bins_x:i spatial_bins_y:i"},
    {"PriorBox", 1, any, nullptr,
     "min_size:F max_size:F aspect_ratio:F flip:i clip:i step:f offset:f variance:F scale_all_sizes:i fixed_ratio:F "
     "fixed_size:F density:F min_max_aspect_ratios_order:i"},
    {"PriorBoxClustered", 1, any, nullptr, "width:F height:F clip:i step:f step_w:f step_h:f offset:f variance:F"},
    {"Proposal", 1, any, nullptr,
     "base_size:i pre_nms_topn:i post_nms_topn:i nms_thresh:f feat_stride:i min_size:f ratio:F scale:F "
     "clip_before_nms:i clip_after_nms:i normalize:i box_size_scale:f box_coordinate_scale:f framework:t"},
    {"ROIAlign", 3, any, align_regions},
    {"ROIPooling", 1, any, pool_regions},
    {"RegionYolo", 1, any, nullptr, "coords:i classes:i num:i do_softmax:i mask:I axis:i end_axis:i"},
    {"ReorgYolo", 1, any, reorganise},
    {"Roll", 7, any, roll},
    {"SpaceToBatch", 2, any, space_to_batch},
};

} // namespace

std::span<const OpenvinoOperator> openvino_detection_operators()
{
    return operators;
}

} // namespace leat
