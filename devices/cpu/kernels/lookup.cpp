#include "devices/cpu/kernel.h"
#include "devices/cpu/strided.h"
#include "devices/cpu/team.h"
#include "lookup_bytes.h"

#include <algorithm>
#include <array>

namespace leat::cpu {
namespace {

/// By the byte that stands for a number, whether signed or not.
using Table = std::array<uint8_t, 256>;

/// Looks up bytes that lie in whatever layout.
class Lookup final : public Kernel {
  public:
    Lookup(const Table &table, const Layout &in, const Layout &out, int threads)
        : table_(table), threads_(in.count() < 65536 ? 1 : threads)
    {
        loops_.sizes = out.dims;
        loops_.strides = {in.strides, out.strides};
        loops_.simplify(1);
        const bool in_line = std::all_of(loops_.strides.begin(), loops_.strides.end(),
                                         [](const auto &strides) { return strides.back() == 1; });
        const size_t inner = loops_.depth() - 1;
        if (in_line && inner == 0) {
            line_ = loops_.sizes[0];
            return;
        }
        outer_loops_ = in_line ? inner - 1 : inner;
        rows_ = {loops_.sizes[outer_loops_], in_line ? loops_.sizes[inner] : 1, loops_.strides[0][outer_loops_],
                 loops_.strides[1][outer_loops_]};
    }

    void run(const Launch &launch) const override
    {
        const auto *from = reinterpret_cast<const uint8_t *>(launch.in[0]);
        auto *to = reinterpret_cast<uint8_t *>(launch.out[0]);
        if (line_ > 0)
            return parallel_for(line_, threads_, [&](int64_t first, int64_t last) {
                lookup_bytes(to + first, from + first, {1, last - first, 0, 0}, table_.data());
            });
        parallel_for(loops_.turns(outer_loops_) * rows_.rows, threads_, [&](int64_t first, int64_t last) {
            for (int64_t done = 0; first < last; first += done)
                done = look_up(to, from, first, last);
        });
    }

  private:
    Table table_;
    Loops loops_;      // input, output
    int64_t line_ = 0; // bytes, when all of them lie in one line
    size_t outer_loops_ = 0;
    ByteRows rows_{}; // of one turn of the outer loops
    int threads_;

    /// Rows from `first` on, of those before `last`; returns how many.
    int64_t look_up(uint8_t *to, const uint8_t *from, int64_t first, int64_t last) const
    {
        std::array<int64_t, 2> offsets{};
        loops_.offsets(first / rows_.rows, outer_loops_, offsets);
        const int64_t row = first % rows_.rows;
        ByteRows rows = rows_;
        rows.rows = std::min(last - first, rows_.rows - row);
        lookup_bytes(to + offsets[1] + row * rows.to, from + offsets[0] + row * rows.from, rows, table_.data());
        return rows.rows;
    }
};

} // namespace

Attempt attempt_lookup(const NodeFacts &facts)
{
    const Tensor *entries = facts.constant(1);
    if (!entries || !is_8_bit(entries->type()))
        return "its table is not of constant 8-bit integers";
    Table table;
    const size_t zero = facts.type(0) == Type::s8 ? 128 : 0;
    for (size_t byte = 0; byte < table.size(); byte++)
        table[byte] = std::to_integer<uint8_t>(entries->raw()[(byte + zero) % table.size()]);
    const Layout &in = facts.in[0].layout;
    Choice choice;
    choice.in = {{0, in}};
    choice.out = {Layout::like(in, entries->type(), in.dims)};
    choice.kernel = std::make_unique<Lookup>(table, in, choice.out[0], facts.threads);
    return choice;
}

} // namespace leat::cpu
