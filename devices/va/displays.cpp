#include "devices/hardware.h"

#include <fcntl.h>
#include <unistd.h>
#include <va/va.h>
#include <va/va_drm.h>
#include <va/va_str.h>

#include <algorithm>
#include <filesystem>
#include <map>

namespace leat {
namespace {

constexpr const char *no_models =
    "VA decodes, encodes and processes video, it runs no models, and Leat does not use it yet; "
    "models run on CPU.";

struct EntrypointName {
    VAEntrypoint entrypoint;
    const char *words;
};
constexpr EntrypointName entrypoint_names[] = {
    {VAEntrypointVLD, "decodes"},
    {VAEntrypointEncSlice, "encodes"},
    {VAEntrypointEncSliceLP, "encodes in low power"},
    {VAEntrypointEncPicture, "encodes pictures of"},
    {VAEntrypointVideoProc, "processes"},
};

/// A render node opened and given to libva, whose messages are dropped; closed in the right order.
class Display {
  public:
    explicit Display(const std::string &path) : file_(open(path.c_str(), O_RDWR | O_CLOEXEC))
    {
        if (file_ >= 0)
            display_ = vaGetDisplayDRM(file_);
        if (display_) {
            vaSetErrorCallback(display_, nullptr, nullptr);
            vaSetInfoCallback(display_, nullptr, nullptr);
        }
    }
    ~Display()
    {
        if (display_)
            vaTerminate(display_);
        if (file_ >= 0)
            close(file_);
    }
    Display(const Display &) = delete;
    Display &operator=(const Display &) = delete;

    bool opened() const { return file_ >= 0; }
    VADisplay get() const { return display_; }

  private:
    int file_;
    VADisplay display_ = nullptr;
};

std::vector<std::string> render_nodes()
{
    std::vector<std::string> paths;
    std::error_code error;
    for (std::filesystem::directory_iterator entry("/dev/dri", error), end; !error && entry != end;
         entry.increment(error))
        if (entry->path().filename().string().starts_with("renderD"))
            paths.push_back(entry->path());
    std::sort(paths.begin(), paths.end());
    return paths;
}

/// "H264Main" for VAProfileH264Main; "video" for the profile that stands for none.
std::string profile_name(VAProfile profile)
{
    if (profile == VAProfileNone)
        return "video";
    const std::string name = vaProfileStr(profile);
    constexpr std::string_view prefix = "VAProfile";
    return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

/// What the driver does with which profiles, in words.
std::string abilities(VADisplay display)
{
    std::vector<VAProfile> profiles(size_t(std::max(vaMaxNumProfiles(display), 0)));
    int count = 0;
    if (profiles.empty() || vaQueryConfigProfiles(display, profiles.data(), &count) != VA_STATUS_SUCCESS)
        return "tells no profiles";
    profiles.resize(size_t(count));
    std::map<VAEntrypoint, std::string> does;
    for (VAProfile profile : profiles) {
        std::vector<VAEntrypoint> entrypoints(size_t(std::max(vaMaxNumEntrypoints(display), 0)));
        if (vaQueryConfigEntrypoints(display, profile, entrypoints.data(), &count) != VA_STATUS_SUCCESS)
            continue;
        entrypoints.resize(size_t(count));
        for (VAEntrypoint entrypoint : entrypoints)
            does[entrypoint] += (does[entrypoint].empty() ? " " : ", ") + profile_name(profile);
    }
    std::string words;
    for (const EntrypointName &name : entrypoint_names)
        if (const auto found = does.find(name.entrypoint); found != does.end())
            words += (words.empty() ? "" : "; ") + std::string(name.words) + found->second;
    return words.empty() ? "neither decodes nor encodes" : words;
}

std::string describe(const std::string &path)
{
    const Display display(path);
    if (!display.opened())
        return "cannot be opened; is the user in the group render?";
    if (!display.get())
        return "libva makes no display of it";
    int major = 0, minor = 0;
    const VAStatus status = vaInitialize(display.get(), &major, &minor);
    if (status != VA_STATUS_SUCCESS)
        return std::string("has no VA driver that works: ") + vaErrorStr(status);
    const char *vendor = vaQueryVendorString(display.get());
    return std::string(vendor ? vendor : "driver without a name") + ", VA " + std::to_string(major) + "." +
           std::to_string(minor) + ", " + abilities(display.get());
}

} // namespace

AcceleratorInterface va_displays()
{
    AcceleratorInterface found{"VA", {}, {}};
    for (const std::string &path : render_nodes())
        found.accelerators.push_back({path, describe(path), no_models});
    if (found.accelerators.empty())
        found.absent = "There is no render node in /dev/dri.";
    return found;
}

} // namespace leat
