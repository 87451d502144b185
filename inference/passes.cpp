#include "passes.h"
#include "ops.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace leat {
namespace {

constexpr Pass table[] = {
    {"drop_defaults", drop_defaults},
    {"fold_constants", fold_constants},
    {"recognise_quantization", recognise_quantization},
    {"remove_no_ops", remove_no_ops},
    {"simplify_transposes", simplify_transposes},
    {"remove_cancelled_transposes", remove_no_ops},
    {"fold_into_image", fold_into_image},
    {"fold_pad", fold_pad},
    {"fold_affine", fold_affine},
    {"split_batch_norm", split_batch_norm},
    {"recognise_softmax", recognise_softmax},
    {"recognise_layer_normalization", recognise_layer_normalization},
    {"recognise_activations", recognise_activations},
    {"recognise_channel_shuffle", recognise_channel_shuffle},
    {"fuse_post_ops", fuse_post_ops},
};

void dump(const Graph &graph, std::string_view pass, int number)
{
    const char *folder = std::getenv("LEAT_DUMP_GRAPHS");
    if (!folder)
        return;
    std::string name = graph.name.empty() ? "graph" : graph.name;
    std::replace(name.begin(), name.end(), '/', '_');
    std::ofstream(std::filesystem::path(folder) /
                  (name + "." + std::to_string(number) + "." + std::string(pass) + ".txt"))
        << print(graph);
}

} // namespace

std::span<const Pass> passes()
{
    return table;
}

void optimise(Graph &graph, const Options &options)
{
    int number = 0;
    for (const Pass &pass : table) {
        number++;
        const auto &off = options.disabled_passes;
        if (std::find(off.begin(), off.end(), pass.name) != off.end())
            continue;
        in_context("after the pass " + std::string(pass.name), [&] {
            if (!pass.run(graph))
                return;
            graph.tidy();
            graph.verify();
            infer_shapes(graph);
            dump(graph, pass.name, number);
        });
    }
}

int fold_constants(Graph &graph)
{
    const size_t before = graph.nodes.size();
    infer_shapes(graph);
    graph.tidy();
    return static_cast<int>(before - graph.nodes.size());
}

} // namespace leat
