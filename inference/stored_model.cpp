#include "stored_model.h"

#include "hash.h"
#include "mapped_file.h"
#include "ops.h"

#include <leat/error.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include "inference/stored_model_generated.h"
#pragma GCC diagnostic pop

#include <bit>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <unordered_map>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace leat {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
template <class T> using Offsets = std::vector<Offset<T>>;
template <class T> using List = flatbuffers::Vector<T>;

static_assert(std::endian::native == std::endian::little, "the constants in the file are little-endian");

constexpr char magic[8] = {'L', 'e', 'a', 't', 'M', 'o', 'd', '\n'};
constexpr uint32_t format_number = 5;
constexpr uint32_t no_constant = ~uint32_t(0);
constexpr size_t page = 4096, alignment = 64;

struct Header {
    char magic[8];
    uint64_t checksum; ///< of what follows this member, to the end of the file
    uint32_t format, reserved;
    uint64_t metadata_bytes, data_offset, data_bytes;
};

size_t rounded_up(size_t value, size_t to)
{
    return (value + to - 1) / to * to;
}

/// A mapped file for which a key can stand.
class KnownFile : public std::enable_shared_from_this<KnownFile> {
  public:
    struct Place {
        std::string key;
        size_t offset; ///< from the start of the file on
    };

    explicit KnownFile(const OpenFile &file) : file_(file) {}
    ~KnownFile()
    {
        std::lock_guard lock(mutex_);
        all_.erase(bytes().data());
    }
    KnownFile(const KnownFile &) = delete;
    KnownFile &operator=(const KnownFile &) = delete;
    std::span<const std::byte> bytes() const { return file_.bytes(); }

    /// From now on it is found, and stands for what the file holds. Once.
    void set_key(std::string key)
    {
        std::lock_guard lock(mutex_);
        key_ = std::move(key);
        all_[bytes().data()] = this;
    }

    /// Nothing when the bytes lie in no such file.
    static std::optional<Place> place_of(const std::byte *start, size_t bytes)
    {
        std::lock_guard lock(mutex_);
        const auto after = all_.upper_bound(start);
        if (after == all_.begin())
            return std::nullopt;
        const KnownFile &file = *std::prev(after)->second;
        const auto offset = static_cast<size_t>(start - file.bytes().data());
        if (offset >= file.bytes().size() || bytes > file.bytes().size() - offset)
            return std::nullopt;
        return Place{file.key_, offset};
    }

    /// The file of that key, when somebody holds it; else nothing.
    static SharedBytes find(const std::string &key)
    {
        std::lock_guard lock(mutex_);
        for (const auto &[start, file] : all_)
            if (file->key_ == key)
                if (auto owner = file->weak_from_this().lock())
                    return {file->bytes(), std::move(owner)};
        return {};
    }

  private:
    const MappedFile file_;
    static inline std::mutex mutex_; // guards what follows
    std::string key_;
    static inline std::map<const std::byte *, const KnownFile *> all_; ///< by where they begin
};

/// The elements of constants, each once, and where they lie.
class Pool {
  public:
    struct Piece {
        const std::byte *start;
        size_t bytes, offset;
    };

    explicit Pool(KnownElements known) : known_elements_(known) {}

    uint32_t add(const Tensor &tensor)
    {
        const auto [known, is_new] =
            indices_.try_emplace({tensor.raw(), tensor.type(), tensor.shape()}, static_cast<uint32_t>(tensors_.size()));
        if (is_new)
            tensors_.push_back({&tensor, place_of(tensor)});
        return known->second;
    }

    Offset<List<Offset<format::Constant>>> write(FlatBufferBuilder &builder) const
    {
        Offsets<format::Constant> rows;
        for (const auto &[tensor, place] : tensors_) {
            const auto key = place.key.empty() ? Offset<flatbuffers::String>() : builder.CreateSharedString(place.key);
            rows.push_back(format::CreateConstant(builder, static_cast<uint8_t>(tensor->type()),
                                                  builder.CreateVector(tensor->shape()), place.offset, key));
        }
        return builder.CreateVector(rows);
    }

    const std::vector<Piece> &pieces() const { return pieces_; }
    size_t bytes() const { return bytes_; }

  private:
    const KnownElements known_elements_;
    std::map<std::tuple<const std::byte *, Type, Shape>, uint32_t> indices_;
    std::vector<std::pair<const Tensor *, KnownFile::Place>> tensors_; ///< the key is empty for the pool's own
    std::map<std::pair<const std::byte *, size_t>, size_t> places_;
    std::vector<Piece> pieces_;
    size_t bytes_ = 0;

    KnownFile::Place place_of(const Tensor &tensor)
    {
        if (tensor.bytes() == 0)
            return {};
        if (known_elements_ == KnownElements::referred)
            if (auto place = KnownFile::place_of(tensor.raw(), tensor.bytes()))
                return *place;
        const auto [known, is_new] = places_.try_emplace({tensor.raw(), tensor.bytes()}, bytes_);
        if (is_new) {
            pieces_.push_back({tensor.raw(), tensor.bytes(), bytes_});
            bytes_ = rounded_up(bytes_ + tensor.bytes(), alignment);
        }
        return {"", known->second};
    }
};

/// From Leat's structures to those of the schema.
class Writer {
  public:
    Writer(const StoredModel &model, KnownElements known) : pool_(known)
    {
        Offset<format::Graph> source;
        if (model.source)
            source = write(*model.source);
        Offsets<format::File> files;
        for (const StoredModel::File &file : model.files)
            files.push_back(format::CreateFile(builder_, text(file.path), text(file.hash), text(file.state)));
        Offset<format::Compilation> compilation;
        if (model.compilation)
            compilation = write(*model.compilation);
        const auto all_files = builder_.CreateVector(files);
        const auto constants = pool_.write(builder_);
        const auto version = text(LEAT_VERSION), key = text(model.key), made_for = text(model.made_for);
        format::FinishModelBuffer(
            builder_, format::CreateModel(builder_, version, key, made_for, constants, source, all_files, compilation));
    }

    std::span<const std::byte> metadata() const
    {
        return {reinterpret_cast<const std::byte *>(builder_.GetBufferPointer()), builder_.GetSize()};
    }
    const Pool &pool() const { return pool_; }

  private:
    FlatBufferBuilder builder_{256 * 1024};
    std::unordered_map<std::string, Offset<flatbuffers::String>> texts_; ///< found faster than by the builder itself
    Pool pool_;

    Offset<flatbuffers::String> text(const std::string &text)
    {
        const auto [known, is_new] = texts_.try_emplace(text);
        if (is_new)
            known->second = builder_.CreateString(text);
        return known->second;
    }

    Offset<format::Attribute> write(const std::string &name, const Attribute &attribute)
    {
        Offset<flatbuffers::String> words;
        Offset<List<int64_t>> integers;
        Offset<List<float>> numbers;
        Offset<format::Graph> graph;
        uint32_t constant = no_constant;
        if (const auto *value = std::get_if<std::string>(&attribute))
            words = text(*value);
        else if (const auto *list = std::get_if<std::vector<int64_t>>(&attribute))
            integers = builder_.CreateVector(*list);
        else if (const auto *floats = std::get_if<std::vector<float>>(&attribute))
            numbers = builder_.CreateVector(*floats);
        else if (const auto *tensor = std::get_if<Tensor>(&attribute))
            constant = *tensor ? pool_.add(*tensor) : no_constant;
        else if (const auto *body = std::get_if<std::shared_ptr<const Graph>>(&attribute))
            graph = write(**body);
        const auto label = text(name);
        format::AttributeBuilder row(builder_);
        row.add_name(label);
        row.add_kind(static_cast<uint8_t>(attribute.index()));
        if (const auto *integer = std::get_if<int64_t>(&attribute))
            row.add_integer(*integer);
        if (const auto *number = std::get_if<float>(&attribute))
            row.add_number(*number);
        row.add_text(words);
        row.add_integers(integers);
        row.add_numbers(numbers);
        row.add_constant(constant);
        row.add_graph(graph);
        return row.Finish();
    }

    Offset<List<Offset<format::Attribute>>> write(const Attributes &attributes)
    {
        Offsets<format::Attribute> rows;
        for (const auto &[name, attribute] : attributes.all())
            rows.push_back(write(name, attribute));
        return builder_.CreateVector(rows);
    }

    Offset<format::PostOp> write(const PostOp &post)
    {
        const auto name = text(std::string(post.op->name));
        return format::CreatePostOp(builder_, static_cast<uint8_t>(post.kind), name, write(post.attributes),
                                    post.input);
    }

    Offset<format::Node> write(const Node &node)
    {
        Offsets<format::PostOp> post_ops;
        for (const PostOp &post : node.post_ops)
            post_ops.push_back(write(post));
        const auto op = text(std::string(node.op->name)), name = text(node.name);
        const auto inputs = builder_.CreateVector(node.inputs), outputs = builder_.CreateVector(node.outputs);
        const auto attributes = write(node.attributes);
        return format::CreateNode(builder_, op, name, inputs, outputs, attributes, builder_.CreateVector(post_ops));
    }

    Offset<format::Value> write(const Value &value)
    {
        const uint32_t constant = value.constant ? pool_.add(value.constant) : no_constant;
        std::vector<int64_t> limits;
        for (const Dimension &each : value.limits)
            limits.insert(limits.end(), {each.least, each.most});
        const auto name = text(value.name);
        const auto shape = builder_.CreateVector(value.shape.value_or(Shape()));
        return format::CreateValue(builder_, name, static_cast<uint8_t>(value.type), value.shape.has_value(), shape,
                                   constant, builder_.CreateVector(limits));
    }

    Offset<format::Graph> write(const Graph &graph)
    {
        Offsets<format::Value> values;
        for (const Value &value : graph.values)
            values.push_back(write(value));
        Offsets<format::Node> nodes;
        for (const Node &node : graph.nodes)
            nodes.push_back(write(node));
        const auto name = text(graph.name);
        const auto all_values = builder_.CreateVector(values);
        const auto all_nodes = builder_.CreateVector(nodes);
        const auto inputs = builder_.CreateVector(graph.inputs), outputs = builder_.CreateVector(graph.outputs);
        return format::CreateGraph(builder_, name, all_values, all_nodes, inputs, outputs, write(graph.metadata));
    }

    Offset<flatbuffers::Vector<Offset<format::Entry>>> write(const std::map<std::string, std::string> &entries)
    {
        Offsets<format::Entry> rows;
        for (const auto &[key, value] : entries) {
            const auto name = text(key);
            rows.push_back(format::CreateEntry(builder_, name, text(value)));
        }
        return builder_.CreateVector(rows);
    }

    Offset<format::Compilation> write(const Compilation &compilation)
    {
        const auto graph = write(compilation.graph);
        Offsets<flatbuffers::String> notes;
        for (const std::string &note : compilation.notes)
            notes.push_back(text(note));
        Offsets<format::Packed> packed;
        for (const PackedConstant &each : compilation.packed) {
            const uint32_t source = pool_.add(each.source), made = pool_.add(each.made);
            const auto form =
                builder_.CreateVector(reinterpret_cast<const uint8_t *>(each.form.data()), each.form.size());
            packed.push_back(format::CreatePacked(builder_, source, form, made));
        }
        const auto all_notes = builder_.CreateVector(notes);
        const auto all_packed = builder_.CreateVector(packed);
        const auto types = write(compilation.types.value_or(std::map<std::string, std::string>()));
        return format::CreateCompilation(builder_, graph, all_notes, all_packed, compilation.types.has_value(), types);
    }
};

[[noreturn]] void throw_damaged(const std::string &what)
{
    throw Error("the stored model is damaged (" + what + ")");
}

std::string string_of(const flatbuffers::String *text)
{
    return text ? text->str() : std::string();
}

/// Copied as bytes: the verifier does not see to it that elements of eight bytes are aligned.
template <class T> std::vector<T> vector_of(const List<T> *list)
{
    std::vector<T> items(list ? list->size() : 0);
    if (!items.empty())
        std::memcpy(items.data(), list->Data(), items.size() * sizeof(T));
    return items;
}

/// Calls f for each row of a list that may be absent.
template <class T, class F> void each(const List<Offset<T>> *list, F f)
{
    if (list)
        for (const T *row : *list)
            f(*row);
}

Type type_of_number(uint8_t number)
{
    if (number > static_cast<uint8_t>(Type::boolean))
        throw_damaged("a type that does not exist");
    return static_cast<Type>(number);
}

/// From the structures of the schema, which are within bounds, to Leat's.
class Reader {
  public:
    Reader(const format::Model &model, SharedBytes data)
    {
        each(model.constants(), [&](const format::Constant &row) { constants_.push_back(read(row, data)); });
    }

    StoredModel read(const format::Model &model) const
    {
        StoredModel result;
        result.key = string_of(model.key());
        result.made_for = string_of(model.made_for());
        if (model.source())
            result.source = read(*model.source());
        each(model.files(), [&](const format::File &file) {
            result.files.push_back({file.path()->str(), file.hash()->str(), string_of(file.state())});
        });
        if (model.compilation())
            result.compilation = read(*model.compilation());
        return result;
    }

  private:
    std::vector<Tensor> constants_;

    static Tensor read(const format::Constant &row, const SharedBytes &own)
    {
        const SharedBytes data = row.key() ? KnownFile::find(row.key()->str()) : own;
        if (row.key() && !data.owner)
            throw Error("it belongs to a model that is not in use");
        const Type type = type_of_number(row.type());
        Shape shape = vector_of(row.shape());
        const auto count = static_cast<uint64_t>(count_of(shape));
        const uint64_t room = data.bytes.size() - std::min<uint64_t>(row.offset(), data.bytes.size());
        if (type == Type::undefined || row.offset() % alignment != 0 || count > room / size_of(type))
            throw_damaged("a constant lies outside of it");
        auto *start = const_cast<std::byte *>(data.bytes.data()) + (count ? row.offset() : 0);
        return Tensor::view(type, std::move(shape), start, data.owner);
    }

    const Tensor &constant(uint32_t index) const
    {
        if (index >= constants_.size())
            throw_damaged("a constant that does not exist");
        return constants_[index];
    }

    static const Op *op_of(const flatbuffers::String *name)
    {
        const Op *row = find_op(name->str());
        if (!row)
            throw_damaged("the op " + name->str() + " does not exist");
        return row;
    }

    Attribute read(const format::Attribute &row) const
    {
        switch (row.kind()) {
        case 0: return row.integer();
        case 1: return row.number();
        case 2: return string_of(row.text());
        case 3: return vector_of(row.integers());
        case 4: return vector_of(row.numbers());
        case 5: return row.constant() == no_constant ? Tensor() : constant(row.constant());
        case 6:
            if (row.graph())
                return std::make_shared<const Graph>(read(*row.graph()));
        }
        throw_damaged("an attribute of no known kind");
    }

    Attributes read(const List<Offset<format::Attribute>> *rows) const
    {
        Attributes attributes;
        each(rows, [&](const format::Attribute &row) { attributes.set(row.name()->str(), read(row)); });
        return attributes;
    }

    PostOp read(const format::PostOp &row) const
    {
        if (row.kind() > static_cast<uint8_t>(PostOp::Kind::binary))
            throw_damaged("a post-op of no known kind");
        return {static_cast<PostOp::Kind>(row.kind()), op_of(row.op()), read(row.attributes()), row.input()};
    }

    Node read(const format::Node &row) const
    {
        Node node{op_of(row.op()),          string_of(row.name()),  vector_of(row.inputs()),
                  vector_of(row.outputs()), read(row.attributes()), {}};
        each(row.post_ops(), [&](const format::PostOp &post) { node.post_ops.push_back(read(post)); });
        return node;
    }

    Value read(const format::Value &row) const
    {
        Value value;
        value.name = string_of(row.name());
        value.type = type_of_number(row.type());
        if (row.ranked())
            value.shape = vector_of(row.shape());
        if (row.constant() != no_constant)
            value.constant = constant(row.constant());
        if (value.constant && (value.constant.type() != value.type || value.constant.shape() != value.shape))
            throw_damaged("a constant is not what its value says");
        const std::vector<int64_t> limits = vector_of(row.limits());
        for (size_t axis = 0; axis + 1 < limits.size(); axis += 2)
            value.limits.push_back({limits[axis], limits[axis + 1]});
        return value;
    }

    static std::map<std::string, std::string> read(const List<Offset<format::Entry>> *rows)
    {
        std::map<std::string, std::string> entries;
        each(rows, [&](const format::Entry &row) { entries[row.key()->str()] = string_of(row.value()); });
        return entries;
    }

    Graph read(const format::Graph &row) const
    {
        Graph graph;
        graph.name = string_of(row.name());
        each(row.values(), [&](const format::Value &value) { graph.values.push_back(read(value)); });
        each(row.nodes(), [&](const format::Node &node) { graph.nodes.push_back(read(node)); });
        graph.inputs = vector_of(row.inputs());
        graph.outputs = vector_of(row.outputs());
        graph.metadata = read(row.metadata());
        graph.verify();
        return graph;
    }

    Compilation read(const format::Compilation &stored) const
    {
        Compilation result{read(*stored.graph()), {}};
        if (stored.typed())
            result.types = read(stored.types());
        if (stored.notes())
            for (const flatbuffers::String *note : *stored.notes())
                result.notes.push_back(note->str());
        each(stored.packed(), [&](const format::Packed &row) {
            const auto *form = row.form();
            result.packed.push_back(
                {constant(row.source()),
                 form ? std::string(reinterpret_cast<const char *>(form->data()), form->size()) : std::string(),
                 constant(row.made())});
        });
        return result;
    }
};

constexpr size_t before_checksum_ends = offsetof(Header, checksum) + sizeof(Header::checksum);

/// `start`: of the file, which has so many bytes.
Header checked_header(std::span<const std::byte> start, uint64_t bytes)
{
    Header header;
    if (!is_stored_model(start))
        throw Error("this is not a stored model of Leat");
    if (start.size() < sizeof header)
        throw_damaged("it is truncated");
    std::memcpy(&header, start.data(), sizeof header);
    if (header.format != format_number)
        throw Error("it was stored in the format " + std::to_string(header.format) +
                    " by another version of Leat; this version has the format " + std::to_string(format_number));
    const uint64_t room = bytes - sizeof header;
    if (header.metadata_bytes > room || header.data_offset > bytes ||
        header.data_offset < sizeof header + header.metadata_bytes || header.data_bytes != bytes - header.data_offset)
        throw_damaged("its size is not what it says");
    return header;
}

void check(const Header &header, const Hash &hash)
{
    if (hash.checksum() != header.checksum)
        throw_damaged("its checksum is wrong");
}

/// A file under a temporary name, which is removed unless it is renamed.
class TemporaryFile {
  public:
    explicit TemporaryFile(const std::filesystem::path &target) : name_(target.string() + ".XXXXXX")
    {
        file_ = ::mkostemp(name_.data(), O_CLOEXEC);
        if (file_ < 0)
            throw_failed();
        ::fchmod(file_, 0644);
    }
    ~TemporaryFile()
    {
        if (file_ >= 0)
            ::close(file_);
        if (!renamed_ && file_ != -1)
            ::unlink(name_.c_str());
    }
    TemporaryFile(const TemporaryFile &) = delete;
    TemporaryFile &operator=(const TemporaryFile &) = delete;

    void write(std::span<const std::byte> bytes)
    {
        while (!bytes.empty()) {
            const ssize_t written = ::write(file_, bytes.data(), bytes.size());
            if (written < 0 && errno == EINTR)
                continue;
            if (written <= 0)
                throw_failed();
            bytes = bytes.subspan(static_cast<size_t>(written));
        }
    }

    void rename_to(const std::filesystem::path &target)
    {
        if (::rename(name_.c_str(), target.c_str()) != 0)
            throw_failed();
        renamed_ = true;
    }

  private:
    std::string name_;
    int file_ = -1;
    bool renamed_ = false;

    [[noreturn]] static void throw_failed()
    {
        throw Error(std::string("the file cannot be written: ") + std::strerror(errno));
    }
};

/// Calls sink(bytes) for all that lies in the file after the metadata.
template <class Sink> void each_piece(const Pool &pool, size_t before, Sink sink)
{
    static constexpr std::byte zeros[page] = {};
    size_t at = before;
    auto pad_to = [&](size_t offset) {
        sink(std::span<const std::byte>(zeros, offset - at));
        at = offset;
    };
    const size_t data_offset = rounded_up(before, page);
    pad_to(data_offset);
    for (const Pool::Piece &piece : pool.pieces()) {
        pad_to(data_offset + piece.offset);
        sink(std::span<const std::byte>(piece.start, piece.bytes));
        at += piece.bytes;
    }
    pad_to(data_offset + pool.bytes());
}

StoredModel read(const SharedBytes &file, const Header &header)
{
    const auto bytes = file.bytes;
    const auto metadata = bytes.subspan(sizeof header, header.metadata_bytes);
    const auto *start = reinterpret_cast<const uint8_t *>(metadata.data());
    constexpr flatbuffers::uoffset_t depth = 64, tables = 100'000'000;
    flatbuffers::Verifier verifier(start, metadata.size(), depth, tables);
    if (!format::VerifyModelBuffer(verifier))
        throw_damaged("its structure does not hold");
    const format::Model &model = *format::GetModel(start);
    if (model.version()->str() != LEAT_VERSION)
        throw Error("it was stored by Leat " + model.version()->str() + "; this is Leat " LEAT_VERSION);
    return Reader(model, {bytes.subspan(header.data_offset), file.owner}).read(model);
}

Header header_of(const OpenFile &file)
{
    std::vector<std::byte> start(std::min<uint64_t>(file.bytes(), sizeof(Header)));
    file.read(0, start);
    return checked_header(start, file.bytes());
}

/// Once for each state of a file. Part by part, so that not all pages are in this process at a time; to map them is
/// faster than to read.
void check_all(const OpenFile &file, const Header &header)
{
    constexpr uint64_t part_bytes = 64 << 20;
    static std::mutex mutex;
    static std::set<std::string> right; // states of files
    const OpenFile::State state = file.state();
    const bool is_settled = state.is_settled(); // before anything is read
    {
        std::lock_guard lock(mutex);
        if (right.contains(state.text))
            return;
    }
    Hash hash;
    for (uint64_t at = 0; at < file.bytes(); at += part_bytes) {
        const uint64_t skipped = at == 0 ? before_checksum_ends : 0;
        const MappedFile part(file, at, std::min(part_bytes, file.bytes() - at));
        if (!part.fetch()) {
            hash.add(file, at + skipped);
            break;
        }
        hash.add(part.bytes().subspan(skipped));
    }
    check(header, hash);
    std::lock_guard lock(mutex);
    if (is_settled)
        right.insert(state.text);
}

} // namespace

bool is_stored_model(std::span<const std::byte> bytes)
{
    return bytes.size() >= sizeof magic && std::memcmp(bytes.data(), magic, sizeof magic) == 0;
}

StoredModel read_stored_model(const std::filesystem::path &path)
{
    const OpenFile file = OpenFile::open_regular(path);
    const Header header = header_of(file);
    check_all(file, header);
    const auto mapping = std::make_shared<const MappedFile>(file);
    return read({mapping->bytes(), mapping}, header);
}

StoredModel read_stored_model(const OpenFile &file, const std::string &key, Checksum checksum)
{
    const Header header = header_of(file);
    if (checksum == Checksum::compared)
        check_all(file, header);
    const auto mapping = std::make_shared<KnownFile>(file);
    StoredModel model = read({mapping->bytes(), mapping}, header);
    if (model.key != key)
        throw Error("it belongs to another model");
    std::string known_as = key;
    for (const StoredModel::File &each : model.files)
        known_as += ' ' + each.hash;
    mapping->set_key(std::move(known_as));
    return model;
}

StoredModel read_stored_model(SharedBytes file)
{
    const Header header = checked_header(file.bytes, file.bytes.size());
    Hash hash;
    hash.add(file.bytes.subspan(before_checksum_ends));
    check(header, hash);
    return read(file, header);
}

uint64_t write_stored_model(const StoredModel &model, const std::filesystem::path &path, KnownElements known)
{
    const Writer writer(model, known);
    Header header = {};
    std::memcpy(header.magic, magic, sizeof magic);
    header.format = format_number;
    header.metadata_bytes = writer.metadata().size();
    const size_t before = sizeof header + header.metadata_bytes;
    header.data_offset = rounded_up(before, page);
    header.data_bytes = writer.pool().bytes();

    Hash hash;
    const auto header_bytes = std::as_bytes(std::span(&header, 1));
    hash.add(header_bytes.subspan(before_checksum_ends));
    hash.add(writer.metadata());
    each_piece(writer.pool(), before, [&](std::span<const std::byte> bytes) { hash.add(bytes); });
    header.checksum = hash.checksum();

    TemporaryFile file(path);
    file.write(header_bytes);
    file.write(writer.metadata());
    each_piece(writer.pool(), before, [&](std::span<const std::byte> bytes) { file.write(bytes); });
    file.rename_to(path);
    return header.data_offset + header.data_bytes;
}

std::string hash_of(const Graph &graph)
{
    StoredModel model;
    model.source = graph;
    const Writer writer(model, KnownElements::referred);
    Hash hash;
    hash.add(writer.metadata());
    for (const Pool::Piece &piece : writer.pool().pieces())
        hash.add({piece.start, piece.bytes});
    return hash.digits();
}

} // namespace leat
