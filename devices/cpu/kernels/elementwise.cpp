#include "elementwise.h"

#include "copy_block.h"
#include "devices/cpu/kernel.h"
#include "devices/cpu/strided.h"
#include "devices/cpu/team.h"

#include <algorithm>
#include <cstring>
#include <limits>

// Chains of elementwise functions over f32 in whatever layout: each block stays in the first cache from the first
// function of the chain to the last. Operands and the result may be bf16 or quantised to 8 bits; blocks of them are f32
// too.
namespace leat::cpu {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

struct Stage {
    Function function = Function::copy;
    float a = 0, b = 0;
    int operand = -1; ///< index into Chain::operands; -1 for functions of one number
};

/// The range into which a function brings numbers, when it does no more.
std::optional<std::array<float, 2>> bounds_of(Function function, float a, float b)
{
    if (function == Function::relu)
        return {{0.f, infinity}};
    if (function == Function::clip)
        return {{a, b}};
    return {};
}

/// What to compute: `operands[0]` goes through the stages.
struct Chain {
    std::vector<Layout> operands;      ///< spread to the output's sizes: repeated axes have stride 0
    std::vector<Quantisation> grids{}; ///< by operand: of those that are 8-bit integers
    std::vector<Stage> stages{};
    std::optional<Quantisation> made_on{}; ///< of the result
};

class Elementwise final : public Kernel {
  public:
    Elementwise(const Chain &chain, const Layout &out, int threads)
        : stages_(chain.stages), grids_(chain.grids), made_on_(chain.made_on), made_(out.type)
    {
        for (const Layout &operand : chain.operands)
            types_.push_back(operand.type);
        for (const Stage &stage : stages_)
            functions_.push_back(vector_function(stage.function));
        loops_.sizes = out.dims;
        for (const Layout &operand : chain.operands)
            loops_.strides.push_back(operand.strides);
        loops_.strides.push_back(out.strides);
        loops_.simplify(loops_.strides.size() - 1);
        widen();
        const size_t inner = loops_.depth() - 1;
        for (size_t k = 0; k < ways_.size(); k++) {
            const int64_t stride = loops_.strides[k][inner];
            if (!is_by_rows(ways_[k]))
                ways_[k] = stride == 1 ? Way::each : stride == 0 ? Way::one : Way::strided;
        }
        length_ = loops_.sizes[inner];
        block_ = period_ > 0 ? period_ * std::max<int64_t>(1, block / period_) : block;
        blocks_ = (length_ + block_ - 1) / block_;
        outer_ = loops_.turns(inner);
        threads_ = outer_ * length_ < 16384 ? 1 : threads;
        adds_integers_ = integer_sum();
    }

    size_t scratch() const { return static_cast<size_t>(threads_ * part_bytes()); }

    void run(const Launch &launch) const override
    {
        const int64_t turns = outer_ * blocks_;
        parallel_parts(threads_, [&](int64_t part) {
            run_blocks(launch, launch.scratch + part * part_bytes(), turns * part / threads_,
                       turns * (part + 1) / threads_);
        });
    }

  private:
    /// How an operand is read along a block.
    enum class Way : uint8_t {
        each,    ///< number by number
        one,     ///< one number for the whole block
        strided, ///< gathered first
        pattern, ///< the same few numbers again and again: spread out first
        rows,    ///< a few neighbours here and there: put side by side first
        held,    ///< each number several times: spread out first
    };
    static bool is_by_rows(Way way) { return way == Way::pattern || way == Way::rows || way == Way::held; }
    static constexpr int64_t block = 1024;

    std::vector<Stage> stages_;
    std::vector<Quantisation> grids_; // by operand
    std::vector<Type> types_;         // by operand
    std::optional<Quantisation> made_on_;
    Type made_;
    std::vector<Apply> functions_;
    Loops loops_; // operands, then the output
    std::vector<Way> ways_;
    int64_t period_ = 0;               // of the patterns; the length of the rows, and of what is held
    std::vector<int64_t> row_strides_; // by operand
    int64_t length_ = 0, block_ = 0, blocks_ = 0, outer_ = 0;
    int threads_ = 1;
    std::optional<std::array<float, 2>> adds_integers_; ///< the whole chain, with these bounds of the sum

    /// The bounds when the chain is a sum of two integers, made integers again, that is brought into a range or not.
    std::optional<std::array<float, 2>> integer_sum() const
    {
        const auto is_plain = [&](size_t k) {
            return is_8_bit(types_[k]) && (ways_[k] == Way::each || ways_[k] == Way::rows);
        };
        if (!made_on_ || types_.size() != 2 || !is_plain(0) || !is_plain(1) || stages_.size() > 2 ||
            stages_[0].function != Function::add)
            return {};
        return stages_.size() == 1 ? std::array{-infinity, infinity}
                                   : bounds_of(stages_[1].function, stages_[1].a, stages_[1].b);
    }

    /// A short inner loop (the channels, when they lie last) becomes one with the loop around it; operands that repeat
    /// with every turn become patterns, parts of wider ones rows, and those with one number a turn are held.
    void widen()
    {
        const size_t inner = loops_.depth() - 1, count = loops_.strides.size() - 1;
        ways_.assign(count, Way::each);
        row_strides_.assign(count, 0);
        if (inner == 0 || loops_.sizes[inner] > 2048)
            return;
        std::vector<Way> ways = ways_;
        for (size_t k = 0; k <= count; k++) {
            const auto &strides = loops_.strides[k];
            if (strides[inner - 1] == strides[inner] * loops_.sizes[inner])
                continue;
            constexpr int64_t worth_holding = 256;
            if (k == count || strides[inner] > 1 || (strides[inner] == 0 && loops_.sizes[inner] > worth_holding))
                return;
            ways[k] = strides[inner] == 0 ? Way::held : strides[inner - 1] == 0 ? Way::pattern : Way::rows;
        }
        ways_ = ways;
        for (size_t k = 0; k < count; k++)
            row_strides_[k] = loops_.strides[k][inner - 1];
        period_ = loops_.sizes[inner];
        loops_.sizes[inner - 1] *= period_;
        loops_.sizes.pop_back();
        for (auto &strides : loops_.strides) {
            strides[inner - 1] = strides[inner];
            strides.pop_back();
        }
        for (size_t k = 0; k < count; k++)
            if (ways_[k] == Way::pattern)
                loops_.strides[k][inner - 1] = 0;
    }

    struct Operand {
        const std::byte *row = nullptr; // at the beginning of the inner loop
        float *spread = nullptr;        // for other than f32, and unless Way::each or one
        std::byte *rows = nullptr;      // for Way::rows and held
    };

    /// Bytes of scratch memory for a block of f32. A few lines more than a page: a number that is read lies where none
    /// is written soon, as far as the last bits of addresses tell, by which the processor lets loads wait for stores.
    int64_t room() const
    {
        constexpr int64_t apart = 512;
        return in_lines(block_ * static_cast<int64_t>(sizeof(float))) + apart;
    }
    /// Of a part: the result, then each operand as f32 and as rows.
    int64_t part_bytes() const { return (1 + 2 * std::ssize(ways_)) * room(); }

    void run_blocks(const Launch &launch, std::byte *scratch, int64_t first, int64_t last) const
    {
        const size_t count = ways_.size();
        std::vector<Operand> operands(count);
        std::vector<int64_t> offsets(count + 1);
        auto *made = reinterpret_cast<float *>(scratch);
        for (Operand &operand : operands) {
            operand.spread = reinterpret_cast<float *>(scratch += room());
            operand.rows = scratch += room();
        }
        int64_t row = -1;
        std::byte *out = nullptr;
        for (int64_t turn = first; turn < last; turn++) {
            if (turn / blocks_ != row) {
                row = turn / blocks_;
                loops_.offsets(row, loops_.depth() - 1, offsets);
                for (size_t k = 0; k < count; k++)
                    begin_row(operands[k], k, launch.in[k] + offsets[k] * element(types_[k]));
                out = launch.out[0] + offsets[count] * element(made_);
            }
            const int64_t at = turn % blocks_ * block_, size = std::min(block_, length_ - at);
            std::byte *to = out + at * element(made_);
            if (adds_integers_) {
                const auto operand = [&](size_t k) {
                    const std::byte *from = side_by_side(operands[k], k, at, size);
                    return IntegerNumbers{reinterpret_cast<const uint8_t *>(from), grids_[k]};
                };
                vector_add_integers(reinterpret_cast<uint8_t *>(to), operand(0), operand(1), size, (*adds_integers_)[0],
                                    (*adds_integers_)[1], *made_on_);
                continue;
            }
            const float *floats =
                run_block(operands, made_ == Type::f32 ? reinterpret_cast<float *>(to) : made, at, size);
            if (made_on_)
                vector_quantise(reinterpret_cast<uint8_t *>(to), floats, size, *made_on_);
            else if (made_ == Type::bf16)
                vector_narrow(to, floats, size);
        }
    }

    static int64_t element(Type type) { return static_cast<int64_t>(size_of(type)); }

    void begin_row(Operand &operand, size_t k, const std::byte *row) const
    {
        operand.row = row;
        if (ways_[k] != Way::pattern)
            return;
        fill(operand.spread, row, period_, k);
        for (int64_t i = period_; i < block_; i += period_)
            std::copy_n(operand.spread, period_, operand.spread + i);
    }

    /// The next `count` numbers of operand `k`.
    void fill(float *to, const std::byte *from, int64_t count, size_t k) const
    {
        if (types_[k] == Type::bf16)
            vector_widen(to, from, count);
        else if (types_[k] != Type::f32)
            vector_dequantise(to, reinterpret_cast<const uint8_t *>(from), count, grids_[k]);
        else
            std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
    }

    /// Where the operand's numbers for a block lie.
    const float *numbers(Operand &operand, size_t k, int64_t at, int64_t count) const
    {
        const Way way = ways_[k];
        if (way == Way::pattern)
            return operand.spread;
        if (way == Way::held)
            return hold(operand, k, at, count);
        const std::byte *from = way == Way::one ? operand.row : side_by_side(operand, k, at, count);
        if (types_[k] == Type::f32 && way != Way::strided)
            return reinterpret_cast<const float *>(from);
        if (way != Way::strided) {
            fill(operand.spread, from, way == Way::one ? 1 : count, k);
            return operand.spread;
        }
        const int64_t stride = loops_.strides[k].back() * element(types_[k]);
        for (int64_t i = 0; i < count; i++)
            fill(operand.spread + i, operand.row + (at + i) * stride, 1, k);
        return operand.spread;
    }

    /// The next numbers, each as often as its row is long.
    const float *hold(Operand &operand, size_t k, int64_t at, int64_t count) const
    {
        const int64_t stride = row_strides_[k] * element(types_[k]), rows = count / period_;
        const std::byte *from = operand.row + at / period_ * stride;
        for (int64_t i = 0; i < rows; i++, from += stride)
            std::memcpy(operand.rows + i * element(types_[k]), from, static_cast<size_t>(element(types_[k])));
        auto *few = reinterpret_cast<float *>(operand.rows + room() / 2);
        fill(few, operand.rows, rows, k);
        vector_repeat(operand.spread, few, rows, period_);
        return operand.spread;
    }

    /// The operand's next numbers, in its own type.
    const std::byte *side_by_side(Operand &operand, size_t k, int64_t at, int64_t count) const
    {
        return ways_[k] == Way::rows ? collect_rows(operand, k, at, count) : operand.row + at * element(types_[k]);
    }

    /// The bytes of the next rows, side by side.
    const std::byte *collect_rows(Operand &operand, size_t k, int64_t at, int64_t count) const
    {
        const int64_t stride = row_strides_[k] * element(types_[k]), row = period_ * element(types_[k]);
        const std::byte *from = operand.row + at / period_ * stride;
        std::byte *to = operand.rows;
        for (int64_t i = 0; i < count; i += period_, from += stride, to += row)
            copy_block(to, from, static_cast<size_t>(row));
        return operand.rows;
    }

    /// Gives where the block's results lie: at `out` when they are f32 in the end, or where they are anyway.
    const float *run_block(std::vector<Operand> &operands, float *out, int64_t at, int64_t count) const
    {
        if (stages_.empty() && ways_[0] == Way::each && types_[0] != Type::f32) {
            fill(out, side_by_side(operands[0], 0, at, count), count, 0);
            return out;
        }
        const float *from = numbers(operands[0], 0, at, count);
        if (ways_[0] == Way::one) {
            std::fill_n(out, count, *from);
            from = out;
        }
        for (size_t s = 0; s < stages_.size(); s++) {
            const Stage &stage = stages_[s];
            const float *operand = nullptr;
            bool one = false;
            if (stage.operand >= 0) {
                const auto k = static_cast<size_t>(stage.operand);
                operand = numbers(operands[k], k, at, count);
                one = ways_[k] == Way::one;
            }
            functions_[s](out, from, operand, one, count, stage.a, stage.b);
            from = out;
        }
        if (made_ == Type::f32 && from != out)
            std::copy_n(from, count, out);
        return from;
    }
};

struct UnaryRow {
    std::string_view op;
    Stage (*stage)(const Attributes &);
};

template <Function f> Stage plain(const Attributes &)
{
    return {f};
}

const UnaryRow unary_rows[] = {
    {"Abs", plain<Function::abs>},
    {"Ceil", plain<Function::ceil>},
    {"Clip",
     [](const Attributes &a) {
         return Stage{Function::clip, a.number("min", -infinity), a.number("max", infinity)};
     }},
    {"Elu",
     [](const Attributes &a) {
         return Stage{Function::elu, a.number("alpha", 1)};
     }},
    {"Erf", plain<Function::erf>},
    {"Exp", plain<Function::exp>},
    {"Floor", plain<Function::floor>},
    {"Gelu",
     [](const Attributes &a) {
         return Stage{a.text("approximate", "none") == "tanh" ? Function::gelu_tanh : Function::gelu};
     }},
    {"HardSigmoid",
     [](const Attributes &a) {
         return Stage{Function::hard_sigmoid, a.number("alpha", 0.2f), a.number("beta", 0.5f)};
     }},
    {"HardSwish", plain<Function::hard_swish>},
    {"LeakyRelu",
     [](const Attributes &a) {
         return Stage{Function::leaky_relu, a.number("alpha", 0.01f)};
     }},
    {"Log", plain<Function::log>},
    {"Mish", plain<Function::mish>},
    {"Neg", plain<Function::neg>},
    {"Reciprocal", plain<Function::reciprocal>},
    {"Relu", plain<Function::relu>},
    {"Round", plain<Function::round>},
    {"Sigmoid", plain<Function::sigmoid>},
    {"Softplus", plain<Function::softplus>},
    {"Sqrt", plain<Function::sqrt>},
    {"Swish",
     [](const Attributes &a) {
         return Stage{Function::swish, a.number("alpha", 1)};
     }},
    {"Tanh", plain<Function::tanh>},
};

struct BinaryRow {
    std::string_view op;
    Function function;
    std::optional<Function> reversed; ///< when the operands change places
};

const BinaryRow binary_rows[] = {
    {"Add", Function::add, Function::add}, {"Sub", Function::sub, Function::sub_reversed},
    {"Mul", Function::mul, Function::mul}, {"Div", Function::div, Function::div_reversed},
    {"Max", Function::max, Function::max}, {"Min", Function::min, Function::min},
    {"Sum", Function::add, Function::add}, {"PRelu", Function::prelu, std::nullopt},
};

const UnaryRow *unary_row(std::string_view op)
{
    const auto row = std::find_if(std::begin(unary_rows), std::end(unary_rows), [&](auto &r) { return r.op == op; });
    return row == std::end(unary_rows) ? nullptr : row;
}

const BinaryRow *binary_row(std::string_view op)
{
    const auto row = std::find_if(std::begin(binary_rows), std::end(binary_rows), [&](auto &r) { return r.op == op; });
    return row == std::end(binary_rows) ? nullptr : row;
}

/// The operand with the rank of the output and stride 0 where it repeats; nothing when it does not spread to it.
std::optional<Layout> spread(const Layout &from, const Shape &dims)
{
    if (from.rank() > dims.size())
        return std::nullopt;
    const size_t missing = dims.size() - from.rank();
    Layout to{from.type, dims, std::vector<int64_t>(dims.size(), 0)};
    for (size_t axis = 0; axis < from.rank(); axis++) {
        if (from.dims[axis] == dims[axis + missing])
            to.strides[axis + missing] = from.strides[axis];
        else if (from.dims[axis] != 1)
            return std::nullopt;
    }
    return to;
}

Quantisation grid_of(const Attributes &attributes, Type type)
{
    return {attributes.number("scale", 1), static_cast<int32_t>(attributes.integer("zero_point", 0)), type == Type::s8};
}

/// Where to read an operand: in the result's order of axes. In another, its numbers would be gathered one by one.
Layout in_order(const Layout &operand, const Layout &out)
{
    if (operand.rank() != out.rank())
        return operand;
    for (size_t axis = 0; axis < operand.rank(); axis++)
        if (operand.strides[axis] == 0 && operand.dims[axis] > 1)
            return operand; // repeated without a copy
    const Layout ordered = Layout::like(out, operand.type, operand.dims);
    return Layout::like(operand, operand.type, operand.dims).same_places(ordered) ? operand : ordered;
}

/// Appends the operand `index` of the node to the chain; "" or why not. `post`: whose operand it is.
std::string add_operand(Chain &chain, std::vector<Reads> &in, const NodeFacts &facts, size_t index, const Layout &out,
                        const PostOp *post = nullptr)
{
    const Layout layout = in_order(facts.in[index].layout, out);
    const bool quantised = post && post->attributes.has("scale") && is_8_bit(layout.type);
    if (!is_float(layout.type) && !quantised)
        return "an operand is no float";
    auto wide = spread(layout, out.dims);
    if (!wide)
        return "an operand of a post-op does not spread to its sizes";
    chain.operands.push_back(*wide);
    chain.grids.push_back(quantised ? grid_of(post->attributes, layout.type) : Quantisation());
    in.push_back({index, layout});
    return "";
}

/// The post-ops from `first` on as stages; "" or why not. The operands of all post-ops follow the node's inputs.
std::string add_post_ops(Chain &chain, std::vector<Reads> &in, const NodeFacts &facts, size_t first, const Layout &out)
{
    size_t operand = facts.node.inputs.size();
    for (size_t i = 0; i < facts.node.post_ops.size(); i++) {
        const PostOp &post = facts.node.post_ops[i];
        const bool binary = post.kind == PostOp::Kind::binary;
        if (chain.made_on)
            return "something follows its quantisation";
        if (i >= first && post.op->name == "QuantizeLinear") {
            chain.made_on = quantisation(post);
            if (!chain.made_on)
                return "its result is quantised to other than 8 bits";
        } else if (i >= first && post.op->name == "Cast") {
            if (!is_float(type_after(post, Type::f32)))
                return "its result is cast to no float";
        } else if (i >= first && !binary) {
            const UnaryRow *row = unary_row(post.op->name);
            if (!row)
                return "the post-op " + std::string(post.op->name) + " has no vector function";
            chain.stages.push_back(row->stage(post.attributes));
        } else if (i >= first) {
            const BinaryRow *row = binary_row(post.op->name);
            if (!row)
                return "the post-op " + std::string(post.op->name) + " has no vector function";
            chain.stages.push_back({row->function, 0, 0, static_cast<int>(chain.operands.size())});
            if (auto fault = add_operand(chain, in, facts, operand, out, &post); !fault.empty())
                return fault;
        }
        operand += binary;
    }
    return "";
}

/// The order of axes in which most of the work lies.
Layout output_layout(const NodeFacts &facts)
{
    const Layout &dense = facts.out[0];
    for (const Operand &operand : facts.in)
        if (operand && operand.layout.dims == dense.dims && !operand.constant) {
            // Small numbers are put in another order faster than the large ones that they become.
            const bool grows = size_of(operand.layout.type) < size_of(dense.type);
            return facts.is_result && grows ? dense : Layout::like(operand.layout, dense.type, dense.dims);
        }
    return dense;
}

/// Has the choice, whose output is known, computed by the chain.
void compute(Choice &choice, const Chain &chain, int threads)
{
    auto kernel = std::make_unique<Elementwise>(chain, choice.out[0], threads);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
}

Attempt finish(const NodeFacts &facts, Chain chain, std::vector<Reads> in)
{
    const Layout out = output_layout(facts);
    if (auto fault = add_post_ops(chain, in, facts, 0, out); !fault.empty())
        return fault;
    Choice choice;
    choice.in = std::move(in);
    choice.out = {out};
    choice.post_ops = facts.node.post_ops.size();
    compute(choice, chain, facts.threads);
    return choice;
}

std::optional<float> scalar(const NodeFacts &facts, size_t input)
{
    const Tensor *constant = facts.constant(input);
    if (!constant || !is_float(constant->type()) || constant->count() != 1)
        return std::nullopt;
    return constant->converted(Type::f32).data<float>()[0];
}

} // namespace

std::optional<UnaryStage> unary_stage(const PostOp &post)
{
    const UnaryRow *row = post.kind == PostOp::Kind::unary ? unary_row(post.op->name) : nullptr;
    if (!row)
        return {};
    const Stage stage = row->stage(post.attributes);
    return UnaryStage{vector_function(stage.function), stage.a, stage.b};
}

UnaryStages unary_stages(const Node &node, size_t first, Type type, bool casts)
{
    UnaryStages result{{}, 0, type};
    for (size_t i = first; i < node.post_ops.size(); i++) {
        const PostOp &post = node.post_ops[i];
        if (const auto stage = unary_stage(post)) {
            result.stages.push_back(*stage);
        } else if (!casts || post.op->name != "Cast" || !is_float(type_after(post, type))) {
            break;
        }
        result.made = type_after(post, result.made);
        result.count++;
    }
    return result;
}

std::optional<Quantisation> quantisation(const PostOp &post)
{
    const Type type = type_after(post, Type::f32);
    return post.op->name == "QuantizeLinear" && is_8_bit(type) ? std::optional(grid_of(post.attributes, type))
                                                               : std::nullopt;
}

std::optional<std::array<float, 2>> bounds_of(const UnaryStage &stage)
{
    for (Function function : {Function::relu, Function::clip})
        if (stage.apply == vector_function(function))
            return bounds_of(function, stage.a, stage.b);
    return {};
}

std::optional<std::array<float, 2>> take_bounds(UnaryStages &unary)
{
    const auto bounds = unary.stages.empty() ? std::nullopt : bounds_of(unary.stages.front());
    if (bounds)
        unary.stages.erase(unary.stages.begin());
    return bounds;
}

std::optional<std::vector<float>> numbers_by_channel(const Operand &operand, const Shape &out, size_t axis)
{
    if (!operand.constant || !is_float(operand.layout.type) || operand.layout.rank() > out.size())
        return {};
    const size_t missing = out.size() - operand.layout.rank();
    for (size_t i = 0; i < operand.layout.rank(); i++)
        if (operand.layout.dims[i] != 1 && (i + missing != axis || operand.layout.dims[i] != out[axis]))
            return {};
    const Tensor constant = operand.constant->converted(Type::f32);
    std::vector<float> numbers(constant.data<float>(), constant.data<float>() + constant.count());
    if (numbers.size() == 1)
        numbers.assign(static_cast<size_t>(out[axis]), numbers[0]);
    return numbers;
}

Attempt attempt_unary(const NodeFacts &facts)
{
    if (!is_float(facts.type(0)))
        return "no float";
    Attributes attributes = facts.attributes();
    for (size_t i = 1; i < facts.node.inputs.size(); i++) {
        if (!facts.has(i))
            continue;
        const auto bound = scalar(facts, i);
        if (facts.node.op->name != "Clip" || !bound)
            return "a bound is computed";
        attributes.set(i == 1 ? "min" : "max", *bound);
    }
    Chain chain;
    std::vector<Reads> in;
    add_operand(chain, in, facts, 0, output_layout(facts));
    chain.stages.push_back(unary_row(facts.node.op->name)->stage(attributes));
    return finish(facts, std::move(chain), std::move(in));
}

Attempt attempt_binary(const NodeFacts &facts)
{
    const BinaryRow &row = *binary_row(facts.node.op->name);
    const Shape &dims = facts.out[0].dims;
    const Layout out = output_layout(facts);
    // A full-sized operand goes first: the chain starts from its memory.
    std::vector<size_t> order(facts.node.inputs.size());
    for (size_t i = 0; i < order.size(); i++)
        order[i] = i;
    const bool swap = order.size() == 2 && facts.dims(0) != dims && facts.dims(1) == dims && row.reversed;
    if (swap)
        std::swap(order[0], order[1]);
    Chain chain;
    std::vector<Reads> in;
    for (size_t i = 0; i < order.size(); i++) {
        if (i > 0)
            chain.stages.push_back({swap ? *row.reversed : row.function, 0, 0, static_cast<int>(i)});
        if (auto fault = add_operand(chain, in, facts, order[i], out); !fault.empty())
            return fault;
    }
    return finish(facts, std::move(chain), std::move(in));
}

Attempt attempt_dequantise(const NodeFacts &facts)
{
    const Tensor *scale = facts.constant(1), *zero = facts.constant(2);
    if (!is_8_bit(facts.type(0)) || !scale || scale->count() != 1 || scale->type() != Type::f32 ||
        (facts.has(2) && (!zero || zero->count() != 1)) || facts.attributes().integer("block_size", 0) != 0)
        return "it has not one constant scale and zero point for 8-bit integers and f32";
    const Layout in = in_order(facts.in[0].layout, output_layout(facts));
    Chain chain;
    chain.operands.push_back(*spread(in, facts.out[0].dims));
    chain.grids.push_back(
        {scale->data<float>()[0], zero ? zero->converted(Type::s32).data<int32_t>()[0] : 0, facts.type(0) == Type::s8});
    return finish(facts, std::move(chain), {{0, in}});
}

Attempt attempt_power(const NodeFacts &facts)
{
    const auto exponent = scalar(facts, 1);
    if (!exponent)
        return "not a float to a constant power";
    Chain chain;
    std::vector<Reads> in;
    if (auto fault = add_operand(chain, in, facts, 0, output_layout(facts)); !fault.empty())
        return fault;
    if (*exponent == 2.f)
        chain.stages.push_back({Function::square});
    else if (*exponent == 0.5f)
        chain.stages.push_back({Function::sqrt});
    else if (*exponent == 1.f)
        chain.stages.push_back({});
    else if (*exponent == -1.f)
        chain.stages.push_back({Function::reciprocal});
    else
        return "the power is neither 2, 1, 1/2 nor -1";
    return finish(facts, std::move(chain), std::move(in));
}

Attempt attempt_post_ops(const NodeFacts &facts, const Layout &value, size_t first)
{
    if (!is_float(value.type))
        return "its post-ops are not on floats";
    Chain chain;
    std::vector<Reads> in;
    chain.operands.push_back(value);
    chain.grids.emplace_back();
    if (auto fault = add_post_ops(chain, in, facts, first, value); !fault.empty())
        return fault;
    Choice choice;
    choice.in = std::move(in);
    choice.out = {Layout{facts.out[0].type, value.dims, value.strides}};
    compute(choice, chain, facts.threads);
    return choice;
}

} // namespace leat::cpu
