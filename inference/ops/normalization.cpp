#include "inference/ops/attributes.h"
#include "inference/ops/walk.h"

#include <algorithm>
#include <cmath>

namespace leat {
namespace {

struct Moments {
    double mean = 0, variance = 0; ///< the variance divides by the number of values
};

Moments moments_of(std::span<const float> values)
{
    Moments m;
    for (float value : values)
        m.mean += value;
    m.mean /= static_cast<double>(values.size());
    for (float value : values)
        m.variance += (value - m.mean) * (value - m.mean);
    m.variance /= static_cast<double>(values.size());
    return m;
}

/// An input with one number for each channel, as f32.
Tensor per_channel(const RunContext &context, size_t input, int64_t channels)
{
    const Tensor &tensor = context.inputs[input];
    if (tensor.shape() != Shape{channels})
        throw Error("input " + std::to_string(input) + " has the shape " + to_string(tensor.shape()) + ", want " +
                    std::to_string(channels));
    return tensor.converted(Type::f32);
}

void want_channels(const ShapeContext &context, size_t input)
{
    const auto &x = context.shape(0), &per_channel = context.shape(input);
    if (!x || !per_channel || x->size() < 2)
        return;
    if (per_channel->size() != 1 || ((*per_channel)[0] >= 0 && (*x)[1] >= 0 && (*per_channel)[0] != (*x)[1]))
        throw Error("input " + std::to_string(input) + " has the shape " + to_string(*per_channel) +
                    ", want one number for each of " + to_string(Shape{(*x)[1]}) + " channels");
}

/// Floating point, batch and channels in front, the same shape out; the other inputs hold a number for each channel.
void by_channel_rule(ShapeContext &context, size_t lowest_rank)
{
    want_type(context, 0, TypeSet::floating);
    if (context.shape(0) && context.shape(0)->size() < lowest_rank)
        throw Error("the input has the shape " + to_string(*context.shape(0)) + ", want rank " +
                    std::to_string(lowest_rank) + " or more");
    for (size_t input = 1; input < context.inputs(); input++) {
        want_type(context, input, TypeSet::floating);
        want_channels(context, input);
    }
    context.output(0, context.type(0), context.shape(0));
}

void check_rank(const Tensor &x, size_t lowest)
{
    if (x.rank() < lowest)
        throw Error("the input has the shape " + to_string(x.shape()) + ", want rank " + std::to_string(lowest) +
                    " or more");
}

// BatchNormalization: Ioffe & Szegedy, 2015

bool in_training(const Attributes &attributes)
{
    return attributes.integer("training_mode", 0) != 0;
}

void batch_normalization_rule(ShapeContext &context)
{
    const bool training = in_training(context.attributes());
    if (context.outputs() > 1 && !training)
        throw Error("there are outputs of training mode, but training_mode is 0; export the model for inference");
    by_channel_rule(context, 1);
    for (size_t i = 1; i < context.outputs(); i++)
        context.output(i, context.type(2 + i), context.shape(2 + i));
}

/// Mean and variance of each channel over the batch and the picture.
std::vector<Moments> moments_of_channels(const Tensor &x, int64_t channels, int64_t inner)
{
    std::vector<std::vector<float>> values(static_cast<size_t>(channels));
    for (size_t i = 0; i < x.count(); i++)
        values[i / static_cast<size_t>(inner) % values.size()].push_back(x.data<float>()[i]);
    std::vector<Moments> moments;
    for (const auto &of_channel : values)
        moments.push_back(moments_of(of_channel));
    return moments;
}

/// In training mode the moments are those of x, and what was given is moved towards them by 1 - momentum.
void update_moments(RunContext &context, const std::vector<Moments> &moments)
{
    const double keep = context.node.attributes.number("momentum", 0.9f);
    auto update = [&](size_t output, size_t input, double Moments::*member) {
        if (!context.wants(output))
            return;
        Tensor moved = per_channel(context, input, static_cast<int64_t>(moments.size())).clone();
        for (size_t c = 0; c < moments.size(); c++)
            moved.data<float>()[c] =
                static_cast<float>(moved.data<float>()[c] * keep + moments[c].*member * (1 - keep));
        copy_to_output(context, output, moved.converted(context.inputs[input].type()));
    };
    update(1, 3, &Moments::mean);
    update(2, 4, &Moments::variance);
}

void batch_normalization(RunContext &context)
{
    const Tensor x = context.inputs[0].converted(Type::f32);
    check_rank(x, 1);
    const int64_t channels = x.rank() > 1 ? x.dim(1) : 1;
    const Tensor scale = per_channel(context, 1, channels), bias = per_channel(context, 2, channels);
    const Tensor mean = per_channel(context, 3, channels), variance = per_channel(context, 4, channels);
    const double epsilon = context.node.attributes.number("epsilon", 1e-5f);
    const int64_t inner = count_between(x.shape(), std::min<size_t>(2, x.rank()), x.rank());
    std::vector<Moments> moments;
    if (in_training(context.node.attributes)) {
        moments = moments_of_channels(x, channels, inner);
        update_moments(context, moments);
    } else {
        for (size_t c = 0; c < static_cast<size_t>(channels); c++)
            moments.push_back({mean.data<float>()[c], variance.data<float>()[c]});
    }
    Tensor y(Type::f32, x.shape());
    for (int64_t i = 0; i < static_cast<int64_t>(x.count()); i++) {
        const int64_t c = i / inner % channels;
        const Moments &m = moments[static_cast<size_t>(c)];
        const double factor = scale.data<float>()[c] / std::sqrt(m.variance + epsilon);
        const double centred = static_cast<double>(x.data<float>()[i]) - m.mean;
        y.data<float>()[i] = static_cast<float>(centred * factor + bias.data<float>()[c]);
    }
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

// InstanceNormalization (Ulyanov et al., 2016), GroupNormalization (Wu & He, 2018)

/// Each group of channels of each picture to mean 0 and variance 1, then scale and bias of the channel.
void normalize_groups(RunContext &context, int64_t groups)
{
    const Tensor x = context.inputs[0].converted(Type::f32);
    check_rank(x, 2);
    const int64_t channels = x.dim(1), inner = count_between(x.shape(), 2, x.rank());
    if (channels % groups != 0)
        throw Error("num_groups is " + std::to_string(groups) + ", which does not divide " + std::to_string(channels) +
                    " channels");
    const Tensor scale = per_channel(context, 1, channels), bias = per_channel(context, 2, channels);
    const double epsilon = context.node.attributes.number("epsilon", 1e-5f);
    const int64_t in_group = channels / groups * inner;
    Tensor y(Type::f32, x.shape());
    for (int64_t start = 0; start < static_cast<int64_t>(x.count()); start += in_group) {
        const Moments m =
            moments_of(x.values<float>().subspan(static_cast<size_t>(start), static_cast<size_t>(in_group)));
        const double factor = 1 / std::sqrt(m.variance + epsilon);
        for (int64_t i = start; i < start + in_group; i++) {
            const int64_t c = i / inner % channels;
            const double normal = (static_cast<double>(x.data<float>()[i]) - m.mean) * factor;
            y.data<float>()[i] = static_cast<float>(normal * scale.data<float>()[c] + bias.data<float>()[c]);
        }
    }
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

void channels_rule(ShapeContext &context)
{
    by_channel_rule(context, 2);
}

void instance_normalization(RunContext &context)
{
    check_rank(context.inputs[0], 2);
    normalize_groups(context, std::max<int64_t>(context.inputs[0].dim(1), 1));
}

void group_normalization_rule(ShapeContext &context)
{
    size_attribute(context.attributes(), "num_groups", 0, 1);
    by_channel_rule(context, 2);
}

void group_normalization(RunContext &context)
{
    normalize_groups(context, size_attribute(context.node.attributes, "num_groups", 0, 1));
}

// LayerNormalization (Ba et al., 2016), RMSNormalization (Zhang & Sennrich, 2019)

/// Type of the outputs Mean and InvStdDev, which is that of the calculation.
Type stash_type(const Attributes &attributes)
{
    const int64_t type = attributes.integer("stash_type", 1);
    if (type != 1)
        throw Error("stash_type is " + std::to_string(type) + ", want 1: single precision");
    return Type::f32;
}

Shape statistics_shape(Shape x, size_t axis)
{
    std::fill(x.begin() + static_cast<ptrdiff_t>(axis), x.end(), 1);
    return x;
}

void check_broadcasts(const Shape &small, const Shape &large, const char *what)
{
    const Shape both = broadcast(small, large);
    for (size_t i = 0; i < both.size(); i++)
        if (both.size() != large.size() || (both[i] != large[i] && both[i] >= 0 && large[i] >= 0))
            throw Error(std::string(what) + " of shape " + to_string(small) + " does not broadcast into " +
                        to_string(large));
}

void layer_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    want_type(context, 1, TypeSet::floating);
    const Type stash = stash_type(context.attributes());
    std::optional<Shape> statistics;
    if (context.shape(0)) {
        const Shape &x = *context.shape(0);
        statistics = statistics_shape(x, axis_attribute(context.attributes(), "axis", -1, x.size()));
        for (size_t input : {1u, 2u})
            if (context.shape(input))
                check_broadcasts(*context.shape(input), x, input == 1 ? "the scale" : "the bias");
    }
    context.output(0, context.type(0), context.shape(0));
    context.output(1, stash, statistics);
    context.output(2, stash, statistics);
}

/// The operand as f32, broadcast into the shape; empty when it is absent.
Tensor expanded(const RunContext &context, size_t input, const Shape &shape, const char *what)
{
    if (!context.has(input))
        return {};
    const Tensor small = context.inputs[input].converted(Type::f32);
    check_broadcasts(small.shape(), shape, what);
    Tensor large(Type::f32, shape);
    copy_elements(small, large, shape, {broadcast_strides(small.shape(), shape), strides_of(shape)});
    return large;
}

/// `centred`: as LayerNormalization; else the mean is taken to be 0.
void normalize_layers(RunContext &context, bool centred)
{
    const Tensor x = context.inputs[0].converted(Type::f32);
    const Attributes &attributes = context.node.attributes;
    const size_t axis = axis_attribute(attributes, "axis", -1, x.rank());
    const int64_t inner = count_between(x.shape(), axis, x.rank());
    const double epsilon = attributes.number("epsilon", 1e-5f);
    const Tensor scale = expanded(context, 1, x.shape(), "the scale");
    const Tensor bias = expanded(context, 2, x.shape(), "the bias");
    const Shape statistics = statistics_shape(x.shape(), axis);
    Tensor y(Type::f32, x.shape()), means(Type::f32, statistics), inverses(Type::f32, statistics);
    if (inner == 0)
        throw Error("the input of shape " + to_string(x.shape()) + " has no elements to normalise");
    for (int64_t layer = 0; layer < static_cast<int64_t>(means.count()); layer++) {
        const Moments m =
            moments_of(x.values<float>().subspan(static_cast<size_t>(layer * inner), static_cast<size_t>(inner)));
        const double mean = centred ? m.mean : 0;
        const double square = centred ? m.variance : m.variance + m.mean * m.mean;
        const double factor = 1 / std::sqrt(square + epsilon);
        for (int64_t i = layer * inner; i < (layer + 1) * inner; i++)
            y.data<float>()[i] =
                static_cast<float>((static_cast<double>(x.data<float>()[i]) - mean) * factor * scale.data<float>()[i] +
                                   (bias ? bias.data<float>()[i] : 0.f));
        means.data<float>()[layer] = static_cast<float>(mean);
        inverses.data<float>()[layer] = static_cast<float>(factor);
    }
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
    if (context.wants(1))
        copy_to_output(context, 1, means);
    if (context.wants(2))
        copy_to_output(context, 2, inverses);
}

void layer_normalization(RunContext &context)
{
    normalize_layers(context, true);
}

void rms_normalization(RunContext &context)
{
    normalize_layers(context, false);
}

// LRN: Krizhevsky et al., 2012

void lrn_rule(ShapeContext &context)
{
    size_attribute(context.attributes(), "size", 0, 1);
    by_channel_rule(context, 2);
}

void lrn(RunContext &context)
{
    const Attributes &attributes = context.node.attributes;
    const int64_t size = size_attribute(attributes, "size", 0, 1);
    const double alpha = attributes.number("alpha", 1e-4f), beta = attributes.number("beta", 0.75f);
    const double bias = attributes.number("bias", 1);
    const Tensor x = context.inputs[0].converted(Type::f32);
    check_rank(x, 2);
    const int64_t channels = x.dim(1), inner = count_between(x.shape(), 2, x.rank());
    Tensor y(Type::f32, x.shape());
    for (int64_t i = 0; i < static_cast<int64_t>(x.count()); i++) {
        const int64_t c = i / inner % channels;
        const int64_t first = std::max<int64_t>(0, c - (size - 1) / 2);
        const int64_t last = std::min(channels - 1, c + size / 2);
        double squares = 0;
        for (int64_t other = first; other <= last; other++) {
            const double value = x.data<float>()[i + (other - c) * inner];
            squares += value * value;
        }
        y.data<float>()[i] =
            static_cast<float>(x.data<float>()[i] / std::pow(bias + alpha / static_cast<double>(size) * squares, beta));
    }
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

// MeanVarianceNormalization, LpNormalization: over some axes, without scale and bias

/// Calls `run(values)` for the elements that differ in the given axes alone, and puts back what it leaves in them.
template <class Run> void normalize_over(RunContext &context, const std::vector<size_t> &axes, Run run)
{
    const Tensor x = context.inputs[0].converted(Type::f32);
    const Shape dense = strides_of(x.shape());
    Shape kept, kept_strides, reduced, reduced_strides;
    for (size_t i = 0; i < x.rank(); i++) {
        const bool over = std::find(axes.begin(), axes.end(), i) != axes.end();
        (over ? reduced : kept).push_back(x.dim(i));
        (over ? reduced_strides : kept_strides).push_back(dense[i]);
    }
    Tensor y(Type::f32, x.shape());
    std::vector<float> values(static_cast<size_t>(count_of(reduced)));
    auto move = [&](int64_t start, auto &&one) {
        size_t next = 0;
        walk<1>(reduced, {reduced_strides}, [&](const Stretch<1> &s) {
            for (int64_t i = 0; i < s.count; i++)
                one(values[next++], start + s.offset[0] + i * s.step[0]);
        });
    };
    if (x.count() != 0)
        walk<1>(kept, {kept_strides}, [&](const Stretch<1> &s) {
            for (int64_t i = 0; i < s.count; i++) {
                const int64_t start = s.offset[0] + i * s.step[0];
                move(start, [&](float &value, int64_t at) { value = x.data<float>()[at]; });
                run(std::span(values));
                move(start, [&](float value, int64_t at) { y.data<float>()[at] = value; });
            }
        });
    copy_to_output(context, 0, y.converted(context.inputs[0].type()));
}

std::vector<int64_t> mean_axes(const Attributes &attributes)
{
    return attributes.integers("axes", {0, 2, 3});
}

void mean_variance_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    if (context.shape(0))
        normal_axes(mean_axes(context.attributes()), context.shape(0)->size());
    context.output(0, context.type(0), context.shape(0));
}

void mean_variance_normalization(RunContext &context)
{
    constexpr double epsilon = 1e-9; // of ONNX's definition
    normalize_over(context, normal_axes(mean_axes(context.node.attributes), context.inputs[0].rank()),
                   [](std::span<float> values) {
                       const Moments m = moments_of(values);
                       for (float &value : values)
                           value = static_cast<float>((value - m.mean) / (std::sqrt(m.variance) + epsilon));
                   });
}

int64_t lp_order(const Attributes &attributes)
{
    const int64_t p = attributes.integer("p", 2);
    if (p != 1 && p != 2)
        throw Error("p is " + std::to_string(p) + ", want 1 or 2");
    return p;
}

void lp_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    lp_order(context.attributes());
    if (context.shape(0))
        axis_attribute(context.attributes(), "axis", -1, context.shape(0)->size());
    context.output(0, context.type(0), context.shape(0));
}

/// What has the norm 0 stays 0.
void lp_normalization(RunContext &context)
{
    const int64_t p = lp_order(context.node.attributes);
    const size_t axis = axis_attribute(context.node.attributes, "axis", -1, context.inputs[0].rank());
    normalize_over(context, {axis}, [p](std::span<float> values) {
        double sum = 0;
        for (float value : values)
            sum += p == 1 ? std::abs(static_cast<double>(value)) : static_cast<double>(value) * value;
        const double norm = p == 1 ? sum : std::sqrt(sum);
        for (float &value : values)
            value = norm == 0 ? 0.f : static_cast<float>(value / norm);
    });
}

constexpr Op rows[] = {
    {"BatchNormalization", 5, 5, 3, batch_normalization_rule, batch_normalization},
    {"GroupNormalization", 3, 3, 1, group_normalization_rule, group_normalization},
    {"InstanceNormalization", 3, 3, 1, channels_rule, instance_normalization},
    {"LRN", 1, 1, 1, lrn_rule, lrn},
    {"LayerNormalization", 2, 3, 3, layer_rule, layer_normalization},
    {"LpNormalization", 1, 1, 1, lp_rule, lp_normalization},
    {"MeanVarianceNormalization", 1, 1, 1, mean_variance_rule, mean_variance_normalization},
    {"RMSNormalization", 2, 2, 1, layer_rule, rms_normalization},
};

} // namespace

std::span<const Op> normalization_ops()
{
    return rows;
}

} // namespace leat
