#include "census.h"

#define GST_USE_UNSTABLE_API
#include <gst/gst.h>
#include <gst/gsttracer.h>

#include <malloc.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#if defined(__SANITIZE_ADDRESS__)
extern "C" size_t __sanitizer_get_current_allocated_bytes(); // gcc 12 in Debian has no header for it
#endif

namespace leat {
namespace {

size_t entries_of(const char *folder)
{
    size_t count = 0;
    for ([[maybe_unused]] const auto &entry : std::filesystem::directory_iterator(folder))
        count++;
    return count;
}

size_t heap_bytes()
{
#if defined(__SANITIZE_ADDRESS__)
    return __sanitizer_get_current_allocated_bytes();
#else
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
}

size_t resident_bytes()
{
    std::ifstream file("/proc/self/statm");
    size_t total = 0, resident = 0;
    file >> total >> resident;
    return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

std::map<std::string, int> live_objects()
{
    std::map<std::string, int> live;
    GList *tracers = gst_tracing_get_active_tracers();
    GstStructure *all = nullptr;
    for (GList *each = tracers; each; each = each->next)
        if (std::string(G_OBJECT_TYPE_NAME(each->data)) == "GstLeaksTracer")
            g_signal_emit_by_name(each->data, "get-live-objects", &all);
    g_list_free_full(tracers, gst_object_unref);
    if (!all)
        throw std::runtime_error("GStreamer's tracer leaks is not active; set GST_TRACERS=leaks");
    const GValue *list = gst_structure_get_value(all, "live-objects-list");
    for (guint i = 0; i < gst_value_list_get_size(list); i++) {
        const GstStructure *entry = gst_value_get_structure(gst_value_list_get_value(list, i));
        GValue *object = const_cast<GValue *>(gst_structure_get_value(entry, "object"));
        live[G_VALUE_TYPE_NAME(object)]++;
        object->data[0].v_pointer = nullptr; // the tracer gives away references that it does not have
    }
    gst_structure_free(all);
    return live;
}

std::map<std::string, int> threads_by_name()
{
    std::map<std::string, int> threads;
    for (const auto &task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream file(task.path() / "comm");
        std::string name;
        if (std::getline(file, name)) // else it has ended meanwhile
            threads[name]++;
    }
    return threads;
}

Census census()
{
    g_thread_pool_stop_unused_threads();
    Census census;
    census.live = live_objects();
    census.threads = threads_by_name();
    census.files = entries_of("/proc/self/fd");
    census.heap = heap_bytes();
    census.resident = resident_bytes();
    return census;
}

constexpr int looks = 500;
constexpr gulong between_looks = 10000; // microseconds

} // namespace

size_t total(const std::map<std::string, int> &counts)
{
    size_t sum = 0;
    for (const auto &[name, count] : counts)
        sum += static_cast<size_t>(count);
    return sum;
}

std::string Census::more_than(const Census &before) const
{
    std::string more;
    const auto compare = [&](const auto &now, const auto &then) {
        for (const auto &[name, count] : now) {
            const auto known = then.find(name);
            const int had = known == then.end() ? 0 : known->second;
            if (count > had)
                more += name + ": " + std::to_string(count) + " after " + std::to_string(had) + "; ";
        }
    };
    compare(live, before.live);
    compare(threads, before.threads);
    return more;
}

Census settled_census()
{
    Census last = census();
    for (int quiet = 0, i = 0; quiet < 20 && i < looks; i++) {
        g_usleep(between_looks);
        Census now = census();
        quiet = last.more_than(now).empty() ? quiet + 1 : 0;
        last = std::move(now);
    }
    return last;
}

Census settled_census(const Census &before)
{
    Census now = census();
    for (int i = 0; i < looks; i++) {
        if (now.more_than(before).empty() && now.files <= before.files)
            break;
        g_usleep(between_looks);
        now = census();
    }
    return now;
}

} // namespace leat
