#pragma once
#include <cstdlib>
#include <filesystem>

/// The folder of shared test data beside the checkout ("" when absent), or $LEAT_SHARED.
inline std::filesystem::path shared_data()
{
    namespace fs = std::filesystem;
    fs::path folder;
    if (const char *given = std::getenv("LEAT_SHARED"))
        folder = given;
    else if (const char *root = std::getenv("LEAT_SOURCE_ROOT"))
        folder = fs::path(root) / ".." / "shared";
    std::error_code ignored;
    return fs::is_directory(folder / "data", ignored) ? fs::canonical(folder) : fs::path();
}

#define SKIP_WITHOUT_SHARED_DATA()                                                                                     \
    if (shared_data().empty())                                                                                         \
    GTEST_SKIP() << "no shared test data beside the checkout"
