#include "inference/ops/walk.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace leat {
namespace {

using Sizes = std::vector<int64_t>;

Shape unknown_of_rank(size_t rank)
{
    return Shape(rank, -1);
}

/// A shape of as many unknown sizes as that input has elements.
std::optional<Shape> unknown_of_length(const ShapeContext &context, size_t input)
{
    const auto length = length_of(context, input);
    return length ? std::optional(unknown_of_rank(*length)) : std::nullopt;
}

/// Product of the sizes of axes [first, last); -1 when one is unknown.
int64_t known_product(const Shape &shape, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        if (shape[i] < 0)
            return -1;
    return count_between(shape, first, last);
}

void check_sizes(const Sizes &sizes)
{
    for (int64_t size : sizes)
        if (size < 0)
            throw Error("the size " + std::to_string(size) + " is negative");
}

// Shape, Size

/// The axes [first, second) that attributes start and end select.
std::pair<size_t, size_t> selected_axes(const Attributes &attributes, size_t rank)
{
    const auto r = static_cast<int64_t>(rank);
    auto clamped = [&](int64_t axis) { return std::clamp<int64_t>(axis < 0 ? axis + r : axis, 0, r); };
    const int64_t start = clamped(attributes.integer("start", 0)), end = clamped(attributes.integer("end", r));
    return {static_cast<size_t>(start), static_cast<size_t>(std::max(start, end))};
}

void shape_rule(ShapeContext &context)
{
    Shape length{-1};
    if (const auto &shape = context.shape(0)) {
        const auto [first, last] = selected_axes(context.attributes(), shape->size());
        length = {static_cast<int64_t>(last - first)};
    }
    context.output(0, Type::s64, length);
}

void shape(RunContext &context)
{
    const Shape &sizes = context.inputs[0].shape();
    const auto [first, last] = selected_axes(context.node.attributes, sizes.size());
    Tensor &result = context.output(0, Type::s64, {static_cast<int64_t>(last - first)});
    for (size_t i = first; i < last; i++)
        result.data<int64_t>()[i - first] = sizes[i];
}

void size_rule(ShapeContext &context)
{
    context.output(0, Type::s64, Shape());
}

void size(RunContext &context)
{
    context.output(0, Type::s64, {}).data<int64_t>()[0] = static_cast<int64_t>(context.inputs[0].count());
}

// Reshape, Flatten, Squeeze, Unsqueeze

/// `target` with its 0 (unless allow_zero) and -1 worked out as far as `from` is known.
Shape reshaped(const std::optional<Shape> &from, const Sizes &target, bool allow_zero)
{
    Shape result = target;
    std::vector<bool> copied(target.size(), false);
    std::optional<size_t> open;
    for (size_t i = 0; i < target.size(); i++) {
        if (target[i] < -1)
            throw Error("the size " + std::to_string(target[i]) + " is negative");
        if (target[i] == -1) {
            if (open)
                throw Error("more than one size is -1");
            open = i;
        }
        if (target[i] == 0 && !allow_zero) {
            if (from && i >= from->size())
                throw Error("size " + std::to_string(i) + " is to be copied from " + to_string(*from) +
                            ", which has no such axis");
            result[i] = from ? (*from)[i] : -1;
            copied[i] = true;
        }
    }
    if (!from)
        return result;
    // Sizes that are copied stand on both sides and need not be known.
    Shape left, right;
    for (size_t i = 0; i < from->size(); i++)
        if (i >= copied.size() || !copied[i])
            left.push_back((*from)[i]);
    for (size_t i = 0; i < target.size(); i++)
        if (!copied[i] && i != open)
            right.push_back(result[i]);
    if (!is_static(left))
        return result;
    const int64_t have = count_of(left), want = count_of(right);
    if (open && want > 0 && have % want == 0)
        result[*open] = have / want;
    else if (open || have != want)
        throw Error("a tensor of shape " + to_string(*from) + " cannot take the shape " + to_string(target));
    return result;
}

void reshape_rule(ShapeContext &context)
{
    const bool allow_zero = context.attributes().integer("allowzero", 0) != 0;
    const auto target = constant_integers(context, 1);
    context.output(0, context.type(0),
                   target ? reshaped(context.shape(0), *target, allow_zero) : unknown_of_length(context, 1));
}

void reshape(RunContext &context)
{
    const bool allow_zero = context.node.attributes.integer("allowzero", 0) != 0;
    const Tensor &x = context.inputs[0];
    copy_to_output(context, 0, x.reshaped(reshaped(x.shape(), integers(context, 1), allow_zero)));
}

Shape flattened(const Shape &from, int64_t axis)
{
    const auto rank = static_cast<int64_t>(from.size());
    if (axis < -rank || axis > rank)
        throw Error("axis " + std::to_string(axis) + " is outside of a tensor of rank " + std::to_string(rank));
    const auto middle = static_cast<size_t>(axis < 0 ? axis + rank : axis);
    return {known_product(from, 0, middle), known_product(from, middle, from.size())};
}

void flatten_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    context.output(0, context.type(0),
                   from ? flattened(*from, context.attributes().integer("axis", 1)) : unknown_of_rank(2));
}

void flatten(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    copy_to_output(context, 0, x.reshaped(flattened(x.shape(), context.node.attributes.integer("axis", 1))));
}

Shape squeezed(const Shape &from, const std::optional<Sizes> &axes)
{
    std::vector<bool> drop(from.size(), false);
    if (!axes) {
        for (size_t i = 0; i < from.size(); i++)
            drop[i] = from[i] == 1;
    } else {
        for (size_t axis : normal_axes(*axes, from.size())) {
            if (from[axis] != 1 && from[axis] != -1)
                throw Error("axis " + std::to_string(axis) + " of " + to_string(from) + " has not the size 1");
            drop[axis] = true;
        }
    }
    Shape result;
    for (size_t i = 0; i < from.size(); i++)
        if (!drop[i])
            result.push_back(from[i]);
    return result;
}

void squeeze_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    const auto axes = constant_integers(context, 1);
    std::optional<Shape> result;
    if (from && (context.has(1) ? axes.has_value() : is_static(*from)))
        result = squeezed(*from, axes);
    context.output(0, context.type(0), result);
}

void squeeze(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    std::optional<Sizes> axes;
    if (context.has(1))
        axes = integers(context, 1);
    copy_to_output(context, 0, x.reshaped(squeezed(x.shape(), axes)));
}

Shape unsqueezed(const Shape &from, const Sizes &axes)
{
    Shape result(from.size() + axes.size(), 0);
    for (size_t axis : normal_axes(axes, result.size()))
        result[axis] = 1;
    auto next = from.begin();
    for (int64_t &size_here : result)
        if (size_here == 0)
            size_here = *next++;
    return result;
}

void unsqueeze_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    const auto axes = constant_integers(context, 1);
    const auto more = length_of(context, 1);
    std::optional<Shape> result;
    if (from && axes)
        result = unsqueezed(*from, *axes);
    else if (from && more)
        result = unknown_of_rank(from->size() + *more);
    context.output(0, context.type(0), result);
}

void unsqueeze(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    copy_to_output(context, 0, x.reshaped(unsqueezed(x.shape(), integers(context, 1))));
}

// Transpose

std::vector<size_t> permutation(const Attributes &attributes, size_t rank)
{
    Sizes order = attributes.integers("perm");
    if (!attributes.has("perm"))
        for (size_t i = rank; i-- > 0;)
            order.push_back(static_cast<int64_t>(i));
    if (order.size() != rank)
        throw Error("perm has " + std::to_string(order.size()) + " numbers, want " + std::to_string(rank));
    return normal_axes(order, rank);
}

void transpose_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    std::optional<Shape> result;
    if (from) {
        result.emplace();
        for (size_t axis : permutation(context.attributes(), from->size()))
            result->push_back((*from)[axis]);
    } else if (context.attributes().has("perm")) {
        result = unknown_of_rank(context.attributes().integers("perm").size());
    }
    context.output(0, context.type(0), result);
}

void transpose(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    const Shape dense = strides_of(x.shape());
    Shape shape, strides;
    for (size_t axis : permutation(context.node.attributes, x.rank())) {
        shape.push_back(x.dim(axis));
        strides.push_back(dense[axis]);
    }
    copy_elements(x, context.output(0, x.type(), shape), shape, {strides, strides_of(shape)});
}

// Concat

int64_t concat_axis(const Attributes &attributes)
{
    if (!attributes.has("axis"))
        throw Error("the attribute axis is missing");
    return attributes.integer("axis", 0);
}

Shape concatenated(const std::vector<Shape> &shapes, int64_t axis)
{
    if (shapes[0].empty())
        throw Error("a scalar has no axis; want tensors of rank 1 or more");
    const size_t along = normal_axis(axis, shapes[0].size());
    Shape result = shapes[0];
    for (size_t n = 1; n < shapes.size(); n++) {
        if (shapes[n].size() != result.size())
            throw Error("the shapes " + to_string(shapes[0]) + " and " + to_string(shapes[n]) + " differ in rank");
        for (size_t i = 0; i < result.size(); i++)
            if (i == along)
                result[i] = result[i] < 0 || shapes[n][i] < 0 ? -1 : result[i] + shapes[n][i];
            else if (result[i] < 0)
                result[i] = shapes[n][i];
            else if (shapes[n][i] >= 0 && shapes[n][i] != result[i])
                throw Error("the shapes " + to_string(shapes[0]) + " and " + to_string(shapes[n]) + " differ in axis " +
                            std::to_string(i));
    }
    return result;
}

void concat_rule(ShapeContext &context)
{
    std::optional<Shape> known;
    std::vector<Shape> shapes;
    for (size_t i = 0; i < context.inputs(); i++) {
        want_same_type(context, 0, i);
        if (context.shape(i))
            known = context.shape(i);
    }
    const int64_t axis = concat_axis(context.attributes());
    if (known) {
        for (size_t i = 0; i < context.inputs(); i++)
            shapes.push_back(context.shape(i) ? *context.shape(i) : unknown_of_rank(known->size()));
        known = concatenated(shapes, axis);
    }
    context.output(0, context.type(0), known);
}

void concat(RunContext &context)
{
    std::vector<Shape> shapes;
    for (const Tensor &input : context.inputs) {
        if (input.type() != context.inputs[0].type())
            throw Error("the inputs have different element types");
        shapes.push_back(input.shape());
    }
    const int64_t axis = concat_axis(context.node.attributes);
    const Shape shape = concatenated(shapes, axis);
    const size_t along = normal_axis(axis, shape.size());
    Tensor &result = context.output(0, context.inputs[0].type(), shape);
    const Shape strides = strides_of(shape);
    int64_t position = 0;
    for (const Tensor &input : context.inputs) {
        copy_elements(input, result, input.shape(), {strides_of(input.shape()), strides},
                      {0, position * strides[along]});
        position += input.dim(along);
    }
}

// Interleave: element i of input j along the axis becomes element i * inputs + j

/// For inputs of that shape.
Shape interleaved(Shape shape, const Attributes &attributes, size_t inputs)
{
    const size_t along = normal_axis(concat_axis(attributes), shape.size());
    if (shape[along] >= 0)
        shape[along] = count_of({shape[along], static_cast<int64_t>(inputs)});
    return shape;
}

void interleave_rule(ShapeContext &context)
{
    std::optional<Shape> common;
    for (size_t i = 0; i < context.inputs(); i++) {
        want_same_type(context, 0, i);
        const auto &shape = context.shape(i);
        if (!shape)
            continue;
        if (!common)
            common = shape;
        bool differ = shape->size() != common->size();
        for (size_t axis = 0; axis < shape->size() && !differ; axis++) {
            int64_t &known = (*common)[axis];
            differ = known >= 0 && (*shape)[axis] >= 0 && known != (*shape)[axis];
            known = differ ? known : std::max(known, (*shape)[axis]);
        }
        if (differ)
            throw Error("the shapes " + to_string(*common) + " and " + to_string(*shape) + " differ");
    }
    if (common)
        common = interleaved(*common, context.attributes(), context.inputs());
    context.output(0, context.type(0), common);
}

void interleave(RunContext &context)
{
    const Tensor &first = context.inputs[0];
    const Shape shape = interleaved(first.shape(), context.node.attributes, context.inputs.size());
    const size_t along = normal_axis(concat_axis(context.node.attributes), shape.size());
    Tensor &result = context.output(0, first.type(), shape);
    Shape strides = strides_of(shape);
    const int64_t step = std::exchange(strides[along], strides[along] * static_cast<int64_t>(context.inputs.size()));
    int64_t offset = 0;
    for (const Tensor &input : context.inputs) {
        if (input.type() != first.type() || input.shape() != first.shape())
            throw Error("the inputs have different element types or shapes");
        copy_elements(input, result, input.shape(), {strides_of(input.shape()), strides}, {0, offset});
        offset += step;
    }
}

// Split

/// Sizes of the parts: as given, or as equal as can be, the last one smaller.
Sizes parts(const std::optional<Sizes> &given, size_t count, int64_t size)
{
    if (!given) {
        const auto n = static_cast<int64_t>(count);
        const int64_t each = size / n + (size % n != 0);
        Sizes result;
        for (int64_t i = 0; i < n; i++)
            result.push_back(std::clamp<int64_t>(size - i * each, 0, each));
        return result;
    }
    check_sizes(*given);
    int64_t sum = 0;
    for (int64_t part : *given)
        if (__builtin_add_overflow(sum, part, &sum))
            throw Error("the sizes in split are too large");
    if (given->size() != count)
        throw Error("split has " + std::to_string(given->size()) + " sizes for " + std::to_string(count) + " outputs");
    if (sum != size)
        throw Error("the sizes in split add up to " + std::to_string(sum) + ", want " + std::to_string(size));
    return *given;
}

void split_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    const auto given = constant_integers(context, 1);
    if (!from) {
        for (size_t i = 0; i < context.outputs(); i++)
            context.output(i, context.type(0), {});
        return;
    }
    const size_t axis = axis_attribute(context.attributes(), "axis", 0, from->size());
    Sizes sizes(context.outputs(), -1);
    if ((*from)[axis] >= 0 && (given || !context.has(1)))
        sizes = parts(given, context.outputs(), (*from)[axis]);
    else if (given && given->size() == sizes.size())
        sizes = *given;
    for (size_t i = 0; i < context.outputs(); i++) {
        Shape shape = *from;
        shape[axis] = sizes[i];
        context.output(i, context.type(0), shape);
    }
}

void split(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    const size_t axis = axis_attribute(context.node.attributes, "axis", 0, x.rank());
    std::optional<Sizes> given;
    if (context.has(1))
        given = integers(context, 1);
    const Shape strides = strides_of(x.shape());
    int64_t position = 0;
    const Sizes sizes = parts(given, context.outputs(), x.dim(axis));
    for (size_t i = 0; i < sizes.size(); i++) {
        Shape shape = x.shape();
        shape[axis] = sizes[i];
        if (context.wants(i))
            copy_elements(x, context.output(i, x.type(), shape), shape, {strides, strides_of(shape)},
                          {position * strides[axis], 0});
        position += sizes[i];
    }
}

// Slice

struct Range {
    int64_t start = 0, step = 1, count = 0;
};

/// What start, end and step mean on an axis of that size: both ends are clamped into it.
Range range_on_axis(int64_t start, int64_t end, int64_t step, int64_t size)
{
    if (step == 0)
        throw Error("a step is 0");
    const int64_t longest = std::max<int64_t>(size, 1);
    step = std::clamp(step, -longest, longest);
    const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    start = std::clamp(start < 0 ? start + size : start, step > 0 ? 0 : std::min<int64_t>(0, high), high);
    end = std::clamp(end < 0 ? end + size : end, low, high);
    const int64_t distance = step > 0 ? end - start : start - end;
    return {start, step, distance <= 0 ? 0 : (distance - 1) / std::abs(step) + 1};
}

struct SliceArguments {
    Sizes starts, ends;
    std::optional<Sizes> axes, steps;
};

std::vector<Range> ranges(const Shape &from, const SliceArguments &arguments)
{
    std::vector<Range> result;
    for (int64_t size_here : from)
        result.push_back({0, 1, size_here});
    const size_t count = arguments.starts.size();
    if (arguments.ends.size() != count || (arguments.axes && arguments.axes->size() != count) ||
        (arguments.steps && arguments.steps->size() != count))
        throw Error("starts, ends, axes and steps differ in length");
    Sizes axes;
    for (size_t i = 0; i < count; i++)
        axes.push_back(arguments.axes ? (*arguments.axes)[i] : static_cast<int64_t>(i));
    const auto normal = normal_axes(axes, from.size());
    for (size_t i = 0; i < normal.size(); i++) {
        const int64_t size_here = from[normal[i]];
        const int64_t step = arguments.steps ? (*arguments.steps)[i] : 1;
        result[normal[i]] =
            size_here < 0 ? Range{0, 1, -1} : range_on_axis(arguments.starts[i], arguments.ends[i], step, size_here);
    }
    return result;
}

void slice_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    const auto starts = constant_integers(context, 1), ends = constant_integers(context, 2),
               axes = constant_integers(context, 3), steps = constant_integers(context, 4);
    std::optional<Shape> result;
    if (from && starts && ends && axes.has_value() == context.has(3) && steps.has_value() == context.has(4)) {
        result.emplace();
        for (const Range &range : ranges(*from, {*starts, *ends, axes, steps}))
            result->push_back(range.count);
    } else if (from) {
        result = from;
        if (axes)
            for (size_t axis : normal_axes(*axes, from->size()))
                (*result)[axis] = -1;
        else
            result = unknown_of_rank(from->size());
    }
    context.output(0, context.type(0), result);
}

void slice(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    SliceArguments arguments{integers(context, 1), integers(context, 2), {}, {}};
    if (context.has(3))
        arguments.axes = integers(context, 3);
    if (context.has(4))
        arguments.steps = integers(context, 4);
    Shape shape, strides = strides_of(x.shape());
    int64_t offset = 0;
    const auto taken = ranges(x.shape(), arguments);
    for (size_t i = 0; i < taken.size(); i++) {
        shape.push_back(taken[i].count);
        offset += taken[i].start * strides[i];
        strides[i] *= taken[i].step;
    }
    copy_elements(x, context.output(0, x.type(), shape), shape, {strides, strides_of(shape)}, {offset, 0});
}

// Pad

struct Padding {
    int64_t before = 0, after = 0;
};

std::vector<Padding> paddings(size_t rank, const Sizes &pads, const std::optional<Sizes> &axes)
{
    std::vector<size_t> where(rank);
    for (size_t i = 0; i < rank; i++)
        where[i] = i;
    if (axes)
        where = normal_axes(*axes, rank);
    if (pads.size() != 2 * where.size())
        throw Error("pads has " + std::to_string(pads.size()) + " numbers, want " + std::to_string(2 * where.size()));
    constexpr int64_t limit = int64_t(1) << 40;
    std::vector<Padding> result(rank);
    for (size_t i = 0; i < where.size(); i++) {
        result[where[i]] = {pads[i], pads[i + where.size()]};
        if (std::abs(std::clamp(pads[i], -limit, limit)) == limit ||
            std::abs(std::clamp(pads[i + where.size()], -limit, limit)) == limit)
            throw Error("a pad is larger than any tensor");
    }
    return result;
}

int64_t padded(int64_t size_here, const Padding &padding)
{
    const int64_t result = size_here + padding.before + padding.after;
    if (result < 0)
        throw Error("the pads cut off more than the size " + std::to_string(size_here));
    return result;
}

void pad_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    want_same_type(context, 0, 2);
    const auto pads = constant_integers(context, 1), axes = constant_integers(context, 3);
    std::optional<Shape> result;
    if (from && pads && axes.has_value() == context.has(3)) {
        const auto by = paddings(from->size(), *pads, axes);
        result = from;
        for (size_t i = 0; i < from->size(); i++)
            if ((*from)[i] >= 0)
                (*result)[i] = padded((*from)[i], by[i]);
    } else if (from) {
        result = unknown_of_rank(from->size());
    }
    context.output(0, context.type(0), result);
}

int64_t modulo(int64_t value, int64_t by)
{
    const int64_t rest = value % by;
    return rest < 0 ? rest + by : rest;
}

/// For each index of the padded axis the index that it shows; -1 for the constant.
Sizes shown_indices(const std::string &mode, int64_t size_here, const Padding &padding)
{
    Sizes result(static_cast<size_t>(padded(size_here, padding)));
    const bool constant = mode == "constant";
    if (!constant && size_here == 0 && !result.empty())
        throw Error("an axis of size 0 cannot be padded in the mode " + mode);
    for (size_t i = 0; i < result.size(); i++) {
        const int64_t at = static_cast<int64_t>(i) - padding.before;
        if (constant) {
            result[i] = at >= 0 && at < size_here ? at : -1;
        } else if (mode == "edge") {
            result[i] = std::clamp<int64_t>(at, 0, size_here - 1);
        } else if (mode == "wrap") {
            result[i] = modulo(at, size_here);
        } else if (mode == "reflect") {
            const int64_t period = std::max<int64_t>(2 * (size_here - 1), 1);
            result[i] = std::min(modulo(at, period), modulo(-at, period));
        } else {
            throw Error("there is no mode \"" + mode + "\"; want constant, edge, reflect or wrap");
        }
    }
    return result;
}

/// Each output element is the input's element at the indices shown on each axis, or the constant where one is -1.
template <class T> void pad_elements(const Tensor &x, Tensor &result, const std::vector<Sizes> &shown, T constant)
{
    if (result.count() == 0)
        return;
    const size_t rank = x.rank();
    const Shape strides = strides_of(x.shape());
    const Sizes last = rank ? shown[rank - 1] : Sizes{0};
    std::vector<size_t> index(rank, 0);
    T *out = result.data<T>();
    for (T *const end = out + result.count(); out != end; out += last.size()) {
        int64_t offset = 0;
        bool inside = true;
        for (size_t a = 0; a + 1 < rank; a++) {
            inside = inside && shown[a][index[a]] >= 0;
            offset += shown[a][index[a]] * strides[a];
        }
        for (size_t i = 0; i < last.size(); i++)
            out[i] = inside && last[i] >= 0 ? x.data<T>()[offset + last[i]] : constant;
        for (size_t a = rank; a-- > 1;) {
            if (++index[a - 1] < shown[a - 1].size())
                break;
            index[a - 1] = 0;
        }
    }
}

void pad(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    std::optional<Sizes> axes;
    if (context.has(3))
        axes = integers(context, 3);
    if (context.has(2) && (context.inputs[2].type() != x.type() || context.inputs[2].count() != 1))
        throw Error("constant_value is not one element of the input's type");
    const auto by = paddings(x.rank(), integers(context, 1), axes);
    const std::string mode = context.node.attributes.text("mode", "constant");
    std::vector<Sizes> shown;
    Shape shape;
    for (size_t i = 0; i < x.rank(); i++)
        shape.push_back(padded(x.dim(i), by[i]));
    Tensor &result = context.output(0, x.type(), shape);
    for (size_t i = 0; i < x.rank(); i++)
        shown.push_back(shown_indices(mode, x.dim(i), by[i]));
    visit_width(x.type(), [&]<class T>() {
        pad_elements<T>(x, result, shown, context.has(2) ? context.inputs[2].data<T>()[0] : T(0));
    });
}

// Expand, Tile, ConstantOfShape

void expand_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    const auto target = constant_integers(context, 1);
    const auto rank = length_of(context, 1);
    std::optional<Shape> result;
    if (from && target) {
        check_sizes(*target);
        result = broadcast(*from, *target);
    } else if (from && rank) {
        result = unknown_of_rank(std::max(from->size(), *rank));
    }
    context.output(0, context.type(0), result);
}

void expand(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    const Sizes target = integers(context, 1);
    check_sizes(target);
    const Shape shape = broadcast(x.shape(), target);
    copy_elements(x, context.output(0, x.type(), shape), shape,
                  {broadcast_strides(x.shape(), shape), strides_of(shape)});
}

Shape tiled(const Shape &from, const Sizes &repeats)
{
    check_sizes(repeats);
    if (repeats.size() != from.size())
        throw Error("repeats has " + std::to_string(repeats.size()) + " numbers, want " + std::to_string(from.size()));
    Shape result = from;
    for (size_t i = 0; i < from.size(); i++)
        if (from[i] >= 0)
            result[i] = count_of({from[i], repeats[i]});
    return result;
}

void tile_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    const auto repeats = constant_integers(context, 1);
    std::optional<Shape> result;
    if (from)
        result = repeats ? tiled(*from, *repeats) : unknown_of_rank(from->size());
    context.output(0, context.type(0), result);
}

void tile(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    const Sizes repeats = integers(context, 1);
    const Shape shape = tiled(x.shape(), repeats);
    Tensor &result = context.output(0, x.type(), shape);
    // Each axis counts as two: the repetition and the place in the tensor.
    Shape pairs, from, to;
    const Shape x_strides = strides_of(x.shape()), strides = strides_of(shape);
    for (size_t i = 0; i < x.rank(); i++) {
        pairs.insert(pairs.end(), {repeats[i], x.dim(i)});
        from.insert(from.end(), {0, x_strides[i]});
        to.insert(to.end(), {x.dim(i) * strides[i], strides[i]});
    }
    copy_elements(x, result, pairs, {from, to});
}

/// The attribute `value`: a tensor of one element; by default the f32 zero.
Tensor fill_value(const Attributes &attributes)
{
    const auto found = attributes.all().find("value");
    if (found == attributes.all().end())
        return Tensor::of<float>({}, {0});
    const Tensor *value = std::get_if<Tensor>(&found->second);
    if (!value || value->count() != 1)
        throw Error("the attribute value is not a tensor of one element");
    return *value;
}

void constant_of_shape_rule(ShapeContext &context)
{
    const auto sizes = constant_integers(context, 0);
    if (sizes)
        check_sizes(*sizes);
    context.output(0, fill_value(context.attributes()).type(), sizes ? sizes : unknown_of_length(context, 0));
}

void constant_of_shape(RunContext &context)
{
    const Tensor value = fill_value(context.node.attributes);
    const Sizes shape = integers(context, 0);
    check_sizes(shape);
    Tensor &result = context.output(0, value.type(), shape);
    copy_elements(value, result, shape, {Shape(shape.size(), 0), strides_of(shape)});
}

// Range

template <class T> T scalar(const Tensor &tensor)
{
    if (tensor.count() != 1 || tensor.type() != type_of<T>)
        throw Error("want three scalars of one element type");
    return tensor.data<T>()[0];
}

template <class T> int64_t steps_between(T start, T limit, T delta)
{
    if (delta == T(0))
        throw Error("delta is 0");
    if constexpr (std::is_integral_v<T>) {
        if ((delta > 0) != (limit > start) || limit == start)
            return 0;
        const auto distance = limit > start ? static_cast<uint64_t>(limit) - static_cast<uint64_t>(start)
                                            : static_cast<uint64_t>(start) - static_cast<uint64_t>(limit);
        const auto step = delta > 0 ? static_cast<uint64_t>(delta) : 0 - static_cast<uint64_t>(delta);
        return static_cast<int64_t>(std::min<uint64_t>((distance - 1) / step + 1, INT64_MAX));
    } else {
        const double count =
            std::ceil((static_cast<double>(limit) - static_cast<double>(start)) / static_cast<double>(delta));
        if (!(count > 0))
            return 0;
        if (count > 0x1p52)
            throw Error("the range has more elements than any tensor");
        return static_cast<int64_t>(count);
    }
}

int64_t range_count(const Tensor &start, const Tensor &limit, const Tensor &delta)
{
    return visit_number(start.type(), [&]<class T>() {
        using A = Arithmetic<T>;
        return steps_between<A>(static_cast<A>(scalar<T>(start)), static_cast<A>(scalar<T>(limit)),
                                static_cast<A>(scalar<T>(delta)));
    });
}

void range_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::number);
    want_same_type(context, 0, 1);
    want_same_type(context, 0, 2);
    const Tensor *start = context.constant(0), *limit = context.constant(1), *delta = context.constant(2);
    context.output(0, context.type(0),
                   Shape{start && limit && delta ? range_count(*start, *limit, *delta) : int64_t(-1)});
}

void range(RunContext &context)
{
    const Tensor &start = context.inputs[0], &delta = context.inputs[2];
    const int64_t count = range_count(start, context.inputs[1], delta);
    Tensor &result = context.output(0, start.type(), {count});
    visit_number(start.type(), [&]<class T>() {
        using A = Arithmetic<T>;
        const A first = static_cast<A>(scalar<T>(start)), step = static_cast<A>(scalar<T>(delta));
        for (int64_t i = 0; i < count; i++) {
            if constexpr (std::is_integral_v<T>)
                result.data<T>()[i] = static_cast<T>(static_cast<uint64_t>(first) +
                                                     static_cast<uint64_t>(step) * static_cast<uint64_t>(i));
            else
                result.data<T>()[i] = static_cast<T>(first + static_cast<A>(i) * step);
        }
    });
}

// EyeLike, Trilu

Type eye_type(const Attributes &attributes, Type input)
{
    return type_attribute(attributes, "dtype", input);
}

void eye_like_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    if (from && from->size() != 2)
        throw Error("the input has the shape " + to_string(*from) + ", want rank 2");
    context.output(0, eye_type(context.attributes(), context.type(0)), from ? *from : unknown_of_rank(2));
}

void eye_like(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    if (x.rank() != 2)
        throw Error("the input has the shape " + to_string(x.shape()) + ", want rank 2");
    const int64_t rows = x.dim(0), columns = x.dim(1);
    const int64_t k = std::clamp(context.node.attributes.integer("k", 0), -rows, columns);
    Tensor &result = context.output(0, eye_type(context.node.attributes, x.type()), x.shape());
    visit_type(result.type(), [&]<class T>() {
        std::fill_n(result.data<T>(), result.count(), T(Arithmetic<T>(0)));
        for (int64_t row = std::max<int64_t>(0, -k); row < std::min(rows, columns - k); row++)
            result.data<T>()[row * columns + row + k] = T(Arithmetic<T>(1));
    });
}

void trilu_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    if (from && from->size() < 2)
        throw Error("the input has the shape " + to_string(*from) + ", want rank 2 or more");
    context.output(0, context.type(0), from);
}

void trilu(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    if (x.rank() < 2)
        throw Error("the input has the shape " + to_string(x.shape()) + ", want rank 2 or more");
    const bool upper = context.node.attributes.integer("upper", 1) != 0;
    const Sizes given = context.has(1) ? integers(context, 1) : Sizes{0};
    if (given.size() != 1)
        throw Error("k is not one integer");
    const int64_t rows = x.dim(x.rank() - 2), columns = x.dim(x.rank() - 1);
    const int64_t k = std::clamp(given[0], -rows - 1, columns + 1);
    Tensor &result = context.output(0, x.type(), x.shape());
    visit_width(x.type(), [&]<class T>() {
        for (size_t i = 0; i < x.count(); i++) {
            const auto at = static_cast<int64_t>(i);
            const int64_t column = at % columns, row = at / columns % rows;
            const bool keep = upper ? column - row >= k : column - row <= k;
            result.data<T>()[i] = keep ? x.data<T>()[i] : T(0);
        }
    });
}

// DepthToSpace, SpaceToDepth

int64_t block_size(const Attributes &attributes)
{
    const int64_t block = attributes.integer("blocksize", 0);
    if (block < 1 || block > 1 << 20)
        throw Error("blocksize is " + std::to_string(block) + ", want 1 or more");
    return block;
}

void want_image(const Shape &shape)
{
    if (shape.size() != 4)
        throw Error("the input has the shape " + to_string(shape) + ", want batch x channels x height x width");
}

Shape depth_to_space_shape(const Shape &from, int64_t block)
{
    want_image(from);
    if (from[1] >= 0 && from[1] % (block * block) != 0)
        throw Error(std::to_string(from[1]) + " channels are not a multiple of blocksize squared");
    auto times = [](int64_t size_here, int64_t by) { return size_here < 0 ? -1 : count_of({size_here, by}); };
    return {from[0], from[1] < 0 ? -1 : from[1] / (block * block), times(from[2], block), times(from[3], block)};
}

Shape space_to_depth_shape(const Shape &from, int64_t block)
{
    want_image(from);
    for (size_t axis : {2u, 3u})
        if (from[axis] >= 0 && from[axis] % block != 0)
            throw Error("the size " + std::to_string(from[axis]) + " is not a multiple of blocksize");
    auto by = [&](int64_t size_here) { return size_here < 0 ? -1 : size_here / block; };
    return {from[0], from[1] < 0 ? -1 : count_of({from[1], block * block}), by(from[2]), by(from[3])};
}

template <Shape (*shape_of)(const Shape &, int64_t)> void blocks_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    context.output(0, context.type(0), from ? shape_of(*from, block_size(context.attributes())) : unknown_of_rank(4));
}

/// Both ops move between [n, c, h, block, w, block] on one side and [n, block, block, c, h, w] (DCR) or [n, c, block,
/// block, h, w] (CRD) on the other. Gives the strides of the deep side for the axes of the wide one.
Shape deep_strides(const Shape &deep, int64_t block, bool depth_first)
{
    const int64_t channels = deep[1] / (block * block), plane = deep[2] * deep[3];
    const int64_t channel = depth_first ? plane : block * block * plane;
    const int64_t column = depth_first ? channels * plane : plane;
    return {deep[1] * plane, channel, deep[3], block * column, 1, column};
}

void depth_to_space(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    const int64_t block = block_size(context.node.attributes);
    const std::string mode = context.node.attributes.text("mode", "DCR");
    if (mode != "DCR" && mode != "CRD")
        throw Error("there is no mode \"" + mode + "\"; want DCR or CRD");
    const Shape shape = depth_to_space_shape(x.shape(), block);
    const Shape wide{shape[0], shape[1], x.dim(2), block, x.dim(3), block};
    copy_elements(x, context.output(0, x.type(), shape), wide,
                  {deep_strides(x.shape(), block, mode == "DCR"), strides_of(wide)});
}

void space_to_depth(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    const int64_t block = block_size(context.node.attributes);
    const Shape shape = space_to_depth_shape(x.shape(), block);
    const Shape wide{x.dim(0), x.dim(1), shape[2], block, shape[3], block};
    copy_elements(x, context.output(0, x.type(), shape), wide, {strides_of(wide), deep_strides(shape, block, true)});
}

// CenterCropPad

Shape centred(const Shape &from, const Attributes &attributes, const Sizes &sizes)
{
    check_sizes(sizes);
    Sizes all;
    for (size_t i = 0; i < from.size(); i++)
        all.push_back(static_cast<int64_t>(i));
    const auto axes = normal_axes(attributes.integers("axes", all), from.size());
    if (axes.size() != sizes.size())
        throw Error("shape has " + std::to_string(sizes.size()) + " sizes for " + std::to_string(axes.size()) +
                    " axes");
    Shape result = from;
    for (size_t i = 0; i < axes.size(); i++)
        result[axes[i]] = sizes[i];
    return result;
}

void center_crop_pad_rule(ShapeContext &context)
{
    const auto &from = context.shape(0);
    const auto sizes = constant_integers(context, 1);
    std::optional<Shape> result;
    if (from)
        result = sizes ? centred(*from, context.attributes(), *sizes) : unknown_of_rank(from->size());
    context.output(0, context.type(0), result);
}

void center_crop_pad(RunContext &context)
{
    const Tensor &x = context.inputs[0];
    const Shape shape = centred(x.shape(), context.node.attributes, integers(context, 1));
    Tensor &result = context.output(0, x.type(), shape);
    std::fill_n(result.raw(), result.bytes(), std::byte(0));
    const Shape from = strides_of(x.shape()), to = strides_of(shape);
    Shape common;
    std::array<int64_t, 2> offset{};
    for (size_t i = 0; i < x.rank(); i++) {
        common.push_back(std::min(x.dim(i), shape[i]));
        offset[0] += (x.dim(i) - common[i]) / 2 * from[i];
        offset[1] += (shape[i] - common[i]) / 2 * to[i];
    }
    copy_elements(x, result, common, {from, to}, offset);
}

constexpr Op rows[] = {
    {"CenterCropPad", 2, 2, 1, center_crop_pad_rule, center_crop_pad},
    {"Concat", 1, -1, 1, concat_rule, concat},
    {"ConstantOfShape", 1, 1, 1, constant_of_shape_rule, constant_of_shape},
    {"DepthToSpace", 1, 1, 1, blocks_rule<depth_to_space_shape>, depth_to_space},
    {"Expand", 2, 2, 1, expand_rule, expand},
    {"EyeLike", 1, 1, 1, eye_like_rule, eye_like},
    {"Flatten", 1, 1, 1, flatten_rule, flatten},
    {"Interleave", 2, -1, 1, interleave_rule, interleave},
    {"Pad", 2, 4, 1, pad_rule, pad},
    {"Range", 3, 3, 1, range_rule, range},
    {"Reshape", 2, 2, 1, reshape_rule, reshape},
    {"Shape", 1, 1, 1, shape_rule, shape},
    {"Size", 1, 1, 1, size_rule, size},
    {"Slice", 3, 5, 1, slice_rule, slice},
    {"SpaceToDepth", 1, 1, 1, blocks_rule<space_to_depth_shape>, space_to_depth},
    {"Split", 1, 2, -1, split_rule, split},
    {"Squeeze", 1, 2, 1, squeeze_rule, squeeze},
    {"Tile", 2, 2, 1, tile_rule, tile},
    {"Transpose", 1, 1, 1, transpose_rule, transpose},
    {"Trilu", 1, 2, 1, trilu_rule, trilu},
    {"Unsqueeze", 2, 2, 1, unsqueeze_rule, unsqueeze},
};

} // namespace

std::span<const Op> shape_ops()
{
    return rows;
}

} // namespace leat
