#include "model_cache.h"

#include "inference/hash.h"
#include "inference/read.h"
#include "inference/warning.h"

#include <leat/error.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <set>

namespace leat {
namespace {

namespace fs = std::filesystem;

constexpr const char *extension = ".leat";
constexpr const char *note_of_checksum = ".checked"; // behind the key of the file that it is about

bool is_worth_a_note(uint64_t bytes)
{
    return bytes >= 1 << 20; // fewer are hashed faster than a note is looked up
}

/// Another when the file is another, has been written to, or the machine has started again, which may have cost what
/// was not on the disk yet. Empty when the system does not say.
std::string state_of(const OpenFile &file)
{
    static const std::string start = [] {
        std::string id;
        std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
        return id;
    }();
    return start.empty() ? "" : start + ' ' + file.state().text;
}

/// Of options, those on which a Compilation and its packed weights depend.
std::string text_of(const Options &options)
{
    std::string text;
    for (const std::string &pass : options.disabled_passes)
        text += "without " + pass + '\n';
    return text + "precision " + std::to_string(static_cast<int>(options.inference_precision)) + ' ' +
           std::to_string(static_cast<int>(options.execution_mode)) + '\n';
}

std::string hash_of_text(const std::string &text)
{
    return hash_of(std::as_bytes(std::span(text.data(), text.size())));
}

std::string key_of(const Device &device, const Graph &graph, const Options &options)
{
    return hash_of_text("compiled by Leat " LEAT_VERSION "\n" + device.name() + '\n' + device.staged()->target() +
                        '\n' + text_of(options) + hash_of(graph));
}

std::string made_for(const Device &device)
{
    return device.name() + ", " + device.staged()->target();
}

ModelCache cache_of(const Options &options)
{
    return {options.cache_dir, static_cast<uint64_t>(std::max(options.cache_size, 0)) << 20};
}

std::string in_quotes(const fs::path &path)
{
    return '"' + path.string() + '"';
}

/// A folder that cannot be written is one warning a process, however many models there are.
void warn_of_folder(const fs::path &folder, const std::string &why)
{
    static std::mutex mutex;
    static std::set<fs::path> known;
    std::lock_guard lock(mutex);
    if (known.insert(folder).second)
        warn("compiled models cannot be kept in the cache " + in_quotes(folder) + ": " + why +
             "; each start compiles them again");
}

/// Whether the files beside the model are still those that it was read from.
bool are_current(const std::vector<StoredModel::File> &files, const fs::path &folder, const ModelCache &cache)
{
    return std::all_of(files.begin(), files.end(), [&](const StoredModel::File &file) {
        try {
            return cache.hash_of_file(folder / file.path) == file.hash;
        } catch (const Error &) {
            return false;
        }
    });
}

std::vector<StoredModel::File> hashed(const std::vector<fs::path> &paths, const fs::path &folder,
                                      const ModelCache &cache)
{
    std::vector<StoredModel::File> files;
    for (const fs::path &path : paths)
        files.push_back({fs::relative(path, folder).string(), cache.hash_of_file(path)});
    return files;
}

/// Nothing when the file cannot be read: the reader says why.
std::optional<std::string> key_of_file(const fs::path &model, const std::string &how, const ModelCache &cache)
{
    try {
        return hash_of_text("read by Leat " LEAT_VERSION "\n" + how + cache.hash_of_file(model));
    } catch (const Error &) {
        return std::nullopt;
    }
}

std::unique_ptr<CompiledModel> restored(const Device &device, StoredModel stored, const Options &options,
                                        const fs::path &from)
{
    stored.compilation->origin = in_quotes(from);
    return device.staged()->build(std::move(*stored.compilation), options, nullptr);
}

/// What the model's own file holds; nothing, with a warning, when that was compiled for something else.
std::unique_ptr<CompiledModel> restored_from_file(const Device &device, const std::string &key, const Options &options,
                                                  const fs::path &path)
{
    try {
        StoredModel stored = read_stored_model(path);
        if (stored.compilation && stored.key == key)
            return restored(device, std::move(stored), options, path);
        warn("the model " + in_quotes(path) + " is compiled again for " + made_for(device) + ": it was compiled for " +
             (stored.compilation ? stored.made_for : "nothing") +
             (stored.made_for == made_for(device) ? " with other inputs or options" : "") +
             "; `leat compile` makes a file for this machine");
    } catch (const Error &error) {
        warn("the model " + in_quotes(path) + " is compiled again: " + error.what());
    }
    return nullptr;
}

struct Made {
    std::unique_ptr<CompiledModel> model;
    Compilation compilation;
};

Made make(const StagedCompiler &compiler, const Graph &graph, const Options &options)
{
    Made made;
    made.compilation = compiler.prepare(graph, options);
    made.model = compiler.build(made.compilation, options, &made.compilation);
    return made;
}

} // namespace

fs::path ModelCache::path_of(const std::string &key) const
{
    return folder_ / (key + extension);
}

std::optional<StoredModel> ModelCache::find(const std::string &key) const
{
    const fs::path path = path_of(key);
    std::error_code ignored;
    if (!fs::exists(path, ignored))
        return std::nullopt;
    try {
        const OpenFile file = OpenFile::open_regular(path);
        const std::string state = state_of(file);
        const bool is_settled = file.state().is_settled(); // before anything is read
        const bool is_noted = is_worth_a_note(file.bytes()) && noted(key + note_of_checksum, state);
        StoredModel stored = read_stored_model(file, key, is_noted ? Checksum::trusted : Checksum::compared);
        if (is_noted)
            return stored; // and the note is marked as used: a mark on the file would change its state
        if (is_worth_a_note(file.bytes()) && is_settled)
            note(key + note_of_checksum, state, "right");
        else
            fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
        return stored;
    } catch (const Error &error) {
        warn("the cached model " + in_quotes(path) + " is made again: " + error.what());
        return std::nullopt;
    }
}

std::string ModelCache::hash_of_file(const fs::path &path, std::chrono::system_clock::time_point now) const
{
    const OpenFile file = OpenFile::open_regular(path);
    const std::string state = state_of(file);
    std::error_code failed;
    const fs::path name = fs::canonical(path, failed);
    const bool worth = is_worth_a_note(file.bytes()) && !failed;
    const std::string key = hash_of_text("hashed by Leat " LEAT_VERSION "\n" + name.string());
    if (worth)
        if (auto hash = noted(key, state))
            return *hash;
    Hash hash;
    hash.add(file, 0);
    if (worth && file.state().is_settled(now) && state_of(file) == state)
        note(key, state, hash.digits());
    return hash.digits();
}

std::optional<std::string> ModelCache::noted(const std::string &key, const std::string &state) const
{
    const auto found = find(key);
    const bool holds = found && found->files.size() == 1 && found->files[0].state == state && !state.empty();
    return holds ? std::optional(found->files[0].hash) : std::nullopt;
}

void ModelCache::note(const std::string &key, const std::string &state, const std::string &what) const
{
    if (state.empty())
        return;
    try {
        fs::create_directories(folder_);
        write_stored_model({key, "", {}, {{"", what, state}}, {}}, path_of(key));
    } catch (const std::exception &) { // a folder that is only read, such as one that an image brings: it is read again
    }
}

void ModelCache::keep(const std::string &key, const StoredModel &model) const
{
    try {
        fs::create_directories(folder_);
        const uint64_t bytes = write_stored_model(model, path_of(key), KnownElements::referred);
        if (bytes > capacity_)
            warn_of_folder(folder_, "a model takes more than the " + std::to_string(capacity_ >> 20) +
                                        " MiB that the cache may have");
        if (is_worth_a_note(bytes)) // at once, since files here are replaced, not written to
            note(key + note_of_checksum, state_of(OpenFile::open_regular(path_of(key))), "right");
        remove_oldest();
    } catch (const std::exception &error) {
        warn_of_folder(folder_, error.what());
    }
}

void ModelCache::remove_oldest() const
{
    struct Entry {
        fs::file_time_type used;
        uint64_t bytes = 0;
        std::vector<fs::path> paths; ///< the file, and the note on its checksum
    };
    std::map<std::string, Entry> by_name;
    uint64_t total = 0;
    std::error_code gone; // other processes remove files too
    for (const fs::directory_entry &each : fs::directory_iterator(folder_)) {
        std::string name = each.path().filename().string();
        // The names of files that are being written have more behind the extension.
        if (name.find(extension) == std::string::npos || !each.is_regular_file(gone))
            continue;
        const fs::file_time_type used = each.last_write_time(gone);
        const uint64_t bytes = gone ? 0 : each.file_size(gone);
        if (gone)
            continue;
        if (const size_t at = name.find(note_of_checksum); at != std::string::npos)
            name.erase(at, std::strlen(note_of_checksum));
        Entry &entry = by_name[name];
        entry.used = entry.paths.empty() ? used : std::max(entry.used, used);
        entry.bytes += bytes;
        entry.paths.push_back(each.path());
        total += bytes;
    }
    std::vector<Entry> entries;
    for (auto &[name, entry] : by_name)
        entries.push_back(std::move(entry));
    std::sort(entries.begin(), entries.end(), [](const Entry &a, const Entry &b) { return a.used < b.used; });
    for (const Entry &entry : entries) {
        if (total <= capacity_)
            return;
        for (const fs::path &path : entry.paths)
            fs::remove(path, gone);
        total -= entry.bytes;
    }
}

Graph read_cached(const fs::path &model, const std::string &how, const Options &options, const ReadGraph &read)
{
    if (options.cache_dir.empty() || is_stored_model_file(model))
        return read(nullptr);
    const ModelCache cache = cache_of(options);
    const auto key = key_of_file(model, how, cache);
    if (!key)
        return read(nullptr);
    const fs::path folder = model.has_parent_path() ? model.parent_path() : fs::path(".");
    if (auto found = cache.find(*key); found && found->source) {
        if (are_current(found->files, folder, cache))
            return std::move(*found->source);
        warn("the cached model of " + in_quotes(model) + " is made again: a file beside it has changed");
    }
    std::vector<fs::path> data_files;
    StoredModel stored;
    stored.source = read(&data_files);
    stored.key = *key;
    stored.files = hashed(data_files, folder, cache);
    cache.keep(*key, stored);
    // From the file, so that the key of what is compiled of it is that of the next start.
    auto kept = cache.find(*key);
    return std::move(*(kept && kept->source ? kept->source : stored.source));
}

std::unique_ptr<CompiledModel> compile_cached(Device &device, Graph graph, const Options &options, const fs::path &path)
{
    const bool in_file = !path.empty() && is_stored_model_file(path);
    if (!device.staged() || (options.cache_dir.empty() && !in_file))
        return device.compile(std::move(graph), options);
    const std::string key = key_of(device, graph, options);
    if (in_file)
        if (auto model = restored_from_file(device, key, options, path))
            return model;
    if (options.cache_dir.empty())
        return device.compile(std::move(graph), options);
    const ModelCache cache = cache_of(options);
    if (auto found = cache.find(key); found && found->compilation)
        try {
            return restored(device, std::move(*found), options, options.cache_dir);
        } catch (const Error &error) {
            warn("the cached model in " + in_quotes(options.cache_dir) + " is compiled again: " + error.what());
        }
    Made made = make(*device.staged(), graph, options);
    cache.keep(key, {key, made_for(device), {}, {}, std::move(made.compilation)});
    return std::move(made.model);
}

void store_compiled(const Device &device, const Graph &source, const Graph &graph, const Options &options,
                    const fs::path &target)
{
    if (!device.staged())
        throw Error("models compiled for " + device.name() + " cannot be stored; store them for CPU");
    const StoredModel stored{key_of(device, graph, options),
                             made_for(device),
                             source,
                             {},
                             make(*device.staged(), graph, options).compilation};
    in_context("file " + in_quotes(target), [&] { write_stored_model(stored, target); });
}

} // namespace leat
