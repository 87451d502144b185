#include "ports.h"
#include "ops.h"

#include <algorithm>

namespace leat {
namespace {

Port port_of(const Value &value)
{
    return {value.name, value.type, value.shape.value_or(Shape{}), false, value.limits};
}

bool fits(const Shape &wanted, const Shape &given)
{
    return std::equal(wanted.begin(), wanted.end(), given.begin(), given.end(),
                      [](int64_t w, int64_t g) { return w < 0 || w == g; });
}

} // namespace

bool fits(const Port &port, const Shape &given)
{
    return fits(port.shape, given) &&
           (port.limits.empty() || std::equal(port.limits.begin(), port.limits.end(), given.begin(), given.end(),
                                              [](const Dimension &d, int64_t size) { return d.allows(size); }));
}

bool reads_picture(const Node &node, ValueId id)
{
    return node.op->name == "ImageToTensor" &&
           std::find(node.inputs.begin(), node.inputs.end(), id) != node.inputs.end();
}

std::vector<Port> input_ports(const Graph &graph)
{
    std::vector<Port> ports;
    for (ValueId id : graph.inputs) {
        ports.push_back(port_of(graph.values[id]));
        for (const Node &node : graph.nodes)
            if (reads_picture(node, id)) {
                const Value &tensor = graph.values[node.outputs[0]];
                ports.back().image = true;
                ports.back().type = tensor.type;
                ports.back().shape = tensor.shape.value_or(Shape{});
            }
    }
    return ports;
}

std::vector<Port> output_ports(const Graph &graph)
{
    std::vector<Port> ports;
    for (ValueId id : graph.outputs)
        ports.push_back(port_of(graph.values[id]));
    return ports;
}

std::string to_string(const Port &port)
{
    return port.name + " " + std::string(to_string(port.type)) + "[" +
           (port.limits.empty() ? to_string(port.shape) : to_string(port.limits)) + "]" +
           (port.image ? " (image)" : "");
}

std::string to_string(const Dimensions &dimensions)
{
    std::string text;
    for (const Dimension &each : dimensions) {
        text += text.empty() ? "" : "x";
        if (each == Dimension())
            text += "?";
        else if (each.is_fixed())
            text += std::to_string(each.least);
        else
            text +=
                std::to_string(each.least) + ".." + (each.most == Dimension::any_size ? "" : std::to_string(each.most));
    }
    return text;
}

void check_inputs(std::span<const Port> ports, const Job &job)
{
    const auto images =
        static_cast<size_t>(std::count_if(ports.begin(), ports.end(), [](const Port &p) { return p.image; }));
    if (job.images.size() != images || job.inputs.size() != ports.size() - images)
        throw Error("the model takes " + std::to_string(images) + " images and " +
                    std::to_string(ports.size() - images) + " tensors, the job brings " +
                    std::to_string(job.images.size()) + " and " + std::to_string(job.inputs.size()));
    size_t image = 0, input = 0;
    for (const Port &port : ports) {
        if (port.image) {
            const Image &frame = job.images[image++];
            if (frame.width < 1 || frame.height < 1 || !frame.planes[0].data)
                throw Error("the image for input \"" + port.name + "\" is empty");
            continue;
        }
        const Tensor &tensor = job.inputs[input++];
        if (!tensor)
            throw Error("input \"" + port.name + "\" is missing");
        if (tensor.type() != port.type)
            throw Error("input \"" + port.name + "\" is " + std::string(to_string(tensor.type())) + ", want " +
                        std::string(to_string(port.type)));
        if (!fits(port, tensor.shape()))
            throw Error("input \"" + port.name + "\" has the shape " + to_string(tensor.shape()) + ", want " +
                        (port.limits.empty() ? to_string(port.shape) : to_string(port.limits)));
    }
}

} // namespace leat
