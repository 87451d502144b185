#pragma once
#include "support/temporary_folder.h"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <vector>

namespace leat {

struct Ran {
    int status;
    std::string out, err;
};

inline std::string text_of(const std::filesystem::path &path)
{
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

/// Runs the built command.
inline Ran leat_command(const std::vector<std::string> &arguments)
{
    TemporaryFolder folder;
    std::string line = "'" LEAT_COMMAND "'";
    for (const std::string &argument : arguments)
        line += " '" + argument + "'";
    line += " >'" + (folder / "out").string() + "' 2>'" + (folder / "err").string() + "'";
    const int status = std::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text_of(folder / "out"), text_of(folder / "err")};
}

} // namespace leat
