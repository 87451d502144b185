#pragma once
#include "devices/cpu/kernel.h"

#include <array>
#include <optional>
#include <span>

// Convolutions without another layout of their input: the channels of the result fill the vectors, some neighbouring
// pixels of it are summed at once, and each number of the input is spread over a vector from where it lies. In bf16 two
// neighbouring channels of the input are one number, of 8-bit integers four.
namespace leat::cpu {

/// Output channels whose weights lie side by side, whatever the length of the processor's vectors.
constexpr int64_t window_channels = 16;
/// At most so many neighbouring pixels are summed at once.
constexpr int64_t window_pixels = 16;
/// Bytes of an f32, of two bf16, and of four 8-bit integers.
constexpr int64_t window_number = 4;

/// Channels of the result are summed in groups of up to four blocks, nearly equal ones.
struct WindowGroups {
    int64_t blocks, groups;
    explicit constexpr WindowGroups(int64_t channels)
        : blocks((channels + window_channels - 1) / window_channels), groups((blocks + 3) / 4)
    {
    }
    /// The group's first block.
    constexpr int64_t first(int64_t group) const { return blocks * group / groups; }
};

/// What becomes of sums of integers: (start + sum of input * (weight - its zero)) * scale + the bias, to which `added`
/// times what the result holds may be added. In whole blocks.
struct IntegerSums {
    const int32_t *start = nullptr;
    const int32_t *weight_zeros = nullptr; ///< absent when all are 0
    const float *scales = nullptr;
    float added = 1;
    int32_t zero_point = 0; ///< of the result, when it is integers
    bool is_signed = false; ///< the input; as if 128 were added to its integers, for which `start` must make up
};

/// Some pixels of a convolution's result, one after the other. Distances are in bytes.
struct WindowSums {
    const std::byte *const *taps = nullptr;       ///< for each tap and number of the window, its place for pixel 0
    int64_t count = 0;                            ///< of them all
    int64_t first_tap = 0, last_tap = 0;          ///< those to sum
    bool side_by_side = false;                    ///< the numbers of all taps are
    int64_t step = 0;                             ///< from the number for one pixel to that for the next
    const std::byte *weights = nullptr;           ///< see weights_in_groups()
    const std::byte *next = nullptr;              ///< weights in the same form that will be read after these
    const float *bias = nullptr;                  ///< in whole blocks
    bool added = false;                           ///< to what the result holds
    const float *slopes = nullptr;                ///< by which negative ones are multiplied then, in whole blocks
    std::optional<std::array<float, 2>> bounds{}; ///< into which the sums are brought
    int64_t outs = 0;                             ///< channels of the result
    Type made = Type::f32;                        ///< f32, or bf16; u8, s8 of integers; rounded to even
    int64_t stride = 0;                           ///< of the result: from one pixel to the next
    int64_t first = 0, last = 0;                  ///< the pixels to make
    int64_t first_group = 0;                      ///< of channels, of those to make
    std::optional<int64_t> last_group{};          ///< absent: all from then on
    const IntegerSums *integers = nullptr;        ///< of sums of integers
};

/// The sums of number * weight over the taps, f32. `to`: pixel 0 of the result, channels last. Where `last` is less
/// than `window_pixels`, the numbers of so many pixels are read. bf16 are made where window_sums_make_bf16(), and not
/// added to what the result holds.
void window_sums(std::byte *to, const WindowSums &);
bool window_sums_make_bf16();
/// The same of bf16, on processors for which has_window_sums_bf16() is true.
void window_sums_bf16(std::byte *to, const WindowSums &);
bool has_window_sums_bf16();
/// The same of u8 or s8 times s8, on processors for which has_window_sums_s8() is true. The sums are exact.
void window_sums_s8(std::byte *to, const WindowSums &);
bool has_window_sums_s8();
/// Why sums of that type are not made so, or not best; "" when they are. `together`: bytes that lie side by side
/// wherever the window is, of which a processor's tiles take 64 at once; 0: tiles are out of the question.
std::string window_sums_fault(Type, int64_t together = 64);

/// Weights as the graph has them: sizes, and the distances between elements.
struct WindowWeights {
    int64_t outs, ins, taps;
    int64_t out_step, in_step, tap_step;
};
/// Those of a convolution: [outs, ins, taps…].
WindowWeights window_weights(const Shape &);

/// The constant weights, f32, bf16 or s8, as window_sums() reads them, with zeros for channels beyond the last: of each
/// group [taps, numbers, blocks of the group, 16, inputs of a number], with zeros for what the last number lacks.
/// Throws Error when what was stored of them has another size.
Constant weights_in_groups(Weights &, const Tensor &, const WindowWeights &);

/// The sums of the constant s8 weights of each output channel, s32 in whole blocks. Throws as weights_in_groups().
Constant weight_sums(Weights &, const Tensor &, const WindowWeights &);

/// A number for each output channel, in whole blocks.
std::vector<float> in_blocks(std::span<const float>);
/// The bias, which may be absent, in whole blocks.
std::vector<float> bias_in_blocks(const Tensor *, int64_t outs);

} // namespace leat::cpu
