#pragma once
#include "graph.h"

#include <leat/options.h>

#include <functional>
#include <span>
#include <string_view>

namespace leat {

/// A named rewrite of the graph that keeps its meaning. Returns how many places it changed.
struct Pass {
    std::string_view name;
    int (*run)(Graph &);
};

/// In the order in which they run. To add one: a file in passes/ with its function, its declaration here, a row in
/// passes.cpp, a before/after pair in tests/graphs.
std::span<const Pass> passes();

/// Runs every pass that is not in `options.disabled_passes`, each followed by verify() and infer_shapes(). A fault
/// found after a pass is an Error that names the pass. LEAT_DUMP_GRAPHS=DIR writes the graph after each pass that
/// changed it.
void optimise(Graph &, const Options &);

int fold_constants(Graph &);

} // namespace leat
