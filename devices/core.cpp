#include "core.h"
#include "devices.h"

#include "inference/ports.h"
#include "inference/read.h"
#include "preprocess/image_input.h"

#include <leat/core.h>

#include <filesystem>
#include <mutex>

namespace leat {
namespace {

/// A table of things that live only as long as somebody outside holds them.
template <class Key, class Made> class WeakCache {
  public:
    template <class Make> std::shared_ptr<Made> get(const Key &key, Make make)
    {
        std::lock_guard lock(mutex_);
        std::erase_if(entries_, [](const auto &entry) { return entry.second.expired(); });
        for (const auto &[known, held] : entries_)
            if (known == key)
                if (auto found = held.lock())
                    return found;
        std::shared_ptr<Made> made = make();
        entries_.emplace_back(key, made);
        return made;
    }

  private:
    // Held while making, so that two who ask for the same at once get the same.
    std::mutex mutex_;
    std::vector<std::pair<Key, std::weak_ptr<Made>>> entries_;
};

struct FileKey {
    std::filesystem::path path;
    std::filesystem::file_time_type written;
    uintmax_t bytes;
    bool operator==(const FileKey &) const = default;
};

struct CompiledKey {
    const Graph *graph; // alive while the compiled model is: it is held beside it
    std::string device;
    Options options;
    std::optional<ImageInput> image;
    bool operator==(const CompiledKey &) const = default;
};

std::optional<FileKey> key_of(const std::string &path)
{
    namespace fs = std::filesystem;
    std::error_code failed;
    FileKey key{fs::canonical(path, failed), {}, 0};
    if (!failed)
        key.written = fs::last_write_time(key.path, failed);
    if (!failed)
        key.bytes = fs::file_size(key.path, failed);
    return failed ? std::nullopt : std::optional(key);
}

std::shared_ptr<const Graph> read(const std::string &path)
{
    Graph graph = read_model_file(path);
    in_context("while reading \"" + path + "\"", [&] {
        infer_shapes(graph);
        graph.tidy();
        graph.verify();
    });
    return std::make_shared<const Graph>(std::move(graph));
}

} // namespace

std::shared_ptr<const Graph> read_shared(const std::string &path)
{
    static WeakCache<FileKey, const Graph> cache;
    const auto key = key_of(path);
    return key ? cache.get(*key, [&] { return read(path); }) : read(path);
}

std::shared_ptr<CompiledModel> compile_shared(std::shared_ptr<const Graph> graph, const std::string &device,
                                              const Options &options, const std::optional<ImageInput> &image)
{
    struct Held {
        std::shared_ptr<const Graph> graph;
        std::shared_ptr<Device> device;
        std::unique_ptr<CompiledModel> model;
    };
    static WeakCache<CompiledKey, CompiledModel> cache;
    return cache.get({graph.get(), device, options, image}, [&]() -> std::shared_ptr<CompiledModel> {
        auto held = std::make_shared<Held>();
        held->graph = graph;
        held->device = find_device(device);
        held->model =
            held->device->compile(image ? with_image_input(*graph, image->name, image->spec) : *graph, options);
        CompiledModel *model = held->model.get();
        return {std::move(held), model};
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

Model Model::reshaped(const std::map<std::string, Shape> &shapes) const
{
    Graph graph = *graph_;
    for (const auto &[name, shape] : shapes) {
        bool found = false;
        for (ValueId id : graph.inputs)
            if (graph.values[id].name == name) {
                graph.values[id].shape = shape;
                found = true;
            }
        if (!found)
            throw Error("the model has no input \"" + name + "\" to reshape");
    }
    infer_shapes(graph);
    graph.tidy();
    return Model(std::make_shared<const Graph>(std::move(graph)));
}

Model Core::read_model(const std::string &path)
{
    return Model(read_shared(path));
}

std::vector<std::string> Core::available_devices()
{
    return device_names();
}

std::shared_ptr<CompiledModel> Core::compile_model(const Model &model, const std::string &device,
                                                   const Options &options)
{
    return compile_shared(model.shared_graph(), device, options, std::nullopt);
}

} // namespace leat
