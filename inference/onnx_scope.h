#pragma once
#include "graph.h"

#include <onnx/onnx_pb.h>

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace leat {

using OnnxNodes = google::protobuf::RepeatedPtrField<onnx::NodeProto>;
using OnnxOpsets = std::map<std::string, int64_t>; ///< version of each domain
using OnnxParameters = std::map<std::string, const onnx::AttributeProto *>;

/// What names mean while the nodes of one graph, subgraph or function body are read.
struct OnnxScope {
    Graph &graph;
    OnnxScope *outer = nullptr; ///< where names that are not known here are looked for; nothing for functions
    const OnnxOpsets *opsets = nullptr;
    const OnnxParameters *parameters =
        nullptr;        ///< attributes of the call of the function; nothing outside of functions
    std::string prefix; ///< of the names of nodes and values
    int depth = 0;
    std::unordered_map<std::string, ValueId> names;
    std::unordered_map<std::string, ValueId> results; ///< names that shall be these values once a node makes them
    std::unordered_map<std::string, size_t> declared_ranks;
    std::unordered_map<ValueId, size_t> ranks;
    std::vector<std::pair<ValueId, ValueId>> captured; ///< value of the outer graph, stand-in here
};

/// The value of that name, here or outside. A value from outside gets a stand-in here, or a copy when it is constant.
/// Nothing when there is none; no_value for an argument that the caller of the function left out.
std::optional<ValueId> find_value(OnnxScope &, const std::string &name);

/// The name that the file gives to a node, else its operator and its index: "Conv_3".
std::string name_of(const onnx::NodeProto &, int index);

/// Indices of the nodes so that each comes after those that it reads from; the order of the file where that is free.
/// Throws Error when two nodes, or a node and the scope, make the same name, and when there is a circle.
std::vector<int> runnable_order(const OnnxNodes &, const OnnxScope &);

} // namespace leat
