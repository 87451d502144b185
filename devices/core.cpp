#include "core.h"
#include "batch.h"
#include "devices.h"
#include "latency_bound.h"
#include "model_cache.h"

#include "inference/ports.h"
#include "inference/read.h"
#include "preprocess/image_input.h"

#include <leat/core.h>

#include <filesystem>
#include <mutex>

namespace leat {
namespace {

/// A table of things that live only as long as somebody outside holds them. Two who ask for the same at once get the
/// same; those who ask for something else do not wait for them.
template <class Key, class Made> class WeakCache {
  public:
    template <class Make> std::shared_ptr<Made> get(const Key &key, Make make)
    {
        const auto slot = slot_of(key);
        std::lock_guard lock(slot->mutex);
        if (auto found = slot->made.lock())
            return found;
        std::shared_ptr<Made> made = make();
        std::lock_guard table(mutex_);
        slot->made = made;
        return made;
    }

    /// The key under which that was asked for; nothing when it is not from here.
    std::optional<Key> key_of(const std::shared_ptr<Made> &made)
    {
        std::lock_guard table(mutex_);
        for (const auto &slot : slots_)
            if (slot->made.lock() == made)
                return slot->key;
        return {};
    }

  private:
    struct Slot {
        explicit Slot(const Key &k) : key(k) {}
        const Key key;
        std::mutex mutex;         // held while making
        std::weak_ptr<Made> made; // guarded by both mutexes: who writes holds both
    };

    std::shared_ptr<Slot> slot_of(const Key &key)
    {
        std::lock_guard table(mutex_);
        // Whoever makes one holds its slot too.
        std::erase_if(slots_, [](const auto &slot) { return slot.use_count() == 1 && slot->made.expired(); });
        for (const auto &slot : slots_)
            if (slot->key == key)
                return slot;
        return slots_.emplace_back(std::make_shared<Slot>(key));
    }

    std::mutex mutex_; // guards what follows
    std::vector<std::shared_ptr<Slot>> slots_;
};

using Shapes = std::map<std::string, Dimensions>;

struct FileKey {
    Shapes shapes;
    std::filesystem::path path;
    std::filesystem::file_time_type written;
    uintmax_t bytes;
    bool operator==(const FileKey &) const = default;
};

struct CompiledKey {
    std::optional<FileKey> file; // that the graph was read from
    const Graph *graph;          // when there is none: alive while the compiled model is, for it is held beside it
    std::string device;
    Options options;
    std::optional<ImageInput> image;
    bool operator==(const CompiledKey &) const = default;
};

std::optional<FileKey> key_of(const std::string &path, const Shapes &shapes)
{
    namespace fs = std::filesystem;
    std::error_code failed;
    FileKey key{shapes, fs::canonical(path, failed), {}, 0};
    if (!failed)
        key.written = fs::last_write_time(key.path, failed);
    if (!failed)
        key.bytes = fs::file_size(key.path, failed);
    return failed ? std::nullopt : std::optional(key);
}

Graph inferred(Graph graph, const Shapes &shapes)
{
    for (const auto &[name, dimensions] : shapes)
        set_input_shape(graph, name, dimensions);
    infer_shapes(graph);
    graph.tidy();
    graph.verify();
    return graph;
}

/// -1 where more than one size is allowed.
Shape sizes_of(const Dimensions &dimensions)
{
    Shape shape;
    for (const Dimension &each : dimensions)
        shape.push_back(each.is_fixed() ? each.least : -1);
    return shape;
}

/// What `leat compile` wrote has sizes computed from those of its inputs.
void check_kept_sizes(const Graph &graph, const Shapes &shapes)
{
    for (const Port &port : input_ports(graph))
        if (const auto found = shapes.find(port.name);
            found != shapes.end() && is_static(port.shape) && !fits(port, sizes_of(found->second)))
            throw Error("the input \"" + port.name + "\" was compiled for " + to_string(port.shape) +
                        "; compile the model again with `leat compile --shape` for " + to_string(found->second));
}

Graph read(const std::string &path, const Shapes &shapes, std::vector<std::filesystem::path> *data_files)
{
    Graph graph = read_model_file(path, data_files);
    return in_context("while " + std::string(shapes.empty() ? "reading" : "reshaping") + " \"" + path + "\"", [&] {
        if (is_stored_model_file(path))
            check_kept_sizes(graph, shapes);
        return inferred(std::move(graph), shapes);
    });
}

/// Everything but the model's bytes that the graph of a file depends on.
std::string text_of(const Shapes &shapes)
{
    std::string text;
    for (const auto &[name, dimensions] : shapes)
        text += name + '=' + to_string(dimensions) + '\n';
    return text;
}

std::shared_ptr<const Graph> read(const std::string &path, const Shapes &shapes, const Options &options)
{
    auto afresh = [&](std::vector<std::filesystem::path> *data_files) { return read(path, shapes, data_files); };
    return std::make_shared<const Graph>(read_cached(path, text_of(shapes), options, afresh));
}

WeakCache<FileKey, const Graph> &graphs_of_files()
{
    static WeakCache<FileKey, const Graph> cache;
    return cache;
}

} // namespace

std::shared_ptr<const Graph> read_shared(const std::string &path, const Shapes &shapes, const Options &options)
{
    const auto key = key_of(path, shapes);
    return key ? graphs_of_files().get(*key, [&] { return read(path, shapes, options); }) : read(path, shapes, options);
}

std::shared_ptr<CompiledModel> compile_shared(std::shared_ptr<const Graph> graph, const std::string &device,
                                              const Options &options, const std::optional<ImageInput> &image,
                                              const std::string &path)
{
    struct Held {
        std::shared_ptr<const Graph> graph; // where its address is the key
        std::shared_ptr<Device> device;
        std::unique_ptr<CompiledModel> model;
    };
    static WeakCache<CompiledKey, CompiledModel> cache;
    const auto file = graphs_of_files().key_of(graph);
    const CompiledKey key{file, file ? nullptr : graph.get(), device, options, image};
    return cache.get(key, [&]() -> std::shared_ptr<CompiledModel> {
        auto held = std::make_shared<Held>();
        if (!file)
            held->graph = graph;
        held->device = find_device(device);
        const auto make = [device = held->device.get(), options, path](Graph model, int streams) {
            Options chosen = options;
            chosen.num_streams = streams;
            return compile_on(*device, std::move(model), chosen, path);
        };
        Graph model = image ? with_image_input(*graph, image->name, image->spec) : *graph;
        graph.reset(); // constants that nobody else holds go as they are packed
        ModelOfStreams again;
        if (options.latency_bound_ms > 0 && options.num_streams == 0)
            again = [make, model](int streams) { return make(model, streams); };
        held->model = make(std::move(model), options.num_streams);
        if (options.latency_bound_ms > 0)
            held->model = with_latency_bound(std::move(held->model), options.latency_bound_ms, std::move(again));
        CompiledModel *compiled = held->model.get();
        return {std::move(held), compiled};
    });
}

std::vector<Port> Model::inputs() const
{
    return input_ports(*graph_);
}
std::vector<Port> Model::outputs() const
{
    return output_ports(*graph_);
}
const std::map<std::string, std::string> &Model::metadata() const
{
    return graph_->metadata;
}

Model Model::reshaped(const std::map<std::string, Dimensions> &shapes) const
{
    Model model = *this;
    for (const auto &[name, dimensions] : shapes)
        model.shapes_[name] = dimensions;
    model.graph_ = path_.empty() ? std::make_shared<const Graph>(inferred(*graph_, shapes))
                                 : read_shared(path_, model.shapes_, options_);
    return model;
}

Model Core::read_model(const std::string &path, const Options &options)
{
    return Model(read_shared(path, {}, options), path, options);
}

std::vector<std::string> Core::available_devices()
{
    return device_names();
}

std::shared_ptr<CompiledModel> Core::compile_model(Model model, const std::string &device, const Options &options)
{
    const std::string path = model.path();
    return compile_shared(std::move(model).shared_graph(), device, options, std::nullopt, path);
}

} // namespace leat
