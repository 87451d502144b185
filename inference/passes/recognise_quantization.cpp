#include "inference/passes.h"
#include "rewriter.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace leat {
namespace {

/// Scales and zero points, one of each or one for each index of an axis.
struct Grid {
    std::vector<float> scales;
    std::vector<int32_t> zeros;
    int64_t axis = 0;
    bool operator==(const Grid &) const = default;
};

/// The elements of a constant, seen through a Cast, as f32.
std::optional<Tensor> numbers(const Rewriter &graph, ValueId id)
{
    if (const Tensor *constant = graph.constant(id))
        return constant->converted(Type::f32);
    const int maker = graph.maker(id);
    if (!graph.is(maker, "Cast") || !graph.constant(graph.node(maker).inputs[0]))
        return {};
    return graph.constant(graph.node(maker).inputs[0])->converted(Type::f32);
}

/// The axis of data of that shape along which the constant differs; 0 when it is one number, nothing when it differs
/// along several.
std::optional<int64_t> axis_of(const Shape &constant, const Shape &data)
{
    if (constant.size() > data.size())
        return {};
    const size_t missing = data.size() - constant.size();
    std::optional<int64_t> axis;
    for (size_t i = 0; i < constant.size(); i++) {
        if (constant[i] == 1)
            continue;
        if (axis || constant[i] != data[i + missing])
            return {};
        axis = static_cast<int64_t>(i + missing);
    }
    return axis.value_or(0);
}

/// How far, in steps, zero may lie from a level. Limits are often rounded to f16, and then it lies some hundredths
/// away: to take the nearest level for it would shift every number the same way, which sums over large windows enlarge,
/// and change which numbers lie halfway between two levels.
constexpr float rounding = 0.0005f;

/// The nearest integer when the number is one but for that; nothing when it is none of 8 bits.
std::optional<int32_t> integer(float number, Type type)
{
    const float nearest = std::nearbyint(number), lowest = type == Type::u8 ? 0 : -128;
    if (!(std::abs(number - nearest) <= rounding) || nearest < lowest || nearest > lowest + 255)
        return {};
    return static_cast<int32_t>(nearest);
}

Tensor integers(const std::vector<int32_t> &values, Type type)
{
    const Shape shape = values.size() == 1 ? Shape{} : Shape{static_cast<int64_t>(values.size())};
    return Tensor::of<int32_t>(shape, values).converted(type);
}

class Recognition {
  public:
    explicit Recognition(Graph &graph) : graph_(graph) {}

    int run()
    {
        int changes = 0;
        for (int n = 0, end = graph_.nodes(); n < end; n++)
            changes +=
                scaled_integers(n) || fake_quantized_weights(n) || fake_quantized_data(n) || fake_quantized_channels(n);
        return changes;
    }

  private:
    Rewriter graph_;

    ValueId add_constant(const std::string &name, const Tensor &tensor)
    {
        Value value;
        value.name = name;
        value.type = tensor.type();
        value.shape = tensor.shape();
        value.constant = tensor;
        return graph_.add_value(std::move(value));
    }

    /// Scale and zero point as inputs of QuantizeLinear or DequantizeLinear behind `data`.
    std::vector<ValueId> inputs_for(ValueId data, const Grid &grid, Type type)
    {
        const Shape shape = grid.scales.size() == 1 ? Shape{} : Shape{static_cast<int64_t>(grid.scales.size())};
        return {data, add_constant("scale", Tensor::of<float>(shape, grid.scales)),
                add_constant("zero_point", integers(grid.zeros, type))};
    }

    void become_dequantization(int index, ValueId data, const Grid &grid)
    {
        const auto inputs = inputs_for(data, grid, graph_.value(data).type);
        graph_.change(index, [&](Node &node) {
            node.op = &op("DequantizeLinear");
            node.inputs = inputs;
            node.attributes = {};
            node.attributes.set("axis", grid.axis);
        });
    }

    /// Cast of constant integers, less a zero point or not, times a scale.
    bool scaled_integers(int index)
    {
        if (!graph_.is(index, "Mul") || !graph_.node(index).post_ops.empty() || !is_f32(graph_.node(index).outputs[0]))
            return false;
        const auto &factors = graph_.node(index).inputs;
        return scaled_integers(index, factors[0], factors[1]) || scaled_integers(index, factors[1], factors[0]);
    }

    bool is_f32(ValueId id) const { return graph_.value(id).type == Type::f32; }

    bool scaled_integers(int index, ValueId shifted, ValueId scale)
    {
        ValueId wide = shifted;
        std::optional<Tensor> zeros;
        if (const int sub = graph_.maker(shifted); graph_.is(sub, "Sub")) {
            wide = graph_.node(sub).inputs[0];
            zeros = numbers(graph_, graph_.node(sub).inputs[1]);
            if (!zeros)
                return false;
        }
        const int cast = graph_.maker(wide);
        const auto scales = numbers(graph_, scale);
        if (!graph_.is(cast, "Cast") || !scales)
            return false;
        const ValueId data = graph_.node(cast).inputs[0];
        const Tensor *constant = graph_.constant(data);
        if (!constant || !is_8_bit(constant->type()) ||
            graph_.value(graph_.node(index).outputs[0]).shape != constant->shape())
            return false;
        const auto grid = grid_of(*constant, *scales, zeros);
        if (!grid)
            return false;
        become_dequantization(index, data, *grid);
        return true;
    }

    static std::optional<Grid> grid_of(const Tensor &data, const Tensor &scales, const std::optional<Tensor> &zeros)
    {
        const auto axis = axis_of(scales.shape(), data.shape());
        const auto zero_axis = zeros ? axis_of(zeros->shape(), data.shape()) : axis;
        const size_t many = std::max(scales.count(), zeros ? zeros->count() : 1);
        if (!axis || !zero_axis || (scales.count() > 1 && zeros && zeros->count() > 1 && axis != zero_axis))
            return {};
        Grid grid{{}, {}, scales.count() > 1 ? *axis : *zero_axis};
        for (size_t i = 0; i < many; i++) {
            const float zero = zeros ? zeros->data<float>()[zeros->count() > 1 ? i : 0] : 0;
            const auto nearest = integer(zero, data.type());
            if (!nearest)
                return {};
            grid.scales.push_back(scales.data<float>()[scales.count() > 1 ? i : 0]);
            grid.zeros.push_back(*nearest);
        }
        return grid;
    }

    /// Limits of a FakeQuantize, as f32.
    struct Limits {
        Tensor in_low, in_high, out_low, out_high;
    };

    std::optional<Limits> limits_of(int index) const
    {
        const Node &node = graph_.node(index);
        std::vector<Tensor> found;
        for (size_t i = 1; i < 5; i++) {
            auto limit = numbers(graph_, node.inputs[i]);
            if (!limit)
                return {};
            found.push_back(*limit);
        }
        return Limits{found[0], found[1], found[2], found[3]};
    }

    static int64_t levels_of(const Node &node) { return node.attributes.integer("levels", 0); }

    bool is_fake_quantize(int index) const
    {
        return graph_.is(index, "FakeQuantize") && graph_.node(index).post_ops.empty() &&
               is_f32(graph_.node(index).outputs[0]) &&
               (levels_of(graph_.node(index)) == 256 || levels_of(graph_.node(index)) == 255);
    }

    /// Steps between `low` and `high`, the lowest of which has the integer `first`; nothing when no integer is zero.
    static std::optional<Grid> grid_between(const Tensor &low, const Tensor &high, int64_t levels, int32_t first,
                                            Type type)
    {
        Grid grid;
        const size_t many = std::max(low.count(), high.count());
        for (size_t i = 0; i < many; i++) {
            const float from = low.data<float>()[low.count() > 1 ? i : 0];
            const float scale = (high.data<float>()[high.count() > 1 ? i : 0] - from) / static_cast<float>(levels - 1);
            const auto zero = integer(static_cast<float>(first) - from / scale, type);
            if (!std::isnormal(scale) || scale < 0 || !zero)
                return {};
            grid.scales.push_back(scale);
            grid.zeros.push_back(*zero);
        }
        return grid;
    }

    /// FakeQuantize of a constant is DequantizeLinear of its integers.
    bool fake_quantized_weights(int index)
    {
        if (!is_fake_quantize(index))
            return false;
        const Node node = graph_.node(index);
        const auto data = numbers(graph_, node.inputs[0]);
        const auto limits = limits_of(index);
        if (!data || !limits)
            return false;
        const int32_t first = levels_of(node) == 255 ? -127 : -128;
        auto grid = grid_between(limits->out_low, limits->out_high, levels_of(node), first, Type::s8);
        const auto axis = axis_of(limits->out_low.shape(), data->shape());
        if (!grid || !axis || limits->out_low.shape() != limits->out_high.shape())
            return false;
        grid->axis = *axis;
        const ValueId made = add_constant(graph_.value(node.inputs[0]).name, integers_of(node, *data, *limits, first));
        become_dequantization(index, made, *grid);
        return true;
    }

    /// The levels that the elements fall on, found by giving them the numbers of the integers as limits.
    static Tensor integers_of(const Node &node, const Tensor &data, const Limits &limits, int32_t first)
    {
        const auto last = static_cast<float>(first + levels_of(node) - 1);
        const std::vector<Tensor> inputs{data, limits.in_low, limits.in_high,
                                         Tensor::of<float>({}, {static_cast<float>(first)}),
                                         Tensor::of<float>({}, {last})};
        Tensor result;
        RunContext context(node, inputs, {&result, 1});
        node.op->reference(context);
        for (float &each : result.values<float>())
            each = std::nearbyint(each);
        return result.converted(Type::s8);
    }

    /// FakeQuantize of computed data is QuantizeLinear and DequantizeLinear, after a Clip where there are 255 levels.
    /// Where zero is none of the levels, the lower limit is taken away before and added after.
    bool fake_quantized_data(int index)
    {
        if (!is_fake_quantize(index))
            return false;
        const Node node = graph_.node(index);
        const auto limits = limits_of(index);
        if (!limits || !is_range(limits->in_low, limits->in_high) || !is_range(limits->out_low, limits->out_high))
            return false;
        auto in = grid_between(limits->in_low, limits->in_high, levels_of(node), 0, Type::u8);
        auto out = grid_between(limits->out_low, limits->out_high, levels_of(node), 0, Type::u8);
        // Limits written twice in other precisions are still the same grid.
        if (in && out && out->zeros == in->zeros && std::abs(out->scales[0] / in->scales[0] - 1) < 1e-5f)
            out = in;
        ValueId data = node.inputs[0];
        if (levels_of(node) == 255)
            data = add_node("Clip", node, {data, scalar(limits->in_low), scalar(limits->in_high)}, Type::f32);
        if (!in) {
            in = shifted_grid(limits->in_low, limits->in_high, levels_of(node));
            const Tensor up = Tensor::of<float>({}, {-limits->in_low.data<float>()[0]});
            data = add_node("Add", node, {data, scalar(up)}, Type::f32);
        }
        const ValueId integers = add_node("QuantizeLinear", node, inputs_for(data, *in, Type::u8), Type::u8);
        if (out) {
            become_dequantization(index, integers, *out);
            return true;
        }
        out = shifted_grid(limits->out_low, limits->out_high, levels_of(node));
        const ValueId wide = add_node("DequantizeLinear", node, inputs_for(integers, *out, Type::u8), Type::f32);
        const ValueId low = scalar(limits->out_low);
        graph_.change(index, [&](Node &now) {
            now.op = &op("Add");
            now.inputs = {wide, low};
            now.attributes = {};
        });
        return true;
    }

    /// Steps above the lower limit.
    static Grid shifted_grid(const Tensor &low, const Tensor &high, int64_t levels)
    {
        return {{(high.data<float>()[0] - low.data<float>()[0]) / static_cast<float>(levels - 1)}, {0}};
    }

    static bool is_range(const Tensor &low, const Tensor &high)
    {
        return low.count() == 1 && high.count() == 1 && low.data<float>()[0] < high.data<float>()[0] &&
               std::isnormal(high.data<float>()[0] - low.data<float>()[0]);
    }

    /// FakeQuantize with a range for each channel: data that is scaled so that all channels have the same levels.
    bool fake_quantized_channels(int index)
    {
        if (!is_fake_quantize(index) || levels_of(graph_.node(index)) != 256)
            return false;
        const Node node = graph_.node(index);
        const auto limits = limits_of(index);
        const auto &shape = graph_.value(node.outputs[0]).shape;
        if (!limits || !shape || shape->size() < 2 || !is_static(*shape) ||
            !same_ranges_from_zero(*limits, by_channel(*shape)))
            return false;
        Tensor down(Type::f32, by_channel(*shape)), up(Type::f32, by_channel(*shape));
        for (size_t c = 0; c < down.count(); c++) {
            up.data<float>()[c] = limits->in_high.data<float>()[c] / 255;
            down.data<float>()[c] = 255 / limits->in_high.data<float>()[c];
        }
        const Grid whole{{1}, {0}};
        const ValueId scaled = add_node("Mul", node, {node.inputs[0], add_constant("scale", down)}, Type::f32);
        const ValueId integers = add_node("QuantizeLinear", node, inputs_for(scaled, whole, Type::u8), Type::u8);
        const ValueId wide = add_node("DequantizeLinear", node, inputs_for(integers, whole, Type::u8), Type::f32);
        const ValueId scale = add_constant("scale", up);
        graph_.change(index, [&](Node &now) {
            now.op = &op("Mul");
            now.inputs = {wide, scale};
            now.attributes = {};
        });
        return true;
    }

    /// One number for each index of axis 1.
    static Shape by_channel(const Shape &data)
    {
        Shape shape(data.size(), 1);
        shape[1] = data[1];
        return shape;
    }

    static bool same_ranges_from_zero(const Limits &limits, const Shape &channels)
    {
        const auto zero = [](float number) { return number == 0; };
        const auto values = [](const Tensor &t) { return std::span(t.data<float>(), t.count()); };
        const auto ins = values(limits.in_high), outs = values(limits.out_high);
        return limits.in_high.shape() == channels && limits.out_high.shape() == channels &&
               std::all_of(ins.begin(), ins.end(), [](float high) { return std::isnormal(high) && high > 0; }) &&
               std::equal(ins.begin(), ins.end(), outs.begin()) && std::ranges::all_of(values(limits.in_low), zero) &&
               std::ranges::all_of(values(limits.out_low), zero);
    }

    ValueId scalar(const Tensor &number) { return add_constant("limit", number.reshaped({})); }

    ValueId add_node(const char *name, const Node &of, std::vector<ValueId> inputs, Type type)
    {
        Value value;
        value.name = of.name;
        value.type = type;
        value.shape = graph_.value(of.outputs[0]).shape;
        Node node;
        node.op = &op(name);
        node.name = of.name;
        node.inputs = std::move(inputs);
        node.outputs = {graph_.add_value(std::move(value))};
        return graph_.node(graph_.add(std::move(node))).outputs[0];
    }
};

} // namespace

int recognise_quantization(Graph &graph)
{
    return Recognition(graph).run();
}

} // namespace leat
