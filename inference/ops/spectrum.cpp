#include "inference/ops/walk.h"

#include <algorithm>
#include <complex>
#include <numbers>

namespace leat {
namespace {

using Complex = std::complex<double>;

/// What the attributes of DFT ask for. Forward and onesided: of a real signal, the first half of the spectrum. Inverse
/// and onesided: the real signal that has such a spectrum.
struct Direction {
    bool inverse, onesided;
    bool to_half() const { return onesided && !inverse; }
    bool from_half() const { return onesided && inverse; }
};

Direction direction_of(const Attributes &attributes)
{
    return {attributes.integer("inverse", 0) != 0, attributes.integer("onesided", 0) != 0};
}

/// The last axis has a real part, or a real and an imaginary one.
void check_signal(const Shape &shape, const Direction &direction)
{
    const std::string is = "the signal has the shape " + to_string(shape);
    if (shape.size() < 2)
        throw Error(is + ", want rank 2 or more, the last axis being that of the real and the imaginary part");
    const int64_t parts = shape.back();
    if (parts >= 0 && parts != 1 && parts != 2)
        throw Error(is + ", want 1 or 2 on the last axis, a real and an imaginary part");
    if (parts == 2 && direction.to_half())
        throw Error(is + "; half of a spectrum stands for the whole only where the signal is real");
}

size_t transformed_axis(const std::vector<int64_t> &given, size_t rank)
{
    if (given.size() != 1)
        throw Error("the axis has " + std::to_string(given.size()) + " elements, want 1");
    const size_t axis = normal_axis(given[0], rank);
    if (axis + 1 == rank)
        throw Error("axis " + std::to_string(given[0]) + " is that of the real and the imaginary part");
    return axis;
}

int64_t checked_length(int64_t length)
{
    if (length < 1)
        throw Error("a transform of the length " + std::to_string(length) + " is not possible; want 1 or more");
    return length;
}

/// How many points are transformed. `size` is that of the axis, `given` dft_length, which may be empty.
int64_t length_of_transform(const std::vector<int64_t> &given, int64_t size, const Direction &direction)
{
    if (given.size() > 1)
        throw Error("dft_length has " + std::to_string(given.size()) + " elements, want 1");
    if (!given.empty())
        return checked_length(given[0]);
    return checked_length(direction.from_half() ? 2 * (size - 1) : size);
}

Shape transformed_shape(Shape shape, size_t axis, int64_t length, const Direction &direction)
{
    shape[axis] = length < 0 ? -1 : direction.to_half() ? length / 2 + 1 : length;
    shape.back() = direction.from_half() ? 1 : 2;
    return shape;
}

void dft_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    const Direction direction = direction_of(context.attributes());
    const auto &shape = context.shape(0);
    const auto length = constant_integers(context, 1);
    auto axis = constant_integers(context, 2);
    if (!shape)
        return context.output(0, context.type(0), {});
    check_signal(*shape, direction);
    if (!context.has(2))
        axis = {-2};
    if (!axis)
        return context.output(0, context.type(0), Shape(shape->size(), -1));
    const size_t along = transformed_axis(*axis, shape->size());
    const bool known = context.has(1) ? length.has_value() : (*shape)[along] >= 0;
    const int64_t points =
        known ? length_of_transform(length.value_or(std::vector<int64_t>()), (*shape)[along], direction) : -1;
    context.output(0, context.type(0), transformed_shape(*shape, along, points, direction));
}

size_t smallest_factor(size_t n)
{
    for (size_t factor = 2; factor * factor <= n; factor++)
        if (n % factor == 0)
            return factor;
    return n;
}

/// The transform of the n points in[0], in[stride] …: Cooley and Tukey, "An Algorithm for the Machine Calculation of
/// Complex Fourier Series", 1965. Those of each p-th point are joined, p being the smallest prime factor. `roots` are
/// the powers of the root of unity of the whole transform.
void transform(const Complex *in, size_t stride, Complex *out, size_t n, std::span<const Complex> roots)
{
    if (n == 1) {
        *out = *in;
        return;
    }
    const size_t p = smallest_factor(n), m = n / p, step = roots.size() / n;
    for (size_t r = 0; r < p; r++)
        transform(in + r * stride, stride * p, out + r * m, m, roots);
    std::vector<Complex> joined(p);
    for (size_t k = 0; k < m; k++) {
        for (size_t q = 0; q < p; q++) {
            joined[q] = 0;
            for (size_t r = 0; r < p; r++)
                joined[q] += out[r * m + k] * roots[r * (k + q * m) % n * step];
        }
        for (size_t q = 0; q < p; q++)
            out[k + q * m] = joined[q];
    }
}

std::vector<Complex> roots_of_unity(size_t n, bool inverse)
{
    std::vector<Complex> roots(n);
    for (size_t k = 0; k < n; k++)
        roots[k] = std::polar(1.0, (inverse ? 2 : -2) * std::numbers::pi * static_cast<double>(k) / double(n));
    return roots;
}

/// The other half of the spectrum of a real signal.
void mirror(std::vector<Complex> &spectrum)
{
    for (size_t k = spectrum.size() / 2 + 1; k < spectrum.size(); k++)
        spectrum[k] = std::conj(spectrum[spectrum.size() - k]);
}

template <class T> void dft_of(const Tensor &signal, Tensor &result, size_t axis, size_t points, Direction direction)
{
    const auto roots = roots_of_unity(points, direction.inverse);
    const int64_t outer = count_between(signal.shape(), 0, axis),
                  inner = count_between(signal.shape(), axis + 1, signal.rank() - 1), size = signal.dim(axis),
                  made = result.dim(axis), parts = signal.shape().back(), made_parts = result.shape().back();
    const int64_t read = std::min(size, static_cast<int64_t>(direction.from_half() ? points / 2 + 1 : points));
    const double scale = direction.inverse ? 1 / static_cast<double>(points) : 1;
    std::vector<Complex> line(points), spectrum(points);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            std::fill(line.begin(), line.end(), Complex());
            for (int64_t k = 0; k < read; k++) {
                const T *at = signal.data<T>() + ((o * size + k) * inner + i) * parts;
                line[static_cast<size_t>(k)] = {double(Arithmetic<T>(at[0])),
                                                parts == 2 ? double(Arithmetic<T>(at[1])) : 0};
            }
            if (direction.from_half())
                mirror(line);
            transform(line.data(), 1, spectrum.data(), points, roots);
            for (int64_t k = 0; k < made; k++) {
                const Complex value = scale * spectrum[static_cast<size_t>(k)];
                T *at = result.data<T>() + ((o * made + k) * inner + i) * made_parts;
                at[0] = narrowed<T>(value.real());
                if (made_parts == 2)
                    at[1] = narrowed<T>(value.imag());
            }
        }
}

void dft(RunContext &context)
{
    const Tensor &signal = context.inputs[0];
    const Direction direction = direction_of(context.node.attributes);
    check_signal(signal.shape(), direction);
    const size_t axis =
        transformed_axis(context.has(2) ? integers(context, 2) : std::vector<int64_t>{-2}, signal.rank());
    const int64_t points = length_of_transform(context.has(1) ? integers(context, 1) : std::vector<int64_t>(),
                                               signal.dim(axis), direction);
    Tensor &result = context.output(0, signal.type(), transformed_shape(signal.shape(), axis, points, direction));
    if (result.count() != 0)
        visit_float(signal.type(),
                    [&]<class T>() { dft_of<T>(signal, result, axis, static_cast<size_t>(points), direction); });
}

constexpr Op rows[] = {
    {"DFT", 1, 3, 1, dft_rule, dft},
};

} // namespace

std::span<const Op> spectrum_ops()
{
    return rows;
}

} // namespace leat
