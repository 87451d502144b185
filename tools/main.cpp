#include "subcommand.h"

#include <leat/error.h>

#include <iostream>
#include <utility>
#include <vector>

namespace {

constexpr leat::Subcommand subcommands[] = {
    {"run", "Runs a model on raw tensors (-i NAME=FILE.npy) or on pictures", leat::add_run},
    {"inspect", "Shows what a model is and what would run where", leat::add_inspect},
    {"video", "Detects in a video: annotated video, JSON lines, a picture and a summary", leat::add_video},
    {"benchmark", "Measures how fast a model runs", leat::add_benchmark},
    {"compile", "Compiles a model into a file that can be loaded in its place", leat::add_compile},
    {"devices", "Lists the devices", leat::add_devices},
};

int run(CLI::App &app, int argc, char **argv)
{
    std::vector<std::pair<CLI::App *, std::function<int()>>> actions;
    for (const leat::Subcommand &row : subcommands) {
        CLI::App *command = app.add_subcommand(row.name, row.about);
        actions.emplace_back(command, row.add(*command));
    }
    app.parse(argc, argv);
    for (const auto &[command, action] : actions)
        if (command->parsed())
            return action();
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    constexpr int failed = 1, wrong_usage = 2;
    CLI::App app("Leat: inference for video streams.", "leat");
    app.set_version_flag("--version", std::string("leat ") + LEAT_VERSION);
    app.require_subcommand(1);
    try {
        return run(app, argc, argv);
    } catch (const CLI::ParseError &error) {
        return app.exit(error) == 0 ? 0 : wrong_usage;
    } catch (const std::exception &error) {
        std::cerr << "leat: " << error.what() << "\n";
        return failed;
    }
}
