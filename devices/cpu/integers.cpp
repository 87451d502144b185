#include "integers.h"

#include "devices/cpu/estimate.h"
#include "devices/cpu/integer_weights.h"
#include "devices/cpu/kernels/vector_functions.h"
#include "devices/cpu/onednn.h"
#include "inference/ops/quantized.h"
#include "inference/passes.h"
#include "inference/passes/post_op_forms.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace leat::cpu {
namespace {

/// 8-bit integers that stand for (integer - zero point) * scale.
struct Grid {
    float scale = 1;
    int32_t zero_point = 0;
    Type type = Type::u8;
    bool operator==(const Grid &) const = default;
};

/// The one grid of a QuantizeLinear or DequantizeLinear; nothing when it has several or computes it.
std::optional<Grid> grid_of(const Rewriter &graph, int index)
{
    const Node &node = graph.node(index);
    const bool from = graph.is(index, "DequantizeLinear");
    if ((!from && !graph.is(index, "QuantizeLinear")) || !node.post_ops.empty() ||
        node.attributes.integer("block_size", 0) != 0)
        return {};
    const Value &integers = graph.value(from ? node.inputs[0] : node.outputs[0]);
    const Value &numbers = graph.value(from ? node.outputs[0] : node.inputs[0]);
    const auto scale = graph.scalar(node.inputs[1]);
    const bool has_zero = node.inputs.size() > 2 && node.inputs[2] != no_value;
    const auto zero = has_zero ? graph.scalar(node.inputs[2]) : 0.f;
    if ((integers.type != Type::u8 && integers.type != Type::s8) || numbers.type != Type::f32 || !scale || !zero ||
        !std::isnormal(*scale) || *scale < 0)
        return {};
    return Grid{*scale, static_cast<int32_t>(*zero), integers.type};
}

struct Dequantised {
    ValueId integers;
    Grid grid;
    float offset = 0;                    ///< added to what the integers stand for
    std::vector<float> channel_scales{}; ///< factors of what they stand for, by channel, or none
};

/// What the value was made of when it is a DequantizeLinear of computed integers on one grid.
std::optional<Dequantised> dequantised(const Rewriter &graph, ValueId id)
{
    const int maker = graph.maker(id);
    if (maker < 0 || !graph.is(maker, "DequantizeLinear") || graph.constant(graph.node(maker).inputs[0]))
        return {};
    const auto grid = grid_of(graph, maker);
    if (!grid)
        return {};
    return Dequantised{graph.node(maker).inputs[0], *grid};
}

template <size_t N> bool is_any(const Rewriter &graph, int index, const std::array<const char *, N> &names)
{
    return std::any_of(names.begin(), names.end(), [&](const char *name) { return graph.is(index, name); });
}

/// Arithmetic, element by element.
constexpr std::array of_two_numbers{"Add", "Div", "Max", "Min", "Mul", "PRelu", "Sub"};

/// Moves elements of its first input, or takes the largest: what order-preserving functions of the elements commute
/// with.
bool moves_elements(const Rewriter &graph, int index)
{
    static constexpr std::array names{"DepthToSpace", "Expand",       "Flatten", "Gather",  "GlobalMaxPool",
                                      "Identity",     "MaxPool",      "Pad",     "Reshape", "Resize",
                                      "Slice",        "SpaceToDepth", "Split",   "Squeeze", "Tile",
                                      "Transpose",    "Unsqueeze"};
    if (!is_any(graph, index, names) || !graph.node(index).post_ops.empty())
        return false;
    const Node &node = graph.node(index);
    if (graph.is(index, "Resize")) // of which some take zeros from outside
        return node.attributes.text("mode", "nearest") == "nearest" &&
               node.attributes.text("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize";
    if (graph.is(index, "MaxPool"))
        return node.outputs.size() == 1 || node.outputs[1] == no_value;
    if (!graph.is(index, "Pad"))
        return true;
    const bool filled = node.inputs.size() > 2 && node.inputs[2] != no_value;
    return node.attributes.text("mode", "constant") != "constant" || !filled || graph.scalar(node.inputs[2]) == 0.f;
}

/// The rewrite, with what it needs from place to place.
class Integration {
  public:
    Integration(Graph &graph, Weights &weights, int threads) : graph_(graph), weights_(weights), threads_(threads) {}

    void fold_constants()
    {
        for (int n = 0; n < graph_.nodes(); n++)
            fold_constant(n);
    }

    IntegerReport run()
    {
        for (int n = 0; n < graph_.nodes(); n++)
            raise_quantisation(n);
        for (int n = 0; n < graph_.nodes(); n++)
            sink_dequantisation(n);
        for (int n = 0; n < graph_.nodes(); n++)
            cancel(n);
        for (int n = 0; n < graph_.nodes(); n++)
            settle_integer_product(n);
        for (int n = 0; n < graph_.nodes(); n++)
            become_product(n);
        for (int n = 0; n < graph_.nodes(); n++)
            average_integers(n);
        for (int n = 0; n < graph_.nodes(); n++)
            soften_integers(n);
        for (int n = 0; n < graph_.nodes(); n++)
            become_chain(n);
        for (int n = 0; n < graph_.nodes(); n++)
            if (computes_by_element(n))
                quantise_at_end(n);
        for (int n = 0; n < graph_.nodes(); n++)
            become_lookup(n);
        fold_constants();
        return std::move(report_);
    }

    int changes() const { return changes_; }

  private:
    Rewriter graph_;
    Weights &weights_;
    const int threads_;
    IntegerReport report_;
    int changes_ = 0;

    ValueId add_value(const std::string &name, Type type, std::optional<Shape> shape)
    {
        Value value;
        value.name = name;
        value.type = type;
        value.shape = std::move(shape);
        return graph_.add_value(std::move(value));
    }

    ValueId add_constant(const std::string &name, const Tensor &tensor)
    {
        const ValueId id = add_value(name, tensor.type(), tensor.shape());
        graph_.graph().values[id].constant = tensor;
        return id;
    }

    ValueId zero_point(const Grid &grid)
    {
        return add_constant("zero_point", Tensor::of<int64_t>({}, {grid.zero_point}).converted(grid.type));
    }

    ValueId number(float value) { return add_constant("number", Tensor::of<float>({}, {value})); }

    /// The constant inputs of a QuantizeLinear or DequantizeLinear.
    std::vector<ValueId> inputs_for(ValueId first, const Grid &grid)
    {
        return {first, add_constant("scale", Tensor::of<float>({}, {grid.scale})), zero_point(grid)};
    }

    /// Puts the elements of all its inputs together.
    bool joins(int index) const
    {
        return (graph_.is(index, "Concat") || graph_.is(index, "Interleave")) && graph_.node(index).post_ops.empty();
    }

    /// Data inputs of a node that moves elements.
    size_t moved_inputs(int index) const { return joins(index) ? graph_.node(index).inputs.size() : 1; }

    /// What a Pad fills with is then in the integers of the grid.
    void pad_with_zero_point(Node &node, const Grid &grid)
    {
        if (node.op->name != "Pad" || node.attributes.text("mode", "constant") != "constant")
            return;
        node.inputs.resize(std::max<size_t>(node.inputs.size(), 3), no_value);
        node.inputs[2] = zero_point(grid);
    }

    /// Whether the node leaves out some of what it reads, which others read, too.
    bool takes_part_of_shared(int index) const
    {
        const ValueId id = graph_.node(index).inputs[0];
        const auto &from = graph_.value(id).shape, &made = graph_.value(graph_.node(index).outputs[0]).shape;
        return graph_.only_reader(id) != index &&
               (!from || !made || !is_static(*from) || !is_static(*made) || count_of(*made) < count_of(*from));
    }

    /// q(move(x)) becomes move(q(x)), so that the q meets the node that computes x.
    void raise_quantisation(int index)
    {
        if (!graph_.is(index, "QuantizeLinear"))
            return;
        const auto grid = grid_of(graph_, index);
        const ValueId moved = graph_.node(index).inputs[0];
        const int mover = graph_.maker(moved);
        if (!grid || graph_.only_reader(moved) != index || graph_.is(mover, "Split") ||
            (!moves_elements(graph_, mover) && !joins(mover)) || (!joins(mover) && takes_part_of_shared(mover)))
            return;
        Node node = graph_.node(mover);
        for (size_t i = 0; i < moved_inputs(mover); i++) {
            const Value &from = graph_.value(node.inputs[i]);
            const ValueId made = add_value(from.name, grid->type, from.shape);
            Node quantise;
            quantise.op = &op("QuantizeLinear");
            quantise.name = graph_.node(index).name;
            quantise.inputs = inputs_for(node.inputs[i], *grid);
            quantise.outputs = {made};
            node.inputs[i] = made;
            graph_.add(std::move(quantise));
        }
        pad_with_zero_point(node, *grid);
        node.outputs = graph_.node(index).outputs;
        graph_.remove(index);
        graph_.change(mover, [&](Node &old) { old = node; });
        changes_++;
    }

    /// The grid on which everything that the node moves lies; nothing when there is none.
    std::optional<Grid> common_grid(int index) const
    {
        std::optional<Grid> common;
        for (size_t i = 0; i < moved_inputs(index); i++) {
            const auto from = dequantised(graph_, graph_.node(index).inputs[i]);
            if (!from || (common && from->grid != *common))
                return {};
            common = from->grid;
        }
        return common;
    }

    /// move(dq(x)) becomes dq(move(x)).
    void sink_dequantisation(int index)
    {
        if (!moves_elements(graph_, index) && !joins(index))
            return;
        Node node = graph_.node(index);
        const auto grid = common_grid(index);
        if (!grid)
            return;
        for (size_t i = 0; i < moved_inputs(index); i++)
            node.inputs[i] = dequantised(graph_, node.inputs[i])->integers;
        pad_with_zero_point(node, *grid);
        const std::vector<ValueId> made = node.outputs;
        for (ValueId &id : node.outputs)
            if (id != no_value)
                id = add_value(graph_.value(id).name, grid->type, graph_.value(id).shape);
        graph_.change(index, [&](Node &old) { old = node; });
        for (size_t i = 0; i < made.size(); i++) {
            if (made[i] == no_value)
                continue;
            Node dequantise;
            dequantise.op = &op("DequantizeLinear");
            dequantise.name = node.name;
            dequantise.inputs = inputs_for(node.outputs[i], *grid);
            dequantise.outputs = {made[i]};
            graph_.add(std::move(dequantise));
        }
        changes_++;
    }

    /// q(dq(x)) on the same grid is x.
    void cancel(int index)
    {
        if (!graph_.is(index, "QuantizeLinear"))
            return;
        const auto grid = grid_of(graph_, index);
        const auto from = dequantised(graph_, graph_.node(index).inputs[0]);
        if (grid && from && from->grid == *grid)
            changes_ += graph_.bypass(index, from->integers);
    }

    /// Reads a dequantised operand as the integers that it was made of.
    PostOp on_integers(PostOp post) const
    {
        if (post.kind != PostOp::Kind::binary)
            return post;
        if (const auto from = dequantised(graph_, post.input)) {
            post.input = from->integers;
            post.attributes.set("scale", from->grid.scale);
            post.attributes.set("zero_point", int64_t(from->grid.zero_point));
        }
        return post;
    }

    static PostOp quantising(const Grid &grid)
    {
        PostOp post{PostOp::Kind::unary, &op("QuantizeLinear"), {}, no_value};
        post.attributes.set("scale", grid.scale);
        post.attributes.set("zero_point", int64_t(grid.zero_point));
        post.attributes.set("output_dtype", std::string(to_string(grid.type)));
        return post;
    }

    /// The QuantizeLinear that alone reads the value; -1 when there is none.
    int quantiser(ValueId id) const
    {
        const int reader = graph_.only_reader(id);
        return reader >= 0 && graph_.is(reader, "QuantizeLinear") && graph_.node(reader).inputs[0] == id &&
                       grid_of(graph_, reader)
                   ? reader
                   : -1;
    }

    void quantise_at_end(int index)
    {
        const int reader = quantiser(graph_.node(index).outputs[0]);
        if (reader < 0)
            return;
        const PostOp post = quantising(*grid_of(graph_, reader));
        graph_.take_over(index, reader);
        graph_.change(index, [&](Node &node) { node.post_ops.push_back(post); });
        changes_++;
    }

    /// Whether the node is arithmetic on f32, element by element, or on computed integers on one grid.
    bool computes_by_element(int index) const
    {
        if (is_any(graph_, index, of_two_numbers) || unary_post_op(graph_, index))
            return graph_.value(graph_.node(index).inputs[0]).type == Type::f32;
        if (!graph_.is(index, "DequantizeLinear"))
            return false;
        const Node &node = graph_.node(index);
        const Type type = graph_.value(node.inputs[0]).type;
        return !graph_.constant(node.inputs[0]) && (type == Type::u8 || type == Type::s8) &&
               graph_.scalar(node.inputs[1]) && node.attributes.integer("block_size", 0) == 0;
    }

    // Convolutions and matrix products

    /// How a kind of node is read.
    struct Form {
        const char *name, *on_integers;
        size_t channel_axis; ///< of the weights
        float factor, bias_factor;
    };

    std::optional<Form> form_of(int index) const
    {
        const Attributes &a = graph_.node(index).attributes;
        if (graph_.is(index, "Conv"))
            return Form{"Conv", "ConvInteger", 0, 1, 1};
        if (graph_.is(index, "MatMul"))
            return Form{"MatMul", "MatMulInteger", 1, 1, 1};
        if (graph_.is(index, "Gemm") && a.integer("transA", 0) == 0)
            return Form{"Gemm", "MatMulInteger", a.integer("transB", 0) != 0 ? size_t(0) : size_t(1),
                        a.number("alpha", 1), a.number("beta", 1)};
        return {};
    }

    /// One number for each channel, spread over the output.
    ValueId by_channel(const std::string &name, const std::vector<float> &numbers, size_t output_rank, bool convolves)
    {
        Shape shape{static_cast<int64_t>(numbers.size())};
        if (convolves)
            shape.insert(shape.end(), output_rank - 2, 1);
        return add_constant(name, Tensor::of<float>(numbers.size() == 1 ? Shape{} : shape, numbers));
    }

    static PostOp binary(const char *name, ValueId operand) { return {PostOp::Kind::binary, &op(name), {}, operand}; }

    void become_product(int index)
    {
        const auto form = form_of(index);
        if (!form)
            return;
        const std::string refusal = try_product(index, *form);
        if (!refusal.empty())
            report_.refusals[graph_.node(index).name] = refusal;
    }

    /// "" when the node is done or has nothing to do with integers.
    std::string try_product(int index, const Form &form)
    {
        const Node &node = graph_.node(index);
        const bool quantised_weights = constant_integers(node.inputs[1]);
        const auto data = shifted_data(node.inputs[0]);
        if (!data)
            return quantised_weights ? "what it reads is not quantised with one constant scale" : "";
        if (!onednn::has_integer_dot_products())
            return "the processor has no dot products of 8-bit integers (VNNI), and older instructions saturate";
        const Value &out = graph_.value(node.outputs[0]);
        const auto &weights_shape = graph_.value(node.inputs[1]).shape;
        if (!out.shape || !is_static(*out.shape) || !weights_shape ||
            (std::string_view(form.on_integers) == "MatMulInteger" && weights_shape->size() != 2))
            return "its weights are no matrix, or its sizes are not known";
        auto weights = integer_weights(graph_, node.inputs[1], form.channel_axis, weights_);
        if (auto *fault = std::get_if<std::string>(&weights))
            return *fault;
        if (!data->channel_scales.empty() && !is_depthwise(node))
            return "its data has a scale for each channel";
        if (data->offset != 0 && pads(node))
            return "zero, which it is padded with, is none of the levels of its data";
        return put_product(index, form, *data, std::get<IntegerWeights>(std::move(weights)));
    }

    /// Dequantised data, to which one number may have been added, or which each channel scales.
    std::optional<Dequantised> shifted_data(ValueId id) const
    {
        const int maker = graph_.maker(id);
        if (graph_.is(maker, "Mul") && graph_.node(maker).post_ops.empty())
            return scaled_data(graph_.node(maker));
        if (!graph_.is(maker, "Add") || !graph_.node(maker).post_ops.empty())
            return dequantised(graph_, id);
        const auto offset = graph_.scalar(graph_.node(maker).inputs[1]);
        auto data = dequantised(graph_, graph_.node(maker).inputs[0]);
        if (!data || !offset)
            return {};
        data->offset = *offset;
        return data;
    }

    std::optional<Dequantised> scaled_data(const Node &mul) const
    {
        const Tensor *factors = graph_.constant(mul.inputs[1]);
        auto data = dequantised(graph_, mul.inputs[0]);
        const auto &shape = graph_.value(mul.outputs[0]).shape;
        if (!data || !factors || factors->type() != Type::f32 || !shape || shape->size() < 3 ||
            factors->rank() != shape->size() || factors->dim(1) != (*shape)[1] ||
            static_cast<int64_t>(factors->count()) != factors->dim(1))
            return {};
        data->channel_scales.assign(factors->data<float>(), factors->data<float>() + factors->count());
        return data;
    }

    /// Whether each output channel reads one input channel only.
    bool is_depthwise(const Node &node) const
    {
        return node.op->name == "Conv" && graph_.value(node.inputs[1]).shape->at(1) == 1;
    }

    /// The scales of the data's channels as scales of the weights that read them.
    static void scale_channels(IntegerWeights &weights, const std::vector<float> &factors)
    {
        const auto channels = static_cast<size_t>(weights.integers.dim(0)), times = channels / factors.size();
        if (weights.scales.size() == 1)
            weights.scales.assign(channels, weights.scales[0]);
        for (size_t c = 0; c < channels; c++)
            weights.scales[c] *= factors[c / times];
    }

    bool pads(const Node &node) const
    {
        const Shape &weights = *graph_.value(node.inputs[1]).shape;
        const bool points = weights.size() > 2 && count_of(weights) == weights[0] * weights[1];
        const auto all = node.attributes.integers("pads");
        if (node.attributes.text("auto_pad", "NOTSET").starts_with("SAME"))
            return !points;
        return std::any_of(all.begin(), all.end(), [](int64_t pad) { return pad != 0; });
    }

    /// Adds what the offset of the data contributes to each output channel.
    static void add_offset(std::vector<float> &bias, const IntegerWeights &weights, size_t channel_axis, float offset)
    {
        const Tensor w = without_zero_point(weights.integers, weights.zero_point, channel_axis);
        int64_t inner = 1;
        for (size_t axis = channel_axis + 1; axis < w.rank(); axis++)
            inner *= w.dim(axis);
        for (int64_t i = 0; i < static_cast<int64_t>(w.count()); i++) {
            const auto channel = static_cast<size_t>(i / inner % w.dim(channel_axis));
            bias[channel] += offset * weights.scales[weights.scales.size() > 1 ? channel : 0] *
                             static_cast<float>(w.data<int32_t>()[i]);
        }
    }

    /// Whether the value comes from an integer constant.
    bool constant_integers(ValueId id) const
    {
        const int maker = graph_.maker(id);
        if (graph_.is(maker, "Transpose") || graph_.is(maker, "Reshape"))
            return constant_integers(graph_.node(maker).inputs[0]);
        return graph_.is(maker, "DequantizeLinear") && graph_.constant(graph_.node(maker).inputs[0]);
    }

    std::string put_product(int index, const Form &form, const Dequantised &data, IntegerWeights weights)
    {
        const Node &old = graph_.node(index);
        const bool convolves = old.op->name == "Conv";
        const size_t rank = graph_.value(old.outputs[0]).shape->size();
        if (form.channel_axis == 0 && !convolves)
            weights.integers = transposed(weights.integers, weights_);
        const size_t channel_axis = convolves ? 0 : 1;
        std::vector<float> bias(static_cast<size_t>(weights.integers.dim(channel_axis)), 0);
        for (float &scale : weights.scales)
            scale *= form.factor;
        if (!data.channel_scales.empty())
            scale_channels(weights, data.channel_scales);
        if (data.offset != 0)
            add_offset(bias, weights, channel_axis, data.offset);
        for (float &scale : weights.scales)
            scale *= data.grid.scale;
        Node node;
        node.op = &op(form.on_integers);
        node.name = old.name;
        node.inputs = {data.integers, add_constant(graph_.value(old.inputs[1]).name, weights.integers)};
        const bool shifts_weights(weights.zero_point);
        if (data.grid.zero_point != 0 || shifts_weights)
            node.inputs.push_back(zero_point(data.grid));
        if (shifts_weights)
            node.inputs.push_back(add_constant("zero_point", weights.zero_point));
        if (convolves)
            node.attributes = old.attributes;
        node.outputs = old.outputs;
        node.post_ops.push_back(casting(Type::f32));
        node.post_ops.push_back(binary("Mul", by_channel("scale", weights.scales, rank, convolves)));
        if (old.inputs.size() > 2 && old.inputs[2] != no_value) {
            fold_constant(graph_.maker(old.inputs[2]));
            const Tensor *stored = graph_.constant(old.inputs[2]);
            if (!stored || stored->type() != Type::f32 || stored->count() != bias.size())
                return "its bias is not one constant f32 for each output channel";
            for (size_t i = 0; i < bias.size(); i++)
                bias[i] += stored->data<float>()[i] * form.bias_factor;
        }
        if (std::any_of(bias.begin(), bias.end(), [](float number) { return number != 0; }))
            node.post_ops.push_back(binary("Add", by_channel("bias", bias, rank, convolves)));
        for (const PostOp &post : old.post_ops)
            node.post_ops.push_back(on_integers(post));
        const int reader = quantiser(old.outputs[0]);
        if (reader >= 0)
            node.post_ops.push_back(quantising(*grid_of(graph_, reader)));
        if (const std::string refusal = tried(node, reader); !refusal.empty())
            return refusal;
        if (reader >= 0)
            graph_.take_over(index, reader);
        graph_.change(index, [&](Node &now) {
            node.outputs = now.outputs;
            now = node;
        });
        changes_++;
        return "";
    }

    /// "" when the kernels take the node, which is then in the report; else why not.
    std::string tried(const Node &node, int quantiser)
    {
        NodeFacts facts{graph_.graph(), node, {}, {}, weights_, 1};
        for (ValueId id : Graph::operands(node)) {
            if (id == no_value) {
                facts.in.emplace_back();
                continue;
            }
            const Value &value = graph_.value(id);
            if (!value.shape || !is_static(*value.shape))
                return "the sizes of what it reads are not known";
            Operand operand;
            operand.layout = Layout::dense(value.type, *value.shape);
            operand.constant = graph_.constant(id);
            facts.in.push_back(operand);
        }
        const ValueId made = quantiser >= 0 ? graph_.node(quantiser).outputs[0] : node.outputs[0];
        facts.out = {Layout::dense(graph_.value(made).type, *graph_.value(node.outputs[0]).shape)};
        facts.threads = threads_for(facts, threads_);
        Attempt attempt = first_fit(facts);
        if (auto *refusal = std::get_if<std::string>(&attempt))
            return *refusal;
        report_.tried.push_back(std::get<Choice>(std::move(attempt)));
        return "";
    }

    // ConvInteger and MatMulInteger as models write them, with the scales that DynamicQuantizeLinear finds

    void settle_integer_product(int index)
    {
        if (!graph_.is(index, "ConvInteger") && !graph_.is(index, "MatMulInteger"))
            return;
        absorb_readers(index);
        const std::string refusal = try_integer_product(index);
        if (refusal.empty())
            return;
        report_.refusals[graph_.node(index).name] = refusal;
        compute_with_floats(index);
    }

    /// The Cast to f32 that alone reads the sums, and the arithmetic after it, become post-ops.
    void absorb_readers(int index)
    {
        while (true) {
            const ValueId made = graph_.node(index).outputs[0];
            const int reader = graph_.only_reader(made);
            std::optional<PostOp> post;
            if (reader >= 0 && graph_.node(index).post_ops.empty()) {
                if (graph_.is(reader, "Cast") && graph_.node(reader).attributes.text("to", "") == "f32")
                    post = casting(Type::f32);
            } else if (reader >= 0) {
                post = unary_post_op(graph_, reader);
                if (!post)
                    post = binary_post_op(graph_, reader, made);
            }
            if (!post)
                return;
            const std::vector<PostOp> further = graph_.node(reader).post_ops;
            graph_.take_over(index, reader);
            graph_.change(index, [&](Node &node) {
                node.post_ops.push_back(*post);
                node.post_ops.insert(node.post_ops.end(), further.begin(), further.end());
            });
            changes_++;
        }
    }

    /// "" when the kernels take the node as it is.
    std::string try_integer_product(int index)
    {
        const Node &node = graph_.node(index);
        return node.post_ops.empty() ? "its sums are wanted as integers" : tried(node, -1);
    }

    int add_node(const char *name, const Node &of, std::vector<ValueId> inputs, ValueId output)
    {
        Node node;
        node.op = &op(name);
        node.name = of.name;
        node.inputs = std::move(inputs);
        node.outputs = {output};
        return graph_.add(std::move(node));
    }

    ValueId cast(const Node &of, ValueId from, Type to)
    {
        const ValueId made = add_value(graph_.value(from).name, to, graph_.value(from).shape);
        const int node = add_node("Cast", of, {from}, made);
        graph_.change(node, [&](Node &now) { now.attributes.set("to", std::string(to_string(to))); });
        return made;
    }

    /// The integers minus their zero point, as f32.
    ValueId shifted(const Node &of, size_t input, size_t zero_input)
    {
        const ValueId wide = cast(of, of.inputs[input], Type::f32);
        if (zero_input >= of.inputs.size() || of.inputs[zero_input] == no_value)
            return wide;
        const ValueId made = add_value(graph_.value(wide).name, Type::f32, graph_.value(wide).shape);
        add_node("Sub", of, {wide, cast(of, of.inputs[zero_input], Type::f32)}, made);
        return made;
    }

    bool one_number(const Node &node, size_t input) const
    {
        if (input >= node.inputs.size() || node.inputs[input] == no_value)
            return true;
        const auto &shape = graph_.value(node.inputs[input]).shape;
        return shape && is_static(*shape) && count_of(*shape) == 1;
    }

    /// Sums of integers are exact in f32 up to 2^24.
    void compute_with_floats(int index)
    {
        const Node old = graph_.node(index);
        if (!one_number(old, 2) || !one_number(old, 3))
            return;
        Node node = old;
        node.op = &op(old.op->name == "ConvInteger" ? "Conv" : "MatMul");
        node.inputs = {shifted(old, 0, 2), shifted(old, 1, 3)};
        if (!node.post_ops.empty())
            node.post_ops.erase(node.post_ops.begin());
        else
            node.outputs = {
                add_value(graph_.value(old.outputs[0]).name, Type::f32, graph_.value(old.outputs[0]).shape)};
        graph_.change(index, [&](Node &now) { now = node; });
        if (old.post_ops.empty()) {
            const int rounded = add_node("Cast", old, {node.outputs[0]}, old.outputs[0]);
            graph_.change(rounded, [&](Node &now) { now.attributes.set("to", std::string("s32")); });
        }
        changes_++;
    }

    /// The mean of dequantised integers becomes that of the integers, which it stands for.
    void average_integers(int index)
    {
        if (!graph_.is(index, "GlobalAveragePool") || !graph_.node(index).post_ops.empty())
            return;
        const auto from = dequantised(graph_, graph_.node(index).inputs[0]);
        const auto &shape = graph_.value(graph_.node(index).inputs[0]).shape;
        if (!from || !shape || shape->size() != 4 || (*shape)[1] < least_pixel_channels)
            return;
        graph_.change(index, [&](Node &node) {
            node.op = &op("GlobalAveragePoolInteger");
            node.inputs = {from->integers};
            if (from->grid.zero_point != 0)
                node.post_ops.push_back(binary("Add", number(static_cast<float>(-from->grid.zero_point))));
            node.post_ops.push_back(binary("Mul", number(from->grid.scale)));
        });
        quantise_at_end(index);
        changes_++;
    }

    /// Softmax along rows reads the integers that were dequantised for it, and makes those that are made of its result.
    void soften_integers(int index)
    {
        const Node &node = graph_.node(index);
        if (!graph_.is(index, "Softmax") || !node.post_ops.empty())
            return;
        const Value &read = graph_.value(node.inputs[0]);
        const int64_t axis = node.attributes.integer("axis", -1);
        if (read.type != Type::f32 || !read.shape || read.shape->empty() || read.shape->back() < most_lanes ||
            normal_axis(axis, read.shape->size()) != read.shape->size() - 1)
            return;
        if (const auto from = dequantised(graph_, node.inputs[0])) {
            const auto inputs = inputs_for(from->integers, from->grid);
            graph_.change(index, [&](Node &now) {
                now.op = &op("SoftmaxInteger");
                now.inputs = inputs;
            });
            changes_++;
        }
        quantise_at_end(index);
    }

    // Elementwise arithmetic

    /// The node as a post-op on what its input on that side is made of; nothing when it is none.
    std::optional<PostOp> chained(int index, size_t side) const
    {
        static constexpr std::array of_one{"Ceil", "Erf", "Floor", "Log", "Neg", "Reciprocal", "Round"};
        const Node &node = graph_.node(index);
        if (side == 0)
            if (const auto post = unary_post_op(graph_, index))
                return post;
        if (is_any(graph_, index, of_one))
            return PostOp{PostOp::Kind::unary, node.op, {}, no_value};
        if (graph_.is(index, "Pow"))
            return side == 0 && graph_.scalar(node.inputs[1]) == 2.f ? std::optional(binary("Mul", node.inputs[0]))
                                                                     : std::nullopt;
        const bool commutes = graph_.is(index, "Add") || graph_.is(index, "Mul");
        if (!is_any(graph_, index, of_two_numbers) || node.inputs.size() != 2 || (side == 1 && !commutes))
            return {};
        const ValueId operand = node.inputs[1 - side];
        const auto &shape = graph_.value(node.inputs[side]).shape, &made = graph_.value(node.outputs[0]).shape;
        if (graph_.value(operand).type != Type::f32 || !shape || shape != made || !is_static(*shape))
            return {};
        return PostOp{PostOp::Kind::binary, node.op, {}, operand};
    }

    /// q(dq(a)) of a dq that others read, too.
    void requantise(int index)
    {
        const auto grid = grid_of(graph_, index);
        const auto from = dequantised(graph_, graph_.node(index).inputs[0]);
        if (!grid || !from)
            return;
        const auto inputs = inputs_for(from->integers, from->grid);
        graph_.change(index, [&](Node &now) {
            now.op = &op("DequantizeLinear");
            now.attributes = {};
            now.inputs = inputs;
            now.post_ops = {quantising(*grid)};
        });
        changes_++;
    }

    /// The arithmetic on dequantised integers that makes the value and that nobody else reads: the DequantizeLinear
    /// with its post-ops, or one without, which others may read; -1 when there is none.
    int chain_before(ValueId id, int reader) const
    {
        const int maker = graph_.maker(id);
        if (dequantised(graph_, id))
            return maker;
        return graph_.is(maker, "DequantizeLinear") && !graph_.node(maker).post_ops.empty() &&
                       graph_.value(id).type == Type::f32 && computes_by_element(maker) &&
                       graph_.only_reader(id) == reader
                   ? maker
                   : -1;
    }

    /// f(dq(a), b) becomes one DequantizeLinear of a with f as its post-op, after those that the DequantizeLinear has.
    void become_chain(int index)
    {
        if (graph_.node(index).outputs.empty())
            return;
        if (graph_.is(index, "QuantizeLinear"))
            return requantise(index);
        for (ValueId id : Graph::reads(graph_.node(index)))
            fold_constant(graph_.maker(id));
        for (const bool longer : {true, false})
            for (size_t side = 0; side < std::min<size_t>(graph_.node(index).inputs.size(), 2); side++)
                if (continue_chain(index, side, longer))
                    return;
    }

    /// `longer`: only when the DequantizeLinear has post-ops already.
    bool continue_chain(int index, size_t side, bool longer)
    {
        const Node &node = graph_.node(index);
        const int before = chain_before(node.inputs[side], index);
        if (before < 0 || graph_.node(before).post_ops.empty() == longer)
            return false;
        const auto post = chained(index, side);
        if (!post || (longer && post->input == node.inputs[side]))
            return false;
        const Node start = graph_.node(before);
        std::vector<PostOp> all = start.post_ops;
        all.push_back(on_integers(*post));
        for (const PostOp &each : node.post_ops)
            all.push_back(on_integers(each));
        graph_.change(index, [&](Node &now) {
            now.op = &op("DequantizeLinear");
            now.attributes = {};
            now.inputs = start.inputs;
            now.post_ops = all;
        });
        if (graph_.readers(start.outputs[0]).empty() && !graph_.is_output(start.outputs[0]))
            graph_.remove(before);
        changes_++;
        return true;
    }

    // Functions of one 8-bit integer

    /// The number that a Lookup looks up, or the value itself.
    ValueId looked_up(ValueId id) const
    {
        const int maker = graph_.maker(id);
        return graph_.is(maker, "Lookup") ? graph_.node(maker).inputs[0] : id;
    }

    /// The one 8-bit value that element by element decides what the node makes; nothing when there are several.
    std::optional<ValueId> argument(const Node &node) const
    {
        const ValueId argument = looked_up(node.inputs[0]);
        for (ValueId id : Graph::reads(node)) {
            if (id == no_value)
                continue;
            const Tensor *constant = graph_.constant(id);
            if (constant ? constant->count() != 1 : looked_up(id) != argument)
                return {};
        }
        return argument;
    }

    /// All of what the value may be, by its argument.
    Tensor range_of(ValueId id, ValueId argument) const
    {
        if (const Tensor *constant = graph_.constant(id))
            return constant->reshaped({});
        if (id != argument)
            return *graph_.constant(graph_.node(graph_.maker(id)).inputs[1]);
        std::vector<int64_t> numbers(256);
        std::iota(numbers.begin(), numbers.end(), graph_.value(id).type == Type::u8 ? 0 : -128);
        return Tensor::of<int64_t>({256}, std::move(numbers)).converted(graph_.value(id).type);
    }

    /// f(x, g(x), …) of one 8-bit x, made 8-bit again, becomes a table.
    void become_lookup(int index)
    {
        if (!graph_.is(index, "DequantizeLinear") || !computes_by_element(index) ||
            !is_8_bit(graph_.value(graph_.node(index).outputs[0]).type))
            return;
        const Node node = graph_.node(index);
        const auto x = argument(node);
        const auto &shape = graph_.value(node.inputs[0]).shape;
        if (!x || !shape || shape != graph_.value(node.outputs[0]).shape || !is_static(*shape) ||
            count_of(*shape) < 256)
            return;
        std::vector<Tensor> inputs, operands;
        for (ValueId id : node.inputs)
            inputs.push_back(id == no_value ? Tensor() : range_of(id, *x));
        for (const PostOp &post : node.post_ops)
            if (post.kind == PostOp::Kind::binary)
                operands.push_back(range_of(post.input, *x));
        Tensor table;
        RunContext context(node, inputs, {&table, 1});
        run_reference(context, operands);
        const ValueId table_id = add_constant("table", table);
        graph_.change(index, [&](Node &now) {
            now.op = &op("Lookup");
            now.attributes = {};
            now.inputs = {*x, table_id};
            now.post_ops.clear();
        });
        changes_++;
    }

    /// Quantised constants that nobody reads as integers.
    void fold_constant(int index)
    {
        static constexpr std::array names{"Cast", "DequantizeLinear", "FakeQuantize"};
        if (index < 0 || !is_any(graph_, index, names))
            return;
        const Node &node = graph_.node(index);
        std::string form(node.op->name);
        std::vector<Tensor> inputs;
        for (ValueId id : node.inputs) {
            if (id != no_value && !graph_.constant(id))
                return;
            inputs.push_back(id == no_value ? Tensor() : *graph_.constant(id));
            form += ' ' + std::to_string(reinterpret_cast<uintptr_t>(inputs.back().raw()));
        }
        if (!node.post_ops.empty())
            return;
        graph_.graph().values[node.outputs[0]].constant = weights_.get(inputs[0], form, [&] {
            Tensor result;
            RunContext context(node, inputs, {&result, 1});
            run_reference(context, {});
            return result;
        });
        graph_.remove(index);
        changes_++;
    }
};

} // namespace

IntegerReport compute_in_integers(Graph &graph, Weights &weights, const Options &options, int threads)
{
    Integration integration(graph, weights, threads);
    IntegerReport report;
    const auto is_on = [&off = options.disabled_passes](const char *pass) {
        return std::find(off.begin(), off.end(), pass) == off.end();
    };
    if (is_on("compute_in_integers"))
        report = integration.run();
    else
        integration.fold_constants();
    if (integration.changes() > 0) {
        graph.tidy();
        infer_shapes(graph);
        graph.tidy();
        // Shuffles that QuantizeLinear and DequantizeLinear had interrupted.
        if (is_on("recognise_channel_shuffle") && recognise_channel_shuffle(graph) > 0) {
            graph.tidy();
            infer_shapes(graph);
        }
        graph.verify();
    }
    return report;
}

} // namespace leat::cpu
