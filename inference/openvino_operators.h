#pragma once
#include "imported_node.h"

#include <climits>
#include <map>
#include <span>

namespace leat {

/// What a file says of a value that a layer makes.
struct DeclaredValue {
    Type type = Type::undefined;
    Shape shape;
};

/// One layer of an OpenVINO IR file on its way into the graph. Inputs are lined up by port; `data` has the attributes
/// as the file spells them.
class OpenvinoLayer : public ImportedNode {
  public:
    OpenvinoLayer(Graph &target, const std::unordered_map<ValueId, size_t> &ranks,
                  const std::unordered_map<ValueId, DeclaredValue> &declared)
        : ImportedNode(target, ranks), declared_(declared)
    {
    }

    std::map<std::string, std::string> data;

    /// The attribute, or `otherwise` when it is absent. Throws Error that names it when it is not of that kind.
    int64_t integer(const std::string &attribute, int64_t otherwise) const; ///< also "true" and "false"
    double number(const std::string &attribute, double otherwise) const;
    bool flag(const std::string &attribute, bool otherwise) const { return integer(attribute, otherwise) != 0; }
    std::string text(const std::string &attribute, const std::string &otherwise) const;
    std::vector<int64_t> integers(const std::string &attribute, std::vector<int64_t> otherwise = {}) const;
    std::vector<float> numbers(const std::string &attribute) const;
    /// An element type, as Type's name.
    std::string element_type(const std::string &attribute, const std::string &otherwise) const;
    /// What the file says of the input's shape; throws Error where a size is open.
    Shape declared_shape(size_t input) const;
    /// Entries of an input that is a list with one for each axis; throws Error when it is no list, or one that is too
    /// long for that.
    size_t list_length(size_t input) const;
    /// What the file says of the input's element type; undefined when it does not.
    Type declared_type(size_t input) const;
    /// Adds a number of the type that the file says that the input has.
    ValueId add_number_like(size_t input, double value);
    /// The elements of a constant input; throws Error when it is none.
    std::vector<int64_t> constant_integers(size_t input) const;

  private:
    const std::unordered_map<ValueId, DeclaredValue> &declared_;
};

/// How a layer type of some operator sets becomes ops. The result has the semantics of the ops: ONNX, operator set 22.
struct OpenvinoOperator {
    std::string_view type;
    int64_t first, last; ///< operator sets, both inclusive
    void (*translate)(OpenvinoLayer &);
    /// Without `translate`, the op has the layer's name and inputs, and these attributes: "name:kind …", where a kind
    /// is i (integer or flag), f (number), I, F (lists of those), t (text), T (element type).
    std::string_view attributes = {};
};

/// The rows of detectors, in a file of their own.
std::span<const OpenvinoOperator> openvino_detection_operators();

/// The Type that IR calls so ("f32", "i64", "boolean", also "FP32", "I64"). Throws Error that names those that Leat
/// lacks.
Type type_from_openvino(const std::string &name);

/// Adds the ops that the layer stands for to its graph. Throws Error when the type, or that version of it, is not
/// supported.
void translate(OpenvinoLayer &);

} // namespace leat
