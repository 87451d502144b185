#include "onnx_tensor.h"
#include "open_file.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <string_view>

namespace leat {

namespace {

static_assert(std::endian::native == std::endian::little);

/// Tied weights may share a part of an external file; more overlap than this is an attack on the memory.
constexpr uint64_t max_reads_of_a_byte = 16;

struct ElementType {
    int onnx;
    std::string_view name;
    Type type;
};

constexpr ElementType element_types[] = {
    {1, "float", Type::f32},
    {2, "uint8", Type::u8},
    {3, "int8", Type::s8},
    {4, "uint16", Type::u16},
    {5, "int16", Type::s16},
    {6, "int32", Type::s32},
    {7, "int64", Type::s64},
    {8, "string", Type::undefined},
    {9, "bool", Type::boolean},
    {10, "float16", Type::f16},
    {11, "double", Type::f64},
    {12, "uint32", Type::u32},
    {13, "uint64", Type::u64},
    {14, "complex64", Type::undefined},
    {15, "complex128", Type::undefined},
    {16, "bfloat16", Type::bf16},
    {17, "float8e4m3fn", Type::undefined},
    {18, "float8e4m3fnuz", Type::undefined},
    {19, "float8e5m2", Type::undefined},
    {20, "float8e5m2fnuz", Type::undefined},
    {21, "uint4", Type::undefined},
    {22, "int4", Type::undefined},
    {23, "float4e2m1", Type::undefined},
};

Shape shape_of(const onnx::TensorProto &stored)
{
    if (stored.dims_size() > max_rank)
        throw Error("it has " + std::to_string(stored.dims_size()) + " dimensions; at most " +
                    std::to_string(max_rank) + " are supported");
    Shape shape(stored.dims().begin(), stored.dims().end());
    if (std::any_of(shape.begin(), shape.end(), [](int64_t size) { return size < 0; }))
        throw Error("it has a negative dimension");
    return shape;
}

/// Bytes that a tensor needs. Throws Error when they are more than fit in 63 bits.
uint64_t bytes_of(Type type, const Shape &shape)
{
    const auto count = static_cast<uint64_t>(count_of(shape));
    if (count > uint64_t(INT64_MAX) / size_of(type))
        throw Error("its shape " + to_string(shape) + " is absurd");
    return count * size_of(type);
}

void check_length(const Shape &shape, uint64_t present, uint64_t wanted, const char *unit)
{
    if (present != wanted)
        throw Error("its data has " + std::to_string(present) + " " + unit + ", but the shape " + to_string(shape) +
                    " needs " + std::to_string(wanted));
}

void normalise_booleans(Tensor &tensor)
{
    if (tensor.type() == Type::boolean)
        for (uint8_t &value : std::span(tensor.data<uint8_t>(), tensor.count()))
            value = value != 0;
}

Tensor read_raw(const std::string &bytes, Type type, const Shape &shape)
{
    check_length(shape, bytes.size(), bytes_of(type, shape), "bytes");
    Tensor tensor(type, shape);
    std::copy_n(bytes.data(), bytes.size(), reinterpret_cast<char *>(tensor.raw()));
    normalise_booleans(tensor);
    return tensor;
}

/// Elements of a typed field, which may be wider than those of the tensor. Half floats lie there as their bits.
template <class Field> Tensor read_field(const Field &field, Type type, const Shape &shape)
{
    check_length(shape, static_cast<uint64_t>(field.size()), static_cast<uint64_t>(count_of(shape)), "elements");
    Tensor tensor(type, shape);
    visit_type(type, [&]<class T>() {
        std::transform(field.begin(), field.end(), tensor.data<T>(), [](auto value) {
            if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
                T result;
                result.bits = static_cast<uint16_t>(value);
                return result;
            } else if constexpr (std::is_same_v<T, bool>) {
                return value != 0;
            } else {
                return static_cast<T>(value);
            }
        });
    });
    return tensor;
}

Tensor read_typed(const onnx::TensorProto &stored, Type type, const Shape &shape)
{
    switch (type) {
    case Type::f32: return read_field(stored.float_data(), type, shape);
    case Type::f64: return read_field(stored.double_data(), type, shape);
    case Type::s64: return read_field(stored.int64_data(), type, shape);
    case Type::u32:
    case Type::u64: return read_field(stored.uint64_data(), type, shape);
    default: return read_field(stored.int32_data(), type, shape);
    }
}

uint64_t parse_number(const std::string &key, const std::string &text)
{
    uint64_t number = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (fault != std::errc() || end != text.data() + text.size())
        throw Error("the " + key + " of its external data is not a number");
    return number;
}

} // namespace

Type type_from_onnx(int onnx_type)
{
    const auto *row = std::find_if(std::begin(element_types), std::end(element_types),
                                   [=](const ElementType &candidate) { return candidate.onnx == onnx_type; });
    if (row == std::end(element_types))
        throw Error("the element type " + std::to_string(onnx_type) + " is unknown");
    if (row->type == Type::undefined)
        throw Error("the element type " + std::string(row->name) + " is not supported");
    return row->type;
}

std::filesystem::path OnnxTensors::locate(const std::string &location) const
{
    namespace fs = std::filesystem;
    const fs::path relative(location);
    if (folder_.empty())
        throw Error("its data is in another file, but the model was not read from a folder");
    if (location.empty() || location.find('\0') != location.npos || relative.is_absolute() ||
        std::find(relative.begin(), relative.end(), "..") != relative.end())
        throw Error("its external data \"" + location + "\" must be named by a path inside the model's folder");
    std::error_code fault;
    const fs::path folder = fs::canonical(folder_, fault);
    const fs::path file = fault ? fs::path() : fs::canonical(folder / relative, fault);
    if (fault)
        throw Error("its external data \"" + location + "\" does not exist; put that file beside the model");
    if (std::mismatch(folder.begin(), folder.end(), file.begin(), file.end()).first != folder.end())
        throw Error("its external data \"" + location + "\" is a link out of the model's folder; put a copy there");
    return file;
}

std::vector<std::filesystem::path> OnnxTensors::files() const
{
    std::vector<std::filesystem::path> paths;
    for (const auto &[path, bytes] : bytes_read_)
        paths.push_back(path);
    return paths;
}

Tensor OnnxTensors::read_external(const onnx::TensorProto &stored, Type type, const Shape &shape)
{
    std::string location;
    uint64_t offset = 0;
    const uint64_t wanted = bytes_of(type, shape);
    uint64_t length = wanted;
    for (const auto &entry : stored.external_data()) {
        if (entry.key() == "location")
            location = entry.value();
        else if (entry.key() == "offset")
            offset = parse_number(entry.key(), entry.value());
        else if (entry.key() == "length")
            length = parse_number(entry.key(), entry.value());
    }
    check_length(shape, length, wanted, "bytes");
    const std::filesystem::path path = locate(location);
    const auto file = OpenFile::open(path);
    if (!file)
        throw Error("the external data \"" + path.filename().string() + "\" is not a readable file");
    if (offset > file->bytes() || length > file->bytes() - offset)
        throw Error("its external data \"" + location + "\" has " + std::to_string(file->bytes()) +
                    " bytes, too few for " + std::to_string(length) + " at offset " + std::to_string(offset));
    const auto [known, is_new] = bytes_read_.try_emplace(path, 0);
    if (is_new)
        memory_->expect(file->bytes());
    uint64_t &total = known->second;
    total += length;
    if (total / max_reads_of_a_byte > file->bytes())
        throw Error("the model reads its external data \"" + location + "\" over and over; it is damaged");
    Tensor tensor = memory_->allocate(type, shape);
    file->read(offset, {tensor.raw(), tensor.bytes()});
    normalise_booleans(tensor);
    return tensor;
}

Tensor OnnxTensors::read_part(const FilePart &part, Type type, const Shape &shape)
{
    check_length(shape, part.bytes, bytes_of(type, shape), "bytes");
    part_bytes_read_ += part.bytes;
    if (part_bytes_read_ > part_bytes_)
        throw Error("the model reads its elements over and over; it is damaged");
    Tensor tensor = memory_->allocate(type, shape);
    read_file_(part.offset, {tensor.raw(), tensor.bytes()});
    normalise_booleans(tensor);
    return tensor;
}

Tensor OnnxTensors::read(const onnx::TensorProto &stored)
{
    Tensor &known = known_[&stored];
    if (known)
        return known;
    const Type type = type_from_onnx(stored.data_type());
    const Shape shape = shape_of(stored);
    if (stored.has_segment())
        throw Error("it is stored in segments, which nobody writes; save the model again");
    if (stored.data_location() == onnx::TensorProto::EXTERNAL)
        known = read_external(stored, type, shape);
    else if (const FilePart *part = elements_of(stored, parts_))
        known = read_part(*part, type, shape);
    else if (stored.has_raw_data())
        known = read_raw(stored.raw_data(), type, shape);
    else
        known = read_typed(stored, type, shape);
    return known;
}

} // namespace leat
