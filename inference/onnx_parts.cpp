#include "onnx_parts.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace leat {
namespace {

using google::protobuf::internal::WireFormatLite;

/// Fewer bytes are read sooner than looked for; a shorter message has no tensor of so many in it.
constexpr int few_bytes = 4096;
/// What a tensor says of itself when its elements are left in the file, before the number of the part.
constexpr std::string_view where = "elements in part ";
/// As protobuf's own.
constexpr int max_depth = 100;

enum class Kind { model, function, graph, node, attribute, tensor };

/// A field of a message that holds messages which may have tensors in them.
struct Field {
    Kind parent;
    int number;
    Kind kind;
};

constexpr Field fields[] = {
    {Kind::model, onnx::ModelProto::kGraphFieldNumber, Kind::graph},
    {Kind::model, onnx::ModelProto::kFunctionsFieldNumber, Kind::function},
    {Kind::function, onnx::FunctionProto::kNodeFieldNumber, Kind::node},
    {Kind::graph, onnx::GraphProto::kNodeFieldNumber, Kind::node},
    {Kind::graph, onnx::GraphProto::kInitializerFieldNumber, Kind::tensor},
    {Kind::node, onnx::NodeProto::kAttributeFieldNumber, Kind::attribute},
    {Kind::attribute, onnx::AttributeProto::kTFieldNumber, Kind::tensor},
    {Kind::attribute, onnx::AttributeProto::kGFieldNumber, Kind::graph},
};

const Field *field_of(Kind parent, int number)
{
    const auto *row = std::find_if(std::begin(fields), std::end(fields), [=](const Field &field) {
        return field.parent == parent && field.number == number;
    });
    return row == std::end(fields) ? nullptr : row;
}

class Splitter {
  public:
    Splitter(google::protobuf::io::ZeroCopyInputStream &stream, uint64_t bytes) : input_(&stream), bytes_(bytes) {}

    std::optional<OnnxParts> run()
    {
        if (!copy(Kind::model, parts_.description, 0))
            return std::nullopt;
        return std::move(parts_);
    }

  private:
    /// Copies the fields up to the limit of the input. False when they are damaged.
    bool copy(Kind kind, std::string &to, int depth)
    {
        google::protobuf::io::StringOutputStream stream(&to);
        google::protobuf::io::CodedOutputStream output(&stream);
        while (const uint32_t tag = input_.ReadTag()) {
            const int number = WireFormatLite::GetTagFieldNumber(tag);
            const bool delimited = WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
            const Field *field = delimited ? field_of(kind, number) : nullptr;
            bool good = false;
            if (field)
                good = copy_message(tag, field->kind, output, depth + 1);
            else if (delimited && kind == Kind::tensor && number == onnx::TensorProto::kRawDataFieldNumber)
                good = copy_elements(tag, output);
            else if (kind == Kind::tensor && number == onnx::TensorProto::kDocStringFieldNumber)
                good = WireFormatLite::SkipField(&input_, tag); // that field says where the elements are
            else
                good = WireFormatLite::SkipField(&input_, tag, &output);
            if (!good)
                return false;
        }
        return input_.ConsumedEntireMessage();
    }

    bool copy_message(uint32_t tag, Kind kind, google::protobuf::io::CodedOutputStream &output, int depth)
    {
        int length = 0;
        if (depth > max_depth || !read_length(length))
            return false;
        if (length < few_bytes)
            return copy_bytes(tag, length, output);
        const auto limit = input_.PushLimit(length);
        std::string message;
        if (!copy(kind, message, depth) || input_.BytesUntilLimit() != 0)
            return false;
        input_.PopLimit(limit);
        write(tag, message, output);
        return true;
    }

    /// Of a field that comes twice the last one holds, so that a tensor whose elements are left in the file is said to
    /// have none.
    bool copy_elements(uint32_t tag, google::protobuf::io::CodedOutputStream &output)
    {
        int length = 0;
        if (!read_length(length))
            return false;
        if (length < few_bytes)
            return copy_bytes(tag, length, output);
        WireFormatLite::WriteString(onnx::TensorProto::kDocStringFieldNumber,
                                    std::string(where) + std::to_string(parts_.elements.size()), &output);
        parts_.elements.push_back({static_cast<uint64_t>(input_.CurrentPosition()), static_cast<uint64_t>(length)});
        write(tag, "", output);
        return input_.Skip(length);
    }

    bool copy_bytes(uint32_t tag, int length, google::protobuf::io::CodedOutputStream &output)
    {
        std::string bytes;
        if (!input_.ReadString(&bytes, length))
            return false;
        write(tag, bytes, output);
        return true;
    }

    static void write(uint32_t tag, const std::string &bytes, google::protobuf::io::CodedOutputStream &output)
    {
        output.WriteTag(tag);
        output.WriteVarint32(static_cast<uint32_t>(bytes.size()));
        output.WriteString(bytes);
    }

    /// False when so many bytes are not there.
    bool read_length(int &length)
    {
        if (!input_.ReadVarintSizeAsInt(&length))
            return false;
        const int limit = input_.BytesUntilLimit();
        const auto position = static_cast<uint64_t>(input_.CurrentPosition());
        return (limit < 0 || length <= limit) && position <= bytes_ &&
               static_cast<uint64_t>(length) <= bytes_ - position;
    }

    google::protobuf::io::CodedInputStream input_;
    uint64_t bytes_;
    OnnxParts parts_;
};

} // namespace

std::optional<OnnxParts> split_onnx(google::protobuf::io::ZeroCopyInputStream &stream, uint64_t bytes)
{
    return Splitter(stream, bytes).run();
}

const FilePart *elements_of(const onnx::TensorProto &tensor, const std::vector<FilePart> &elements)
{
    const std::string &said = tensor.doc_string();
    if (!tensor.has_raw_data() || !tensor.raw_data().empty() || !said.starts_with(where))
        return nullptr;
    size_t number = elements.size();
    std::from_chars(said.data() + where.size(), said.data() + said.size(), number);
    return number < elements.size() ? &elements[number] : nullptr;
}

} // namespace leat
