#include "inference/passes.h"
#include "rewriter.h"

#include <algorithm>

namespace leat {
namespace {

/// Begin and end padding of every axis when the node pads with constant zeros by numbers that are known; axes as given.
std::optional<std::vector<int64_t>> zero_padding(const Rewriter &graph, int index, size_t rank)
{
    if (!graph.is(index, "Pad"))
        return {};
    const Node &pad = graph.node(index);
    if (pad.attributes.text("mode", "constant") != "constant" || !graph.constant(pad.inputs[1]) ||
        !pad.post_ops.empty())
        return {};
    if (pad.inputs.size() > 2 && pad.inputs[2] != no_value && graph.scalar(pad.inputs[2]) != 0.f)
        return {};
    const auto given = graph.constant(pad.inputs[1])->to_int64();
    if (pad.inputs.size() > 3 && pad.inputs[3] != no_value)
        return {};
    return given.size() == 2 * rank ? std::optional(given) : std::nullopt;
}

} // namespace

int fold_pad(Graph &graph)
{
    Rewriter rewriter(graph);
    int changes = 0;
    for (int n = 0; n < rewriter.nodes(); n++) {
        if (!rewriter.is(n, "Conv"))
            continue;
        const Node &conv = rewriter.node(n);
        const int pad = rewriter.maker(conv.inputs[0]);
        const auto &shape = rewriter.value(conv.inputs[0]).shape;
        if (!shape || shape->size() < 3)
            continue;
        const size_t rank = shape->size(), spatial = rank - 2;
        const auto given = zero_padding(rewriter, pad, rank);
        const std::string automatic = conv.attributes.text("auto_pad", "NOTSET");
        if (!given || (automatic != "NOTSET" && automatic != "VALID"))
            continue;
        const bool channels_padded = (*given)[0] || (*given)[1] || (*given)[rank] || (*given)[rank + 1];
        if (channels_padded || std::any_of(given->begin(), given->end(), [](int64_t p) { return p < 0; }))
            continue;
        std::vector<int64_t> pads = conv.attributes.integers("pads", std::vector<int64_t>(2 * spatial, 0));
        for (size_t i = 0; i < spatial; i++) {
            pads[i] += (*given)[2 + i];
            pads[spatial + i] += (*given)[rank + 2 + i];
        }
        const ValueId source = rewriter.node(pad).inputs[0];
        rewriter.change(n, [&](Node &node) {
            node.inputs[0] = source;
            node.attributes.set("pads", pads);
            node.attributes.erase("auto_pad");
        });
        changes++;
    }
    return changes;
}

} // namespace leat
