#pragma once
#include "rewriter.h"

namespace leat {

/// The unary node as a post-op; nothing when it is none or when its parameters are not known now.
std::optional<PostOp> unary_post_op(const Rewriter &, int index);

/// The binary node, one of whose operands is `in`, as a post-op on what makes `in`; nothing when it is none.
std::optional<PostOp> binary_post_op(const Rewriter &, int index, ValueId in);

} // namespace leat
