#include "copy_block.h"
#include "devices/cpu/kernel.h"
#include "devices/cpu/strided.h"
#include "devices/cpu/team.h"
#include "interleave_rows.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace leat::cpu {
namespace {

/// Below this many bytes a second thread costs more than it saves.
constexpr int64_t worth_threads = 64 << 10;

int threads_for(int64_t bytes, int threads)
{
    return bytes < worth_threads ? 1 : threads;
}

/// Copies blocks that are contiguous, in the source perhaps but for every second element, a row of blocks at a time.
class BlockCopy final : public Kernel {
  public:
    BlockCopy(Loops loops, size_t element, int threads) : loops_(std::move(loops)), element_(element)
    {
        every_second_ = loops_.strides[0].back() == 2;
        if (loops_.depth() == 1) {
            loops_.sizes.insert(loops_.sizes.begin(), 1);
            for (auto &strides : loops_.strides)
                strides.insert(strides.begin(), 0);
        }
        for (auto &strides : loops_.strides)
            for (int64_t &stride : strides)
                stride *= static_cast<int64_t>(element);
        const size_t row = loops_.depth() - 2;
        block_ = static_cast<size_t>(loops_.sizes.back()) * element;
        blocks_ = loops_.sizes[row];
        in_step_ = loops_.strides[0][row];
        out_step_ = loops_.strides[1][row];
        rows_ = loops_.turns(row);
        // Few long rows are divided among the threads by their blocks.
        threads_ = threads_for(rows_ * blocks_ * static_cast<int64_t>(block_), threads);
    }

    void run(const Launch &launch) const override
    {
        parallel_for(rows_ * blocks_, threads_, [&](int64_t first, int64_t last) {
            std::array<int64_t, 2> at{};
            for (int64_t turn = first; turn < last;) {
                const int64_t skipped = turn % blocks_, count = std::min(blocks_ - skipped, last - turn);
                loops_.offsets(turn / blocks_, loops_.depth() - 2, at);
                copy_row(launch.in[0] + at[0] + skipped * in_step_, launch.out[0] + at[1] + skipped * out_step_, count);
                turn += count;
            }
        });
    }

  private:
    Loops loops_; // strides in bytes
    size_t element_, block_ = 0;
    bool every_second_ = false;
    int64_t blocks_ = 1, in_step_ = 0, out_step_ = 0, rows_ = 1;
    int threads_ = 1;

    void copy_row(const std::byte *in, std::byte *out, int64_t count) const
    {
        if (every_second_)
            return take_every_second(out, in, {count, loops_.sizes.back(), in_step_, out_step_}, element_);
        for (int64_t i = 0; i < count; i++, in += in_step_, out += out_step_)
            copy_block(out, in, block_);
    }
};

/// Copies element by element, two loops at a time in tiles that stay in the cache on both sides.
template <class T> class TileCopy final : public Kernel {
  public:
    TileCopy(Loops loops, int threads) : loops_(std::move(loops))
    {
        if (loops_.depth() == 1) {
            loops_.sizes.insert(loops_.sizes.begin(), 1);
            for (auto &strides : loops_.strides)
                strides.insert(strides.begin(), 0);
        }
        // The loop in which the source is contiguous, or nearest to it, becomes the last but one.
        const size_t depth = loops_.depth();
        size_t best = 0;
        for (size_t i = 1; i + 1 < depth; i++)
            if (loops_.strides[0][i] <= loops_.strides[0][best] || loops_.sizes[best] == 1)
                best = i;
        auto to_end = [&](std::vector<int64_t> &v) {
            std::rotate(v.begin() + static_cast<ptrdiff_t>(best), v.begin() + static_cast<ptrdiff_t>(best) + 1,
                        v.end() - 1);
        };
        to_end(loops_.sizes);
        for (auto &strides : loops_.strides)
            to_end(strides);
        rows_ = loops_.sizes[depth - 2];
        columns_ = loops_.sizes[depth - 1];
        tiles_ = (rows_ + tile - 1) / tile;
        pieces_ = (columns_ + wide - 1) / wide * tiles_;
        turns_ = loops_.turns(depth - 2) * pieces_;
        threads_ = threads_for(loops_.count() * static_cast<int64_t>(sizeof(T)), threads);
    }

    void run(const Launch &launch) const override
    {
        parallel_for(turns_, threads_, [&](int64_t first, int64_t last) {
            for (int64_t turn = first; turn < last; turn++)
                copy_tile(reinterpret_cast<const T *>(launch.in[0]), reinterpret_cast<T *>(launch.out[0]), turn);
        });
    }

  private:
    static constexpr int64_t tile = 16, wide = 128; // few pages at a time where the result's rows lie apart
    Loops loops_;
    int64_t rows_ = 1, columns_ = 1;
    int64_t tiles_ = 1, pieces_ = 1, turns_ = 1; ///< of the rows, of the rows and columns, of all
    int threads_ = 1;

    /// Tiles of the same columns follow one another, so that the source's memory is read once where its rows are short.
    void copy_tile(const T *in, T *out, int64_t turn) const
    {
        const size_t depth = loops_.depth();
        std::array<int64_t, 2> at{};
        loops_.offsets(turn / pieces_, depth - 2, at);
        const int64_t row = turn % tiles_ * tile, rows = std::min(tile, rows_ - row);
        const int64_t column = turn % pieces_ / tiles_ * wide, columns = std::min(wide, columns_ - column);
        const int64_t in_row = loops_.strides[0][depth - 2], in_column = loops_.strides[0][depth - 1];
        const int64_t out_row = loops_.strides[1][depth - 2], out_column = loops_.strides[1][depth - 1];
        in += at[0] + row * in_row + column * in_column;
        out += at[1] + row * out_row + column * out_column;
        if (columns_ == 3) { // colours
            for (int64_t r = 0; r < rows; r++, in += in_row, out += out_row) {
                const T a = in[0], b = in[in_column], c = in[2 * in_column];
                out[0] = a;
                out[out_column] = b;
                out[2 * out_column] = c;
            }
            return;
        }
        if constexpr (sizeof(T) <= sizeof(uint32_t))
            if (in_row == 1 && out_column == 1)
                return transpose_rows(reinterpret_cast<std::byte *>(out), reinterpret_cast<const std::byte *>(in),
                                      {columns, rows, in_column, out_row}, sizeof(T));
        for (int64_t r = 0; r < rows; r++, in += in_row, out += out_row)
            for (int64_t c = 0; c < columns; c++)
                out[c * out_column] = in[c * in_column];
    }
};

std::unique_ptr<Kernel> make_tile_copy(Loops loops, size_t element, int threads)
{
    switch (element) {
    case 1: return std::make_unique<TileCopy<uint8_t>>(std::move(loops), threads);
    case 2: return std::make_unique<TileCopy<uint16_t>>(std::move(loops), threads);
    case 4: return std::make_unique<TileCopy<uint32_t>>(std::move(loops), threads);
    default: return std::make_unique<TileCopy<uint64_t>>(std::move(loops), threads);
    }
}

} // namespace

std::unique_ptr<Kernel> make_copy(const Layout &from, const Layout &to, int threads)
{
    Loops loops{from.dims, {from.strides, to.strides}};
    loops.simplify(1);
    const size_t element = size_of(from.type);
    const bool every_second = loops.strides[0].back() == 2 && loops.sizes.back() >= 8 && element <= 4;
    if ((loops.strides[0].back() == 1 || every_second) && loops.strides[1].back() == 1)
        return std::make_unique<BlockCopy>(std::move(loops), element, threads);
    return make_tile_copy(std::move(loops), element, threads);
}

namespace {

/// Several copies, one for each operand, into parts of one output.
class Gathering final : public Kernel {
  public:
    void add(std::unique_ptr<Kernel> copy, int64_t offset_bytes)
    {
        copies_.push_back(std::move(copy));
        offsets_.push_back(offset_bytes);
    }

    void run(const Launch &launch) const override
    {
        for (size_t i = 0; i < copies_.size(); i++) {
            const std::byte *from = launch.in[i];
            std::byte *to = launch.out[0] + offsets_[i];
            copies_[i]->run({{&from, 1}, {&to, 1}, launch.scratch, launch.kept, {}});
        }
    }

  private:
    std::vector<std::unique_ptr<Kernel>> copies_;
    std::vector<int64_t> offsets_;
};

} // namespace

Attempt attempt_concat(const NodeFacts &facts)
{
    const Layout &dense = facts.out[0];
    const size_t axis = normal_axis(facts.attributes().integer("axis", 0), dense.rank());
    // The largest operand says in which order the axes lie.
    size_t leader = 0;
    for (size_t i = 1; i < facts.node.inputs.size(); i++)
        if (facts.in[i].layout.count() > facts.in[leader].layout.count())
            leader = i;
    const Layout out = facts.is_result ? dense : Layout::like(facts.in[leader].layout, dense.type, dense.dims);
    const bool in_turn = facts.node.op->name == "Interleave";
    std::vector<int64_t> strides = out.strides;
    if (in_turn)
        strides[axis] *= static_cast<int64_t>(facts.node.inputs.size());
    Choice choice;
    auto kernel = std::make_unique<Gathering>();
    int64_t at = 0;
    for (size_t i = 0; i < facts.node.inputs.size(); i++) {
        const Layout &in = facts.in[i].layout;
        if (in.count() > 0) {
            kernel->add(make_copy(in, {out.type, in.dims, strides}, facts.threads),
                        at * out.strides[axis] * static_cast<int64_t>(size_of(out.type)));
            choice.in.push_back({i, in});
        }
        at += in_turn ? 1 : in.dims[axis];
    }
    choice.kernel = std::move(kernel);
    choice.out = {out};
    return choice;
}

Attempt attempt_reshape(const NodeFacts &facts)
{
    if (facts.out.size() != 1)
        return "it has a second output";
    const Layout &in = facts.in[0].layout;
    const Layout dense = Layout::dense(in.type, in.dims);
    Choice choice;
    choice.kernel = make_copy(in, dense, facts.threads);
    choice.in = {{0, in}};
    choice.out = {facts.out[0]};
    return choice;
}

} // namespace leat::cpu
