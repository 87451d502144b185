#pragma once
#include <cstdlib>
#include <filesystem>

/// The checkout: $LEAT_SOURCE_ROOT, which `meson test` sets, or the current folder or one above it.
inline std::filesystem::path source_root()
{
    namespace fs = std::filesystem;
    if (const char *given = std::getenv("LEAT_SOURCE_ROOT"))
        return given;
    fs::path folder = fs::current_path();
    while (!fs::exists(folder / "tests/support/shared_data.h") && folder.has_relative_path())
        folder = folder.parent_path();
    return folder;
}

/// The folder of shared test data beside the checkout ("" when absent), or $LEAT_SHARED.
inline std::filesystem::path shared_data()
{
    namespace fs = std::filesystem;
    const char *given = std::getenv("LEAT_SHARED");
    const fs::path folder = given ? fs::path(given) : source_root() / ".." / "shared";
    std::error_code ignored;
    return fs::is_directory(folder / "data", ignored) ? fs::canonical(folder) : fs::path();
}

#define SKIP_WITHOUT_SHARED_DATA()                                                                                     \
    if (shared_data().empty())                                                                                         \
    GTEST_SKIP() << "no shared test data beside the checkout"
