#pragma once
#include "copy_block.h"

#include <leat/tensor.h>

#include <cstddef>
#include <cstdint>

namespace leat::cpu {

/// Numbers of f32 that one vector holds at most.
constexpr int64_t most_lanes = 16;

/// Functions of one or two numbers that run in SIMD over arrays of f32, on the best instructions of the processor.
enum class Function : uint8_t {
    copy,
    abs,
    ceil,
    clip, ///< to [a, b]
    elu,
    erf,
    exp,
    floor,
    gelu,
    gelu_tanh,
    hard_sigmoid, ///< clip(a x + b) to [0, 1]
    hard_swish,
    leaky_relu,
    log,
    mish,
    neg,
    reciprocal,
    relu,
    round,
    sigmoid,
    softplus,
    sqrt,
    swish,
    tanh,
    square,
    affine, ///< a x + b
    // Of two numbers: y and the operand x.
    add,
    sub,
    sub_reversed, ///< x - y
    mul,
    div,
    div_reversed, ///< x / y
    max,
    min,
    prelu,      ///< y < 0 ? y * x : y
    add_scaled, ///< y + a x
};

/// to[i] = f(from[i], operand[i]), or f(from[i], operand[0]) when `one_operand`; `to` may be `from`. `a` and `b` are
/// the function's parameters.
using Apply = void (*)(float *to, const float *from, const float *operand, bool one_operand, int64_t count, float a,
                       float b);

Apply vector_function(Function);

/// Each of `count` numbers `times` times, side by side.
void vector_repeat(float *to, const float *from, int64_t count, int64_t times);

float vector_sum(const float *values, int64_t count);
float vector_max(const float *values, int64_t count);
float vector_min(const float *values, int64_t count);
/// Brings a row to mean 0, unless `centred` is false, and to variance 1, with `epsilon` added to the variance before
/// its root is taken. `to` may be `from`.
void vector_normalise(float *to, const float *from, int64_t count, bool centred, float epsilon);

/// Integers of 8 bits that stand for (integer - zero point) * scale. Rounds half to even, saturates.
struct Quantisation {
    float scale = 1;
    int32_t zero_point = 0;
    bool is_signed = false;
};
void vector_quantise(uint8_t *to, const float *from, int64_t count, Quantisation);
void vector_dequantise(float *to, const uint8_t *from, int64_t count, Quantisation);

/// Rows of a Softmax, from f32, bf16 or 8-bit integers to one of them.
struct SoftmaxRows {
    Type in = Type::f32, out = Type::f32;
    Quantisation in_grid{}, out_grid{}; ///< of integers
    int64_t length = 0;                 ///< `most_lanes` or more
    int64_t step = 0;                   ///< elements from one row to the next, in both
};
/// Of each row e^(from[i] - highest) over the sum of all. `to` may be `from` where both have elements of one size.
/// `room`: `length` numbers.
void vector_softmax(const SoftmaxRows &, std::byte *to, const std::byte *from, int64_t rows, float *room);

/// Integers that stand for numbers.
struct IntegerNumbers {
    const uint8_t *from;
    Quantisation grid;
};
/// a + b, brought into [lowest, highest], as integers of the grid. `to` may be where a or b lie.
void vector_add_integers(uint8_t *to, IntegerNumbers a, IntegerNumbers b, int64_t count, float lowest, float highest,
                         Quantisation);

/// bf16 to f32 and back, rounded to nearest even. vector_narrow() may write where it reads.
void vector_widen(float *to, const std::byte *from, int64_t count);
void vector_narrow(std::byte *to, const float *from, int64_t count);
/// Whether the processor has an instruction that rounds 16 numbers to bf16. It takes numbers below 2^-126 as 0.
bool narrows_natively();

/// Numbers in memory of a node, f32 or bf16, of which kernels see f32.
struct Floats {
    Type type = Type::f32;
    int64_t element() const { return static_cast<int64_t>(size_of(type)); }
    /// Where `count` neighbours lie as f32: in place, or in `row`, which has room for them.
    const float *read(const std::byte *from, int64_t count, float *row) const
    {
        if (type == Type::f32)
            return reinterpret_cast<const float *>(from);
        vector_widen(row, from, count);
        return row;
    }
    float read_one(const std::byte *from) const
    {
        return type == Type::f32 ? *reinterpret_cast<const float *>(from)
                                 : static_cast<float>(*reinterpret_cast<const BFloat16 *>(from));
    }
    /// Where to make `count` neighbours: in place, or in `row`, from which write() takes them.
    float *made(std::byte *to, float *row) const { return type == Type::f32 ? reinterpret_cast<float *>(to) : row; }
    void write(std::byte *to, const float *made, int64_t count) const
    {
        if (type != Type::f32)
            vector_narrow(to, made, count);
    }
    /// The same for rows that were made one after the other, elsewhere, and lie `step` elements apart; `made` is lost.
    void write_rows(std::byte *to, int64_t step, float *made, int64_t rows, int64_t length) const
    {
        if (type != Type::f32 && step == length)
            return vector_narrow(to, made, rows * length);
        auto *from = reinterpret_cast<std::byte *>(made);
        if (type != Type::f32)
            vector_narrow(from, made, rows * length); // over themselves, from the first on
        for (int64_t row = 0; row < rows; row++, to += step * element(), from += length * element())
            copy_block(to, from, static_cast<size_t>(length * element()));
    }
};

/// to[c] = the sum, or the largest, of number c of `count` pixels that lie `step` bytes apart, f32 made of f32, bf16 or
/// 8-bit integers; `more`: and of what `to` holds. There are `least_pixel_channels` or more.
void join_pixels(float *to, const std::byte *first, int64_t step, int64_t count, Type, int64_t channels, bool largest,
                 bool more);
constexpr int64_t least_pixel_channels = 16;

/// Pixels of `channels` numbers, each a mixture of `taps` neighbouring pixels of `row` from pixel first[x] on with the
/// weights from weights[x * taps] on.
void mix_pixels(float *to, const float *row, const int32_t *first, const float *weights, int64_t taps, int64_t count,
                int64_t channels);

} // namespace leat::cpu
