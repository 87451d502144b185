#pragma once
#include "graph.h"
#include "hash.h"
#include "open_file.h"
#include "shared_bytes.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace leat {

/// The same elements in the form in which a kernel reads them.
struct PackedConstant {
    Tensor source;
    std::string form; ///< bytes that only the device understands
    Tensor made;
};

/// What a device keeps of compiling a graph, so that the next time it need not do the work again.
struct Compilation {
    Graph graph; ///< after the passes
    std::vector<std::string> notes;
    std::vector<PackedConstant> packed{};
    /// When the graph has the types in which its nodes compute: by name of node why.
    std::optional<std::map<std::string, std::string>> types{};
    std::string origin{}; ///< the file or folder where it was stored, for people; empty for one just made
};

/// What a file of a stored model holds.
///
/// The file: 8 bytes of magic, a 64-bit checksum (Hash) of all that follows it, the number of the format, sizes, a
/// FlatBuffers buffer of the schema stored_model.fbs, and from the next multiple of 4096 bytes on the elements of the
/// constants, each from a multiple of 64 on. Tensors that share memory share it there too; some may lie in another such
/// file instead (KnownElements). A file that was read is mapped: constants are its pages, which all processes share.
struct StoredModel {
    struct File {
        std::string path, hash;
        std::string state{}; ///< in which it had the hash (OpenFile::State), where that is kept
    };
    std::string key;             ///< two with the same key hold the same, if their files do
    std::string made_for;        ///< device, processor and library of the compilation, for people
    std::optional<Graph> source; ///< as it was read, with its shapes
    std::vector<File> files;     ///< that `source` was read from besides the model's own; without a source, any
    std::optional<Compilation> compilation;
};

enum class Checksum {
    compared, ///< with what the file holds, all of which is read
    trusted,  ///< it was compared before, and nobody has written to the file since
};

/// Whether a file that begins so is a stored model, whatever its format and state.
bool is_stored_model(std::span<const std::byte>);

/// Throws Error without the path: the file is damaged, or was written by another version of Leat. Every byte string
/// gives a model or an Error; whoever changes a file and its checksum on purpose can make graphs that no pass would
/// make, whose numbers mean nothing.
StoredModel read_stored_model(const std::filesystem::path &);
/// The same of a file with that key, which stands, with the hashes of its files, for what it holds: hash_of() a graph
/// takes them, and where they lie, for the elements of its constants, without reading these. Throws Error when it has
/// another key, or elements of its constants lie in a file that was not read this way, or is no longer in use.
StoredModel read_stored_model(const OpenFile &, const std::string &key, Checksum);
/// The same for the bytes of a file; they begin at a multiple of 16.
StoredModel read_stored_model(SharedBytes);

/// Where elements of constants that lie in a file that was read with its key are written.
enum class KnownElements {
    copied,   ///< into the file, too
    referred, ///< not again: the key is, and who reads the file holds a graph of the other
};

/// Writes beside the path and renames, so that readers see the old file or the new one. Throws Error without the path
/// when it cannot be written; nothing is left behind then. Returns the file's size in bytes.
uint64_t write_stored_model(const StoredModel &, const std::filesystem::path &, KnownElements = KnownElements::copied);

/// Hash::digits() of the graph with all its constants.
std::string hash_of(const Graph &);

} // namespace leat
