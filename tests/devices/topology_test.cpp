#include "devices/cpu/topology.h"

#include <gtest/gtest.h>

#include <fstream>
#include <numeric>

namespace leat::cpu {
namespace {

namespace fs = std::filesystem;

/// A folder with files as the system's own, for as long as the test runs.
class Sysfs {
  public:
    Sysfs() : root_(fs::temp_directory_path() / ("leat_sysfs_" + std::to_string(getpid())))
    {
        fs::remove_all(root_);
        fs::create_directories(root_);
    }
    ~Sysfs() { fs::remove_all(root_); }
    void write(const std::string &path, const std::string &line)
    {
        fs::create_directories((root_ / path).parent_path());
        std::ofstream(root_ / path) << line << '\n';
    }
    void siblings(int cpu, const std::string &list)
    {
        write("devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list", list);
    }
    const fs::path &root() const { return root_; }

  private:
    const fs::path root_;
};

std::vector<int> all(int cpus)
{
    std::vector<int> numbers(static_cast<size_t>(cpus));
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
}

std::string text_of(const Topology &topology)
{
    std::string text;
    for (const ProcessorCore &core : topology.cores) {
        text += text.empty() ? "" : " ";
        for (size_t i = 0; i < core.cpus.size(); i++)
            text += (i ? "," : "") + std::to_string(core.cpus[i]);
        text += "@" + std::to_string(core.node) + (core.efficient ? "e" : "");
    }
    return text + (topology.quota ? " quota " + std::to_string(topology.quota) : "");
}

TEST(Topology, WhatIsNotDescribedIsPlain)
{
    const Sysfs empty;
    EXPECT_EQ(text_of(read_topology(empty.root(), {0, 2, 5})), "0@0 2@0 5@0");
}

TEST(Topology, TwoSocketsWithTwoThreadsACore)
{
    Sysfs sysfs;
    for (int cpu = 0; cpu < 8; cpu++)
        sysfs.siblings(cpu, std::to_string(cpu % 4) + "," + std::to_string(cpu % 4 + 4));
    sysfs.write("devices/system/node/node0/cpulist", "0-1,4-5");
    sysfs.write("devices/system/node/node1/cpulist", "2-3,6-7");
    sysfs.write("devices/system/node/online", "0-1");
    EXPECT_EQ(text_of(read_topology(sysfs.root(), all(8))), "0,4@0 1,5@0 2,6@1 3,7@1");
    EXPECT_EQ(text_of(read_topology(sysfs.root(), {1, 2, 6})), "1@0 2,6@1");
}

TEST(Topology, HybridProcessorOfX86)
{
    Sysfs sysfs;
    for (int cpu = 0; cpu < 4; cpu++)
        sysfs.siblings(cpu, cpu < 2 ? "0-1" : "2-3");
    for (int cpu = 4; cpu < 6; cpu++)
        sysfs.siblings(cpu, std::to_string(cpu));
    sysfs.write("devices/cpu_core/cpus", "0-3");
    sysfs.write("devices/cpu_atom/cpus", "4-5");
    EXPECT_EQ(text_of(read_topology(sysfs.root(), all(6))), "0,1@0 2,3@0 4@0e 5@0e");
}

TEST(Topology, BigAndLittleCoresOfArm)
{
    Sysfs sysfs;
    for (int cpu = 0; cpu < 4; cpu++)
        sysfs.write("devices/system/cpu/cpu" + std::to_string(cpu) + "/cpu_capacity", cpu < 2 ? "446" : "1024");
    EXPECT_EQ(text_of(read_topology(sysfs.root(), all(4))), "0@0e 1@0e 2@0 3@0");
}

TEST(Topology, QuotaOfAContainer)
{
    Sysfs sysfs;
    sysfs.write("fs/cgroup/cpu.max", "250000 100000");
    EXPECT_EQ(read_topology(sysfs.root(), all(4)).quota, 2);
    sysfs.write("fs/cgroup/cpu.max", "50000 100000");
    EXPECT_EQ(read_topology(sysfs.root(), all(4)).quota, 1);
    for (const char *none :
         {"max 100000", "", "nonsense", "100000", "100000 0", "-1 100000", "99999999999999999999 1"}) {
        sysfs.write("fs/cgroup/cpu.max", none);
        EXPECT_EQ(read_topology(sysfs.root(), all(4)).quota, 0) << none;
    }
}

TEST(Topology, ListsThatMakeNoSenseAreIgnored)
{
    Sysfs sysfs;
    sysfs.write("devices/system/node/node0/cpulist", ",-,x,3-1,0-");
    sysfs.write("devices/system/node/node1/cpulist", "1,0-99999999");
    sysfs.write("devices/system/node/nodex/cpulist", "0");
    EXPECT_EQ(read_topology(sysfs.root(), all(2)).cores.size(), 2u);
}

TEST(Topology, OfThisMachineHasTheProcessorsThatAreAllowed)
{
    const std::vector<int> allowed = allowed_cpus();
    std::vector<int> found;
    for (const ProcessorCore &core : read_topology("/sys", allowed).cores)
        found.insert(found.end(), core.cpus.begin(), core.cpus.end());
    std::sort(found.begin(), found.end());
    EXPECT_EQ(found, allowed);
}

} // namespace
} // namespace leat::cpu
