#include "blocks.h"

#include "elementwise.h"

#include <algorithm>
#include <array>

namespace leat::cpu {
namespace {

/// Products one after the other, each followed by functions of its numbers.
class Blocks final : public Kernel {
  public:
    struct Part {
        std::unique_ptr<Kernel> product;
        int64_t in_offset, out_offset, count; // bytes, elements, elements
    };
    /// `room`: bytes in scratch for the f32 of a block whose elements become another type.
    Blocks(std::vector<Part> parts, std::vector<UnaryStage> stages, Type made, size_t room)
        : parts_(std::move(parts)), stages_(std::move(stages)), made_{made}, room_(room)
    {
    }

    void prepare() override
    {
        for (const Part &part : parts_)
            part.product->prepare();
    }

    void run(const Launch &launch) const override
    {
        if (!launch.kept)
            launch.kept = std::make_shared<Kept>(parts_.size());
        auto &kept = *static_cast<Kept *>(launch.kept.get());
        std::vector<const std::byte *> in(launch.in.begin(), launch.in.end());
        for (size_t i = 0; i < parts_.size(); i++) {
            const Part &part = parts_[i];
            in[0] = launch.in[0] + part.in_offset;
            std::byte *out = launch.out[0] + part.out_offset * made_.element();
            std::byte *result = made_.type == Type::f32 ? out : launch.scratch;
            part.product->run({in, {&result, 1}, launch.scratch + room_, kept[i], {}});
            finish(out, reinterpret_cast<float *>(result), part.count);
        }
    }

  private:
    using Kept = std::vector<std::shared_ptr<void>>;
    std::vector<Part> parts_;
    std::vector<UnaryStage> stages_;
    Floats made_;
    size_t room_;

    void finish(std::byte *out, float *values, int64_t count) const
    {
        constexpr int64_t row = 2048; // stays in the first cache
        for (int64_t at = 0; at < count; at += row) {
            const int64_t size = std::min(row, count - at);
            for (const UnaryStage &stage : stages_)
                stage.apply(values + at, values + at, nullptr, false, size, stage.a, stage.b);
            made_.write(out + at * made_.element(), values + at, size);
        }
    }
};

bool is_dear(const PostOp &post)
{
    static constexpr std::array<std::string_view, 5> dear{"Exp", "Gelu", "Mish", "Sigmoid", "Swish"};
    return std::find(dear.begin(), dear.end(), post.op->name) != dear.end();
}

auto first_dear(const Node &node)
{
    return std::find_if(node.post_ops.begin(), node.post_ops.end(), is_dear);
}

/// What oneDNN is to do: the post-ops before the dear one, with a result in f32.
Node product_of(const Node &node)
{
    Node product = node;
    product.post_ops.assign(node.post_ops.begin(), first_dear(node));
    product.post_ops.push_back(casting(Type::f32));
    return product;
}

} // namespace

bool has_dear_post_op(const Node &node)
{
    return first_dear(node) != node.post_ops.end();
}

std::optional<Choice> solve_blocks(const NodeFacts &facts, const Slice &whole, Cut cut,
                                   const std::function<Choice(const NodeFacts &, const Slice &)> &solve)
{
    const Node node = product_of(facts.node);
    NodeFacts product{facts.graph, node, facts.in, facts.out, facts.weights, facts.threads};
    product.out[0].type = Type::f32;
    UnaryStages stages = unary_stages(facts.node, node.post_ops.size() - 1, facts.type(0), true);
    constexpr int64_t cache = 256 * 1024;
    const int64_t bytes = whole.out.count() * static_cast<int64_t>(sizeof(float));
    std::vector<Blocks::Part> parts;
    Choice result;
    size_t room = 0;
    for (const Slice &slice : cut(whole, static_cast<int>((bytes + cache - 1) / cache))) {
        Choice choice = solve(product, slice);
        if (choice.post_ops != node.post_ops.size())
            return std::nullopt;
        const int64_t count = slice.out.count();
        room = std::max(room, in_lines(static_cast<size_t>(count) * sizeof(float)));
        const size_t scratch = std::max(result.scratch, choice.scratch);
        parts.push_back({std::move(choice.kernel), slice.in_offset * static_cast<int64_t>(size_of(slice.in.type)),
                         slice.out_offset, count});
        if (parts.size() == 1)
            result = std::move(choice);
        result.scratch = scratch;
    }
    if (stages.made == Type::f32)
        room = 0;
    result.scratch += room;
    result.in[0].layout = whole.in;
    result.out = {Layout{stages.made, whole.out.dims, whole.out.strides}};
    if (result.in_place)
        result.in[*result.in_place].layout = result.out[0];
    result.post_ops = node.post_ops.size() - 1 + stages.count;
    if (parts.size() > 1)
        result.detail += " in " + std::to_string(parts.size()) + " blocks";
    result.kernel = std::make_unique<Blocks>(std::move(parts), std::move(stages.stages), stages.made, room);
    return result;
}

} // namespace leat::cpu
