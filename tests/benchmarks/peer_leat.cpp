// Leat as one of the peers that the harness beside the checkout (bench/README.md of the shared data) measures.
#include "peer.h"

#include <leat/core.h>
#include <leat/request.h>

#include <cstring>
#include <stdexcept>
#include <utility>

namespace peerbench {
namespace {

constexpr std::pair<leat::Type, Type> types[] = {{leat::Type::f32, Type::F32},
                                                 {leat::Type::u8, Type::U8},
                                                 {leat::Type::s8, Type::I8},
                                                 {leat::Type::s32, Type::I32},
                                                 {leat::Type::s64, Type::I64}};

Type from_leat(leat::Type type)
{
    for (const auto &[ours, theirs] : types)
        if (ours == type)
            return theirs;
    return Type::Other;
}

/// The harness has no other element types, so that it could not fill such an input.
leat::Type to_leat(const Tensor &tensor)
{
    for (const auto &[ours, theirs] : types)
        if (theirs == tensor.type)
            return ours;
    throw std::runtime_error("input \"" + tensor.name + "\" has a type that the harness cannot fill");
}

Tensor described(const leat::Port &port)
{
    Tensor tensor;
    tensor.name = port.name;
    tensor.type = from_leat(port.type);
    tensor.shape = port.shape;
    return tensor;
}

class LeatRequest : public Request {
  public:
    LeatRequest(const std::shared_ptr<leat::CompiledModel> &model, const std::vector<Tensor> &in)
        : model_(model), request_(model)
    {
        for (const Tensor &tensor : in) {
            leat::Tensor copy(to_leat(tensor), tensor.shape);
            std::memcpy(copy.raw(), tensor.bytes.data(), tensor.bytes.size());
            request_.set_tensor(tensor.name, copy);
        }
    }
    void run() override { request_.infer(); }
    std::vector<Tensor> outputs() override
    {
        std::vector<Tensor> result;
        for (const leat::Port &port : model_->outputs()) {
            const leat::Tensor &made = request_.tensor(port.name);
            Tensor tensor = described(port);
            tensor.shape = made.shape();
            tensor.bytes.resize(made.bytes());
            if (made.bytes())
                std::memcpy(tensor.bytes.data(), made.raw(), made.bytes());
            result.push_back(std::move(tensor));
        }
        return result;
    }

  private:
    std::shared_ptr<leat::CompiledModel> model_;
    leat::InferRequest request_;
};

/// `--set` of the harness: device (CPU), precision (auto, f32, bf16; f32 when it is not set, as the other peers have
/// it) and cache (a folder).
class Leat : public Peer {
  public:
    explicit Leat(const Config &config)
    {
        leat::Model model = leat::Core::read_model(config.model);
        std::map<std::string, leat::Dimensions> shapes;
        const auto ports = model.inputs();
        for (size_t i = 0; i < config.hint.size() && i < ports.size(); i++)
            shapes[ports[i].name] = leat::Dimensions(config.hint[i].shape.begin(), config.hint[i].shape.end());
        if (!shapes.empty())
            model = model.reshaped(shapes);
        compiled_ = leat::Core::compile_model(std::move(model), set(config, "device", "CPU"), options(config));
    }
    std::string version() const override { return LEAT_VERSION; }
    std::vector<Tensor> inputs() const override
    {
        std::vector<Tensor> result;
        for (const leat::Port &port : compiled_->inputs())
            result.push_back(described(port));
        return result;
    }
    std::unique_ptr<Request> request(const std::vector<Tensor> &in) override
    {
        return std::make_unique<LeatRequest>(compiled_, in);
    }

  private:
    std::shared_ptr<leat::CompiledModel> compiled_;

    static std::string set(const Config &config, const std::string &name, const std::string &otherwise)
    {
        const auto found = config.extra.find(name);
        return found == config.extra.end() ? otherwise : found->second;
    }

    static leat::InferencePrecision precision(const std::string &word)
    {
        const std::map<std::string, leat::InferencePrecision> words{{"auto", leat::InferencePrecision::automatic},
                                                                    {"f32", leat::InferencePrecision::f32},
                                                                    {"bf16", leat::InferencePrecision::bf16}};
        if (const auto found = words.find(word); found != words.end())
            return found->second;
        throw std::runtime_error("precision=" + word + ": want auto, f32 or bf16");
    }

    /// Requests side by side are one lane each, and the harness counts threads by the request.
    static leat::Options options(const Config &config)
    {
        leat::Options options;
        options.inference_precision = precision(set(config, "precision", "f32"));
        options.cache_dir = set(config, "cache", "");
        options.num_requests = config.requests;
        options.num_threads = config.threads * config.requests;
        options.batch_size = 1;
        if (config.requests > 1) {
            options.performance_hint = leat::PerformanceHint::throughput;
            options.num_streams = config.requests;
        }
        return options;
    }
};

} // namespace

const char *peer_name()
{
    return "leat";
}

std::unique_ptr<Peer> open_peer(const Config &config)
{
    return std::make_unique<Leat>(config);
}

} // namespace peerbench
