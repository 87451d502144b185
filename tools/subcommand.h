#pragma once
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <functional>

namespace leat {

/// A row of the table in main.cpp. To add one: a file with its add_…, the declaration here, the row, a test in
/// tests/tools.
struct Subcommand {
    const char *name, *about;
    /// Declares the options; what it returns is called once they are parsed and gives the exit status. Throws Error for
    /// what cannot be done, CLI::ParseError for options that contradict each other.
    std::function<int()> (*add)(CLI::App &);
};

std::function<int()> add_benchmark(CLI::App &);
std::function<int()> add_compile(CLI::App &);
std::function<int()> add_devices(CLI::App &);
std::function<int()> add_inspect(CLI::App &);
std::function<int()> add_run(CLI::App &);
std::function<int()> add_video(CLI::App &);

} // namespace leat
