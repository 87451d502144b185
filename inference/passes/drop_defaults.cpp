#include "inference/ops.h"
#include "inference/passes.h"

#include <algorithm>

namespace leat {
namespace {

bool is_window(std::string_view op)
{
    constexpr std::string_view ops[] = {"AveragePool", "Conv",    "ConvInteger", "ConvTranspose",
                                        "LpPool",      "MaxPool", "QLinearConv"};
    return std::find(std::begin(ops), std::end(ops), op) != std::end(ops);
}

bool all(const Attribute &attribute, int64_t wanted)
{
    const auto *list = std::get_if<std::vector<int64_t>>(&attribute);
    return list && std::all_of(list->begin(), list->end(), [&](int64_t value) { return value == wanted; });
}

bool says_nothing(const Node &node, const std::string &name, const Attribute &attribute)
{
    const auto *number = std::get_if<int64_t>(&attribute);
    const auto *text = std::get_if<std::string>(&attribute);
    if (name == "strides" || name == "dilations")
        return all(attribute, 1);
    if (name == "pads" || name == "output_padding")
        return all(attribute, 0);
    if (name == "kernel_shape") // of a convolution it is the shape of the weights
        return node.op->name.find("Conv") != std::string_view::npos;
    if (name == "group")
        return number && *number == 1;
    if (name == "ceil_mode" || name == "storage_order" || name == "count_include_pad")
        return number && *number == 0;
    return name == "auto_pad" && text && *text == "NOTSET";
}

} // namespace

int drop_defaults(Graph &graph)
{
    int changes = 0;
    for (Node &node : graph.nodes) {
        if (!is_window(node.op->name))
            continue;
        const Attributes before = node.attributes;
        for (const auto &[name, attribute] : before.all())
            if (says_nothing(node, name, attribute)) {
                node.attributes.erase(name);
                changes++;
            }
    }
    return changes;
}

} // namespace leat
