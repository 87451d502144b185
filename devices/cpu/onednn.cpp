#include "onednn.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>

namespace leat::cpu::onednn {
namespace {

using dnnl::algorithm;

Dims minus_one(const Dims &dilations)
{
    Dims result = dilations;
    for (auto &each : result)
        each--;
    return result;
}

void eltwise(dnnl::post_ops &ops, algorithm algo, float alpha, float beta)
{
#if DNNL_VERSION_MAJOR >= 3
    ops.append_eltwise(algo, alpha, beta);
#else
    ops.append_eltwise(1.f, algo, alpha, beta);
#endif
}

struct EltwiseRow {
    std::string_view op;
    void (*append)(dnnl::post_ops &, const Attributes &);
};

template <algorithm algo, int alpha = 0> void plain(dnnl::post_ops &ops, const Attributes &)
{
    eltwise(ops, algo, static_cast<float>(alpha), 0.f);
}

constexpr float infinity = std::numeric_limits<float>::infinity();

const EltwiseRow eltwise_rows[] = {
    {"Abs", plain<algorithm::eltwise_abs>},
    {"Clip",
     [](dnnl::post_ops &ops, const Attributes &a) {
         eltwise(ops, algorithm::eltwise_clip, a.number("min", -infinity), a.number("max", infinity));
     }},
    {"Elu", [](dnnl::post_ops &ops,
               const Attributes &a) { eltwise(ops, algorithm::eltwise_elu, a.number("alpha", 1.f), 0.f); }},
    {"Exp", plain<algorithm::eltwise_exp>},
    {"Gelu",
     [](dnnl::post_ops &ops, const Attributes &a) {
         eltwise(ops,
                 a.text("approximate", "none") == "tanh" ? algorithm::eltwise_gelu_tanh : algorithm::eltwise_gelu_erf,
                 0.f, 0.f);
     }},
    {"HardSigmoid",
     [](dnnl::post_ops &ops, const Attributes &a) {
         eltwise(ops, algorithm::eltwise_linear, a.number("alpha", 0.2f), a.number("beta", 0.5f));
         eltwise(ops, algorithm::eltwise_clip, 0.f, 1.f);
     }},
    // 2.6 has the factors built in and takes no notice of the arguments.
    {"HardSwish",
     [](dnnl::post_ops &ops, const Attributes &) { eltwise(ops, algorithm::eltwise_hardswish, 1.f / 6.f, 0.5f); }},
    {"LeakyRelu", [](dnnl::post_ops &ops,
                     const Attributes &a) { eltwise(ops, algorithm::eltwise_relu, a.number("alpha", 0.01f), 0.f); }},
    {"Mish", plain<algorithm::eltwise_mish>},
    {"Neg", plain<algorithm::eltwise_linear, -1>},
    {"Relu", plain<algorithm::eltwise_relu>},
    {"Sigmoid", plain<algorithm::eltwise_logistic>},
    {"Sqrt", plain<algorithm::eltwise_sqrt>},
    {"Swish", [](dnnl::post_ops &ops,
                 const Attributes &a) { eltwise(ops, algorithm::eltwise_swish, a.number("alpha", 1.f), 0.f); }},
    {"Tanh", plain<algorithm::eltwise_tanh>},
};

struct Eltwise {
    algorithm algo = algorithm::undef;
    float alpha = 0, beta = 0;
};

Eltwise eltwise_at(const dnnl::post_ops &ops, int index)
{
    Eltwise found;
#if DNNL_VERSION_MAJOR >= 3
    ops.get_params_eltwise(index, found.algo, found.alpha, found.beta);
#else
    float scale = 1;
    ops.get_params_eltwise(index, scale, found.algo, found.alpha, found.beta);
#endif
    return found;
}

/// Whether a function with other parameters than `next` has is there already. 2.6 keeps one set of parameters for each
/// function, whichever of several post-ops it belongs to, and gives wrong numbers.
bool clashes(const dnnl::post_ops &ops, const Eltwise &next)
{
    for (int i = 0; i < ops.len(); i++) {
        if (ops.kind(i) != dnnl::primitive::kind::eltwise)
            continue;
        const Eltwise other = eltwise_at(ops, i);
        if (other.algo == next.algo && (other.alpha != next.alpha || other.beta != next.beta))
            return true;
    }
    return false;
}

/// Appends what `append(post_ops &)` appends; false, and nothing, when it clashes with what is there.
template <class Append> bool append_apart(dnnl::post_ops &ops, Append append)
{
    dnnl::post_ops next;
    append(next);
    for (int i = 0; i < next.len(); i++)
        if (clashes(ops, eltwise_at(next, i)))
            return false;
    append(ops);
    return true;
}

/// A primitive descriptor, whatever its class, as what the kernels need of it.
template <class PrimitiveDesc, class Primitive> Made made(const PrimitiveDesc &pd, Primitive primitive)
{
    return {std::move(primitive), pd.weights_desc(), pd.scratchpad_desc(), pd.impl_info_str()};
}

} // namespace

namespace {

/// Plans keep their primitives. oneDNN's cache would keep as many more of sizes gone by, some 140 KiB each.
constexpr int primitives_beside_plans = 128, primitives_of_a_plan = 4096;

void remember_primitives(int count)
{
    if (!std::getenv("DNNL_PRIMITIVE_CACHE_CAPACITY") && !std::getenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY"))
        dnnl::set_primitive_cache_capacity(count);
}

std::mutex plans_mutex; // guards what follows
int plans_in_making = 0;

} // namespace

const dnnl::engine &engine()
{
    static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
    return cpu;
}

RememberedPrimitives::RememberedPrimitives()
{
    std::lock_guard lock(plans_mutex);
    if (plans_in_making++ == 0)
        remember_primitives(primitives_of_a_plan);
}

RememberedPrimitives::~RememberedPrimitives()
{
    std::lock_guard lock(plans_mutex);
    if (--plans_in_making == 0)
        remember_primitives(primitives_beside_plans);
}

std::string description()
{
    const auto *version = dnnl_version();
    const auto isa = dnnl::get_effective_cpu_isa();
    const char *instructions = isa >= dnnl::cpu_isa::avx512_core_amx    ? "AMX"
                               : isa >= dnnl::cpu_isa::avx512_core_bf16 ? "AVX-512 with bf16"
                               : isa >= dnnl::cpu_isa::avx512_core_vnni ? "AVX-512 with VNNI"
                               : isa >= dnnl::cpu_isa::avx512_core      ? "AVX-512"
                               : isa >= dnnl::cpu_isa::avx2_vnni        ? "AVX2 with VNNI"
                               : isa >= dnnl::cpu_isa::avx2             ? "AVX2"
                                                                        : "SSE4.1";
    return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + " on " + instructions;
}

std::optional<dnnl::memory::data_type> type_of(Type type)
{
    using T = dnnl::memory::data_type;
    switch (type) {
    case Type::f32: return T::f32;
    case Type::bf16: return T::bf16;
    case Type::s32: return T::s32;
    case Type::s8: return T::s8;
    case Type::u8: return T::u8;
    default: return std::nullopt;
    }
}

Desc desc(const Layout &layout)
{
    return Desc(layout.dims, type_of(layout.type).value(), layout.strides);
}

Desc any(Type type, const Dims &dims)
{
    return Desc(dims, type_of(type).value(), dnnl::memory::format_tag::any);
}

bool append_unary(dnnl::post_ops &ops, const PostOp &post)
{
    for (const EltwiseRow &row : eltwise_rows)
        if (row.op == post.op->name)
            return append_apart(ops, [&](dnnl::post_ops &to) { row.append(to, post.attributes); });
    return false;
}

dnnl::primitive_attr attributes()
{
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return attr;
}

#if DNNL_VERSION_MAJOR >= 3
#define LEAT_PRIMITIVE_DESC(kind, attr, ...) dnnl::kind::primitive_desc(engine(), __VA_ARGS__, attr)
#define LEAT_POOLING pooling_forward
#else
#define LEAT_PRIMITIVE_DESC(kind, attr, ...) dnnl::kind::primitive_desc(dnnl::kind::desc(__VA_ARGS__), attr, engine())
#define LEAT_POOLING pooling_v2_forward
#endif

Made convolution(const Desc &src, const Desc &weights, const Desc &bias, const Desc &dst, const Window &w,
                 const dnnl::primitive_attr &attr)
{
    const auto pd = LEAT_PRIMITIVE_DESC(convolution_forward, attr, dnnl::prop_kind::forward_inference,
                                        algorithm::convolution_direct, src, weights, bias, dst, w.strides,
                                        minus_one(w.dilations), w.pads_begin, w.pads_end);
    return made(pd, dnnl::convolution_forward(pd));
}

Made deconvolution(const Desc &src, const Desc &weights, const Desc &bias, const Desc &dst, const Window &w,
                   const dnnl::primitive_attr &attr)
{
    const auto pd = LEAT_PRIMITIVE_DESC(deconvolution_forward, attr, dnnl::prop_kind::forward_inference,
                                        algorithm::deconvolution_direct, src, weights, bias, dst, w.strides,
                                        minus_one(w.dilations), w.pads_begin, w.pads_end);
    return made(pd, dnnl::deconvolution_forward(pd));
}

Made pooling(Pooling kind, const Desc &src, const Desc &dst, const Dims &kernel, const Window &w,
             const dnnl::primitive_attr &attr)
{
    const algorithm algo = kind == Pooling::max                    ? algorithm::pooling_max
                           : kind == Pooling::average_with_padding ? algorithm::pooling_avg_include_padding
                                                                   : algorithm::pooling_avg_exclude_padding;
    const auto pd = LEAT_PRIMITIVE_DESC(LEAT_POOLING, attr, dnnl::prop_kind::forward_inference, algo, src, dst,
                                        w.strides, kernel, minus_one(w.dilations), w.pads_begin, w.pads_end);
    return made(pd, dnnl::LEAT_POOLING(pd));
}

Made matmul(const Desc &src, const Desc &weights, const Desc &bias, const Desc &dst, const dnnl::primitive_attr &attr)
{
    const auto pd = LEAT_PRIMITIVE_DESC(matmul, attr, src, weights, bias, dst);
    return made(pd, dnnl::matmul(pd));
}

Made lrn(const Desc &src, const Desc &dst, int64_t size, float alpha, float beta, float k,
         const dnnl::primitive_attr &attr)
{
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::lrn_forward::primitive_desc pd(engine(), dnnl::prop_kind::forward_inference,
                                               algorithm::lrn_across_channels, src, dst, size, alpha, beta, k, attr);
#else
    const dnnl::lrn_forward::primitive_desc pd(dnnl::lrn_forward::desc(dnnl::prop_kind::forward_inference,
                                                                       algorithm::lrn_across_channels, src, size, alpha,
                                                                       beta, k),
                                               attr, engine());
#endif
    return made(pd, dnnl::lrn_forward(pd));
}

namespace {

/// The instruction sets are bit sets: each has the bits of those that it contains.
bool contains(dnnl::cpu_isa part)
{
    const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
    return (isa & static_cast<unsigned>(part)) == static_cast<unsigned>(part);
}

} // namespace

bool has_integer_dot_products()
{
    return contains(dnnl::cpu_isa::avx2_vnni) || contains(dnnl::cpu_isa::avx512_core_vnni);
}

bool has_bf16()
{
    return contains(dnnl::cpu_isa::avx512_core_bf16);
}

bool has_tiles()
{
    return contains(dnnl::cpu_isa::avx512_core_amx);
}

bool begins_slowly_with_zero_points()
{
    return DNNL_VERSION_MAJOR < 3;
}

bool append_linear(dnnl::post_ops &ops, float a, float b)
{
    return append_apart(ops, [&](dnnl::post_ops &to) { eltwise(to, algorithm::eltwise_linear, a, b); });
}

void append_sum(dnnl::post_ops &ops, float scale, Type type)
{
#if DNNL_VERSION_MAJOR >= 3
    ops.append_sum(scale, 0, type_of(type).value());
#else
    ops.append_sum(scale, type_of(type).value());
#endif
}

namespace {

Tensor list(const std::vector<float> &numbers)
{
    return Tensor::of<float>({static_cast<int64_t>(numbers.size())}, numbers);
}

} // namespace

IntegerAttributes integer_attributes(const Requantisation &how, const dnnl::post_ops &ops)
{
    IntegerAttributes result{attributes(), {}, {}};
    result.attr.set_post_ops(ops);
    std::vector<float> bias = how.bias;
#if DNNL_VERSION_MAJOR >= 3
    const Tensor scales = list(how.scales);
    result.attr.set_scales_mask(DNNL_ARG_WEIGHTS, how.scales.size() > 1 ? how.weights_mask : 0);
    result.arguments.push_back({DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, desc(Layout::dense(Type::f32, scales.shape())),
                                PrimitiveKernel::Argument::From::constant, 0, scales});
    if (how.source_zero_point != 0)
        result.attr.set_zero_points_mask(DNNL_ARG_SRC, 0);
    if (how.source_zero_point.value_or(0) != 0)
        result.arguments.push_back({DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_SRC, desc(Layout::dense(Type::s32, {1})),
                                    PrimitiveKernel::Argument::From::constant, 0,
                                    Tensor::of<int32_t>({1}, {*how.source_zero_point})});
#else
    result.attr.set_output_scales(how.scales.size() > 1 ? 1 << how.output_axis : 0, how.scales);
    if (how.source_zero_point != 0)
        result.attr.set_zero_points(DNNL_ARG_SRC, 0, {how.source_zero_point.value_or(DNNL_RUNTIME_S32_VAL)});
    // This version scales the bias too.
    for (size_t i = 0; i < bias.size(); i++)
        bias[i] /= how.scales[how.scales.size() > 1 ? i : 0];
#endif
    if (!bias.empty())
        result.bias = list(bias);
    return result;
}

// The descriptor itself is the name of the form: there is no text for it in both versions.
#if DNNL_VERSION_MAJOR >= 3

std::string form_of(const Desc &desc)
{
    // Its bytes have gaps, in which there may be anything: those of the first of equal ones stand for all.
    static std::mutex mutex;
    static std::multimap<size_t, std::pair<Desc, std::string>> known; // by size
    std::lock_guard lock(mutex);
    const auto [first, last] = known.equal_range(desc.get_size());
    const auto equal = std::find_if(first, last, [&](const auto &each) { return each.second.first == desc; });
    if (equal != last)
        return equal->second.second;
    const auto blob = Desc(desc).get_blob();
    return known.emplace(desc.get_size(), std::pair(desc, std::string(blob.begin(), blob.end())))->second.second;
}

std::string form_here(const std::string &form)
{
    static const size_t size = Desc({1}, dnnl::memory::data_type::f32, Dims{1}).get_blob().size();
    const std::string word = "onednn";
    const size_t at = form.find(word), begin = at + word.size();
    if (at == std::string::npos || (form.size() - begin) % size != 0)
        return form;
    std::string result = form.substr(0, begin);
    for (size_t place = begin; place < form.size(); place += size)
        result += form_of(Desc(std::vector<uint8_t>(form.begin() + static_cast<ptrdiff_t>(place),
                                                    form.begin() + static_cast<ptrdiff_t>(place + size))));
    return result;
}

#else

std::string form_of(const Desc &desc)
{
    return std::string(reinterpret_cast<const char *>(&desc.data), sizeof desc.data);
}

std::string form_here(const std::string &form)
{
    return form;
}

#endif

void reorder(const std::byte *elements, const Desc &from, std::byte *target, const Desc &to)
{
    dnnl::memory source(from, engine(), const_cast<std::byte *>(elements)), result(to, engine(), target);
    dnnl::stream stream(engine());
    dnnl::reorder(source, result).execute(stream, source, result);
    stream.wait();
}

Constant in_form(Weights &weights, const Tensor &constant, const std::string &form, const Desc &to,
                 std::function<void(std::byte *)> write)
{
    const auto bytes = static_cast<int64_t>(to.get_size());
    return weights.later(constant, form, Type::u8, {bytes},
                         [memory = weights.memory(), bytes, write = std::move(write)] {
                             Tensor made = memory->allocate(Type::u8, {bytes});
                             write(made.raw());
                             return made;
                         });
}

Constant packed(Weights &weights, const Tensor &constant, const Desc &from, const Desc &to, int64_t first)
{
    if (from == to && first == 0)
        return constant;
    const std::string place = first == 0 ? "" : "from " + std::to_string(first) + ' ';
    const std::string form = place + "onednn" + form_of(from) + form_of(to);
    return in_form(weights, constant, form, to, [constant, from, to, first](std::byte *target) {
        reorder(constant.raw() + static_cast<size_t>(first) * size_of(constant.type()), from, target, to);
    });
}

namespace {

/// What a lane keeps of a primitive: memory objects are not safe to share.
struct Kept {
    dnnl::stream stream{engine()};
    std::vector<dnnl::memory> memories;
    std::vector<dnnl_exec_arg_t> arguments;
};

void *address(const PrimitiveKernel::Argument &argument, const Launch &launch)
{
    using From = PrimitiveKernel::Argument::From;
    switch (argument.from) {
    case From::in: return const_cast<std::byte *>(launch.in[argument.index]);
    case From::out: return launch.out[argument.index];
    case From::scratch: return launch.scratch;
    case From::constant: break;
    }
    return const_cast<std::byte *>(argument.constant.tensor().raw());
}

} // namespace

void PrimitiveKernel::prepare()
{
    for (const Argument &argument : arguments_)
        if (argument.from == Argument::From::constant && argument.constant.tensor().bytes() < argument.desc.get_size())
            throw Error("stored weights have another size than the kernel wants");
}

void PrimitiveKernel::run(const Launch &launch) const
{
    if (!launch.kept) {
        auto fresh = std::make_shared<Kept>();
        for (const Argument &argument : arguments_) {
            fresh->memories.emplace_back(argument.desc, engine(), address(argument, launch));
            fresh->arguments.push_back({argument.id, fresh->memories.back().get()});
        }
        launch.kept = fresh;
    }
    Kept &kept = *static_cast<Kept *>(launch.kept.get());
    for (size_t i = 0; i < arguments_.size(); i++)
        if (arguments_[i].from != Argument::From::constant)
            kept.memories[i].set_data_handle(address(arguments_[i], launch));
    dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), kept.stream.get(),
                                                   static_cast<int>(kept.arguments.size()), kept.arguments.data()),
                            "oneDNN could not run a primitive");
}

bool is_slow(const std::string &implementation)
{
    return implementation.starts_with("ref") || implementation.starts_with("simple");
}

} // namespace leat::cpu::onednn
