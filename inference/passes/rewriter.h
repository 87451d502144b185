#pragma once
#include "inference/graph.h"
#include "inference/ops.h"

#include <optional>
#include <string_view>
#include <vector>

namespace leat {

/// A graph under change, with who makes and who reads each value kept up to date. Removed nodes stay as empty shells
/// until Graph::tidy() drops them.
class Rewriter {
  public:
    explicit Rewriter(Graph &);
    Graph &graph() { return graph_; }
    int nodes() const { return static_cast<int>(graph_.nodes.size()); }
    const Node &node(int index) const { return graph_.nodes[static_cast<size_t>(index)]; }
    const Value &value(ValueId id) const { return graph_.values[id]; }
    /// False for removed nodes and for index -1.
    bool is(int index, std::string_view op) const;
    /// Node that makes the value, -1 for inputs and constants.
    int maker(ValueId id) const { return id == no_value ? -1 : makers_[id]; }
    /// The one node that reads the value, once; -1 when there are more, none, or when the value is an output of the
    /// graph.
    int only_reader(ValueId id) const;
    /// Nodes that read the value, in no order; one that reads it twice stands twice.
    const std::vector<int> &readers(ValueId id) const { return readers_[id]; }
    bool is_output(ValueId id) const { return is_output_[id]; }
    /// The constant's elements; nothing when the value is not constant.
    const Tensor *constant(ValueId id) const;
    /// The constant's only element as a float; nothing when it is not such a constant.
    std::optional<float> scalar(ValueId id) const;

    /// Changes the node through `edit(Node &)`.
    template <class Edit> void change(int index, Edit edit)
    {
        unlink(index);
        edit(graph_.nodes[static_cast<size_t>(index)]);
        link(index);
    }
    /// Returns the index of the new node, which stands last until Graph::tidy() restores the order.
    int add(Node);
    ValueId add_value(Value);
    void remove(int index);
    /// Removes `last`; `index` makes what it made.
    void take_over(int index, int last);
    /// Removes a node whose output 0 equals `in`. False when the name of a graph output forbids it.
    bool bypass(int index, ValueId in);

  private:
    void link(int index);
    void unlink(int index);
    void move_readers(ValueId from, ValueId to);

    Graph &graph_;
    std::vector<int> makers_;
    std::vector<std::vector<int>> readers_;
    std::vector<bool> is_output_;
};

} // namespace leat
