#include "read.h"
#include "mapped_file.h"
#include "stored_model.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace leat {

namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

/// What files that are no models begin with, and what to do about them.
struct Foreign {
    size_t offset;
    std::string_view magic, advice;
};

constexpr Foreign foreign[] = {
    {0, "PK\3\4"sv, "this is a zip archive (PyTorch and Keras save such files); export the model to ONNX"},
    {0, "\x80\2"sv, "this is a Python pickle (older PyTorch saves such files); export the model to ONNX"},
    {0, "\x89HDF"sv, "this is an HDF5 file (Keras saves such files); convert the model to ONNX with tf2onnx"},
    {0, "\x1f\x8b"sv, "this is a gzip archive; unpack it"},
    {0, "version https://git-lfs"sv, "this is a Git LFS pointer instead of the model; run git lfs pull"},
    {0,
     "\x7f"
     "ELF"sv,
     "this is a program or library, not a model"},
    {4, "TFL3"sv, "this is a TensorFlow Lite model, which this version cannot read; convert it to ONNX with tf2onnx"},
    {4, "ORTM"sv, "this is a model in ONNX Runtime's own format; use the ONNX model that it was made from"},
};

/// What the file is, when its first bytes tell that it is no model, and what to do about it.
std::string_view advice_for(std::string_view bytes)
{
    for (const Foreign &row : foreign)
        if (bytes.size() >= row.offset && bytes.substr(row.offset).starts_with(row.magic))
            return row.advice;
    const auto is_text = [](char c) { return c == '\n' || c == '\r' || c == '\t' || (c >= ' ' && c < 127); };
    if (std::all_of(bytes.begin(), bytes.end(), is_text))
        return "this is a text file, not a model; check the path";
    return {};
}

/// The weights of an OpenVINO IR, which have the model's name and lie beside it.
SharedBytes map_weights(const fs::path &path)
{
    const auto file = in_context("the weights \"" + path.filename().string() + "\", which belong beside it",
                                 [&] { return std::make_shared<const MappedFile>(path); });
    return {file->bytes(), file};
}

bool is_xml(std::string_view bytes)
{
    if (bytes.starts_with("\xef\xbb\xbf"sv)) // the byte order mark of UTF-8
        bytes.remove_prefix(3);
    bytes.remove_prefix(std::min(bytes.find_first_not_of(" \t\r\n"), bytes.size()));
    return bytes.starts_with("<"sv);
}

OpenFile open_file(const fs::path &path)
{
    std::error_code fault;
    const fs::file_status status = fs::status(path, fault);
    if (!fs::exists(status))
        throw Error("the file does not exist; check the path");
    if (fs::is_directory(status))
        throw Error("this is a folder; name the model file in it");
    if (!fs::is_regular_file(status))
        throw Error("this is not a regular file; check the path");
    auto file = OpenFile::open(path);
    if (!file)
        throw Error("the file cannot be opened; check its permissions");
    if (file->bytes() == 0)
        throw Error("the file is empty; copy or download it again");
    if (file->bytes() > uint64_t(INT32_MAX))
        throw Error("the file has more than 2 GiB; save the model's weights as external data");
    return std::move(*file);
}

/// The first bytes: at most so many.
std::string read_start(const OpenFile &file, uint64_t most)
{
    std::string bytes(std::min(file.bytes(), most), '\0');
    file.read(0, std::as_writable_bytes(std::span(bytes)));
    return bytes;
}

Graph read_source(const fs::path &path)
{
    try {
        StoredModel stored = read_stored_model(path);
        if (stored.source)
            return std::move(*stored.source);
    } catch (const Error &error) {
        throw Error(error.what() + std::string("; make it again with `leat compile`"));
    }
    throw Error("this is an entry of a cache, without the model that it was made from; use that model");
}

} // namespace

bool is_stored_model_file(const fs::path &path)
{
    const auto file = OpenFile::open(path);
    const std::string start = file ? read_start(*file, 8) : std::string();
    return is_stored_model(std::as_bytes(std::span(start)));
}

Graph read_model_file(const fs::path &path, std::vector<fs::path> *data_files)
{
    return in_context("while reading \"" + path.string() + "\"", [&] {
        if (is_stored_model_file(path))
            return read_source(path);
        const OpenFile file = open_file(path);
        const std::string start = read_start(file, 512);
        if (is_xml(start)) {
            const std::string text = read_start(file, file.bytes());
            return read_openvino(std::as_bytes(std::span(text)), [&] {
                const fs::path weights = fs::path(path).replace_extension(".bin");
                if (data_files)
                    data_files->push_back(weights);
                return map_weights(weights);
            });
        }
        const auto advice = advice_for(start);
        if (!advice.empty())
            throw Error(std::string(advice));
        return read_onnx(file, path.has_parent_path() ? path.parent_path() : fs::path("."), data_files);
    });
}

} // namespace leat
