#include "devices/core.h"
#include "devices/devices.h"
#include "devices/model_cache.h"
#include "inference/hash.h"
#include "inference/ops.h"
#include "inference/ports.h"
#include "inference/read.h"
#include "inference/warning.h"
#include "support/shared_data.h"
#include "support/temporary_folder.h"

#include <leat/core.h>
#include <leat/request.h>

#include <gtest/gtest.h>

#include <sys/resource.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <fstream>
#include <mutex>
#include <numeric>
#include <random>
#include <set>
#include <thread>

namespace leat {
namespace {

namespace fs = std::filesystem;

/// What is warned of while it lives.
class Warnings {
  public:
    Warnings() : before_(set_warning_handler(note))
    {
        std::lock_guard lock(mutex_);
        sentences_.clear();
    }
    ~Warnings() { set_warning_handler(before_); }
    static std::vector<std::string> sentences()
    {
        std::lock_guard lock(mutex_);
        return sentences_;
    }
    /// True when there is one, and it holds the text.
    static testing::AssertionResult one_with(const std::string &text)
    {
        const auto all = sentences();
        if (all.size() == 1 && all[0].find(text) != std::string::npos)
            return testing::AssertionSuccess();
        auto failure = testing::AssertionFailure() << all.size() << " warnings:";
        for (const std::string &each : all)
            failure << "\n" << each;
        return failure;
    }

  private:
    const WarningHandler before_;
    static inline std::mutex mutex_;
    static inline std::vector<std::string> sentences_;

    static void note(const std::string &sentence)
    {
        std::lock_guard lock(mutex_);
        sentences_.push_back(sentence);
    }
};

/// A convolution with a residual, a product, and a branch that holds graphs; `seed` makes the weights.
Graph net(int seed = 1)
{
    Graph graph = parse(R"(graph "net"
input %0:f32[1x8x6x6] "x"
input %1:f32[8x8x3x3] "w"
const %2:f32[8] "b" = {1, 2, 3, 4, 5, 6, 7, 8}
input %3:f32[36x5] "m"
%4:f32[*] "c" = Conv(%0, %1, %2) {pads=[1, 1, 1, 1]} "conv"
%5:f32[*] "s" = Add(%4, %0) "sum"
%6:f32[*] "r" = Clip(%5) "clip"
const %7:s64[3] "shape" = {1, 8, 36}
%8:f32[*] "flat" = Reshape(%6, %7) "flat"
%9:f32[*] "y" = MatMul(%8, %3) "matmul"
output %9
)");
    auto fill = [&](Value &value) {
        value.constant = Tensor(Type::f32, *value.shape);
        for (size_t i = 0; i < value.constant.count(); i++)
            value.constant.data<float>()[i] = static_cast<float>((i * 7 + static_cast<size_t>(seed)) % 13) / 13 - 0.4f;
    };
    fill(graph.values[1]);
    fill(graph.values[3]);
    graph.inputs.resize(1);
    infer_shapes(graph);
    return graph;
}

/// Every kind of attribute, and a body.
Graph net_with_attributes()
{
    Graph graph = net();
    Attributes &all = graph.nodes[0].attributes;
    all.set("integer", int64_t(-3));
    all.set("number", 0.5f);
    all.set("text", std::string("word\0word", 9));
    all.set("numbers", std::vector<float>{1, 2});
    all.set("tensor", Tensor::of<int8_t>({2, 0}, {}));
    all.set("body", std::make_shared<const Graph>(net(2)));
    graph.metadata["key"] = "value";
    graph.values[0].limits = {1, 8, {2, 6}, {}};
    graph.nodes[0].post_ops.push_back({PostOp::Kind::binary, &op("Add"), {}, graph.inputs[0]});
    return graph;
}

std::vector<float> run(CompiledModel &model)
{
    Job job;
    for (const Port &port : model.inputs()) {
        job.inputs.emplace_back(port.type, port.shape);
        for (size_t i = 0; i < job.inputs.back().count(); i++)
            job.inputs.back().data<float>()[i] = static_cast<float>(i % 5);
    }
    std::mutex mutex;
    std::condition_variable condition;
    bool finished = false;
    job.done = [&](Job &) {
        std::lock_guard lock(mutex);
        finished = true;
        condition.notify_one();
    };
    model.submit(job);
    std::unique_lock lock(mutex);
    condition.wait(lock, [&] { return finished; });
    if (job.error)
        std::rethrow_exception(job.error);
    const Tensor &out = job.outputs.at(0);
    return {out.data<float>(), out.data<float>() + out.count()};
}

std::string setting(const CompiledModel &model, const std::string &name)
{
    for (const Setting &each : model.settings())
        if (each.name == name)
            return each.value;
    return "absent";
}

std::vector<fs::path> files_in(const fs::path &folder)
{
    std::vector<fs::path> files;
    for (const auto &each : fs::directory_iterator(folder))
        files.push_back(each.path());
    std::sort(files.begin(), files.end());
    return files;
}

/// Those that hold a graph; others are notes on files.
std::vector<fs::path> models_in(const fs::path &folder)
{
    std::vector<fs::path> files = files_in(folder);
    std::erase_if(files, [](const fs::path &file) { return fs::file_size(file) <= 4096; });
    return files;
}

std::string contents(const fs::path &path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void overwrite(const fs::path &path, std::string_view bytes)
{
    std::ofstream(path, std::ios::binary | std::ios::trunc).write(bytes.data(), std::streamsize(bytes.size()));
}

/// A convolution between DequantizeLinear and QuantizeLinear, and one whose data no scale is known for.
Graph net_of_integers()
{
    Graph graph = parse(R"(graph "integers"
input %0:f32[1x16x6x6] "x"
input %1:s8[16x16x1x1] "w"
const %2:f32[] "scale" = {0.05}
const %3:u8[] "zero" = {128}
const %4:s8[] "no zero" = {0}
%5:u8[*] "q" = QuantizeLinear(%0, %2, %3) "quantise"
%6:f32[*] "d" = DequantizeLinear(%5, %2, %3) "dequantise"
%7:f32[*] "v" = DequantizeLinear(%1, %2, %4) "weights"
%8:f32[*] "c" = Conv(%6, %7) "conv"
%9:u8[*] "r" = QuantizeLinear(%8, %2, %3) "requantise"
%10:f32[*] "y" = DequantizeLinear(%9, %2, %3) "end"
output %10
)");
    Value &weights = graph.values[1];
    weights.constant = Tensor(Type::s8, *weights.shape);
    for (size_t i = 0; i < weights.constant.count(); i++)
        weights.constant.data<int8_t>()[i] = static_cast<int8_t>(i * 31 % 101) - 50;
    graph.inputs.resize(1);
    infer_shapes(graph);
    return graph;
}

std::vector<std::string> reports(const CompiledModel &model)
{
    std::vector<std::string> lines;
    for (const NodeReport &node : model.nodes())
        lines.push_back(node.node + ": " + node.kernel + ", " + node.reason);
    return lines;
}

class Cache : public testing::Test {
  protected:
    TemporaryFolder folder_;
    const Graph graph_ = net();
    Options options_;
    Warnings warnings_;

    void SetUp() override { options_.cache_dir = (folder_ / "cache").string(); }

    std::unique_ptr<CompiledModel> load(const Graph &graph)
    {
        return compile_cached(*find_device("CPU"), graph, options_, {});
    }

    /// The one file of the cache, after a first load.
    fs::path fill()
    {
        load(graph_);
        const auto files = files_in(options_.cache_dir);
        EXPECT_EQ(files.size(), 1u);
        return files.at(0);
    }

    /// What the one file of the cache holds.
    Compilation stored() const { return read_stored_model(models_in(options_.cache_dir).at(0)).compilation.value(); }

    /// What would be stored of a model that is built of that.
    Compilation built_again() const
    {
        Compilation completed;
        find_device("CPU")->staged()->build(stored(), options_, &completed);
        return completed;
    }

    /// A damaged file is one warning with the text, the numbers are right, and the file is good again.
    void expect_repair(const std::string &warning)
    {
        const std::vector<float> want = run(*find_device("CPU")->compile(graph_, {}));
        {
            Warnings warnings;
            const auto model = load(graph_);
            EXPECT_TRUE(Warnings::one_with(warning));
            EXPECT_EQ(setting(*model, "loaded_from_cache"), "false");
            EXPECT_EQ(run(*model), want);
        }
        Warnings warnings;
        const auto model = load(graph_);
        EXPECT_EQ(Warnings::sentences().size(), 0u);
        EXPECT_EQ(setting(*model, "loaded_from_cache"), "true");
        EXPECT_EQ(run(*model), want);
    }
};

TEST_F(Cache, SecondLoadComesFromItWithTheSameNumbers)
{
    const auto first = load(graph_);
    const auto second = load(net());
    EXPECT_EQ(setting(*first, "loaded_from_cache"), "false");
    EXPECT_EQ(setting(*second, "loaded_from_cache"), "true");
    EXPECT_EQ(run(*first), run(*second));
    EXPECT_EQ(Warnings::sentences().size(), 0u);
    EXPECT_EQ(built_again().packed.size(), stored().packed.size()) << "constants were packed again";
}

TEST_F(Cache, PackedWeightsOfAnotherSizeAreReplacedWithOneWarning)
{
    const fs::path file = fill();
    StoredModel model = read_stored_model(file);
    ASSERT_FALSE(model.compilation->packed.empty());
    const size_t bytes = model.compilation->packed[0].made.bytes();
    for (const size_t other : {bytes - 4, bytes + 4}) {
        model.compilation->packed[0].made = Tensor(Type::u8, {static_cast<int64_t>(other)});
        std::ranges::fill(model.compilation->packed[0].made.values<uint8_t>(), uint8_t{0});
        write_stored_model(model, file);
        expect_repair("another size than the kernel wants");
    }
}

TEST_F(Cache, KeepsTheTypesInWhichNodesCompute)
{
    const Graph quantised = net_of_integers();
    const auto first = load(quantised), second = load(quantised);
    EXPECT_EQ(setting(*second, "loaded_from_cache"), "true");
    ASSERT_TRUE(built_again().types);
    EXPECT_EQ(built_again().types, stored().types);
    EXPECT_EQ(reports(*second), reports(*first));
    EXPECT_EQ(run(*second), run(*first));
    const Compilation kept = stored();
    for (const Node &node : kept.graph.nodes)
        EXPECT_NE(node.name, "weights") << "stored before the types were chosen";
}

TEST_F(Cache, RealModelsGiveTheSameNumbersFromIt)
{
    SKIP_WITHOUT_SHARED_DATA();
    for (const char *name : {"mobilenetv2-12-qdq", "landmarks_68_pfld", "version-RFB-320"})
        for (InferencePrecision precision : {InferencePrecision::f32, InferencePrecision::bf16}) {
            SCOPED_TRACE(std::string(name) + (precision == InferencePrecision::f32 ? " in f32" : " in bf16"));
            options_.inference_precision = precision;
            options_.cache_dir = folder_ / (name + std::to_string(static_cast<int>(precision)));
            const fs::path file = shared_data() / "data/models/onnx" / (std::string(name) + ".onnx");
            std::map<std::string, Dimensions> shapes; // one frame at a time
            for (const Port &port : input_ports(*read_shared(file)))
                for (int64_t size : port.shape)
                    shapes[port.name].push_back(size < 0 ? 1 : size);
            const auto graph = read_shared(file, shapes);
            const auto first = load(*graph), second = load(*graph);
            ASSERT_EQ(setting(*first, "loaded_from_cache"), "false");
            ASSERT_EQ(setting(*second, "loaded_from_cache"), "true");
            EXPECT_EQ(built_again().packed.size(), stored().packed.size());
            EXPECT_EQ(reports(*second), reports(*first));
            EXPECT_EQ(run(*second), run(*first));
        }
}

TEST_F(Cache, LeavesTypesOpenWhereSizesAre)
{
    Graph graph = net();
    graph.values[graph.inputs[0]].shape->at(0) = -1;
    load(graph);
    const auto second = load(graph);
    EXPECT_EQ(setting(*second, "loaded_from_cache"), "true");
    EXPECT_FALSE(built_again().types);
}

TEST_F(Cache, IsWhereTheOptionsSayAndOnlyThen)
{
    options_.cache_dir.clear();
    load(graph_);
    EXPECT_TRUE(files_in(folder_.path()).empty());
}

TEST_F(Cache, OtherWeightsAndOtherPassesAreOtherModels)
{
    load(graph_);
    EXPECT_EQ(setting(*load(net(2)), "loaded_from_cache"), "false");
    options_.disabled_passes = {"fuse_post_ops"};
    EXPECT_EQ(setting(*load(graph_), "loaded_from_cache"), "false");
    EXPECT_EQ(files_in(options_.cache_dir).size(), 3u);
}

TEST_F(Cache, StreamsAndHintsAreNot)
{
    load(graph_);
    options_.performance_hint = PerformanceHint::throughput;
    options_.num_streams = 2;
    EXPECT_EQ(setting(*load(graph_), "loaded_from_cache"), "true");
}

TEST_F(Cache, TruncatedFileIsReplacedWithOneWarning)
{
    const fs::path file = fill();
    fs::resize_file(file, fs::file_size(file) / 2);
    expect_repair("damaged");
}

TEST_F(Cache, EmptyFileIsReplacedWithOneWarning)
{
    fs::resize_file(fill(), 0);
    expect_repair("not a stored model");
}

TEST_F(Cache, FlippedBitIsReplacedWithOneWarning)
{
    const fs::path file = fill();
    std::string bytes = contents(file);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
    overwrite(file, bytes);
    expect_repair("checksum");
}

TEST_F(Cache, ForeignFileIsReplacedWithOneWarning)
{
    overwrite(fill(), "#!/bin/sh\necho this is something else, and long enough to hold a header of any kind at all\n");
    expect_repair("not a stored model");
}

TEST_F(Cache, FileOfAnotherModelIsReplacedWithOneWarning)
{
    const fs::path file = fill();
    const std::string mine = contents(file);
    fs::remove(file);
    load(net(2));
    fs::rename(files_in(options_.cache_dir).at(0), file);
    expect_repair("another model");
}

TEST_F(Cache, FileOfAnotherFormatIsReplacedWithOneWarning)
{
    const fs::path file = fill();
    std::string bytes = contents(file);
    bytes[16] = 99;
    overwrite(file, bytes);
    expect_repair("another version of Leat");
}

TEST_F(Cache, FolderThatCannotBeMadeNeverFailsALoad)
{
    overwrite(folder_ / "cache", "a file where the folder should be");
    const std::vector<float> want = run(*find_device("CPU")->compile(graph_, {}));
    EXPECT_EQ(run(*load(graph_)), want);
    EXPECT_TRUE(Warnings::one_with("cannot be kept"));
    EXPECT_EQ(run(*load(net(1))), want);
    EXPECT_EQ(Warnings::sentences().size(), 1u) << "the same folder again";
}

/// As on a full disk, writing stops in the middle of a file.
class FullDisk {
  public:
    explicit FullDisk(rlim_t bytes) : signal_(std::signal(SIGXFSZ, SIG_IGN))
    {
        getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{bytes, before_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FullDisk()
    {
        setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, signal_);
    }

  private:
    rlimit before_{};
    void (*const signal_)(int);
};

TEST_F(Cache, FullDiskNeverFailsALoadAndKeepsNoHalfFile)
{
    const std::vector<float> want = run(*find_device("CPU")->compile(graph_, {}));
    {
        FullDisk full(1000);
        EXPECT_EQ(run(*load(graph_)), want);
    }
    EXPECT_TRUE(Warnings::one_with("cannot be written"));
    EXPECT_TRUE(files_in(options_.cache_dir).empty());
}

StoredModel stored_of(const std::string &key, size_t bytes)
{
    StoredModel model;
    model.key = key;
    model.source.emplace();
    Tensor zeros(Type::u8, {static_cast<int64_t>(bytes)});
    std::memset(zeros.raw(), 0, bytes);
    model.source->outputs = {model.source->add_constant("c", zeros)};
    return model;
}

/// There is room for three: "a", "b" and "c" were kept in this order, so that "b" goes.
void use_a_and_add_d(const ModelCache &cache, size_t bytes)
{
    EXPECT_TRUE(cache.find("a"));
    cache.keep("d", stored_of("d", bytes));
    EXPECT_TRUE(cache.find("a")) << "was used last";
    EXPECT_FALSE(cache.find("b"));
    EXPECT_TRUE(cache.find("c"));
    EXPECT_TRUE(cache.find("d"));
    EXPECT_EQ(Warnings::sentences().size(), 0u);
}

TEST_F(Cache, RemovesWhatWasNotUsedForLongest)
{
    const ModelCache cache(options_.cache_dir, 3'300'000);
    const auto now = fs::file_time_type::clock::now();
    for (int i = 0; i < 3; i++) {
        const std::string key(1, static_cast<char>('a' + i));
        cache.keep(key, stored_of(key, 1'000'000));
        fs::last_write_time(fs::path(options_.cache_dir) / (key + ".leat"), now - std::chrono::hours(9 - i));
    }
    use_a_and_add_d(cache, 1'000'000);
}

/// The last use of a file with a note on its checksum is that of the note.
TEST_F(Cache, RemovesALargeFileTogetherWithItsNote)
{
    const ModelCache cache(options_.cache_dir, 7'000'000);
    for (const char *key : {"a", "b", "c"}) {
        cache.keep(key, stored_of(key, 2'000'000));
        std::this_thread::sleep_for(std::chrono::milliseconds(10)); // the clocks of file systems tick
    }
    EXPECT_EQ(files_in(options_.cache_dir).size(), 6u);
    use_a_and_add_d(cache, 2'000'000);
    EXPECT_EQ(files_in(options_.cache_dir).size(), 6u);
}

/// Writes that byte until the file's times show it: the clocks of file systems tick.
void write_byte(const fs::path &file, std::streamoff at, char byte)
{
    const std::string before = OpenFile::open_regular(file).state().text;
    do {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
        stream.seekp(at).put(byte);
    } while (OpenFile::open_regular(file).state().text == before);
}

TEST_F(Cache, LargeFileIsReadAgainWhenItWasWrittenTo)
{
    const ModelCache cache(options_.cache_dir, 1 << 30);
    cache.keep("a", stored_of("a", 2'000'000));
    const fs::path file = models_in(options_.cache_dir).at(0);
    EXPECT_TRUE(cache.find("a"));
    write_byte(file, 1'000'000, 4);
    EXPECT_FALSE(cache.find("a"));
    EXPECT_TRUE(Warnings::one_with("checksum"));

    // What is noted is believed: the file is not read to its end.
    StoredModel note = read_stored_model(folder_ / "cache" / "a.checked.leat");
    ASSERT_EQ(note.files.size(), 1u);
    std::string &state = note.files[0].state;
    state = state.substr(0, state.find(' ') + 1) + OpenFile::open_regular(file).state().text;
    cache.keep(note.key, note);
    const auto found = cache.find("a");
    ASSERT_TRUE(found && found->source);
    EXPECT_EQ(Warnings::sentences().size(), 1u);

    note.files[0].state[0] ^= 1; // as after another start of the machine
    cache.keep(note.key, note);
    EXPECT_FALSE(cache.find("a"));
    EXPECT_EQ(Warnings::sentences().size(), 2u);
}

/// By this process, through read().
uint64_t bytes_read()
{
    std::ifstream facts("/proc/self/io");
    std::string name;
    uint64_t bytes = 0;
    facts >> name >> bytes;
    EXPECT_EQ(name, "rchar:");
    return bytes;
}

TEST_F(Cache, HashOfALargeFileIsKeptUntilItIsWrittenTo)
{
    const ModelCache cache(options_.cache_dir, 1 << 30);
    const fs::path file = folder_.write("model", std::string(3'000'000, 'x'));
    const auto bytes_for_hash = [&](std::chrono::system_clock::time_point now) {
        const uint64_t before = bytes_read();
        EXPECT_EQ(cache.hash_of_file(file, now), hash_of_file(file));
        return bytes_read() - before - 3'000'000;
    };
    const auto now = std::chrono::system_clock::now(), later = now + std::chrono::hours(1);
    EXPECT_GE(bytes_for_hash(now), 3'000'000u);
    EXPECT_GE(bytes_for_hash(now), 3'000'000u) << "it was written a moment ago";
    EXPECT_GE(bytes_for_hash(later), 3'000'000u);
    EXPECT_LT(bytes_for_hash(later), 1'000'000u);
    const auto written = fs::last_write_time(file);
    write_byte(file, 1'000'000, 'y');
    fs::last_write_time(file, written);
    EXPECT_GE(bytes_for_hash(later), 3'000'000u) << "of the same size and time";
    EXPECT_LT(bytes_for_hash(later), 1'000'000u);
    EXPECT_EQ(Warnings::sentences().size(), 0u);
}

TEST_F(Cache, NoRoomForANoteIsNoFault)
{
    const ModelCache cache(options_.cache_dir, 1 << 30);
    const fs::path file = folder_.write("model", std::string(3'000'000, 'x'));
    const FullDisk disk(100);
    const auto later = std::chrono::system_clock::now() + std::chrono::hours(1);
    EXPECT_EQ(cache.hash_of_file(file, later), hash_of_file(file));
    EXPECT_TRUE(files_in(options_.cache_dir).empty());
    EXPECT_EQ(Warnings::sentences().size(), 0u);
}

TEST_F(Cache, CompiledModelRefersToElementsOfTheModelAsRead)
{
    const fs::path model = folder_.write("model.txt", "one");
    const auto read = [&] { return read_cached(model, "", options_, [](std::vector<fs::path> *) { return net(); }); };
    const auto files = [&] { return models_in(options_.cache_dir); };
    const auto want = run(*load(read()));
    ASSERT_EQ(files().size(), 2u);
    int alone = 0;
    for (const fs::path &file : files())
        try {
            read_stored_model(file);
            alone++;
        } catch (const Error &error) {
            EXPECT_STREQ(error.what(), "it belongs to a model that is not in use");
        }
    EXPECT_EQ(alone, 1);
    EXPECT_EQ(setting(*load(read()), "loaded_from_cache"), "true");
    for (const fs::path &file : files()) // whichever of the two is lost
        for (const bool both : {false, true}) {
            fs::remove(file);
            if (both)
                fs::remove_all(options_.cache_dir);
            EXPECT_EQ(run(*load(read())), want);
            EXPECT_EQ(run(*load(read())), want);
            EXPECT_EQ(files().size(), 2u);
        }
    EXPECT_EQ(Warnings::sentences().size(), 0u);
}

TEST_F(Cache, ModelLargerThanTheCapIsNotKept)
{
    const ModelCache cache(options_.cache_dir, 100'000);
    cache.keep("a", stored_of("a", 1'000'000));
    EXPECT_TRUE(Warnings::one_with("more than"));
    EXPECT_TRUE(files_in(options_.cache_dir).empty());
}

TEST_F(Cache, WritersOfOneFileDoNotDisturbEachOtherOrReaders)
{
    const ModelCache cache(options_.cache_dir, 1 << 30);
    cache.keep("a", stored_of("a", 300'000));
    std::vector<std::thread> threads;
    std::atomic<int> found = 0;
    for (int t = 0; t < 4; t++)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 10; i++)
                if (t % 2)
                    cache.keep("a", stored_of("a", 300'000));
                else
                    found += cache.find("a").has_value();
        });
    for (std::thread &thread : threads)
        thread.join();
    EXPECT_EQ(found, 20);
    EXPECT_EQ(Warnings::sentences().size(), 0u);
    EXPECT_EQ(files_in(options_.cache_dir).size(), 1u);
}

TEST_F(Cache, ReaderIsAskedOnceUntilAFileChanges)
{
    const fs::path model = folder_.write("model.txt", "one"), data = folder_.write("data.bin", "two");
    int reads = 0;
    auto read = [&] {
        return read_cached(model, "", options_, [&](std::vector<fs::path> *files) {
            reads++;
            files->push_back(data);
            return net(reads);
        });
    };
    const std::string first = print(read(), 10000);
    EXPECT_EQ(print(read(), 10000), first);
    EXPECT_EQ(reads, 1);
    folder_.write("model.txt", "eins");
    read();
    EXPECT_EQ(reads, 2);
    EXPECT_EQ(Warnings::sentences().size(), 0u) << "another model is no fault";
    folder_.write("data.bin", "zwei");
    read();
    EXPECT_EQ(reads, 3);
    EXPECT_TRUE(Warnings::one_with("has changed"));
    read();
    EXPECT_EQ(reads, 3);
}

TEST_F(Cache, OtherWeightsInAFileBesideTheModelAreAnotherModel)
{
    const fs::path model = folder_.write("model.txt", "one"), data = folder_.write("data.bin", "1");
    const auto read = [&] {
        return read_cached(model, "", options_, [&](std::vector<fs::path> *files) {
            files->push_back(data);
            return net(contents(data) == "1" ? 1 : 2);
        });
    };
    const auto first = run(*load(read()));
    EXPECT_EQ(first, run(*find_device("CPU")->compile(net(1), {})));
    folder_.write("data.bin", "2");
    const auto second = run(*load(read()));
    EXPECT_TRUE(Warnings::one_with("has changed"));
    EXPECT_NE(second, first);
    EXPECT_EQ(second, run(*find_device("CPU")->compile(net(2), {})));
}

TEST_F(Cache, KeepsReshapedModelsToo)
{
    const auto file = (source_root() / "pipelines/street/street.onnx").string();
    const auto reshaped = [&] {
        const Model model = Core::read_model(file, options_);
        const Port input = model.inputs().at(0);
        const Dimensions sizes{2, input.shape[1], input.shape[2], input.shape[3]};
        return model.reshaped({{input.name, sizes}}).inputs()[0].shape[0];
    };
    EXPECT_EQ(reshaped(), 2);
    const auto files = models_in(options_.cache_dir);
    EXPECT_EQ(files.size(), 2u);
    EXPECT_EQ(reshaped(), 2);
    EXPECT_EQ(models_in(options_.cache_dir), files);
}

/// A device that counts what it compiles, for a processor that the test chooses.
class Counting final : public Device, public StagedCompiler {
  public:
    std::string processor = "one";
    mutable int prepared = 0, built = 0;

    std::string name() const override { return "COUNTING"; }
    std::string description() const override { return processor; }
    std::string why_not(const Graph &, const Node &) const override { return ""; }
    std::unique_ptr<CompiledModel> compile(Graph graph, const Options &options) override
    {
        return build(prepare(std::move(graph), options), options, nullptr);
    }
    const StagedCompiler *staged() const override { return this; }
    std::string target() const override { return processor; }
    Compilation prepare(Graph graph, const Options &) const override
    {
        prepared++;
        return {std::move(graph), {}};
    }
    std::unique_ptr<CompiledModel> build(Compilation compilation, const Options &options, Compilation *) const override
    {
        built++;
        return find_device("REF")->compile(std::move(compilation.graph), options);
    }
};

TEST_F(Cache, AnotherProcessorOrLibraryIsAnotherModel)
{
    Counting device;
    compile_cached(device, graph_, options_, {});
    device.processor = "two";
    compile_cached(device, graph_, options_, {});
    EXPECT_EQ(device.prepared, 2);
    compile_cached(device, graph_, options_, {});
    device.processor = "one";
    compile_cached(device, graph_, options_, {});
    EXPECT_EQ(device.prepared, 2);
    EXPECT_EQ(device.built, 4);
}

TEST_F(Cache, StoredModelIsLoadedInTheModelsPlace)
{
    const fs::path file = folder_ / "net.leat";
    store_compiled(*find_device("CPU"), graph_, graph_, {}, file);
    const Model model = Core::read_model(file.string());
    EXPECT_EQ(model.inputs().at(0).name, "x");
    const auto compiled = Core::compile_model(model);
    EXPECT_EQ(setting(*compiled, "loaded_from_cache"), "true");
    EXPECT_EQ(run(*compiled), run(*find_device("CPU")->compile(graph_, {})));
    EXPECT_EQ(Warnings::sentences().size(), 0u);
    EXPECT_EQ(setting(*Core::compile_model(model, "REF"), "loaded_from_cache"), "absent");
    EXPECT_THROW(model.reshaped({{"x", {1, 8, 7, 7}}}), Error);
}

TEST_F(Cache, StoredModelForAnotherProcessorSaysSo)
{
    const fs::path file = folder_ / "net.leat";
    Counting device;
    store_compiled(device, graph_, graph_, {}, file);
    device.processor = "two";
    const Graph read = read_model_file(file);
    const auto model = compile_cached(device, read, {}, file);
    EXPECT_TRUE(Warnings::one_with("is compiled again for COUNTING, two: it was compiled for COUNTING, one"));
    EXPECT_EQ(run(*model), run(*find_device("REF")->compile(graph_, {})));
}

TEST_F(Cache, DamagedStoredModelIsASentence)
{
    const fs::path file = folder_ / "net.leat";
    store_compiled(*find_device("CPU"), graph_, graph_, {}, file);
    fs::resize_file(file, fs::file_size(file) - 1);
    try {
        Core::read_model(file.string());
        FAIL() << "was read";
    } catch (const Error &error) {
        EXPECT_NE(std::string(error.what()).find("damaged"), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find("leat compile"), std::string::npos) << error.what();
    }
    EXPECT_THROW(store_compiled(*find_device("REF"), graph_, graph_, {}, file), Error);
    EXPECT_THROW(store_compiled(*find_device("CPU"), graph_, graph_, {}, folder_ / "absent" / "net.leat"), Error);
}

/// Two who open a file get one compiled model, and nobody keeps the weights as the file has them.
TEST(Core, SharesTheCompiledModelOfAFileAndLetsGoOfItsGraph)
{
    const TemporaryFolder folder;
    const fs::path file = folder / "net.leat";
    StoredModel stored;
    stored.source = net();
    write_stored_model(stored, file);

    std::weak_ptr<const Graph> graph;
    const auto open = [&] {
        const Model model = Core::read_model(file.string());
        graph = model.shared_graph();
        return Core::compile_model(model, "CPU");
    };
    auto first = open();
    EXPECT_TRUE(graph.expired());
    EXPECT_EQ(open(), first);

    stored.key = "another";
    write_stored_model(stored, file);
    fs::last_write_time(file, fs::last_write_time(file) + std::chrono::seconds(2));
    EXPECT_NE(open(), first) << "the file has changed";
}

/// Pieces of a file are hashed by several threads, and must come out as bytes that one thread adds.
TEST(Hash, OfAFileIsThatOfItsBytes)
{
    constexpr size_t piece = 64 * 1024;
    const TemporaryFolder folder;
    std::mt19937_64 random(1);
    std::string words(300 * piece + 5, '\0');
    for (size_t at = 0; at + 8 <= words.size(); at += 8) {
        const uint64_t word = random();
        std::memcpy(words.data() + at, &word, sizeof word);
    }
    std::set<std::string> all;
    for (size_t size : {size_t(0), size_t(1), piece - 1, piece, piece + 1, 3 * piece, 300 * piece + 5}) {
        const auto bytes = std::as_bytes(std::span(words).first(size));
        const fs::path file = folder.write("bytes", words.substr(0, size));
        EXPECT_EQ(hash_of_file(file), hash_of(bytes)) << size;
        EXPECT_TRUE(all.insert(hash_of(bytes)).second) << size;
        const size_t half = size / 2;
        Hash hash;
        hash.add(bytes.first(half));
        EXPECT_EQ(hash.digits(), hash_of(bytes.first(half))) << "asking changes nothing";
        hash.add(OpenFile::open_regular(file), half);
        EXPECT_EQ(hash.digits(), hash_of(bytes)) << size;
    }
}

class StoredModelFile : public testing::Test {
  protected:
    TemporaryFolder folder_;
    const fs::path file_ = folder_ / "m.leat";

    std::string write()
    {
        StoredModel model;
        model.key = "key";
        model.made_for = "a test";
        model.source = net_with_attributes();
        model.files = {{"data.bin", "hash"}};
        model.compilation = {net(), {"note"}, {}, {}};
        model.compilation->packed.push_back(
            {model.source->values[1].constant, std::string("form\0", 5), Tensor::of<float>({3}, {1, 2, 3})});
        write_stored_model(model, file_);
        return contents(file_);
    }
};

TEST_F(StoredModelFile, GivesBackWhatWasWritten)
{
    write();
    const StoredModel model = read_stored_model(file_);
    EXPECT_EQ(model.key, "key");
    EXPECT_EQ(model.made_for, "a test");
    ASSERT_TRUE(model.source && model.compilation);
    EXPECT_EQ(print(*model.source, 100000), print(net_with_attributes(), 100000));
    EXPECT_EQ(hash_of(*model.source), hash_of(net_with_attributes()));
    EXPECT_EQ(print(model.compilation->graph, 100000), print(net(), 100000));
    EXPECT_EQ(model.source->values[0].limits, net_with_attributes().values[0].limits);
    EXPECT_EQ(model.compilation->notes, std::vector<std::string>{"note"});
    ASSERT_EQ(model.compilation->packed.size(), 1u);
    const PackedConstant &packed = model.compilation->packed[0];
    EXPECT_EQ(packed.form, std::string("form\0", 5));
    EXPECT_EQ(packed.source.raw(), model.source->values[1].constant.raw()) << "one place in the file";
    EXPECT_EQ(packed.made.data<float>()[2], 3);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(packed.made.raw()) % 64, 0u);
    ASSERT_EQ(model.files.size(), 1u);
    EXPECT_EQ(model.files[0].path + model.files[0].hash, "data.binhash");
}

TEST_F(StoredModelFile, IsKnownByItsKey)
{
    write();
    const OpenFile file = OpenFile::open_regular(file_);
    EXPECT_THROW(read_stored_model(file, "another", Checksum::compared), Error);
    StoredModel known = read_stored_model(file, "key", Checksum::compared),
                again = read_stored_model(file, "key", Checksum::trusted);
    const std::string hash = hash_of(*known.source);
    EXPECT_EQ(hash_of(*again.source), hash) << "wherever it is mapped";
    EXPECT_NE(hash_of(*read_stored_model(file_).source), hash) << "there the elements are hashed";
    Graph changed = *known.source;
    changed.values[1].constant = changed.values[1].constant.clone();
    changed.values[1].constant.raw()[0] ^= std::byte{1};
    EXPECT_NE(hash_of(changed), hash);
    changed = *known.source;
    changed.nodes.pop_back();
    EXPECT_NE(hash_of(changed), hash);
}

TEST_F(StoredModelFile, RefersToElementsOfAFileInUse)
{
    write();
    const fs::path other = folder_ / "other.leat";
    const auto read_known = [](const fs::path &path, const std::string &key) {
        return read_stored_model(OpenFile::open_regular(path), key, Checksum::compared);
    };
    {
        const StoredModel known = read_known(file_, "key");
        const Tensor &elements = known.source->values[1].constant;
        StoredModel model;
        model.key = "other";
        model.source = *known.source;
        write_stored_model(model, other, KnownElements::referred);
        const StoredModel referring = read_known(other, "other");
        EXPECT_EQ(print(*referring.source, 100000), print(*known.source, 100000));
        EXPECT_EQ(referring.source->values[1].constant.raw(), elements.raw());
        EXPECT_EQ(hash_of(*referring.source), hash_of(*known.source));
        write_stored_model(model, folder_ / "copy.leat");
    }
    EXPECT_THROW(read_stored_model(other), Error);
    EXPECT_EQ(print(*read_stored_model(folder_ / "copy.leat").source, 100000), print(net_with_attributes(), 100000));
}

StoredModel read(std::string &bytes)
{
    return read_stored_model({std::as_bytes(std::span(bytes.data(), bytes.size())), nullptr});
}

TEST_F(StoredModelFile, EveryFlippedByteIsFound)
{
    const std::string good = write();
    for (size_t i = 0; i < good.size(); i++) {
        std::string bad = good;
        bad[i] = static_cast<char>(~bad[i]);
        EXPECT_THROW(read(bad), Error) << "byte " << i;
    }
}

TEST_F(StoredModelFile, EveryShorterFileIsRefused)
{
    const std::string good = write();
    for (size_t size = 0; size < good.size(); size += size < 256 ? 1 : 61) {
        std::string part = good.substr(0, size);
        EXPECT_THROW(read(part), Error) << size << " bytes";
    }
}

/// With a checksum that is right, a file that makes no sense is a model or an Error.
TEST_F(StoredModelFile, ChangesUnderAGoodChecksumAreAModelOrAnError)
{
    const std::string good = write();
    uint64_t metadata_bytes = 0;
    std::memcpy(&metadata_bytes, good.data() + 24, sizeof metadata_bytes);
    ASSERT_LT(metadata_bytes, good.size());
    int refused = 0, taken = 0;
    for (size_t i = 24; i < 48 + metadata_bytes; i++)
        for (int flip : {1, 0x80, 0xff}) {
            std::string bad = good;
            bad[i] = static_cast<char>(bad[i] ^ flip);
            Hash hash;
            hash.add(std::as_bytes(std::span(bad)).subspan(16));
            const uint64_t checksum = hash.checksum();
            std::memcpy(bad.data() + 8, &checksum, sizeof checksum);
            try {
                read(bad);
                taken++;
            } catch (const Error &) {
                refused++;
            }
        }
    EXPECT_GT(refused, 1000);
    EXPECT_GT(taken, 1000);
}

} // namespace
} // namespace leat
