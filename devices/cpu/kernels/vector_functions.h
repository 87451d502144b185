#pragma once
#include <cstdint>

namespace leat::cpu {

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
    // Of two numbers: y and the operand x.
    add,
    sub,
    sub_reversed, ///< x - y
    mul,
    div,
    div_reversed, ///< x / y
    max,
    min,
    prelu, ///< y < 0 ? y * x : y
};

/// to[i] = f(from[i], operand[i]), or f(from[i], operand[0]) when `one_operand`; `to` may be `from`. `a` and `b` are
/// the function's parameters.
using Apply = void (*)(float *to, const float *from, const float *operand, bool one_operand, int64_t count, float a,
                       float b);

Apply vector_function(Function);

} // namespace leat::cpu
