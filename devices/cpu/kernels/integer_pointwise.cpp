#include "devices/cpu/team.h"
#include "integer_stages.h"
#include "pixels.h"

#include <algorithm>

namespace leat::cpu {
namespace {

/// Rows of 8-bit integers times weights.
class IntegerRows final : public Kernel {
  public:
    IntegerRows(const Product &product, Constant weights, IntegerScaling scaling, IntegerStages stages, int threads)
        : p_(product), weights_(std::move(weights)), scaling_(std::move(scaling)), stages_(std::move(stages)),
          bias_(in_blocks(stages_.ending.bias)),
          at_once_(p_.rows_at_once((stages_.narrows() ? 32 : 192) * 1024, element(), threads)), threads_(threads)
    {
    }

    /// Bytes, for each thread: what sums start from, where the numbers of a row lie, rows that are gathered, and what
    /// it makes as f32, when it becomes integers later.
    size_t scratch() const { return static_cast<size_t>(threads_ * part_bytes()); }

    void prepare() override
    {
        weights_.tensor();
        scaling_.weight_sums.tensor();
    }

    void run(const Launch &launch) const override
    {
        parallel_parts(threads_, [&](int64_t part) { run_part(launch, part); });
    }

  private:
    const Product p_;
    const Constant weights_;
    const IntegerScaling scaling_;
    const IntegerStages stages_;
    const std::vector<float> bias_;
    const int64_t at_once_; ///< rows
    const int threads_;

    int64_t element() const { return static_cast<int64_t>(size_of(stages_.ending.out)); }
    int64_t table_bytes() const { return in_lines(p_.numbers() * static_cast<int64_t>(sizeof(std::byte *))); }
    int64_t room_bytes() const { return stages_.narrows() ? in_lines(at_once_ * p_.outs * window_number) : 0; }
    int64_t part_bytes() const
    {
        return scaling_.start_bytes() + table_bytes() + p_.gathered_bytes(at_once_) + room_bytes();
    }

    void run_part(const Launch &launch, int64_t part) const
    {
        std::byte *scratch = launch.scratch + part * part_bytes();
        auto *taps = reinterpret_cast<const std::byte **>(scratch + scaling_.start_bytes());
        std::byte *rows = scratch + scaling_.start_bytes() + table_bytes(), *room = rows + p_.gathered_bytes(at_once_);
        const IntegerSums integers = scaling_.begin(scratch, launch);
        const auto padding = static_cast<std::byte>(scaling_.source_zero_point(launch));
        p_.find_taps(taps, p_.gathered ? rows : launch.in[0]);
        const Tensor weights = weights_.tensor();
        WindowSums w{.taps = taps,
                     .count = p_.numbers(),
                     .last_tap = p_.numbers(),
                     .step = p_.step,
                     .weights = weights.raw(),
                     .bias = bias_.data(),
                     .added = stages_.added.has_value(),
                     .bounds = stages_.bounds,
                     .outs = p_.outs,
                     .made = stages_.summed(),
                     .integers = &integers};
        w.stride = p_.outs * static_cast<int64_t>(size_of(w.made));
        const int64_t end = p_.rows * (part + 1) / threads_;
        for (int64_t first = p_.rows * part / threads_, last = first; first < end; first = last) {
            last = std::min(end, first + at_once_);
            std::byte *out = launch.out[0] + first * p_.outs * element();
            std::byte *sums = stages_.narrows() ? room : out;
            if (p_.gathered)
                p_.gather(rows, launch.in[0], first, last, padding);
            w.first = p_.gathered ? 0 : first;
            w.last = w.first + last - first;
            window_sums_s8(sums - w.first * w.stride, w);
            stages_.finish(out, reinterpret_cast<float *>(sums), (last - first) * p_.outs);
        }
    }
};

/// Rows whose integers are no fours are gathered, with room for what the last four lacks.
Product in_fours(Product product, int64_t rows)
{
    constexpr int64_t four = window_number;
    if (product.ins % four == 0)
        return product;
    if (!product.gathered) {
        Pixels pixels;
        pixels.x.output = pixels.x.input = rows;
        pixels.pixel = product.step;
        pixels.channels = product.ins;
        product.gathered = pixels;
    }
    product.ins = product.step = (product.ins + four - 1) / four * four;
    return product;
}

Attempt attempt(const NodeFacts &facts, const IntegerProduct &known, const Slice &slice, const Product &product,
                const WindowWeights &weights)
{
    auto stages = integer_stages(facts, known, weights.ins);
    if (!stages)
        return "others do more of its post-ops";
    const int threads = product.rows < window_pixels ? 1 : facts.threads;
    Choice choice = integer_choice(facts, known, *stages, slice, threads);
    auto kernel = std::make_unique<IntegerRows>(product, weights_in_groups(facts.weights, known.weights, weights),
                                                integer_scaling(facts, known, *stages, weights), *stages, threads);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

/// The node as a product, or why it is none that is best made here. Others take few weights that have zeros.
/// `takes_zero`: it is best made here when its source has a zero point, too.
std::variant<IntegerProduct, std::string> product_of(const NodeFacts &facts, bool takes_zero)
{
    auto known = integer_product(facts, true);
    if (const auto *product = std::get_if<IntegerProduct>(&known)) {
        const bool others_would = product->weight_zeros.empty() && !(takes_zero && product->zero_point != 0);
        const auto fault = others_would ? window_sums_fault(facts.type(0)) : window_sums_fault(facts.type(0), 0);
        if (!fault.empty())
            return fault;
    }
    return known;
}

/// Whether a convolution of pixels whose source has a zero point is done here before oneDNN's tiles have caught up.
bool is_short(const NodeFacts &facts)
{
    constexpr int64_t multiplications = 16'000'000; // by which tiles have
    constexpr int64_t row_of_a_tile = 64;           // integers; fewer fill only a part of it
    const int64_t ins = facts.dims(1)[1];
    return onednn::begins_slowly_with_zero_points() &&
           facts.out[0].count() * ins <= multiplications * facts.threads * (ins < row_of_a_tile ? 2 : 1);
}

} // namespace

Attempt attempt_integer_pointwise(const NodeFacts &facts)
{
    const Shape &weights = facts.dims(1);
    if (facts.dims(0).size() < 3 || facts.dims(0).size() > 5 || weights.size() != facts.dims(0).size() ||
        facts.attributes().integer("group", 1) != 1 || count_of(weights) != weights[0] * weights[1])
        return "it is no convolution of pixels";
    auto known = product_of(facts, is_short(facts));
    if (auto *fault = std::get_if<std::string>(&known))
        return *fault;
    const auto axes = windows_of(facts.attributes(), facts.dims(0), onednn::spatial(weights));
    const Slice slice{Layout::channels_last(facts.type(0), facts.dims(0)),
                      Layout::channels_last(facts.out[0].type, facts.out[0].dims), axes};
    const auto step = onednn::are_pixels(axes) ? step_of(slice.in) : std::nullopt;
    if (!step && axes.size() > 2)
        return "its pixels lie apart on three axes";
    const Product product =
        in_fours(product_of_pixels(slice.in, axes, weights[0], step), slice.in.count() / weights[1]);
    return attempt(facts, std::get<IntegerProduct>(known), slice, product, window_weights(weights));
}

Attempt attempt_integer_rows(const NodeFacts &facts)
{
    auto known = product_of(facts, false);
    if (auto *fault = std::get_if<std::string>(&known))
        return *fault;
    const int64_t ins = facts.dims(1)[0], outs = facts.dims(1)[1];
    const int64_t rows = ins > 0 ? count_of(facts.dims(0)) / ins : 0;
    if (rows == 0)
        return "it has no rows";
    const Slice slice{Layout::dense(facts.type(0), {rows, ins}), Layout::dense(facts.out[0].type, {rows, outs}), {}};
    const Product product = in_fours(product_of_rows(facts.type(0), rows, ins, outs, ins), rows);
    Attempt made = attempt(facts, std::get<IntegerProduct>(known), slice, product, {outs, ins, 1, 1, outs, 1});
    if (auto *choice = std::get_if<Choice>(&made)) {
        choice->in[0].layout = Layout::dense(facts.type(0), facts.dims(0));
        choice->out[0] = facts.out[0];
        if (choice->in_place)
            choice->in[*choice->in_place].layout = facts.out[0];
    }
    return made;
}

} // namespace leat::cpu
