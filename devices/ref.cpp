#include "devices.h"
#include "reference.h"

#include "inference/ops.h"
#include "inference/passes.h"
#include "inference/ports.h"
#include "preprocess/image_input.h"
#include "preprocess/image_to_tensor.h"

namespace leat {
namespace {

std::string describe(const Node &node)
{
    return "node \"" + node.name + "\" (" + std::string(node.op->name) + ")";
}

/// The pictures, by value of the graph, side by side.
Tensor tensor_of(const Node &node, const std::vector<const Image *> &pictures)
{
    const ImageSpec spec = image_spec_of(node);
    const int64_t channels = spec.order == ColourOrder::gray ? 1 : 3;
    const auto count = static_cast<int64_t>(node.inputs.size());
    Tensor tensor(spec.type, spec.layout == Layout::nchw ? Shape{count, channels, spec.height, spec.width}
                                                         : Shape{count, spec.height, spec.width, channels});
    std::byte *to = tensor.raw();
    for (ValueId id : node.inputs) {
        image_to_tensor_reference(*pictures[id], spec, to);
        to += tensor.bytes() / node.inputs.size();
    }
    return tensor;
}

class RefModel final : public CompiledModel {
  public:
    explicit RefModel(Graph graph)
        : graph_(std::move(graph)), inputs_(input_ports(graph_)), outputs_(output_ports(graph_)),
          thread_([this](Job &job) {
              check_inputs(inputs_, job);
              run_by_reference(graph_, job);
          })
    {
    }

    std::span<const Port> inputs() const override { return inputs_; }
    std::span<const Port> outputs() const override { return outputs_; }
    int depth() const override { return 1; }
    Tensor allocate(const Port &port) const override { return Tensor(port.type, port.shape); }
    void submit(Job &job) override { thread_.submit(job); }
    std::vector<Setting> settings() const override
    {
        return {{"device", "REF", "named by the user"}, {"depth", "1", "one thread runs one job at a time"}};
    }
    std::vector<NodeReport> nodes() const override
    {
        std::vector<NodeReport> reports;
        for (const Node &node : graph_.nodes)
            reports.push_back(
                {node.name, std::string(node.op->name), "REF", "reference", "the only kernel of this device"});
        return reports;
    }

  private:
    const Graph graph_;
    const std::vector<Port> inputs_, outputs_;
    JobThread thread_; // last: its destructor waits for the jobs
};

class Ref final : public Device {
  public:
    std::string name() const override { return "REF"; }
    std::string description() const override { return "reference kernels only: slow, for checking other devices"; }
    std::string why_not(const Graph &, const Node &) const override { return ""; }
    std::unique_ptr<CompiledModel> compile(Graph graph, const Options &) override
    {
        infer_shapes(graph);
        graph.tidy();
        graph.verify();
        return std::make_unique<RefModel>(std::move(graph));
    }
};

} // namespace

void run_by_reference(const Graph &graph, Job &job)
{
    std::vector<Tensor> values(graph.values.size());
    for (size_t v = 0; v < values.size(); v++)
        values[v] = graph.values[v].constant;
    const auto ports = input_ports(graph);
    std::vector<const Image *> images(values.size(), nullptr);
    size_t image = 0, input = 0;
    for (size_t i = 0; i < ports.size(); i++)
        if (ports[i].image)
            images[graph.inputs[i]] = &job.images[image++];
        else
            values[graph.inputs[i]] = job.inputs[input++];

    const auto readers = graph.consumers();
    std::vector<size_t> waiting(values.size(), 0);
    for (size_t v = 0; v < values.size(); v++)
        waiting[v] = readers[v].size();
    for (ValueId id : graph.outputs)
        waiting[id]++;
    for (const Node &node : graph.nodes) {
        if (node.op->name == "ImageToTensor")
            in_context(describe(node), [&] { values[node.outputs[0]] = tensor_of(node, images); });
        else
            run_node(node, values);
        for (ValueId id : Graph::reads(node))
            if (--waiting[id] == 0)
                values[id] = Tensor();
    }

    job.outputs.resize(graph.outputs.size());
    for (size_t i = 0; i < job.outputs.size(); i++) {
        const Tensor &result = values[graph.outputs[i]];
        Tensor &wanted = job.outputs[i];
        if (wanted && wanted.type() == result.type() && wanted.shape() == result.shape()) {
            std::memcpy(wanted.raw(), result.raw(), result.bytes());
            job.bytes_copied += result.bytes();
        } else
            wanted = graph.is_constant(graph.outputs[i]) ? result.clone() : result;
    }
}

JobThread::JobThread(std::function<void(Job &)> run) : run_(std::move(run)), thread_([this] { loop(); }) {}

JobThread::~JobThread()
{
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void JobThread::submit(Job &job)
{
    job.submitted = std::chrono::steady_clock::now();
    std::lock_guard lock(mutex_);
    waiting_.push_back(&job);
    changed_.notify_one();
}

void JobThread::loop()
{
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
        if (waiting_.empty())
            return;
        Job &job = *waiting_.front();
        waiting_.pop_front();
        lock.unlock();
        job.started = job.prepared = std::chrono::steady_clock::now();
        job.bytes_copied = 0;
        try {
            throw_if_cancelled(job);
            run_(job);
        } catch (...) {
            job.error = std::current_exception();
        }
        complete(job);
        lock.lock();
    }
}

std::shared_ptr<Device> make_ref()
{
    return std::make_shared<Ref>();
}

} // namespace leat
