#pragma once
#include "devices/multi.h"

namespace leat {

/// HETERO: every node runs on the first of the devices that can run it.
///
/// The graph is cut into subgraphs of one device each, as few as taking all nodes that are ready for one device, then
/// for the next, leaves. A job goes through them in order; what one makes and another reads is handed over without a
/// copy. Jobs of a stream enter every subgraph in the order submitted, and different jobs are in different subgraphs at
/// a time. The settings say which nodes each device has, and of those that are not on the first device why not.
std::shared_ptr<Device> make_hetero(std::vector<NamedDevice>);
/// From "FAKE(ops=Relu),CPU". Throws Error.
std::shared_ptr<Device> make_hetero(const std::string &arguments);

} // namespace leat
