#include "topology.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include <sched.h>

namespace leat::cpu {
namespace {

namespace fs = std::filesystem;

std::string line_of(const fs::path &path)
{
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::optional<int> number_in(const std::string &text)
{
    try {
        return std::stoi(text);
    } catch (const std::exception &) {
        return std::nullopt;
    }
}

/// "0-3,8" as the numbers 0 1 2 3 8.
std::set<int> list_in(const std::string &text)
{
    std::set<int> numbers;
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find(',', at), text.size());
        const std::string piece = text.substr(at, end - at);
        const size_t dash = piece.find('-');
        const auto first = number_in(piece);
        const auto last = dash == std::string::npos ? first : number_in(piece.substr(dash + 1));
        if (first && last)
            for (int number = *first; number <= *last && number < CPU_SETSIZE; number++)
                numbers.insert(number);
        at = end + 1;
    }
    return numbers;
}

std::map<int, int> nodes_in(const fs::path &sysfs)
{
    std::map<int, int> nodes;
    std::error_code failed;
    for (const auto &entry : fs::directory_iterator(sysfs / "devices/system/node", failed)) {
        const std::string name = entry.path().filename();
        if (!name.starts_with("node"))
            continue;
        if (const auto node = number_in(name.substr(4)))
            for (int cpu : list_in(line_of(entry.path() / "cpulist")))
                nodes[cpu] = *node;
    }
    return nodes;
}

fs::path folder_of(const fs::path &sysfs, int cpu)
{
    return sysfs / "devices/system/cpu" / ("cpu" + std::to_string(cpu));
}

std::set<int> efficient_cpus(const fs::path &sysfs, const std::vector<int> &allowed)
{
    std::set<int> efficient = list_in(line_of(sysfs / "devices/cpu_atom/cpus"));
    std::map<int, int> capacities;
    int most = 0;
    for (int cpu : allowed)
        if (const auto capacity = number_in(line_of(folder_of(sysfs, cpu) / "cpu_capacity"))) {
            capacities[cpu] = *capacity;
            most = std::max(most, *capacity);
        }
    for (const auto &[cpu, capacity] : capacities)
        if (capacity < most)
            efficient.insert(cpu);
    return efficient;
}

/// "200000 100000", microseconds of each period, is 2 cores; "max 100000" is no limit.
int quota_in(const std::string &text)
{
    const auto time = number_in(text);
    const size_t space = text.find(' ');
    const auto period = space == std::string::npos ? std::nullopt : number_in(text.substr(space));
    return time && period && *time > 0 && *period > 0 ? std::max(*time / *period, 1) : 0;
}

} // namespace

Topology read_topology(const std::filesystem::path &sysfs, const std::vector<int> &allowed)
{
    const std::map<int, int> nodes = nodes_in(sysfs);
    const std::set<int> efficient = efficient_cpus(sysfs, allowed);
    Topology topology;
    std::map<std::string, size_t> cores; // by the list of hardware threads
    for (int cpu : allowed) {
        const std::string siblings = line_of(folder_of(sysfs, cpu) / "topology/thread_siblings_list");
        const auto [entry, fresh] =
            cores.try_emplace(siblings.empty() ? "cpu " + std::to_string(cpu) : siblings, topology.cores.size());
        if (fresh)
            topology.cores.push_back({{}, nodes.count(cpu) ? nodes.at(cpu) : 0, efficient.count(cpu) != 0});
        topology.cores[entry->second].cpus.push_back(cpu);
    }
    topology.quota = quota_in(line_of(sysfs / "fs/cgroup/cpu.max"));
    return topology;
}

std::vector<int> allowed_cpus()
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    if (sched_getaffinity(0, sizeof mask, &mask) != 0)
        CPU_SET(0, &mask);
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(static_cast<size_t>(cpu), &mask))
            cpus.push_back(cpu);
    return cpus;
}

} // namespace leat::cpu
