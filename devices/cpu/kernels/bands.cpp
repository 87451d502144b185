#include "bands.h"

#include "convolution.h"
#include "devices/cpu/team.h"
#include "post_ops.h"
#include "window.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace leat::cpu {
namespace {

/// What lies between the convolutions has room in the second cache, beside weights and what comes and goes.
constexpr size_t cache = 512 * 1024;
/// Fewer bytes before the depthwise convolution come back from the third cache as fast as they are wanted.
constexpr size_t worthwhile = 2 * 1024 * 1024;

/// Rows of a convolution's result: many at a time, or one.
struct Stage {
    std::shared_ptr<Kernel> band, row; ///< `row` is absent where it is never asked for
    int64_t rows = 0, stride = 1;      ///< of a band; rows of the input for each
    size_t in_row = 0, out_row = 0;    ///< bytes
    std::string name{};                ///< of the kernel, for people
};

/// The chain's convolutions. The last one may be missing: it has no kernels then.
struct Chain {
    Stage expanding, depthwise, projecting;
    int64_t pictures = 1, in_rows = 1, out_rows = 1;
    int64_t kernel = 1, pad = 0; ///< of the windows, downwards
    int64_t bands() const { return (out_rows + depthwise.rows - 1) / depthwise.rows; }
    /// Rows that one window has in common with the next.
    int64_t shared() const { return kernel - depthwise.stride; }
    size_t window_bytes() const
    {
        return in_lines(static_cast<size_t>((depthwise.rows - 1) * depthwise.stride + kernel) * depthwise.in_row);
    }
    size_t between_bytes() const
    {
        return projecting.band ? in_lines(static_cast<size_t>(depthwise.rows) * depthwise.out_row) : 0;
    }
};

class Bands final : public Kernel {
  public:
    /// `scratch`: bytes for the kernels of one part.
    Bands(Chain chain, int64_t parts, size_t scratch)
        : c_(std::move(chain)), parts_(parts), scratch_(in_lines(scratch) + c_.window_bytes() + c_.between_bytes())
    {
    }

    size_t scratch() const { return scratch_ * static_cast<size_t>(parts_); }

    void prepare() override
    {
        for (const Stage *stage : {&c_.expanding, &c_.depthwise, &c_.projecting})
            for (Kernel *kernel : {stage->band.get(), stage->row.get()})
                if (kernel)
                    kernel->prepare();
    }

    void run(const Launch &launch) const override
    {
        if (!launch.kept)
            launch.kept = std::make_shared<std::vector<Kept>>(static_cast<size_t>(parts_));
        auto &kept = *static_cast<std::vector<Kept> *>(launch.kept.get());
        const int64_t bands = c_.pictures * c_.bands();
        parallel_for(parts_, static_cast<int>(parts_), [&](int64_t first, int64_t last) {
            with_one_thread([&] {
                for (int64_t i = first; i < last; i++) {
                    const auto index = static_cast<size_t>(i);
                    Part part{launch, kept[index], launch.scratch + index * scratch_};
                    run_bands(part, bands * i / parts_, bands * (i + 1) / parts_);
                }
            });
        });
    }

  private:
    /// What the kernels of a part want to find again, for bands and for single rows.
    struct Kept {
        std::array<std::shared_ptr<void>, 2> expanding, depthwise, projecting;
    };

    /// What one thread works on.
    struct Part {
        const Launch &launch;
        Kept &kept;
        std::byte *window; ///< rows of what the depthwise convolution reads, its padding included
    };

    const Chain c_;
    const int64_t parts_;
    const size_t scratch_; // of each part

    void run_bands(Part &part, int64_t first, int64_t last) const
    {
        const size_t out_row = (c_.projecting.band ? c_.projecting : c_.depthwise).out_row;
        for (int64_t at = first; at < last; at++) {
            const int64_t picture = at / c_.bands(), row = at % c_.bands() * c_.depthwise.rows;
            run_band(part, part.launch.in[0] + static_cast<size_t>(picture * c_.in_rows) * c_.expanding.in_row,
                     part.launch.out[0] + static_cast<size_t>(picture * c_.out_rows + row) * out_row, row,
                     at == first || row == 0);
        }
    }

    void run_band(Part &part, const std::byte *in, std::byte *out, int64_t row, bool is_first) const
    {
        const Stage &windows = c_.depthwise;
        const int64_t rows = std::min(windows.rows, c_.out_rows - row), shared = c_.shared();
        const int64_t top = row * windows.stride - c_.pad;
        if (is_first)
            expand(part, in, top, top, shared);
        else // they end the window before, which was of a whole band
            std::memmove(part.window, part.window + row_bytes(windows.rows * windows.stride), row_bytes(shared));
        expand(part, in, top, top + shared, rows * windows.stride);
        std::byte *between = part.window + c_.window_bytes(), *room = between + c_.between_bytes();
        const bool projects = c_.projecting.band != nullptr;
        run_rows(part, windows, part.kept.depthwise, rows, part.window, projects ? between : out, room, !projects);
        if (projects)
            run_rows(part, c_.projecting, part.kept.projecting, rows, between, out, room, true);
    }

    size_t row_bytes(int64_t rows) const { return static_cast<size_t>(rows) * c_.depthwise.in_row; }

    /// Makes `count` rows of the window, which begins with the row `top`, from the row `first` on; those beyond the
    /// picture are zero.
    void expand(Part &part, const std::byte *in, int64_t top, int64_t first, int64_t count) const
    {
        const Stage &stage = c_.expanding;
        const int64_t last = first + count;
        int64_t begin = std::clamp<int64_t>(0, first, last);
        const int64_t end = std::clamp(c_.in_rows, begin, last);
        std::memset(part.window + row_bytes(first - top), 0, row_bytes(begin - first));
        std::memset(part.window + row_bytes(end - top), 0, row_bytes(last - end));
        // A band that is nearly whole takes in some rows before, which are the same again.
        const int64_t missing = stage.rows - (end - begin);
        if (missing > 0 && missing < stage.rows / 2 && begin - missing >= std::max<int64_t>(top, 0))
            begin -= missing;
        run_rows(part, stage, part.kept.expanding, end - begin, in + static_cast<size_t>(begin) * stage.in_row,
                 part.window + row_bytes(begin - top), part.window + c_.window_bytes() + c_.between_bytes(), false);
    }

    void run_rows(Part &part, const Stage &stage, std::array<std::shared_ptr<void>, 2> &kept, int64_t rows,
                  const std::byte *in, std::byte *out, std::byte *room, bool is_last) const
    {
        std::vector<const std::byte *> read{in};
        if (is_last)
            read.insert(read.end(), part.launch.in.begin() + 1, part.launch.in.end());
        if (rows == stage.rows)
            return stage.band->run({read, {&out, 1}, room, kept[0], {}});
        for (int64_t i = 0; i < rows; i++) {
            stage.row->run({read, {&out, 1}, room, kept[1], {}});
            read[0] += static_cast<size_t>(stage.stride) * stage.in_row;
            out += stage.out_row;
        }
    }
};

bool is_pictures(const NodeFacts &facts)
{
    return facts.node.op->name == "Conv" && facts.has(1) && facts.dims(0).size() == 4 &&
           onednn::convolution_fault(facts).empty();
}

bool is_pointwise(const NodeFacts &facts)
{
    if (!is_pictures(facts) || facts.attributes().integer("group", 1) != 1)
        return false;
    return onednn::are_pixels(whole_convolution(facts).axes);
}

bool is_depthwise(const NodeFacts &facts)
{
    if (!is_pictures(facts))
        return false;
    const int64_t channels = facts.dims(0)[1];
    const auto axes = whole_convolution(facts).axes;
    return channels > 1 && facts.attributes().integer("group", 1) == channels && facts.dims(1)[0] == channels &&
           axes[0].dilation == 1 && axes[0].kernel > 1 && axes[0].stride <= axes[0].kernel &&
           axes[0].pad_begin < axes[0].kernel;
}

size_t bytes_of_row(const Layout &layout)
{
    return static_cast<size_t>(layout.dims[1] * layout.dims[3]) * size_of(layout.type);
}

/// Height of bands that fit into the cache; 0 when none does. Best are equal ones, as many for each thread.
int64_t rows_of_band(const Slice &windows, size_t between_row, int threads)
{
    const WindowAxis &axis = windows.axes[0];
    const size_t in_row = bytes_of_row(windows.in);
    int64_t most = 0;
    const auto fits = [&](int64_t rows) {
        const int64_t reach = (rows - 1) * axis.stride + axis.kernel;
        return reach <= axis.input &&
               static_cast<size_t>(reach) * in_row + static_cast<size_t>(rows) * between_row <= cache;
    };
    while (most < axis.output && fits(most + 1))
        most++;
    for (int64_t shares : {int64_t(threads), int64_t(1)})
        for (int64_t rows = most; rows > most / 2; rows--)
            if (axis.output % (rows * shares) == 0)
                return rows;
    return most;
}

/// `name`: of the kernel.
Choice solve_rows(const NodeFacts &facts, const Slice &rows, std::string &name)
{
    const bool pixels = onednn::are_pixels(rows.axes);
    Attempt attempt = pixels ? attempt_pointwise(facts, rows) : attempt_depthwise(facts, rows);
    if (auto *choice = std::get_if<Choice>(&attempt)) {
        name = pixels ? "pointwise" : "depthwise";
        return std::move(*choice);
    }
    Choice choice = solve_convolution(facts, rows);
    name = "oneDNN " + choice.detail;
    return choice;
}

/// The kernels of a stage, `row_too` that for single rows; `all` gets their choices, for what they need.
Stage solve_stage(const NodeFacts &facts, const Slice &whole, int64_t rows, bool row_too, std::vector<Choice> &all)
{
    Slice windows = whole;
    windows.axes[0].pad_begin = 0; // it lies in memory
    Stage stage;
    stage.rows = rows;
    stage.stride = whole.axes[0].stride;
    stage.in_row = bytes_of_row(whole.in);
    stage.out_row = bytes_of_row(whole.out);
    all.push_back(solve_rows(facts, rows_of(windows, 0, 0, rows), stage.name));
    stage.band = std::move(all.back().kernel);
    if (row_too && rows > 1) {
        std::string name; // that of the band speaks for both
        all.push_back(solve_rows(facts, rows_of(windows, 0, 0, 1), name));
        stage.row = std::move(all.back().kernel);
    }
    return stage;
}

/// "" when the kernels do the whole of the node as the chain wants it.
std::string fault_of(const NodeFacts &facts, std::span<const Choice> choices, bool is_last)
{
    for (const Choice &choice : choices) {
        if (onednn::is_slow(choice.detail))
            return "there is no fast kernel for the bands";
        if (choice.post_ops != facts.node.post_ops.size() || choice.out[0].type != facts.out[0].type)
            return "a convolution leaves post-ops";
        const bool adds = choice.in.size() == 2 && choice.in_place == 1;
        if (choice.in.size() > 1 && !(is_last && adds))
            return "a convolution reads another tensor";
    }
    return "";
}

Attempt solve(std::span<const NodeFacts> chain)
{
    const bool projects = chain.size() > 2;
    const NodeFacts &first = chain.front(), &windows = chain[1], &last = chain.back();
    if (!is_pointwise(first) || !is_depthwise(windows) || (projects && !is_pointwise(last)))
        return "they are no 1x1 and depthwise convolutions in turn";
    const Slice all = whole_convolution(windows);
    const WindowAxis axis = all.axes[0];
    if (all.in.bytes() / static_cast<size_t>(all.in.dims[0]) < worthwhile)
        return "what lies between them stays in the cache";
    const int threads = std::max_element(chain.begin(), chain.end(), [](const NodeFacts &a, const NodeFacts &b) {
                            return a.threads < b.threads;
                        })->threads;
    const int64_t rows = rows_of_band(all, projects ? bytes_of_row(all.out) : 0, threads);
    if (rows < 2)
        return "a band has no room in the cache";

    std::vector<Choice> choices;
    Chain c;
    c.pictures = all.in.dims[0];
    c.in_rows = axis.input;
    c.out_rows = axis.output;
    c.kernel = axis.kernel;
    c.pad = axis.pad_begin;
    std::string fault, kernels;
    size_t begin = 0;
    const auto stage = [&](const NodeFacts &facts, const Slice &whole, int64_t of_band, bool row_too) {
        Stage made = solve_stage(facts, whole, of_band, row_too, choices);
        kernels += (kernels.empty() ? "" : ", ") + made.name;
        if (fault.empty())
            fault = fault_of(facts, std::span(choices).subspan(begin), &facts == &last);
        begin = choices.size();
        return made;
    };
    const bool uneven = axis.output % rows != 0;
    c.expanding = stage(first, whole_convolution(first), rows * axis.stride, true);
    c.depthwise = stage(windows, all, rows, uneven);
    if (projects)
        c.projecting = stage(last, whole_convolution(last), rows, uneven);
    if (!fault.empty())
        return fault;

    Choice choice;
    size_t scratch = 0;
    for (const Choice &each : choices)
        scratch = std::max(scratch, each.scratch);
    choice.in = {{0, whole_convolution(first).in}};
    choice.out = {Layout::channels_last(last.out[0].type, last.out[0].dims)};
    choice.post_ops = last.node.post_ops.size();
    if (choices.back().in_place) {
        choice.in_place = 1;
        choice.in.push_back({choices.back().in[1].operand, choice.out[0]});
    }
    choice.detail = std::to_string(c.pictures * c.bands()) + " bands of " + kernels;
    const int64_t parts = std::min<int64_t>(threads, c.pictures * c.bands());
    auto kernel = std::make_unique<Bands>(std::move(c), parts, scratch);
    choice.scratch = kernel->scratch();
    choice.kernel = std::move(kernel);
    return choice;
}

} // namespace

Attempt attempt_bands(std::span<const NodeFacts> chain)
{
    return onednn::or_refusal([&] { return solve(chain); });
}

} // namespace leat::cpu
