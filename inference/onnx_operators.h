#pragma once
#include "imported_node.h"

#include <climits>

namespace leat {

/// How an operator of some versions becomes ops. The result has the semantics of the ops: ONNX, operator set 22.
struct OnnxOperator {
    std::string_view domain, type;
    int64_t first, last; ///< versions of the domain, both inclusive
    void (*translate)(ImportedNode &);
};

/// Adds the ops that the node stands for to its graph. Throws Error when the operator, or that version of it, is not
/// supported.
void translate(ImportedNode &);

} // namespace leat
