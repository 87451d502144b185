#include "tensor_input.h"
#include "npy.h"

#include "inference/ports.h"

#include <leat/error.h>

#include <algorithm>

namespace leat {
namespace {

std::string list_of(const std::vector<Port> &ports)
{
    std::string text;
    for (const Port &port : ports)
        text += (text.empty() ? "" : ", ") + to_string(port);
    return text;
}

bool is_float(Type type)
{
    return type == Type::f32 || type == Type::f16 || type == Type::bf16 || type == Type::f64;
}

Tensor as_type(const Tensor &tensor, Type type)
{
    if (is_float(tensor.type()) && !is_float(type))
        throw Error("the file holds " + std::string(to_string(tensor.type())) + ", but the input is " +
                    std::string(to_string(type)) + ": integers are wanted");
    return tensor.type() == type ? tensor : tensor.converted(type);
}

} // namespace

std::pair<std::string, Tensor> read_tensor_input(const std::string &argument, const std::vector<Port> &inputs)
{
    const size_t sign = argument.find('=');
    if (sign == std::string::npos)
        throw Error("-i " + argument + ": want NAME=FILE.npy; the inputs are " + list_of(inputs));
    const std::string name = argument.substr(0, sign), path = argument.substr(sign + 1);
    const auto port = std::find_if(inputs.begin(), inputs.end(), [&](const Port &p) { return p.name == name; });
    if (port == inputs.end())
        throw Error("the model has no input \"" + name + "\"; the inputs are " + list_of(inputs));
    const Tensor tensor = read_npy(path);
    return {name, in_context("input \"" + name + "\"", [&] { return as_type(tensor, port->type); })};
}

} // namespace leat
