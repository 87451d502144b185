#include "npy.h"

#include <leat/error.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

namespace leat
{

namespace
{

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view magic = "\x93NUMPY";
constexpr size_t max_header_bytes = 1 << 16;
constexpr size_t max_rank = 32;

constexpr std::pair<std::string_view, Type> descriptions[] = {
    {"f4", Type::f32}, {"f2", Type::f16}, {"f8", Type::f64}, {"u1", Type::u8},
    {"i1", Type::s8},  {"u2", Type::u16}, {"i2", Type::s16}, {"u4", Type::u32},
    {"i4", Type::s32}, {"u8", Type::u64}, {"i8", Type::s64}, {"b1", Type::boolean},
};

struct Header {
    std::string description;
    bool fortran_order = false;
    Shape shape;
};

/// Reads the Python literal of the header: a dictionary with exactly the keys descr, fortran_order and shape.
class HeaderParser
{
  public:
    explicit HeaderParser(std::string_view text) : text_(text) {}

    Header parse()
    {
        Header header;
        int seen = 0;
        expect('{');
        while (!accept('}')) {
            const std::string key = quoted();
            expect(':');
            if (key == "descr")
                header.description = quoted(), seen |= 1;
            else if (key == "fortran_order")
                header.fortran_order = boolean(), seen |= 2;
            else if (key == "shape")
                header.shape = tuple(), seen |= 4;
            else
                throw Error("the header has the unknown key '" + key + "'");
            if (!accept(',')) {
                expect('}');
                break;
            }
        }
        if (seen != 7)
            throw Error("the header lacks 'descr', 'fortran_order' or 'shape'");
        return header;
    }

  private:
    void skip_space()
    {
        while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\n'))
            text_.remove_prefix(1);
    }
    bool accept(char wanted)
    {
        skip_space();
        if (text_.empty() || text_.front() != wanted)
            return false;
        text_.remove_prefix(1);
        return true;
    }
    void expect(char wanted)
    {
        if (!accept(wanted))
            throw Error(std::string("the header lacks a '") + wanted + "'");
    }
    std::string quoted()
    {
        const char quote = accept('"') ? '"' : (expect('\''), '\'');
        const size_t end = text_.find(quote);
        if (end == text_.npos)
            throw Error("the header ends inside a string (structured types are not supported)");
        std::string result(text_.substr(0, end));
        text_.remove_prefix(end + 1);
        return result;
    }
    bool boolean()
    {
        skip_space();
        for (auto [word, value] : {std::pair<std::string_view, bool>{"True", true}, {"False", false}})
            if (text_.starts_with(word)) {
                text_.remove_prefix(word.size());
                return value;
            }
        throw Error("'fortran_order' is neither True nor False");
    }
    Shape tuple()
    {
        Shape shape;
        expect('(');
        while (!accept(')')) {
            skip_space();
            int64_t size = 0;
            auto [end, fault] = std::from_chars(text_.data(), text_.data() + text_.size(), size);
            if (fault != std::errc() || size < 0 || shape.size() == max_rank)
                throw Error("'shape' is not a tuple of at most 32 sizes");
            text_.remove_prefix(size_t(end - text_.data()));
            shape.push_back(size);
            if (!accept(',')) {
                expect(')');
                break;
            }
        }
        return shape;
    }

    std::string_view text_;
};

uint32_t little_endian(std::string_view bytes)
{
    uint32_t value = 0;
    for (size_t i = bytes.size(); i-- > 0;)
        value = value << 8 | uint8_t(bytes[i]);
    return value;
}

std::string read_bytes(std::ifstream &file, size_t count)
{
    std::string bytes(count, 0);
    if (!file.read(bytes.data(), std::streamsize(count)))
        throw Error("the file ends inside the header");
    return bytes;
}

std::string read_header_text(std::ifstream &file)
{
    const std::string start = read_bytes(file, 8);
    if (!start.starts_with(magic))
        throw Error("this is not a NumPy array file; save one with numpy.save()");
    const int version = uint8_t(start[6]);
    if (version < 1 || version > 3)
        throw Error("format version " + std::to_string(version) + " is unknown; versions 1 to 3 can be read");
    const size_t length = little_endian(read_bytes(file, version == 1 ? 2 : 4));
    if (length > max_header_bytes)
        throw Error("the header says that it has " + std::to_string(length) + " bytes, which is absurd");
    return read_bytes(file, length);
}

Type element_type(std::string_view description)
{
    for (auto [name, type] : descriptions)
        if (description.substr(1) == name)
            return type;
    throw Error("the element type '" + std::string(description) +
                "' is not supported; convert the array with astype()");
}

void swap_bytes(Tensor &tensor)
{
    const size_t size = size_of(tensor.type());
    for (std::byte *element = tensor.raw(), *end = element + tensor.bytes(); element < end; element += size)
        std::reverse(element, element + size);
}

/// The elements lie with the first index running fastest; the result has the last one running fastest.
Tensor from_fortran_order(const Tensor &stored)
{
    Tensor result(stored.type(), stored.shape());
    const size_t size = size_of(stored.type()), rank = stored.rank();
    std::vector<size_t> strides(rank);
    size_t stride = 1;
    for (size_t axis = 0; axis < rank; axis++) {
        strides[axis] = stride;
        stride *= size_t(stored.dim(axis));
    }
    std::vector<int64_t> index(rank);
    size_t source = 0;
    for (size_t i = 0; i < result.count(); i++) {
        std::memcpy(result.raw() + i * size, stored.raw() + source * size, size);
        for (size_t axis = rank; axis-- > 0;) {
            source += strides[axis];
            if (++index[axis] < stored.dim(axis))
                break;
            source -= strides[axis] * size_t(index[axis]);
            index[axis] = 0;
        }
    }
    return result;
}

std::string header_text(Type type, const Shape &shape)
{
    const auto *row = std::find_if(std::begin(descriptions), std::end(descriptions),
                                   [type](const auto &candidate) { return candidate.second == type; });
    if (row == std::end(descriptions))
        throw Error("NumPy has no element type " + std::string(to_string(type)) + "; convert the tensor to f32");
    std::string text = "{'descr': '" + std::string(size_of(type) == 1 ? "|" : "<") + std::string(row->first) +
                       "', 'fortran_order': False, 'shape': (";
    for (int64_t size : shape)
        text += std::to_string(size) + ", ";
    if (!shape.empty())
        text.resize(text.size() - (shape.size() == 1 ? 1 : 2));
    text += "), }";
    text.resize((text.size() + 11 + 63) / 64 * 64 - 11, ' ');
    return text + '\n';
}

} // namespace

Tensor read_npy(const std::filesystem::path &path)
{
    return in_context("while reading \"" + path.string() + "\"", [&] {
        std::error_code fault;
        const uintmax_t file_size = std::filesystem::file_size(path, fault);
        std::ifstream file(path, std::ios::binary);
        if (fault || !file)
            throw Error("the file cannot be opened; check the path and its permissions");
        const Header header = HeaderParser(read_header_text(file)).parse();
        if (header.description.find_first_of("<>=|") != 0)
            throw Error("the element type '" + header.description +
                        "' is not supported; convert the array with astype()");
        const Type type = element_type(header.description);
        const uintmax_t present = file_size - uintmax_t(file.tellg());
        const int64_t wanted = count_of(header.shape);
        if (uintmax_t(wanted) > present / size_of(type))
            throw Error("the file is truncated: " + std::to_string(present) + " bytes are too few for " +
                        to_string(header.shape) + " elements of type " + std::string(to_string(type)));
        Tensor tensor(type, header.shape);
        if (!file.read(reinterpret_cast<char *>(tensor.raw()), std::streamsize(tensor.bytes())))
            throw Error("the elements cannot be read");
        if (header.description[0] == '>')
            swap_bytes(tensor);
        if (type == Type::boolean)
            for (uint8_t &value : std::span(tensor.data<uint8_t>(), tensor.count()))
                value = value != 0;
        return header.fortran_order ? from_fortran_order(tensor) : tensor;
    });
}

void write_npy(const std::filesystem::path &path, const Tensor &tensor)
{
    in_context("while writing \"" + path.string() + "\"", [&] {
        const std::string text = header_text(tensor.type(), tensor.shape());
        const char preamble[] = {1, 0, char(text.size() & 255), char(text.size() >> 8)};
        std::ofstream file(path, std::ios::binary);
        file << magic;
        file.write(preamble, sizeof preamble);
        file << text;
        file.write(reinterpret_cast<const char *>(tensor.raw()), std::streamsize(tensor.bytes()));
        if (!file.flush())
            throw Error("the file cannot be written; check the folder and its free space");
    });
}

} // namespace leat
